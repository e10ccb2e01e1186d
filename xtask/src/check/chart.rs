//! The chart as a whole: values that the schema knows, templates that hold together, dependencies that are pinned.

use std::collections::BTreeSet;

use rulecheck::Finding;
use serde_json::Value;

use crate::model::Model;
use crate::model::values::{Fragment, OWN};
use crate::sources::Sources;

/// What some template must hold, and what the chart would lack without it. Helm renders such a chart without a word.
const NEEDED: [(&str, &str); 5] = [
    ("files/rules/", "the chart would carry the rule files and render none"),
    ("files/dashboards/", "the chart would carry the dashboards and render none"),
    ("kind: ServiceMonitor", "nothing would scrape Gorax"),
    ("record: gorax:environment:info", "rules that join the environments would never fire"),
    ("record: gorax:db_pool_limit:connections", "rules that join the pool's limit would never fire"),
];

pub(super) fn check(sources: &Sources, model: &Model) -> Vec<Finding> {
    let mut findings = templates(sources);
    findings.extend(pins(model));
    let fragments = model.values.base.iter().chain(model.values.profiles.values().flatten());
    for fragment in fragments.filter(|fragment| fragment.owner == OWN) {
        unknown_values(
            &model.values.schema,
            &model.values.schema,
            fragment,
            &fragment.values,
            &mut Vec::new(),
            &mut findings,
        );
    }
    findings
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
fn templates(sources: &Sources) -> Vec<Finding> {
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
    for (path, line, name) in included {
        // Once a name, however often it is included.
        if defined.insert(name) {
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

/// Keys that the schema does not know would fail every installation with the chart's own defaults.
fn unknown_values(
    root: &Value,
    schema: &Value,
    fragment: &Fragment,
    values: &Value,
    path: &mut Vec<String>,
    findings: &mut Vec<Finding>,
) {
    let schema = resolve(root, schema);
    let (Some(values), Some(known)) = (values.as_object(), schema["properties"].as_object()) else {
        return;
    };
    for (key, value) in values {
        path.push(key.clone());
        match known.get(key) {
            Some(schema) => unknown_values(root, schema, fragment, value, path, findings),
            None if schema["additionalProperties"] == Value::Bool(false) => {
                let near = known.keys().min_by_key(|candidate| strsim::levenshtein(candidate, key));
                let message = format!("values/schema.yaml does not know the value `{}`", path.join("."));
                let finding = Finding::error(&fragment.path, fragment.line_of(path), "file/syntax", message);
                findings.push(match near {
                    Some(near) => finding.help(format!("did you mean `{near}`? A new value is declared there first")),
                    None => finding,
                });
            }
            None => {}
        }
        path.pop();
    }
}

/// Follows `{$ref: "#/definitions/name"}`.
fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let target = schema["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
    target.and_then(|pointer| root.pointer(pointer)).unwrap_or(schema)
}
