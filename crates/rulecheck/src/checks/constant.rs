//! `query/constant-result`: a condition that is always or never true, whatever happens, or an alert without one.

use promql_parser::parser::Expr;

use super::condition::{Comparison, Condition, binary, conditions};
use super::division::quotient;
use super::{Query, Settings};
use crate::contract::Emitted;
use crate::finding::Finding;
use crate::infer::{Arm, Interval, Kind, Node, Presence, Unit, World, quote};
use crate::query::selectors;

pub(super) fn check(_: &World<'_>, _: &Settings, query: &Query<'_>) -> Vec<Finding> {
    let nodes = query.node.walk();
    let mut findings: Vec<Finding> = nodes.iter().filter_map(|node| never(query, node)).collect();
    findings.extend(nodes.iter().filter_map(|node| idle_filter(query, node)));
    if query.alert().is_some() {
        let conditions = conditions(&query.node);
        findings.extend(conditions.iter().filter_map(|condition| always(query, condition)));
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
    let counted = counts_what_is_left(comparison.value);
    if counted && !comparison.asks_for_little() && arm.interval.only() == Some(0.0) {
        return "what is left of the comparison is 0, and so is its sum: use `count`".to_owned();
    }
    if counted && comparison.asks_for_little() {
        return "where nothing is left to count there is no series, not 0: use `absent(…)`, or add `or vector(0)`"
            .to_owned();
    }
    let is_share = arm.unit == Unit::RATIO && arm.interval == Interval::between(0.0, 1.0);
    if is_share && bound > 1.0 && bound <= 100.0 && comparison.operator.starts_with(['<', '>']) {
        return format!("a ratio is from 0 to 1: for {bound} % write `{} {}`", comparison.operator, bound / 100.0);
    }
    if is_age(comparison.value) {
        return "a series is gone 5 minutes after its last sample: ask for `absent_over_time(…)`, or for the age of what \
                there was, `time() - max_over_time(timestamp(…)[1h:1m])`"
            .to_owned();
    }
    compare_with(arm.interval)
}

/// What to do about a comparison that never or always holds for a value between these numbers.
fn compare_with(interval: Interval) -> String {
    match (interval.low.is_finite(), interval.high.is_finite()) {
        _ if interval.only().is_some() => "use a metric that changes, or take the rule out".to_owned(),
        (true, true) => format!("compare with a number from {interval}"),
        (true, false) | (false, true) => format!("the value is {interval}: compare with such a number"),
        (false, false) => "compare with another number".to_owned(),
    }
}

/// Whether a number of series, or a sum of them, is made of what a comparison leaves: `count(up == 1)`.
fn counts_what_is_left(value: &Node<'_>) -> bool {
    let counted = value.alive().any(|arm| arm.kind == Kind::Count);
    let filtered = value.children.last().and_then(Comparison::of).is_some_and(|comparison| !comparison.is_bool);
    counted || matches!(value.expr, Expr::Aggregate(_)) && filtered
}

/// `time() - timestamp(x)`, or the least or greatest of such.
fn is_age(value: &Node<'_>) -> bool {
    let calls = |node: &Node<'_>, name: &str| matches!(node.expr, Expr::Call(call) if call.func.name == name);
    binary(value)
        .is_some_and(|(_, left, right)| calls(left, "time") && right.walk().iter().any(|node| calls(node, "timestamp")))
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
        let alone = condition.beside.is_empty() && condition.except.is_empty();
        let decides = alone && !asks_for_existence(comparison.value);
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
            None => compare_with(arm.interval),
        };
        return Some(query.error("query/constant-result", message).help(help));
    }
    // Nobody declares that a number of bytes or of things is never below 0, but it hardly ever is.
    let counted = Arm { interval: Interval::COUNT, ..Arm::number(0.0) };
    let is_amount = |arm: &Arm| arm.kind == Kind::Gauge && arm.interval == Interval::ANY && arm.unit.is_amount();
    (is_plain(comparison.value) && arms.iter().all(|arm| is_amount(arm)) && comparison.always(&counted)).then(|| {
        let message = format!("`{text}` holds for every amount from 0 on, so as long as the series is there");
        query.error("query/constant-result", message).warning().help("compare with a number above 0")
    })
}

