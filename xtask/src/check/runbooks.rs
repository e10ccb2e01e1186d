//! What this repository wants of its runbooks: a page per alert with the same sections, and queries that run, against
//! metrics that there are. A ```` ```promql ```` block holds one query in each line.

use rulecheck::checks::{self, DocumentQuery};
use rulecheck::query::parse_expr;
use rulecheck::{Finding, Settings};

use crate::model::Model;
use crate::sources::Sources;

const FOLDER: &str = "docs/runbooks";
/// The overview, which is no alert's page.
const OVERVIEW: &str = "README.md";
const SECTIONS: [&str; 5] = ["Confirm", "Likely causes", "What to do", "When it is a false alarm", "Tuning"];

pub(super) fn check(sources: &Sources, model: &Model, settings: &Settings) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut queries = Vec::new();
    for path in sources.below(FOLDER).filter(|path| path.ends_with(".md")) {
        let text = match sources.text(path) {
            Ok(text) => text,
            Err(finding) => {
                findings.push(finding);
                continue;
            }
        };
        let name = &path[FOLDER.len() + 1..];
        if name != OVERVIEW {
            findings.extend(page(model, path, name.trim_end_matches(".md"), text));
        }
        queries.extend(self::queries(path, text, &mut findings));
    }
    findings.extend(checks::run_documents(&queries, &model.rules, &model.contract, settings));
    findings
}

fn page(model: &Model, path: &str, alert: &str, text: &str) -> Vec<Finding> {
    let error = |line, message| Finding::error(path, line, "alert/policy", message);
    let mut findings = Vec::new();
    if !model.alerts().any(|(_, _, rule)| rule.name == alert) {
        findings.push(error(1, format!("there is no alert `{alert}`")).help("name the page as its alert is called"));
    }
    if text.lines().next() != Some(&format!("# {alert}")) {
        findings.push(error(1, format!("the page does not begin with `# {alert}`")));
    }
    let sections: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    if sections != SECTIONS {
        let message = format!("the sections are {}, expected {}", sections.join(", "), SECTIONS.join(", "));
        findings.push(error(1, message));
    }
    let confirm = text.split("\n## ").find(|section| section.starts_with("Confirm"));
    if confirm.is_some_and(|section| !section.contains("```promql")) {
        findings.push(error(1, "the section `Confirm` has no query".to_owned()));
    }
    findings
}

/// The queries of a page.
fn queries<'a>(path: &'a str, text: &str, findings: &mut Vec<Finding>) -> Vec<DocumentQuery<'a>> {
    let mut queries = Vec::new();
    let mut inside = false;
    for (number, line) in (1..).zip(text.lines()) {
        match line.strip_prefix("```") {
            Some(kind) => inside = kind == "promql",
            None if inside => match parse_expr(line) {
                Ok(expr) => queries.push(DocumentQuery { file: path, line: number, expr }),
                Err(unread) => {
                    let message = format!("the query {unread}");
                    findings.push(Finding::error(path, number, "file/syntax", message));
                }
            },
            None => {}
        }
    }
    queries
}
