//! The sources and targets of an inhibition rule, and whether they can agree in the labels of `equal`.
//! Source: prometheus/alertmanager `inhibit/inhibit.go` and `inhibit/cache.go`.

use std::collections::{BTreeMap, BTreeSet};

use super::super::Alert;
use crate::alertmanager::InhibitRule;
use crate::alertmanager::matcher::{self, Certainty, Matcher};
use crate::infer::{Carried, Domain, Labels};

/// One set of labels of an alert that may be a source or a target.
#[derive(Clone, Copy)]
pub(super) struct Side<'a> {
    pub(super) alert: &'a Alert<'a>,
    pub(super) labels: &'a Labels,
    /// Whether it is surely on the other side, too.
    is_both: bool,
}

/// The sources and targets of a rule.
pub(super) struct Sides<'a> {
    pub(super) rule: &'a InhibitRule,
    pub(super) sources: Vec<Side<'a>>,
    pub(super) targets: Vec<Side<'a>>,
}

/// What a rule can silence.
#[derive(Default)]
pub(super) struct Outcome<'a> {
    /// Whether it can silence anything.
    pub(super) some_agree: bool,
    /// Targets that it cannot silence just because one label is only on one side, by that label.
    pub(super) lacking: BTreeMap<&'a str, Lack<'a>>,
}

/// Targets with a source that would silence them, were it not for one label.
pub(super) struct Lack<'a> {
    pub(super) targets: Vec<&'a Alert<'a>>,
    /// The first such pair.
    pub(super) source: Side<'a>,
    pub(super) target: Side<'a>,
    /// Whether the source has the label, and the target lacks it.
    pub(super) is_on_source: bool,
}

/// Whether two sets of labels can be the same in one label.
#[derive(PartialEq, Eq)]
enum Agreement {
    /// They can.
    Possible,
    /// Both have it, and never with the same value.
    Different,
    /// Only the source has it.
    OnSource,
    /// Only the target has it.
    OnTarget,
}

impl<'a> Side<'a> {
    /// Whether Alertmanager never lets this source silence that target, because both are both.
    pub(super) fn is_kept_from(&self, target: &Side<'_>) -> bool {
        self.is_both && target.is_both
    }

    /// The only value that a label has here.
    pub(super) fn value_of(&self, label: &str) -> Option<&'a str> {
        self.labels.get(label)?.domain.only()
    }

    /// All that counts for the agreement, so that alerts alike are compared once.
    fn shape(&self, equal: &[String]) -> String {
        let parts = equal.iter().map(|label| {
            let domain = self.labels.get(label).map_or(&Domain::Any, |label| &label.domain);
            format!("{:?} {domain}", self.labels.carries(label))
        });
        parts.chain([self.is_both.to_string()]).collect::<Vec<_>>().join("\n")
    }
}

