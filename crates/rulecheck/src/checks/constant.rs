//! `query/constant-result`: a condition that is always or never true, whatever happens, or an alert without one.
//! `query/zero-division`: a division by what can be 0, where that decides an alert or spoils an aggregate.

use promql_parser::parser::Expr;

use super::condition::{Comparison, Condition, binary, conditions};
use super::{Query, Settings};
use crate::contract::Emitted;
use crate::finding::Finding;
use crate::infer::{Arm, Interval, Kind, Node, Presence, Unit, World, is_part_of, quote};
use crate::query::selectors;

pub(super) fn check(_: &World<'_>, _: &Settings, query: &Query<'_>) -> Vec<Finding> {
    let nodes = query.node.walk();
    let mut findings: Vec<Finding> = nodes.iter().filter_map(|node| never(query, node)).collect();
    findings.extend(nodes.iter().filter_map(|node| zero_inside(query, node)));
    findings.extend(nodes.iter().filter_map(|node| idle_filter(query, node)));
    if query.alert().is_some() {
        let conditions = conditions(&query.node);
        findings.extend(conditions.iter().filter_map(|condition| always(query, condition)));
        findings.extend(conditions.iter().filter_map(|condition| zero_decides(query, condition)));
        findings.extend(unconditional(query));
    }
    findings
}

/// The comparison, unless it is of a quantile: then the buckets say what can be reached, and their check reports it.
fn comparison<'n, 'a>(node: &'n Node<'a>) -> Option<Comparison<'n, 'a>> {
    let comparison = Comparison::of(node)?;
    let is_quantile = comparison.value.alive().any(|arm| arm.kind == Kind::Quantile);
    (!is_quantile && comparison.value.alive().next().is_some()).then_some(comparison)
}

/// No arm holds. Where one does, such as the number of `or vector(0)`, the others may be there for other times.
fn never(query: &Query<'_>, node: &Node<'_>) -> Option<Finding> {
    let comparison = comparison(node)?;
    if !comparison.value.alive().all(|arm| comparison.never(arm)) {
        return None;
    }
    let arm = comparison.value.alive().next()?;
    let message = format!("`{}` is never true: {}", quote(node.expr), because(&comparison, arm));
    Some(query.error("query/constant-result", message).help(help_for_never(&comparison, arm)))
}

/// `up is 0 to 1`, and what the other side is where it is no number that everyone can read.
fn because(comparison: &Comparison<'_, '_>, arm: &Arm) -> String {
    let value = match constant_origin(arm) {
        Some(series) => format!("the contract declares {series} as the constant {}", arm.interval),
        None => format!("`{}` is {}", quote(comparison.value.expr), arm.interval),
    };
    match (comparison.bound.number(), comparison.bound.alive().next()) {
        (None, Some(bound)) => format!("{value} and `{}` is {}", quote(comparison.bound.expr), bound.interval),
        _ => value,
    }
}

fn constant_origin(arm: &Arm) -> Option<&str> {
    let constant = arm.origins.iter().find(|origin| origin.emitted == Some(Emitted::Constant));
    constant.filter(|_| arm.interval.only().is_some()).map(|origin| &*origin.series)
}

fn help_for_never(comparison: &Comparison<'_, '_>, arm: &Arm) -> String {
    let bound = comparison.bound.number().unwrap_or(f64::NAN);
    if constant_origin(arm).is_some() {
        return "use a metric that changes, or take the rule out".to_owned();
    }
    if arm.kind == Kind::Count && comparison.asks_for_little() {
        return "where nothing is left to count there is no series, not 0: use `absent(…)`, or add `or vector(0)`"
            .to_owned();
    }
    if arm.unit == Unit::RATIO && (1.0..=100.0).contains(&bound) && arm.interval == Interval::between(0.0, 1.0) {
        return format!("a ratio is from 0 to 1: for {bound} % write `{} {}`", comparison.operator, bound / 100.0);
    }
    format!("compare with a number within {}", arm.interval)
}

