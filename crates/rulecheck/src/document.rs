//! Files from anywhere, told apart by their shape: rule files, PrometheusRule objects, dashboards and Alertmanager's
//! configuration, in YAML streams, in JSON and in ConfigMaps. Path and bytes in, documents and findings out.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::alertmanager::Alertmanager;
use crate::dashboard::Dashboard;
use crate::exception::{self, Exception};
use crate::finding::Finding;
use crate::rules::{self, RuleFile};
use crate::yaml::{self, Part};

/// What the file beside a dashboard that holds its exceptions is called.
const ALLOW: &str = ".allow.yaml";

/// What was found in some files.
#[derive(Debug, Default)]
pub struct Documents {
    /// Rule files, and one for each PrometheusRule.
    pub rules: Vec<RuleFile>,
    /// Dashboards, with their exceptions.
    pub dashboards: Vec<Dashboard>,
    /// Configurations of Alertmanager.
    pub alertmanagers: Vec<Alertmanager>,
}

/// What a document is.
enum Shape {
    Rules,
    RuleObjects,
    Alertmanager,
    /// The files that a ConfigMap holds, by their keys.
    ConfigMap(Vec<(String, String)>),
    /// It belongs beside ours, but is nothing that is checked: another kind of object, a unit test.
    Other(String),
    Unknown,
}

impl Documents {
    /// Reads files (path, bytes) in their order. What cannot be read is one finding and is left out. Objects of other
    /// kinds are passed over, unless nothing in all the files is ours: then each file with one is a finding.
    pub fn read<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>, findings: &mut Vec<Finding>) -> Documents {
        let files: Vec<(&str, &[u8])> = files.into_iter().collect();
        let paths: BTreeSet<&str> = files.iter().map(|(path, _)| *path).collect();
        let mut reader =
            Reader { documents: Documents::default(), passed_over: Vec::new(), allowed: Vec::new(), findings };
        for (path, bytes) in files {
            reader.file(path, bytes, &paths);
        }
        reader.finish()
    }

    fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.dashboards.is_empty() && self.alertmanagers.is_empty()
    }
}

/// The text of a file that must be UTF-8, without a byte order mark.
pub fn text<'a>(path: &str, bytes: &'a [u8]) -> Result<&'a str, Finding> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()].iter().filter(|&&byte| byte == b'\n').count() + 1;
        Finding::error(path, line, "file/encoding", "the file is not UTF-8").help("save it as UTF-8")
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

struct Reader<'f> {
    documents: Documents,
    /// A finding for each file in which something was passed over.
    passed_over: Vec<Finding>,
    /// The exceptions of dashboards, by the path of their file.
    allowed: Vec<(String, Vec<Exception>)>,
    findings: &'f mut Vec<Finding>,
}