impl<'a> Sides<'a> {
    pub(super) fn new(rule: &'a InhibitRule, alerts: &'a [Alert<'a>]) -> Sides<'a> {
        let side = |here: &'a [Matcher], there: &'a [Matcher]| {
            let sets = alerts.iter().flat_map(|alert| alert.sets.iter().map(move |labels| (alert, labels)));
            let here = sets.filter(|(_, labels)| matcher::certainty(here, labels) != Certainty::Never);
            let sides = here.map(|(alert, labels)| {
                let is_both = matcher::certainty(there, labels) == Certainty::Always;
                Side { alert, labels, is_both }
            });
            sides.collect()
        };
        Sides { rule, sources: side(&rule.source, &rule.target), targets: side(&rule.target, &rule.source) }
    }

    /// Whether there is a pair that Alertmanager compares at all.
    pub(super) fn can_meet(&self) -> bool {
        self.sources.iter().chain(&self.targets).any(|side| !side.is_both)
    }

    /// Whether some pair can agree in one label.
    pub(super) fn can_agree_in(&self, label: &str) -> bool {
        let only: fn(&&Side<'_>) -> bool = |side| !side.is_both;
        let any: fn(&&Side<'_>) -> bool = |_| true;
        [(only, any), (any, only)].into_iter().any(|(of_sources, of_targets)| {
            let (source_lacks, source) = summary(self.sources.iter().filter(of_sources), label);
            let (target_lacks, target) = summary(self.targets.iter().filter(of_targets), label);
            let agree = source.is_some_and(|source| target.is_some_and(|target| source.meets(&target)));
            agree || (source_lacks && target_lacks)
        })
    }

    /// Compares the pairs. Where alerts silence those of their own name, only these.
    pub(super) fn outcome(&self) -> Outcome<'a> {
        let equal = &self.rule.equal;
        let by_name = equal.iter().any(|label| label == "alertname");
        let key = |side: &Side<'a>| if by_name { side.alert.name } else { "" };
        let mut sources: BTreeMap<&str, BTreeMap<String, Side<'_>>> = BTreeMap::new();
        for source in &self.sources {
            sources.entry(key(source)).or_default().entry(source.shape(equal)).or_insert(*source);
        }
        let mut outcome = Outcome::default();
        let mut agreeing: BTreeSet<&str> = BTreeSet::new();
        let mut compared: BTreeMap<(&str, String), Comparison<'_>> = BTreeMap::new();
        for target in &self.targets {
            let comparison = compared.entry((key(target), target.shape(equal))).or_insert_with(|| {
                let sources = sources.get(key(target)).into_iter().flat_map(BTreeMap::values);
                compare(equal, sources, target)
            });
            match *comparison {
                Comparison::Agrees => {
                    agreeing.insert(target.alert.name);
                }
                Comparison::Lacks { label, source, is_on_source } => {
                    let new = || Lack { targets: Vec::new(), source, target: *target, is_on_source };
                    outcome.lacking.entry(label).or_insert_with(new).targets.push(target.alert);
                }
                Comparison::Differs => {}
            }
        }
        outcome.some_agree = !agreeing.is_empty();
        // An alert of several arms may be silenced in one of them.
        outcome.lacking.values_mut().for_each(|lack| lack.targets.retain(|alert| !agreeing.contains(alert.name)));
        outcome.lacking.retain(|_, lack| !lack.targets.is_empty());
        outcome
    }
}

/// What comes of comparing a target with all sources.
#[derive(Clone, Copy)]
enum Comparison<'a> {
    /// One of them may agree with it.
    Agrees,
    /// One would, were it not for this label, which only one side has.
    Lacks { label: &'a str, source: Side<'a>, is_on_source: bool },
    /// None does.
    Differs,
}

fn compare<'a, 's>(
    equal: &'a [String],
    sources: impl Iterator<Item = &'s Side<'a>>,
    target: &Side<'_>,
) -> Comparison<'a>
where
    'a: 's,
{
    let mut found = Comparison::Differs;
    for source in sources.filter(|source| !source.is_kept_from(target)) {
        let differing = equal.iter().map(|label| (label, agreement(source.labels, target.labels, label)));
        let mut differing = differing.filter(|(_, agreement)| *agreement != Agreement::Possible);
        match (differing.next(), differing.next()) {
            (None, _) => return Comparison::Agrees,
            (Some((label, Agreement::OnSource | Agreement::OnTarget)), None) => {
                let is_on_source = target.labels.carries(label) == Carried::Never;
                found = Comparison::Lacks { label, source: *source, is_on_source };
            }
            _ => {}
        }
    }
    found
}

fn agreement(source: &Labels, target: &Labels, label: &str) -> Agreement {
    match (source.carries(label), target.carries(label)) {
        (Carried::Always, Carried::Never) => Agreement::OnSource,
        (Carried::Never, Carried::Always) => Agreement::OnTarget,
        (Carried::Always, _) | (_, Carried::Always) => match (source.get(label), target.get(label)) {
            (Some(source), Some(target)) if !source.domain.meets(&target.domain) => Agreement::Different,
            _ => Agreement::Possible,
        },
        // Neither surely has it, so both may lack it.
        _ => Agreement::Possible,
    }
}

/// Whether some of these sets may lack the label, and which values those have that carry it.
fn summary<'s, 'a: 's>(sides: impl Iterator<Item = &'s Side<'a>> + Clone, label: &str) -> (bool, Option<Domain>) {
    let lacks = sides.clone().any(|side| side.labels.carries(label) != Carried::Always);
    let carriers = sides.filter(|side| side.labels.carries(label) != Carried::Never);
    let domains = carriers.map(|side| side.labels.get(label).map_or(Domain::Any, |label| label.domain.clone()));
    (lacks, Domain::union_of(domains))
}
