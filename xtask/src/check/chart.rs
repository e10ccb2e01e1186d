//! The chart as a whole: templates that hold together, dependencies that are pinned and known.

use std::collections::BTreeSet;

use crate::dependency;
use crate::model::facts::Facts;
use crate::model::{self, Model};
use crate::sources::Sources;
use rulecheck::Finding;

/// What some template must hold, and what the chart would lack without it. Helm renders such a chart without a word.
const NEEDED: [(&str, &str); 8] = [
    ("files/rules/", "the chart would carry the rule files and render none"),
    ("files/alert-sources.yaml", "nobody would be told which alerts are silent for want of a source"),
    ("files/dashboards/", "the chart would carry the dashboards and render none"),
    ("kind: ServiceMonitor", "nothing would scrape Gorax"),
    ("record: gorax:environment:info", "rules that join the environments would never fire"),
    ("record: gorax:source:info", "rules that join the sources would never fire"),
    ("record: gorax:alert_source:missing", "panels that show silent alerts would be empty"),
    ("record: gorax:db_pool_limit:connections", "rules that join the pool's limit would never fire"),
];

pub(super) fn check(sources: &Sources, model: &Model) -> Vec<Finding> {
    let mut findings = templates(sources, model);
    findings.extend(pins(model));
    findings.extend(facts(model));
    for (folder, empty) in [("alerts", model.rules.is_empty()), ("dashboards", model.dashboards.is_empty())] {
        if empty {
            findings.push(Finding::error(folder, 1, "file/syntax", "the folder is empty; the chart would not render"));
        }
    }
    findings
}

/// The facts of every dependency are there, and come from the archive that is pinned.
fn facts(model: &Model) -> Vec<Finding> {
    const HELP: &str = "run `cargo xtask vendor`, which makes it from the dependency's archive";
    let mut findings = Vec::new();
    for dependency in &model.chart.dependencies {
        // Without a pin there is nothing to compare with, and that is reported already.
        let Ok(pin) = dependency::pin(model, dependency) else { continue };
        let path = model::facts::path(&dependency.name, &dependency.version);
        let of = |facts: &&Facts| facts.dependency == dependency.name && facts.version == dependency.version;
        let Some(facts) = model.facts.iter().find(of) else {
            findings.push(Finding::error(&path, 1, "file/syntax", "the file is missing").help(HELP));
            continue;
        };
        if facts.archive_sha256 != pin {
            let message = format!(
                "made from an archive with the sha256 {}, the pin is {}",
                short(&facts.archive_sha256),
                short(pin)
            );
            findings.push(Finding::error(&path, 4, "file/stale", message).help(HELP).warning());
        }
    }
    findings
}

fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

fn pins(model: &Model) -> Vec<Finding> {
    let expected = |name: &str, version: &str| format!("charts/{name}-{version}.tgz");
    let missing = model.chart.dependencies.iter().filter(|dependency| {
        let path = expected(&dependency.name, &dependency.version);
        !model.pins.iter().any(|(_, pinned)| *pinned == path)
    });
    let finding = |name: &str, version: &str| {
        let message = format!("the dependency {name} {version} has no content pin");
        Finding::error("chart/dependencies.sha256", 1, "file/syntax", message)
            .help(format!("add a line `<sha256>  {}`", expected(name, version)))
    };
    missing.map(|dependency| finding(&dependency.name, &dependency.version)).collect()
}

/// Helm finds a missing definition only when it renders, and a missing template never.
fn templates(sources: &Sources, model: &Model) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut defined = BTreeSet::new();
    let mut included = Vec::new();
    let mut all = String::new();
    for path in sources.below("chart/templates") {
        let text = match sources.text(path) {
            Ok(text) => text,
            Err(finding) => {
                findings.push(finding);
                continue;
            }
        };
        defined.extend(named(text, "define \"").into_iter().map(|(_, name)| name));
        included.extend(named(text, "include \"").into_iter().map(|(line, name)| (path, line, name)));
        all.push_str(text);
    }
    // A dependency's definitions are in its archive, and begin with its name.
    let inside = |name: &str| {
        let chart = name.split('.').next().unwrap_or_default();
        model.chart.dependencies.iter().any(|dependency| dependency.name == chart)
    };
    for (path, line, name) in included {
        // Once a name, however often it is included.
        if defined.insert(name) && !inside(name) {
            findings.push(Finding::error(path, line, "file/syntax", format!("no template defines `{name}`")));
        }
    }
    for (needle, lack) in NEEDED.iter().filter(|(needle, _)| !all.contains(needle)) {
        findings.push(Finding::error(
            "chart/templates",
            1,
            "file/syntax",
            format!("no template holds `{needle}`: {lack}"),
        ));
    }
    findings
}

/// The names behind `keyword`, which ends in an opening quote, with their lines.
fn named<'a>(text: &'a str, keyword: &str) -> Vec<(usize, &'a str)> {
    let mut found = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let pieces = line.split(keyword).skip(1);
        found.extend(pieces.filter_map(|piece| Some((number, piece.split_once('"')?.0))));
    }
    found
}
