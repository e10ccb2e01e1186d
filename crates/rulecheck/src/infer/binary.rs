//! Operators between two results: which series of one side meets which of the other, and what comes out.
//! Source: prometheus/prometheus `promql/engine.go`, `VectorBinop` and its siblings.

use std::collections::BTreeSet;
use std::rc::Rc;

use promql_parser::label::Matcher;
use promql_parser::parser::value::ValueType;
use promql_parser::parser::{BinModifier, BinaryExpr, Expr, LabelModifier, VectorMatchCardinality, VectorSelector};

use super::arm::{Arm, Kind, Presence};
use super::interval::Interval;
use super::labels::{Carried, Domain, Label, Labels};
use super::unit::Unit;
use super::{MAX_ARMS, Node};
use crate::query::has_variable;

pub(super) fn arms(binary: &BinaryExpr, left: &Node<'_>, right: &Node<'_>) -> Vec<Arm> {
    let operator = binary.op.to_string();
    let step: Rc<str> = head(binary).into();
    let vectors = (is_vector(&binary.lhs), is_vector(&binary.rhs));
    match operator.as_str() {
        "or" => return or(binary, left, right),
        // What the right side takes away is a condition; where it has no series it takes nothing.
        "unless" => {
            let kept = left.arms.iter().cloned();
            return kept.map(|arm| Arm { presence: Presence::Conditional, ..arm }.step(&step)).collect();
        }
        _ => {}
    }
    let ratio = part_of_whole(binary, &operator);
    let pairs = left.arms.iter().flat_map(|l| right.arms.iter().map(move |r| (l, r)));
    let arms = pairs.take(MAX_ARMS).map(|(l, r)| {
        let mut arm = match vectors {
            (true, true) if operator == "and" => and(binary, l, r),
            (true, true) => joined(binary, &operator, l, r),
            (false, true) => with_scalar(binary, &operator, r, l, true),
            _ => with_scalar(binary, &operator, l, r, false),
        };
        arm.interval = ratio.unwrap_or(arm.interval);
        arm.step(&step)
    });
    arms.collect()
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

/// The labels that must be equal for two series to meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// Just these.
    On(Vec<String>),
    /// All but these.
    Ignoring(Vec<String>),
}

impl Key {
    /// The key of an operator's modifiers.
    pub fn of(modifier: Option<&BinModifier>) -> Key {
        match modifier.and_then(|modifier| modifier.matching.as_ref()) {
            Some(LabelModifier::Include(labels)) => Key::On(labels.labels.clone()),
            Some(LabelModifier::Exclude(labels)) => Key::Ignoring(labels.labels.clone()),
            None => Key::Ignoring(Vec::new()),
        }
    }

    /// Whether a dashboard's variable is among its labels, so that nothing is known of what meets.
    fn has_variable(&self) -> bool {
        let (Key::On(labels) | Key::Ignoring(labels)) = self;
        labels.iter().any(|label| has_variable(label))
    }

    /// Whether the label is part of the key.
    pub fn has(&self, label: &str) -> bool {
        match self {
            Key::On(labels) => labels.iter().any(|on| on == label),
            Key::Ignoring(labels) => !labels.iter().any(|ignored| ignored == label),
        }
    }

    /// The labels of the key that are known by name on either side, sorted.
    pub fn labels(&self, left: &Labels, right: &Labels) -> BTreeSet<Rc<str>> {
        match self {
            Key::On(labels) => labels.iter().map(|label| label.as_str().into()).collect(),
            Key::Ignoring(_) => {
                let known = left.iter().chain(right.iter()).map(|(name, _)| name.clone());
                known.filter(|name| self.has(name)).collect()
            }
        }
    }

    /// Why no series of one side can meet one of the other: a label that every series of one side has and none of the
    /// other, or whose values differ.
    pub fn cannot_meet(&self, left: &Labels, right: &Labels) -> Option<Mismatch> {
        if self.has_variable() {
            return None;
        }
        self.labels(left, right).into_iter().find_map(|label| match (left.carries(&label), right.carries(&label)) {
            (Carried::Always, Carried::Never) => {
                Some(Mismatch::OneSided { why: right.why_never(&label), label, left_has_it: true })
            }
            (Carried::Never, Carried::Always) => {
                Some(Mismatch::OneSided { why: left.why_never(&label), label, left_has_it: false })
            }
            (Carried::Always, Carried::Always) => {
                let (l, r) = (left.get(&label)?, right.get(&label)?);
                let (left, right) = (l.domain.clone(), r.domain.clone());
                (!left.meets(&right)).then_some(Mismatch::Values { label, left, right })
            }
            _ => None,
        })
    }
}

