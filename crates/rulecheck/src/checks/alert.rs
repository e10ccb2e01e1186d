//! What an alert is for the one who is paged.
//!
//! `alert/policy`: it has no severity, or one that nobody routes by. `alert/static-label`: a label that the rule sets, an
//! alert's or a recording rule's, overrides one by which the result's series differ, so that they become one.
//! `alert/too-many`: it can fire for more
//! series than anyone can look at.

use std::collections::BTreeMap;

use super::{Purpose, Query, Settings};
use crate::finding::Finding;
use crate::infer::{Arm, Kind, Label, World};
use crate::rules::{Group, Rule, RuleKind};

/// The severities that routes and inhibitions go by. `none` is for alerts that are always there, or serve inhibitions.
const SEVERITIES: [&str; 4] = ["critical", "warning", "info", "none"];

/// More alerts of one rule than this are not read one by one.
const MANY: u64 = 100;

pub(super) fn check(_: &World<'_>, _: &Settings, query: &Query<'_>) -> Vec<Finding> {
    let Purpose::Rule(rule, group) = query.purpose else { return Vec::new() };
    let labels = set_labels(rule, group);
    let mut findings: Vec<Finding> =
        labels.iter().filter_map(|(name, value)| overrides(query, rule, name, value)).collect();
    if rule.kind == RuleKind::Alert {
        findings.extend(severity(query, rule, &labels));
        findings.extend(too_many(query));
    }
    findings
}

/// The labels that a rule and its group set on all that it makes.
pub(super) fn set_labels<'a>(rule: &'a Rule, group: &'a Group) -> BTreeMap<&'a str, &'a str> {
    let labels = group.labels.iter().chain(&rule.labels);
    labels.map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

fn severity(query: &Query<'_>, rule: &Rule, labels: &BTreeMap<&str, &str>) -> Option<Finding> {
    let known = SEVERITIES.join(", ");
    let (message, help) = match labels.get("severity") {
        None => ("the label `severity` is missing, and routes go by it".to_owned(), format!("set one of {known}")),
        Some(severity) if severity.contains("{{") || SEVERITIES.contains(severity) => return None,
        Some(severity) => {
            let word = severity.to_lowercase();
            let is_near = |known: &&&str| known.starts_with(&word) || strsim::levenshtein(known, &word) <= 2;
            let near = SEVERITIES.iter().find(is_near).filter(|_| !word.is_empty());
            let help = near.map_or_else(String::new, |near| format!("did you mean {near}?"));
            (format!("the severity `{severity}` is none of {known}"), help)
        }
    };
    let line = rule.line_of_key("severity");
    Some(Finding::error(query.file, line, "alert/policy", message).about(query.subject.as_str()).help(help))
}

fn overrides(query: &Query<'_>, rule: &Rule, name: &str, value: &str) -> Option<Finding> {
    if value.contains("{{") {
        return None;
    }
    let mut arms = query.node.alive();
    let label = arms.find_map(|arm| arm.labels.get(name).filter(|label| label.domain.only() != Some(value)))?;
    let several = label.count().is_some_and(|count| count > 1);
    let values = describe(label);
    let made = if rule.kind == RuleKind::Alert { "alerts" } else { "series" };
    let message = match several {
        true => format!(
            "`{name}: {value}` overrides the result's {name}, which is {values}: {made} that differ in nothing else become \
             one, and Prometheus then fails the whole rule"
        ),
        false => format!("`{name}: {value}` overrides the result's {name}, which is lost"),
    };
    let help = format!("give the rule's label another name, or aggregate {name} away");
    let line = rule.line_of_key(name);
    let finding = Finding::error(query.file, line, "alert/static-label", message).about(query.subject.as_str());
    Some(if several { finding.help(help) } else { finding.help(help).warning() })
}

fn describe(label: &Label) -> String {
    match (label.domain.known(), label.count()) {
        (Some(_), _) => label.domain.to_string(),
        (None, Some(count)) => format!("about {count} values"),
        (None, None) => label.domain.to_string(),
    }
}

