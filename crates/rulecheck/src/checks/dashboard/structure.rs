//! `dashboard/structure`: what keeps Grafana from provisioning a dashboard, or makes it load something else than was
//! written. Grafana says so in its log at most.

use std::collections::BTreeMap;

use super::{Query, panel};
use crate::dashboard::{Dashboard, Form};
use crate::finding::Finding;
use crate::query::seconds;

pub(super) const CHECK: &str = "dashboard/structure";

/// Classic dashboards of Grafana 11 to 13.
const CURRENT: std::ops::RangeInclusive<u64> = 39..=42;

/// Older ones are converted whenever they are loaded; from before this version on with visible losses.
const OLDEST: u64 = 30;

/// Grafana's own lower limit (`min_refresh_interval`).
const SHORTEST_REFRESH: f64 = 5.0;

pub(super) fn check(dashboard: &Dashboard, panels: &[Query<'_>]) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(form(dashboard));
    findings.extend(uid(dashboard));
    if dashboard.title.is_empty() {
        findings.push(report(dashboard, dashboard.title_line, "a dashboard without a title is not provisioned"));
    }
    findings.extend(schema_version(dashboard));
    findings.extend(refresh(dashboard, panels));
    findings.extend(fixed_datasources(dashboard));
    findings.extend(panel::check(dashboard));
    findings
}

pub(super) fn report(dashboard: &Dashboard, line: usize, message: impl Into<String>) -> Finding {
    Finding::error(&dashboard.path, line, CHECK, message)
}

fn form(dashboard: &Dashboard) -> Option<Finding> {
    let (message, help) = match dashboard.form {
        Form::Classic => return None,
        Form::Api => (
            "wrapped in {\"dashboard\": …}, the form of Grafana's HTTP API; provisioning finds no title in it",
            "keep only what is inside `dashboard`",
        ),
        Form::Resource => {
            ("wrapped in a Kubernetes resource, which file provisioning refuses", "keep only what is inside `spec`")
        }
        Form::Shared => (
            "exported for sharing: `__inputs` are not resolved when a file is provisioned",
            "export without \"share externally\" and use a datasource variable",
        ),
    };
    Some(report(dashboard, 1, message).help(help))
}

fn uid(dashboard: &Dashboard) -> Option<Finding> {
    let uid = &dashboard.uid;
    if uid.is_empty() {
        let message = "without a uid every Grafana makes one up, and no link to the dashboard lasts";
        return Some(
            report(dashboard, dashboard.uid_line, message).warning().help("give it one, such as its file's name"),
        );
    }
    let is_valid = uid.len() <= 40 && uid.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    let message = || format!("uid `{uid}` is not 1 to 40 letters, digits, dashes or underscores");
    (!is_valid).then(|| report(dashboard, dashboard.uid_line, message()))
}

fn schema_version(dashboard: &Dashboard) -> Option<Finding> {
    let (low, high) = (CURRENT.start(), CURRENT.end());
    let at = |message: String| report(dashboard, dashboard.schema_version.line, message);
    match dashboard.schema_version.value {
        Some(version) if CURRENT.contains(&version) => None,
        Some(version @ OLDEST..) if version < *low => Some(
            at(format!("schemaVersion is {version}, which every load converts; current are {low} to {high}"))
                .warning()
                .help("open it in Grafana, save it, and export it as classic JSON"),
        ),
        Some(version) => Some(at(format!("schemaVersion is {version}, expected {low} to {high}"))),
        None => Some(at(format!("schemaVersion is missing, expected {low} to {high}"))),
    }
}

fn refresh(dashboard: &Dashboard, panels: &[Query<'_>]) -> Option<Finding> {
    let refresh = &dashboard.refresh;
    let every = seconds(&refresh.value).filter(|_| !refresh.value.is_empty())?;
    let help = "30s is enough for targets that are scraped every 15s";
    let at = |message: String| report(dashboard, refresh.line, message).help(help);
    if every < SHORTEST_REFRESH {
        return Some(at(format!("it refreshes every {}; Grafana does so every 5s at most", refresh.value)));
    }
    let origins = panels.iter().flat_map(|query| query.node.alive()).flat_map(|arm| &arm.origins);
    let scraped = origins.filter_map(|origin| origin.sample_interval).min_by(f64::total_cmp)?;
    let message = || format!("it refreshes every {}, and there is nothing new for {scraped}s", refresh.value);
    (every < scraped).then(|| at(message()).warning())
}

/// Data sources that are named rather than chosen. A uid is that of one Grafana.
fn fixed_datasources(dashboard: &Dashboard) -> Vec<Finding> {
    let mut named: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for panel in &dashboard.panels {
        let of_targets = panel.targets.iter().map(|target| &target.datasource);
        let mut fixed: Vec<(&str, usize)> =
            of_targets.chain([&panel.datasource]).filter_map(|source| Some((source.fixed()?, source.line))).collect();
        fixed.sort_unstable();
        fixed.dedup_by_key(|(name, _)| *name);
        for (name, line) in fixed {
            let (first, count) = named.entry(name).or_insert((line, 0));
            (*first, *count) = ((*first).min(line), *count + 1);
        }
    }
    let findings = named.into_iter().map(|(name, (line, count))| {
        let panels = if count == 1 { "a panel asks".to_owned() } else { format!("{count} panels ask") };
        let message = format!("{panels} the data source `{name}`, which another Grafana may not have");
        let help = "choose it with a variable of type `datasource`: `\"uid\": \"${datasource}\"`";
        report(dashboard, line, message).warning().help(help)
    });
    findings.collect()
}

/// Dashboards with the uid of another one, or with the title of one in the same folder. Such a pair stops the updates of
/// all dashboards of their provider. Source: grafana/grafana `pkg/services/provisioning/dashboards/validator.go`.
pub fn unique_dashboards(dashboards: &[Dashboard]) -> Vec<Finding> {
    let folder = |dashboard: &Dashboard| dashboard.path.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
    let mut uids: BTreeMap<&str, &str> = BTreeMap::new();
    let mut titles: BTreeMap<(String, &str), &str> = BTreeMap::new();
    let mut findings = Vec::new();
    for dashboard in dashboards {
        let help = "Grafana stops updating all dashboards of a provider when two share one";
        let path = dashboard.path.as_str();
        if !dashboard.uid.is_empty()
            && let Some(first) = uids.insert(&dashboard.uid, path)
        {
            let message = format!("{first} has the same uid `{}`", dashboard.uid);
            findings.push(report(dashboard, dashboard.uid_line, message).help(help));
        } else if !dashboard.title.is_empty()
            && let Some(first) = titles.insert((folder(dashboard), &dashboard.title), path)
        {
            let message = format!("{first} has the same title `{}`", dashboard.title);
            findings.push(report(dashboard, dashboard.title_line, message).help(help));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::of_dashboard;
    use super::super::testing::{board, panel};
    use super::*;

    fn good() -> String {
        board("", &panel("stat", "sum(up)", "", ""))
    }

    #[track_caller]
    fn changed(from: &str, to: &str, expected: &str) {
        assert!(good().contains(from), "{from}");
        let found: Vec<String> = of_dashboard(&good().replacen(from, to, 1)).iter().map(ToString::to_string).collect();
        match expected {
            "" => assert_eq!(found, [""; 0], "{to}"),
            _ => assert!(found.len() == 1 && found[0].starts_with(expected), "{expected}\n{found:#?}"),
        }
    }

    #[test]
    fn what_grafana_would_not_provision_is_found() {
        changed("\"board\"", "\"a b\"", "b.json:1: error: dashboard/structure: uid `a b` is not");
        changed("\"uid\": \"board\", ", "", "b.json:1: warning: dashboard/structure: without a uid");
        changed("\"Board\"", "\"\"", "b.json:1: error: dashboard/structure: a dashboard without");
        changed("\"uid\"", "\"__inputs\": [], \"uid\"", "b.json:1: error: dashboard/structure: exported for sharing");
        let wrapped = of_dashboard(&format!("{{\"dashboard\": {}}}", good()));
        assert!(wrapped.len() == 1 && wrapped[0].message.starts_with("wrapped in {\"dashboard\""));
        let resource = of_dashboard(&format!("{{\"apiVersion\": \"x\", \"spec\": {}}}", good()));
        assert!(resource.len() == 1 && resource[0].message.starts_with("wrapped in a Kubernetes"));
        changed("\"title\": \"P\"", "\"title\": \"Q\"", "");
    }

    #[test]
    fn old_schemas_are_found() {
        changed("41", "16", "b.json:1: error: dashboard/structure: schemaVersion is 16, expected 39 to 42");
        changed("41", "43", "b.json:1: error: dashboard/structure: schemaVersion is 43, expected 39 to 42");
        changed("41", "null", "b.json:1: error: dashboard/structure: schemaVersion is missing");
        changed("41", "36", "b.json:1: warning: dashboard/structure: schemaVersion is 36, which every load converts");
        changed("41", "39", "");
    }

    #[test]
    fn a_refresh_is_not_too_often() {
        let with = |refresh: &str| format!("\"refresh\": {refresh}, \"schemaVersion\"");
        changed("\"schemaVersion\"", &with("\"1s\""), "b.json:1: error: dashboard/structure: it refreshes every 1s");
        let too_often =
            "b.json:1: warning: dashboard/structure: it refreshes every 10s, and there is nothing new for 15s";
        changed("\"schemaVersion\"", &with("\"10s\""), too_often);
        for fine in ["\"15s\"", "\"\"", "false", "\"auto\""] {
            changed("\"schemaVersion\"", &with(fine), "");
        }
    }

    #[test]
    fn a_data_source_is_chosen_not_named() {
        let chosen = r#""datasource": {"type": "prometheus", "uid": "${datasource}"}"#;
        let text = good().replace(chosen, r#""datasource": "Prometheus""#);
        let found = of_dashboard(&text);
        assert!(
            found.len() == 1 && found[0].message.starts_with("a panel asks the data source `Prometheus`"),
            "{found:#?}"
        );
    }

    #[test]
    fn dashboards_of_one_folder_differ_in_uid_and_title() {
        let parse = |path: &str, uid: &str, title: &str| {
            let text = good().replace("\"board\"", &format!("\"{uid}\"")).replace("\"Board\"", &format!("\"{title}\""));
            Dashboard::parse(path, &text, &mut Vec::new()).unwrap()
        };
        let first = || parse("a/x.json", "x", "X");
        let of = |second: Dashboard| {
            unique_dashboards(&[first(), second]).iter().map(|finding| finding.message.clone()).collect::<Vec<_>>()
        };
        assert_eq!(of(parse("b/y.json", "x", "Y")), ["a/x.json has the same uid `x`"]);
        assert_eq!(of(parse("a/y.json", "y", "X")), ["a/x.json has the same title `X`"]);
        assert_eq!(of(parse("b/y.json", "y", "X")), [""; 0]);
    }
}
