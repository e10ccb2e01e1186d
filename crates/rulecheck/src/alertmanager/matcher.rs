//! Matchers, as routes and inhibition rules have them, and what is certain of them for a set of labels.
//!
//! A missing label matches as if its value were empty. Source: prometheus/alertmanager `pkg/labels/matcher.go`.

use std::fmt;
use std::rc::Rc;

use regex::Regex;

use crate::infer::{Carried, Domain, Label, Labels};

/// What is known of a statement about alerts of which not all is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Certainty {
    /// It holds for none of them.
    Never,
    /// It may hold for some.
    Perhaps,
    /// It holds for all.
    Always,
}

impl Certainty {
    /// The certainty of the opposite.
    #[must_use]
    pub fn opposite(self) -> Certainty {
        match self {
            Certainty::Never => Certainty::Always,
            Certainty::Perhaps => Certainty::Perhaps,
            Certainty::Always => Certainty::Never,
        }
    }

    /// Of a statement that holds for some cases and not for others.
    fn of_cases(cases: impl Iterator<Item = bool>) -> Certainty {
        let (mut held, mut failed) = (false, false);
        cases.for_each(|case| if case { held = true } else { failed = true });
        match (held, failed) {
            (true, false) => Certainty::Always,
            (false, true) => Certainty::Never,
            _ => Certainty::Perhaps,
        }
    }
}

/// How a matcher compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`, against the whole value.
    Matches,
    /// `!~`
    NotMatches,
}

impl Operator {
    fn is_negative(self) -> bool {
        matches!(self, Operator::NotEqual | Operator::NotMatches)
    }
}

/// One matcher.
#[derive(Debug, Clone)]
pub struct Matcher {
    /// The label.
    pub name: String,
    /// How its value is compared.
    pub operator: Operator,
    /// The value or the regular expression, as written.
    pub value: String,
    regex: Option<Rc<Regex>>,
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Matcher) -> bool {
        (&self.name, self.operator, &self.value) == (&other.name, other.operator, &other.value)
    }
}

impl Matcher {
    /// Makes a matcher; the error says what is wrong with its regular expression.
    pub fn new(name: impl Into<String>, operator: Operator, value: impl Into<String>) -> Result<Matcher, String> {
        let value = value.into();
        let regex = match operator {
            Operator::Matches | Operator::NotMatches => {
                let regex = Regex::new(&format!("^(?:{value})$"));
                Some(Rc::new(regex.map_err(|_| format!("`{value}` is not a regular expression"))?))
            }
            Operator::Equal | Operator::NotEqual => None,
        };
        Ok(Matcher { name: name.into(), operator, value, regex })
    }

    /// Whether the label may have this value.
    pub fn is_match(&self, value: &str) -> bool {
        self.is_like(value) != self.operator.is_negative()
    }

    /// The comparison without its negation.
    fn is_like(&self, value: &str) -> bool {
        self.regex.as_ref().map_or_else(|| self.value == value, |regex| regex.is_match(value))
    }

    /// The values that it names one by one: `a`, `a|b`; `None` for other expressions.
    pub fn named(&self) -> Option<Vec<&str>> {
        match self.regex {
            None => Some(vec![&self.value]),
            Some(_) if self.value.contains(|c| r"\.+*?()[]{}^$".contains(c)) => None,
            Some(_) => Some(self.value.split('|').collect()),
        }
    }

    /// Whether alerts with these labels match.
    pub fn certainty(&self, labels: &Labels) -> Certainty {
        let carried = labels.carries(&self.name);
        let without = if self.is_match("") { Certainty::Always } else { Certainty::Never };
        if carried == Carried::Never {
            return without;
        }
        let like = self.certainty_of_value(labels.get(&self.name).map_or(&Domain::Any, |label| &label.domain));
        let with = if self.operator.is_negative() { like.opposite() } else { like };
        if carried == Carried::Always || with == without { with } else { Certainty::Perhaps }
    }

    /// Whether values of a domain, none of them empty, are like the matcher's.
    fn certainty_of_value(&self, domain: &Domain) -> Certainty {
        if let Domain::Values(values) = domain {
            return Certainty::of_cases(values.iter().map(|value| self.is_like(value)));
        }
        let is_same = match (domain, &self.regex) {
            (Domain::Pattern(pattern), Some(regex)) => pattern.as_str() == regex.as_str(),
            _ => false,
        };
        let takes_all = self.regex.is_some() && [".*", ".+"].contains(&self.value.as_str());
        if is_same || takes_all {
            return Certainty::Always;
        }
        let takes_none = |named: Vec<&str>| named.iter().all(|value| value.is_empty() || !domain.allows(value));
        if self.named().is_some_and(takes_none) { Certainty::Never } else { Certainty::Perhaps }
    }

