//! Prometheus rule files, as prometheus/prometheus `model/rulefmt` reads them, with the line of every rule.

mod object;
mod read;

pub(crate) use object::KIND;

use std::collections::BTreeMap;

use promql_parser::parser::Expr;

use crate::exception::Exception;
use crate::finding::Finding;
use crate::lines::Span;
use crate::yaml::Part;
use read::Strings;

/// One rule file.
#[derive(Debug, Clone)]
pub struct RuleFile {
    /// The path as the caller named it.
    pub path: String,
    /// Its groups, in order.
    pub groups: Vec<Group>,
}

/// A group of rules that are evaluated one after the other.
#[derive(Debug, Clone)]
pub struct Group {
    /// Unique within its file.
    pub name: String,
    /// The line it begins on, from 1.
    pub line: usize,
    /// How often it is evaluated; `None` leaves it to Prometheus' configuration.
    pub interval: Option<String>,
    /// How far in the past its rules look; `None` leaves it to Prometheus' configuration.
    pub query_offset: Option<String>,
    /// The most alerts or series that a rule of it may make; 0 is no limit.
    pub limit: u64,
    /// Labels that are set on what its rules make; a rule's own win.
    pub labels: BTreeMap<String, String>,
    /// Its rules, in order.
    pub rules: Vec<Rule>,
}

/// An alerting or a recording rule.
#[derive(Debug, Clone)]
pub struct Rule {
    /// The alert's name or the recorded series'.
    pub name: String,
    /// Which of the two it is.
    pub kind: RuleKind,
    /// The expression as written, comments and all.
    pub expr: String,
    /// The expression, parsed.
    pub ast: Expr,
    /// Whether all of it was read. A recording rule that was not stands for the series that it makes, of which nothing is
    /// known, and is not checked.
    pub is_read: bool,
    /// How long an alert's condition must hold.
    pub hold: Option<String>,
    /// How long an alert goes on firing when its condition has ended.
    pub keep_firing_for: Option<String>,
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

impl RuleFile {
    /// Reads a rule file that is to become a PrometheusRule. Everything that Prometheus would refuse, and every label
    /// that is not a string, is a `file/syntax` finding, and of the rule with it no more is known than what it records;
    /// `None` when the file itself cannot be read.
    pub fn parse(path: &str, text: &str, findings: &mut Vec<Finding>) -> Option<RuleFile> {
        read::file(path, Part { text, first_line: 1 }, Strings::Only, findings)
    }

    /// Reads a rule file as Prometheus does, which takes any scalar for a label's value.
    pub(crate) fn in_stream(path: &str, part: Part<'_>, findings: &mut Vec<Finding>) -> Option<RuleFile> {
        read::file(path, part, Strings::AnyScalar, findings)
    }

    /// Reads the PrometheusRule objects of a document, which may be a list with others among them. Groups are unique
    /// within an object, so each becomes a file of its own, of the same path.
    pub(crate) fn in_objects(path: &str, part: Part<'_>, findings: &mut Vec<Finding>) -> Vec<RuleFile> {
        read::objects(path, part, findings)
    }

    /// All rules of all groups, in order.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.groups.iter().flat_map(|group| &group.rules)
    }
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

/// Whether Prometheus has always taken the text as a metric's name.
pub(crate) fn is_metric_name(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
}

/// The same for a label.
pub(crate) fn is_label_name(name: &str) -> bool {
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
        RuleFile::parse("r.yaml", text, &mut findings);
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
            ("interval: 30s", "interval: 30", "r.yaml:3: error: file/syntax: group `first`: interval `30`"),
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
                "__name__: x",
                "r.yaml:15: error: file/syntax: alert Down: `__name__` is not a name for labels",
            ),
            ("record: a:b", "record: a{b", "r.yaml:5: error: file/syntax: record a{b: `a{b` is not a name"),
            ("        for: 5m\n", "        record: x\n", "a rule needs either `alert` or `record`"),
            ("name: first", "name: \"\"", "r.yaml:2: error: file/syntax: a group needs a name"),
            (
                "rules: []",
                "query_offset: 1\n    limit: 5",
                "r.yaml:17: error: file/syntax: group `second`: query_offset",
            ),
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
    fn a_rule_that_cannot_be_read_takes_no_other_with_it() {
        let file = RuleFile::parse("r.yaml", &FILE.replace("up == 0", "up =="), &mut Vec::new()).unwrap();
        assert_eq!(file.rules().map(|rule| rule.name.as_str()).collect::<Vec<_>>(), ["a:b"]);
    }

    #[test]
    fn what_is_no_value_makes_no_rule() {
        for expr in ["'\"abc\"'", "up[5m]", "up[5m:1m]", "(up[5m])"] {
            for kind in ["alert", "record"] {
                let found = errors(&format!("groups:\n- name: g\n  rules:\n  - {kind}: a\n    expr: {expr}\n"));
                assert!(found.len() == 1 && found[0].starts_with("r.yaml:5: error: file/syntax: "), "{found:?}");
                assert!(found[0].contains("and a rule needs a value"), "{found:?}");
            }
        }
        assert_eq!(errors("groups:\n- name: g\n  rules:\n  - record: a\n    expr: time()\n"), [""; 0]);
    }

    #[test]
    fn a_rule_that_only_prometheus_reads_is_a_warning() {
        let found = errors(&FILE.replace("up == 0", "up[step()]"));
        assert!(found.len() == 1 && found[0].contains("warning: file/syntax: alert Down: the expression cannot"));
    }

    #[test]
    fn everything_that_prometheus_knows_is_read() {
        let text = "groups:\n- name: g\n  query_offset: 1m\n  limit: 10\n  labels: {team: a}\n  rules:\n  - alert: A\n    expr: 1\n    keep_firing_for: 5m\n    labels: {severity: 1, x: true, y: }\n    annotations:\n- name: h\n  rules:\n";
        let mut findings = Vec::new();
        let file = RuleFile::in_stream("r.yaml", Part { text, first_line: 1 }, &mut findings).unwrap();
        let (group, rule) = (&file.groups[0], &file.groups[0].rules[0]);
        assert_eq!((group.query_offset.as_deref(), group.limit, &*group.labels["team"]), (Some("1m"), 10, "a"));
        assert_eq!((rule.keep_firing_for.as_deref(), &*rule.labels["severity"]), (Some("5m"), "1"));
        assert_eq!((&*rule.labels["x"], &*rule.labels["y"]), ("true", ""));
        assert!(findings.is_empty(), "{findings:?}");
        // The API server takes strings only.
        assert_eq!(errors(text).len(), 3);
    }

    #[test]
    fn names_in_utf8_are_taken_as_prometheus_takes_them() {
        let text = "groups:\n- name: g\n  labels: {größe.x: a}\n  rules:\n  - record: utf8.name:x-y z\n    expr: up\n    labels: {a.b: c}\n  - alert: A\n    expr: '{\"utf8.name:x-y z\"} > 1'\n    annotations: {x-y: a, __name__: b}\n";
        assert_eq!(errors(text), [""; 0]);
        assert!(errors(&text.replace("größe.x", "__name__"))[0].contains("group `g`: `__name__` is not a name"));
        assert!(errors(&text.replace("x-y:", "'':"))[0].contains("`` is not a name for annotations"));
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
