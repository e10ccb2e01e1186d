//! What kind of number a function, a comparison or a panel is given.
//!
//! `query/wrong-type`: a function for counters on a gauge, or one for gauges on a counter. `query/raw-counter`: a total
//! since the program's start is compared, averaged, divided or drawn as if it were a value of now. `query/rate-of-sum`:
//! the growth of a sum of counters, directly or through a recording rule.

use promql_parser::parser::Expr;

use super::condition::{Comparison, binary};
use super::{Purpose, Query, Settings};
use crate::finding::Finding;
use crate::infer::{Kind, Node, World, quote};

/// Functions of a counter's growth.
const OF_COUNTERS: [&str; 4] = ["rate", "irate", "increase", "resets"];
/// Functions of a value that goes up and down, each with the one that asks the same of a counter.
const OF_GAUGES: [(&str, &str); 6] = [
    ("delta", "increase"),
    ("idelta", "irate"),
    ("deriv", "rate"),
    ("predict_linear", "rate"),
    ("double_exponential_smoothing", "rate"),
    ("holt_winters", "rate"),
];
/// What makes one number of many, for which a total is not made.
const OVER_TIME: [&str; 6] =
    ["avg_over_time", "sum_over_time", "stddev_over_time", "stdvar_over_time", "mad_over_time", "quantile_over_time"];

pub(super) fn check(_: &World<'_>, _: &Settings, query: &Query<'_>) -> Vec<Finding> {
    let nodes = query.node.walk();
    let mut findings: Vec<Finding> = nodes.iter().filter_map(|node| of_call(query, node)).collect();
    findings.extend(nodes.iter().filter_map(|node| compared(query, node)));
    findings.extend(nodes.iter().filter_map(|node| divided(query, node)));
    if matches!(query.purpose, Purpose::Panel(..)) {
        findings.extend(drawn(query));
    }
    findings
}

/// Whether it is a total since the programs' start.
fn is_total(kind: Kind) -> bool {
    matches!(kind, Kind::Counter | Kind::CounterSum | Kind::Buckets)
}

fn of_call(query: &Query<'_>, node: &Node<'_>) -> Option<Finding> {
    let Expr::Call(call) = node.expr else { return None };
    let name = call.func.name;
    let argument = node.children.iter().find(|argument| !argument.arms.is_empty() && argument.number().is_none())?;
    let kind = |is: fn(Kind) -> bool| argument.alive().map(|arm| arm.kind).find(|kind| is(*kind));
    let quoted = quote(argument.expr);
    if OF_COUNTERS.contains(&name) {
        if kind(|kind| kind == Kind::CounterSum).is_some() {
            return Some(rate_of_sum(query, name, argument));
        }
        let kind =
            kind(|kind| matches!(kind, Kind::Gauge | Kind::Quantile | Kind::Count | Kind::Rate | Kind::BucketRate))?;
        return Some(
            query
                .error(
                    "query/wrong-type",
                    format!("`{name}` of `{quoted}`, which is {kind}: it takes every fall for a restart"),
                )
                .help(for_gauge(name, kind, &quoted)),
        );
    }
    if let Some((_, of_counter)) = OF_GAUGES.iter().find(|(of_gauge, _)| *of_gauge == name) {
        let kind = kind(is_total)?;
        let message = format!("`{name}` of `{quoted}`, which is {kind}: every restart is a fall to 0");
        return Some(query.error("query/wrong-type", message).help(format!("use `{of_counter}` of the counter")));
    }
    if OVER_TIME.contains(&name) {
        let kind = kind(is_total)?;
        let message =
            format!("`{name}` of `{quoted}`, which is {kind}: the total since a start says nothing of the range");
        return Some(query.error("query/raw-counter", message).help(format!("use `increase({quoted})`")));
    }
    if name == "histogram_quantile" {
        kind(|kind| kind == Kind::Buckets)?;
        let message =
            format!("a quantile of `{quoted}` is one of everything since the programs' start, and hardly moves");
        return Some(query.error("query/raw-counter", message).warning().help("put `rate(…[5m])` around the buckets"));
    }
    None
}

fn for_gauge(function: &str, kind: Kind, quoted: &str) -> String {
    match (function, kind) {
        ("resets", _) => format!("`changes({quoted})` counts how often the value changed"),
        ("increase", Kind::Gauge | Kind::Count) => format!("use `delta({quoted})`"),
        (_, Kind::Gauge | Kind::Count) => format!("use `deriv({quoted})` for its slope"),
        (_, Kind::Quantile) => format!("use `delta({quoted})`, or the rate of the histogram's buckets"),
        _ => format!("take the outer `{function}` out"),
    }
}

