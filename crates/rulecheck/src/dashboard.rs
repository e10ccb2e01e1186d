//! Grafana dashboards in classic JSON: structure and the PromQL of their panels.
//!
//! Only the classic form is safe with file provisioning; Grafana refuses the others there, mostly in silence.

use promql_parser::parser::Expr;
use serde_json::Value;

use crate::exception::Exception;
use crate::finding::Finding;
use crate::json::StringLines;
use crate::query::parse_expr;

/// Classic dashboards of Grafana 11 to 13; older ones are migrated on load, with losses.
const SCHEMA_VERSIONS: std::ops::RangeInclusive<u64> = 39..=42;

/// One dashboard.
#[derive(Debug)]
pub struct Dashboard {
    /// The path as the caller named it.
    pub path: String,
    /// Its stable id, which links use.
    pub uid: String,
    /// Its title.
    pub title: String,
    /// The queries of its panels, in reading order.
    pub queries: Vec<Query>,
    /// Findings that `<name>.allow.yaml` beside it allows.
    pub exceptions: Vec<Exception>,
}

/// One query of one panel.
#[derive(Debug)]
pub struct Query {
    /// `dashboard › panel › refId`.
    pub subject: String,
    /// The expression as written.
    pub expr: String,
    /// The expression with Grafana's variables filled in, parsed.
    pub ast: Expr,
    /// The line of the expression, from 1.
    pub line: usize,
}

impl Dashboard {
    /// Reads a dashboard. What keeps Grafana from provisioning it, and every query that does not parse, is a finding;
    /// the other queries are read all the same. `None` when the file is in a form that has no panels to read.
    pub fn parse(path: &str, text: &str, findings: &mut Vec<Finding>) -> Option<Dashboard> {
        let json: Value = match serde_json::from_str(text) {
            Ok(json) => json,
            Err(error) => {
                let message = error.to_string();
                let message = message.split(" at line").next().unwrap_or(&message);
                findings.push(Finding::error(path, error.line(), "file/syntax", message));
                return None;
            }
        };
        if let Some((message, help)) = unsupported_form(&json) {
            findings.push(Finding::error(path, 1, "dashboard/structure", message).help(help));
            return None;
        }
        let mut problem = |key: &str, message: String| {
            findings.push(Finding::error(path, line_of_key(text, key), "dashboard/structure", message));
        };
        let text_of = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
        let (uid, title) = (text_of("uid"), text_of("title"));
        if !is_uid(&uid) {
            problem("uid", format!("uid `{uid}` is not 1 to 40 letters, digits, dashes or underscores"));
        }
        if title.is_empty() {
            problem("title", "a dashboard without a title is not provisioned".into());
        }
        if !json["schemaVersion"].as_u64().is_some_and(|version| SCHEMA_VERSIONS.contains(&version)) {
            let (low, high) = (SCHEMA_VERSIONS.start(), SCHEMA_VERSIONS.end());
            problem("schemaVersion", format!("schemaVersion is {}, expected {low} to {high}", json["schemaVersion"]));
        }
        let queries = queries(path, text, &json, &title, findings);
        Some(Dashboard { path: path.to_owned(), uid, title, queries, exceptions: Vec::new() })
    }

    /// The file beside the dashboard that holds its exceptions.
    pub fn allow_path(&self) -> String {
        format!("{}.allow.yaml", self.path.strip_suffix(".json").unwrap_or(&self.path))
    }
}

/// Why a JSON document is no classic dashboard, and what to do.
fn unsupported_form(json: &Value) -> Option<(&'static str, &'static str)> {
    if !json.is_object() {
        return Some(("not a dashboard: a JSON object is expected", "export the dashboard as classic JSON"));
    }
    if json["dashboard"].is_object() {
        return Some((
            "wrapped in {\"dashboard\": …}, the form of Grafana's HTTP API; provisioning finds no title in it",
            "keep only what is inside `dashboard`",
        ));
    }
    if json.get("elements").is_some() || json.get("apiVersion").is_some() {
        return Some(("a resource or v2 dashboard, which file provisioning refuses", "export it as classic JSON"));
    }
    if json.get("__inputs").is_some() {
        return Some((
            "exported for sharing: `__inputs` are not resolved when a file is provisioned",
            "export without \"share externally\" and use a datasource variable",
        ));
    }
    None
}

fn is_uid(uid: &str) -> bool {
    (1..=40).contains(&uid.len()) && uid.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
}