impl Reader<'_> {
    fn file(&mut self, path: &str, bytes: &[u8], paths: &BTreeSet<&str>) {
        let before = (self.findings.len(), self.passed_over.len());
        let text = match text(path, bytes) {
            Ok(text) => text,
            Err(finding) => return self.findings.push(finding),
        };
        if let Some(name) = path.strip_suffix(ALLOW) {
            return self.allow_file(path, text, &format!("{name}.json"), paths);
        }
        if self.is_dashboard(path, text) {
            return self.documents.dashboards.extend(Dashboard::parse(path, text, self.findings));
        }
        let parts = if self.findings.len() == before.0 { yaml::documents(text) } else { return };
        if parts.is_empty() {
            self.findings.push(Finding::error(path, 1, "file/unknown-kind", "the file is empty"));
        }
        for part in parts {
            self.part(path, part, before);
        }
    }

    /// Whether the text is JSON that Grafana made, or was to. A `.json` file that is no JSON is a finding at once.
    fn is_dashboard(&mut self, path: &str, text: &str) -> bool {
        let named = path.ends_with(".json");
        if !named && !text.trim_start().starts_with('{') {
            return false;
        }
        const KEYS: [&str; 7] = ["panels", "schemaVersion", "dashboard", "elements", "rows", "templating", "__inputs"];
        match serde_json::from_str::<Value>(text) {
            Ok(json) => {
                let of_grafana =
                    |version: &Value| version.as_str().is_some_and(|v| v.starts_with("dashboard.grafana."));
                KEYS.iter().any(|key| json.get(key).is_some()) || json.get("apiVersion").is_some_and(of_grafana)
            }
            Err(error) if named => {
                let message = error.to_string();
                let message = message.split(" at line").next().unwrap_or(&message);
                self.findings.push(Finding::error(path, error.line(), "file/syntax", message));
                false
            }
            // A map of YAML in flow style begins with a brace too.
            Err(_) => false,
        }
    }

    /// One document. `before` counts the findings and what was passed over ahead of its file.
    fn part(&mut self, path: &str, part: Part<'_>, before: (usize, usize)) {
        let shape = match yaml::parse::<serde_yaml::Value>(part.text) {
            Ok(value) => shape(&value),
            Err(error) => {
                let line = part.first_line - 1 + error.line;
                return self.findings.push(Finding::error(path, line, "file/syntax", error.message));
            }
        };
        let unknown = |message: String| {
            Finding::error(path, part.first_line, "file/unknown-kind", message).help(
                "what is read: rule files, PrometheusRule objects, dashboards and Alertmanager's configuration file",
            )
        };
        match shape {
            Shape::Rules => self.documents.rules.extend(RuleFile::in_stream(path, part, self.findings)),
            Shape::RuleObjects => self.documents.rules.extend(RuleFile::in_objects(path, part, self.findings)),
            Shape::Alertmanager => {
                // Empty lines before it give every line its number in the file.
                let text = "\n".repeat(part.first_line - 1) + part.text;
                self.documents.alertmanagers.extend(Alertmanager::parse(path, &text, self.findings));
            }
            Shape::ConfigMap(files) => {
                let read =
                    files.iter().map(|(key, text)| self.in_config_map(path, part, key, text)).filter(|ours| *ours);
                if read.count() == 0 && self.passed_over.len() == before.1 {
                    self.passed_over.push(unknown("nothing here is checked: kind ConfigMap".to_owned()));
                }
            }
            // One finding a file says enough.
            Shape::Other(what) if self.passed_over.len() == before.1 => {
                self.passed_over.push(unknown(format!("nothing here is checked: {what}")));
            }
            Shape::Unknown if self.findings.len() == before.0 => {
                self.findings.push(unknown("none of the formats that are checked".to_owned()));
            }
            Shape::Other(_) | Shape::Unknown => {}
        }
    }

    /// A file inside of a ConfigMap, which may be anything; whether it is ours.
    fn in_config_map(&mut self, path: &str, part: Part<'_>, key: &str, text: &str) -> bool {
        let is_key = |line: &&str| {
            let line = line.trim_start().trim_start_matches(['"', '\'']);
            line.strip_prefix(key)
                .is_some_and(|rest| rest.trim_start_matches(['"', '\'']).trim_start().starts_with(':'))
        };
        let line = part.text.lines().position(|line| is_key(&line)).unwrap_or(0);
        let is_block = part.text.lines().nth(line).is_some_and(|line| line.contains(": |") || line.contains(": >"));
        let first_line = part.first_line + line + usize::from(is_block);
        let numbered = || "\n".repeat(first_line - 1) + text;
        if text.trim_start().starts_with('{') && self.is_dashboard("", text) {
            self.documents.dashboards.extend(Dashboard::parse(path, &numbered(), self.findings));
            return true;
        }
        match yaml::parse(text).map(|value| shape(&value)) {
            Ok(Shape::Rules) => {
                self.documents.rules.extend(RuleFile::in_stream(path, Part { text, first_line }, self.findings));
            }
            Ok(Shape::Alertmanager) => {
                self.documents.alertmanagers.extend(Alertmanager::parse(path, &numbered(), self.findings));
            }
            _ => return false,
        }
        true
    }

    fn allow_file(&mut self, path: &str, text: &str, dashboard: &str, paths: &BTreeSet<&str>) {
        match exception::in_file(path, text) {
            Ok(_) if !paths.contains(dashboard) => {
                let message = format!("there is no {dashboard}");
                self.findings.push(Finding::error(path, 1, "exception/unused", message));
            }
            Ok(exceptions) => self.allowed.push((path.to_owned(), exceptions)),
            Err(finding) => self.findings.push(finding),
        }
    }

    fn finish(mut self) -> Documents {
        for dashboard in &mut self.documents.dashboards {
            let path = dashboard.allow_path();
            if let Some((_, exceptions)) = self.allowed.iter().find(|(allowed, _)| *allowed == path) {
                dashboard.exceptions.clone_from(exceptions);
            }
        }
        // A finding says already what is wrong with the rest.
        if self.documents.is_empty() && self.findings.is_empty() {
            self.findings.append(&mut self.passed_over);
        }
        self.documents
    }
}

