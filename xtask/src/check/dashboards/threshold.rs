//! `dashboard/threshold`: the limits that a panel draws are the numbers of the alerts that its description names, and the
//! numbers of those alerts are drawn.

use std::collections::HashSet;

use rulecheck::dashboard::Panel;
use rulecheck::{Dashboard, Finding, Rule};

use crate::model::Model;
use crate::model::threshold::{self, marked_numbers, thresholds};

const CHECK: &str = "dashboard/threshold";

/// Panels whose colours or lines show where a limit is.
const DRAWS: [&str; 7] = ["timeseries", "stat", "gauge", "bargauge", "barchart", "state-timeline", "status-history"];

pub(super) fn check(model: &Model, dashboard: &Dashboard) -> Vec<Finding> {
    let alerts: Vec<&Rule> = model.alerts().map(|(_, _, rule)| rule).collect();
    let mut findings = Vec::new();
    for panel in dashboard.panels.iter().filter(|panel| DRAWS.contains(&panel.kind.value.as_str())) {
        let words = words(&panel.description);
        let named: Vec<&Rule> = alerts.iter().copied().filter(|rule| words.contains(rule.name.as_str())).collect();
        // What is wrong with marks is reported where they stand, and once.
        if named.iter().any(|rule| !threshold::check("", rule).is_empty()) {
            continue;
        }
        let unit = Unit::of(panel);
        let about = |finding: Finding| finding.about(dashboard.subject(panel));
        for (value, line) in panel.steps.iter().filter_map(|step| Some((step.value?, step.line))) {
            let mut numbers = named.iter().flat_map(|rule| marked_numbers(&rule.expr));
            if !unit.is_bound(value) && !numbers.any(|number| unit.shows(value, number)) {
                let message = format!("the step at {value} is no number of an alert that the description names");
                let help = "name the alert, with its number as the step; say in an exception where the number is from";
                findings.push(about(Finding::error(&dashboard.path, line, CHECK, message).help(help)));
            }
        }
        for (rule, number) in named.iter().flat_map(|rule| plain(rule).map(move |number| (rule, number))) {
            if !panel.steps.iter().filter_map(|step| step.value).any(|value| unit.shows(value, number)) {
                let message = format!("the description names {}, and no step is at its number, {number}", rule.name);
                let help = "draw the number as a step, or do not name the alert";
                findings.push(about(Finding::error(&dashboard.path, panel.line, CHECK, message).help(help)));
            }
        }
    }
    findings
}

/// The words of a text, of which a name is one.
fn words(text: &str) -> HashSet<&str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect()
}

/// The number of an alert's plain mark.
fn plain(rule: &Rule) -> impl Iterator<Item = f64> {
    let marks = thresholds(&rule.expr).unwrap_or_default().into_iter();
    marks.filter(|mark| mark.name.is_empty()).map(|mark| mark.value)
}

/// How a panel shows an alert's number.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Unit {
    /// A share; the number that stands for all of it.
    Share(f64),
    /// Anything else; how many of the unit are one of the alert's.
    Plain(f64),
}

impl Unit {
    fn of(panel: &Panel) -> Unit {
        match panel.unit.as_ref().map(|unit| unit.value.as_str()) {
            Some("percentunit") => Unit::Share(1.0),
            Some("percent") => Unit::Share(100.0),
            Some("ms") => Unit::Plain(1000.0),
            _ => Unit::Plain(1.0),
        }
    }

    /// None, any and all: no limits that somebody chose.
    fn is_bound(self, value: f64) -> bool {
        value == 0.0 || value == 1.0 || self == Unit::Share(value)
    }

    /// Whether a step is at an alert's number. A share that fails is one less the share that succeeds.
    fn shows(self, step: f64, number: f64) -> bool {
        match self {
            Unit::Share(all) => is_same(step, number * all) || is_same(all - step, number * all),
            Unit::Plain(factor) => is_same(step, number * factor),
        }
    }
}

/// Equal but for what binary fractions lose.
fn is_same(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_is_named_by_a_word_of_its_own() {
        assert!(words("The lines are HighX's and (LowX).").is_superset(&HashSet::from(["HighX", "LowX"])));
        assert!(!words("HighXRate, CriticalHighX").contains("HighX"));
    }

    #[test]
    fn a_number_is_shown_in_the_panels_unit() {
        for (unit, step, number) in [
            (Unit::Share(1.0), 0.1, 0.1),
            (Unit::Share(1.0), 0.9, 0.1),
            (Unit::Share(100.0), 90.0, 0.1),
            (Unit::Share(100.0), 5.0, 0.05),
            (Unit::Plain(1000.0), 2500.0, 2.5),
            (Unit::Plain(1.0), 60.0, 60.0),
        ] {
            assert!(unit.shows(step, number), "{unit:?} {step} {number}");
            assert!(!unit.shows(step * 1.01, number), "{unit:?} {step} {number}");
        }
        assert!(!Unit::Plain(1.0).shows(0.9, 0.1));
        assert!(Unit::Share(100.0).is_bound(100.0) && !Unit::Plain(1.0).is_bound(100.0));
    }
}
