//! Histograms: what a quantile is taken of, what buckets add up to, and which thresholds can be reached.
//!
//! `query/quantile-input`: `histogram_quantile` of something without `le`. `query/quantile-range`: a quantile outside of
//! 0 to 1, or a sum or a mean of quantiles. `query/bucket-sum`: buckets added up across `le`. `query/mean-pair`: a sum
//! divided by the count of other observations. `query/bucket-bound`: a threshold that no quantile can pass, that each
//! one passes, or that lies within the lowest bucket. Between two bounds a quantile is interpolated, which is common
//! use, so a threshold there is nobody's mistake.

use std::collections::BTreeSet;

use promql_parser::parser::{Expr, LabelModifier, VectorMatchCardinality};

use super::condition::{Comparison, binary};
use super::{Query, Settings};
use crate::finding::Finding;
use crate::infer::{Arm, Carried, Kind, Node, Series, World, quote};
use crate::query::{metric_name, selectors};

pub(super) fn check(world: &World<'_>, _: &Settings, query: &Query<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    of_node(world, query, &query.node, &mut findings);
    findings
}

fn of_node(world: &World<'_>, query: &Query<'_>, node: &Node<'_>, findings: &mut Vec<Finding>) {
    findings.extend(quantile_range(query, node));
    findings.extend(mean_pair(query, node));
    findings.extend(bucket_bound(world, query, node));
    if let Some(finding) = quantile_input(world, query, node) {
        // What drops `le` below is this one's cause and no finding of its own.
        findings.push(finding);
        return;
    }
    findings.extend(bucket_sum(query, node));
    node.children.iter().for_each(|child| of_node(world, query, child, findings));
}

fn function<'a>(node: &Node<'a>) -> Option<&'a str> {
    match node.expr {
        Expr::Call(call) => Some(call.func.name),
        _ => None,
    }
}

fn quantile_input(world: &World<'_>, query: &Query<'_>, node: &Node<'_>) -> Option<Finding> {
    let name = function(node)?;
    let argument = match name {
        "histogram_quantile" => node.children.get(1)?,
        "histogram_quantiles" => node.children.first()?,
        _ => return None,
    };
    let report = |message: String| query.error("query/quantile-input", message);
    let mut bounds = argument.alive().filter_map(|arm| arm.labels.get("le")?.domain.known());
    if bounds.any(|bounds| !bounds.contains("+Inf")) {
        let message = format!("`{name}` of `{}` is no number without the bucket `+Inf`", quote(argument.expr));
        return Some(report(message).help("take out the matcher on `le`"));
    }
    let without = argument.alive().find(|arm| arm.labels.carries("le") == Carried::Never && is_classic(world, arm))?;
    // A recording rule that drops `le` from buckets is reported itself.
    if argument.walk().iter().any(|node| is_recorded_without_le(world, node)) {
        return None;
    }
    let message = format!(
        "`{name}` of `{}` is empty: it needs the label le, and {}",
        quote(argument.expr),
        without.labels.why_never("le")
    );
    let help = argument.walk().into_iter().find_map(keep_le);
    Some(report(message).help(help.unwrap_or_else(|| "give it the `_bucket` series of a histogram".to_owned())))
}

/// Whether the values certainly come from classic series. A native histogram has no `le`, and an unknown metric may be
/// one.
fn is_classic(world: &World<'_>, arm: &Arm) -> bool {
    let classic = |series: &str| match world.series(series) {
        Series::Declared(metric, suffix) => !suffix.is_empty() || metric.buckets.is_empty(),
        Series::Unknown => series.ends_with("_bucket"),
        Series::BuiltIn | Series::Recorded => true,
    };
    !arm.origins.is_empty() && arm.origins.iter().all(|origin| classic(&origin.series))
}

fn is_recorded_without_le(world: &World<'_>, node: &Node<'_>) -> bool {
    let name = node.selector().and_then(metric_name);
    name.is_some_and(|name| matches!(world.series(name), Series::Recorded))
        && node.alive().any(|arm| is_buckets(arm) && arm.labels.carries("le") == Carried::Never)
}

