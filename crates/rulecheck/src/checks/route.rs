//! The way of alerts through Alertmanager. Each file below is one family: `reach` (`route/unreachable`), `inhibit`
//! (`route/inhibit`), `group_by` and `template` (`route/group-by`).
//!
//! Without any alert among the rules, only what a configuration says against itself is found.

mod group_by;
mod inhibit;
mod reach;
mod template;

use std::collections::{BTreeSet, HashMap};

use super::Query;
use crate::alertmanager::matcher::{self, Matcher};
use crate::alertmanager::{Alertmanager, Certainty};
use crate::exception;
use crate::finding::Finding;
use crate::infer::{Carried, Domain, Label, Labels, alert_labels};

/// Labels that a Prometheus usually adds to all alerts that it sends, its `external_labels`. No rule shows them, so
/// every alert may have them.
const EXTERNAL_LABELS: [&str; 12] = [
    "cluster",
    "datacenter",
    "dc",
    "env",
    "environment",
    "monitor",
    "prometheus",
    "prometheus_replica",
    "region",
    "replica",
    "site",
    "zone",
];

/// More values than this are not listed.
const MANY: usize = 12;

/// An alert as Alertmanager gets it.
pub(super) struct Alert<'a> {
    name: &'a str,
    /// Its labels, one set for each arm of its expression.
    sets: Vec<Labels>,
    annotations: BTreeSet<&'a str>,
    /// Whether a rule among the checked ones makes it.
    is_checked: bool,
}

impl<'a> Alert<'a> {
    /// The alert that a query is the rule of.
    pub(super) fn of(query: &Query<'a>) -> Option<Alert<'a>> {
        let (rule, group) = query.alert()?;
        let mut sets = alert_labels(&query.node, rule, group);
        for labels in &mut sets {
            let missing = |name: &&str| labels.carries(name) == Carried::Never;
            let missing: Vec<&str> = EXTERNAL_LABELS.into_iter().filter(missing).collect();
            missing.into_iter().for_each(|name| labels.set(name, Label::default()));
        }
        let annotations = rule.annotations.keys().map(String::as_str).collect();
        Some(Alert { name: &rule.name, sets, annotations, is_checked: true })
    }

    /// The alerts that every Prometheus stack brings, with the labels that its rules give them. Configurations name
    /// them, whether or not those rules are checked along.
    fn of_the_stack() -> Vec<Alert<'static>> {
        let make = |name: &'static str, others: &[&str]| {
            let mut labels = Labels::none(format!("{name} has no such label"));
            labels.set("alertname", Label::always(Domain::one(name)));
            labels.set("severity", Label::always(Domain::one("none")));
            others.iter().for_each(|other| labels.set(*other, Label::always(Domain::Any)));
            Alert { name, sets: vec![labels], annotations: BTreeSet::new(), is_checked: false }
        };
        vec![make("Watchdog", &[]), make("InfoInhibitor", &["namespace"])]
    }

    /// Whether it may match all of these.
    fn may_match(&self, matchers: &[&Matcher]) -> bool {
        let certainty = |labels| matcher::certainty(matchers.iter().copied(), labels);
        self.sets.iter().any(|labels| certainty(labels) != Certainty::Never)
    }

    /// The value that a label has in all its sets.
    fn value_of(&self, label: &str) -> Option<&str> {
        let mut values = self.sets.iter().map(|labels| match labels.carries(label) {
            Carried::Always => labels.get(label)?.domain.only(),
            _ => None,
        });
        let first = values.next()??;
        values.all(|value| value == Some(first)).then_some(first)
    }

    /// Whether one of its sets may have the label.
    fn may_carry(&self, label: &str) -> bool {
        self.sets.iter().any(|labels| labels.carries(label) != Carried::Never)
    }
}

/// What the checks of one configuration look at.
struct Context<'a> {
    config: &'a Alertmanager,
    /// The checked alerts and those of the stack; empty where no alert is checked.
    alerts: &'a [Alert<'a>],
    /// What happens at each route, by its path.
    traffic: HashMap<&'a str, Traffic<'a>>,
}