    /// Narrows labels to those that match, where some may.
    fn narrow(&self, labels: &mut Labels) {
        let takes_none = self.is_match("");
        let label = labels.get(&self.name).cloned().unwrap_or_default();
        let domain = match (label.domain, self.named()) {
            (Domain::Values(values), _) => Domain::Values(values).filter(|value| self.is_match(value)),
            (other, _) if self.operator.is_negative() => other,
            (_, Some(named)) => Domain::values(named.into_iter().filter(|value| !value.is_empty())),
            (other, None) => self.regex.clone().map_or(other, Domain::Pattern),
        };
        if domain.is_empty() {
            labels.drop(&self.name, &self.to_string().into());
        } else {
            labels.set(self.name.as_str(), Label { always: label.always || !takes_none, domain, cardinality: None });
        }
    }
}

/// `severity="critical"`
impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operator = match self.operator {
            Operator::Equal => "=",
            Operator::NotEqual => "!=",
            Operator::Matches => "=~",
            Operator::NotMatches => "!~",
        };
        write!(f, "{}{operator}{:?}", self.name, self.value)
    }
}

/// Whether alerts with these labels match all of `matchers`.
pub fn certainty<'a>(matchers: impl IntoIterator<Item = &'a Matcher>, labels: &Labels) -> Certainty {
    matchers.into_iter().map(|matcher| matcher.certainty(labels)).min().unwrap_or(Certainty::Always)
}

/// The labels of any alert that matches all of `matchers`; `None` where none can.
pub fn satisfying<'a>(matchers: impl IntoIterator<Item = &'a Matcher>) -> Option<Labels> {
    let mut labels = Labels::any();
    for matcher in matchers {
        match matcher.certainty(&labels) {
            Certainty::Never => return None,
            Certainty::Perhaps => matcher.narrow(&mut labels),
            Certainty::Always => {}
        }
    }
    Some(labels)
}

/// Matchers as messages quote them: `` `a="b"` and `c="d"` ``.
pub fn quote(matchers: &[&Matcher]) -> String {
    let quoted: Vec<String> = matchers.iter().map(|matcher| format!("`{matcher}`")).collect();
    quoted.join(" and ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matcher(text: &str) -> Matcher {
        super::super::syntax::matchers(text).unwrap().remove(0)
    }

    #[track_caller]
    fn is(text: &str, labels: &Labels, expected: Certainty) {
        assert_eq!(matcher(text).certainty(labels), expected, "{text}");
    }

    #[test]
    fn what_is_not_known_is_perhaps() {
        let mut labels = Labels::none("nothing sets it");
        labels.set("severity", Label::always(Domain::values(["critical", "warning"])));
        labels.set("namespace", Label::always(Domain::Any));
        labels.set("pod", Label::default());
        labels.set("code", Label::always(Domain::Pattern(Rc::new(Regex::new("^(?:[0-9]+)$").unwrap()))));
        for text in ["severity=critical", "namespace=a", "namespace!~a.*", "pod=a", "pod=~.+", "code=7", "code=~7.."] {
            is(text, &labels, Certainty::Perhaps);
        }
        for text in ["severity=~critical|warning", "severity!=info", "namespace!=\"\"", "namespace=~.+", "pod=~.*"] {
            is(text, &labels, Certainty::Always);
        }
        for text in ["severity=info", "severity=~info|none", "namespace=\"\"", "namespace!~.+", "code=x", "team=a"] {
            is(text, &labels, Certainty::Never);
        }
        for text in ["team!=a", "team=\"\"", "team=~a?", "code=~[0-9]+", "code!=x"] {
            is(text, &labels, Certainty::Always);
        }
    }

    #[test]
    fn expressions_match_the_whole_value() {
        assert!(!matcher("a=~b").is_match("bb") && matcher("a=~b|bb").is_match("bb") && matcher("a!~b").is_match("bb"));
    }

    #[test]
    fn labels_that_satisfy_matchers_do_so() {
        let labels = |texts: &[&str]| {
            let matchers: Vec<Matcher> = texts.iter().map(|text| matcher(text)).collect();
            satisfying(&matchers).map(|labels| labels.to_string())
        };
        assert_eq!(labels(&["a=b", "c=~d|e", "c!=d"]), Some("a (b), c (e), …".to_owned()));
        assert_eq!(labels(&["a=~b.*", "c!~d", "e=\"\""]), Some("a (what matches b.*), c?, …".to_owned()));
        assert_eq!(labels(&["a=b", "a=c"]), None);
        assert_eq!(labels(&["a=\"\"", "a=c"]), None);
    }
}
