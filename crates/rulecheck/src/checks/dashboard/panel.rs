//! The part of `dashboard/structure` that looks at panels.

use std::collections::{BTreeMap, BTreeSet};

use super::structure::report;
use crate::dashboard::{Dashboard, Grid, Panel};
use crate::finding::Finding;

/// The columns of a dashboard's grid.
const COLUMNS: f64 = 24.0;

/// Panel types that Grafana no longer has, and the one that it shows in their place. Source: grafana/grafana
/// `public/app/features/dashboard/state/getPanelPluginToMigrateTo.ts`.
const CONVERTED: [(&str, &str); 9] = [
    ("graph", "timeseries"),
    ("graphite", "timeseries"),
    ("table-old", "table"),
    ("singlestat", "stat"),
    ("grafana-singlestat-panel", "stat"),
    ("grafana-piechart-panel", "piechart"),
    ("grafana-worldmap-panel", "geomap"),
    ("heatmap-new", "heatmap"),
    ("natel-discrete-panel", "state-timeline"),
];

/// Panel types that needed Angular, that nothing converts and whose plugin has no version without it. Source:
/// grafana/grafana `docs/sources/developers/angular_deprecation/angular-plugins.md`.
const REMOVED: [&str; 17] = [
    "agenty-flowcharting-panel",
    "blackmirror1-singlestat-math-panel",
    "farski-blendstat-panel",
    "flant-statusmap-panel",
    "marcuscalidus-svg-panel",
    "michaeldmoore-annunciator-panel",
    "michaeldmoore-multistat-panel",
    "mtanda-histogram-panel",
    "natel-plotly-panel",
    "neocat-cal-heatmap-panel",
    "petrslavotinek-carpetplot-panel",
    "pr0ps-trackmap-panel",
    "ryantxu-ajax-panel",
    "savantly-heatmap-panel",
    "snuids-radar-panel",
    "vonage-status-panel",
    "yesoreyeram-boomtable-panel",
];

/// The transformations of Grafana 13. Source: grafana/grafana
/// `packages/grafana-data/src/transformations/transformers/ids.ts`.
const TRANSFORMATIONS: [&str; 44] = [
    "append",
    "calculateField",
    "concatenate",
    "configFromData",
    "convertFieldType",
    "convertFrameType",
    "deduplicateRows",
    "ensureColumns",
    "extractFields",
    "fieldLookup",
    "filterByRefId",
    "filterByValue",
    "filterFields",
    "filterFieldsByName",
    "filterFrames",
    "formatString",
    "formatTime",
    "groupBy",
    "groupingToMatrix",
    "groupToNestedTable",
    "heatmap",
    "histogram",
    "joinByField",
    "joinByLabels",
    "labelsToFields",
    "limit",
    "merge",
    "noop",
    "order",
    "organize",
    "partitionByValues",
    "prepareTimeSeries",
    "reduce",
    "regression",
    "rename",
    "renameByRegex",
    "rowsToFields",
    "seriesToColumns",
    "seriesToRows",
    "smoothing",
    "sortBy",
    "spatial",
    "timeSeriesTable",
    "transpose",
];

pub(super) fn check(dashboard: &Dashboard) -> Vec<Finding> {
    let mut findings = same_ids(dashboard);
    for panel in &dashboard.panels {
        let about = |finding: Finding| finding.about(dashboard.subject(panel));
        findings.extend(kind(dashboard, panel).map(about));
        findings.extend(title(dashboard, panel).map(about));
        findings.extend(same_ref_ids(dashboard, panel).map(about));
        findings.extend(grid(dashboard, panel).map(about));
        findings.extend(transformations(dashboard, panel).into_iter().map(about));
    }
    findings.extend(overlaps(dashboard));
    findings
}

