//! Operators between two results: which series of one side meets which of the other, and what comes out.
//! Source: prometheus/prometheus `promql/engine.go`, `VectorBinop` and its siblings.

use std::rc::Rc;

use promql_parser::parser::value::ValueType;
use promql_parser::parser::{BinaryExpr, Expr, VectorMatchCardinality};

use super::arm::{Arm, Kind, Presence};
use super::interval::Interval;
use super::key::Key;
use super::labels::{Carried, Domain, Label, Labels};
use super::part::{age_of_sample, are_newborn, part_of_whole};
use super::unit::Unit;
use super::{Node, alive_or_first};
use crate::query::has_variable;

pub(super) fn arms(binary: &BinaryExpr, left: &Node<'_>, right: &Node<'_>) -> Vec<Arm> {
    let operator = binary.op.to_string();
    let step: Rc<str> = head(binary).into();
    let vectors = (is_vector(&binary.lhs), is_vector(&binary.rhs));
    if fills(binary) {
        let origins = left.arms.iter().chain(&right.arms).flat_map(|arm| arm.origins.iter().cloned()).collect();
        return vec![Arm { origins, ..Arm::unknown(None) }.step(&step)];
    }
    match operator.as_str() {
        "or" => return or(binary, left, right),
        // What the right side takes away is a condition; where it has no series it takes nothing.
        "unless" => {
            let newborn = are_newborn(binary);
            let kept = left.arms.iter().cloned().map(|arm| match arm.kind {
                Kind::Counter if newborn => Arm { kind: Kind::Rate, ..arm },
                Kind::Buckets if newborn => Arm { kind: Kind::BucketRate, ..arm },
                _ => arm,
            });
            return kept.map(|arm| Arm { presence: Presence::Conditional, ..arm }.step(&step)).collect();
        }
        _ => {}
    }
    let known = part_of_whole(binary, &operator, left).or_else(|| age_of_sample(binary, &operator));
    let pairs = left.arms.iter().flat_map(|l| right.arms.iter().map(move |r| (l, r)));
    let arms = pairs.map(|(l, r)| {
        let mut arm = match vectors {
            (true, true) if operator == "and" => and(binary, l, r),
            (true, true) => joined(binary, &operator, l, r),
            (false, true) => with_scalar(binary, &operator, r, l, true),
            _ => with_scalar(binary, &operator, l, r, false),
        };
        arm.interval = known.unwrap_or(arm.interval);
        arm.step(&step)
    });
    alive_or_first(arms.collect())
}

/// Whether a number stands in where a series meets none, as `fill (0)` says, so that nothing is lost and little known.
pub fn fills(binary: &BinaryExpr) -> bool {
    let values = binary.modifier.as_ref().map(|modifier| &modifier.fill_values);
    values.is_some_and(|values| values.lhs.is_some() || values.rhs.is_some())
}

fn is_vector(expr: &Expr) -> bool {
    matches!(expr.value_type(), ValueType::Vector)
}

/// `/ on (namespace) group_left ()`: the operator with its modifiers, as messages name it.
fn head(binary: &BinaryExpr) -> String {
    match &binary.modifier {
        Some(modifier) => format!("{}{modifier}", binary.op),
        None => binary.op.to_string(),
    }
}

fn and(binary: &BinaryExpr, left: &Arm, right: &Arm) -> Arm {
    let key = Key::of(binary.modifier.as_ref());
    let mut arm = left.clone();
    arm.presence = arm.presence.max(right.presence).max(Presence::Conditional);
    arm.origins.extend(right.origins.iter().cloned());
    narrow_key(&mut arm.labels, &right.labels, &key);
    either_dead(arm, left, right, &key)
}

fn either_dead(arm: Arm, left: &Arm, right: &Arm, key: &Key) -> Arm {
    if let Some(why) = left.dead.clone().or_else(|| right.dead.clone()) {
        return arm.killed(why);
    }
    match key.cannot_meet(&left.labels, &right.labels) {
        Some(mismatch) => arm.killed(mismatch.to_string()),
        None => arm,
    }
}

