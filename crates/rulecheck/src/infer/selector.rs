//! Selectors: the labels of a series, narrowed by the matchers.

use std::rc::Rc;

use promql_parser::label::{MatchOp, Matcher};
use promql_parser::parser::VectorSelector;

use super::arm::Arm;
use super::labels::Carried;
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

fn alive_or_first(mut arms: Vec<Arm>) -> Vec<Arm> {
    if arms.iter().any(Arm::is_alive) {
        arms.retain(Arm::is_alive);
    } else {
        arms.truncate(1);
    }
    arms
}

fn matched(mut arm: Arm, matchers: &[Matcher]) -> Arm {
    let is_known = |matcher: &&Matcher| !has_variable(&matcher.name) && !has_variable(&matcher.value);
    for matcher in matchers.iter().filter(|matcher| matcher.name != "__name__").filter(is_known) {
        arm = match_one(arm, matcher);
    }
    arm
}

/// A series without the label matches as if its value were empty.
fn match_one(mut arm: Arm, matcher: &Matcher) -> Arm {
    let name = matcher.name.as_str();
    let takes_none = matcher.is_match("");
    match (arm.labels.carries(name), takes_none) {
        (Carried::Never, true) => arm,
        (Carried::Never, false) => {
            let why = format!("{matcher} matches nothing: {}", arm.labels.why_never(name));
            arm.killed(why)
        }
        (carried, takes_none) => {
            let label = arm.labels.get(name).cloned().unwrap_or_default();
            let domain = match &matcher.op {
                MatchOp::Equal if label.domain.allows(&matcher.value) => super::Domain::one(&matcher.value),
                MatchOp::Equal => super::Domain::values([]),
                _ => label.domain.filter(|value| matcher.is_match(value)),
            };
            if matcher.op == MatchOp::Equal && matcher.value.is_empty() {
                if carried == Carried::Always {
                    return arm.killed(format!("every series has the label {name}"));
                }
                arm.labels.drop(name, &matcher.to_string().into());
            } else if domain.is_empty() && (!takes_none || carried == Carried::Always) {
                return arm.killed(format!("{matcher} matches nothing: {name} is {}", label.domain));
            } else if !takes_none {
                arm.labels.require(name, domain);
            } else if arm.labels.get(name).is_some() {
                arm.labels.set(name, super::Label { domain, ..label });
            }
            arm
        }
    }
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
