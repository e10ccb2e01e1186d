//! The checks. Each file here is one check or a small family: it looks at inferred queries, finds problems and nothing
//! else. Exceptions are taken out at the end, in one place.

mod metric;
mod route;

use crate::alertmanager::Alertmanager;
use crate::contract::Contract;
use crate::dashboard::{self, Dashboard};
use crate::exception;
use crate::finding::Finding;
use crate::infer::{Node, World, infer};
use crate::rules::{Group, Rule, RuleFile, RuleKind};

/// What the checks need to know of the Prometheus that will run the rules.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How often a group without an interval of its own is evaluated, in seconds.
    pub evaluation_interval: f64,
    /// For how long samples are kept, in seconds; `None` where that is not known.
    pub retention: Option<f64>,
}

impl Default for Settings {
    /// Prometheus' own defaults.
    fn default() -> Settings {
        Settings { evaluation_interval: 60.0, retention: None }
    }
}

/// A query with its inference and the place where it stands.
pub(crate) struct Query<'a> {
    pub(crate) node: Node<'a>,
    /// What the query is for.
    pub(crate) purpose: Purpose<'a>,
    pub(crate) file: &'a str,
    /// The line of the expression.
    pub(crate) line: usize,
    pub(crate) subject: String,
}

/// What a query is for.
#[derive(Clone, Copy)]
pub(crate) enum Purpose<'a> {
    /// An alerting or a recording rule.
    Rule(&'a Rule, &'a Group),
    /// A panel of a dashboard.
    Panel(&'a Dashboard, &'a dashboard::Query),
}

impl<'a> Query<'a> {
    /// An error about this query.
    pub(crate) fn error(&self, check: &'static str, message: impl Into<String>) -> Finding {
        Finding::error(self.file, self.line, check, message).about(self.subject.as_str())
    }

    /// The alerting rule that the query belongs to.
    pub(crate) fn alert(&self) -> Option<(&'a Rule, &'a Group)> {
        match self.purpose {
            Purpose::Rule(rule, group) if rule.kind == RuleKind::Alert => Some((rule, group)),
            _ => None,
        }
    }

    /// The recording rule that the query belongs to.
    pub(crate) fn record(&self) -> Option<(&'a Rule, &'a Group)> {
        match self.purpose {
            Purpose::Rule(rule, group) if rule.kind == RuleKind::Record => Some((rule, group)),
            _ => None,
        }
    }
}

/// A check of single queries.
type QueryCheck = fn(&World<'_>, &Settings, &Query<'_>) -> Vec<Finding>;

/// The checks of single queries, in no particular order.
const QUERY_CHECKS: [QueryCheck; 1] = [metric::check];

/// Runs every check over rule files, dashboards and Alertmanager configurations. Recording rules among `rules` are
/// known to all of them, and every configuration is checked against all alerts. Findings come sorted by place, each
/// once.
pub fn run(
    rules: &[RuleFile],
    dashboards: &[Dashboard],
    alertmanagers: &[Alertmanager],
    contract: &Contract,
    settings: &Settings,
) -> Vec<Finding> {
    let world = World::new(contract, rules);
    let mut findings = Vec::new();
    let mut alerts = Vec::new();
    for file in rules {
        let queries = of_rules(&world, file);
        for query in &queries {
            let Purpose::Rule(rule, _) = query.purpose else { continue };
            let found = QUERY_CHECKS.iter().flat_map(|check| check(&world, settings, query)).collect();
            findings.extend(exception::apply(&file.path, &rule.exceptions, found));
        }
        if !alertmanagers.is_empty() {
            alerts.extend(queries.iter().filter_map(route::Alert::of));
        }
    }
    for dashboard in dashboards {
        let queries = of_panels(&world, dashboard);
        let found =
            queries.iter().flat_map(|query| QUERY_CHECKS.iter().flat_map(|check| check(&world, settings, query)));
        findings.extend(exception::apply(&dashboard.allow_path(), &dashboard.exceptions, found.collect()));
    }
    let alerts = route::with_the_stack(alerts);
    findings.extend(alertmanagers.iter().flat_map(|alertmanager| route::check(alertmanager, &alerts)));
    findings.sort();
    findings.dedup();
    findings
}

fn of_rules<'a>(world: &World<'_>, file: &'a RuleFile) -> Vec<Query<'a>> {
    let rules = file.groups.iter().flat_map(|group| group.rules.iter().map(move |rule| (rule, group)));
    let queries = rules.map(|(rule, group)| Query {
        node: infer(world, &rule.ast),
        purpose: Purpose::Rule(rule, group),
        file: &file.path,
        line: rule.expr_line,
        subject: rule.subject(),
    });
    queries.collect()
}

fn of_panels<'a>(world: &World<'_>, dashboard: &'a Dashboard) -> Vec<Query<'a>> {
    let queries = dashboard.queries.iter().map(|query| Query {
        node: infer(world, &query.ast),
        purpose: Purpose::Panel(dashboard, query),
        file: &dashboard.path,
        line: query.line,
        subject: query.subject.clone(),
    });
    queries.collect()
}

#[cfg(test)]
mod testing {
    //! What the checks' own tests share: one expression, as an alert or a record, against a small contract.

    use super::*;

    /// The contract of the checks' tests.
    pub(super) const CONTRACT: &str = include_str!("../../../docs/checks/contract.yaml");

    /// What the checks find about `rules`, a text of a group's rule list, each as `check: message`.
    pub(super) fn of_rules(rules: &str) -> Vec<Finding> {
        let text = format!("groups:\n  - name: g\n    interval: 30s\n    rules:\n{rules}");
        let mut findings = Vec::new();
        let contract = Contract::parse([("m.yaml", CONTRACT)], &mut findings);
        let files: Vec<RuleFile> = RuleFile::parse("r.yaml", &text, &mut findings).into_iter().collect();
        assert_eq!(findings, [], "{text}");
        run(&files, &[], &[], &contract, &Settings::default())
    }

    /// What the checks find about an alert with this expression, each as `check: message`.
    pub(super) fn of_alert(expr: &str) -> Vec<String> {
        let rules = format!(
            "      - alert: A\n        expr: |\n          {expr}\n        for: 5m\n        labels: {{severity: warning}}\n"
        );
        of_rules(&rules).iter().map(|finding| format!("{}: {}", finding.check, finding.message)).collect()
    }

    /// Asserts that just the checks of these names find something.
    #[track_caller]
    pub(super) fn finds(expr: &str, checks: &[&str]) {
        let found = of_alert(expr);
        let names: Vec<&str> = found.iter().filter_map(|text| text.split(": ").next()).collect();
        assert_eq!(names, checks, "{expr}\n{found:#?}");
    }
}
