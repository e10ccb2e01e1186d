//! The checks of dashboards, a file each. A panel that shows nothing, or shows it under a wrong name or unit, misleads
//! just when somebody looks.

mod cost;
mod instant;
mod legend;
mod panel;
mod structure;
mod undefined;
mod unit;
mod variable;

use super::{Purpose, Query};
use crate::dashboard::{Dashboard, Panel, Target};
use crate::finding::Finding;

/// Everything that is wrong with one dashboard, but for what [`super::QUERY_CHECKS`] find.
pub(super) fn check(dashboard: &Dashboard, panels: &[Query<'_>], variables: &[Query<'_>]) -> Vec<Finding> {
    let mut findings = structure::check(dashboard, panels);
    findings.extend(variable::check(dashboard, panels, variables));
    findings.extend(cost::opening(dashboard));
    for shown in panels.iter().filter_map(Shown::of) {
        let legend = legend::check(&shown);
        // Lines that share a name are mostly too many as well; that is one defect.
        findings.extend(if legend.is_some() { cost::series(&shown) } else { cost::check(&shown) });
        findings.extend(legend);
        findings.extend(unit::check(&shown));
        findings.extend(instant::check(&shown));
    }
    findings
}

pub use structure::unique_dashboards;

/// A query and the panel that shows its result.
struct Shown<'a> {
    query: &'a Query<'a>,
    dashboard: &'a Dashboard,
    panel: &'a Panel,
    target: &'a Target,
}

impl<'a> Shown<'a> {
    fn of(query: &'a Query<'a>) -> Option<Shown<'a>> {
        let Purpose::Panel(dashboard, of_panel) = query.purpose else { return None };
        // What is switched off is shown to nobody.
        let (panel, target) = dashboard.target(of_panel).filter(|(_, target)| !target.hidden)?;
        Some(Shown { query, dashboard, panel, target })
    }

    fn kind(&self) -> &str {
        &self.panel.kind.value
    }

    /// An error about the query, on another of its panel's lines.
    fn error(&self, line: usize, check: &'static str, message: impl Into<String>) -> Finding {
        Finding::error(&self.dashboard.path, line, check, message).about(self.query.subject.as_str())
    }
}

/// Panels that draw a series as a line, or as something else that has the name of its legend.
fn shows_legend(kind: &str) -> bool {
    matches!(
        kind,
        "timeseries"
            | "graph"
            | "stat"
            | "singlestat"
            | "gauge"
            | "bargauge"
            | "barchart"
            | "piechart"
            | "state-timeline"
            | "status-history"
            | "trend"
    )
}

#[cfg(test)]
mod testing {
    //! Dashboards around a few lines of JSON.

    use super::super::testing::of_dashboard;
    use crate::finding::Finding;

    /// A dashboard with these variables and panels, without a fault of its own.
    pub(super) fn board(variables: &str, panels: &str) -> String {
        let comma = if variables.is_empty() { "" } else { ",\n" };
        format!(
            r#"{{"uid": "board", "title": "Board", "schemaVersion": 41, "templating": {{"list": [
{{"name": "datasource", "type": "datasource", "query": "prometheus"}}{comma}{variables}]}},
"panels": [
{panels}
]}}"#
        )
    }

    /// A panel of this kind with one target; `target` and `panel` are further members of theirs.
    pub(super) fn panel(kind: &str, expr: &str, target: &str, panel: &str) -> String {
        let expr = serde_json::Value::from(expr);
        format!(
            r#"{{"id": 1, "title": "P", "type": "{kind}", "gridPos": {{"x": 0, "y": 0, "w": 24, "h": 8}},
"datasource": {{"type": "prometheus", "uid": "${{datasource}}"}}{panel},
"targets": [{{"refId": "A", "expr": {expr}{target}}}]}}"#
        )
    }

    /// What is found, each as `check: message`, but for other families than dashboards'.
    pub(super) fn found(board: &str) -> Vec<String> {
        let findings = of_dashboard(board).into_iter();
        let ours = findings.filter(|finding| finding.check.starts_with("dashboard/"));
        ours.map(|Finding { check, message, .. }| format!("{check}: {message}")).collect()
    }

    /// Asserts that a panel with this query gives one finding that begins so, or none where it is empty.
    #[track_caller]
    pub(super) fn shows(kind: &str, expr: &str, target: &str, of_panel: &str, expected: &str) {
        let found = found(&board("", &panel(kind, expr, target, of_panel)));
        let fits = match found.as_slice() {
            [] => expected.is_empty(),
            [only] => !expected.is_empty() && only.starts_with(expected),
            _ => false,
        };
        assert!(fits, "{kind}: {expr} {target} {of_panel}\n{expected}\n{found:#?}");
    }
}