fn rate_of_sum(query: &Query<'_>, function: &str, argument: &Node<'_>) -> Finding {
    let quoted = quote(argument.expr);
    let origin = argument.alive().flat_map(|arm| &arm.origins).next();
    let counter = origin.map_or("…", |origin| &*origin.series);
    let message = format!(
        "`{function}` of `{quoted}`, which is a sum of counters: one program's restart looks like a restart of all"
    );
    query
        .error("query/rate-of-sum", message)
        .help(format!("take the `{function}` of each counter and sum after it: `sum({function}({counter}[…]))`"))
}

/// `> 0` and `== 0` ask whether something happened at all, which a total can answer.
fn compared(query: &Query<'_>, node: &Node<'_>) -> Option<Finding> {
    let comparison = Comparison::of(node)?;
    let (operator, bound) = (comparison.operator.as_str(), comparison.bound.number()?);
    if bound == 0.0 || bound == 1.0 && matches!(operator, "<" | ">=") {
        return None;
    }
    let kind = comparison.value.alive().map(|arm| arm.kind).find(|kind| is_total(*kind))?;
    let quoted = quote(comparison.value.expr);
    let message =
        format!("`{quoted}` is {kind}, which only a restart lowers, so `{operator} {bound}` says nothing of now");
    let finding = query.error("query/raw-counter", message);
    let finding = if query.alert().is_some() { finding } else { finding.warning() };
    Some(
        finding
            .help("compare its growth: `increase(…[1h])` for how many in an hour, `rate(…[5m])` for how many a second"),
    )
}

/// Two totals divided say something of the whole time; a total and a growth have nothing to do with each other.
fn divided(query: &Query<'_>, node: &Node<'_>) -> Option<Finding> {
    let (binary, left, right) = binary(node).filter(|(binary, ..)| !binary.op.is_set_operator())?;
    let all = |side: &Node<'_>, is: fn(Kind) -> bool| {
        let mut arms = side.alive().peekable();
        arms.peek().is_some() && arms.all(|arm| is(arm.kind))
    };
    // `total or 0 * growth` has a total too, and `0 * total` none.
    let any =
        |side: &Node<'_>, is: fn(Kind) -> bool| side.alive().any(|arm| is(arm.kind) && arm.interval.only().is_none());
    let grows: fn(Kind) -> bool = |kind| matches!(kind, Kind::Rate | Kind::BucketRate);
    let mixed = [(left, right), (right, left)].into_iter().find(|(total, growth)| {
        all(total, is_total) && any(growth, grows) || any(total, is_total) && all(growth, grows)
    });
    if let Some((total, growth)) = mixed {
        let (total, growth) = (quote(total.expr), quote(growth.expr));
        let message = format!("`{total}` is a total since the programs' start, `{growth}` beside it is a growth");
        return Some(
            query
                .error("query/raw-counter", message)
                .help(format!("take the growth of both: `rate(…[5m])` within `{total}`")),
        );
    }
    let both = all(left, is_total) && all(right, is_total) && binary.op.to_string() == "/";
    both.then(|| {
        let message = format!("`{}` divides totals since the programs' start, so it hardly moves", quote(node.expr));
        query.error("query/raw-counter", message).warning().help("divide their `rate(…[5m])`")
    })
}

