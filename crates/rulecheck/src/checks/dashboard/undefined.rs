//! The part of `dashboard/variable` that finds variables which nobody defines: Grafana sends their names as they are.

use std::collections::BTreeSet;

use super::variable::CHECK;
use crate::dashboard::{Dashboard, references};
use crate::finding::Finding;

/// Grafana's own variables, which a query, a title or a link may use. Source: grafana/grafana
/// `docs/sources/visualizations/dashboards/variables/add-template-variables` (global variables).
const BUILT_IN: [&str; 20] = [
    "__all_variables",
    "__cell",
    "__dashboard",
    "__data",
    "__field",
    "__from",
    "__interval",
    "__interval_ms",
    "__name",
    "__org",
    "__range",
    "__range_ms",
    "__range_s",
    "__rate_interval",
    "__searchFilter",
    "__series",
    "__timezone",
    "__to",
    "__url_time_range",
    "__user",
];

/// Where a text with variables stands.
struct Place<'a> {
    text: &'a str,
    line: usize,
    subject: String,
    /// Whether the text is only shown.
    shown: bool,
}

/// Each undefined variable once, where it comes first.
pub(super) fn check(dashboard: &Dashboard) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut seen: BTreeSet<String> = dashboard.variables.iter().map(|variable| variable.name.clone()).collect();
    for place in places(dashboard) {
        for name in references(place.text).into_iter().map(|reference| reference.name) {
            if is_built_in(name) || is_group(name, place.text) || !seen.insert(name.to_owned()) {
                continue;
            }
            let message = format!(
                "no variable ${name} is defined, so its name is {} as it is",
                if place.shown { "shown" } else { "sent" }
            );
            let finding = Finding::error(&dashboard.path, place.line, CHECK, message).about(place.subject.as_str());
            let finding = finding.help(help(dashboard, name));
            findings.push(if place.shown { finding.warning() } else { finding });
        }
    }
    findings
}

fn places(dashboard: &Dashboard) -> Vec<Place<'_>> {
    let mut places = Vec::new();
    for query in &dashboard.queries {
        places.push(Place { text: &query.expr, line: query.line, subject: query.subject.clone(), shown: false });
    }
    for variable in &dashboard.variables {
        let subject = variable.subject(dashboard);
        let mut at = |text, line| places.push(Place { text, line, subject: subject.clone(), shown: false });
        at(&variable.query, variable.query_line);
        at(&variable.datasource.id, variable.datasource.line);
    }
    for panel in &dashboard.panels {
        let subject = dashboard.subject(panel);
        let mut at = |text, line, shown| places.push(Place { text, line, subject: subject.clone(), shown });
        at(&panel.datasource.id, panel.datasource.line, false);
        panel.targets.iter().for_each(|target| at(&target.datasource.id, target.datasource.line, false));
        panel.targets.iter().for_each(|target| at(&target.legend.value, target.legend.line, true));
        at(&panel.title, panel.line, true);
    }
    // What is only shown comes last: the same name in a query is the worse finding.
    places.sort_by_key(|place| place.shown);
    places
}

fn is_built_in(name: &str) -> bool {
    BUILT_IN.contains(&name) || name.starts_with("__auto_interval") || name.starts_with("__cell_")
}

/// Whether the name is a group of a regular expression in the same text, as in `label_replace(…, "${host}", …)`.
fn is_group(name: &str, text: &str) -> bool {
    text.contains(&format!("(?P<{name}>")) || text.contains(&format!("(?<{name}>"))
}

fn help(dashboard: &Dashboard, name: &str) -> String {
    let defined = dashboard.variables.iter().map(|variable| variable.name.as_str());
    let known = defined.chain(BUILT_IN);
    let nearest = known.map(|known| (strsim::levenshtein(known, name), known)).min();
    match nearest {
        Some((distance, near)) if distance <= name.len() / 3 => format!("did you mean ${near}?"),
        _ => "define it in the dashboard's variables".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::of_dashboard;
    use super::super::testing::{board, panel, shows};

    const UNDEFINED: &str = "dashboard/variable: no variable $ns is defined, so its name is";

    #[test]
    fn what_nobody_defines_is_found_once() {
        shows("stat", "sum(up{namespace=~\"$ns\"}) / sum(up{namespace=~\"${ns}\"})", "", "", UNDEFINED);
        shows("stat", "sum by ([[ns]]) (up)", r#", "legendFormat": "$ns""#, "", UNDEFINED);
        shows("stat", "sum(up)", r#", "datasource": {"uid": "$ns"}"#, "", UNDEFINED);
        let findings =
            of_dashboard(&board("", &panel("stat", "sum(up)", "", "").replace("\"P\"", "\"P of $datasorce\"")));
        assert_eq!(
            (findings[0].severity, findings[0].help.as_str()),
            (crate::Severity::Warning, "did you mean $datasource?")
        );
    }

    #[test]
    fn what_grafana_or_the_expression_defines_passes() {
        for expr in [
            "sum(rate(runs_total[$__rate_interval])) * $__range_s",
            "label_replace(sum(up), \"a\", \"${x}$1\", \"job\", \"(?P<x>.*)(b$|c)\")",
        ] {
            shows("stat", expr, "", "", "");
        }
        shows(
            "stat",
            "sum(rate(runs_total[$__rate_intervall]))",
            "",
            "",
            "dashboard/variable: no variable $__rate_intervall is defined",
        );
    }
}
