//! `query/zero-division`: a division by what can be 0, where that decides an alert or spoils an aggregate.

use promql_parser::parser::Expr;

use super::condition::{Comparison, Condition, binary, conditions};
use super::{Query, Settings};
use crate::finding::Finding;
use crate::infer::{Arm, Kind, Node, Unit, World, is_part_of, quote};

pub(super) fn check(_: &World<'_>, _: &Settings, query: &Query<'_>) -> Vec<Finding> {
    let nodes = query.node.walk();
    let mut findings: Vec<Finding> = nodes.iter().filter_map(|node| zero_inside(query, node)).collect();
    if query.alert().is_some() {
        findings.extend(conditions(&query.node).iter().filter_map(|condition| zero_decides(query, condition)));
    }
    findings
}

/// A quotient with the side that it is divided by.
pub(super) fn quotient<'n, 'a>(node: &'n Node<'a>) -> Option<(&'n Node<'a>, &'n Node<'a>)> {
    let (binary, left, right) = binary(node)?;
    match (binary.op.to_string().as_str(), left.number(), right.number()) {
        ("/", _, None) => Some((left, right)),
        // `100 * a / b` and `a / b * 100` are scaled quotients, as `1 - a / b` is the rest of one.
        ("*" | "-" | "+", Some(_), None) => quotient(right),
        ("*" | "/" | "-" | "+", None, Some(_)) => quotient(left),
        _ => None,
    }
}

/// One quotient that is no number makes the whole sum none.
fn zero_inside(query: &Query<'_>, node: &Node<'_>) -> Option<Finding> {
    let Expr::Aggregate(aggregate) = node.expr else { return None };
    let operator = aggregate.op.to_string();
    if !matches!(operator.as_str(), "sum" | "avg" | "stddev" | "stdvar") {
        return None;
    }
    let (_, divisor) = quotient(node.children.last()?)?;
    let idle = |arm: &Arm| matches!(arm.kind, Kind::Rate | Kind::BucketRate) && arm.interval.contains(0.0);
    divisor.alive().any(idle).then(|| {
        let divisor = quote(divisor.expr);
        let message =
            format!("`{operator}` of quotients is no number as soon as one is: `{divisor}` is 0 where nothing happens");
        query
            .error("query/zero-division", message)
            .warning()
            .help(format!("divide sums instead: `sum(…) / sum(…)`, or leave idle ones out with `({divisor} > 0)`"))
    })
}

fn zero_decides(query: &Query<'_>, condition: &Condition<'_, '_>) -> Option<Finding> {
    let (dividend, divisor) = quotient(condition.comparison.value)?;
    let text = quote(divisor.expr);
    if divisor.alive().next().is_some() && divisor.alive().all(|arm| arm.interval.only() == Some(0.0)) {
        let message = format!("`{text}` is always 0, and what is divided by it is infinite or no number");
        return Some(query.error("query/zero-division", message).help("divide by a metric that changes"));
    }
    let asks_for_much = matches!(condition.comparison.operator.as_str(), ">" | ">=");
    let guarded = condition.beside.iter().any(|other| asks_whether_positive(other, divisor));
    if !asks_for_much || guarded || is_part_of(dividend.expr, divisor.expr) || !divisor.alive().any(can_be_zero) {
        return None;
    }
    let message = format!(
        "`{text}` can be 0: the quotient is then +Inf, which is `{} {}`, or no number, which never is",
        condition.comparison.operator,
        quote(condition.comparison.bound.expr)
    );
    Some(query.error("query/zero-division", message).warning().help(format!("divide by `({text} > 0)`")))
}

/// Whether the value is a number of things that are there or not. What its name calls a limit is hardly ever 0, and where
/// nothing is known of a gauge but its unit, nothing else is accused.
fn can_be_zero(arm: &Arm) -> bool {
    const LIMITS: [&str; 9] =
        ["limit", "limits", "max", "maximum", "capacity", "allocatable", "quota", "total", "size"];
    let is_limit = |name: &str| name.split(['_', ':']).any(|part| LIMITS.contains(&part));
    arm.kind == Kind::Gauge
        && arm.unit == Unit::COUNT
        && arm.interval.contains(0.0)
        && !arm.origins.iter().any(|origin| is_limit(&origin.series))
}

/// Whether `other` is a comparison that keeps what is divided by above 0.
fn asks_whether_positive(other: &Node<'_>, divisor: &Node<'_>) -> bool {
    Comparison::of(other).is_some_and(|comparison| {
        comparison.value.expr == divisor.expr && matches!(comparison.operator.as_str(), ">" | ">=" | "!=")
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::finds;

    #[test]
    fn gorax_g9_a_gauge_that_can_be_0_is_no_safe_divisor() {
        finds("active_runs / on (namespace, pod) pool_open > 0.9", &["query/zero-division"]);
        finds("memory_bytes / workers > 0.9", &["query/zero-division"]);
        finds("avg(rate(duration_seconds_sum[5m]) / rate(duration_seconds_count[5m])) > 2", &["query/zero-division"]);
        for expr in [
            "active_runs / on (namespace, pod) (pool_open > 0) > 0.9",
            "active_runs / on (namespace, pod) pool_open > 0.9 and on (namespace, pod) pool_open > 0",
            "active_runs / on (namespace, pod) clamp_min(pool_open, 1) > 0.9",
            "memory_bytes / on (namespace, pod) memory_bytes offset 1h > 2",
            "sum(rate(runs_total{status=\"failed\"}[5m])) / sum(rate(runs_total[5m])) > 0.1",
            "rate(duration_seconds_sum[5m]) / rate(duration_seconds_count[5m]) > 2",
            "active_runs / on (namespace) group_left () pool_limit > 0.9",
            "max(rate(duration_seconds_sum[5m]) / rate(duration_seconds_count[5m])) > 2",
        ] {
            finds(expr, &[]);
        }
    }
}
