//! `docs/alerts.md`: every alert with its numbers, what it reads and its tests, and what fires in every situation.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use rulecheck::contract::Emitted;
use rulecheck::needs::{Alternative, needs};
use rulecheck::{Contract, Rule};

use crate::model::unit_tests::Test;
use crate::model::{Model, threshold};

const HEADER: &str = "<!-- Made by `cargo xtask docs` from alerts/ and metrics/; edit those. -->

# Alerts

*Numbers* are changed by `alerts.overrides.<Alert>`: `threshold`, and by their names in `thresholds`. *Reads* says whose
metrics an alert needs, and `or` which others would do. *Tests* counts the situations that ask for the alert alone: those in
which it fires, and those in which it never does.
";

const SITUATIONS: &str = "
## Situations

What fires at any time in whole installations, of all alerts together";

/// The page.
pub(super) fn render(model: &Model) -> Result<String> {
    let mut text = HEADER.to_owned();
    let mut last = "";
    for (_, group, rule) in model.alerts() {
        if group != last {
            text += &format!("\n## {group}\n\n| Alert | Severity | For | Family | Numbers | Reads | Tests |\n");
            text += "|---|---|---|---|---|---|---|\n";
            last = group;
        }
        let tests = model.tests.iter().map(|file| (file.path.as_str(), file.tests.as_slice()));
        text += &row(model, rule, tests).with_context(|| format!("describing {}", rule.subject()))?;
    }
    let tests: Vec<&Test> = model.tests.iter().flat_map(|file| &file.tests).collect();
    Ok(text + &situations(&tests))
}

fn row<'a>(model: &Model, rule: &Rule, tests: impl Iterator<Item = (&'a str, &'a [Test])>) -> Result<String> {
    let label = |name: &str| rule.labels.get(name).map_or("", String::as_str);
    let name = &rule.name;
    let mut cells = vec![format!("[{name}](runbooks/{name}.md)"), label("severity").to_owned()];
    cells.push(rule.hold.clone().unwrap_or_else(|| "0".to_owned()));
    cells.push(label("family").to_owned());
    cells.push(numbers(rule)?);
    cells.push(reads(model, rule)?);
    let proven = tests.filter_map(|(path, tests)| proven(name, path, tests));
    cells.push(proven.collect::<Vec<_>>().join(", "));
    Ok(format!("| {} |\n", cells.join(" | ")))
}

fn numbers(rule: &Rule) -> Result<String> {
    let mut marks = threshold::thresholds(&rule.expr).map_err(anyhow::Error::msg)?;
    marks.dedup();
    let each = marks.iter().map(|mark| {
        let name = if mark.name.is_empty() { "threshold" } else { &mark.name };
        format!("`{name}` {}", mark.value)
    });
    // A name may be marked in several places, all with the same number.
    let each: BTreeSet<String> = each.collect();
    Ok(each.into_iter().collect::<Vec<_>>().join(", "))
}

/// Whose metrics do for an alert: those that are there today first, then what Gorax does not record yet.
fn reads(model: &Model, rule: &Rule) -> Result<String> {
    let all = needs(&rule.ast, &model.rules).map_err(anyhow::Error::msg)?;
    let is_dark =
        |series: &str| model.contract.metric(series).is_some_and(|(metric, _)| metric.emitted == Emitted::Dark);
    let (dark, lit): (Vec<&Alternative>, Vec<&Alternative>) =
        all.iter().partition(|alternative| alternative.iter().any(|need| is_dark(&need.series)));
    let lit: BTreeSet<BTreeSet<&str>> = lit.into_iter().map(|alternative| jobs(&model.contract, alternative)).collect();
    // One that needs more than another one says nothing.
    let least = lit.iter().filter(|jobs| !lit.iter().any(|other| other != *jobs && other.is_subset(jobs)));
    let mut ways: Vec<String> = least.map(|jobs| jobs.iter().copied().collect::<Vec<_>>().join(" and ")).collect();
    let dark: BTreeSet<&str> =
        dark.into_iter().flatten().map(|need| need.series.as_str()).filter(|series| is_dark(series)).collect();
    ways.extend(dark.into_iter().map(|series| format!("`{series}` once Gorax records it")));
    Ok(if ways.is_empty() { "nothing".to_owned() } else { ways.join(", or ") })
}

/// The jobs whose series an alternative needs; what the chart itself renders needs none.
fn jobs<'a>(contract: &'a Contract, alternative: &'a Alternative) -> BTreeSet<&'a str> {
    let of = |series: &str| contract.metric(series).and_then(|(metric, _)| metric.jobs.first()).map(String::as_str);
    alternative.iter().filter_map(|need| need.job.as_deref().or_else(|| of(&need.series))).collect()
}

/// How many situations of a file ask for an alert.
fn proven(alert: &str, path: &str, tests: &[Test]) -> Option<String> {
    let asked = tests.iter().map(|test| test.alert_rule_test.iter().filter(|test| test.alertname == alert));
    let asked: Vec<bool> =
        asked.filter(|tests| tests.clone().next().is_some()).map(|mut tests| tests.any(|test| test.fires())).collect();
    let fires = asked.iter().filter(|fires| **fires).count();
    let silent = asked.len() - fires;
    (!asked.is_empty()).then(|| format!("[fires in {fires}, silent in {silent}](../{path})"))
}

/// The table of the situations that say of all alerts which fire.
fn situations(tests: &[&Test]) -> String {
    let asked = tests.iter().filter_map(|test| Some((test.name.as_str(), test.of_all_alerts()?)));
    let fired: BTreeMap<usize, (&str, BTreeSet<String>)> = asked
        .map(|(name, test)| {
            (name, test.exp_samples.iter().flatten().filter_map(|sample| alert(&sample.labels)).collect())
        })
        .enumerate()
        .collect();
    let always = fired.values().map(|(_, alerts)| alerts.clone()).reduce(|a, b| &a & &b).unwrap_or_default();
    let mut text = SITUATIONS.to_owned();
    // Writing to a String never fails.
    let _ = match always.is_empty() {
        true => writeln!(text, ":\n"),
        false => writeln!(text, ", besides {}, which always does:\n", joined(&always)),
    };
    text += "| Situation | Fires |\n|---|---|\n";
    for (name, alerts) in fired.values() {
        let _ = writeln!(text, "| {name} | {} |", joined(&(alerts - &always)));
    }
    text
}

/// The alert of a sample's labels, with its namespace where that is not the usual one.
fn alert(labels: &str) -> Option<String> {
    let of = |name: &str| Some(labels.split_once(&format!("{name}=\""))?.1.split('"').next()?.to_owned());
    let (name, namespace) = (of("alertname")?, of("namespace"));
    Some(match namespace {
        Some(namespace) if namespace != "gorax-prod" => format!("{name} for {namespace}"),
        _ => name,
    })
}

fn joined(alerts: &BTreeSet<String>) -> String {
    if alerts.is_empty() { "nothing".to_owned() } else { alerts.iter().cloned().collect::<Vec<_>>().join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_names_its_alert_and_a_namespace_that_is_not_the_usual_one() {
        assert_eq!(alert(r#"{alertname="A", namespace="gorax-prod"}"#).as_deref(), Some("A"));
        assert_eq!(alert(r#"{alertname="A", namespace="gorax-dev"}"#).as_deref(), Some("A for gorax-dev"));
        assert_eq!(alert(r#"{alertname="A"}"#).as_deref(), Some("A"));
        assert_eq!(alert(r#"{pod="a"}"#), None);
    }
}
