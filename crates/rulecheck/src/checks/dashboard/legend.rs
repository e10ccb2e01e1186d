//! `dashboard/legend`: the legend names a label that no series has, or leaves one out in which series certainly differ,
//! so that several have the same name. What is left of a name is something still, so that is a warning.

use std::collections::BTreeSet;

use promql_parser::parser::{Expr, NumberLiteral};

use super::{Shown, shows_legend};
use crate::dashboard::references;
use crate::finding::Finding;
use crate::infer::{Arm, Carried, has_variable};
use crate::query::selectors;

const CHECK: &str = "dashboard/legend";

pub(super) fn check(shown: &Shown<'_>) -> Option<Finding> {
    let legend = shown.target.legend.value.as_str();
    let applies = shows_legend(shown.kind())
        && !shown.panel.renames
        && !matches!(shown.target.format.as_str(), "table" | "heatmap");
    // Without a legend, and with `__auto`, Grafana makes one of all labels.
    if !applies || legend.is_empty() || legend == "__auto" || is_alone(shown) {
        return None;
    }
    let labels = labels(legend);
    let is_left = labels.iter().any(|label| has_label(shown, label));
    let missing = labels.iter().find_map(|label| missing(shown, label));
    missing.map(|finding| if is_left { finding.warning() } else { finding }).or_else(|| shared(shown, &labels))
}

/// Whether the panel shows one value, and so no name.
fn is_alone(shown: &Shown<'_>) -> bool {
    let is_one = |arm: &Arm| !arm.labels.is_open() && arm.labels.iter().next().is_none();
    let shows_value = matches!(shown.kind(), "stat" | "singlestat" | "gauge");
    shows_value && shown.panel.targets.len() == 1 && shown.query.node.alive().all(is_one)
}

/// The labels between double braces.
fn labels(legend: &str) -> BTreeSet<&str> {
    let parts = legend.split("{{").skip(1).filter_map(|part| part.split_once("}}"));
    parts.map(|(label, _)| label.trim()).filter(|label| !has_variable(label)).collect()
}

/// Whether a series may have the label.
fn has_label(shown: &Shown<'_>, label: &str) -> bool {
    shown.query.node.alive().any(|arm| match label {
        "__name__" => arm.name.is_some() || arm.labels.is_open(),
        _ => arm.labels.carries(label) != Carried::Never,
    })
}

fn missing(shown: &Shown<'_>, label: &str) -> Option<Finding> {
    let first = shown.query.node.alive().next()?;
    if has_label(shown, label) {
        return None;
    }
    let why = match label {
        "__name__" => format!("{} drops the metric's name", first.steps.last().map_or("a function", AsRef::as_ref)),
        _ => first.labels.why_never(label),
    };
    let message = format!("the legend shows `{{{{{label}}}}}`, which no series has: {why}");
    let kept: Vec<&str> = first.labels.iter().map(|(name, _)| name.as_ref()).collect();
    let help = match kept.as_slice() {
        [] => format!("keep {label} in the result with `by ({label})`, or take it out of the legend"),
        kept => format!("keep {label} in the result, or use what is there: {}", kept.join(", ")),
    };
    Some(shown.error(shown.target.legend.line, CHECK, message).help(help))
}

/// Series that differ only in labels that the legend leaves out. What nobody counted accuses nobody.
fn shared(shown: &Shown<'_>, in_legend: &BTreeSet<&str>) -> Option<Finding> {
    if !shown.panel.transformations.is_empty() || is_one_series(shown.query.node.expr) {
        return None;
    }
    let pinned = pinned(shown);
    let left_out = |name: &str| !in_legend.contains(name) && !pinned.contains(name);
    let differ: Vec<(&str, u64)> = shown.query.node.alive().find_map(|arm| {
        let labels = arm.labels.iter().filter(|(name, label)| label.always && left_out(name));
        let counted =
            labels.filter_map(|(name, label)| Some((name.as_ref(), label.count().filter(|count| *count > 1)?)));
        Some(counted.collect()).filter(|differ: &Vec<_>| !differ.is_empty())
    })?;
    let named: Vec<String> = differ.iter().map(|(name, count)| format!("{name} (about {count} values)")).collect();
    let legend = &shown.target.legend.value;
    let message = format!("several series are called `{legend}`: they differ in {}", named.join(", "));
    let (one, _) = differ.first()?;
    let help = format!("aggregate what nobody asks for away, or add the rest to the legend: `{{{{{one}}}}}`");
    Some(shown.error(shown.target.legend.line, CHECK, message).help(help).warning())
}

/// `topk(1, …)` keeps the labels of its one series.
fn is_one_series(expr: &Expr) -> bool {
    match expr {
        Expr::Paren(paren) => is_one_series(&paren.expr),
        Expr::Aggregate(aggregate) => {
            matches!(aggregate.op.to_string().as_str(), "topk" | "bottomk")
                && matches!(aggregate.param.as_deref(), Some(Expr::NumberLiteral(NumberLiteral { val })) if *val <= 1.0)
        }
        _ => false,
    }
}