/// A label of the key that the other side always has, with known values, has those here too.
fn narrow_key(labels: &mut Labels, other: &Labels, key: &Key) {
    for name in key.labels(labels, other) {
        if key.has_variable() || other.carries(&name) != Carried::Always {
            continue;
        }
        let domain = match (labels.get(&name).map(|label| &label.domain), other.get(&name).map(|label| &label.domain)) {
            (Some(Domain::Values(mine)), Some(theirs)) => {
                Domain::Values(mine.clone()).filter(|value| theirs.allows(value))
            }
            (_, Some(theirs)) => theirs.clone(),
            _ => continue,
        };
        let cardinality = labels.get(&name).and_then(|label| label.cardinality);
        if labels.carries(&name) != Carried::Never {
            labels.set(name, Label { always: true, domain, cardinality });
        }
    }
}

fn or(binary: &BinaryExpr, left: &Node<'_>, right: &Node<'_>) -> Vec<Arm> {
    let key = Key::of(binary.modifier.as_ref());
    let mut arms: Vec<Arm> = left.arms.clone();
    // A number that is always there, matched on nothing, leaves no room for the right side.
    let covered = left.arms.iter().any(|arm| arm.presence == Presence::Always && arm.is_alive());
    for arm in &right.arms {
        let hidden = covered && matches!(&key, Key::On(labels) if labels.is_empty());
        arms.push(if hidden { arm.clone().killed("the left side is always there") } else { arm.clone() });
    }
    arms
}

/// Arithmetic or a comparison between two vectors.
fn joined(binary: &BinaryExpr, operator: &str, left: &Arm, right: &Arm) -> Arm {
    let modifier = binary.modifier.as_ref();
    let key = Key::of(modifier);
    let cardinality = modifier.map_or(&VectorMatchCardinality::OneToOne, |modifier| &modifier.card);
    let (many, one, copied) = match cardinality {
        VectorMatchCardinality::OneToMany(labels) => (right, left, Some(labels)),
        VectorMatchCardinality::ManyToOne(labels) => (left, right, Some(labels)),
        _ => (left, right, None),
    };
    let comparison = binary.op.is_comparison_operator();
    let mut arm = result(binary, operator, left, right);
    arm.labels = many.labels.clone();
    narrow_key(&mut arm.labels, &one.labels, &key);
    let step: Rc<str> = head(binary).into();
    match copied {
        _ if key.has_variable() => arm.labels = Labels::any(),
        Some(labels) if labels.labels.iter().any(|label| has_variable(label)) => arm.labels = Labels::any(),
        Some(labels) => copy_labels(&mut arm.labels, &one.labels, &labels.labels, &step),
        None => match &key {
            Key::On(labels) => arm.labels.retain(|name| labels.iter().any(|on| on == name), false, &step),
            Key::Ignoring(labels) => labels.iter().for_each(|label| arm.labels.drop(label, &step)),
        },
    }
    let keeps_name = comparison && !binary.return_bool() && !matches!(key, Key::On(_)) && copied.is_none();
    arm.name = if keeps_name { left.name.clone() } else { None };
    arm.presence = arm.presence.max(left.presence).max(right.presence);
    arm.origins = left.origins.iter().chain(&right.origins).cloned().collect();
    either_dead(arm, left, right, &key)
}

/// `group_left (labels)` takes them from the one side; what that lacks is taken away.
fn copy_labels(labels: &mut Labels, one: &Labels, copied: &[String], step: &Rc<str>) {
    for name in copied {
        match (one.carries(name), one.get(name)) {
            (Carried::Never, _) => labels.drop(name, step),
            (_, Some(label)) => labels.set(name.as_str(), label.clone()),
            (_, None) => labels.set(name.as_str(), Label::default()),
        }
    }
}

