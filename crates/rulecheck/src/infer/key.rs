//! Which series of one side of an operator meet which of the other. Source: prometheus/prometheus `promql/engine.go`.

use std::collections::BTreeSet;
use std::rc::Rc;

use promql_parser::parser::{BinModifier, LabelModifier};

use super::labels::{Carried, Domain, Labels};
use crate::query::has_variable;

/// The labels that must be equal for two series to meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// Just these.
    On(Vec<String>),
    /// All but these.
    Ignoring(Vec<String>),
}

impl Key {
    /// The key of an operator's modifiers.
    pub fn of(modifier: Option<&BinModifier>) -> Key {
        match modifier.and_then(|modifier| modifier.matching.as_ref()) {
            Some(LabelModifier::Include(labels)) => Key::On(labels.labels.clone()),
            Some(LabelModifier::Exclude(labels)) => Key::Ignoring(labels.labels.clone()),
            None => Key::Ignoring(Vec::new()),
        }
    }

    /// Whether a dashboard's variable is among its labels, so that nothing is known of what meets.
    pub(super) fn has_variable(&self) -> bool {
        let (Key::On(labels) | Key::Ignoring(labels)) = self;
        labels.iter().any(|label| has_variable(label))
    }

    /// Whether the label is part of the key.
    pub fn has(&self, label: &str) -> bool {
        match self {
            Key::On(labels) => labels.iter().any(|on| on == label),
            Key::Ignoring(labels) => !labels.iter().any(|ignored| ignored == label),
        }
    }

    /// The labels of the key that are known by name on either side, sorted.
    pub fn labels(&self, left: &Labels, right: &Labels) -> BTreeSet<Rc<str>> {
        match self {
            Key::On(labels) => labels.iter().map(|label| label.as_str().into()).collect(),
            Key::Ignoring(_) => {
                let known = left.iter().chain(right.iter()).map(|(name, _)| name.clone());
                known.filter(|name| self.has(name)).collect()
            }
        }
    }

    /// Why no series of one side can meet one of the other: a label that every series of one side has and none of the
    /// other, or whose values differ.
    pub fn cannot_meet(&self, left: &Labels, right: &Labels) -> Option<Mismatch> {
        if self.has_variable() {
            return None;
        }
        self.labels(left, right).into_iter().find_map(|label| match (left.carries(&label), right.carries(&label)) {
            (Carried::Always, Carried::Never) => {
                Some(Mismatch::OneSided { why: right.why_never(&label), label, left_has_it: true })
            }
            (Carried::Never, Carried::Always) => {
                Some(Mismatch::OneSided { why: left.why_never(&label), label, left_has_it: false })
            }
            (Carried::Always, Carried::Always) => {
                let (l, r) = (left.get(&label)?, right.get(&label)?);
                let (left, right) = (l.domain.clone(), r.domain.clone());
                (!left.meets(&right)).then_some(Mismatch::Values { label, left, right })
            }
            _ => None,
        })
    }
}

/// Why two sides cannot meet.
#[derive(Debug, Clone)]
pub enum Mismatch {
    /// Every series of one side has the label, and none of the other.
    OneSided {
        /// The label.
        label: Rc<str>,
        /// Which side has it.
        left_has_it: bool,
        /// Why the other has not.
        why: String,
    },
    /// Both have the label, with no value in common.
    Values {
        /// The label.
        label: Rc<str>,
        /// Its values on the left.
        left: Domain,
        /// Its values on the right.
        right: Domain,
    },
}

impl std::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Mismatch::OneSided { label, left_has_it, why } => {
                let (has, lacks) = if *left_has_it { ("left", "right") } else { ("right", "left") };
                write!(f, "only the {has} side has the label {label}; on the {lacks} side {why}")
            }
            Mismatch::Values { label, left, right } => {
                write!(f, "the label {label} is {left} on the left side and {right} on the right side")
            }
        }
    }
}
