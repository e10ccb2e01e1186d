//! `docs/dashboards/`: what every dashboard shows, with a picture of its layout.

use std::fmt::Write as _;

use helmpack::archive::Files;
use rulecheck::Dashboard;
use rulecheck::mark::Marked;

use super::preview;
use crate::model::Model;

const HEADER: &str = "<!-- Made by `cargo xtask docs` from dashboards/, alerts/ and metrics/; edit those. -->

# Dashboards

What they show, and what of it shows something on the day of the installation. The pictures are layouts: they hold no data.
";

/// The pages, by their paths below docs/.
pub(super) fn render(model: &Model) -> Files {
    let mut files = Files::new();
    let mut text = HEADER.to_owned();
    for (mark, meaning) in preview::LEGEND {
        text += &format!("\n- **{}**: {meaning}", preview::name(mark));
    }
    text += "\n";
    for dashboard in &model.dashboards {
        text += &section(model, dashboard);
        let picture = preview::render(model, dashboard);
        files.insert(format!("dashboards/{}.svg", dashboard.uid), picture.into_bytes());
    }
    files.insert("dashboards/README.md".to_owned(), text.into_bytes());
    files
}

fn section(model: &Model, dashboard: &Dashboard) -> String {
    let Dashboard { title, uid, description, .. } = dashboard;
    let mut text = format!("\n## {title}\n\n{description}\n\n![The layout of {title}]({uid}.svg)\n\n");
    text += "| Panel | Kind | Unit | Today | Waits for |\n|---|---|---|---|---|\n";
    for (index, panel) in dashboard.panels.iter().enumerate() {
        let title = cell(&panel.title);
        // Writing to a String never fails.
        let _ = if panel.kind.value == "row" {
            writeln!(text, "| **{title}** | row | | | |")
        } else {
            let kind = preview::kind_name(&panel.kind.value);
            let unit = panel.unit.as_ref().map_or("", |unit| preview::unit_name(&unit.value));
            let marked = model.mark(dashboard, index);
            let mark = marked.as_ref().map_or("", |marked| preview::name(marked.mark));
            let waits = marked.as_ref().map(waits_for).unwrap_or_default();
            writeln!(text, "| {title} | {kind} | {unit} | {mark} | {waits} |")
        };
    }
    text
}

/// The sources and the series that would light what is not lit.
fn waits_for(marked: &Marked) -> String {
    let quoted = |names: &mut dyn Iterator<Item = &String>| names.map(|name| format!("`{name}`")).collect::<Vec<_>>();
    let sources = quoted(&mut marked.sources.iter());
    let dark = quoted(&mut marked.dark.iter());
    let recorded = if dark.is_empty() { String::new() } else { format!("Gorax recording {}", dark.join(", ")) };
    let all = [sources.join(", "), recorded];
    all.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; or ")
}

/// A text that leaves its table as it is.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
