//! `route/group-by`: alerts are grouped by a label that none of them carries, so that the groups are wider than they
//! look: one notification for what should be several.

use std::collections::BTreeMap;

use super::{Alert, Context, did_you_mean};
use crate::alertmanager::Grouping;
use crate::finding::Finding;

const CHECK: &str = "route/group-by";

pub(super) fn check(context: &Context<'_>) -> Vec<Finding> {
    // Each grouping with the alerts that are grouped by it, here or on routes within.
    let mut groupings: BTreeMap<&str, (&Grouping, Vec<&Alert<'_>>)> = BTreeMap::new();
    for route in context.config.root.walk() {
        let Some(traffic) = context.traffic.get(route.path.as_str()) else { continue };
        let (_, alerts) = groupings.entry(&route.grouping.path).or_insert_with(|| (&route.grouping, Vec::new()));
        alerts.extend(&traffic.delivered);
    }
    let groupings = groupings.into_values().filter(|(_, alerts)| !alerts.is_empty());
    groupings.flat_map(|(grouping, alerts)| of_grouping(context, grouping, &alerts)).collect()
}

fn of_grouping(context: &Context<'_>, grouping: &Grouping, alerts: &[&Alert<'_>]) -> Vec<Finding> {
    let labels = grouping.labels.iter().flatten();
    let missing = labels.filter(|label| !alerts.iter().any(|alert| alert.may_carry(label)));
    let findings = missing.map(|label| {
        let sets = || alerts.iter().flat_map(|alert| &alert.sets);
        let why = sets().next().map(|labels| labels.why_never(label)).unwrap_or_default();
        let example = alerts.first().map_or("", |alert| alert.name);
        let message = format!("no alert that is grouped here carries `{label}`: in {example}, {why}");
        let near = did_you_mean(label, sets().flat_map(|labels| labels.iter()).map(|(name, _)| name.as_ref()));
        let help =
            if near.is_empty() { format!("take `{label}` out, or keep it in the alerts' expressions") } else { near };
        context.error(grouping.line, CHECK, &grouping.path, message).warning().help(help)
    });
    findings.collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{findings, of_rules};

    const CONFIG: &str = "route:
  receiver: a
  group_by: [alertname, namespace, cluster]
  routes:
    - matchers: [severity=critical]
      group_by: ['...']
    - matchers: [severity=warning]
receivers: [{name: a}]
";

    const RULES: &str = "      - {alert: A, expr: 'sum(up) > 0', labels: {severity: critical}}
      - {alert: B, expr: 'sum(up) > 0', labels: {severity: warning}}
      - {alert: C, expr: 'sum by (namespace) (up) > 0', labels: {severity: info}}
";

    #[test]
    fn a_label_that_no_grouped_alert_has_is_found() {
        let without = RULES.replace("sum by (namespace)", "sum");
        let found = of_rules(CONFIG, &without);
        assert_eq!(
            found.iter().map(ToString::to_string).collect::<Vec<_>>(),
            [
                "a.yml:3: warning: route/group-by: route route: no alert that is grouped here carries `namespace`: in C, `sum` \
              drops it\n  help: take `namespace` out, or keep it in the alerts' expressions"
            ]
        );
    }

    #[test]
    fn what_one_alert_has_and_what_prometheus_may_add_passes() {
        assert_eq!(of_rules(CONFIG, RULES), []);
        assert_eq!(findings(CONFIG, &[]), []);
        let dots = CONFIG.replace("[alertname, namespace, cluster]", "['...']");
        assert_eq!(findings(&dots, &[("A", "severity: critical"), ("B", "severity: warning")]), []);
    }
}