fn is_buckets(arm: &Arm) -> bool {
    matches!(arm.kind, Kind::Buckets | Kind::BucketRate)
}

/// The aggregation as it would be with `le` kept, where it is the one that drops it.
fn keep_le(node: &Node<'_>) -> Option<String> {
    let Expr::Aggregate(aggregate) = node.expr else { return None };
    let body = node.children.last()?;
    if !body.alive().any(|arm| is_buckets(arm) && arm.labels.carries("le") != Carried::Never) {
        return None;
    }
    Some(match &aggregate.modifier {
        Some(LabelModifier::Include(labels)) if !labels.labels.is_empty() => {
            format!("write `{} by ({}, le)`", aggregate.op, labels.labels.join(", "))
        }
        Some(LabelModifier::Exclude(labels)) => {
            let kept: Vec<&str> = labels.labels.iter().map(String::as_str).filter(|label| *label != "le").collect();
            format!("write `{} without ({})`", aggregate.op, kept.join(", "))
        }
        _ => format!("write `{} by (le)`", aggregate.op),
    })
}

fn quantile_range(query: &Query<'_>, node: &Node<'_>) -> Option<Finding> {
    let report = |message: String| query.error("query/quantile-range", message);
    let operator = match node.expr {
        Expr::Aggregate(aggregate) => aggregate.op.to_string(),
        _ => function(node)?.to_owned(),
    };
    if matches!(operator.as_str(), "quantile" | "quantile_over_time" | "histogram_quantile") {
        let phi = node.children.first()?.number().filter(|phi| !(0.0..=1.0).contains(phi))?;
        let help = match (1.0..=100.0).contains(&phi) {
            true => format!("write `{}`", phi / 100.0),
            false => "a quantile is a number from 0 to 1".to_owned(),
        };
        return Some(
            report(format!("`{operator}` is asked for the quantile {phi}, which is not from 0 to 1")).help(help),
        );
    }
    if !matches!(operator.as_str(), "sum" | "avg") {
        return None;
    }
    let body = node.children.last()?;
    let quantile = body.alive().find(|arm| arm.kind == Kind::Quantile)?;
    let message =
        format!("`{operator}` of quantiles, of which `{}` is made, is no quantile of the whole", quote(body.expr));
    let help = match quantile.origins.iter().any(|origin| origin.series.ends_with("_bucket")) {
        true => "sum the buckets first and keep `le`: `histogram_quantile(…, sum by (…, le) (rate(…)))`",
        false => "quantiles of a summary cannot be joined; `max` shows the worst",
    };
    Some(report(message).warning().help(help))
}

fn bucket_sum(query: &Query<'_>, node: &Node<'_>) -> Option<Finding> {
    let Expr::Aggregate(aggregate) = node.expr else { return None };
    let operator = aggregate.op.to_string();
    if !matches!(operator.as_str(), "sum" | "avg") {
        return None;
    }
    let body = node.children.last()?;
    let several = |arm: &Arm| {
        is_buckets(arm)
            && arm.labels.get("le").is_some_and(|le| le.domain.known().is_some_and(|bounds| bounds.len() > 1))
    };
    if !body.alive().any(several) || node.alive().any(|arm| arm.labels.carries("le") != Carried::Never) {
        return None;
    }
    let message = format!("`{}` counts each observation once for every bucket that it fits in", quote(node.expr));
    let help = keep_le(node).unwrap_or_default();
    Some(
        query
            .error("query/bucket-sum", message)
            .help(format!("{help}; for the number of observations take the `_count` series")),
    )
}