/// Whether the value is a series as it is, or picked out or added up of such: a difference or a change can be negative.
fn is_plain(value: &Node<'_>) -> bool {
    match value.expr {
        Expr::VectorSelector(_) | Expr::MatrixSelector(_) => true,
        Expr::Aggregate(_) => value.children.last().is_some_and(is_plain),
        Expr::Call(call) if call.func.name.ends_with("_over_time") => value.children.iter().any(is_plain),
        _ => false,
    }
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
            _ => compare_with(arm.interval),
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

/// Whether the value is of series that a label picks out: that there are any at all may be the condition.
fn asks_for_existence(value: &Node<'_>) -> bool {
    let mut matchers = selectors(value.expr).into_iter().flat_map(|selector| &selector.matchers.matchers);
    matchers.any(|matcher| !matches!(matcher.name.as_str(), "job" | "__name__") && matcher.value != ".*")
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
            "rate(requests_total[5m]) % 10 >= 10",
            "workers / memory_bytes > 0.5",
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

    /// A label that is another one, or missing, is a condition as good as a number.
    #[test]
    fn series_that_a_matcher_leaves_out_are_a_condition() {
        for expr in [
            "environment_info{deployment!=\"old\"}",
            "environment_info{deployment=\"\"}",
            "environment_info{deployment!~\"old-.*\"} == 1",
        ] {
            finds(expr, &[]);
        }
        finds("up{job=\"api\", instance=~\".*\"} >= 0", &["query/constant-result"]);
    }

    #[test]
    fn what_unless_takes_away_is_the_condition() {
        for expr in [
            "environment_info == 1 unless on (namespace) memory_bytes",
            "up{job=\"api\"} >= 0 unless on (namespace, pod) memory_bytes",
        ] {
            finds(expr, &[]);
        }
    }

    #[test]
    fn a_change_may_be_below_0_where_its_metric_is_not() {
        for expr in [
            "delta(memory_bytes[30m]) >= 0",
            "predict_linear(memory_bytes[1h], 3600) >= 0",
            "memory_bytes - memory_bytes offset 1h >= 0",
            "count(memory_bytes) - count(pool_open) >= 0",
        ] {
            finds(expr, &[]);
        }
        finds("max by (pod) (max_over_time(memory_bytes[1h])) >= 0", &["query/constant-result"]);
    }

    /// Where several metrics come together in one group, their mean lies between those of each.
    #[test]
    fn a_mean_of_what_or_joins_lies_between() {
        finds("avg((up{job=\"api\"} == 1) or (up{job=\"kube-state-metrics\"} * 0)) == 0.5", &[]);
        finds("avg((up{job=\"api\"} == 1) or (up{job=\"kube-state-metrics\"} * 0)) == 2", &["query/constant-result"]);
    }

    #[test]
    fn a_part_is_compared_with_its_own_whole_only() {
        let failed = "rate(runs_total{status=\"failed\"}[5m])";
        for expr in [
            format!("{failed} / ignoring (status) group_right () rate(runs_total[5m]) > 2"),
            format!("sum({failed}) / on () group_right () sum by (status) (rate(runs_total[5m])) > 2"),
        ] {
            finds(&expr, &[]);
        }
        let never =
            format!("sum by (namespace) ({failed}) / on (namespace) sum by (namespace) (rate(runs_total[5m])) > 2");
        finds(&never, &["query/constant-result"]);
        finds("count(up{job=\"api\"} == 0) / count(up{job=\"api\"}) > 1", &["query/constant-result"]);
    }

    #[test]
    fn a_series_does_not_outlive_its_last_sample_by_much() {
        for expr in [
            "time() - timestamp(memory_bytes) > 600",
            "time() - max by (namespace) (timestamp(memory_bytes)) > 300",
            "time() - timestamp(memory_bytes offset 1h) < 3600",
        ] {
            finds(expr, &["query/constant-result"]);
        }
        for expr in [
            "time() - timestamp(memory_bytes) > 200",
            "time() - timestamp(memory_bytes offset 1h) > 3700",
            "time() - max_over_time(timestamp(memory_bytes)[1h:1m]) > 600",
        ] {
            finds(expr, &[]);
        }
    }

    #[test]
    fn the_help_of_a_threshold_fits_its_value() {
        let help = |expr: &str| {
            let rules = format!("      - {{alert: A, expr: '{expr}', labels: {{severity: info}}}}\n");
            super::super::testing::of_rules(&rules).into_iter().map(|finding| finding.help).collect::<Vec<_>>()
        };
        assert_eq!(help("avg(up{job=\"api\"}) > 2"), ["a ratio is from 0 to 1: for 2 % write `> 0.02`"]);
        assert_eq!(help("up{job=\"api\"} == 2"), ["compare with a number from 0 to 1"]);
        assert_eq!(help("rate(requests_total[5m]) < 0"), ["the value is at least 0: compare with such a number"]);
        assert!(help("sum(up{job=\"api\"} == 0) > 0")[0].ends_with("use `count`"));
        assert!(help("sum by (namespace) (up{job=\"api\"} == 1) == 0")[0].contains("add `or vector(0)`"));
    }
}