/// An alert's condition that holds for every value that there can be. A filter on what is only there for a while, such
/// as `absent(x) == 1`, is no mistake, and `count(x) > 0` asks whether there is an x.
fn always(query: &Query<'_>, condition: &Condition<'_, '_>) -> Option<Finding> {
    let comparison = comparison(condition.node)?;
    // Within an expression `a / b >= 0` takes away what is no number.
    if quotient(comparison.value).is_some() && !std::ptr::eq(condition.node, &query.node) {
        return None;
    }
    let arms: Vec<&Arm> = comparison.value.alive().collect();
    let decides = |arm: &Arm| {
        let lasting = arm.presence != Presence::Conditional && arm.kind != Kind::Count && !arm.origins.is_empty();
        // Beside another condition, one that always holds only says that the series is there.
        let decides = condition.beside.is_empty() && !asks_for_existence(comparison.value);
        lasting && (decides || constant_origin(arm).is_some())
    };
    if !arms.iter().all(|arm| decides(arm)) {
        return None;
    }
    let arm = arms.first()?;
    let text = quote(condition.node.expr);
    if arms.iter().all(|arm| comparison.always(arm)) {
        let message = format!("`{text}` is always true: {}", because(&comparison, arm));
        let help = match constant_origin(arm) {
            Some(_) => "use a metric that changes, or take the rule out".to_owned(),
            None => format!("compare with a number within {}", arm.interval),
        };
        return Some(query.error("query/constant-result", message).help(help));
    }
    // Nobody declares that a number of bytes or of things is never below 0, but it hardly ever is.
    let counted = Arm { interval: Interval::COUNT, ..Arm::number(0.0) };
    let is_amount = |arm: &Arm| arm.kind == Kind::Gauge && arm.interval == Interval::ANY && arm.unit.is_amount();
    (arms.iter().all(|arm| is_amount(arm)) && comparison.always(&counted)).then(|| {
        let message = format!("`{text}` holds for every amount from 0 on, so as long as the series is there");
        query.error("query/constant-result", message).warning().help("compare with a number above 0")
    })
}

/// A filter of a growth that takes nothing away, within an operator, an aggregation or a function, such as
/// `a / (rate(b[5m]) >= 0)`. What may be no number is filtered so on purpose.
fn idle_filter(query: &Query<'_>, node: &Node<'_>) -> Option<Finding> {
    // Beside another condition, one that always holds only says that the series is there.
    let operator = binary(node).map(|(binary, ..)| binary.op.to_string()).unwrap_or_default();
    let passed_over = match operator.as_str() {
        "and" | "or" => 2,
        "unless" => 1,
        _ => 0,
    };
    node.children.iter().skip(passed_over).find_map(|child| {
        let comparison = comparison(child).filter(|comparison| !comparison.is_bool)?;
        let bound = comparison.bound.number()?;
        let idle = |arm: &Arm| matches!(arm.kind, Kind::Rate | Kind::BucketRate) && comparison.always(arm);
        if !comparison.value.alive().all(idle) || Comparison::of(node).is_some() {
            return None;
        }
        let arm = comparison.value.alive().next()?;
        let text = quote(child.expr);
        let message = format!("`{text}` takes nothing away: {}", because(&comparison, arm));
        let help = match bound {
            0.0 => format!("write `{} > 0` to leave out where nothing happens", quote(comparison.value.expr)),
            _ => format!("compare with a number within {}", arm.interval),
        };
        Some(query.error("query/constant-result", message).warning().help(help))
    })
}

/// An alert fires for every series of its result, whatever its value is.
fn unconditional(query: &Query<'_>) -> Option<Finding> {
    let report = |message: String, help: &str| Some(query.error("query/constant-result", message).help(help));
    if Comparison::of(&query.node).is_some_and(|comparison| comparison.is_bool) {
        let message = "an alert fires for every series, and `bool` leaves all of them, with 0 or 1".to_owned();
        return report(message, "take `bool` out");
    }
    let mut arms = query.node.alive().peekable();
    arms.peek()?;
    let lasting = arms.all(|arm| arm.presence == Presence::WithTarget);
    (lasting && !asks_for_existence(&query.node)).then_some(())?;
    let message = format!("`{}` has no condition: it fires as long as the target is scraped", quote(query.node.expr));
    report(message, "compare it with a threshold")
}

/// Whether the value is of a series that a label's value picks out: that it is there at all may be the condition.
fn asks_for_existence(value: &Node<'_>) -> bool {
    let mut matchers = selectors(value.expr).into_iter().flat_map(|selector| &selector.matchers.matchers);
    matchers.any(|matcher| !matches!(matcher.name.as_str(), "job" | "__name__") && !matcher.is_match(""))
}