/// The alerts that may come to a route.
#[derive(Default)]
struct Traffic<'a> {
    /// Those that come and match.
    entered: Vec<&'a Alert<'a>>,
    /// Those that no route within takes, the checked ones only.
    delivered: Vec<&'a Alert<'a>>,
    /// Those of `delivered` of which that is certain.
    surely: Vec<&'a Alert<'a>>,
}

impl<'a> Context<'a> {
    fn new(config: &'a Alertmanager, alerts: &'a [Alert<'a>]) -> Context<'a> {
        let mut traffic: HashMap<&str, Traffic<'_>> = HashMap::new();
        for alert in alerts {
            let mut certain: HashMap<&str, usize> = HashMap::new();
            for visit in alert.sets.iter().flat_map(|labels| config.root.visits(labels)) {
                let here = traffic.entry(&visit.route.path).or_default();
                push(&mut here.entered, alert);
                if visit.delivered != Certainty::Never && alert.is_checked {
                    push(&mut here.delivered, alert);
                }
                if visit.delivered == Certainty::Always && alert.is_checked {
                    let sets = certain.entry(&visit.route.path).or_default();
                    *sets += 1;
                    if *sets == alert.sets.len() {
                        here.surely.push(alert);
                    }
                }
            }
        }
        Context { config, alerts, traffic }
    }

    fn error(&self, line: usize, check: &'static str, path: &str, message: impl Into<String>) -> Finding {
        Finding::error(&self.config.path, line, check, message).about(format!("route {path}"))
    }

    /// Why no alert matches all of `matchers`, and what would mend it.
    fn why_none(&self, matchers: &[&Matcher]) -> (String, String) {
        let takes_none = |matcher: &&&Matcher| !self.alerts.iter().any(|alert| alert.may_match(&[matcher]));
        let Some(matcher) = matchers.iter().find(takes_none) else {
            return (format!("no alert matches {} at once", matcher::quote(matchers)), String::new());
        };
        let sets = || self.alerts.iter().filter(|alert| alert.is_checked).flat_map(|alert| &alert.sets);
        let domains = sets().filter_map(|labels| labels.get(&matcher.name)).map(|label| label.domain.clone());
        let Some(values) = Domain::union_of(domains) else {
            let others = sets().flat_map(Labels::iter).map(|(name, _)| name.as_ref());
            let help = did_you_mean(&matcher.name, others);
            return (format!("`{matcher}` matches no alert: none carries the label `{}`", matcher.name), help);
        };
        let known = values.known().into_iter().flatten();
        let help = did_you_mean(&matcher.value, known.map(AsRef::as_ref));
        let values = match values.known() {
            Some(known) if known.len() > MANY => format!("one of {} other values", known.len()),
            _ => values.to_string(),
        };
        (format!("`{matcher}` matches no alert: {} is {values}", matcher.name), help)
    }
}

fn push<'a>(alerts: &mut Vec<&'a Alert<'a>>, alert: &'a Alert<'a>) {
    // The sets of one alert come one after the other.
    if alerts.last().is_none_or(|last| !std::ptr::eq(*last, alert)) {
        alerts.push(alert);
    }
}

fn did_you_mean<'a>(text: &str, candidates: impl Iterator<Item = &'a str>) -> String {
    let near = candidates.map(|candidate| (strsim::levenshtein(candidate, text), candidate)).min();
    let near = near.filter(|(distance, _)| *distance <= text.len().div_ceil(4));
    near.map_or_else(String::new, |(_, near)| format!("did you mean `{near}`?"))
}

