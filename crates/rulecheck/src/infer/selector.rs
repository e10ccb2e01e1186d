//! Selectors: the labels of a series, narrowed by the matchers.

use std::fmt;
use std::rc::Rc;

use promql_parser::label::{MatchOp, Matcher};
use promql_parser::parser::VectorSelector;

use super::alive_or_first;
use super::arm::Arm;
use super::labels::{Carried, Domain, Label, Labels};
use super::world::World;
use crate::query::{has_variable, metric_name};

/// The arms of a selector. A matcher that no series can meet leaves an arm without a value.
pub(super) fn arms(world: &World<'_>, selector: &VectorSelector) -> Vec<Arm> {
    let Some(name) = metric_name(selector) else {
        return vec![matched(Arm::unknown(None), &selector.matchers.matchers)];
    };
    let step: Rc<str> = selector.to_string().into();
    let (job, others): (Vec<Matcher>, Vec<Matcher>) =
        selector.matchers.matchers.iter().cloned().partition(|matcher| matcher.name == "job");
    // Of several jobs, those count that the matchers leave; if none is left, one arm says why.
    let of_jobs = alive_or_first(world.arms(name).iter().map(|arm| matched(arm.clone(), &job)).collect());
    alive_or_first(of_jobs.into_iter().map(|arm| matched(arm, &others).step(&step)).collect())
}

fn matched(mut arm: Arm, matchers: &[Matcher]) -> Arm {
    let is_known = |matcher: &&Matcher| !has_variable(&matcher.name) && !has_variable(&matcher.value);
    for matcher in matchers.iter().filter(|matcher| matcher.name != "__name__").filter(is_known) {
        arm = match_one(arm, matcher);
    }
    arm
}

/// Why a matcher takes none of the series of some labels.
#[derive(Debug, Clone)]
pub enum Miss {
    /// No series has the label; why.
    NoLabel(String),
    /// The label, which is named first, has only these values.
    NoValue(Rc<str>, Domain),
    /// The matcher asks for series without the label, and all have it.
    AlwaysSet(Rc<str>),
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Miss::NoLabel(why) => f.write_str(why),
            Miss::NoValue(label, domain) => write!(f, "{label} is {domain}"),
            Miss::AlwaysSet(label) => write!(f, "every series has the label {label}"),
        }
    }
}

/// Why the matcher takes no series of these labels; `None` where it takes some, or where that cannot be told. A series
/// without the label matches as if its value were empty.
pub fn miss(labels: &Labels, matcher: &Matcher) -> Option<Miss> {
    let name = matcher.name.as_str();
    let takes_none = matcher.is_match("");
    match labels.carries(name) {
        Carried::Never => (!takes_none).then(|| Miss::NoLabel(labels.why_never(name))),
        Carried::Perhaps if takes_none => None,
        carried => {
            if matcher.op == MatchOp::Equal && matcher.value.is_empty() {
                return (carried == Carried::Always).then(|| Miss::AlwaysSet(name.into()));
            }
            let domain = &labels.get(name)?.domain;
            let takes_some = match &matcher.op {
                MatchOp::Equal => domain.allows(&matcher.value),
                _ => domain.known().is_none_or(|values| values.iter().any(|value| matcher.is_match(value))),
            };
            (!takes_some).then(|| Miss::NoValue(name.into(), domain.clone()))
        }
    }
}

/// The values of a label that the matcher takes.
fn matched_values(domain: &Domain, matcher: &Matcher) -> Domain {
    match &matcher.op {
        MatchOp::Equal if domain.allows(&matcher.value) => Domain::one(&matcher.value),
        MatchOp::Equal => Domain::values([]),
        _ => domain.filter(|value| matcher.is_match(value)),
    }
}

fn match_one(mut arm: Arm, matcher: &Matcher) -> Arm {
    if let Some(miss) = miss(&arm.labels, matcher) {
        return arm.killed(format!("{matcher} matches nothing: {miss}"));
    }
    let name = matcher.name.as_str();
    let known = arm.labels.get(name).cloned();
    if arm.labels.carries(name) == Carried::Never {
        return arm;
    }
    if matcher.op == MatchOp::Equal && matcher.value.is_empty() {
        arm.labels.drop(name, &matcher.to_string().into());
    } else if !matcher.is_match("") {
        arm.labels.require(name, matched_values(&known.unwrap_or_default().domain, matcher));
    } else if let Some(label) = known {
        arm.labels.set(name, Label { domain: matched_values(&label.domain, matcher), ..label });
    }
    arm
}

/// A bucket's bound as Prometheus 3 writes it in the label `le`: `0.5`, `1.0`, `1e+06`. Source:
/// prometheus/prometheus `model/labels/float.go`.
pub fn bucket_bound(bound: f64) -> String {
    if bound.is_infinite() {
        return if bound > 0.0 { "+Inf".to_owned() } else { "-Inf".to_owned() };
    }
    let exponent = if bound == 0.0 { 0 } else { exponent_of(bound) };
    if !(-4..6).contains(&exponent) {
        let text = format!("{bound:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, digits) = exponent.strip_prefix('-').map_or(("+", exponent), |digits| ("-", digits));
        return format!("{mantissa}e{sign}{digits:0>2}");
    }
    let text = bound.to_string();
    if text.contains('.') { text } else { format!("{text}.0") }
}

/// The decimal exponent, as the shortest scientific notation has it.
fn exponent_of(number: f64) -> i32 {
    format!("{number:e}").split_once('e').and_then(|(_, exponent)| exponent.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_written_as_prometheus_does() {
        for (bound, text) in [
            (0.005, "0.005"),
            (1.0, "1.0"),
            (2.5, "2.5"),
            (300.0, "300.0"),
            (100_000.0, "100000.0"),
            (1e6, "1e+06"),
            (0.0001, "0.0001"),
            (f64::INFINITY, "+Inf"),
        ] {
            assert_eq!(bucket_bound(bound), text);
        }
        assert_eq!(bucket_bound(1e-5), "1e-05");
        assert_eq!(bucket_bound(1e21), "1e+21");
    }
}
