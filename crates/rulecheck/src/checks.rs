//! The checks. Each file here is one check or a small family: it looks at inferred queries, finds problems and nothing
//! else. Exceptions are taken out at the end, in one place.

mod alert;
mod condition;
mod constant;
mod contradiction;
mod dashboard;
mod division;
mod duplicate;
mod histogram;
mod join;
mod kind;
pub mod link;
mod matching;
mod metric;
mod presence;
mod range;
mod record;
mod regexp;
mod route;
mod selector;
mod template;
mod timing;
mod usage;

use std::collections::BTreeMap;

use promql_parser::parser::Expr;

use crate::alertmanager::Alertmanager;
use crate::contract::Contract;
use crate::dashboard::{Dashboard, Definition, Variable};
use crate::exception;
use crate::finding::Finding;
use crate::infer::{Node, World, infer};
use crate::query::seconds;
use crate::rules::{Group, Rule, RuleFile, RuleKind};
pub use dashboard::unique_dashboards;

/// What the checks need to know of the Prometheus that will run the rules. What is not known accuses nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Settings {
    /// How often a group without an interval of its own is evaluated, in seconds; `None` where that is not known.
    pub evaluation_interval: Option<f64>,
    /// For how long samples are kept, in seconds; `None` where that is not known.
    pub retention: Option<f64>,
}