fn drawn(query: &Query<'_>) -> Option<Finding> {
    let kind = query.node.alive().map(|arm| arm.kind).find(|kind| is_total(*kind))?;
    let message = format!("`{}` is {kind}: it shows what happened since the programs' start", quote(query.node.expr));
    let help =
        "draw its growth: `rate(…[$__rate_interval])`, or `increase(…[$__range])` for how many in the time shown";
    Some(query.error("query/raw-counter", message).warning().help(help))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{finds, of_alert, of_rules};

    #[test]
    fn a_total_and_a_growth_are_not_compared() {
        finds("sum(runs_total{status=\"failed\"}) / sum(rate(runs_total[5m])) > 0.1", &["query/raw-counter"]);
        finds("sum(rate(runs_total{status=\"failed\"}[5m])) / sum(runs_total) > 0.1", &["query/raw-counter"]);
        finds("sum(rate(runs_total{status=\"failed\"}[5m])) > 2 * sum(requests_total)", &["query/raw-counter"]);
        finds("sum(rate(runs_total{status=\"failed\"}[5m])) / sum(rate(runs_total[5m])) > 0.1", &[]);
        let or_nothing = |total: &str, nothing: &str| {
            format!("(sum({total}{{status=\"failed\"}}) or 0 * sum({nothing})) / sum(rate(runs_total[5m])) > 0.1")
        };
        finds(&or_nothing("runs_total", "rate(runs_total[5m])"), &["query/raw-counter"]);
        finds(
            "(sum(rate(runs_total{status=\"failed\"}[5m])) or 0 * sum(runs_total)) / sum(rate(runs_total[5m])) > 0.1",
            &[],
        );
    }

    #[test]
    fn functions_of_counters_want_counters() {
        for expr in [
            "rate(memory_bytes[5m]) > 1",
            "increase(pool_open[5m]) > 1",
            "max_over_time(rate(rate(requests_total[5m])[1h:5m])[1h:5m]) > 1",
            "resets(memory_bytes[1h]) > 1",
        ] {
            finds(expr, &["query/wrong-type"]);
        }
        for expr in [
            "rate(requests_total[5m]) > 1",
            "increase(duration_seconds_count[5m]) > 1",
            "resets(requests_total[1h]) > 1",
            "rate(max_over_time(requests_total[1h])[6h:1h]) > 1",
            "changes(memory_bytes[1h]) > 1",
        ] {
            finds(expr, &[]);
        }
    }

    #[test]
    fn functions_of_gauges_want_gauges() {
        finds("delta(requests_total[1h]) > 1", &["query/wrong-type"]);
        finds("predict_linear(sum(requests_total)[1h:1m], 3600) > 1", &["query/wrong-type"]);
        finds("predict_linear(memory_bytes[1h], 3600) < 0", &[]);
        finds("deriv(memory_bytes[1h]) > 1", &[]);
    }

    #[test]
    fn a_total_is_not_compared_with_a_threshold() {
        for expr in [
            "sum(requests_total) > 100",
            "100 * requests_total > 5",
            "requests_total > bool 5 == 1",
            "avg_over_time(requests_total[1h]) > 1",
        ] {
            finds(expr, &["query/raw-counter"]);
        }
        for expr in [
            "requests_total > 0",
            "sum(requests_total) >= 1",
            "requests_total - requests_total offset 1h > 5",
            "count(requests_total) > 5",
            "max_over_time(requests_total[1h]) - min_over_time(requests_total[1h]) > 5",
            "absent(requests_total) == 1",
            "time() - timestamp(requests_total) > 200",
            "changes(requests_total[1h]) > 5",
        ] {
            finds(expr, &[]);
        }
    }

    #[test]
    fn the_value_of_newborn_counters_is_their_growth() {
        finds("sum(requests_total unless requests_total offset 5m) > 5", &[]);
        finds("sum(last_over_time(requests_total[5m]) unless (requests_total offset 5m)) > 5", &[]);
        for earlier in [
            "requests_total offset -5m",
            "requests_total{code=\"500\"} offset 5m",
            "on (code) requests_total offset 5m",
        ] {
            finds(&format!("sum(requests_total unless {earlier}) > 5"), &["query/raw-counter"]);
        }
    }

    #[test]
    fn a_quotient_of_totals_hardly_moves() {
        finds("sum(duration_seconds_sum) / sum(duration_seconds_count) > 2", &["query/raw-counter"]);
        finds("sum(rate(duration_seconds_sum[5m])) / sum(rate(duration_seconds_count[5m])) > 2", &[]);
        finds("histogram_quantile(0.9, duration_seconds_bucket) > 2", &["query/raw-counter"]);
    }

    #[test]
    fn the_rate_of_a_sum_is_found_through_a_recording_rule() {
        finds("rate(sum(requests_total)[1h:1m]) > 1", &["query/rate-of-sum"]);
        let found = |expr: &str| {
            let record = format!("      - {{record: \"namespace:requests:sum\", expr: \"{expr}\"}}\n");
            let alert =
                "      - {alert: A, expr: \"rate(namespace:requests:sum[5m]) > 1\", labels: {severity: info}}\n";
            let found = of_rules(&format!("{record}{alert}"));
            found.iter().map(|finding| finding.check).filter(|check| check.starts_with("query/")).collect::<Vec<_>>()
        };
        assert_eq!(found("sum by (namespace) (requests_total)"), ["query/rate-of-sum"]);
        assert_eq!(found("max by (namespace) (requests_total)"), [""; 0]);
    }

    #[test]
    fn messages_name_what_mends() {
        assert_eq!(
            of_alert("rate(memory_bytes[5m]) > 1"),
            ["query/wrong-type: `rate` of `memory_bytes[5m]`, which is a gauge: it takes every fall for a restart"]
        );
    }
}
