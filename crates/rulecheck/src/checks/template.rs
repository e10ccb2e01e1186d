//! Templates of alerts.
//!
//! `alert/template-label`: an annotation or a label's template uses a label that the alert's result cannot carry, so
//! that the text has a hole. `alert/value-unit`: the value is printed as what it is not: as a percentage although it is
//! no ratio, with a percent sign although it lies between 0 and 1. `file/syntax`: Prometheus refuses the template.

use super::{Query, Settings, metric};
use crate::finding::Finding;
use crate::infer::{Arm, Carried, Kind, Lack, Unit, World, infer};
use crate::query::parse_expr;
use crate::rules::Rule;
use crate::template::{LabelUse, Template, ValueUse};

pub(super) fn check(world: &World<'_>, settings: &Settings, query: &Query<'_>) -> Vec<Finding> {
    let Some((rule, _)) = query.alert() else { return Vec::new() };
    let texts = rule.annotations.iter().chain(&rule.labels).filter(|(_, text)| text.contains("{{"));
    let mut findings = Vec::new();
    for (key, text) in texts {
        let place = Place { query, rule, key, text };
        match Template::parse(text) {
            Err(error) => findings.push(place.error("file/syntax", &error.message)),
            Ok(template) => findings.extend(one(world, settings, &place, &template)),
        }
    }
    // One label is often used in several texts: report it where it is used first.
    let mut seen = std::collections::BTreeSet::new();
    findings.retain(|finding| seen.insert((finding.check, finding.message.clone())));
    findings
}

/// An annotation or a label with a template.
struct Place<'a, 'b> {
    query: &'b Query<'a>,
    rule: &'a Rule,
    key: &'b str,
    text: &'b str,
}

impl Place<'_, '_> {
    fn error(&self, check: &'static str, message: &str) -> Finding {
        let message = if check == "file/syntax" { format!("`{}`: {message}", self.key) } else { message.to_owned() };
        let line = self.rule.line_of_key(self.key);
        Finding::error(self.query.file, line, check, message).about(self.query.subject.as_str())
    }

    fn action(&self, place: &std::ops::Range<usize>) -> &str {
        self.text.get(place.clone()).unwrap_or_default()
    }
}

fn one(world: &World<'_>, settings: &Settings, place: &Place<'_, '_>, template: &Template) -> Vec<Finding> {
    let labels = template.labels.iter().filter_map(|label| missing(place, label));
    let values = template.values.iter().filter_map(|value| misprinted(place, value));
    let failures = template.failures.iter().map(|failure| place.error("alert/template-label", &failure.message));
    let queries = template.queries.iter().flat_map(|text| queried(world, settings, place, text));
    labels.chain(values).chain(failures).chain(queries).collect()
}

/// Templates see the labels of the result alone. Those that the rule sets come later, and are not among them. Source:
/// prometheus/prometheus `rules/alerting.go`, `Eval`.
fn missing(place: &Place<'_, '_>, used: &LabelUse) -> Option<Finding> {
    if used.guarded || used.label == "__name__" {
        return None;
    }
    let arm = place.query.node.alive().find(|arm| arm.labels.carries(&used.label) == Carried::Never)?;
    let label = &used.label;
    if place.rule.labels.contains_key(label) || label == "alertname" {
        let message =
            format!("`$labels.{label}` is empty: a template sees the labels of the result, and not the rule's own");
        let help = format!("write the value of {label} instead");
        return Some(place.error("alert/template-label", &message).help(help));
    }
    let lack = arm.labels.lack(label);
    // Rules for many clusters name the label that tells them apart. Where there is one cluster it is empty on purpose.
    if label == "cluster" && matches!(lack, Some(Lack::Source(_))) {
        return None;
    }
    let arms = place.query.node.alive().count();
    let where_to = if arms > 1 { format!(" where the result is from {}", origin(arm)) } else { String::new() };
    let message = format!("`$labels.{label}` is empty{where_to}: {}", arm.labels.why_never(label));
    let carried: Vec<&str> = arm.labels.iter().map(|(name, _)| name.as_ref()).collect();
    let help = match carried.as_slice() {
        [] => format!("keep {label} in the expression, or take it out of the text: the result has no labels"),
        carried => format!("keep {label} in the expression, or use what the result has: {}", carried.join(", ")),
    };
    let check = match lack {
        Some(Lack::Recorded { .. }) => "record/dropped-label",
        _ => "alert/template-label",
    };
    let finding = place.error(check, &message).help(help);
    // Of some jobs the same series has it: only their alerts read as they should.
    let same = |other: &Arm| {
        (origin(other), other.kind) == (origin(arm), arm.kind) && other.labels.carries(label) != Carried::Never
    };
    Some(if place.query.node.alive().any(same) { finding.warning() } else { finding })
}

