//! Which labels a series can carry: always, perhaps or never, with which values, and which step took one away.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::rc::Rc;

use regex::Regex;

/// The values that a label can have.
#[derive(Debug, Clone, Default)]
pub enum Domain {
    /// Nothing is known.
    #[default]
    Any,
    /// All values match the expression as a whole.
    Pattern(Rc<Regex>),
    /// These and no others.
    Values(Rc<BTreeSet<Rc<str>>>),
}

impl Domain {
    /// The domain of one value.
    pub fn one(value: &str) -> Domain {
        Domain::values([value])
    }

    /// The domain of some values.
    pub fn values<'a>(values: impl IntoIterator<Item = &'a str>) -> Domain {
        Domain::Values(Rc::new(values.into_iter().map(Rc::from).collect()))
    }

    /// The values, where they are known one by one.
    pub fn known(&self) -> Option<&BTreeSet<Rc<str>>> {
        match self {
            Domain::Values(values) => Some(values),
            _ => None,
        }
    }

    /// The only value, where there is just one.
    pub fn only(&self) -> Option<&str> {
        let values = self.known()?;
        if values.len() == 1 { values.first().map(AsRef::as_ref) } else { None }
    }

    /// Whether no value is left.
    pub fn is_empty(&self) -> bool {
        self.known().is_some_and(BTreeSet::is_empty)
    }

    /// The values for which `keep` holds; `keep` is asked only where values are known one by one.
    #[must_use]
    pub fn filter(&self, keep: impl Fn(&str) -> bool) -> Domain {
        match self {
            Domain::Values(values) => {
                Domain::Values(Rc::new(values.iter().filter(|value| keep(value)).cloned().collect()))
            }
            other => other.clone(),
        }
    }

    /// Whether the label can have `value`.
    pub fn allows(&self, value: &str) -> bool {
        match self {
            Domain::Any => true,
            Domain::Pattern(regex) => regex.is_match(value),
            Domain::Values(values) => values.contains(value),
        }
    }

    /// Whether some value is in both; `true` where that cannot be told.
    pub fn meets(&self, other: &Domain) -> bool {
        match (self, other) {
            (Domain::Values(values), other) | (other, Domain::Values(values)) => {
                values.iter().any(|value| other.allows(value))
            }
            _ => true,
        }
    }

    /// The values of either.
    #[must_use]
    pub fn union(&self, other: &Domain) -> Domain {
        match (self, other) {
            (Domain::Values(a), Domain::Values(b)) => Domain::Values(Rc::new(a.union(b).cloned().collect())),
            (Domain::Pattern(a), Domain::Pattern(b)) if a.as_str() == b.as_str() => self.clone(),
            _ => Domain::Any,
        }
    }

    /// The values of all of them; `None` where there is no domain.
    pub fn union_of(domains: impl IntoIterator<Item = Domain>) -> Option<Domain> {
        // One set grows, instead of a new one for each of ten thousand alerts.
        let (mut values, mut other) = (None, None);
        for domain in domains {
            match domain {
                Domain::Values(more) => values.get_or_insert_with(BTreeSet::new).extend(more.iter().cloned()),
                more => other = Some(other.map_or_else(|| more.clone(), |other: Domain| other.union(&more))),
            }
        }
        let values = values.map(|values| Domain::Values(Rc::new(values)));
        match (values, other) {
            (Some(values), Some(other)) => Some(values.union(&other)),
            (values, other) => values.or(other),
        }
    }
}

/// `a, b or c`; `any value`; `what matches …`.
impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Domain::Any => f.write_str("any value"),
            Domain::Pattern(regex) => {
                let text = regex.as_str();
                let text = text.strip_prefix("^(?:").and_then(|text| text.strip_suffix(")$")).unwrap_or(text);
                write!(f, "what matches {text}")
            }
            Domain::Values(values) => match values.iter().collect::<Vec<_>>().as_slice() {
                [] => f.write_str("no value"),
                [only] => f.write_str(only),
                [most @ .., last] => {
                    let most: Vec<&str> = most.iter().map(|value| value.as_ref()).collect();
                    write!(f, "{} or {last}", most.join(", "))
                }
            },
        }
    }
}

/// What is known of one label.
#[derive(Debug, Clone, Default)]
pub struct Label {
    /// Whether every series has it.
    pub always: bool,
    /// Its possible values.
    pub domain: Domain,
    /// About how many values to expect, where that is declared.
    pub cardinality: Option<u64>,
}

impl Label {
    /// A label that every series has.
    pub fn always(domain: Domain) -> Label {
        Label { always: true, domain, cardinality: None }
    }

