//! From YAML to typed rules: what Prometheus' and the operator's formats have in common.

use std::collections::BTreeMap;

use promql_parser::parser::value::ValueType;
use promql_parser::parser::{Expr, VectorSelector};
use serde::Deserialize;
use serde_yaml::Value;

use super::object::RawObject;
use super::{Group, Rule, RuleFile, RuleKind, is_duration};
use crate::exception;
use crate::finding::Finding;
use crate::lines::{self, Entry, Span};
use crate::query::{VARIABLE, parse_expr};
use crate::yaml::{self, Part};

/// What may stand for the value of a label or an annotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strings {
    /// A string, as the API server wants it in a PrometheusRule.
    Only,
    /// Any scalar, as Prometheus takes it in a rule file.
    AnyScalar,
}

/// A rule file, or the `spec` of a PrometheusRule.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFile {
    groups: Option<Vec<RawGroup>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGroup {
    name: String,
    interval: Option<String>,
    query_offset: Option<String>,
    limit: Option<u64>,
    labels: Option<BTreeMap<String, Value>>,
    // Thanos Ruler's own.
    #[serde(rename = "partial_response_strategy")]
    _partial_response_strategy: Option<String>,
    rules: Option<Vec<RawRule>>,
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
    labels: Option<BTreeMap<String, Value>>,
    annotations: Option<BTreeMap<String, Value>>,
}

/// Reads a rule file.
pub(super) fn file(path: &str, part: Part<'_>, strings: Strings, findings: &mut Vec<Finding>) -> Option<RuleFile> {
    let raw: RawFile = parse(path, part, findings)?;
    let spans = lines::locate(part.text, part.first_line, &entries(&[&raw]));
    Some(Reader { path, strings, spans: spans.into_iter(), findings }.file(raw))
}

/// Reads the PrometheusRule objects of a document.
pub(super) fn objects(path: &str, part: Part<'_>, findings: &mut Vec<Finding>) -> Vec<RuleFile> {
    let Some(object) = parse::<RawObject>(path, part, findings) else { return Vec::new() };
    let files = object.into_rules();
    let spans = lines::locate(part.text, part.first_line, &entries(&files.iter().collect::<Vec<_>>()));
    let mut reader = Reader { path, strings: Strings::Only, spans: spans.into_iter(), findings };
    files.into_iter().map(|raw| reader.file(raw)).collect()
}

fn parse<T: serde::de::DeserializeOwned>(path: &str, part: Part<'_>, findings: &mut Vec<Finding>) -> Option<T> {
    let error = match yaml::parse(part.text) {
        Ok(value) => return Some(value),
        Err(error) => error,
    };
    findings.push(Finding::error(path, part.first_line - 1 + error.line, "file/syntax", error.message));
    None
}

fn entries<'a>(files: &[&'a RawFile]) -> Vec<Entry<'a>> {
    let mut entries = Vec::new();
    for file in files {
        entries.push(Entry::Groups);
        for group in file.groups.iter().flatten() {
            entries.push(Entry::Group(&group.name));
            entries.extend(group.rules.iter().flatten().map(|rule| match rule.name() {
                Some((RuleKind::Alert, name)) => Entry::Alert(name),
                Some((RuleKind::Record, name)) => Entry::Record(name),
                None => Entry::Nameless,
            }));
        }
    }
    entries
}

impl RawRule {
    /// As for Prometheus, an empty name is none.
    fn name(&self) -> Option<(RuleKind, &str)> {
        let given = |name: &'_ Option<String>| name.as_ref().is_some_and(|name| !name.is_empty());
        match (given(&self.alert), given(&self.record)) {
            (true, false) => Some((RuleKind::Alert, self.alert.as_deref()?)),
            (false, true) => Some((RuleKind::Record, self.record.as_deref()?)),
            _ => None,
        }
    }
}

/// Turns raw values into typed ones, in the order of the spans.
struct Reader<'a, S> {
    path: &'a str,
    strings: Strings,
    spans: S,
    findings: &'a mut Vec<Finding>,
}

