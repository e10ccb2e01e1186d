//! Values that are missing where someone waits for 0.
//!
//! `query/vanishing`: an alert waits for little, but where there is nothing at all there is no series, so it is silent.
//! `query/empty-numerator`: the upper side of a ratio is missing until its first event, so the ratio is too. That is
//! reported where silence is wrong: an alert on a low success ratio, or on the rest of one, says nothing just when nothing
//! succeeded; a recorded or drawn ratio has no value instead of 0. A failure ratio that is missing because nothing failed
//! is rightly below its threshold, so an alert on a high one passes.

use promql_parser::parser::{Expr, VectorMatchCardinality, VectorSelector};

use super::condition::{Comparison, Condition, binary, conditions};
use super::{Purpose, Query, Settings};
use crate::contract::Metric;
use crate::finding::Finding;
use crate::infer::{Arm, Kind, Node, Presence, Series, Unit, World, aggregation, fills, quote};
use crate::query::{metric_name, selectors};

pub(super) fn check(world: &World<'_>, _: &Settings, query: &Query<'_>) -> Vec<Finding> {
    if query.alert().is_none() {
        let nodes = query.node.walk();
        return nodes.into_iter().filter_map(|node| missing_ratio(world, query, node)).take(1).collect();
    }
    let found = conditions(&query.node)
        .into_iter()
        .filter_map(|condition| vanishing(world, query, &condition).or_else(|| silent_ratio(world, query, &condition)));
    found.collect()
}

fn vanishing(world: &World<'_>, query: &Query<'_>, condition: &Condition<'_, '_>) -> Option<Finding> {
    let Comparison { value, operator, bound, .. } = &condition.comparison;
    let number = bound.number()?;
    // What can never hold is another finding, and a quantile of nothing is no small one.
    let speaks = |arm: &Arm| arm.kind != Kind::Quantile && !condition.comparison.never(arm);
    if !condition.comparison.asks_for_little() || asks_for_absence(condition) || !value.alive().any(speaks) {
        return None;
    }
    let text = quote(value.expr);
    if let Some(filter) = aggregated_filter(value) {
        let message = format!(
            "`{text}` is missing, not 0, while nothing is left of `{}`, so `{operator} {number}` says nothing then",
            quote(filter.expr)
        );
        return Some(query.error("query/vanishing", message).help(bool_or_zero(value, filter)));
    }
    let leaf = vanishing_leaf(value)?;
    let selector = leaf.selector()?;
    if is_recorded_ratio(world, leaf) || condition.beside.iter().any(|other| needs(other, selector)) {
        return None;
    }
    let message = format!(
        "`{text}` is missing, not 0, until the first event that `{selector}` counts, so `{operator} {number}` says nothing till then"
    );
    let help = "add what stands for nothing: `or vector(0)`, or for each group `or 0 * …` of a series that is always there, or `or absent(…)`";
    Some(query.error("query/vanishing", message).warning().help(help))
}

/// `x == 0 or absent(x)`.
fn asks_for_absence(condition: &Condition<'_, '_>) -> bool {
    let mut others = condition.instead.iter().flat_map(|other| other.walk());
    others.any(|node| matches!(node.expr, Expr::Call(call) if call.func.name.starts_with("absent")))
}

/// The comparison inside of `count(up == 1)`: where it holds for none, there is nothing to count.
fn aggregated_filter<'n, 'a>(value: &'n Node<'a>) -> Option<&'n Node<'a>> {
    let Expr::Aggregate(aggregate) = value.expr else { return None };
    let body = value.children.last()?;
    let filters = Comparison::of(body).is_some_and(|comparison| !comparison.is_bool);
    let known = body.alive().all(|arm| arm.kind != Kind::Unknown) && body.alive().next().is_some();
    (matches!(aggregate.op.to_string().as_str(), "count" | "sum") && filters && known).then_some(body)
}

/// Counted with 0 and 1, none is 0.
fn bool_or_zero(value: &Node<'_>, filter: &Node<'_>) -> String {
    match (value.expr, Comparison::of(filter)) {
        (Expr::Aggregate(aggregate), Some(filter)) if aggregate.op.to_string() == "count" => {
            let sum = aggregation(aggregate).replacen("count", "sum", 1);
            let Comparison { value, operator, bound, .. } = filter;
            format!("count with 0 and 1: `{sum} ({} {operator} bool {})`", quote(value.expr), quote(bound.expr))
        }
        _ => "let 0 stand for nothing: `or vector(0)`".to_owned(),
    }
}

