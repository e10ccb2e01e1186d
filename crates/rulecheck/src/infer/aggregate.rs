//! Aggregations: which labels survive, and what the numbers become.

use std::rc::Rc;

use promql_parser::parser::{AggregateExpr, Expr, LabelModifier};

use super::Node;
use super::arm::{Arm, Kind};
use super::interval::Interval;
use super::labels::{Domain, Label, Labels};
use super::unit::Unit;
use crate::query::has_variable;

pub(super) fn arms(aggregate: &AggregateExpr, parameter: Option<&Node<'_>>, body: &Node<'_>) -> Vec<Arm> {
    let step: Rc<str> = aggregation(aggregate).into();
    let mixed = matches!(aggregate.op.to_string().as_str(), "sum" | "avg" | "quantile").then(|| mixed(body)).flatten();
    let arms = body.arms.iter().map(|arm| {
        let interval = mixed.filter(|_| arm.is_alive()).unwrap_or(arm.interval);
        one(aggregate, parameter, Arm { interval, ..arm.clone() }, &step).step(&step)
    });
    arms.collect()
}

/// Between which numbers the values lie that come together in one group, where they may be of several arms.
fn mixed(body: &Node<'_>) -> Option<Interval> {
    body.alive().map(|arm| arm.interval).reduce(Interval::union)
}

/// `sum by (namespace)`: the aggregation without its body, as messages name it.
pub fn aggregation(aggregate: &AggregateExpr) -> String {
    let operator = aggregate.op;
    match &aggregate.modifier {
        Some(LabelModifier::Include(labels)) if labels.labels.is_empty() => operator.to_string(),
        Some(LabelModifier::Include(labels)) => format!("{operator} by ({labels})"),
        Some(LabelModifier::Exclude(labels)) => format!("{operator} without ({labels})"),
        None => operator.to_string(),
    }
}

fn one(aggregate: &AggregateExpr, parameter: Option<&Node<'_>>, mut arm: Arm, step: &Rc<str>) -> Arm {
    let operator = aggregate.op.to_string();
    // These choose series; `by` only says among which. Names and labels stay.
    if matches!(operator.as_str(), "topk" | "bottomk" | "limitk" | "limit_ratio") {
        return arm;
    }
    match &aggregate.modifier {
        Some(LabelModifier::Include(labels) | LabelModifier::Exclude(labels))
            if labels.labels.iter().any(|label| has_variable(label)) =>
        {
            (arm.labels, arm.name) = (Labels::any(), None);
        }
        Some(LabelModifier::Exclude(labels)) => {
            let without = |name: &str| !labels.labels.iter().any(|label| label == name);
            labels.labels.iter().for_each(|label| arm.labels.drop(label, step));
            arm.labels.retain(without, true, step);
            arm.name = None;
        }
        Some(LabelModifier::Include(labels)) => by(&mut arm, &labels.labels, step),
        None => by(&mut arm, &[], step),
    }
    match operator.as_str() {
        "sum" => summed(&mut arm),
        "avg" => {
            arm.kind = match arm.kind {
                Kind::Quantile => Kind::Gauge,
                Kind::Counter => Kind::CounterSum,
                kind => kind,
            }
        }
        "min" | "max" => {}
        "count" => counted(&mut arm, Interval { low: 1.0, ..Interval::COUNT }),
        "group" => counted(&mut arm, Interval::one(1.0)),
        "count_values" => {
            counted(&mut arm, Interval { low: 1.0, ..Interval::COUNT });
            if let Some(Expr::StringLiteral(label)) = parameter.map(|parameter| parameter.expr) {
                arm.labels.set(label.val.as_str(), Label::always(Domain::Any));
            }
        }
        "stddev" => (arm.kind, arm.interval) = (Kind::Gauge, Interval::COUNT),
        "stdvar" => (arm.kind, arm.interval, arm.unit) = (Kind::Gauge, Interval::COUNT, arm.unit.times(arm.unit)),
        // `quantile` gives one of the values, or a mean of two.
        _ => {}
    }
    arm
}

fn by(arm: &mut Arm, labels: &[String], step: &Rc<str>) {
    // A label that may be there but that nobody declared is now one of the few that can be.
    let mut open_ones: Vec<&str> = Vec::new();
    if arm.labels.is_open() {
        open_ones.extend(
            labels.iter().map(String::as_str).filter(|label| {
                arm.labels.get(label).is_none() && arm.labels.carries(label) == super::Carried::Perhaps
            }),
        );
    }
    for label in open_ones {
        arm.labels.set(label, Label::default());
    }
    arm.labels.retain(|name| labels.iter().any(|label| label == name), false, step);
    if !labels.iter().any(|label| label == "__name__") {
        arm.name = None;
    }
}

fn summed(arm: &mut Arm) {
    arm.kind = match arm.kind {
        Kind::Counter => Kind::CounterSum,
        Kind::Quantile => Kind::Gauge,
        kind => kind,
    };
    // A sum of many lies beyond what one may reach, on the side of its sign.
    let Interval { low, high, .. } = arm.interval;
    arm.interval = Interval::between(
        if low >= 0.0 { low } else { f64::NEG_INFINITY },
        if high <= 0.0 { high } else { f64::INFINITY },
    );
}

fn counted(arm: &mut Arm, interval: Interval) {
    (arm.kind, arm.unit, arm.interval) = (Kind::Count, Unit::COUNT, interval);
}

/// The labels of a scalar, which are none.
pub(super) fn no_labels(step: &str) -> Labels {
    Labels::none(format!("`{step}` has no labels"))
}