impl<'t, S: Iterator<Item = Span<'t>>> Reader<'_, S> {
    fn span(&mut self) -> Span<'t> {
        self.spans.next().unwrap_or_default()
    }

    fn problem(&mut self, line: usize, message: String) {
        self.findings.push(Finding::error(self.path, line, "file/syntax", message));
    }

    fn file(&mut self, raw: RawFile) -> RuleFile {
        self.span();
        let mut groups: Vec<Group> = Vec::new();
        for raw in raw.groups.into_iter().flatten() {
            let group = self.group(raw);
            if groups.iter().any(|other| other.name == group.name) {
                self.problem(group.line, format!("group `{}` is declared twice", group.name));
            }
            groups.push(group);
        }
        RuleFile { path: self.path.to_owned(), groups }
    }

    fn group(&mut self, raw: RawGroup) -> Group {
        let (name, span) = (raw.name, self.span());
        if name.is_empty() {
            self.problem(span.line, "a group needs a name".to_owned());
        }
        for (key, value) in [("interval", &raw.interval), ("query_offset", &raw.query_offset)] {
            if let Some(value) = value.as_deref().filter(|value| !is_duration(value)) {
                let message = format!("group `{name}`: {key} `{value}` is not a duration such as 30s");
                self.problem(span.line_of_key(key), message);
            }
        }
        let (labels, problems) = self.strings(raw.labels, "label");
        for (key, message) in problems {
            self.problem(span.line_of_key(&key), format!("group `{name}`: {message}"));
        }
        Group {
            line: span.line,
            interval: raw.interval,
            query_offset: raw.query_offset,
            limit: raw.limit.unwrap_or_default(),
            labels,
            rules: raw.rules.into_iter().flatten().filter_map(|raw| self.rule(raw)).collect(),
            name,
        }
    }

    /// A rule. Where something in it is wrong, others may read the series that it records, of which nothing is known; an
    /// alert nobody misses.
    fn rule(&mut self, raw: RawRule) -> Option<Rule> {
        let span = self.span();
        let Some((kind, name)) = raw.name().map(|(kind, name)| (kind, name.to_owned())) else {
            self.problem(span.line, "a rule needs either `alert` or `record`".to_owned());
            return None;
        };
        let before = self.findings.len();
        let (labels, label_problems) = self.strings(raw.labels, "label");
        let (annotations, annotation_problems) = self.strings(raw.annotations, "annotation");
        let mut rule = Rule {
            kind,
            name,
            ast: Expr::from(0.0),
            is_read: true,
            hold: raw.hold,
            keep_firing_for: raw.keep_firing_for,
            labels,
            annotations,
            line: span.line,
            expr_line: span.line_of_key("expr"),
            source: span.text(),
            exceptions: Vec::new(),
            expr: raw.expr,
        };
        let subject = rule.subject();
        rule.exceptions =
            exception::in_comments(self.path, &subject, span.first, span.lines.iter().copied(), self.findings);
        let problem = |line: usize, message: String| {
            Finding::error(self.path, line, "file/syntax", message).about(subject.as_str())
        };
        let found = problems(&rule, &span).into_iter().map(|(line, message)| problem(line, message));
        self.findings.extend(found);
        for (key, message) in label_problems.into_iter().chain(annotation_problems) {
            self.findings.push(problem(span.line_of_key(&key), message));
        }
        match parse_expr(&rule.expr) {
            Ok(ast) => {
                self.findings.extend(no_result(&ast).map(|message| problem(rule.expr_line, message)));
                rule.ast = ast;
            }
            Err(unread) => {
                let message = format!("the expression {unread}");
                self.findings.push(unread.weigh(problem(rule.expr_line, message)));
            }
        }
        rule.is_read = self.findings.len() == before;
        if !rule.is_read {
            rule.ast = unknown();
        }
        (rule.is_read || rule.kind == RuleKind::Record).then_some(rule)
    }

    /// Labels or annotations, and what is wrong with them, by name.
    fn strings(
        &self,
        raw: Option<BTreeMap<String, Value>>,
        what: &str,
    ) -> (BTreeMap<String, String>, Vec<(String, String)>) {
        let (mut read, mut problems) = (BTreeMap::new(), Vec::new());
        for (name, value) in raw.into_iter().flatten() {
            let text = match value {
                Value::String(text) => Some(text),
                Value::Null if self.strings == Strings::AnyScalar => Some(String::new()),
                Value::Bool(bool) if self.strings == Strings::AnyScalar => Some(bool.to_string()),
                Value::Number(number) if self.strings == Strings::AnyScalar => Some(number.to_string()),
                _ => None,
            };
            match text {
                None => problems.push((name.clone(), format!("{what} `{name}` is not a string; quote it"))),
                // Source: prometheus/prometheus `model/rulefmt/rulefmt.go`, with names in UTF-8.
                Some(_) if name.is_empty() || (what == "label" && name == "__name__") => {
                    problems.push((name.clone(), format!("`{name}` is not a name for {what}s")));
                }
                Some(text) => drop(read.insert(name, text)),
            }
        }
        (read, problems)
    }
}

/// An expression of whose result nothing is known.
fn unknown() -> Expr {
    Expr::VectorSelector(VectorSelector::from(VARIABLE))
}

/// Why a rule cannot be made of an expression that is one. Prometheus says so when it evaluates it.
fn no_result(expr: &Expr) -> Option<String> {
    let what = match expr.value_type() {
        ValueType::Vector | ValueType::Scalar => return None,
        ValueType::Matrix => "the samples of a range",
        ValueType::String => "a text",
    };
    Some(format!("the expression gives {what}, and a rule needs a value for each series, or a number"))
}

/// What Prometheus refuses in a rule besides its labels and its expression, with the line.
fn problems(rule: &Rule, span: &Span<'_>) -> Vec<(usize, String)> {
    let mut problems = Vec::new();
    if rule.kind == RuleKind::Record
        && (rule.hold.is_some() || rule.keep_firing_for.is_some() || !rule.annotations.is_empty())
    {
        problems.push((span.line, "a recording rule has no `for`, `keep_firing_for` or `annotations`".into()));
    }
    if rule.kind == RuleKind::Record && rule.name.contains(['{', '}']) {
        problems.push((span.line, format!("`{}` is not a name that a series can have: it has braces", rule.name)));
    }
    for (key, value) in [("for", &rule.hold), ("keep_firing_for", &rule.keep_firing_for)] {
        if let Some(value) = value.as_deref().filter(|value| !is_duration(value)) {
            problems.push((span.line_of_key(key), format!("{key} `{value}` is not a duration such as 5m")));
        }
    }
    problems
}
