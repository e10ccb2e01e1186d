//! `record/unused`: a recording rule that no other rule and no panel reads, or that another rule of its group reads
//! before it is computed, and so one evaluation late.

use std::collections::BTreeSet;

use promql_parser::label::{MatchOp, Matcher};
use promql_parser::parser::Expr;

use crate::dashboard::Dashboard;
use crate::finding::Finding;
use crate::infer::World;
use crate::query::{instant_selectors, metric_name, parse_expr, selectors};
use crate::rules::{Group, Rule, RuleFile};
use crate::template::Template;

pub(super) fn check(_: &World<'_>, files: &[RuleFile], dashboards: &[Dashboard]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let used = Used::by(files, dashboards);
    for file in files {
        for group in &file.groups {
            findings.extend(group.rules.iter().filter_map(|rule| unused(file, rule, &used)));
            findings.extend(too_late(file, group));
        }
    }
    findings
}

/// What rules and panels read.
#[derive(Default)]
struct Used<'a> {
    names: BTreeSet<String>,
    /// Selectors that take names by a pattern.
    patterns: Vec<&'a Matcher>,
    /// Whether there is anything that could use a recording rule beside others.
    is_complete: bool,
}

impl<'a> Used<'a> {
    fn by(files: &'a [RuleFile], dashboards: &'a [Dashboard]) -> Used<'a> {
        let mut used = Used::default();
        for rule in files.iter().flat_map(RuleFile::rules) {
            let record = rule.record();
            used.is_complete |= record.is_none();
            used.read(&rule.ast, record);
            let queries = rule.annotations.values().filter(|text| text.contains("query"));
            for template in queries.filter_map(|text| Template::parse(text).ok()) {
                let parsed = template.queries.iter().filter_map(|query| parse_expr(query).ok());
                let names = parsed.flat_map(|expr| names(&expr));
                used.names.extend(names);
            }
        }
        for query in dashboards.iter().flat_map(|dashboard| &dashboard.queries) {
            used.is_complete = true;
            used.read(&query.ast, None);
        }
        used
    }

    fn read(&mut self, expr: &'a Expr, by: Option<&str>) {
        for selector in selectors(expr) {
            match metric_name(selector) {
                Some(name) if Some(name) == by => {}
                Some(name) => {
                    self.names.insert(name.to_owned());
                }
                None => {
                    self.patterns
                        .extend(selector.matchers.matchers.iter().filter(|matcher| matcher.name == "__name__"));
                }
            }
        }
    }

    fn has(&self, name: &str) -> bool {
        let by_pattern = |matcher: &&Matcher| !matches!(matcher.op, MatchOp::Equal) && matcher.is_match(name);
        self.names.contains(name) || self.patterns.iter().any(by_pattern)
    }
}

fn names(expr: &Expr) -> Vec<String> {
    selectors(expr).into_iter().filter_map(metric_name).map(str::to_owned).collect()
}

fn unused(file: &RuleFile, rule: &Rule, used: &Used<'_>) -> Option<Finding> {
    let name = rule.record()?;
    if !used.is_complete || used.has(name) {
        return None;
    }
    let message = format!("nothing among the checked rules and dashboards reads {name}");
    Some(
        Finding::error(&file.path, rule.expr_line, "record/unused", message)
            .about(rule.subject())
            .help("take it out, or allow it with who reads it as the reason")
            .warning(),
    )
}

/// Rules of a group run one after the other, those of different groups at times of their own. What a range reads hardly
/// differs by one evaluation.
fn too_late(file: &RuleFile, group: &Group) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut later: BTreeSet<&str> = BTreeSet::new();
    for (index, rule) in group.rules.iter().enumerate().rev() {
        let read = instant_selectors(&rule.ast).into_iter().filter_map(metric_name).find(|name| {
            let before = || group.rules[..index].iter().any(|other| other.record() == Some(*name));
            later.contains(name) && rule.record() != Some(name) && !before()
        });
        if let Some(name) = read {
            let message = format!("{name} is computed further down in this group: what is read is one evaluation old");
            findings.push(
                Finding::error(&file.path, rule.expr_line, "record/unused", message)
                    .about(rule.subject())
                    .help(format!("move the rule that records {name} above this one"))
                    .warning(),
            );
        }
        later.extend(rule.record());
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::testing::of_rules;

    const RECORD: &str = "      - {record: \"namespace:runs:sum\", expr: 'sum by (namespace) (active_runs)'}\n";

    fn alert(expr: &str) -> String {
        format!("      - {{alert: A, expr: '{expr}', for: 5m, labels: {{severity: info}}}}\n")
    }

    fn found(rules: &[&str]) -> Vec<(String, String)> {
        let found = of_rules(&rules.concat()).into_iter();
        found.map(|finding| (finding.check.to_owned(), finding.subject)).collect()
    }

    fn unused(subject: &str) -> Vec<(String, String)> {
        vec![("record/unused".to_owned(), subject.to_owned())]
    }

    #[test]
    fn what_nobody_reads_is_found() {
        assert_eq!(found(&[RECORD, &alert("namespace:runs:sum > 5")]), []);
        assert_eq!(found(&[RECORD, &alert("sum(active_runs) > 5")]), unused("record namespace:runs:sum"));
        assert_eq!(found(&[RECORD, &alert("{__name__=~\"namespace:.+\"} > 5")]), []);
    }

    #[test]
    fn recording_rules_alone_are_for_someone_else() {
        assert_eq!(found(&[RECORD]), []);
    }

    #[test]
    fn a_query_in_a_text_reads_too() {
        let alert = "      - alert: A\n        expr: sum(active_runs) > 5\n        for: 5m\n        labels: {severity: info}\n        annotations:\n          summary: \"{{ query `namespace:runs:sum` }}\"\n";
        assert_eq!(found(&[RECORD, alert]), []);
    }

    #[test]
    fn a_rule_comes_before_those_that_read_it() {
        assert_eq!(found(&[&alert("namespace:runs:sum > 5"), RECORD]), unused("alert A"));
        assert_eq!(found(&[&alert("avg_over_time(namespace:runs:sum[1d]) > 5"), RECORD]), []);
    }
}