    /// About how many values it has: as declared, or as many as are known. `None` where nobody said.
    pub fn count(&self) -> Option<u64> {
        let known = self.domain.known().map(|values| values.len() as u64);
        match (self.cardinality, known) {
            (Some(declared), Some(known)) => Some(declared.min(known)),
            (declared, known) => declared.or(known),
        }
    }
}

/// Whether series carry a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carried {
    /// Every series does.
    Always,
    /// Some may.
    Perhaps,
    /// None does.
    Never,
}

/// Why no series carries a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lack {
    /// Its source never had it; the text says so.
    Source(Rc<str>),
    /// This step of the expression drops it.
    Step(Rc<str>),
    /// A step of a recording rule drops it before the series is recorded.
    Recorded {
        /// The name of the recorded series.
        record: Rc<str>,
        /// The step.
        step: Rc<str>,
    },
}

/// `m has no such label`, `` `sum by (pod)` drops it ``.
impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lack::Source(why) => f.write_str(why),
            Lack::Step(step) => write!(f, "`{step}` drops it"),
            Lack::Recorded { record, step } => write!(f, "`{step}` drops it before {record} is recorded"),
        }
    }
}

/// The labels of an arm of an expression, the metric's name aside.
#[derive(Debug, Clone, Default)]
pub struct Labels {
    // Most steps leave the labels as they are, so their maps are shared until one changes.
    known: Rc<BTreeMap<Rc<str>, Label>>,
    /// Whether there may be labels that nobody declared.
    open: bool,
    /// Why a label is not there any more, for those that were.
    dropped: Rc<BTreeMap<Rc<str>, Lack>>,
    /// Why there are no others, where the set is closed.
    closed_by: Option<Lack>,
}

impl Labels {
    /// Any labels: nothing is known.
    pub fn any() -> Labels {
        Labels { open: true, ..Labels::default() }
    }

    /// No labels but those set later; `why` says who says so.
    pub fn none(why: impl Into<Rc<str>>) -> Labels {
        Labels { closed_by: Some(Lack::Source(why.into())), ..Labels::default() }
    }

    /// What is known of the label, if it can be there and is named.
    pub fn get(&self, name: &str) -> Option<&Label> {
        self.known.get(name)
    }

    /// All labels that are known by name.
    pub fn iter(&self) -> impl Iterator<Item = (&Rc<str>, &Label)> {
        self.known.iter()
    }

    /// Whether there may be labels beside the known ones.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Whether series carry the label.
    pub fn carries(&self, name: &str) -> Carried {
        match self.known.get(name) {
            Some(label) if label.always => Carried::Always,
            Some(_) => Carried::Perhaps,
            None if self.open && !self.dropped.contains_key(name) => Carried::Perhaps,
            None => Carried::Never,
        }
    }

    /// Why no series carries the label; `None` where some may, or where nobody says why.
    pub fn lack(&self, name: &str) -> Option<&Lack> {
        if self.carries(name) != Carried::Never {
            return None;
        }
        self.dropped.get(name).or(self.closed_by.as_ref())
    }

    /// Why no series carries the label, in words: `sum by (namespace) drops it`, `gorax_x has no such label`.
    pub fn why_never(&self, name: &str) -> String {
        self.lack(name).map_or_else(|| "nothing sets it".to_owned(), Lack::to_string)
    }

    /// The labels that were there and that a step dropped.
    pub fn dropped(&self) -> impl Iterator<Item = &str> {
        self.dropped.keys().map(AsRef::as_ref)
    }

    /// Notes that the steps so far are those of a recording rule.
    pub fn recorded_as(&mut self, record: &Rc<str>) {
        for lack in Rc::make_mut(&mut self.dropped).values_mut().chain(&mut self.closed_by) {
            if let Lack::Step(step) = lack {
                *lack = Lack::Recorded { record: record.clone(), step: step.clone() };
            }
        }
    }

    /// Sets a label.
    pub fn set(&mut self, name: impl Into<Rc<str>>, label: Label) {
        let name = name.into();
        if self.dropped.contains_key(&name) {
            Rc::make_mut(&mut self.dropped).remove(&name);
        }
        Rc::make_mut(&mut self.known).insert(name, label);
    }

    /// Takes a label away; `step` is what did it.
    pub fn drop(&mut self, name: &str, step: &Rc<str>) {
        if self.carries(name) == Carried::Never {
            return;
        }
        Rc::make_mut(&mut self.known).remove(name);
        Rc::make_mut(&mut self.dropped).insert(name.into(), Lack::Step(step.clone()));
    }