/// A vector and a number. `swapped` says that the number stands on the left.
fn with_scalar(binary: &BinaryExpr, operator: &str, vector: &Arm, scalar: &Arm, swapped: bool) -> Arm {
    let mut arm = if binary.op.is_comparison_operator() && !binary.return_bool() {
        // The vector's value stays, whichever side it stands on.
        let operator = if swapped { mirrored(operator) } else { operator };
        let (mine, bound) = (vector.interval, scalar.interval);
        let kept = Arm { interval: mine.filter(operator, bound), presence: Presence::Conditional, ..vector.clone() };
        match kept.interval.is_empty() {
            true => kept.killed(format!("the value is {mine}, never {operator} {bound}")),
            false => kept,
        }
    } else {
        let (left, right) = if swapped { (scalar, vector) } else { (vector, scalar) };
        Arm { name: None, ..result(binary, operator, left, right) }
    };
    arm.labels = vector.labels.clone();
    arm.origins = vector.origins.iter().chain(&scalar.origins).cloned().collect();
    arm.presence = arm.presence.max(vector.presence);
    arm.steps.clone_from(&vector.steps);
    match vector.dead.clone() {
        Some(why) => Arm { dead: Some(why), ..arm },
        None => arm,
    }
}

/// The operator that says the same with both sides exchanged: `5 < x` is `x > 5`.
pub fn mirrored(operator: &str) -> &str {
    match operator {
        ">" => "<",
        ">=" => "<=",
        "<" => ">",
        "<=" => ">=",
        same => same,
    }
}

/// Kind, unit, interval and presence of `left OPERATOR right`; labels, name and origins are the caller's.
fn result(binary: &BinaryExpr, operator: &str, left: &Arm, right: &Arm) -> Arm {
    let mut arm = left.clone();
    if binary.op.is_comparison_operator() {
        if binary.return_bool() {
            (arm.kind, arm.unit, arm.interval) = (Kind::Gauge, Unit::RATIO, Interval::between(0.0, 1.0));
        } else {
            arm.presence = Presence::Conditional;
            arm.interval = left.interval.filter(operator, right.interval);
            if arm.interval.is_empty() {
                let (l, r) = (left.interval, right.interval);
                arm = arm.killed(format!("the left side is {l}, never {operator} the right side, which is {r}"));
            }
        }
        return arm;
    }
    arm.interval = left.interval.arithmetic(operator, right.interval);
    arm.unit = unit(operator, left, right);
    arm.kind = kind(operator, left.kind, right.kind);
    arm
}

fn unit(operator: &str, left: &Arm, right: &Arm) -> Unit {
    let constant = |arm: &Arm| (arm.kind == Kind::Number).then(|| arm.interval.only()).flatten();
    match (operator, constant(left), constant(right)) {
        ("*", Some(number), _) => right.unit.scaled(number),
        ("*", _, Some(number)) => left.unit.scaled(number),
        ("/", _, Some(number)) => left.unit.scaled(1.0 / number),
        ("*", ..) => left.unit.times(right.unit),
        ("/", ..) => left.unit.per(right.unit),
        ("+" | "-", Some(_), None) => right.unit,
        ("+" | "-", None, Some(_)) => left.unit,
        ("+" | "-", ..) if left.unit == right.unit => left.unit,
        ("%", ..) => left.unit,
        _ => Unit::Unknown,
    }
}

fn kind(operator: &str, left: Kind, right: Kind) -> Kind {
    match (operator, left, right) {
        (_, Kind::Number, Kind::Number) => Kind::Number,
        ("*" | "/", kind, Kind::Number) | ("*", Kind::Number, kind) => kind,
        ("+" | "-", Kind::Rate, Kind::Rate) => Kind::Rate,
        ("+", Kind::Counter | Kind::CounterSum, Kind::Counter | Kind::CounterSum) => Kind::CounterSum,
        (_, Kind::Unknown, _) | (_, _, Kind::Unknown) => Kind::Unknown,
        _ => Kind::Gauge,
    }
}
