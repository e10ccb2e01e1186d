//! `docs/dashboards/`: what every dashboard shows.

use std::fmt::Write as _;

use helmpack::archive::Files;

use crate::model::Model;

/// The pages, by their paths below docs/.
pub(super) fn render(model: &Model) -> Files {
    let mut text = "<!-- Made by `cargo xtask docs` from dashboards/; edit those. -->\n\n# Dashboards\n\n".to_owned();
    text += "| Dashboard | uid |\n|---|---|\n";
    for dashboard in &model.dashboards {
        // Writing to a String never fails.
        let _ = writeln!(text, "| {} | `{}` |", dashboard.title, dashboard.uid);
    }
    Files::from([("dashboards/README.md".to_owned(), text.into_bytes())])
}