fn same_ids(dashboard: &Dashboard) -> Vec<Finding> {
    let mut seen: BTreeMap<u64, &Panel> = BTreeMap::new();
    let mut findings = Vec::new();
    for panel in &dashboard.panels {
        let Some(id) = &panel.id else { continue };
        if let Some(first) = seen.insert(id.value, panel) {
            let message = format!("the id {} is that of `{}` too, so a link may open either", id.value, first.title);
            findings.push(
                report(dashboard, id.line, message)
                    .warning()
                    .about(dashboard.subject(panel))
                    .help("give each panel an id of its own"),
            );
        }
    }
    findings
}

fn kind(dashboard: &Dashboard, panel: &Panel) -> Option<Finding> {
    let kind = panel.kind.value.as_str();
    if kind.is_empty() && !panel.targets.is_empty() {
        return Some(report(dashboard, panel.kind.line, "the panel has no type"));
    }
    if let Some((_, now)) = CONVERTED.iter().find(|(old, _)| *old == kind) {
        let message = format!(
            "the panel type `{kind}` is gone; Grafana shows {now} in its place and drops what that does not know"
        );
        return Some(report(dashboard, panel.kind.line, message).warning().help(format!("make it a {now} panel")));
    }
    let message = || format!("the panel type `{kind}` needs Angular, which Grafana 12 removed");
    REMOVED
        .contains(&kind)
        .then(|| report(dashboard, panel.kind.line, message()).help("use a panel type that Grafana has"))
}

/// Rows and texts may go without one.
fn title(dashboard: &Dashboard, panel: &Panel) -> Option<Finding> {
    let needs_one = panel.targets.iter().any(|target| target.expr.is_some()) && panel.title.is_empty();
    let finding =
        || report(dashboard, panel.line, "the panel has no title").warning().help("say in a few words what it shows");
    needs_one.then(finding)
}

fn same_ref_ids(dashboard: &Dashboard, panel: &Panel) -> Option<Finding> {
    let mut seen = BTreeSet::new();
    let mut named = panel.targets.iter().filter(|target| !target.ref_id.is_empty());
    let second = named.find(|target| !seen.insert(target.ref_id.as_str()))?;
    let message = format!("two queries have the refId `{}`, so one's result takes the other's place", second.ref_id);
    Some(report(dashboard, second.line, message).help("give each query of a panel a letter of its own"))
}

fn grid(dashboard: &Dashboard, panel: &Panel) -> Option<Finding> {
    let place = panel.grid.as_ref()?;
    let Grid { x, width, height, .. } = place.value;
    if fits(&place.value) {
        return None;
    }
    let message = if width >= 1.0 && height >= 1.0 {
        format!("it reaches from column {x} to {}, beyond the {COLUMNS} there are", x + width)
    } else {
        format!("it is {width} columns wide and {height} lines high")
    };
    Some(report(dashboard, place.line, message).warning().help("Grafana lays it out anew: correct `gridPos`"))
}

fn fits(grid: &Grid) -> bool {
    grid.width >= 1.0 && grid.height >= 1.0 && grid.x >= 0.0 && grid.x + grid.width <= COLUMNS
}

fn transformations(dashboard: &Dashboard, panel: &Panel) -> Vec<Finding> {
    let unknown = panel.transformations.iter().filter(|id| !TRANSFORMATIONS.contains(&id.value.as_str()));
    let findings = unknown.map(|id| {
        let message = format!("no transformation of Grafana is called `{}`", id.value);
        let finding = report(dashboard, id.line, message);
        let distances = TRANSFORMATIONS.iter().map(|known| (strsim::levenshtein(known, &id.value), known));
        match distances.min() {
            Some((1..=2, near)) => finding.help(format!("did you mean {near}?")),
            // A newer Grafana may have it.
            _ => finding.warning().help("a transformation that is not there leaves the panel empty"),
        }
    });
    findings.collect()
}