/// `rate(x_sum[5m]) / rate(x_count[5m])`: both must be of the same series, taken in the same way.
fn mean_pair(query: &Query<'_>, node: &Node<'_>) -> Option<Finding> {
    let (_, left, right) = binary(node).filter(|(binary, ..)| {
        let cardinality = binary.modifier.as_ref().map(|modifier| &modifier.card);
        let one_to_one = cardinality.is_none_or(|cardinality| *cardinality == VectorMatchCardinality::OneToOne);
        binary.op.to_string() == "/" && one_to_one
    })?;
    let (sums, counts) = (selectors(left.expr), selectors(right.expr));
    let ([sum], [count]) = (sums.as_slice(), counts.as_slice()) else { return None };
    let base = metric_name(sum)?.strip_suffix("_sum")?;
    if metric_name(count)?.strip_suffix("_count")? != base {
        return None;
    }
    let matchers = |selector: &promql_parser::parser::VectorSelector| -> BTreeSet<String> {
        let all = selector.matchers.matchers.iter().filter(|matcher| matcher.name != "__name__");
        all.map(ToString::to_string).collect()
    };
    let differ = |what: &str| format!("the sum and the count of {base} differ in their {what}, so this is no mean");
    let what = match (steps(left), steps(right)) {
        _ if matchers(sum) != matchers(count) => "matchers",
        _ if sum.offset != count.offset || sum.at != count.at => "offset",
        ((_, sum), (_, count)) if sum != count => "range",
        ((sum, _), (count, _)) if sum != count => "functions",
        _ => return None,
    };
    Some(query.error("query/mean-pair", differ(what)).help("write both sides alike but for `_sum` and `_count`"))
}

/// The functions and aggregations that change a number, from the outside inwards, and the ranges.
fn steps(node: &Node<'_>) -> (Vec<String>, Vec<std::time::Duration>) {
    let nodes = node.walk();
    let names = nodes.iter().filter_map(|node| match node.expr {
        Expr::Aggregate(aggregate) => Some(aggregate.op.to_string()),
        Expr::Call(call) if !call.func.name.starts_with("clamp") && !call.func.name.starts_with("label_") => {
            Some(call.func.name.to_owned())
        }
        _ => None,
    });
    (names.collect(), nodes.iter().filter_map(|node| node.range).collect())
}

fn bucket_bound(world: &World<'_>, query: &Query<'_>, node: &Node<'_>) -> Option<Finding> {
    let comparison = Comparison::of(node)?;
    let quantiles = || comparison.value.alive().filter(|arm| arm.kind == Kind::Quantile);
    // Where they may be of another histogram too, that one decides as well.
    let holds = Holds {
        never: quantiles().all(|arm| comparison.never(arm)),
        always: quantiles().all(|arm| comparison.always(arm)),
    };
    quantiles().find_map(|arm| {
        let (histogram, bounds) = arm.origins.iter().find_map(|origin| match world.series(&origin.series) {
            Series::Declared(metric, "_bucket") => Some((&origin.series, metric.buckets.as_slice())),
            _ => None,
        })?;
        let histogram = histogram.strip_suffix("_bucket").unwrap_or(histogram);
        let (lowest, highest) = (bounds.first()?, bounds.last()?);
        of_bounds(query, &comparison, holds, arm, histogram, (*lowest, *highest))
    })
}

/// Whether a comparison holds for no value, or for each.
#[derive(Clone, Copy)]
struct Holds {
    never: bool,
    always: bool,
}