fn too_many(query: &Query<'_>) -> Option<Finding> {
    let arm = query.node.alive().max_by_key(|arm| arm.series())?;
    if arm.series() <= MANY || arm.is_picked() {
        return None;
    }
    let counted = arm.labels.iter().filter_map(|(name, label)| Some((name, label.count()?)));
    let mut counted: Vec<(&str, u64)> =
        counted.filter(|(_, count)| *count > 1).map(|(name, count)| (name.as_ref(), count)).collect();
    counted.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let labels: Vec<String> = counted.iter().map(|(name, count)| format!("{name} ({count})")).collect();
    let labels = labels.join(", ");
    let many = arm.series();
    let message = match holds_while_idle(arm) {
        true => {
            format!("about {many} alerts, by {labels}: each idle series fires on its own, and most are idle at times")
        }
        false => format!("up to {many} alerts at once, by {labels}"),
    };
    let by = match (arm.labels.get("namespace").is_some(), arm.kind == Kind::Quantile) {
        (true, true) => " by (namespace, le)",
        (true, false) => " by (namespace)",
        (false, true) => " by (le)",
        (false, false) => "",
    };
    let help = format!("aggregate first: `sum{by} (…)`, or keep only the label that someone acts on");
    let finding = query.error("alert/too-many", message).help(help);
    Some(if holds_while_idle(arm) { finding } else { finding.warning() })
}

/// Whether the condition is that nothing, or little, happens: what a series does most of the time.
fn holds_while_idle(arm: &Arm) -> bool {
    arm.kind == Kind::Rate && arm.interval.contains(0.0) && arm.interval.high.is_finite()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{finds, of_file, of_rules};

    fn with_labels(expr: &str, labels: &str) -> Vec<(&'static str, String)> {
        let rules = format!("      - alert: A\n        expr: {expr}\n        for: 5m\n        labels: {{{labels}}}\n");
        of_rules(&rules).into_iter().map(|finding| (finding.check, finding.severity.to_string())).collect()
    }

    fn error(check: &'static str) -> Vec<(&'static str, String)> {
        vec![(check, "error".to_owned())]
    }

    #[test]
    fn routes_need_a_severity_that_they_know() {
        for good in [
            "severity: critical",
            "severity: none",
            "severity: \"{{ if gt $value 5.0 }}critical{{ else }}info{{ end }}\"",
        ] {
            assert_eq!(with_labels("sum(active_runs) > 5", good), []);
        }
        for bad in ["", "team: core", "severity: crit", "severity: Critical"] {
            assert_eq!(with_labels("sum(active_runs) > 5", bad), error("alert/policy"), "{bad}");
        }
    }

    #[test]
    fn a_label_by_which_alerts_differ_is_not_overridden() {
        let by_status = "sum by (status) (rate(runs_total[5m])) > 5";
        assert_eq!(with_labels(by_status, "severity: info, status: bad"), error("alert/static-label"));
        assert_eq!(
            with_labels("sum by (tenant) (active_runs) > 5", "severity: info, tenant: x"),
            error("alert/static-label")
        );
        assert_eq!(with_labels("sum by (pod) (active_runs) > 5", "severity: info, pod: x")[0].1, "warning");
        assert_eq!(with_labels(by_status, "severity: info, component: x"), []);
        assert_eq!(with_labels("sum by (pool) (pool_open) > 5", "severity: info, pool: main"), []);
    }

    #[test]
    fn a_label_by_which_recorded_series_differ_is_not_overridden() {
        let found = |labels: &str| {
            let text = format!(
                "groups:\n- name: g\n  labels: {{{labels}}}\n  rules:\n  - record: namespace_status:runs:rate5m\n    expr: sum by (namespace, status) (rate(runs_total[5m]))\n"
            );
            of_file(&text)
                .into_iter()
                .map(|finding| format!("{} {}", finding.severity, finding.check))
                .collect::<Vec<_>>()
        };
        assert_eq!(found("status: x"), ["error alert/static-label"]);
        assert_eq!(found("team: x"), [""; 0]);
    }

    #[test]
    fn more_alerts_than_anyone_reads_are_found() {
        finds("sum by (tenant) (rate(runs_total[5m])) > 5", &[]);
        finds("rate(deliveries_total[5m]) > 5", &["alert/too-many"]);
        finds("topk(3, rate(deliveries_total[5m])) > 5", &[]);
        finds("count(rate(deliveries_total[5m])) > 5", &[]);
    }

    #[test]
    fn an_alert_for_each_idle_series_is_an_error() {
        let severity = |expr: &str| {
            with_labels(expr, "severity: info")
                .iter()
                .find(|(check, _)| *check == "alert/too-many")
                .map(|(_, severity)| severity.clone())
        };
        assert_eq!(severity("rate(deliveries_total[5m]) == 0"), Some("error".to_owned()));
        assert_eq!(severity("rate(deliveries_total[5m]) > 0"), Some("warning".to_owned()));
    }
}
