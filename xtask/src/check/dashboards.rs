//! What Grafana's provisioning needs of dashboards together: it stops updating *all* dashboards of a provider when two
//! share a uid, or a title in one folder.

use std::collections::BTreeMap;

use rulecheck::{Dashboard, Finding};

use crate::model::Model;

pub(super) fn check(model: &Model) -> Vec<Finding> {
    let mut findings = unique(model, "uid", |dashboard| &dashboard.uid);
    findings.extend(unique(model, "title", |dashboard| &dashboard.title));
    for dashboard in &model.dashboards {
        if dashboard.path != format!("dashboards/{}.json", dashboard.uid) {
            let message = format!("the file's name is not its uid `{}`", dashboard.uid);
            findings.push(
                Finding::error(&dashboard.path, 1, "dashboard/structure", message)
                    .help(format!("name it dashboards/{}.json; ConfigMaps and links go by the uid", dashboard.uid)),
            );
        }
    }
    findings
}

fn unique<'a>(model: &'a Model, what: &str, key: impl Fn(&'a Dashboard) -> &'a String) -> Vec<Finding> {
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    let mut findings = Vec::new();
    for dashboard in &model.dashboards {
        if let Some(first) = seen.insert(key(dashboard), &dashboard.path) {
            let message = format!("{first} has the same {what} `{}`", key(dashboard));
            findings.push(
                Finding::error(&dashboard.path, 1, "dashboard/structure", message)
                    .help("Grafana would stop updating every dashboard of the sidecar"),
            );
        }
    }
    findings
}
