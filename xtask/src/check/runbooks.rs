//! What this repository wants of its runbooks: a page per alert with the same sections, and queries that run, against
//! metrics that there are. A ```` ```promql ```` block holds one query in each line.

use rulecheck::{Finding, RuleFile, Settings, checks};
use serde_json::json;

use crate::model::Model;
use crate::sources::Sources;

const FOLDER: &str = "docs/runbooks";
/// The overview, which is no alert's page.
const OVERVIEW: &str = "README.md";
const SECTIONS: [&str; 5] = ["Confirm", "Likely causes", "What to do", "When it is a false alarm", "Tuning"];

/// A person reads the answer: that nothing is there yet is one.
const DARK: &str = "query/dark-metric";

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
        queries.extend(of_page(path, text, &mut findings));
    }
    findings.extend(run(model, settings, &queries));
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
struct Queries<'a> {
    /// As a rule file: one recording rule for each.
    rules: RuleFile,
    path: &'a str,
    /// The line of each query, by the line of its rule.
    lines: Vec<(usize, usize)>,
}

fn of_page<'a>(path: &'a str, text: &str, findings: &mut Vec<Finding>) -> Option<Queries<'a>> {
    let mut rules = "groups:\n  - name: runbook\n    rules:\n".to_owned();
    let mut lines = Vec::new();
    let mut inside = false;
    for (number, line) in (1..).zip(text.lines()) {
        match line.strip_prefix("```") {
            Some(kind) => inside = kind == "promql",
            None if inside => {
                let rule = json!({"record": format!("runbook:line{number}:query"), "expr": line});
                rules += &format!("      - {rule}\n");
                lines.push((lines.len() + 4, number));
            }
            None => {}
        }
    }
    let mut wrong = Vec::new();
    let parsed = (!lines.is_empty()).then(|| RuleFile::parse(path, &rules, &mut wrong)).flatten();
    findings.extend(wrong.into_iter().map(|finding| placed(finding, &lines)));
    Some(Queries { rules: parsed?, path, lines })
}

/// A finding at the line of the page that its query stands in.
fn placed(mut finding: Finding, lines: &[(usize, usize)]) -> Finding {
    finding.line = lines.iter().find(|(rule, _)| *rule == finding.line).map_or(1, |(_, line)| *line);
    finding.subject = String::new();
    finding
}

fn run(model: &Model, settings: &Settings, queries: &[Queries<'_>]) -> Vec<Finding> {
    let mut rules = model.rules.clone();
    rules.extend(queries.iter().map(|queries| queries.rules.clone()));
    let found = checks::run(&rules, &[], &[], &model.contract, settings).into_iter();
    let wanted = found.filter(|finding| {
        let of_queries = finding.check.starts_with("query/") || finding.check.starts_with("match/");
        of_queries && finding.check != DARK
    });
    let of_pages = wanted.filter_map(|finding| {
        let queries = queries.iter().find(|queries| queries.path == finding.file)?;
        Some(placed(finding, &queries.lines))
    });
    of_pages.collect()
}