fn origin(arm: &Arm) -> String {
    match arm.origins.first() {
        Some(origin) => origin.series.to_string(),
        None => "a number".to_owned(),
    }
}

fn misprinted(place: &Place<'_, '_>, used: &ValueUse) -> Option<Finding> {
    let mut arms = place.query.node.alive().filter(|arm| arm.kind != Kind::Number);
    let (arm, problem, help) = arms.find_map(|arm| problem(arm, used).map(|(problem, help)| (arm, problem, help)))?;
    let message = format!("`{}` {problem}, and the value is {}", place.action(&used.action), with_unit(arm.unit));
    Some(place.error("alert/value-unit", &message).help(help))
}

/// How a value of this unit is misprinted, and what to do.
fn problem(arm: &Arm, used: &ValueUse) -> Option<(String, &'static str)> {
    let Unit::Known { seconds, bytes, count, factor } = arm.unit else { return None };
    let goes_through = |function: &str| used.functions.iter().any(|known| known == function);
    // A sum of zeros and ones by their number is a ratio, whatever the one was counted in.
    let per_count = matches!((seconds, bytes, count), (0, 0, -1)) && factor == 1.0;
    if goes_through("humanizePercentage") && arm.unit.is_not_ratio() && !per_count {
        let help = if arm.unit.is_percent() {
            "write `{{ $value | humanize }}%`, or do not multiply by 100"
        } else {
            "divide by the whole in the expression, or print it with `humanize`"
        };
        return Some(("multiplies a ratio by 100".into(), help));
    }
    for function in ["humanizeDuration", "humanizeTimestamp"] {
        if goes_through(function) && arm.unit.is_not_seconds() {
            return Some((format!("takes seconds for `{function}`"), "print it with `humanize`"));
        }
    }
    if goes_through("humanize1024") && bytes == 0 {
        return Some(("counts in steps of 1024, as bytes".into(), "print it with `humanize`"));
    }
    let is_part = (seconds, bytes, count) == (0, 0, 0) && factor == 1.0 && arm.interval.low <= 1.0;
    if used.percent && is_part && !goes_through("humanizePercentage") {
        return Some(("ends in a percent sign".into(), "print it with `humanizePercentage`, which multiplies by 100"));
    }
    None
}

fn with_unit(unit: Unit) -> String {
    match unit {
        Unit::Known { seconds: 0, bytes: 0, count: 0, factor: 1.0 } => "a ratio, 0.5 for 50 %".to_owned(),
        unit if unit.is_percent() => "in percent already".to_owned(),
        Unit::Known { seconds: 0, bytes: 0, .. } | Unit::Known { seconds: -1, bytes: 0, .. } => unit.to_string(),
        unit => format!("in {unit}"),
    }
}

