//! What Grafana's provisioning needs of dashboards together. A uid that two share is refused while the model is read.

use rulecheck::{Dashboard, Finding};

use crate::model::Model;

pub(super) fn check(model: &Model) -> Vec<Finding> {
    let dashboards = model.dashboards.iter().enumerate();
    dashboards
        .filter_map(|(index, board)| same_title(&model.dashboards[..index], board).or_else(|| misnamed(board)))
        .collect()
}

fn same_title(before: &[Dashboard], dashboard: &Dashboard) -> Option<Finding> {
    let first = before.iter().find(|other| other.title == dashboard.title)?;
    let message = format!("{} has the same title `{}`", first.path, dashboard.title);
    let finding = Finding::error(&dashboard.path, 1, "dashboard/structure", message);
    Some(finding.help("Grafana stops updating all dashboards of a provider when two of a folder share one"))
}

fn misnamed(dashboard: &Dashboard) -> Option<Finding> {
    let expected = format!("dashboards/{}.json", dashboard.uid);
    let message = format!("the file's name is not its uid `{}`", dashboard.uid);
    let finding = Finding::error(&dashboard.path, 1, "dashboard/structure", message);
    (dashboard.path != expected)
        .then(|| finding.help(format!("name it {expected}; ConfigMaps and links go by the uid")))
}
