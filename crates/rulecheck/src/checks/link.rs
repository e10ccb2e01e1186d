//! `link/missing`: a link that leads nowhere, between dashboards or from an alert. Only where all dashboards are known
//! can that be told, so the caller says which ones others bring.

use std::collections::BTreeSet;

use crate::dashboard::{Dashboard, Link, references};
use crate::finding::Finding;

/// The check's name.
pub const CHECK: &str = "link/missing";

/// Links of dashboards that lead to no dashboard among them and to none of `known`, by uid.
pub fn check(dashboards: &[Dashboard], known: &BTreeSet<&str>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for dashboard in dashboards {
        let mut of = |link: &Link, subject: String| {
            let problem = problem(&link.url, dashboards, known).or_else(|| untagged(link, dashboards));
            findings.extend(problem.map(|message| {
                let finding = Finding::error(&dashboard.path, link.line, CHECK, message).about(subject);
                finding.help("correct the link, or take it out")
            }));
        };
        dashboard.links.iter().for_each(|link| of(link, dashboard.title.clone()));
        for panel in &dashboard.panels {
            panel.links.iter().for_each(|link| of(link, dashboard.subject(panel)));
        }
    }
    findings
}

/// What is wrong with an address of this Grafana; `None` for those of others and those that are only known on a click.
pub fn problem(url: &str, dashboards: &[Dashboard], known: &BTreeSet<&str>) -> Option<String> {
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    let uid = path.trim_start_matches("./").trim_start_matches('/').strip_prefix("d/")?.split('/').next()?;
    if !references(uid).is_empty() || known.contains(uid) {
        return None;
    }
    let Some(dashboard) = dashboards.iter().find(|dashboard| dashboard.uid == uid) else {
        return Some(format!("{url} leads to the uid `{uid}`, which no dashboard has"));
    };
    parameters(query).find_map(|(name, value)| unanswered(dashboard, name, value))
}

fn parameters(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').filter_map(|parameter| parameter.split_once('='))
}

/// A parameter of an address that the dashboard behind it does not know.
fn unanswered(dashboard: &Dashboard, name: &str, value: &str) -> Option<String> {
    if let Some(variable) = name.strip_prefix("var-") {
        let missing = references(name).is_empty() && dashboard.variable(variable).is_none();
        return missing.then(|| format!("it sets `{name}`, and {} has no variable ${variable}", dashboard.path));
    }
    let id: u64 = value.parse().ok().filter(|_| name == "viewPanel")?;
    let has = dashboard.panels.iter().any(|panel| panel.id.as_ref().is_some_and(|panel| panel.value == id));
    (!has).then(|| format!("it leads to panel {id}, which {} does not have", dashboard.path))
}

/// A list of dashboards by tags that none has.
fn untagged(link: &Link, dashboards: &[Dashboard]) -> Option<String> {
    let lists = |dashboard: &Dashboard| link.tags.iter().all(|tag| dashboard.tags.contains(tag));
    let empty = !link.tags.is_empty() && !dashboards.iter().any(lists);
    empty.then(|| format!("it lists the dashboards tagged {}, and there is none", link.tags.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boards() -> Vec<Dashboard> {
        let text = r#"{"uid": "one", "title": "One", "tags": ["gorax"], "templating": {"list": [{"name": "ns", "type": "custom"}]},
"links": [{"type": "dashboards", "tags": ["other"]}, {"type": "dashboards", "tags": ["gorax"]}],
"panels": [{"id": 7, "title": "P", "fieldConfig": {"defaults": {"links": [
{"url": "/d/gone/x"}]}}}]}"#;
        Dashboard::parse("one.json", text, &mut Vec::new()).into_iter().collect()
    }

    #[test]
    fn links_lead_to_dashboards_panels_and_variables_that_are_there() {
        let known = BTreeSet::from(["two"]);
        let of = |url: &str| problem(url, &boards(), &known);
        for fine in [
            "/d/one",
            "/d/one/slug?orgId=1&viewPanel=7&var-ns=${ns}",
            "d/two?var-x=1",
            "./d/one",
            "https://x.org/d/gone",
            "/d/${uid}",
            "/explore",
            "",
        ] {
            assert_eq!(of(fine), None, "{fine}");
        }
        assert_eq!(of("/d/three/x").unwrap(), "/d/three/x leads to the uid `three`, which no dashboard has");
        assert_eq!(of("/d/one?var-nam=x").unwrap(), "it sets `var-nam`, and one.json has no variable $nam");
        assert_eq!(of("/d/one?viewPanel=8").unwrap(), "it leads to panel 8, which one.json does not have");
    }

    #[test]
    fn a_dead_link_is_found_with_its_line() {
        let found: Vec<String> = check(&boards(), &BTreeSet::new()).iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), 2, "{found:#?}");
        assert!(found[0].starts_with("one.json:2: error: link/missing: One: it lists the dashboards tagged other"));
        assert!(found[1].starts_with("one.json:4: error: link/missing: One › P: /d/gone/x leads to the uid `gone`"));
    }
}