/// The selector that a value stands and falls with, where it is missing until an event. A value with another arm that is
/// there, such as `or vector(0)`, does not fall; the many side of a join is what counts; a quotient is another matter.
fn vanishing_leaf<'n, 'a>(value: &'n Node<'a>) -> Option<&'n Node<'a>> {
    let mut arms = value.alive().peekable();
    arms.peek()?;
    if !arms.all(|arm| arm.presence == Presence::AfterEvent) {
        return None;
    }
    if value.selector().is_some() {
        return Some(value);
    }
    match value.expr {
        Expr::Binary(_) => {
            let (binary, left, right) = binary(value)?;
            let many_is_right = matches!(
                binary.modifier.as_ref().map(|modifier| &modifier.card),
                Some(VectorMatchCardinality::OneToMany(_))
            );
            match (binary.op.to_string().as_str(), left.number(), right.number()) {
                ("/", None, None) => None,
                ("*", None, None) if many_is_right => vanishing_leaf(right),
                ("*", None, None) => vanishing_leaf(left),
                (_, Some(_), None) => vanishing_leaf(right),
                (_, None, Some(_)) => vanishing_leaf(left),
                _ => None,
            }
        }
        _ => value.children.iter().find_map(vanishing_leaf),
    }
}

/// A recorded ratio that can be missing is reported where it is recorded.
fn is_recorded_ratio(world: &World<'_>, leaf: &Node<'_>) -> bool {
    let name = leaf.selector().and_then(metric_name);
    name.is_some_and(|name| matches!(world.series(name), Series::Recorded))
        && leaf.alive().any(|arm| arm.unit == Unit::RATIO && arm.kind == Kind::Gauge)
}

/// Whether `other` is there only while the selected series are: it asks for them, or for fewer of them.
fn needs(other: &Node<'_>, selector: &VectorSelector) -> bool {
    selectors(other.expr)
        .into_iter()
        .any(|fewer| metric_name(fewer) == metric_name(selector) && is_narrower(fewer, selector))
}

/// Whether `narrow` has every matcher of `wide`.
fn is_narrower(narrow: &VectorSelector, wide: &VectorSelector) -> bool {
    let mut matchers = wide.matchers.matchers.iter();
    matchers.all(|matcher| narrow.matchers.matchers.contains(matcher))
}

/// A quotient, and whether the value grows where the quotient falls, as `1 - a / b` does.
fn ratio<'n, 'a>(value: &'n Node<'a>) -> Option<(&'n Node<'a>, &'n Node<'a>, bool)> {
    let (binary, left, right) = binary(value).filter(|(binary, ..)| !fills(binary))?;
    match (binary.op.to_string().as_str(), left.number(), right.number()) {
        ("/", None, None) => Some((left, right, false)),
        ("*", Some(_), None) => ratio(right),
        ("*" | "/", None, Some(_)) => ratio(left),
        ("-", Some(_), None) => ratio(right).map(|(upper, lower, falls)| (upper, lower, !falls)),
        _ => None,
    }
}

fn silent_ratio(world: &World<'_>, query: &Query<'_>, condition: &Condition<'_, '_>) -> Option<Finding> {
    let comparison = &condition.comparison;
    let (upper, lower, falls) = ratio(comparison.value)?;
    let asks_for_much = matches!(comparison.operator.as_str(), ">" | ">=");
    if asks_for_absence(condition) || !(if falls { asks_for_much } else { comparison.asks_for_little() }) {
        return None;
    }
    let missing = missing_part(world, upper, lower)?;
    if condition.beside.iter().any(|other| needs(other, missing)) {
        return None;
    }
    let message = format!(
        "the ratio is missing, not 0, while there is no `{missing}`, so the alert says nothing just when there is none of it at all"
    );
    Some(query.error("query/empty-numerator", message).help(or_zero(lower)))
}

fn missing_ratio(world: &World<'_>, query: &Query<'_>, node: &Node<'_>) -> Option<Finding> {
    let (binary, upper, lower) = binary(node)?;
    if binary.op.to_string() != "/" || fills(binary) {
        return None;
    }
    let missing = missing_part(world, upper, lower)?;
    let all = selectors(lower.expr);
    // Only of a part and its whole is it certain that the part being missing means 0.
    let of_whole = all
        .iter()
        .any(|whole| metric_name(whole) == metric_name(missing) && *whole != missing && is_narrower(missing, whole));
    of_whole.then_some(())?;
    let what = match query.purpose {
        Purpose::Rule(..) => "record has",
        Purpose::Panel(..) => "panel shows",
        Purpose::Variable(_) | Purpose::Document => "query returns",
    };
    let message = format!("while there is no `{missing}`, the {what} no value instead of 0");
    Some(query.error("query/empty-numerator", message).warning().help(or_zero(lower)))
}

/// The selector of the upper side that is missing until an event while the lower side may be there.
fn missing_part<'a>(world: &World<'_>, upper: &Node<'a>, lower: &Node<'a>) -> Option<&'a VectorSelector> {
    let missing = vanishing_leaf(upper)?.selector()?;
    let metric = metric_of(world, missing);
    // The sum and the count of a histogram, or a counter and itself, come into being together.
    let together = selectors(lower.expr).into_iter().any(|other| {
        let same_metric = match (metric, metric_of(world, other)) {
            (Some(metric), Some(other)) => std::ptr::eq(metric, other),
            _ => metric_name(missing) == metric_name(other),
        };
        same_metric && is_narrower(other, missing)
    });
    (!together).then_some(missing)
}

