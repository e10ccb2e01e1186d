//! A configuration's text as a checked value: everything that Alertmanager refuses is a finding with its line.

mod receiver;
mod time;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use serde_yaml::Value;

use super::matcher::{Matcher, Operator};
use super::raw::{self, Scalar};
use super::{Alertmanager, Grouping, InhibitRule, Route, syntax};
use crate::exception::{self, Exception};
use crate::finding::Finding;
use crate::outline::{Outline, parent};
use crate::rules::is_duration;
use crate::yaml::{self, YamlError};

pub(super) fn alertmanager(path: &str, text: &str, findings: &mut Vec<Finding>) -> Option<Alertmanager> {
    let before = findings.len();
    let file = match parse(text) {
        Ok(file) => file,
        Err(error) => {
            findings.push(Finding::error(path, error.line, "file/syntax", error.message));
            return None;
        }
    };
    let outline = Outline::of(text);
    let mut reader =
        Reader { path, outline: &outline, findings, receivers: BTreeSet::new(), intervals: BTreeSet::new() };
    let receivers = reader.receivers(file.receivers.unwrap_or_default());
    for (key, intervals) in [("mute_time_intervals", file.mute_time_intervals), ("time_intervals", file.time_intervals)]
    {
        reader.intervals(key, intervals.unwrap_or_default());
    }
    let root = match file.route {
        Some(route) => Some(reader.root(route)),
        None => {
            reader.problem("", "there is no `route`, which all alerts enter");
            None
        }
    };
    let rules = (0..).zip(file.inhibit_rules.unwrap_or_default());
    let inhibit_rules = rules.map(|(index, rule)| reader.inhibit_rule(index, rule)).collect();
    let exceptions = exceptions(path, text, &outline, findings);
    let (true, Some(root)) = (findings.len() == before, root) else { return None };
    let reads_templates = file.templates.is_some_and(|templates| !templates.is_empty());
    Some(Alertmanager { path: path.to_owned(), root, inhibit_rules, receivers, reads_templates, exceptions })
}

/// Reads the text. The library does not follow merge keys into typed values, so a text with one loses its lines.
fn parse(text: &str) -> Result<raw::File, YamlError> {
    if !text.contains("<<:") {
        return yaml::parse(text);
    }
    let mut value: Value = yaml::parse(text)?;
    let merged = value.apply_merge().and_then(|()| serde_yaml::from_value(value));
    merged.map_err(|error| YamlError { line: 1, message: error.to_string() })
}

/// The exceptions in the comments, each about the route, rule or receiver that it stands on or above.
fn exceptions(path: &str, text: &str, outline: &Outline, findings: &mut Vec<Finding>) -> Vec<Exception> {
    let lines = (1..).zip(text.lines());
    let found = lines.flat_map(|(number, line)| {
        let subject =
            outline.path_from(number).and_then(owner).map_or_else(String::new, |owner| format!("route {owner}"));
        exception::in_comments(path, &subject, number, std::iter::once(line), findings)
    });
    found.collect()
}

/// The route, inhibition rule or receiver that a path lies in.
fn owner(path: &str) -> Option<&str> {
    let mut path = Some(path);
    while let Some(here) = path {
        let list = here.strip_suffix(']').and_then(parent).unwrap_or_default();
        if here == "route" || list.ends_with(".routes") || ["inhibit_rules", "receivers"].contains(&list) {
            return path;
        }
        path = parent(here);
    }
    None
}

struct Reader<'a> {
    path: &'a str,
    outline: &'a Outline,
    findings: &'a mut Vec<Finding>,
    /// The names of the receivers.
    receivers: BTreeSet<String>,
    /// The names of the time intervals.
    intervals: BTreeSet<String>,
}

/// What a route has of the one around it.
#[derive(Clone)]
struct Inherited {
    receiver: String,
    grouping: Rc<Grouping>,
}

