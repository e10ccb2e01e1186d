//! What this repository wants of its dashboards beside what rulecheck finds: links that lead somewhere, and files that
//! are named as links name them.

use std::collections::BTreeSet;

use rulecheck::checks::link;
use rulecheck::{Dashboard, Finding};

use crate::model::Model;

pub(super) fn check(model: &Model) -> Vec<Finding> {
    let brought = model.facts.iter().flat_map(|facts| facts.dashboards.keys());
    let known: BTreeSet<&str> = brought.map(String::as_str).collect();
    let mut findings = link::check(&model.dashboards, &known);
    findings.extend(model.dashboards.iter().filter_map(misnamed));
    findings
}

fn misnamed(dashboard: &Dashboard) -> Option<Finding> {
    let expected = format!("dashboards/{}.json", dashboard.uid);
    let message = format!("the file's name is not its uid `{}`", dashboard.uid);
    let finding = Finding::error(&dashboard.path, dashboard.uid_line, "dashboard/structure", message);
    (dashboard.path != expected)
        .then(|| finding.help(format!("name it {expected}; ConfigMaps and links go by the uid")))
}
