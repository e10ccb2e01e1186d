//! Prometheus rule files, as prometheus/prometheus `model/rulefmt` reads them, with the line of every rule.

use std::collections::BTreeMap;

use promql_parser::parser::Expr;
use serde::Deserialize;
use serde_yaml::Value;

use crate::exception::{self, Exception};
use crate::finding::Finding;
use crate::lines::{Lines, Span};
use crate::query::parse_expr;
use crate::yaml;

/// One rule file.
#[derive(Debug)]
pub struct RuleFile {
    /// The path as the caller named it.
    pub path: String,
    /// Its groups, in order.
    pub groups: Vec<Group>,
}

/// A group of rules that are evaluated one after the other.
#[derive(Debug)]
pub struct Group {
    /// Unique within its file.
    pub name: String,
    /// How often it is evaluated; `None` leaves it to Prometheus' configuration.
    pub interval: Option<String>,
    /// Labels that it sets on the series of all its rules, unless a rule sets them itself.
    pub labels: BTreeMap<String, String>,
    /// Its rules, in order.
    pub rules: Vec<Rule>,
}

/// An alerting or a recording rule.
#[derive(Debug)]
pub struct Rule {
    /// The alert's name or the recorded series'.
    pub name: String,
    /// Which of the two it is.
    pub kind: RuleKind,
    /// The expression as written, comments and all.
    pub expr: String,
    /// The expression, parsed.
    pub ast: Expr,
    /// How long an alert's condition must hold.
    pub hold: Option<String>,
    /// Labels that the rule sets.
    pub labels: BTreeMap<String, String>,
    /// An alert's annotations.
    pub annotations: BTreeMap<String, String>,
    /// The line the rule begins on, from 1.
    pub line: usize,
    /// The line of `expr:`.
    pub expr_line: usize,
    /// The text of the rule's lines, with the comments that stand right above it.
    pub source: String,
    /// Findings that its comments allow.
    pub exceptions: Vec<Exception>,
}

/// Alerting or recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum RuleKind {
    Alert,
    Record,
}

impl Rule {
    /// `alert NAME` or `record NAME`, as findings name it.
    pub fn subject(&self) -> String {
        match self.kind {
            RuleKind::Alert => format!("alert {}", self.name),
            RuleKind::Record => format!("record {}", self.name),
        }
    }

    /// The line of `key:` within the rule, or the rule's first where there is none in block style.
    pub fn line_of_key(&self, key: &str) -> usize {
        let lines: Vec<&str> = self.source.lines().collect();
        let comments = lines.iter().take_while(|line| line.trim_start().starts_with('#')).count();
        Span { first: self.line.saturating_sub(comments), line: self.line, lines }.line_of_key(key)
    }

