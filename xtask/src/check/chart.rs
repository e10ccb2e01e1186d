//! The chart as a whole: values that the schema knows, templates that hold together, dependencies that are pinned.

use std::collections::BTreeSet;

use rulecheck::Finding;
use serde_json::Value;

use crate::model::Model;
use crate::model::values::{Fragment, OWN};
use crate::sources::Sources;

/// Folders of generated files that a template must read, else the chart would carry them and render nothing.
const READ_BY_TEMPLATES: [&str; 2] = ["files/rules/", "files/dashboards/"];

pub(super) fn check(sources: &Sources, model: &Model) -> Vec<Finding> {
    let mut findings = templates(sources);
    findings.extend(pins(model));
    let fragments = model.values.base.iter().chain(model.values.profiles.values().flatten());
    for fragment in fragments.filter(|fragment| fragment.owner == OWN) {
        unknown_values(&model.values.schema, &model.values.schema, fragment, &fragment.values, &mut Vec::new(), &mut findings);
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

/// Helm finds a missing template only when it renders; a chart without one that nothing includes, never.
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
        if !defined.contains(name) {
            findings.push(Finding::error(path, line, "file/syntax", format!("no template defines `{name}`")));
        }
    }
    for folder in READ_BY_TEMPLATES.iter().filter(|folder| !all.contains(**folder)) {
        findings.push(
            Finding::error("chart/templates", 1, "file/syntax", format!("no template reads {folder}"))
                .help("the chart would carry these files and render nothing of them"),
        );
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
    let (Some(values), Some(known)) = (values.as_object(), schema["properties"].as_object()) else { return };
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