/// Tells a parsed document's kind.
fn shape(document: &serde_yaml::Value) -> Shape {
    let has = |key: &str| document.get(key).is_some();
    if let Some(kind) = document.get("kind").and_then(serde_yaml::Value::as_str) {
        if kind == "ConfigMap" {
            let data = document.get("data").and_then(serde_yaml::Value::as_mapping);
            let files = data.into_iter().flatten();
            let text = |value: &serde_yaml::Value| value.as_str().map(str::to_owned);
            return Shape::ConfigMap(files.filter_map(|(key, file)| Some((text(key)?, text(file)?))).collect());
        }
        return if holds_rules(document) { Shape::RuleObjects } else { Shape::Other(format!("kind {kind}")) };
    }
    if has("groups") {
        Shape::Rules
    } else if has("route") && has("receivers") {
        Shape::Alertmanager
    } else if has("tests") && (has("rule_files") || has("evaluation_interval")) {
        Shape::Other("unit tests of promtool".to_owned())
    } else {
        Shape::Unknown
    }
}

/// Whether an object is a PrometheusRule, or a list with one.
fn holds_rules(object: &serde_yaml::Value) -> bool {
    let kind = object.get("kind").and_then(serde_yaml::Value::as_str);
    let items = object.get("items").and_then(serde_yaml::Value::as_sequence);
    kind == Some(rules::KIND) || items.into_iter().flatten().any(holds_rules)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read<'a>(files: &[(&'a str, &'a [u8])]) -> (Documents, Vec<String>) {
        let mut findings = Vec::new();
        let documents = Documents::read(files.iter().copied(), &mut findings);
        (documents, findings.iter().map(ToString::to_string).collect())
    }

    fn one(path: &str, text: impl AsRef<[u8]>) -> (Documents, Vec<String>) {
        read(&[(path, text.as_ref())])
    }

    const RULES: &str = "groups:\n- name: g\n  rules:\n  - alert: A\n    expr: up == 0\n";
    const STREAM: &str = "# Source: x
---
apiVersion: v1
kind: ConfigMap
metadata: {name: A}
---
kind: PrometheusRule
metadata:
  name: g