    /// Keeps only the labels for which `keep` holds. `others` says whether unknown ones may stay.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool, others: bool, step: &Rc<str>) {
        let gone: Vec<Rc<str>> = self.known.keys().filter(|name| !keep(name)).cloned().collect();
        for name in gone {
            self.drop(&name, step);
        }
        if self.open && !others {
            self.open = false;
            self.closed_by = Some(Lack::Step(step.clone()));
        }
    }

    /// Marks a label that may be there as there on every series, because a matcher asks for it.
    pub fn require(&mut self, name: &str, domain: Domain) {
        if self.carries(name) != Carried::Never {
            let cardinality = self.get(name).and_then(|label| label.cardinality);
            self.set(name, Label { always: true, domain, cardinality });
        }
    }

    /// About how many series differ in these labels: the product of the known counts, at least 1.
    pub fn series(&self) -> u64 {
        self.known.values().filter_map(Label::count).fold(1, |product: u64, count| product.saturating_mul(count.max(1)))
    }
}

/// `namespace, status (failed or success), pod?`; a question mark where a series may lack the label, `…` where there
/// may be others.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> = Vec::new();
        for (name, label) in self.known.iter() {
            let perhaps = if label.always { "" } else { "?" };
            parts.push(match &label.domain {
                Domain::Any => format!("{name}{perhaps}"),
                domain => format!("{name}{perhaps} ({domain})"),
            });
        }
        if self.open {
            parts.push("…".to_owned());
        }
        if parts.is_empty() { f.write_str("none") } else { f.write_str(&parts.join(", ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels() -> Labels {
        let mut labels = Labels::none("m has no such label");
        labels.set("pod", Label::always(Domain::Any));
        labels.set("status", Label::always(Domain::values(["failed", "success"])));
        labels.set("zone", Label::default());
        labels
    }

    #[test]
    fn a_label_that_is_gone_knows_why() {
        let mut labels = labels();
        labels.retain(|name| name != "pod", true, &"sum without (pod)".into());
        assert_eq!(labels.carries("pod"), Carried::Never);
        assert_eq!(labels.why_never("pod"), "`sum without (pod)` drops it");
        assert_eq!(labels.why_never("node"), "m has no such label");
        assert_eq!(labels.to_string(), "status (failed or success), zone?");
    }

    #[test]
    fn a_recording_rule_is_named_as_what_dropped_a_label() {
        let mut labels = labels();
        labels.retain(|name| name == "pod", false, &"sum by (pod)".into());
        labels.recorded_as(&"pod:x:sum".into());
        labels.retain(|_| false, false, &"sum".into());
        assert_eq!(labels.why_never("status"), "`sum by (pod)` drops it before pod:x:sum is recorded");
        assert_eq!(
            (labels.why_never("pod"), labels.why_never("no")),
            ("`sum` drops it".into(), "m has no such label".into())
        );
        assert_eq!(Labels::any().lack("pod"), None);
    }

    #[test]
    fn unknown_labels_stay_possible_until_a_step_closes_the_set() {
        let mut any = Labels::any();
        assert_eq!(any.carries("x"), Carried::Perhaps);
        any.drop("y", &"sum without (y)".into());
        assert_eq!((any.carries("y"), any.carries("x")), (Carried::Never, Carried::Perhaps));
        any.retain(|name| name == "z", false, &"sum by (z)".into());
        assert_eq!((any.carries("x"), any.why_never("x")), (Carried::Never, "`sum by (z)` drops it".to_owned()));
    }

    #[test]
    fn domains_meet_where_a_value_is_in_both() {
        let pattern = Domain::Pattern(Rc::new(Regex::new("^(?:a.*)$").unwrap()));
        assert!(pattern.meets(&Domain::values(["abc"])) && !pattern.meets(&Domain::values(["xyz"])));
        assert!(Domain::one("a").meets(&Domain::Any) && !Domain::one("a").meets(&Domain::one("b")));
        let union = |domains: &[&Domain]| Domain::union_of(domains.iter().copied().cloned()).map(|all| all.to_string());
        assert_eq!(union(&[&Domain::one("a"), &Domain::one("b")]), Some("a or b".to_owned()));
        assert_eq!(union(&[&pattern, &pattern]), Some("what matches a.*".to_owned()));
        assert_eq!((union(&[&pattern, &Domain::one("b")]), union(&[])), (Some("any value".to_owned()), None));
        assert_eq!(labels().series(), 2);
    }
}