    /// The name of the series it records.
    pub fn record(&self) -> Option<&str> {
        (self.kind == RuleKind::Record).then_some(self.name.as_str())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    groups: Vec<RawGroup>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGroup {
    name: String,
    interval: Option<String>,
    #[serde(rename = "query_offset")]
    _query_offset: Option<String>,
    #[serde(rename = "limit")]
    _limit: Option<u64>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    rules: Vec<RawRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    alert: Option<String>,
    record: Option<String>,
    expr: String,
    #[serde(rename = "for")]
    hold: Option<String>,
    keep_firing_for: Option<String>,
    #[serde(default)]
    labels: BTreeMap<String, Value>,
    #[serde(default)]
    annotations: BTreeMap<String, Value>,
}

impl RuleFile {
    /// Reads a rule file. Everything that Prometheus would refuse, and every label that is not a string, is a
    /// `file/syntax` finding; with one the file is left out, since Prometheus would not load it either.
    pub fn parse(path: &str, text: &str, findings: &mut Vec<Finding>) -> Option<RuleFile> {
        let before = findings.len();
        let raw: RawFile = match yaml::parse(text) {
            Ok(raw) => raw,
            Err(error) => {
                findings.push(Finding::error(path, error.line, "file/syntax", error.message));
                return None;
            }
        };
        let mut lines = Lines::new(text);
        let mut groups: Vec<Group> = Vec::new();
        for group in raw.groups {
            let line = lines.group(&group.name);
            if groups.iter().any(|other| other.name == group.name) {
                let message = format!("group `{}` is declared twice", group.name);
                findings.push(Finding::error(path, line, "file/syntax", message));
            }
            if let Some(interval) = group.interval.as_deref().filter(|i| !is_duration(i)) {
                let message = format!("group `{}`: interval `{interval}` is not a duration such as 30s", group.name);
                findings.push(Finding::error(path, line, "file/syntax", message));
            }
            let rules = group.rules.into_iter().filter_map(|raw| read_rule(path, raw, &mut lines, findings)).collect();
            groups.push(Group { name: group.name, interval: group.interval, labels: group.labels, rules });
        }
        (findings.len() == before).then(|| RuleFile { path: path.to_owned(), groups })
    }

    /// All rules of all groups, in order.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.groups.iter().flat_map(|group| &group.rules)
    }
}

fn read_rule(path: &str, raw: RawRule, lines: &mut Lines<'_>, findings: &mut Vec<Finding>) -> Option<Rule> {
    let (kind, name) = match (raw.alert, raw.record) {
        (Some(name), None) => (RuleKind::Alert, name),
        (None, Some(name)) => (RuleKind::Record, name),
        _ => {
            let line = lines.last_line();
            findings.push(Finding::error(path, line, "file/syntax", "a rule needs either `alert` or `record`"));
            return None;
        }
    };
    let span = lines.rule(kind, &name);
    let expr_line = span.line_of_key("expr");
    let mut rule = Rule {
        kind,
        name,
        ast: Expr::from(0.0),
        hold: raw.hold,
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        line: span.line,
        expr_line,
        source: span.text(),
        exceptions: Vec::new(),
        expr: raw.expr,
    };
    let subject = rule.subject();
    rule.exceptions = exception::in_comments(path, &subject, span.first, span.lines.iter().copied(), findings);
    let mut problem = |line: usize, message: String| {
        findings.push(Finding::error(path, line, "file/syntax", message).about(subject.as_str()));
    };
    if kind == RuleKind::Record && (rule.hold.is_some() || raw.keep_firing_for.is_some() || !raw.annotations.is_empty())
    {
        problem(span.line, "a recording rule has no `for`, `keep_firing_for` or `annotations`".into());
    }
    if rule.name.is_empty() || (kind == RuleKind::Record && !is_metric_name(&rule.name)) {
        problem(span.line, format!("`{}` is not a name that a series can have", rule.name));
    }
    for (key, value) in [("for", &rule.hold), ("keep_firing_for", &raw.keep_firing_for)] {
        if let Some(value) = value.as_deref().filter(|value| !is_duration(value)) {
            problem(span.line_of_key(key), format!("{key} `{value}` is not a duration such as 5m"));
        }
    }
    for (from, to, what) in
        [(raw.labels, &mut rule.labels, "label"), (raw.annotations, &mut rule.annotations, "annotation")]
    {
        for (name, value) in from {
            match value {
                Value::String(value) if is_label_name(&name) => {
                    to.insert(name, value);
                }
                Value::String(_) => problem(span.line_of_key(&name), format!("`{name}` is not a name for a {what}")),
                _ => problem(span.line_of_key(&name), format!("{what} `{name}` is not a string; quote it")),
            }
        }
    }
    match parse_expr(&rule.expr) {
        Ok(ast) => rule.ast = ast,
        Err(message) => problem(expr_line, format!("the expression does not parse: {}", message.trim())),
    }
    Some(rule)
}

/// Prometheus' duration syntax: `0`, or numbers with rising precision, such as `1h30m`.
pub fn is_duration(text: &str) -> bool {
    if text == "0" {
        return true;
    }
    let mut rest = text;
    for unit in ["y", "w", "d", "h", "m", "s", "ms"] {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, tail) = rest.split_at(digits);
        let unit_end = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        if !number.is_empty() && &tail[..unit_end] == unit {
            rest = &tail[unit_end..];
        }
    }
    rest.is_empty() && !text.is_empty()
}

