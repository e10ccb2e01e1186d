//! The labels of an alert as its rule makes it: those of the result, then the group's, then the rule's own.

use super::Node;
use super::labels::{Domain, Label, Labels};
use crate::rules::{Group, Rule, RuleKind};

/// The labels that the alerts of a rule carry, one set for each arm of its expression that can have a value. Of an
/// expression that never has one, the sets that its arms would have: that it is dead is said elsewhere.
pub fn alert_labels(node: &Node<'_>, rule: &Rule, group: &Group) -> Vec<Labels> {
    let alive: Vec<&Labels> = node.alive().map(|arm| &arm.labels).collect();
    let sets = if alive.is_empty() { node.arms.iter().map(|arm| &arm.labels).collect() } else { alive };
    let sets = sets.into_iter().cloned().map(|mut labels| {
        set_by_rule(&mut labels, rule, group);
        labels.set("alertname", Label::always(Domain::one(&rule.name)));
        labels
    });
    sets.collect()
}

/// Sets the labels that a rule and its group set on every series, the rule's last. An empty value takes a label away.
pub(super) fn set_by_rule(labels: &mut Labels, rule: &Rule, group: &Group) {
    for (name, value) in group.labels.iter().chain(&rule.labels) {
        if value.is_empty() {
            labels.drop(name, &rule.subject().into());
        } else if rule.kind == RuleKind::Alert && value.contains("{{") {
            // A template may give any text, also none.
            labels.set(name.as_str(), Label::default());
        } else {
            labels.set(name.as_str(), Label::always(Domain::one(value)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infer::{World, infer};
    use crate::{Contract, RuleFile};

    fn labels(rule: &str) -> Vec<String> {
        let text =
            format!("groups:\n  - name: g\n    labels: {{team: core, severity: info}}\n    rules:\n      - {rule}\n");
        let files: Vec<RuleFile> = RuleFile::parse("r.yaml", &text, &mut Vec::new()).into_iter().collect();
        let contract = Contract::default();
        let (world, group) = (World::new(&contract, &files), &files[0].groups[0]);
        let node = infer(&world, &group.rules[0].ast);
        alert_labels(&node, &group.rules[0], group).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_rule_overrides_its_group_and_the_group_the_result() {
        assert_eq!(
            labels("{alert: A, expr: 'sum by (team, pod) (x) > 0', labels: {severity: warning}}"),
            ["alertname (A), pod?, severity (warning), team (core)"]
        );
        assert_eq!(
            labels("{alert: A, expr: 'sum by (pod) (x) > 0', labels: {team: '', severity: '{{ $labels.pod }}'}}"),
            ["alertname (A), pod?, severity?"]
        );
    }

    #[test]
    fn each_arm_that_can_have_a_value_has_its_set() {
        let set = |labels: &str| format!("alertname (A), {labels}severity (info), team (core)");
        assert_eq!(labels("{alert: A, expr: 'sum by (pod) (x) > 0 or sum(y) > 0'}"), [set("pod?, "), set("")]);
        assert_eq!(labels("{alert: A, expr: 'sum(x) > 0 or vector(1) > 2'}"), [set("")]);
        assert_eq!(labels("{alert: A, expr: 'vector(1) > 2'}"), [set("")]);
    }
}
