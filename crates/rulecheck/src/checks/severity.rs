//! `alert/policy`, the part that holds everywhere: routing and people go by an alert's severity.

use super::{Query, Settings};
use crate::finding::Finding;
use crate::infer::World;
use crate::rules::{Group, Rule};

/// What mixins and the stack's own alerts use. `none` is for alerts that nobody is told of, such as a watchdog.
const SEVERITIES: [&str; 4] = ["critical", "warning", "info", "none"];

pub(super) fn check(_: &World<'_>, _: &Settings, query: &Query<'_>) -> Vec<Finding> {
    query.alert().and_then(|(rule, group)| of_alert(query.file, group, rule)).into_iter().collect()
}

fn of_alert(file: &str, group: &Group, rule: &Rule) -> Option<Finding> {
    let message = match rule.labels.get("severity").or_else(|| group.labels.get("severity")) {
        None => "the label `severity` is missing".to_owned(),
        // A template has its value from the series.
        Some(severity) if SEVERITIES.contains(&severity.as_str()) || severity.contains("{{") => return None,
        Some(severity) => format!("the severity `{severity}` is unknown"),
    };
    let finding = Finding::error(file, rule.line, "alert/policy", message).about(rule.subject());
    Some(finding.help(format!("set it to one of {}", SEVERITIES.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::RuleFile;

    fn found(group: &str, rule: &str) -> Option<String> {
        let text = format!("groups:\n- name: g\n{group}  rules:\n  - {rule}\n    expr: up == 0\n");
        let file = RuleFile::parse("r.yaml", &text, &mut Vec::new()).unwrap();
        of_alert("r.yaml", &file.groups[0], &file.groups[0].rules[0]).map(|finding| finding.to_string())
    }

    #[test]
    fn an_alert_has_a_severity_that_is_known() {
        assert_eq!(found("", "alert: A\n    labels: {severity: none}"), None);
        assert_eq!(found("  labels: {severity: info}\n", "alert: A"), None);
        assert_eq!(found("", "alert: A\n    labels: {severity: '{{ $labels.severity }}'}"), None);
        let help = "\n  help: set it to one of critical, warning, info, none";
        assert_eq!(
            found("", "alert: A"),
            Some(format!("r.yaml:4: error: alert/policy: alert A: the label `severity` is missing{help}"))
        );
        let unknown = found("  labels: {severity: info}\n", "alert: A\n    labels: {severity: page}");
        assert_eq!(
            unknown,
            Some(format!("r.yaml:5: error: alert/policy: alert A: the severity `page` is unknown{help}"))
        );
    }
}