fn is_metric_name(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
}

fn is_label_name(name: &str) -> bool {
    is_metric_name(name) && !name.contains(':')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FILE: &str = "groups:
  - name: first
    interval: 30s
    rules:
      - record: a:b
        expr: vector(1)

      # Why the next rule is there.
      # rulecheck: allow some/check: because
      - expr: |
          up == 0
        alert: Down
        for: 5m
        labels:
          severity: critical
  - name: second
    rules: []
";

    fn errors(text: &str) -> Vec<String> {
        let mut findings = Vec::new();
        let file = RuleFile::parse("r.yaml", text, &mut findings);
        assert_eq!(file.is_none(), !findings.is_empty());
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn rules_know_their_lines_and_comments() {
        let file = RuleFile::parse("r.yaml", FILE, &mut Vec::new()).unwrap();
        let rules: Vec<&Rule> = file.rules().collect();
        assert_eq!((rules[0].line, rules[0].expr_line, rules[0].exceptions.len()), (5, 6, 0));
        assert_eq!((rules[1].line, rules[1].expr_line, rules[1].exceptions.len()), (10, 10, 1));
        assert!(rules[1].source.contains("Why") && !rules[0].source.contains("Why"));
        assert_eq!(rules[1].labels["severity"], "critical");
        assert_eq!((rules[1].line_of_key("severity"), rules[1].line_of_key("none")), (15, 10));
    }

    #[test]
    fn what_prometheus_refuses_is_one_finding_with_its_line() {
        for (from, to, expected) in [
            ("interval: 30s", "intervall: 30s", "r.yaml:3: error: file/syntax: groups[0]: unknown field `intervall`"),
            ("interval: 30s", "interval: 30", "r.yaml:2: error: file/syntax: group `first`: interval `30`"),
            ("name: second", "name: first", "r.yaml:16: error: file/syntax: group `first` is declared twice"),
            ("for: 5m", "for: five", "r.yaml:13: error: file/syntax: alert Down: for `five`"),
            (
                "up == 0",
                "up == (0",
                "r.yaml:10: error: file/syntax: alert Down: the expression does not parse: unclosed",
            ),
            (
                "severity: critical",
                "severity: 1.10",
                "r.yaml:15: error: file/syntax: alert Down: label `severity` is not a string",
            ),
            (
                "severity: critical",
                "se-verity: x",
                "r.yaml:15: error: file/syntax: alert Down: `se-verity` is not a name",
            ),
            ("record: a:b", "record: a-b", "r.yaml:5: error: file/syntax: record a-b: `a-b` is not a name"),
            ("        for: 5m\n", "        record: x\n", "a rule needs either `alert` or `record`"),
            (
                "        for: 5m\n",
                "        for: 5m\n        for: 6m\n",
                "r.yaml:14: error: file/syntax: groups[0].rules[1]: `for` is set twice",
            ),
        ] {
            let found = errors(&FILE.replacen(from, to, 1));
            assert!(
                found.len() == 1 && found[0].contains(expected.split(": groups").next().unwrap()),
                "{expected}\n{found:?}"
            );
        }
        assert!(errors(FILE).is_empty());
    }

    #[test]
    fn durations_are_prometheus() {
        for good in ["0", "5m", "1h30m", "90s", "1d12h", "10ms", "1y2w"] {
            assert!(is_duration(good), "{good}");
        }
        for bad in ["", "5", "5 m", "m", "30m1h", "1.5h", "5m5m", "-5m"] {
            assert!(!is_duration(bad), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_mutation_panics(at in 0..FILE.len(), with in "[ -~\n\t]{0,4}", length in 0_usize..20) {
            let mut text = FILE.to_owned();
            let end = (at + length).min(text.len());
            text.replace_range(at..end, &with);
            RuleFile::parse("r.yaml", &text, &mut Vec::new());
        }
    }
}
