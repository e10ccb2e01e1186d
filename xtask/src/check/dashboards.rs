//! What this repository wants of its dashboards beside what rulecheck finds: one form for all files, limits that
//! are the alerts', what a reader needs on each panel, links that lead somewhere, and files named as links name them.

mod format;
mod policy;
mod threshold;

use std::collections::BTreeSet;

use rulecheck::checks::link;
use rulecheck::{Dashboard, Finding};

use crate::model::Model;
use crate::sources::Sources;

pub(super) fn check(sources: &Sources, model: &Model) -> Vec<Finding> {
    let brought = model.facts.iter().flat_map(|facts| facts.dashboards.keys());
    let known: BTreeSet<&str> = brought.map(String::as_str).collect();
    let mut findings = link::check(&model.dashboards, &known);
    for dashboard in &model.dashboards {
        findings.extend(misnamed(dashboard));
        findings.extend(format::check(sources, dashboard));
    }
    findings
}

/// The rules of this house, which a dashboard's exceptions cover as they do rulecheck's.
pub(super) fn of_this_house(model: &Model) -> Vec<Finding> {
    let of = |dashboard| policy::check(model, dashboard).into_iter().chain(threshold::check(model, dashboard));
    model.dashboards.iter().flat_map(of).collect()
}

fn misnamed(dashboard: &Dashboard) -> Option<Finding> {
    let expected = format!("dashboards/{}.json", dashboard.uid);
    let message = format!("the file's name is not its uid `{}`", dashboard.uid);
    let finding = Finding::error(&dashboard.path, dashboard.uid_line, "dashboard/structure", message);
    (dashboard.path != expected)
        .then(|| finding.help(format!("name it {expected}; ConfigMaps and links go by the uid")))
}