/// The names of some alerts: `A`, `A and B`, `A, B and 3 more`.
fn names(alerts: &[&Alert<'_>]) -> String {
    let names: BTreeSet<&str> = alerts.iter().map(|alert| alert.name).collect();
    let names: Vec<&str> = names.into_iter().collect();
    match names.as_slice() {
        [] => "no alert".to_owned(),
        [only] => (*only).to_owned(),
        [first, second] => format!("{first} and {second}"),
        [first, second, rest @ ..] => format!("{first}, {second} and {} more", rest.len()),
    }
}

/// The alerts of all rules, and with them those that every Prometheus stack brings.
pub(super) fn with_the_stack(mut alerts: Vec<Alert<'_>>) -> Vec<Alert<'_>> {
    if !alerts.is_empty() {
        let known: BTreeSet<&str> = alerts.iter().map(|alert| alert.name).collect();
        let others = Alert::of_the_stack().into_iter().filter(|alert| !known.contains(alert.name));
        let others: Vec<Alert<'_>> = others.collect();
        alerts.extend(others);
    }
    alerts
}

/// Checks one configuration against the alerts of all rules.
pub(super) fn check(config: &Alertmanager, alerts: &[Alert<'_>]) -> Vec<Finding> {
    let context = Context::new(config, alerts);
    let families = [reach::check, inhibit::check, group_by::check, template::check];
    allowed(config, families.iter().flat_map(|family| family(&context)).collect())
}

/// Takes out what the comments allow, each for its own route, rule or receiver.
fn allowed(config: &Alertmanager, mut findings: Vec<Finding>) -> Vec<Finding> {
    let subjects: BTreeSet<&str> = config.exceptions.iter().map(|exception| exception.subject.as_str()).collect();
    for subject in subjects {
        let (about, others) = findings.into_iter().partition(|finding: &Finding| finding.subject == subject);
        let exceptions: Vec<_> = config.exceptions.iter().filter(|it| it.subject == subject).cloned().collect();
        findings = others;
        findings.extend(exception::apply(&config.path, &exceptions, about));
    }
    findings
}

#[cfg(test)]
mod testing {
    //! What the tests of this family share: a configuration with alerts, made of their labels or of whole rules.

    use std::fmt::Write as _;

    use super::super::{Settings, run, testing::CONTRACT};
    use crate::{Alertmanager, Contract, Finding, RuleFile};

    /// What is found about a configuration and the alerts of a group's rule list.
    pub(super) fn of_rules(config: &str, rules: &str) -> Vec<Finding> {
        let mut findings = Vec::new();
        let contract = Contract::parse([("m.yaml", CONTRACT)], &mut findings);
        let config = Alertmanager::parse("a.yml", config, &mut findings);
        let text = format!("groups:\n  - name: g\n    rules:\n{rules}");
        let files: Vec<RuleFile> = if rules.is_empty() {
            Vec::new()
        } else {
            RuleFile::parse("r.yaml", &text, &mut findings).into_iter().collect()
        };
        assert_eq!(findings, []);
        let found = run(&files, &[], config.as_slice(), &contract, &Settings::default());
        found.into_iter().filter(|finding| finding.file == "a.yml").collect()
    }

    /// What is found about a configuration and alerts of these names and labels.
    pub(super) fn findings(config: &str, alerts: &[(&str, &str)]) -> Vec<Finding> {
        let mut rules = String::new();
        for (name, labels) in alerts {
            // Writing into a string cannot fail.
            let _ = writeln!(rules, "      - {{alert: {name}, expr: sum(memory_bytes) > 1, labels: {{{labels}}}}}");
        }
        of_rules(config, &rules)
    }

    /// Asserts that the findings, as `check: message`, begin with these texts.
    #[track_caller]
    pub(super) fn finds(config: &str, alerts: &[(&str, &str)], expected: &[&str]) {
        let found = findings(config, alerts);
        let texts: Vec<String> =
            found.iter().map(|finding| format!("{}: {}", finding.check, finding.message)).collect();
        let agree =
            texts.len() == expected.len() && texts.iter().zip(expected).all(|(text, start)| text.starts_with(start));
        assert!(agree, "{config}\n{found:#?}\n{expected:#?}");
    }
}
