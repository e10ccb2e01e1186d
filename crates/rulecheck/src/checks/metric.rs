//! `query/unknown-metric`: no contract file and no recording rule knows the metric, so the query is empty for ever.
//! `query/dark-metric`: the metric is declared as defined but never recorded, so it is empty today.

use std::collections::BTreeSet;

use super::{Purpose, Query, Settings};
use crate::contract::Emitted;
use crate::finding::Finding;
use crate::infer::{Series, World};
use crate::query::{metric_name, selectors};

pub(super) fn check(world: &World<'_>, _: &Settings, query: &Query<'_>) -> Vec<Finding> {
    let names: BTreeSet<&str> = selectors(query.node.expr).into_iter().filter_map(metric_name).collect();
    names.into_iter().filter_map(|name| one(world, query, name)).collect()
}

fn one(world: &World<'_>, query: &Query<'_>, name: &str) -> Option<Finding> {
    match world.series(name) {
        Series::Unknown => {
            let help = match nearest(world, name) {
                Some(near) => format!("did you mean {near}?"),
                None => "declare it in the metric contract, in the file of the source that exposes it".into(),
            };
            Some(query.error("query/unknown-metric", format!("no contract file declares {name}")).help(help))
        }
        // To the person who asks, that nothing is there yet is an answer.
        Series::Declared(..) if matches!(query.purpose, Purpose::Document) => None,
        Series::Declared(metric, _) if metric.emitted == Emitted::Dark => Some(
            query
                .error("query/dark-metric", format!("{name} is defined but never recorded"))
                .help("use a metric that is emitted, or allow it with what it waits for as the reason"),
        ),
        _ => None,
    }
}

fn nearest<'a>(world: &World<'a>, name: &str) -> Option<&'a str> {
    let most = name.len() / 4;
    let candidates = world.contract.metrics.keys().map(String::as_str).chain(world.recorded());
    // The lengths alone rule most of them out, and a foreign file may ask for thousands.
    let candidates = candidates.filter(|candidate| candidate.len().abs_diff(name.len()) <= most);
    let (distance, near) = candidates.map(|candidate| (strsim::levenshtein(candidate, name), candidate)).min()?;
    (distance <= most).then_some(near)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{finds, of_alert, of_rules};
    use super::super::{Settings, run};
    use crate::{Contract, RuleFile};

    #[test]
    fn what_is_declared_recorded_or_built_in_passes() {
        let record = "      - {record: \"r:x\", expr: vector(1)}\n";
        let alert = "      - {alert: A, expr: \"rate(requests_total[5m]) > 0 and on () (r:x == 1)\", labels: {severity: info}}\n";
        assert_eq!(of_rules(&format!("{record}{alert}")), []);
        finds("up{job=\"api\"} == 0", &[]);
    }

    /// The rule cannot be read, and still makes the series that others ask for.
    #[test]
    fn what_a_broken_rule_records_is_no_unknown_metric() {
        let text = "groups:\n- name: g\n  rules:\n  - record: r:x\n    # rulecheck: allow record/unused: read by hand\n    expr: sum(\n  - {alert: A, expr: 'sum by (job) (r:x) > 5', labels: {severity: info}}\n";
        let mut findings = Vec::new();
        let rules: Vec<RuleFile> = RuleFile::parse("r.yaml", text, &mut findings).into_iter().collect();
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(run(&rules, &[], &[], &Contract::default(), &Settings::default()), []);
    }

    #[test]
    fn an_unknown_metric_gets_a_suggestion() {
        finds("rate(requests_totl[5m]) > 0", &["query/unknown-metric"]);
        let found = of_rules("      - {alert: A, expr: \"memory_byte > 0\", labels: {severity: info}}\n");
        assert_eq!(found[0].help, "did you mean memory_bytes?");
    }

    #[test]
    fn a_dark_metric_needs_a_reason_and_the_reason_a_dark_metric() {
        let rule = |comment: &str, expr: &str| {
            format!(
                "      - alert: A\n        {comment}\n        expr: {expr} > 0\n        labels: {{severity: info}}\n"
            )
        };
        let allow = "# rulecheck: allow query/dark-metric: lit with version 2";
        finds("rate(dark_total[5m]) > 0", &["query/dark-metric"]);
        assert_eq!(of_rules(&rule(allow, "rate(dark_total[5m])")), []);
        assert_eq!(of_rules(&rule(allow, "rate(requests_total[5m])"))[0].check, "exception/unused");
        assert!(of_alert("memory_bytes > 0").is_empty());
    }
}