/// Why two sides cannot meet.
#[derive(Debug, Clone)]
pub enum Mismatch {
    /// Every series of one side has the label, and none of the other.
    OneSided {
        /// The label.
        label: Rc<str>,
        /// Which side has it.
        left_has_it: bool,
        /// Why the other has not.
        why: String,
    },
    /// Both have the label, with no value in common.
    Values {
        /// The label.
        label: Rc<str>,
        /// Its values on the left.
        left: Domain,
        /// Its values on the right.
        right: Domain,
    },
}

impl std::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Mismatch::OneSided { label, left_has_it, why } => {
                let (has, lacks) = if *left_has_it { ("left", "right") } else { ("right", "left") };
                write!(f, "only the {has} side has the label {label}; on the {lacks} side {why}")
            }
            Mismatch::Values { label, left, right } => {
                write!(f, "the label {label} is {left} on the left side and {right} on the right side")
            }
        }
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

/// A part divided by its whole lies between 0 and 1.
fn part_of_whole(binary: &BinaryExpr, operator: &str) -> Option<Interval> {
    let whole = unfiltered(&binary.rhs);
    (operator == "/" && grows(&binary.lhs) && is_part_of(&binary.lhs, whole)).then(|| Interval::between(0.0, 1.0))
}

/// What a comparison with a number filters, as in `part / (whole > 0)`: what is left is the same.
fn unfiltered(expr: &Expr) -> &Expr {
    match expr {
        Expr::Paren(paren) => unfiltered(&paren.expr),
        Expr::Binary(binary)
            if binary.op.is_comparison_operator()
                && !binary.return_bool()
                && matches!(binary.rhs.as_ref(), Expr::NumberLiteral(_)) =>
        {
            unfiltered(&binary.lhs)
        }
        other => other,
    }
}

/// Whether the value adds up what is never negative, so that fewer series give less.
fn grows(expr: &Expr) -> bool {
    match expr {
        Expr::Paren(paren) => grows(&paren.expr),
        Expr::Aggregate(aggregate) => {
            matches!(aggregate.op.to_string().as_str(), "sum" | "count")
                && match aggregate.expr.as_ref() {
                    Expr::Call(call) => matches!(call.func.name, "rate" | "increase" | "irate"),
                    _ => aggregate.op.to_string() == "count",
                }
        }
        Expr::Call(call) => matches!(call.func.name, "rate" | "increase" | "irate"),
        _ => false,
    }
}

/// Whether `part` is `whole` with nothing but more matchers, at least one more.
pub fn is_part_of(part: &Expr, whole: &Expr) -> bool {
    part != whole
        && same_but_matchers(part, whole, &mut |part, whole| whole.iter().all(|matcher| part.contains(matcher)))
}

/// The labels that only one of the two sides matches, or each in its own way, where the two are else the same.
pub fn differing_matchers(left: &Expr, right: &Expr) -> Option<BTreeSet<String>> {
    let mut labels = BTreeSet::new();
    let same = same_but_matchers(left, right, &mut |left, right| {
        let only_left = left.iter().filter(|matcher| !right.contains(matcher));
        let only_right = right.iter().filter(|matcher| !left.contains(matcher));
        labels.extend(only_left.chain(only_right).map(|matcher| matcher.name.clone()));
        true
    });
    same.then_some(labels)
}

/// Whether two expressions are equal but for the matchers of their selectors, which `matchers` compares.
fn same_but_matchers(left: &Expr, right: &Expr, matchers: &mut impl FnMut(&[Matcher], &[Matcher]) -> bool) -> bool {
    match (left, right) {
        (Expr::Paren(left), right) => same_but_matchers(&left.expr, right, matchers),
        (left, Expr::Paren(right)) => same_but_matchers(left, &right.expr, matchers),
        (Expr::VectorSelector(left), Expr::VectorSelector(right)) => same_selector(left, right, matchers),
        (Expr::MatrixSelector(left), Expr::MatrixSelector(right)) => {
            left.range == right.range && same_selector(&left.vs, &right.vs, matchers)
        }
        (Expr::Call(left), Expr::Call(right)) => {
            let (l, r) = (&left.args.args, &right.args.args);
            left.func.name == right.func.name
                && l.len() == r.len()
                && l.iter().zip(r).all(|(left, right)| same_but_matchers(left, right, matchers))
        }
        (Expr::Aggregate(left), Expr::Aggregate(right)) => {
            left.op == right.op
                && left.modifier == right.modifier
                && left.param == right.param
                && same_but_matchers(&left.expr, &right.expr, matchers)
        }
        (left, right) => left == right,
    }
}

fn same_selector(
    left: &VectorSelector,
    right: &VectorSelector,
    matchers: &mut impl FnMut(&[Matcher], &[Matcher]) -> bool,
) -> bool {
    left.name == right.name
        && left.offset == right.offset
        && left.at == right.at
        && matchers(&left.matchers.matchers, &right.matchers.matchers)
}