spec:
  groups:
    - name: g
      rules:
        - alert: A
          # rulecheck: allow some/check: because
          expr: up ==
            0
          for: 5m
        - record: a:b
          expr: vector(
---
route: {receiver: a}
receivers: [{name: a}]
";

    #[test]
    fn documents_of_a_stream_know_their_lines() {
        let (documents, findings) = one("s.yaml", STREAM);
        let rule = &documents.rules[0].groups[0].rules[0];
        assert_eq!(
            (rule.line, rule.expr_line, rule.exceptions[0].line, documents.rules[0].groups[0].line),
            (14, 16, 15, 12)
        );
        assert!(
            findings.len() == 1 && findings[0].starts_with("s.yaml:20: error: file/syntax: record a:b"),
            "{findings:?}"
        );
        assert_eq!(documents.alertmanagers[0].root.line, 22);
    }

    #[test]
    fn a_config_map_holds_files() {
        let map = "kind: ConfigMap\ndata:\n  other: x\n  rules.yml: |\n\n    groups:\n    - name: g\n      rules:\n      - alert: A\n        expr: up ==\n  board.json: '{\"panels\": [], \"uid\": \"u\"}'\n  am.yml: |-\n    route: {receiver: a}\n    receivers: [{name: a}]\n";
        let (documents, findings) = one("c.yaml", map);
        assert_eq!((documents.rules.len(), documents.dashboards.len(), documents.alertmanagers.len()), (1, 1, 1));
        assert!(
            findings.len() == 1 && findings[0].starts_with("c.yaml:10: error: file/syntax: alert A"),
            "{findings:?}"
        );
        assert_eq!(documents.alertmanagers[0].root.line, 13);
        assert!(one("c.yaml", "kind: ConfigMap\ndata: {a: '[', b: '1'}\n").1[0].contains("kind ConfigMap"));
    }

    #[test]
    fn lists_hold_rules_among_others() {
        let list = "apiVersion: v1\nitems:\n- kind: Secret\n  items: [a]\n- kind: PrometheusRule\n  spec:\n    groups:\n    - name: g\n      rules:\n      - alert: A\n        expr: up\n        foo: 1\n- spec: {groups: [{name: h}]}\n  kind: PrometheusRule\nkind: List\n";
        let (documents, findings) = one("l.yaml", list.replace("        foo: 1\n", ""));
        assert_eq!((documents.rules.len(), documents.rules[0].groups[0].rules[0].line), (2, 10));
        assert_eq!(findings, Vec::<String>::new());
        let (_, findings) = one("l.yaml", list);
        assert!(findings.len() == 1 && findings[0].starts_with("l.yaml:12: error: file/syntax: "), "{findings:?}");
        let json = r#"{"kind": "PrometheusRule",
            "spec": {"groups": [{"name": "g", "rules": [
              {"alert": "A",
               "expr": "up"}]}]}}"#;
        let rule = &one("r.json", json).0.rules.remove(0).groups.remove(0).rules.remove(0);
        assert_eq!((rule.line, rule.expr_line), (3, 4));
    }

    #[test]
    fn what_is_not_ours_is_passed_over_beside_ours() {
        let other: (&str, &[u8]) = ("b.yaml", b"kind: Deployment\n---\nkind: Service\n");
        let tests: (&str, &[u8]) = ("t.yaml", b"rule_files: []\ntests: []\n");
        assert_eq!(read(&[("a.yaml", RULES.as_bytes()), other, tests]).1, Vec::<String>::new());
        let findings = read(&[other, tests]).1;
        assert!(findings.len() == 2 && findings[0].starts_with("b.yaml:1: error: file/unknown-kind: "), "{findings:?}");
        assert!(findings[0].contains("kind Deployment") && findings[1].contains("unit tests of promtool"));
    }

    #[test]
    fn what_cannot_be_read_is_one_finding() {
        for (path, text, expected) in [
            ("a.yaml", &b""[..], "a.yaml:1: error: file/unknown-kind: the file is empty"),
            ("a.yaml", b"# only\n---\n", "a.yaml:1: error: file/unknown-kind: the file is empty"),
            ("a.yaml", b"a: 1\n---\nb: 1\n", "a.yaml:1: error: file/unknown-kind: none of the formats"),
            ("a.yaml", b"just text", "a.yaml:1: error: file/unknown-kind: none of the formats"),
            ("a.json", b"[]", "a.json:1: error: file/unknown-kind: none of the formats"),
            ("a.json", b"{\n\"a\": ", "a.json:2: error: file/syntax: "),
            ("a.json", b"{\"elements\": {}, \"panels\": []}", "a.json:1: error: dashboard/structure: a v2 dashboard"),
            ("a.yaml", b"groups:\n\xff", "a.yaml:2: error: file/encoding: the file is not UTF-8"),
            ("a.yaml", b"groups: []\n---\n\tb", "a.yaml:3: error: file/syntax: "),
            ("a.yaml", b"groups: {}", "a.yaml:1: error: file/syntax: groups: invalid type: map"),
            ("a.yaml", b"kind: PrometheusRule\nspec:\n  group: []\n", "a.yaml:3: error: file/syntax: "),
            ("a.yaml", b"groups:\n- name: \0", "a.yaml:2: error: file/syntax: "),
        ] {
            let findings = one(path, text).1;
            assert!(findings.len() == 1 && findings[0].starts_with(expected), "{expected}\n{findings:?}");
        }
        assert_eq!(one("a.yaml", format!("\u{feff}{RULES}").replace('\n', "\r\n")).1, Vec::<String>::new());
    }

    #[test]
    fn a_dashboard_has_the_exceptions_beside_it() {
        let board = br#"{"uid": "u", "title": "T", "schemaVersion": 41, "panels": []}"#;
        let allow = b"- {check: a/b, reason: because}\n";
        let (documents, findings) = read(&[("d/b.allow.yaml", allow), ("d/b.json", board)]);
        assert_eq!((documents.dashboards[0].exceptions.len(), findings.len()), (1, 0));
        let findings = read(&[("b.allow.yaml", allow)]).1;
        assert_eq!(findings, ["b.allow.yaml:1: error: exception/unused: there is no b.json"]);
    }

    /// Towers of every kind used to take hours, or the stack.
    #[test]
    fn towers_are_one_finding_at_once() {
        let board = |expr: String| {
            format!(
                "{{\"uid\": \"u\", \"title\": \"T\", \"schemaVersion\": 41, \"panels\": [{{\"targets\": [{{\"expr\": \"{expr}\"}}]}}]}}"
            )
        };
        for (path, text) in [
            ("a.json", "[".repeat(1_000_000)),
            ("a.json", "{\"panels\":".repeat(100_000)),
            ("a.yaml", "{a: ".repeat(1_000_000)),
            ("a.yaml", "- ".repeat(1_000_000)),
            ("a.yaml", format!("groups:\n- name: g\n  rules:\n  - alert: A\n    expr: {}a\n", "-".repeat(1_000_000))),
            ("a.json", board("(".repeat(1_000_000))),
        ] {
            assert_eq!(one(path, text).1.len(), 1);
        }
    }

    proptest! {
        #[test]
        fn no_mutation_panics(at in 0..STREAM.len(), with in "[ -~\n\t]{0,4}", length in 0_usize..20) {
            let mut text = STREAM.to_owned();
            let end = (at + length).min(text.len());
            text.replace_range(at..end, &with);
            one("s.yaml", &text);
            one("s.json", &text);
        }
    }
}