/// A query inside of a text.
fn queried(world: &World<'_>, settings: &Settings, place: &Place<'_, '_>, text: &str) -> Vec<Finding> {
    match parse_expr(text) {
        Err(unread) => {
            vec![unread.weigh(place.error("alert/template-label", &format!("the query `{text}` {unread}")))]
        }
        Ok(expr) => {
            let inner = Query {
                node: infer(world, &expr),
                purpose: place.query.purpose,
                file: place.query.file,
                line: place.rule.line_of_key(place.key),
                subject: place.query.subject.clone(),
            };
            metric::check(world, settings, &inner)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::of_rules;
    use crate::finding::Severity;

    /// What is found about an alert with this expression and this text.
    fn found(expr: &str, text: &str) -> Vec<(&'static str, String)> {
        let rule = format!(
            "      - alert: A\n        expr: |\n          {expr}\n        for: 5m\n        labels: {{severity: warning}}\n        annotations:\n          summary: >-\n            {text}\n"
        );
        of_rules(&rule).into_iter().map(|finding| (finding.check, finding.message)).collect()
    }

    #[track_caller]
    fn finds(expr: &str, text: &str, checks: &[&str]) {
        let found = found(expr, text);
        let names: Vec<&str> = found.iter().map(|(check, _)| *check).collect();
        assert_eq!(names, checks, "{expr}\n{text}\n{found:#?}");
    }

    const FAILURES: &str = "sum by (namespace) (rate(runs_total{status=\"failed\"}[5m])) / sum by (namespace) (rate(runs_total[5m])) > 0.1";

    #[test]
    fn a_label_that_the_result_lacks_is_a_hole_in_the_text() {
        finds("sum by (namespace) (active_runs) > 5", "{{ $labels.namespace }}", &[]);
        finds(
            "sum by (namespace) (active_runs) > 5",
            "{{ $labels.tenant }}, {{ .Labels.tenant }}",
            &["alert/template-label"],
        );
        finds("active_runs > 5", "{{ index $labels \"queue\" }}", &["alert/template-label"]);
        let (_, message) = &found("sum by (namespace) (active_runs) > 5", "{{ $labels.tenant }}")[0];
        assert_eq!(message, "`$labels.tenant` is empty: `sum by (namespace)` drops it");
    }

    #[test]
    fn a_label_that_only_some_jobs_have_is_a_warning() {
        let severity = |expr: &str| {
            let rule = format!(
                "      - {{alert: A, expr: '{expr}', for: 5m, labels: {{severity: info}}, annotations: {{summary: \"{{{{ $labels.pod }}}}\"}}}}\n"
            );
            of_rules(&rule).iter().map(|finding| finding.severity).collect::<Vec<_>>()
        };
        assert_eq!(severity("up == 0"), [Severity::Warning]);
        assert_eq!(severity("up{job=\"kube-state-metrics\"} == 0"), [Severity::Error]);
        assert_eq!(severity("up{job=\"api\"} == 0 or absent(up{job=\"api\"})"), [Severity::Error]);
    }

    #[test]
    fn one_arm_without_the_label_is_enough() {
        finds("up{job=\"api\"} == 0 or absent(up{job=\"api\"})", "{{ $labels.job }}", &[]);
        finds("up{job=\"api\"} == 0 or absent(up{job=\"api\"})", "{{ $labels.pod }}", &["alert/template-label"]);
        finds("up{job=\"api\"} == 0 or absent(up{job=\"api\"})", "{{ with $labels.pod }}{{ . }}{{ end }}", &[]);
    }

    #[test]
    fn the_rules_own_labels_are_not_seen() {
        finds("active_runs > 5", "{{ $labels.severity }}", &["alert/template-label"]);
        finds("active_runs > 5", "{{ $labels.alertname }}", &["alert/template-label"]);
    }

    #[test]
    fn a_label_that_may_be_there_accuses_nobody() {
        finds("environment_info unless on (namespace) up{job=\"api\"}", "{{ $labels.deployment }}", &[]);
        finds("{job=\"other\"} > 5", "{{ $labels.anything }}", &[]);
    }

    #[test]
    fn the_label_of_a_cluster_may_be_empty_where_there_is_one() {
        finds("sum by (namespace, cluster) (active_runs) > 5", "{{ $labels.cluster }}", &[]);
        finds("sum by (namespace) ({job=\"other\"}) > 5", "{{ $labels.cluster }}", &["alert/template-label"]);
    }

    #[test]
    fn the_value_is_printed_as_what_it_is() {
        finds(FAILURES, "{{ $value | humanizePercentage }}", &[]);
        finds(FAILURES, "{{ printf \"%.2f\" $value }}%", &["alert/value-unit"]);
        finds(
            &FAILURES.replace("sum", "100 * sum").replace("/ 100 *", "/").replace("0.1", "10"),
            "{{ $value | humanizePercentage }}",
            &["alert/value-unit"],
        );
        finds("sum by (namespace) (active_runs) > 5", "{{ $value | humanizePercentage }}", &["alert/value-unit"]);
        finds("memory_bytes > 1e9", "{{ $value | humanize1024 }}", &[]);
        finds("memory_bytes > 1e9", "{{ $value | humanizeDuration }}", &["alert/value-unit"]);
        finds("sum by (namespace) (active_runs) > 5", "{{ $value | humanize1024 }}", &["alert/value-unit"]);
    }

    #[test]
    fn units_that_are_not_known_accuse_nobody() {
        finds("sum(up) / count(up) < 0.5", "{{ $value | humanizePercentage }}", &[]);
        finds("100 * (count by (job) (up == 0) / count by (job) (up)) > 10", "{{ printf \"%.4g\" $value }}%", &[]);
        finds(
            "rate(duration_seconds_sum[5m]) / rate(duration_seconds_count[5m]) > 3",
            "{{ $value | humanizeDuration }}",
            &[],
        );
        finds("deriv(memory_bytes[5m]) * 300 > 5", "{{ $value | humanize1024 }}", &[]);
    }

    #[test]
    fn queries_of_templates_are_checked() {
        finds("active_runs > 5", "{{ query \"sum(active_run)\" }}", &["query/unknown-metric"]);
        finds("active_runs > 5", "{{ query \"sum(\" }}", &["alert/template-label"]);
        finds("active_runs > 5", "{{ query \"sum(active_runs)\" }}{{ .Annotations.x }}", &["alert/template-label"]);
    }

    #[test]
    fn what_fails_when_the_alert_fires_is_found() {
        finds("active_runs > 5", "{{ template \"nope\" . }}", &["alert/template-label"]);
        finds("active_runs > 5", "{{ $labels.pod.x }}", &["alert/template-label"]);
    }

    #[test]
    fn prometheus_refuses_a_broken_template() {
        finds("active_runs > 5", "{{ $labels.tenant", &["file/syntax"]);
    }
}