impl Reader<'_> {
    fn problem(&mut self, at: &str, message: impl Into<String>) {
        let line = self.outline.line_of(at);
        let subject = owner(at).map_or_else(String::new, |owner| format!("route {owner}"));
        self.findings.push(Finding::error(self.path, line, "file/syntax", message).about(subject));
    }

    fn intervals(&mut self, key: &str, intervals: Vec<raw::Interval>) {
        for (index, interval) in (0..).zip(intervals) {
            let at = format!("{key}[{index}]");
            match interval.name {
                None => self.problem(&at, "a time interval without a name"),
                Some(Scalar(name)) => {
                    if !self.intervals.insert(name.clone()) {
                        self.problem(&at, format!("there are two time intervals `{name}`"));
                    }
                }
            }
            for (index, times) in (0..).zip(interval.time_intervals.unwrap_or_default()) {
                for (key, message) in times.map_or_else(Vec::new, |times| time::problems(&times)) {
                    self.problem(&format!("{at}.time_intervals[{index}].{key}"), message);
                }
            }
        }
    }

    fn root(&mut self, route: raw::Route) -> Route {
        if route.receiver.as_ref().is_none_or(|receiver| receiver.0.is_empty()) {
            self.problem("route", "the route that all alerts enter needs a `receiver`");
        }
        let has_matchers = !route.matchers.as_deref().unwrap_or_default().is_empty()
            || [&route.equal, &route.like].into_iter().flatten().any(|matchers| !matchers.is_empty());
        let has_times = [&route.mute_time_intervals, &route.active_time_intervals];
        let has_times = has_times.into_iter().flatten().any(|names| !names.is_empty());
        for (is_there, what) in [
            (has_matchers, "matchers"),
            (route.continues.as_ref().is_some_and(|flag| flag.0), "`continue`"),
            (has_times, "time intervals"),
        ] {
            if is_there {
                self.problem("route", format!("the route that all alerts enter cannot have {what}"));
            }
        }
        let grouping = Grouping { path: "route".to_owned(), line: 1, labels: Some(Vec::new()) };
        let inherited = Inherited { receiver: String::new(), grouping: Rc::new(grouping) };
        self.route("route".to_owned(), route, &inherited)
    }

    fn route(&mut self, path: String, route: raw::Route, around: &Inherited) -> Route {
        let mut inherited = around.clone();
        if let Some(Scalar(receiver)) = route.receiver.filter(|receiver| !receiver.0.is_empty()) {
            if !self.receivers.contains(&receiver) {
                let near = self.receivers.iter().min_by_key(|name| strsim::levenshtein(name, &receiver)).cloned();
                self.problem(&format!("{path}.receiver"), format!("there is no receiver `{receiver}`"));
                if let (Some(near), Some(finding)) = (near, self.findings.last_mut()) {
                    finding.help = format!("did you mean `{near}`?");
                }
            }
            inherited.receiver = receiver;
        }
        if let Some(labels) = route.group_by {
            inherited.grouping = Rc::new(self.grouping(&path, labels));
        }
        for Scalar(name) in [route.mute_time_intervals, route.active_time_intervals].into_iter().flatten().flatten() {
            if !self.intervals.contains(&name) {
                self.problem(&path, format!("there is no time interval `{name}`"));
            }
        }
        let durations = [
            ("group_wait", route.group_wait),
            ("group_interval", route.group_interval),
            ("repeat_interval", route.repeat_interval),
        ];
        for (key, Scalar(duration)) in durations.into_iter().filter_map(|(key, duration)| Some((key, duration?))) {
            if !is_duration(&duration) {
                self.problem(&format!("{path}.{key}"), format!("{key} `{duration}` is not a duration such as 5m"));
            } else if key != "group_wait" && crate::query::seconds(&duration) == Some(0.0) {
                self.problem(&format!("{path}.{key}"), format!("{key} cannot be zero"));
            }
        }
        let mut matchers = self.matchers(&path, "match", route.equal, Operator::Equal);
        matchers.extend(self.matchers(&path, "match_re", route.like, Operator::Matches));
        matchers.extend(self.matcher_texts(&path, "matchers", route.matchers));
        let routes = (0..).zip(route.routes.unwrap_or_default());
        let routes =
            routes.map(|(index, inner)| self.route(format!("{path}.routes[{index}]"), inner, &inherited)).collect();
        let Inherited { receiver, grouping } = inherited;
        let continues = route.continues.is_some_and(|flag| flag.0);
        let line = self.outline.line_of(&path);
        Route { path, line, receiver, matchers, continues, grouping, routes }
    }

    fn grouping(&mut self, path: &str, labels: Vec<Scalar>) -> Grouping {
        let at = format!("{path}.group_by");
        let labels: Vec<String> = labels.into_iter().map(|label| label.0).collect();
        let all = labels.iter().any(|label| label == "...");
        if all && labels.iter().any(|label| label != "...") {
            self.problem(&at, "`...` in group_by is all labels; no other can stand beside it");
        }
        for (index, label) in labels.iter().enumerate().filter(|_| !all) {
            if label.is_empty() {
                self.problem(&at, "an empty label in group_by");
            } else if labels[..index].contains(label) {
                self.problem(&at, format!("`{label}` stands twice in group_by"));
            }
        }
        Grouping { path: path.to_owned(), line: self.outline.line_of(&at), labels: (!all).then_some(labels) }
    }

    fn inhibit_rule(&mut self, index: usize, rule: raw::InhibitRule) -> InhibitRule {
        let path = format!("inhibit_rules[{index}]");
        let mut source = self.matchers(&path, "source_match", rule.source_match, Operator::Equal);
        source.extend(self.matchers(&path, "source_match_re", rule.source_match_re, Operator::Matches));
        source.extend(self.matcher_texts(&path, "source_matchers", rule.source_matchers));
        let mut target = self.matchers(&path, "target_match", rule.target_match, Operator::Equal);
        target.extend(self.matchers(&path, "target_match_re", rule.target_match_re, Operator::Matches));
        target.extend(self.matcher_texts(&path, "target_matchers", rule.target_matchers));
        let equal: Vec<String> = rule.equal.unwrap_or_default().into_iter().map(|label| label.0).collect();
        if equal.iter().any(String::is_empty) {
            self.problem(&format!("{path}.equal"), "an empty label in equal");
        }
        InhibitRule { line: self.outline.line_of(&path), path, source, target, equal }
    }

    /// The older form, a map from labels to values or expressions.
    fn matchers(
        &mut self,
        path: &str,
        key: &str,
        matchers: Option<BTreeMap<String, Scalar>>,
        operator: Operator,
    ) -> Vec<Matcher> {
        let mut found = Vec::new();
        for (name, Scalar(value)) in matchers.into_iter().flatten() {
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if name.starts_with(|c: char| c.is_ascii_digit()) || name.is_empty() || !name.chars().all(is_name) {
                self.problem(&format!("{path}.{key}"), format!("`{name}` is not a label's name; use `matchers`"));
            }
            match Matcher::new(name, operator, value) {
                Ok(matcher) => found.push(matcher),
                Err(message) => self.problem(&format!("{path}.{key}"), message),
            }
        }
        found
    }

    /// The newer form, a list of texts.
    fn matcher_texts(&mut self, path: &str, key: &str, texts: Option<Vec<Scalar>>) -> Vec<Matcher> {
        let mut found = Vec::new();
        for (index, Scalar(text)) in (0..).zip(texts.unwrap_or_default()) {
            match syntax::matchers(&text) {
                Ok(matchers) => found.extend(matchers),
                Err(message) => {
                    self.problem(&format!("{path}.{key}[{index}]"), format!("the matcher `{text}`: {message}"));
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CONFIG: &str = "global: {resolve_timeout: 5m}
route:
  receiver: rest
  group_by: [alertname, namespace]
  routes:
    # rulecheck: allow route/unreachable: kept for the alerts of next year
    - match: {severity: critical}
      match_re:
        team: a|b
      receiver: \"null\"
      mute_time_intervals: [nights]
    - matchers:
        - '{severity=\"info\", team!=\"c\"}'
        - team=~x.*
      group_by: ['...']
      continue: yes
inhibit_rules:
  - source_matchers: [severity=critical]
    target_match: {severity: warning}
    equal: [namespace]  # rulecheck: allow route/inhibit: tried by hand
receivers:
  - name: rest
    slack_configs:
      - channel: '#a'
        title: '{{ .Status }}'
        text: |
          one
          {{ .Status }}
  - name: 'null'
    webhook_configs:
  - name: spare
time_intervals:
  - name: nights
    time_intervals: [{times: [{start_time: '00:00', end_time: '06:00'}]}]
";

    fn errors(text: &str) -> Vec<String> {
        let mut findings = Vec::new();
        let config = alertmanager("a.yml", text, &mut findings);
        assert_eq!(config.is_none(), !findings.is_empty(), "{findings:?}");
        findings
            .iter()
            .map(|finding| finding.to_string().replace("a.yml:", "").replace(" error: file/syntax:", ""))
            .collect()
    }

    #[test]
    fn a_configuration_is_read_with_its_lines() {
        let config = alertmanager("a.yml", CONFIG, &mut Vec::new()).unwrap();
        let routes: Vec<(&str, usize, &str, usize)> = config
            .root
            .walk()
            .into_iter()
            .map(|route| (route.path.as_str(), route.line, route.receiver.as_str(), route.matchers.len()))
            .collect();
        assert_eq!(
            routes,
            [("route", 2, "rest", 0), ("route.routes[0]", 7, "null", 2), ("route.routes[1]", 12, "rest", 3)]
        );
        let [first, second] = config.root.routes.as_slice() else { panic!() };
        assert_eq!((first.grouping.path.as_str(), first.grouping.line), ("route", 4));
        assert_eq!((second.grouping.line, &second.grouping.labels, second.continues), (15, &None, true));
        let texts: Vec<(&str, usize)> =
            config.receivers[0].templates.iter().map(|text| (text.field.as_str(), text.line)).collect();
        assert_eq!(texts, [("slack_configs[0].title", 25), ("slack_configs[0].text", 27)]);
        assert_eq!((config.receivers[0].integrations, config.receivers[1].integrations), (1, 0));
        let exceptions: Vec<(usize, &str)> =
            config.exceptions.iter().map(|exception| (exception.line, exception.subject.as_str())).collect();
        assert_eq!(exceptions, [(6, "route route.routes[0]"), (20, "route inhibit_rules[0]")]);
    }

    #[test]
    fn what_alertmanager_refuses_is_one_finding_with_its_line() {
        for (from, to, expected) in [
            ("  receiver: rest\n", "", "2: route route: the route that all alerts enter needs a `receiver`"),
            (
                "  group_by: [a",
                "  continue: true\n  group_by: [a",
                "2: route route: the route that all alerts enter cannot",
            ),
            (
                "  group_by: [a",
                "  matchers: [a=b]\n  group_by: [a",
                "2: route route: the route that all alerts enter cannot",
            ),
            (
                "  group_by: [a",
                "  match: {a: b}\n  group_by: [a",
                "2: route route: the route that all alerts enter cannot",
            ),
            (
                "  group_by: [a",
                "  active_time_intervals: [nights]\n  group_by: [a",
                "2: route route: the route that all alerts enter cannot have time intervals",
            ),
            (
                "receiver: \"null\"",
                "receiver: nul",
                "10: route route.routes[0]: there is no receiver `nul`\n  help: did you",
            ),
            ("[nights]", "[days]", "7: route route.routes[0]: there is no time interval `days`"),
            ("- name: spare", "- name: null", "31: route receivers[2]: a receiver without a name"),
            ("- name: spare", "- name: rest", "31: route receivers[2]: there are two receivers `rest`"),
            (
                "webhook_configs:",
                "webhook_config: []",
                "30: route receivers[1]: a receiver has no field `webhook_config`",
            ),
            ("webhook_configs:", "webhook_configs: {}", "30: route receivers[1]: `webhook_configs` is not a list"),
            ("team: a|b", "team: a(b", "8: route route.routes[0]: `a(b` is not a regular expression"),
            ("match: {sev", "match: {se-v", "7: route route.routes[0]: `se-verity` is not a label's name"),
            ("- team=~x.*", "- team", "14: route route.routes[1]: the matcher `team`: =, !=, =~ or !~ is expected"),
            ("['...']", "['...', a]", "15: route route.routes[1]: `...` in group_by is all labels"),
            ("[alertname, n", "[namespace, n", "4: route route: `namespace` stands twice in group_by"),
            ("group_by: ['...']", "repeat_interval: 0s", "15: route route.routes[1]: repeat_interval cannot be zero"),
            ("group_by: ['...']", "group_wait: soon", "15: route route.routes[1]: group_wait `soon` is not a duration"),
            ("continue: yes", "continue: maybe", "12: route.routes[1]: `maybe` is neither true nor false"),
            ("continue: yes", "contineu: true", "16: route.routes[1]: unknown field `contineu`"),
            (
                "time_intervals:\n  - name",
                "mute_time_intervals: [nights]\ntime_intervals:\n  - name",
                "32: mute_time_intervals[0]: invalid type: string \"nights\", expected the definition of a time interval",
            ),
            ("  - name: nights", "  - name: nights\n  - name: nights", "34: there are two time intervals `nights`"),
            ("equal: [namespace]", "equal: ['']", "20: route inhibit_rules[0]: an empty label in equal"),
        ] {
            let text = CONFIG.replacen(from, to, 1);
            assert_ne!(text, CONFIG, "{from}");
            let found = errors(&text);
            assert!(found.len() == 1 && found[0].starts_with(expected), "{expected}\n{found:#?}");
        }
        assert!(errors("receivers: []\n")[0].contains("there is no `route`"));
        assert!(errors(CONFIG).is_empty());
    }

    #[test]
    fn merge_keys_are_followed() {
        let text = "route: {receiver: a, routes: [&x {match: {a: b}, continue: true}, {<<: *x, receiver: b}]}
receivers: [{name: a}, {name: b}]\n";
        let config = alertmanager("a.yml", text, &mut Vec::new()).unwrap();
        let second = &config.root.routes[1];
        assert_eq!((second.receiver.as_str(), second.continues, second.matchers.len()), ("b", true, 1));
    }

    proptest! {
        #[test]
        fn no_mutation_panics(at in 0..CONFIG.len(), with in "[ -~\n\t]{0,4}", length in 0_usize..20) {
            let mut text = CONFIG.to_owned();
            let end = (at + length).min(text.len());
            text.replace_range(at..end, &with);
            alertmanager("a.yml", &text, &mut Vec::new());
        }
    }
}