/// Panels that lie upon each other, each with the first one it meets. Those inside of collapsed rows lie nowhere yet.
fn overlaps(dashboard: &Dashboard) -> Vec<Finding> {
    let visible = dashboard.panels.iter().filter(|panel| !panel.collapsed);
    let placed = visible.filter_map(|panel| panel.grid.as_ref().map(|grid| (panel, grid.value, grid.line)));
    let mut placed: Vec<(&Panel, Grid, usize)> = placed.filter(|(_, grid, _)| fits(grid)).collect();
    placed.sort_by(|(_, a, _), (_, b, _)| a.y.total_cmp(&b.y));
    let mut findings = Vec::new();
    // From above to below, only those that still reach down here can be met.
    let mut above: Vec<(&Panel, Grid)> = Vec::new();
    for (panel, grid, line) in placed {
        above.retain(|(_, other)| other.y + other.height > grid.y);
        let meets = |other: &Grid| grid.x < other.x + other.width && other.x < grid.x + grid.width;
        if let Some((other, _)) = above.iter().find(|(_, other)| meets(other)) {
            let message = format!("it lies upon `{}`", other.title);
            findings.push(
                report(dashboard, line, message)
                    .warning()
                    .about(dashboard.subject(panel))
                    .help("Grafana lays it out anew: correct `gridPos`"),
            );
        } else {
            above.push((panel, grid));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::of_dashboard;
    use super::super::testing::{board, panel, shows};
    use crate::Severity;

    /// What is found about two panels, the second one changed.
    #[track_caller]
    fn second(changes: &[(&str, &str)], expected: &str) {
        let first = panel("stat", "sum(up)", "", "");
        let mut second =
            panel("stat", "sum(up)", "", "").replace("\"id\": 1", "\"id\": 2").replace("\"y\": 0", "\"y\": 8");
        for (from, to) in changes {
            assert!(second.contains(from), "{from}");
            second = second.replace(from, to);
        }
        let found: Vec<String> =
            of_dashboard(&board("", &format!("{first},\n{second}"))).iter().map(ToString::to_string).collect();
        match expected {
            "" => assert_eq!(found, [""; 0], "{changes:?}"),
            _ => assert!(found.len() == 1 && found[0].contains(expected), "{expected}\n{found:#?}"),
        }
    }

    #[test]
    fn panels_have_ids_and_places_of_their_own() {
        second(&[("\"id\": 2", "\"id\": 1")], "warning: dashboard/structure: Board › P: the id 1 is that of `P` too");
        second(&[("\"y\": 8", "\"y\": 7")], "warning: dashboard/structure: Board › P: it lies upon `P`");
        second(&[("\"x\": 0", "\"x\": 12")], "it reaches from column 12 to 36");
        second(&[("\"w\": 24", "\"w\": 0")], "it is 0 columns wide");
        second(&[("\"y\": 8", "\"y\": 100"), ("\"w\": 24", "\"w\": 1")], "");
    }

    #[test]
    fn what_grafana_does_not_have_is_found() {
        second(&[("\"stat\"", "\"graph\"")], "warning: dashboard/structure: Board › P: the panel type `graph` is gone");
        second(&[("\"stat\"", "\"vonage-status-panel\"")], "error: dashboard/structure: Board › P: the panel type");
        second(
            &[("\"title\": \"P\", ", "")],
            "warning: dashboard/structure: Board › (untitled): the panel has no title",
        );
        shows(
            "stat",
            "sum(up)",
            "",
            r#", "transformations": [{"id": "organise"}]"#,
            "dashboard/structure: no transformation of Grafana is called `organise`",
        );
        shows("stat", "sum(up)", "", r#", "transformations": [{"id": "organize"}]"#, "");
        let newer = panel("stat", "sum(up)", "", r#", "transformations": [{"id": "somethingNew"}]"#);
        assert_eq!(of_dashboard(&board("", &newer))[0].severity, Severity::Warning);
    }

    #[test]
    fn queries_of_a_panel_have_letters_of_their_own() {
        let twice = panel("stat", "sum(up)", r#"}, {"refId": "A", "expr": "sum(up)""#, "");
        assert!(of_dashboard(&board("", &twice))[0].message.starts_with("two queries have the refId `A`"));
        assert_eq!(of_dashboard(&board("", &twice.replacen("\"A\"", "\"B\"", 1))), []);
    }
}