fn metric_of<'w>(world: &World<'w>, selector: &VectorSelector) -> Option<&'w Metric> {
    match world.series(metric_name(selector)?) {
        Series::Declared(metric, _) => Some(metric),
        _ => None,
    }
}

fn or_zero(lower: &Node<'_>) -> String {
    let lower = match lower.expr {
        // An operator binds the looser side of it elsewhere.
        Expr::Binary(_) => format!("({})", quote(lower.expr)),
        _ => quote(lower.expr),
    };
    format!("let 0 stand for nothing in the upper side: `(… or 0 * {lower})`")
}

#[cfg(test)]
mod tests {
    use super::super::testing::{finds, of_alert, of_rules};

    const SUCCESS: &str = "sum by (namespace) (rate(runs_total{status=\"success\"}[5m]))";
    const FAILED: &str = "sum by (namespace) (rate(runs_total{status!=\"success\"}[5m]))";
    const ALL: &str = "sum by (namespace) (rate(runs_total[5m]))";

    #[test]
    fn gorax_g10_what_is_missing_is_not_0() {
        assert_eq!(
            of_alert(&format!("{ALL} == 0")),
            [
                "query/vanishing: `sum by (namespace) (rate(runs_total[5m]))` is missing, not 0, until the first event that `runs_total` counts, so `== 0` says nothing till then"
            ]
        );
        for expr in [
            "sum(active_runs) < 5",
            "rate(runs_total[5m]) == 0",
            "60 * sum(rate(runs_total[5m])) <= 2",
            "count(up{job=\"api\"} == 1) < 2",
            "20 > sum(memory_bytes > 5)",
            "max by (namespace) (sum by (namespace, pod) (active_runs) == 0)",
        ] {
            finds(expr, &["query/vanishing"]);
        }
    }

    #[test]
    fn what_stands_for_nothing_passes() {
        for expr in [
            "(sum(rate(runs_total[5m])) or vector(0)) == 0",
            "sum(rate(runs_total[5m])) == 0 or absent(runs_total)",
            "(sum by (namespace) (active_runs) or 0 * sum by (namespace) (up{job=\"api\"})) < 5",
            "increase(runs_total[5m]) < 5 and increase(runs_total[1h]) >= 20",
            "up{job=\"api\"} == 0",
            "sum(up{job=\"api\"} == bool 1) < 2",
            "sum(rate(requests_total[5m])) == 0",
            "kube_pods * on (namespace) group_left () environment_info == 0",
            "sum(active_runs) > 5",
            "active_runs > 5 unless on (namespace) sum by (namespace) (rate(runs_total[5m])) == 0",
            "sum by (namespace) (rate(runs_total[5m])) < on (namespace) sum by (namespace) (rate(runs_total[5m] offset 1d)) / 2",
            "count(unknown == 1) < 2",
        ] {
            let found: Vec<String> =
                of_alert(expr).into_iter().filter(|text| !text.contains("unknown-metric")).collect();
            assert!(found.is_empty(), "{expr}\n{found:?}");
        }
    }

    #[test]
    fn a_success_ratio_is_missing_when_nothing_succeeded() {
        for expr in [
            format!("{SUCCESS} / {ALL} < 0.95"),
            format!("100 * {SUCCESS} / {ALL} < 95"),
            format!("1 - {SUCCESS} / {ALL} > 0.05"),
            format!("{SUCCESS} / {ALL} < 0.95 and on (namespace) {ALL} > 1"),
        ] {
            finds(&expr, &["query/empty-numerator"]);
        }
        for expr in [
            format!("({SUCCESS} or 0 * {ALL}) / {ALL} < 0.95"),
            format!("{FAILED} / {ALL} > 0.1"),
            format!("1 - {FAILED} / {ALL} < 0.9"),
            format!("{FAILED} / {ALL} > 0.1 and on (namespace) 300 * {ALL} >= 20"),
            format!("{SUCCESS} / {ALL} < 0.95 and on (namespace) {SUCCESS} > 1"),
            "rate(duration_seconds_sum[5m]) / rate(duration_seconds_count[5m]) < 1".to_owned(),
        ] {
            finds(&expr, &[]);
        }
    }

    #[test]
    fn a_recorded_ratio_has_no_value_instead_of_0() {
        let found = |expr: &str| {
            let record = format!("      - {{record: \"namespace:runs:ratio_rate5m\", expr: '{expr}'}}\n");
            let alert = "      - {alert: A, expr: \"namespace:runs:ratio_rate5m < 0.9\", labels: {severity: info}}\n";
            let found = of_rules(&format!("{record}{alert}"));
            let found = found.iter().filter(|finding| finding.check.starts_with("query/"));
            found.map(|finding| format!("{} {}", finding.subject, finding.check)).collect::<Vec<_>>()
        };
        assert_eq!(found(&format!("{SUCCESS} / {ALL}")), ["record namespace:runs:ratio_rate5m query/empty-numerator"]);
        assert_eq!(found(&format!("({SUCCESS} or 0 * {ALL}) / {ALL}")), [""; 0]);
        assert_eq!(found(&format!("{SUCCESS} / ({ALL} > 0)")).len(), 1);
    }
}
