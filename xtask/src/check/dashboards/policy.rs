//! `dashboard/policy`: what every dashboard of this repository must have beside what rulecheck wants of any.

use std::collections::BTreeSet;

use rulecheck::dashboard::Panel;
use rulecheck::mark::Mark;
use rulecheck::query::seconds;
use rulecheck::{Dashboard, Finding};

use crate::model::Model;

const CHECK: &str = "dashboard/policy";

/// Queries that opening a dashboard may ask. Everybody opens it in an incident.
const MAX_QUERIES: usize = 20;

/// Seconds between refreshes: nothing is newer than two scrapes of 15 seconds.
const MIN_REFRESH: f64 = 30.0;

/// Panels that draw numbers, which are nothing without a unit.
const WITH_UNIT: [&str; 9] =
    ["timeseries", "stat", "gauge", "bargauge", "barchart", "piechart", "histogram", "heatmap", "trend"];

pub(super) fn check(model: &Model, dashboard: &Dashboard) -> Vec<Finding> {
    let mut findings = of_dashboard(dashboard);
    findings.extend(of_the_stack(model, dashboard));
    for (index, panel) in dashboard.panels.iter().enumerate().filter(|(_, panel)| panel.kind.value != "row") {
        let problem = |message: &str, help: &str| {
            Finding::error(&dashboard.path, panel.line, CHECK, message).about(dashboard.subject(panel)).help(help)
        };
        if panel.description.is_empty() {
            findings
                .push(problem("the panel has no description", "say what it shows, and what a reader does about it"));
        }
        if panel.unit.is_none() && WITH_UNIT.contains(&panel.kind.value.as_str()) {
            findings.push(problem("the panel has no unit", "set one; `none` for a number of things"));
        }
        let is_waiting = model.mark(dashboard, index).is_some_and(|marked| marked.mark != Mark::Live);
        if is_waiting && panel.no_value.is_empty() {
            let message = "the panel is empty until a source is installed or a metric recorded, and does not say so";
            findings.push(problem(message, "say in `noValue` what it waits for"));
        }
    }
    findings
}

fn of_dashboard(dashboard: &Dashboard) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut problem = |line: usize, message: String, help: &str| {
        findings.push(Finding::error(&dashboard.path, line, CHECK, message).about(dashboard.title.as_str()).help(help));
    };
    if dashboard.description.is_empty() {
        problem(dashboard.title_line, "the dashboard has no description".into(), "say whom it serves, and when");
    }
    let refresh = &dashboard.refresh;
    if seconds(&refresh.value).is_none_or(|every| every < MIN_REFRESH) {
        let message = format!("it refreshes every `{}`, expected 30s or more", refresh.value);
        problem(refresh.line, message, "set `refresh` to 30s");
    }
    let visible = dashboard.panels.iter().filter(|panel| !panel.collapsed);
    let count = visible.flat_map(queries).count();
    if count > MAX_QUERIES {
        let message = format!("opening it asks {count} queries, more than {MAX_QUERIES}");
        problem(dashboard.title_line, message, "put panels that are rarely needed into collapsed rows");
    }
    findings
}

fn queries(panel: &Panel) -> impl Iterator<Item = &str> {
    panel.targets.iter().filter(|target| !target.hidden).filter_map(|target| Some(target.expr.as_ref()?.value.as_str()))
}

/// The bundled stack's dashboards come from the same provider, which stops at a second uid or title.
fn of_the_stack(model: &Model, dashboard: &Dashboard) -> Vec<Finding> {
    let brought = model.facts.iter().flat_map(|facts| &facts.dashboards);
    let (uids, titles): (BTreeSet<&str>, BTreeSet<&str>) =
        brought.map(|(uid, title)| (uid.as_str(), title.as_str())).unzip();
    let mut findings = Vec::new();
    for (known, own, line, what) in
        [(uids, &dashboard.uid, dashboard.uid_line, "uid"), (titles, &dashboard.title, dashboard.title_line, "title")]
    {
        if known.contains(own.as_str()) {
            let message = format!("a dashboard of the bundled stack has the {what} `{own}` too");
            let help = "Grafana stops updating all dashboards of a provider when two share one; choose another";
            findings.push(Finding::error(&dashboard.path, line, CHECK, message).help(help));
        }
    }
    findings
}
