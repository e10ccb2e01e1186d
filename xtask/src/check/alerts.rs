//! What every alert and group of this repository must have: a unique name, the labels that routing uses, the
//! annotations that a person needs, and links that lead somewhere.

use std::collections::{BTreeMap, BTreeSet};

use rulecheck::checks::link;
use rulecheck::infer::{World, infer};
use rulecheck::{Finding, Rule};

use crate::model::{Model, threshold};
use crate::sources::Sources;

/// The severities that `alerts.minSeverity` ranks.
const SEVERITIES: [&str; 3] = ["info", "warning", "critical"];
/// Besides the severity, which rulecheck wants of every alert.
const LABELS: [&str; 2] = ["component", "family"];
const ANNOTATIONS: [&str; 4] = ["summary", "description", "runbook_url", "dashboard_url"];

pub(super) fn check(sources: &Sources, model: &Model) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut seen: BTreeMap<&str, String> = BTreeMap::new();
    let world = World::new(&model.contract, &model.rules);
    for file in &model.rules {
        file.rules().for_each(|rule| findings.extend(threshold::check(&file.path, rule)));
    }
    for (file, _, rule) in model.alerts() {
        findings.extend(check_alert(sources, model, &world, &file.path, rule, &mut seen));
    }
    findings
}

fn check_alert<'a>(
    sources: &Sources,
    model: &Model,
    world: &World<'_>,
    file: &str,
    rule: &'a Rule,
    seen: &mut BTreeMap<&'a str, String>,
) -> Vec<Finding> {
    let report = |check, message: String| Finding::error(file, rule.line, check, message).about(rule.subject());
    let mut findings = Vec::new();
    if let Some(first) = seen.insert(&rule.name, format!("{file}:{}", rule.line)) {
        findings.push(
            report("alert/duplicate", format!("the name is taken at {first}"))
                .help("overrides and runbooks go by the alert's name; choose another"),
        );
    }
    findings.extend(policy(world, rule).into_iter().map(|message| report("alert/policy", message)));
    findings.extend(links(sources, model, rule).into_iter().map(|message| report(link::CHECK, message)));
    findings
}

fn policy(world: &World<'_>, rule: &Rule) -> Vec<String> {
    let mut problems = Vec::new();
    for label in LABELS.iter().filter(|label| !rule.labels.contains_key(**label)) {
        problems.push(format!("the label `{label}` is missing"));
    }
    // rulecheck reports a missing and an unknown severity; here is what passes there and the chart cannot order.
    let passes = |severity: &&String| *severity == "none" || severity.contains("{{");
    if let Some(severity) = rule.labels.get("severity").filter(passes) {
        problems.push(format!("the severity `{severity}` is none of {}", SEVERITIES.join(", ")));
    }
    for annotation in ANNOTATIONS.iter().filter(|annotation| !rule.annotations.contains_key(**annotation)) {
        problems.push(format!("the annotation `{annotation}` is missing"));
    }
    let description = rule.annotations.get("description");
    if description.is_some_and(|text| !text.contains("$value")) && tells_something(world, rule) {
        problems.push("the description leaves out the value, `{{ $value … }}` in its unit".to_owned());
    }
    problems
}

/// Whether the value of an alert that fires is more than the same number each time, as that of `x == 0` is, whichever
/// part of the expression it comes from.
fn tells_something(world: &World<'_>, rule: &Rule) -> bool {
    infer(world, &rule.ast).alive().all(|arm| arm.interval.low < arm.interval.high)
}

/// The template replaces just the prefixes when an operator has runbooks or Grafana elsewhere, so they must be there.
fn links(sources: &Sources, model: &Model, rule: &Rule) -> Vec<String> {
    let mut problems = Vec::new();
    if let Some(url) = rule.annotations.get("runbook_url") {
        let home = model.chart.home.as_deref().unwrap_or_default();
        let expected = format!("{home}/blob/main/docs/runbooks/{}.md", rule.name);
        if *url != expected {
            problems.push(format!("runbook_url is {url}, expected {expected}"));
        } else if sources.bytes(&format!("docs/runbooks/{}.md", rule.name)).is_none() {
            problems.push(format!("there is no docs/runbooks/{}.md", rule.name));
        }
    }
    if let Some(url) = rule.annotations.get("dashboard_url") {
        // Only ours: the addon edition comes without the stack's.
        match url.starts_with("/d/") {
            true => problems.extend(link::problem(url, &model.dashboards, &BTreeSet::new())),
            false => problems.push(format!("dashboard_url is {url}, expected /d/<uid of a dashboard>")),
        }
    }
    problems
}
