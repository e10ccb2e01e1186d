//! `query/unknown-metric`: no contract file and no recording rule knows the metric, so the query is empty for ever.
//! `query/dark-metric`: the metric is declared as defined but never recorded, so it is empty today.

use std::collections::BTreeSet;

use promql_parser::parser::Expr;

use crate::contract::{Contract, Emitted};
use crate::finding::Finding;
use crate::query::{metric_name, selectors};

/// Every name that a query may ask for.
pub(super) struct Known<'a> {
    pub(super) contract: &'a Contract,
    pub(super) recorded: BTreeSet<&'a str>,
}

pub(super) fn check(known: &Known<'_>, expr: &Expr, file: &str, line: usize, subject: &str) -> Vec<Finding> {
    let names: BTreeSet<&str> = selectors(expr).into_iter().filter_map(metric_name).collect();
    let mut findings = Vec::new();
    for name in names {
        if known.recorded.contains(name) || Contract::is_built_in(name) {
            continue;
        }
        match known.contract.metric(name) {
            None => findings.push(
                Finding::error(file, line, "query/unknown-metric", format!("no contract file declares {name}"))
                    .about(subject)
                    .help(match nearest(known, name) {
                        Some(near) => format!("did you mean {near}?"),
                        None => "declare it in the metric contract, in the file of the source that exposes it".into(),
                    }),
            ),
            Some(metric) if metric.emitted == Emitted::Dark => findings.push(
                Finding::error(file, line, "query/dark-metric", format!("{name} is defined but never recorded"))
                    .about(subject)
                    .help("use a metric that is emitted, or allow it with what it waits for as the reason"),
            ),
            Some(_) => {}
        }
    }
    findings
}

/// The known name that differs in a quarter of its letters at most, and the least.
fn nearest<'a>(known: &'a Known<'_>, name: &str) -> Option<&'a str> {
    let most = name.len() / 4;
    let candidates = known.contract.metrics.keys().map(String::as_str).chain(known.recorded.iter().copied());
    // The lengths alone rule most of them out, and a foreign file may ask for thousands.
    let candidates = candidates.filter(|candidate| candidate.len().abs_diff(name.len()) <= most);
    let (distance, near) = candidates.map(|candidate| (strsim::levenshtein(candidate, name), candidate)).min()?;
    (distance <= most).then_some(near)
}

#[cfg(test)]
mod tests {
    use crate::contract::Contract;
    use crate::rules::RuleFile;

    const CONTRACT: &str = "jobs:\n  j: {scrape_interval: 15s}\nmetrics:\n  live_total: {type: counter, unit: things, jobs: [j], emitted: live}\n  dark_total: {type: counter, unit: things, jobs: [j], emitted: dark}\n";

    fn check(expr: &str, comment: &str) -> Vec<String> {
        let text = format!(
            "groups:\n  - name: g\n    rules:\n      - record: r:x\n        expr: vector(1)\n      - alert: A\n        {comment}\n        expr: {expr}\n        labels: {{severity: info}}\n"
        );
        let mut findings = Vec::new();
        let contract = Contract::parse([("m.yaml", CONTRACT)], &mut findings);
        let rules: Vec<RuleFile> = RuleFile::parse("r.yaml", &text, &mut findings).into_iter().collect();
        findings.extend(super::super::run(&rules, &[], &contract));
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_declared_recorded_or_built_in_passes() {
        assert_eq!(check("rate(live_total[5m]) > 0 and on () (r:x == up)", "# fine"), Vec::<String>::new());
    }

    #[test]
    fn an_unknown_metric_gets_a_suggestion() {
        assert_eq!(
            check("live_totl > 0", "# wrong"),
            [
                "r.yaml:8: error: query/unknown-metric: alert A: no contract file declares live_totl\n  help: did you mean live_total?"
            ]
        );
    }

    #[test]
    fn a_dark_metric_needs_a_reason_and_the_reason_a_dark_metric() {
        let allow = "# rulecheck: allow query/dark-metric: lit with version 2";
        assert!(check("dark_total > 0", "# wrong")[0].contains("query/dark-metric: alert A: dark_total is defined"));
        assert_eq!(check("dark_total > 0", allow), Vec::<String>::new());
        assert!(check("live_total > 0", allow)[0].starts_with("r.yaml:7: error: exception/unused: alert A"));
        assert!(
            check("dark_total > 0", "# rulecheck: allow query/dark-metric")[0].contains("without a check or a reason")
        );
    }
}