fn queries(path: &str, text: &str, json: &Value, dashboard: &str, findings: &mut Vec<Finding>) -> Vec<Query> {
    let mut queries = Vec::new();
    let mut lines = StringLines::new(text, &["expr"]);
    for panel in panels(json) {
        let panel_title = panel["title"].as_str().unwrap_or("(untitled)");
        for target in panel["targets"].as_array().into_iter().flatten() {
            let Some(expr) = target["expr"].as_str() else {
                continue;
            };
            let subject = format!("{dashboard} › {panel_title} › {}", target["refId"].as_str().unwrap_or("?"));
            let line = lines.next("expr", expr);
            match parse_expr(&fill_variables(expr)) {
                Ok(ast) => queries.push(Query { subject, expr: expr.to_owned(), ast, line }),
                Err(message) => {
                    let message = format!("the query does not parse: {}", message.trim());
                    findings.push(Finding::error(path, line, "file/syntax", message).about(subject));
                }
            }
        }
    }
    queries
}

/// The panels of a dashboard, those inside collapsed rows too.
pub fn panels(json: &Value) -> Vec<&Value> {
    let mut found = Vec::new();
    for panel in json["panels"].as_array().into_iter().flatten() {
        found.push(panel);
        found.extend(panel["panels"].as_array().into_iter().flatten());
    }
    found
}

/// Grafana's interval variables stand where PromQL wants a duration. Variables inside quotes parse as they are.
fn fill_variables(expr: &str) -> String {
    ["__rate_interval", "__interval", "__range"].iter().fold(expr.to_owned(), |expr, name| {
        expr.replace(&format!("${{{name}}}"), "5m").replace(&format!("${name}"), "5m")
    })
}

fn line_of_key(text: &str, key: &str) -> usize {
    let key = format!("\"{key}\":");
    // The dashboard's own keys stand least indented; panels have titles too.
    let lines = (1..).zip(text.lines()).filter(|(_, line)| line.trim_start().starts_with(&key));
    lines.min_by_key(|(_, line)| line.len() - line.trim_start().len()).map_or(1, |(number, _)| number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BOARD: &str = r#"{
  "uid": "board",
  "title": "Board",
  "schemaVersion": 41,
  "panels": [
    {"type": "row", "panels": [
      {"title": "P", "targets": [
        {"refId": "A",
         "expr": "rate(up{job=~\"$job\"}[$__rate_interval])"}]}]}
  ]
}
"#;

    fn errors(text: &str) -> Vec<String> {
        let mut findings = Vec::new();
        Dashboard::parse("b.json", text, &mut findings);
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn queries_know_their_panel_and_line() {
        let board = Dashboard::parse("b.json", BOARD, &mut Vec::new()).unwrap();
        assert_eq!((board.queries[0].subject.as_str(), board.queries[0].line), ("Board › P › A", 9));
    }

    #[test]
    fn what_grafana_would_not_provision_is_found() {
        for (from, to, expected) in [
            ("\"uid\": \"board\"", "\"uid\": \"a b\"", "b.json:2: error: dashboard/structure: uid `a b`"),
            ("\"title\": \"Board\"", "\"title\": \"\"", "b.json:3: error: dashboard/structure: a dashboard without"),
            ("41", "16", "b.json:4: error: dashboard/structure: schemaVersion is 16"),
            ("rate(", "rate((", "b.json:9: error: file/syntax: Board › P › A: the query does not parse"),
            ("\"panels\": [\n", "\"panels\": [\n,", "b.json:6: error: file/syntax:"),
            ("\"uid\"", "\"__inputs\": [], \"uid\"", "b.json:1: error: dashboard/structure: exported for sharing"),
        ] {
            let found = errors(&BOARD.replacen(from, to, 1));
            assert!(found.len() == 1 && found[0].starts_with(expected), "{expected}\n{found:?}");
        }
        assert!(errors(&format!("{{\"dashboard\": {BOARD}}}"))[0].contains("wrapped"));
        assert!(errors("[]")[0].contains("not a dashboard"));
    }

    proptest! {
        #[test]
        fn no_mutation_panics(at in 0..BOARD.len(), with in "[ -~]{0,3}", length in 0_usize..20) {
            let mut text = BOARD.to_owned();
            let end = (at + length).min(text.len());
            text.replace_range(at..end, &with);
            Dashboard::parse("b.json", &text, &mut Vec::new());
        }
    }
}
