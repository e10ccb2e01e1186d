//! The checks. Each is one file, finds problems and nothing else; exceptions are taken out at the end, in one place.

mod metric;
mod severity;

use std::collections::BTreeSet;

use crate::contract::Contract;
use crate::dashboard::Dashboard;
use crate::exception;
use crate::finding::Finding;
use crate::rules::RuleFile;

/// Runs every check over rule files and dashboards. Recording rules among `rules` are known to all of them. Findings
/// come sorted by place.
pub fn run(rules: &[RuleFile], dashboards: &[Dashboard], contract: &Contract) -> Vec<Finding> {
    let recorded: BTreeSet<&str> = rules.iter().flat_map(RuleFile::rules).filter_map(|rule| rule.record()).collect();
    let known = metric::Known { contract, recorded };
    let mut findings = Vec::new();
    for file in rules {
        for (group, rule) in file.groups.iter().flat_map(|group| group.rules.iter().map(move |rule| (group, rule))) {
            let mut found = metric::check(&known, &rule.ast, &file.path, rule.expr_line, &rule.subject());
            found.extend(severity::check(&file.path, group, rule));
            findings.extend(exception::apply(&file.path, &rule.exceptions, found));
        }
    }
    for dashboard in dashboards {
        let found = dashboard
            .queries
            .iter()
            .flat_map(|query| metric::check(&known, &query.ast, &dashboard.path, query.line, &query.subject))
            .collect();
        findings.extend(exception::apply(&dashboard.allow_path(), &dashboard.exceptions, found));
    }
    findings.sort();
    findings
}
