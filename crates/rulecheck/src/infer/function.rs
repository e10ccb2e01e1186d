//! Functions: what each does to labels, kinds, units and intervals. Source: prometheus/prometheus `promql/functions.go`.

use std::rc::Rc;

use promql_parser::label::MatchOp;
use promql_parser::parser::Expr;
use promql_parser::parser::value::ValueType;
use regex::Regex;

use super::aggregate::no_labels;
use super::arm::{Arm, Kind, Presence};
use super::interval::Interval;
use super::labels::{Carried, Domain, Label, Labels};
use super::unit::Unit;
use super::{Node, Origin};

pub(super) fn arms(name: &str, arguments: &[Node<'_>]) -> Vec<Arm> {
    let step: Rc<str> = name.into();
    match name {
        "absent" | "absent_over_time" => vec![absent(name, arguments)],
        "scalar" => vec![scalar(name, arguments)],
        "vector" => arguments.first().map_or_else(Vec::new, |argument| {
            argument.arms.iter().cloned().map(|arm| Arm { labels: no_labels(name), ..arm }).collect()
        }),
        "time" | "pi" | "now" | "start" | "end" | "step" | "range" => vec![clock(name)],
        "histogram_quantile" => quantiles(arguments, 1, None, &step),
        "histogram_quantiles" => quantiles(arguments, 0, string(arguments.get(1)), &step),
        "label_replace" => each(arguments.first(), &step, |arm| label_replace(arm, arguments)),
        "label_join" => each(arguments.first(), &step, |arm| label_join(arm, arguments)),
        "quantile_over_time" | "predict_linear" | "double_exponential_smoothing" | "holt_winters" => {
            let position = usize::from(name == "quantile_over_time");
            each(arguments.get(position), &step, |arm| over_time(name, arm))
        }
        _ => match arguments.iter().find(|argument| !is_scalar(argument)).or(arguments.first()) {
            // Functions of the clock, called without an argument, ask the time of the evaluation.
            None => vec![calendar(name, Arm { labels: no_labels(name), ..Arm::number(0.0) })],
            Some(argument) => each(Some(argument), &step, |arm| of_series(name, arm, arguments)),
        },
    }
}

/// Whether the argument is a number or a text beside the series that a function is about.
fn is_scalar(argument: &Node<'_>) -> bool {
    matches!(argument.expr.value_type(), ValueType::Scalar | ValueType::String)
}

fn each(argument: Option<&Node<'_>>, step: &Rc<str>, of: impl Fn(Arm) -> Arm) -> Vec<Arm> {
    let arms = argument.map_or(&[] as &[Arm], |argument| &argument.arms);
    arms.iter().map(|arm| of(arm.clone()).step(step)).collect()
}

fn of_series(name: &str, mut arm: Arm, arguments: &[Node<'_>]) -> Arm {
    match name {
        "sort" | "sort_desc" | "sort_by_label" | "sort_by_label_desc" | "last_over_time" | "first_over_time" => {
            return arm;
        }
        "info" => {
            // It adds labels of target_info that nobody can know here.
            let mut open = Labels::any();
            for (label, values) in arm.labels.iter() {
                open.set(label.clone(), values.clone());
            }
            arm.labels = open;
            return arm;
        }
        _ => arm.name = None,
    }
    match name {
        "rate" | "irate" => {
            arm.unit = arm.unit.per(Unit::SECONDS);
            grown(arm)
        }
        "increase" => grown(arm),
        "delta" | "idelta" | "deriv" => {
            if name == "deriv" {
                arm.unit = arm.unit.per(Unit::SECONDS);
            }
            (arm.kind, arm.interval) = (Kind::Gauge, Interval::ANY);
            arm
        }
        "changes" | "resets" => Arm { kind: Kind::Count, unit: Unit::COUNT, interval: Interval::COUNT, ..arm },
        "abs" => {
            let Interval { low, high, .. } = arm.interval;
            let nearest = if arm.interval.contains(0.0) { 0.0 } else { low.abs().min(high.abs()) };
            arm.interval = Interval::between(nearest, low.abs().max(high.abs()));
            arm
        }
        // To the nearest of something coarser, it may leave the interval further.
        "round" if arguments.len() > 1 => Arm { interval: Interval::ANY, ..arm },
        "ceil" | "floor" | "round" => {
            let Interval { low, high, .. } = arm.interval;
            arm.interval = Interval::between(low.floor(), high.ceil());
            arm
        }
        "clamp" | "clamp_min" | "clamp_max" => clamp(name, arm, arguments),
        "sgn" => Arm { unit: Unit::RATIO, interval: Interval::between(-1.0, 1.0), kind: Kind::Gauge, ..arm },
        "sqrt" | "exp" => Arm { unit: Unit::Unknown, interval: Interval::COUNT, kind: Kind::Gauge, ..arm },
        "timestamp" => Arm { unit: Unit::SECONDS, interval: Interval::COUNT, kind: Kind::Gauge, ..arm },
        "minute" | "hour" | "day_of_week" | "day_of_month" | "day_of_year" | "days_in_month" | "month" | "year" => {
            calendar(name, arm)
        }
        "histogram_count" | "histogram_sum" | "histogram_avg" | "histogram_stddev" | "histogram_stdvar"
        | "histogram_fraction" => Arm { kind: Kind::Unknown, unit: Unit::Unknown, interval: Interval::ANY, ..arm },
        _ if name.ends_with("_over_time") => over_time(name, arm),
        // What remains is trigonometry and logarithms.
        _ => Arm { kind: Kind::Gauge, unit: Unit::Unknown, interval: Interval::ANY, ..arm },
    }
}

fn grown(mut arm: Arm) -> Arm {
    arm.kind = match arm.kind {
        Kind::Buckets => Kind::BucketRate,
        _ => Kind::Rate,
    };
    // What never changes does not grow.
    arm.interval = if arm.interval.only().is_some() { Interval::one(0.0) } else { Interval::COUNT };
    arm
}

fn over_time(name: &str, mut arm: Arm) -> Arm {
    arm.name = None;
    match name {
        "count_over_time" => {
            (arm.kind, arm.unit, arm.interval) = (Kind::Count, Unit::COUNT, Interval { low: 1.0, ..Interval::COUNT });
        }
        "present_over_time" => (arm.kind, arm.unit, arm.interval) = (Kind::Count, Unit::RATIO, Interval::one(1.0)),
        "sum_over_time" => {
            let Interval { low, high, .. } = arm.interval;
            arm.kind = Kind::Gauge;
            arm.interval = Interval::between(
                if low >= 0.0 { low } else { f64::NEG_INFINITY },
                if high <= 0.0 { high } else { f64::INFINITY },
            );
        }
        // One number out of many totals is no total.
        "avg_over_time" | "quantile_over_time"
            if matches!(arm.kind, Kind::Counter | Kind::CounterSum | Kind::Buckets) =>
        {
            arm.kind = Kind::Gauge;
        }
        "stddev_over_time" | "mad_over_time" => (arm.kind, arm.interval) = (Kind::Gauge, Interval::COUNT),
        "stdvar_over_time" => {
            (arm.kind, arm.interval, arm.unit) = (Kind::Gauge, Interval::COUNT, arm.unit.times(arm.unit));
        }
        "predict_linear" | "double_exponential_smoothing" | "holt_winters" => {
            (arm.kind, arm.interval) = (Kind::Gauge, Interval::ANY);
        }
        "ts_of_max_over_time" | "ts_of_min_over_time" | "ts_of_last_over_time" | "ts_of_first_over_time" => {
            (arm.kind, arm.unit, arm.interval) = (Kind::Gauge, Unit::SECONDS, Interval::COUNT);
        }
        _ => {}
    }
    arm
}

fn clamp(name: &str, mut arm: Arm, arguments: &[Node<'_>]) -> Arm {
    let bound = |position: usize| arguments.get(position).and_then(Node::number);
    let (low, high) = match name {
        "clamp_min" => (bound(1), None),
        "clamp_max" => (None, bound(1)),
        _ => (bound(1), bound(2)),
    };
    if let (Some(low), Some(high)) = (low, high)
        && low > high
    {
        return arm.killed(format!("nothing is from {low} to {high}"));
    }
    let inside = |number: f64| number.max(low.unwrap_or(f64::NEG_INFINITY)).min(high.unwrap_or(f64::INFINITY));
    arm.interval = Interval::between(inside(arm.interval.low), inside(arm.interval.high));
    arm
}

fn calendar(name: &str, arm: Arm) -> Arm {
    let interval = match name {
        "minute" => Interval::between(0.0, 59.0),
        "hour" => Interval::between(0.0, 23.0),
        "day_of_week" => Interval::between(0.0, 6.0),
        "day_of_month" => Interval::between(1.0, 31.0),
        "days_in_month" => Interval::between(28.0, 31.0),
        "day_of_year" => Interval::between(1.0, 366.0),
        "month" => Interval::between(1.0, 12.0),
        _ => Interval::ANY,
    };
    Arm { kind: Kind::Gauge, unit: Unit::Unknown, interval, ..arm }
}

fn clock(name: &str) -> Arm {
    let unit = if name == "pi" { Unit::RATIO } else { Unit::SECONDS };
    let interval = if name == "pi" { Interval::one(std::f64::consts::PI) } else { Interval::COUNT };
    Arm { unit, interval, labels: no_labels(name), ..Arm::number(0.0) }
}

/// A scalar is there whatever its argument does; it is no number where that is not just one series.
fn scalar(name: &str, arguments: &[Node<'_>]) -> Arm {
    let mut arms = arguments.first().map_or(&[] as &[Arm], |argument| &argument.arms).iter().cloned();
    let Some(first) = arms.next() else { return Arm::number(f64::NAN) };
    let joined = arms.fold(first, |mut joined, arm| {
        joined.interval = joined.interval.union(arm.interval);
        joined.unit = if joined.unit == arm.unit { joined.unit } else { Unit::Unknown };
        joined
    });
    Arm { labels: no_labels(name), name: None, presence: Presence::Always, dead: None, ..joined }
}

/// 1 while its argument is empty. It has the labels that equality matchers of a selector name, and only where the
/// selector is the argument itself: of `absent(up == 1)` or `absent(sum(up))` nothing can be taken.
fn absent(name: &str, arguments: &[Node<'_>]) -> Arm {
    let mut arm = Arm {
        labels: Labels::none(format!("`{name}` carries only what equality matchers of its selector name")),
        unit: Unit::RATIO,
        kind: Kind::Number,
        presence: Presence::Conditional,
        origins: arguments
            .iter()
            .flat_map(|node| &node.arms)
            .flat_map(|arm| arm.origins.clone())
            .collect::<Vec<Rc<Origin>>>(),
        ..Arm::number(1.0)
    };
    let selector = match arguments.first().map(|argument| argument.expr) {
        Some(Expr::VectorSelector(selector)) => Some(selector),
        Some(Expr::MatrixSelector(matrix)) => Some(&matrix.vs),
        _ => None,
    };
    let matchers = selector.map_or(&[] as &[_], |selector| &selector.matchers.matchers);
    for matcher in matchers.iter().filter(|matcher| matcher.op == MatchOp::Equal && matcher.name != "__name__") {
        // A label that two matchers name is taken from neither.
        if matchers.iter().filter(|other| other.name == matcher.name).count() == 1 && !matcher.value.is_empty() {
            arm.labels.set(matcher.name.as_str(), Label::always(Domain::one(&matcher.value)));
        }
    }
    arm.step(&name.into())
}

/// `histogram_quantile(φ, buckets)`: `le` goes, and the value lies between the bounds of the finite buckets.
fn quantiles(arguments: &[Node<'_>], position: usize, label: Option<&str>, step: &Rc<str>) -> Vec<Arm> {
    let phi = if label.is_none() { arguments.first().and_then(Node::number) } else { None };
    each(arguments.get(position), step, |mut arm| {
        arm.interval = quantile_interval(&arm.labels, phi);
        arm.labels.drop("le", step);
        arm.name = None;
        arm.kind = Kind::Quantile;
        arm.unit = unit_of_origins(&arm.origins);
        if let Some(label) = label {
            arm.labels.set(label, Label::always(Domain::Any));
        }
        arm
    })
}

/// Source: prometheus/prometheus `promql/quantile.go`, `bucketQuantile`. The value is never above the highest finite
/// bound. Within the lowest bucket it grows evenly from 0, so with all observations there it is φ times its bound.
fn quantile_interval(labels: &Labels, phi: Option<f64>) -> Interval {
    let values = labels.get("le").and_then(|le| le.domain.known());
    let bounds = values.into_iter().flatten().filter_map(|value| value.parse().ok());
    let bounds: Vec<f64> = bounds.filter(|bound: &f64| bound.is_finite()).collect();
    let phi = phi.unwrap_or(0.0);
    // Without the bucket of all observations the result is no number.
    let has_all = values.is_some_and(|values| values.contains("+Inf"));
    if bounds.is_empty() || !has_all || !(0.0..=1.0).contains(&phi) {
        return Interval::ANY;
    }
    let highest = bounds.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let lowest = bounds.iter().copied().fold(f64::INFINITY, f64::min);
    Interval::between(if lowest > 0.0 { phi * lowest } else { lowest }, highest)
}

/// The unit of what a histogram observes, where all its origins agree.
fn unit_of_origins(origins: &[Rc<Origin>]) -> Unit {
    match origins {
        [first, rest @ ..] if rest.iter().all(|origin| origin.unit == first.unit) => first.unit,
        _ => Unit::Unknown,
    }
}

/// Source: `evalLabelReplace`. The expression must match the whole source value, else the label keeps what it was; an
/// empty replacement takes it away.
fn label_replace(mut arm: Arm, arguments: &[Node<'_>]) -> Arm {
    let text = |position| string(arguments.get(position)).unwrap_or_default();
    let (to, replacement, from, pattern) = (text(1), text(2), text(3), text(4));
    let Replaced { domain, misses, empties } = match source_values(&arm.labels, from) {
        Some(values) => match Regex::new(&format!("^(?s:{pattern})$")) {
            Ok(regex) => replaced_one_by_one(&values, &regex, replacement),
            Err(_) => return arm,
        },
        None => replaced_unseen(&arm.labels, from, pattern, replacement),
    };
    let before = match arm.labels.carries(to) {
        Carried::Never => None,
        _ => Some(arm.labels.get(to).cloned().unwrap_or_default()),
    };
    let kept = before.filter(|_| misses);
    let always = !empties && (!misses || kept.as_ref().is_some_and(|label| label.always));
    let domain = kept.map_or(domain.clone(), |label| label.domain.union(&domain));
    if domain.is_empty() {
        arm.labels.drop(to, &format!("label_replace(…, \"{to}\", …)").into());
    } else {
        arm.labels.set(to, Label { always, domain, cardinality: None });
    }
    arm
}

/// What a replacement does to its label.
struct Replaced {
    /// The values that it sets.
    domain: Domain,
    /// Whether it may leave the label as it was.
    misses: bool,
    /// Whether it may take the label away.
    empties: bool,
}

/// The source's values, where they are known one by one. A series without the label counts as one with an empty value.
fn source_values(labels: &Labels, from: &str) -> Option<Vec<String>> {
    let none = (labels.carries(from) != Carried::Always).then(String::new);
    match labels.get(from) {
        Some(label) => Some(label.domain.known()?.iter().map(ToString::to_string).chain(none).collect()),
        None if labels.carries(from) == Carried::Never => Some(vec![String::new()]),
        None => None,
    }
}

fn replaced_one_by_one(values: &[String], regex: &Regex, replacement: &str) -> Replaced {
    let outcome = |value: &String| {
        let captures = regex.captures(value)?;
        let mut expanded = String::new();
        captures.expand(replacement, &mut expanded);
        Some(expanded)
    };
    let outcomes: Vec<Option<String>> = values.iter().map(outcome).collect();
    let set = outcomes.iter().flatten().map(String::as_str).filter(|value| !value.is_empty());
    Replaced {
        domain: Domain::values(set),
        misses: outcomes.iter().any(Option::is_none),
        empties: outcomes.iter().flatten().any(String::is_empty),
    }
}

/// Without known values only the commonest forms are proved: a copy of a whole label, and a constant.
fn replaced_unseen(labels: &Labels, from: &str, pattern: &str, replacement: &str) -> Replaced {
    let source = labels.get(from);
    let always = source.is_some_and(|label| label.always);
    let constant = !replacement.is_empty() && !replacement.contains('$');
    let copies = matches!(replacement, "$1" | "${1}") && matches!(pattern, "(.+)" | "(.*)");
    let domain = match source {
        _ if replacement.is_empty() => Domain::values([]),
        _ if constant => Domain::one(replacement),
        Some(label) if copies => label.domain.clone(),
        _ => Domain::Any,
    };
    let literal = replacement.split('$').next().is_some_and(|text| !text.is_empty());
    Replaced {
        domain,
        misses: pattern != ".*" && pattern != "(.*)" && !(always && matches!(pattern, ".+" | "(.+)")),
        empties: !(literal || pattern.contains("(.+)") || copies && always),
    }
}

fn label_join(mut arm: Arm, arguments: &[Node<'_>]) -> Arm {
    let to = string(arguments.get(1)).unwrap_or_default();
    let separator = string(arguments.get(2)).unwrap_or_default();
    let sources: Vec<&str> = arguments.iter().skip(3).filter_map(|argument| string(Some(argument))).collect();
    let always = !separator.is_empty() && sources.len() > 1
        || sources.iter().any(|source| arm.labels.carries(source) == Carried::Always);
    let never = separator.is_empty() && sources.iter().all(|source| arm.labels.carries(source) == Carried::Never);
    if never {
        arm.labels.drop(to, &"label_join".into());
    } else {
        arm.labels.set(to, Label { always, ..Label::default() });
    }
    arm
}

fn string<'a>(node: Option<&Node<'a>>) -> Option<&'a str> {
    match node?.expr {
        Expr::StringLiteral(text) => Some(&text.val),
        _ => None,
    }
}