/// The labels that a variable with one value at a time holds to that value. A repeated panel has one value each.
fn pinned<'a>(shown: &'a Shown<'_>) -> BTreeSet<&'a str> {
    let is_one = |name: &str| {
        let repeats = shown.panel.repeats.iter().any(|repeat| repeat == name);
        repeats || shown.dashboard.variable(name).is_some_and(|variable| !variable.is_many())
    };
    let matchers = selectors(shown.query.node.expr).into_iter().flat_map(|selector| &selector.matchers.matchers);
    let of_variables =
        matchers.filter(|matcher| references(&matcher.value).iter().any(|reference| is_one(reference.name)));
    of_variables.map(|matcher| matcher.name.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::of_dashboard;
    use super::super::testing::{board, found, panel, shows};
    use crate::finding::Severity;

    #[track_caller]
    fn legend(expr: &str, legend: &str, expected: &str) {
        shows("timeseries", expr, &format!(r#", "legendFormat": "{legend}""#), "", expected);
    }

    #[test]
    fn a_label_that_no_series_has_is_named_with_the_step_that_dropped_it() {
        let by_status = "sum by (status) (rate(runs_total[5m]))";
        legend(
            by_status,
            "{{pod}}",
            "dashboard/legend: the legend shows `{{pod}}`, which no series has: `sum by (status)` drops it",
        );
        legend(
            "memory_bytes",
            "{{tenant}}",
            "dashboard/legend: the legend shows `{{tenant}}`, which no series has: memory_bytes has no such label",
        );
        legend(
            "sum(memory_bytes)",
            "{{__name__}}",
            "dashboard/legend: the legend shows `{{__name__}}`, which no series has: sum drops",
        );
        legend("sum by (x) (memory_bytes or foreign)", "{{x}}", "");
        for right in ["{{status}}", "{{ status }} runs", "__auto", "", "$datasource {{status}}"] {
            legend(by_status, right, "");
        }
        legend("memory_bytes", "{{__name__}} {{pod}}", "");
        // A single value is shown without its name.
        shows("stat", "sum(memory_bytes)", r#", "legendFormat": "{{pod}}""#, "", "");
        shows("stat", by_status, r#", "legendFormat": "{{pod}}""#, "", "dashboard/legend: the legend shows `{{pod}}`");
        legend("{job=\"x\"}", "{{__name__}}", "");
    }

    /// Kubernetes' own dashboards show `{{cluster}} {{instance}}`, in installations without clusters too.
    #[test]
    fn a_name_of_which_something_is_left_is_a_warning() {
        let severity = |legend: &str| {
            let panel = panel("timeseries", "memory_bytes", &format!(r#", "legendFormat": "{legend}""#), "");
            of_dashboard(&board("", &panel)).iter().map(|finding| finding.severity).collect::<Vec<_>>()
        };
        assert_eq!(severity("{{cluster}} {{pod}}"), [Severity::Warning]);
        assert_eq!(severity("{{cluster}} {{zone}}"), [Severity::Error]);
    }

    #[test]
    fn series_that_share_a_name_are_found() {
        legend(
            "sum by (status) (rate(runs_total[5m]))",
            "runs",
            "dashboard/legend: several series are called `runs`: they differ in status (about 3 values)",
        );
        let most = r#", "legendFormat": "most", "instant": true"#;
        shows("bargauge", "topk(1, sum by (status) (rate(runs_total[5m])))", most, "", "");
        legend(
            "rate(runs_total[5m])",
            "{{status}}",
            "dashboard/legend: several series are called `{{status}}`: they differ in tenant (about 30 values)",
        );
        // Nobody says how many pods there are.
        legend("memory_bytes", "memory", "");
        legend("sum by (status) (rate(runs_total{status=~\"failed|error\"}[5m]))", "bad", "dashboard/legend: several");
        legend("sum by (status) (rate(runs_total{status=\"failed\"}[5m]))", "failed", "");
        shows(
            "table",
            "sum by (status) (runs_total)",
            r#", "legendFormat": "x", "format": "table", "instant": true"#,
            "",
            "",
        );
    }

    #[test]
    fn a_variable_with_one_value_tells_series_apart() {
        let one = r#"{"name": "status", "type": "custom", "query": "success,failed"}"#;
        let many = r#"{"name": "status", "type": "custom", "query": "success,failed", "multi": true}"#;
        let expr = "sum by (status) (rate(runs_total{status=~\"$status\"}[5m]))";
        let of = |panel_members: &str| panel("timeseries", expr, r#", "legendFormat": "runs""#, panel_members);
        assert_eq!(found(&board(one, &of(""))), [""; 0]);
        assert_eq!(found(&board(many, &of(r#", "repeat": "status""#))), [""; 0]);
        assert_eq!(found(&board(many, &of(""))).len(), 1);
    }
}