fn of_bounds(
    query: &Query<'_>,
    comparison: &Comparison<'_, '_>,
    holds: Holds,
    arm: &Arm,
    histogram: &str,
    (lowest, highest): (f64, f64),
) -> Option<Finding> {
    let operator = comparison.operator.as_str();
    let bound = comparison.bound.number()?;
    let report = |message: String| query.error("query/bucket-bound", message);
    // Multiplied, or of some buckets only, it has other limits than the histogram; the interval still tells them.
    let as_it_is = arm.interval.high == highest;
    if holds.never && bound >= arm.interval.high {
        let message = format!(
            "no quantile of {histogram} is `{operator} {bound}`: the highest finite bucket makes the highest quantile {}",
            arm.interval.high
        );
        let help = match as_it_is && bound == highest {
            true => format!("`>= {highest}` says that the quantile lies beyond the last bucket; or add a bucket above"),
            false => format!("take a threshold up to {}, or add a bucket above {bound}", arm.interval.high),
        };
        return Some(report(message).help(help));
    }
    // `> 0` sorts out the quantiles that are no number because nothing was observed.
    if bound == 0.0 && matches!(operator, ">" | ">=") {
        return None;
    }
    if holds.never || holds.always && query.alert().is_some() {
        let holds = if holds.never { "never" } else { "always" };
        let message = format!(
            "`{operator} {bound}` {holds} holds for a quantile of {histogram}: its finite buckets end at {lowest} to {highest}, and one is interpolated even if all observations are in the lowest"
        );
        return Some(report(message).help(format!("take a threshold from {lowest} to {highest}")));
    }
    let within_lowest = as_it_is && bound > 0.0 && bound < lowest && !matches!(operator, "==" | "!=");
    within_lowest.then(|| {
        let message =
            format!("`{operator} {bound}` is decided by a guess: the lowest bucket of {histogram} ends at {lowest}");
        report(message)
            .warning()
            .help(format!("take {lowest} or a higher bound as the threshold, or add a lower bucket"))
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{finds, of_alert, of_rules};

    const BY_LE: &str = "sum by (namespace, le) (rate(duration_seconds_bucket[5m]))";

    #[test]
    fn a_quantile_needs_le() {
        assert_eq!(
            of_alert("histogram_quantile(0.9, sum by (namespace) (rate(duration_seconds_bucket[5m]))) > 2"),
            [
                "query/quantile-input: `histogram_quantile` of `sum by (namespace) (rate(duration_seconds_bucket[5m]))` is empty: it needs the label le, and `sum by (namespace)` drops it"
            ]
        );
        for argument in [
            "rate(duration_seconds_count[5m])",
            "rate(requests_total[5m])",
            "rate(duration_seconds_bucket{le=\"1.0\"}[5m])",
        ] {
            finds(&format!("histogram_quantile(0.9, {argument}) > 2"), &["query/quantile-input"]);
        }
        for argument in [
            BY_LE,
            "rate(duration_seconds_bucket[5m])",
            "sum without (pod, instance) (rate(duration_seconds_bucket[5m]))",
            "sum(rate(duration_seconds[5m]))",
            "sum by (le) (rate(duration_seconds_bucket[5m])) + sum by (le) (rate(duration_seconds_bucket[5m] offset 1h))",
        ] {
            finds(&format!("histogram_quantile(0.9, {argument}) > 2"), &[]);
        }
    }

    /// Two programs may record into one series, each with buckets of its own.
    #[test]
    fn every_histogram_that_a_quantile_may_be_of_decides() {
        let record = |of: &str| format!("      - {{record: \"job:dur_bucket:rate5m\", expr: '{of}'}}\n");
        let alert = "      - {alert: A, expr: 'histogram_quantile(0.99, job:dur_bucket:rate5m) > 5', labels: {severity: info}}\n";
        let found = |records: String| {
            let found = of_rules(&(records + alert));
            found
                .into_iter()
                .map(|finding| finding.check)
                .filter(|check| check.starts_with("query/"))
                .collect::<Vec<_>>()
        };
        let short = record("sum by (job, le) (rate(duration_seconds_bucket[5m]))");
        let long = record(
            "sum by (job, le) (label_replace(rate(duration_seconds_bucket[5m]), \"le\", \"100\", \"le\", \"5.0\"))",
        );
        assert_eq!(found(short.clone()), ["query/bucket-bound"]);
        assert_eq!(found(short + &long), [""; 0]);
    }

    #[test]
    fn a_quantile_is_from_0_to_1_and_not_added_up() {
        finds(&format!("histogram_quantile(95, {BY_LE}) > 2"), &["query/quantile-range"]);
        finds("quantile(1.5, memory_bytes) > 2", &["query/quantile-range"]);
        finds("quantile_over_time(-1, memory_bytes[1h]) > 2", &["query/quantile-range"]);
        finds("sum(latency_seconds{quantile=\"0.9\"}) > 2", &["query/quantile-range"]);
        finds(&format!("avg(histogram_quantile(0.9, {BY_LE})) > 2"), &["query/quantile-range"]);
        finds(&format!("max(histogram_quantile(0.9, {BY_LE})) > 2"), &[]);
        finds("quantile(0.5, memory_bytes) > 2", &[]);
    }

    #[test]
    fn buckets_are_not_added_up_across_le() {
        finds("sum(rate(duration_seconds_bucket[5m])) > 2", &["query/bucket-sum"]);
        finds("sum without (le) (rate(duration_seconds_bucket[5m])) > 2", &["query/bucket-sum"]);
        finds("sum(rate(duration_seconds_bucket{le=\"0.5\"}[5m])) > 2", &[]);
        finds("sum(rate(duration_seconds_bucket{le=~\"0.5|1.0\"}[5m])) > 2", &["query/bucket-sum"]);
        finds(&format!("{BY_LE} > 2"), &[]);
    }

    #[test]
    fn a_mean_is_of_one_set_of_observations() {
        let mean = |sum: &str, count: &str| format!("{sum} / {count} > 2");
        let rate = "sum(rate(duration_seconds_sum{status=\"success\"}[5m]))";
        for count in [
            "sum(rate(duration_seconds_count[5m]))",
            "sum(rate(duration_seconds_count{status=\"success\"}[10m]))",
            "sum(increase(duration_seconds_count{status=\"success\"}[5m]))",
            "count(rate(duration_seconds_count{status=\"success\"}[5m]))",
            "sum(rate(duration_seconds_count{status=\"success\"}[5m] offset 5m))",
        ] {
            finds(&mean(rate, count), &["query/mean-pair"]);
        }
        finds(&mean(rate, "sum(rate(duration_seconds_count{status=\"success\"}[5m]))"), &[]);
        finds(&mean(rate, "(sum(rate(duration_seconds_count{status=\"success\"}[5m])) > 0)"), &[]);
        finds(&mean("sum(rate(duration_seconds_sum[5m]))", "sum(rate(requests_total[5m]))"), &[]);
    }

    #[test]
    fn gorax_g2_a_threshold_at_the_highest_bucket_is_never_passed() {
        assert_eq!(
            of_alert(&format!("histogram_quantile(0.99, {BY_LE}) > 5.0")),
            [
                "query/bucket-bound: no quantile of duration_seconds is `> 5`: the highest finite bucket makes the highest quantile 5"
            ]
        );
        let quantile = format!("histogram_quantile(0.9, {BY_LE})");
        for expr in [
            format!("{quantile} > 10"),
            format!("{quantile} * 1000 > 5000"),
            format!("7 < max by (namespace) ({quantile})"),
            format!("(memory_bytes or {quantile}) > 5"),
            format!("{quantile} > 0.05"),
            format!("{quantile} > 0.095"),
            format!("{quantile} < 6"),
        ] {
            finds(&expr, &["query/bucket-bound"]);
        }
        for expr in [
            format!("{quantile} > 2"),
            format!("{quantile} > 3"),
            format!("{quantile} >= 5"),
            format!("{quantile} > 0.1"),
            format!("{quantile} > 0"),
            format!("({quantile} or on () vector(0)) > 2"),
            "max(latency_seconds) > 600".to_owned(),
        ] {
            finds(&expr, &[]);
        }
    }

    #[test]
    fn what_recording_rules_make_of_buckets_is_followed() {
        let found = |record: &str, alert: &str| {
            let record = format!("      - {{record: \"namespace:duration:x\", expr: \"{record}\"}}\n");
            let alert = format!("      - {{alert: A, expr: \"{alert}\", labels: {{severity: info}}}}\n");
            let found = of_rules(&format!("{record}{alert}"));
            let found = found.iter().filter(|finding| finding.check.starts_with("query/"));
            found.map(|finding| format!("{} {}", finding.subject, finding.check)).collect::<Vec<_>>()
        };
        assert_eq!(found(BY_LE, "histogram_quantile(0.9, namespace:duration:x) > 5"), ["alert A query/bucket-bound"]);
        assert_eq!(
            found(&format!("histogram_quantile(0.9, {BY_LE})"), "namespace:duration:x > 5"),
            ["alert A query/bucket-bound"]
        );
        assert_eq!(
            found(
                "sum by (namespace) (rate(duration_seconds_bucket[5m]))",
                "histogram_quantile(0.9, namespace:duration:x) > 2"
            ),
            ["record namespace:duration:x query/bucket-sum"]
        );
    }
}