/// A quotient with the side that it is divided by.
fn quotient<'n, 'a>(node: &'n Node<'a>) -> Option<(&'n Node<'a>, &'n Node<'a>)> {
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
    use super::super::testing::{finds, of_alert};

    #[test]
    fn what_is_never_true_is_named_with_its_reason() {
        for (expr, message) in [
            ("up{job=\"api\"} > 1", "`up{job=\"api\"} > 1` is never true: `up{job=\"api\"}` is 0 to 1"),
            ("workers > 0", "`workers > 0` is never true: the contract declares workers as the constant 0"),
            (
                "count(up{job=\"api\"} == 1) == 0",
                "`count(up{job=\"api\"} == 1) == 0` is never true: `count(up{job=\"api\"} == 1)` is at least 1",
            ),
        ] {
            assert_eq!(of_alert(expr), [format!("query/constant-result: {message}")]);
        }
        for expr in [
            "sum(rate(runs_total{status=\"failed\"}[5m])) / sum(rate(runs_total[5m])) > 5",
            "rate(requests_total[5m]) < 0",
            "absent(up) == 0",
            "5 > bool rate(requests_total[5m]) == 2",
            "day_of_week() == 7 and on () rate(requests_total[5m]) > 1",
            "rate(requests_total[5m]) > 1 unless environment_info == 2",
        ] {
            finds(expr, &["query/constant-result"]);
        }
    }

    #[test]
    fn gorax_g4_a_gauge_that_is_0_for_ever_is_named() {
        assert_eq!(
            of_alert("workers == 0"),
            ["query/constant-result: `workers == 0` is always true: the contract declares workers as the constant 0"]
        );
        finds("workers == 0 and on (namespace) up{job=\"api\"} == 1", &["query/constant-result"]);
        finds("sum(workers) < 2", &["query/constant-result"]);
    }

    #[test]
    fn what_is_always_true_or_has_no_condition_is_named() {
        for expr in [
            "rate(requests_total[5m]) >= 0",
            "memory_bytes >= 0",
            "up{job=\"api\"} <= 1",
            "up{job=\"api\"}",
            "memory_bytes > bool 5",
            "up{job=\"api\"} == 0 or up{job=\"api\"} != 2",
        ] {
            finds(expr, &["query/constant-result"]);
        }
    }

    #[test]
    fn a_filter_that_takes_nothing_away_is_found() {
        let ratio = |guard: &str| {
            format!("sum(rate(runs_total{{status=\"failed\"}}[5m])) / (sum(rate(runs_total[5m])) {guard}) > 0.1")
        };
        finds(&ratio(">= 0"), &["query/constant-result"]);
        finds(&ratio("> 0"), &[]);
        finds("memory_bytes > 5 unless on (pod) rate(requests_total[5m]) >= 0", &["query/constant-result"]);
    }

    #[test]
    fn common_conditions_pass() {
        for expr in [
            "vector(1)",
            "absent(up{job=\"api\"})",
            "absent(up{job=\"api\"}) == 1",
            "up{job=\"api\"} == 0",
            "up{job=\"api\"} == 0 or absent(up{job=\"api\"})",
            "(sum(rate(requests_total[5m])) or vector(0)) == 0",
            "count(up{job=\"api\"} == 0) > 0",
            "memory_bytes > 5 and on (namespace) count by (namespace) (up{job=\"api\"}) > 0",
            "memory_bytes > 0",
            "changes(memory_bytes[1h]) > 3",
            "time() - memory_bytes > 600",
            "memory_bytes * on (namespace) group_left (deployment) (environment_info == 1) > 5",
            "(memory_bytes > bool 5) == 1",
            "sum by (namespace) (up{job=\"api\"} == bool 0) > 1",
            "memory_bytes unless on (namespace) environment_info",
            "hour() > 8 and on () rate(requests_total[5m]) > 1",
            "increase(runs_total{status=\"failed\"}[1h]) > 0",
            "rate(requests_total[5m]) >= 0 and on (pod) memory_bytes > 5",
            "max(rate(requests_total[5m]) / rate(requests_total[1h]) >= 0) > 5",
            "environment_info{deployment=\"old\"} == 1",
            "kube_pods{phase=\"Failed\"}",
        ] {
            finds(expr, &[]);
        }
    }

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