impl Settings {
    /// How often the group is evaluated, in seconds, as far as that is known.
    pub(crate) fn interval_of(&self, group: &Group) -> Option<f64> {
        group.interval.as_deref().map_or(self.evaluation_interval, seconds)
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
    /// A panel of a dashboard, or an annotation.
    Panel(&'a Dashboard, &'a crate::dashboard::Query),
    /// The values of a dashboard's variable. Nobody looks at its numbers: only its selectors matter.
    Variable(&'a Variable),
    /// A person, who runs it by hand as a text says.
    Document,
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
const QUERY_CHECKS: &[QueryCheck] = &[
    alert::check,
    constant::check,
    contradiction::check,
    division::check,
    histogram::check,
    join::check,
    kind::check,
    matching::check,
    metric::check,
    presence::check,
    range::check,
    record::check,
    selector::check,
    template::check,
    timing::check,
];

/// Those of them that look at selectors alone, for the variables of dashboards.
const SELECTOR_CHECKS: &[QueryCheck] = &[metric::check, selector::check];

/// A check of all rules and dashboards together. What it finds stands at the line of a rule's expression.
type WholeCheck = fn(&World<'_>, &[RuleFile], &[Dashboard]) -> Vec<Finding>;

/// The checks of everything together, in no particular order.
const WHOLE_CHECKS: [WholeCheck; 2] = [duplicate::check, usage::check];

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
    run_beside(rules, dashboards, alertmanagers, contract, settings, Vec::new())
}

/// The same, with what the caller found himself: the exceptions of a dashboard cover that too.
pub fn run_beside(
    rules: &[RuleFile],
    dashboards: &[Dashboard],
    alertmanagers: &[Alertmanager],
    contract: &Contract,
    settings: &Settings,
    mut others: Vec<Finding>,
) -> Vec<Finding> {
    let world = World::new(contract, rules);
    let mut findings = Vec::new();
    let mut together = by_rule(WHOLE_CHECKS.iter().flat_map(|check| check(&world, rules, dashboards)));
    let mut alerts = Vec::new();
    for file in rules {
        // One after the other: all inferences of a large file together would fill the memory.
        for (query, rule) in of_rules(&world, file) {
            let mut found: Vec<Finding> =
                QUERY_CHECKS.iter().flat_map(|check| check(&world, settings, &query)).collect();
            found.extend(together.remove(&(file.path.clone(), query.line, query.subject.clone())).unwrap_or_default());
            findings.extend(exception::apply(&file.path, &rule.exceptions, found));
            if !alertmanagers.is_empty() {
                alerts.extend(route::Alert::of(&query));
            }
        }
    }
    for dashboard in dashboards {
        let (panels, variables) = (of_panels(&world, dashboard), of_variables(&world, dashboard));
        let of_panels = panels.iter().flat_map(|query| QUERY_CHECKS.iter().map(move |check| (check, query)));
        let of_variables = variables.iter().flat_map(|query| SELECTOR_CHECKS.iter().map(move |check| (check, query)));
        let of_queries = of_panels.chain(of_variables).flat_map(|(check, query)| check(&world, settings, query));
        let own = others.extract_if(.., |finding| finding.file == dashboard.path);
        let found = of_queries.chain(dashboard::check(dashboard, &panels, &variables)).chain(own).collect();
        findings.extend(exception::apply(&dashboard.allow_path(), &dashboard.exceptions, found));
    }
    findings.append(&mut others);
    findings.extend(unique_dashboards(dashboards));
    let alerts = route::with_the_stack(alerts);
    findings.extend(alertmanagers.iter().flat_map(|alertmanager| route::check(alertmanager, &alerts)));
    findings.sort();
    findings.dedup();
    findings
}

/// A query of a text, such as a runbook's, with the file and the line that it stands in.
pub struct DocumentQuery<'a> {
    /// The text's path.
    pub file: &'a str,
    /// The line, from 1.
    pub line: usize,
    /// The query, parsed.
    pub expr: Expr,
}

/// Runs the checks of single queries over those of texts, which know the recording rules among `rules`.
pub fn run_documents(
    queries: &[DocumentQuery<'_>],
    rules: &[RuleFile],
    contract: &Contract,
    settings: &Settings,
) -> Vec<Finding> {
    let world = World::new(contract, rules);
    let of = |&DocumentQuery { file, line, ref expr }| {
        let node = infer(&world, expr);
        let query = Query { node, purpose: Purpose::Document, file, line, subject: String::new() };
        QUERY_CHECKS.iter().flat_map(|check| check(&world, settings, &query)).collect::<Vec<_>>()
    };
    let mut findings: Vec<Finding> = queries.iter().flat_map(of).collect();
    findings.sort();
    findings.dedup();
    findings
}

/// Findings by file, line and subject, so that a rule's exceptions cover those that other checks make of it.
fn by_rule(findings: impl Iterator<Item = Finding>) -> BTreeMap<(String, usize, String), Vec<Finding>> {
    let mut found: BTreeMap<_, Vec<Finding>> = BTreeMap::new();
    for finding in findings {
        found.entry((finding.file.clone(), finding.line, finding.subject.clone())).or_default().push(finding);
    }
    found
}

fn of_rules<'a>(world: &World<'_>, file: &'a RuleFile) -> impl Iterator<Item = (Query<'a>, &'a Rule)> {
    let rules = file.groups.iter().flat_map(|group| group.rules.iter().map(move |rule| (rule, group)));
    rules.filter(|(rule, _)| rule.is_read).map(|(rule, group)| {
        let query = Query {
            node: infer(world, &rule.ast),
            purpose: Purpose::Rule(rule, group),
            file: &file.path,
            line: rule.expr_line,
            subject: rule.subject(),
        };
        (query, rule)
    })
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

/// What the variables of a dashboard ask for, where that is PromQL.
fn of_variables<'a>(world: &World<'_>, dashboard: &'a Dashboard) -> Vec<Query<'a>> {
    let queries = dashboard.variables.iter().filter_map(|variable| {
        let expr = match &variable.definition {
            Definition::LabelValues(Some(expr), _) | Definition::QueryResult(expr) => expr,
            Definition::LabelValues(None, _) | Definition::Other => return None,
        };
        Some(Query {
            node: infer(world, expr),
            purpose: Purpose::Variable(variable),
            file: &dashboard.path,
            line: variable.query_line,
            subject: variable.subject(dashboard),
        })
    });
    queries.collect()
}

#[cfg(test)]
mod testing {
    //! What the checks' own tests share: one expression, as an alert or a record, or one dashboard, against a small
    //! contract.

    use super::*;

    /// The contract of the checks' tests.
    pub(super) const CONTRACT: &str = include_str!("../../../docs/checks/contract.yaml");

    /// The settings of the checks' tests.
    const SETTINGS: Settings = Settings { evaluation_interval: Some(60.0), retention: Some(15.0 * 86_400.0) };

    /// What the checks find about `rules`, a text of a group's rule list, each as `check: message`.
    pub(super) fn of_rules(rules: &str) -> Vec<Finding> {
        of_file(&format!("groups:\n  - name: g\n    interval: 30s\n    rules:\n{rules}"))
    }

    /// What the checks find about a whole rule file.
    pub(super) fn of_file(text: &str) -> Vec<Finding> {
        let mut findings = Vec::new();
        let contract = Contract::parse([("m.yaml", CONTRACT)], &mut findings);
        let files: Vec<RuleFile> = RuleFile::parse("r.yaml", text, &mut findings).into_iter().collect();
        assert_eq!(findings, [], "{text}");
        run(&files, &[], &[], &contract, &SETTINGS)
    }

    /// The names of the checks that find something about a dashboard with this query, which is written as in JSON.
    pub(super) fn of_board(expr: &str) -> Vec<&'static str> {
        let text = format!(
            r#"{{"uid": "b", "title": "B", "schemaVersion": 41, "panels": [{{"id": 1, "type": "timeseries", "title": "P", "targets": [{{"refId": "A", "expr": "{expr}"}}]}}]}}"#
        );
        let mut findings = Vec::new();
        let contract = Contract::parse([("m.yaml", CONTRACT)], &mut findings);
        let boards: Vec<Dashboard> = Dashboard::parse("b.json", &text, &mut findings).into_iter().collect();
        assert_eq!(findings, [], "{text}");
        let found = run(&[], &boards, &[], &contract, &SETTINGS);
        found.iter().map(|finding| finding.check).filter(|check| !check.starts_with("dashboard/")).collect()
    }

    /// What the checks find about a dashboard.
    pub(super) fn of_dashboard(text: &str) -> Vec<Finding> {
        let mut findings = Vec::new();
        let contract = Contract::parse([("m.yaml", CONTRACT)], &mut findings);
        let dashboards: Vec<Dashboard> = Dashboard::parse("b.json", text, &mut findings).into_iter().collect();
        assert_eq!(findings, [], "{text}");
        run(&[], &dashboards, &[], &contract, &Settings::default())
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
