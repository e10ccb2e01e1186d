//! Derives the facts about a dependency from its archive.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use helmpack::archive::Files;
use serde::Deserialize as _;
use serde_json::{Map, Value, json};

use super::contents_sha256;
use crate::dependency::Archive;
use crate::model::facts::{Facts, Fields};
use crate::model::images;

/// The kinds of custom resources that our templates render.
const KINDS: [&str; 6] =
    ["AlertmanagerConfig", "PodMonitor", "Probe", "PrometheusRule", "ScrapeConfig", "ServiceMonitor"];

/// The integrations of an AlertmanagerConfig that our templates render.
const INTEGRATIONS: [&str; 4] = ["emailConfigs", "pagerdutyConfigs", "slackConfigs", "webhookConfigs"];

/// Derives the facts, as the text of their file.
pub fn derive(archive: &Archive) -> Result<String> {
    let files = &archive.files;
    let chart = Tree::read(files)?;
    let facts = Facts {
        dependency: archive.name.clone(),
        version: archive.version.clone(),
        archive_sha256: archive.sha256.clone(),
        contents_sha256: contents_sha256(files),
        values: chart.value_types(),
        images: chart.images(),
        alerts: alerts(files),
        dashboards: dashboards(files),
        resources: resources(files, &KINDS)?,
    };
    let header = "# Made by `cargo xtask vendor` from the dependency's archive; do not edit.\n";
    Ok(header.to_owned() + &helmpack::yaml::write(&serde_json::to_value(facts).context("writing facts")?))
}

/// The images in the values of a chart and of the charts below it, given by its files: the path of the value, and the reference.
pub fn images(files: &Files) -> Result<BTreeMap<String, String>> {
    Ok(Tree::read(files)?.images())
}

/// A chart and the charts below it.
struct Tree {
    values: Value,
    /// What reads values, whether values.yaml has them or not.
    templates: Vec<Vec<u8>>,
    /// By the key under which the parent gives them values.
    children: BTreeMap<String, Tree>,
}

impl Tree {
    /// Reads a chart from its files, and its subcharts from `charts/<name>/`.
    fn read(files: &Files) -> Result<Tree> {
        let yaml = |path: &str| -> Result<Value> {
            let Some(bytes) = files.get(path) else { return Ok(json!({})) };
            let value: Value = serde_yaml::from_slice(bytes).with_context(|| format!("reading its {path}"))?;
            Ok(if value.is_null() { json!({}) } else { value })
        };
        let metadata = yaml("Chart.yaml")?;
        let mut folders: BTreeMap<&str, Files> = BTreeMap::new();
        let mut templates = Vec::new();
        for (path, bytes) in files {
            if let Some((folder, path)) = path.strip_prefix("charts/").and_then(|rest| rest.split_once('/')) {
                folders.entry(folder).or_default().insert(path.to_owned(), bytes.clone());
            } else if path.starts_with("templates/") {
                templates.push(bytes.clone());
            }
        }
        let aliases: BTreeMap<String, String> = metadata["dependencies"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|d| Some((d["name"].as_str()?.to_owned(), d["alias"].as_str()?.to_owned())))
            .collect();
        let mut children = BTreeMap::new();
        for (folder, files) in folders {
            let key = aliases.get(folder).cloned().unwrap_or_else(|| folder.to_owned());
            children.insert(key, Tree::read(&files).with_context(|| format!("in its subchart {folder}"))?);
        }
        Ok(Tree { values: yaml("values.yaml")?, templates, children })
    }

    /// The types of all values, the subcharts' under their keys. What only a template reads is `any`.
    fn value_types(&self) -> Value {
        let mut types = types(&self.values);
        let read = |template: &Vec<u8>| values_read(&String::from_utf8_lossy(template));
        // Sorted, so that the types do not depend on which template reads a path first.
        for path in self.templates.iter().flat_map(read).collect::<BTreeSet<_>>() {
            add(&mut types, &path);
        }
        for (key, child) in &self.children {
            merge(&mut types, key, child.value_types());
        }
        merge(&mut types, "global", Value::from("any"));
        merge(&mut types, "enabled", Value::from("any"));
        types.sort_all_objects();
        types
    }

    fn images(&self) -> BTreeMap<String, String> {
        let mut images = images::of(&self.values);
        for (key, child) in &self.children {
            images.extend(child.images().into_iter().map(|(path, image)| (format!("{key}.{path}"), image)));
        }
        images
    }
}

fn types(value: &Value) -> Value {
    match value {
        Value::Object(map) if !map.is_empty() => {
            map.iter().map(|(key, value)| (key.clone(), type_of(key, value))).collect()
        }
        // An empty map or null is a place for whatever the user brings.
        Value::Object(_) | Value::Null => Value::from("any"),
        Value::Array(_) => Value::from("list"),
        Value::Bool(_) => Value::from("bool"),
        Value::Number(_) => Value::from("number"),
        Value::String(_) => Value::from("string"),
    }
}

/// A map with a file's name, such as `grafana.ini`, becomes that file: it takes whatever the program reads from it.
fn type_of(key: &str, value: &Value) -> Value {
    if key.contains('.') && value.is_object() { Value::from("any") } else { types(value) }
}

/// Adds a path that a template reads; below a leaf everything is known already.
fn add(types: &mut Value, path: &[String]) {
    let (Some(map), Some((first, rest))) = (types.as_object_mut(), path.split_first()) else { return };
    if rest.is_empty() {
        map.entry(first.clone()).or_insert_with(|| Value::from("any"));
    } else {
        add(map.entry(first.clone()).or_insert_with(|| Value::Object(Map::new())), rest);
    }
}

/// Puts a subchart's types under `key`, beside what the parent itself sets there.
fn merge(types: &mut Value, key: &str, child: Value) {
    let Some(map) = types.as_object_mut() else { return };
    match (map.get_mut(key), child) {
        (Some(Value::Object(mine)), Value::Object(theirs)) => {
            let mut mine_value = Value::Object(std::mem::take(mine));
            for (key, value) in theirs {
                merge(&mut mine_value, &key, value);
            }
            map.insert(key.to_owned(), mine_value);
        }
        (Some(Value::String(mine)), child) if mine == "any" => {
            map.insert(key.to_owned(), child);
        }
        (Some(_), _) => {}
        (None, child) => {
            map.insert(key.to_owned(), child);
        }
    }
}

/// The paths behind every `.Values.` of a template.
fn values_read(template: &str) -> Vec<Vec<String>> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut paths = Vec::new();
    for rest in template.split(".Values.").skip(1) {
        let end = rest.find(|c: char| !word(c) && c != '.').unwrap_or(rest.len());
        let path: Vec<String> = rest[..end].split('.').take_while(|step| !step.is_empty()).map(str::to_owned).collect();
        if !path.is_empty() {
            paths.push(path);
        }
    }
    paths
}

fn texts(files: &Files) -> impl Iterator<Item = (&str, String)> {
    let templates = files.iter().filter(|(path, _)| path.starts_with("templates/") || path.contains("/templates/"));
    templates.map(|(path, bytes)| (path.as_str(), String::from_utf8_lossy(bytes).into_owned()))
}

fn alerts(files: &Files) -> BTreeSet<String> {
    let name = |line: &str| {
        let name = line.trim_start().strip_prefix("- alert: ")?.trim();
        name.chars().all(|c| c.is_ascii_alphanumeric()).then(|| name.to_owned())
    };
    texts(files).flat_map(|(_, text)| text.lines().filter_map(name).collect::<Vec<_>>()).collect()
}

/// Dashboards travel as JSON inside templates; their own title and uid are the last ones in it.
fn dashboards(files: &Files) -> BTreeMap<String, String> {
    let last = |text: &str, key: &str| {
        let (_, rest) = text.rsplit_once(&format!("\"{key}\":"))?;
        Some(rest.trim_start().strip_prefix('"')?.split_once('"')?.0.to_owned())
    };
    let boards = texts(files).filter(|(path, text)| path.contains("dashboard") && text.contains("\"panels\""));
    boards.filter_map(|(_, text)| Some((last(&text, "uid")?, last(&text, "title")?))).collect()
}

/// The fields of custom resources of these kinds, from the definitions in `crds/`.
pub fn resources(files: &Files, kinds: &[&str]) -> Result<BTreeMap<String, Fields>> {
    let mut resources = BTreeMap::new();
    for (path, bytes) in files.iter().filter(|(path, _)| path.starts_with("crds/") || path.contains("/crds/")) {
        let text = String::from_utf8_lossy(bytes);
        // Parsing all definitions takes seconds; those of other kinds are told by their text.
        if !kinds.iter().any(|kind| text.contains(&format!("kind: {kind}\n"))) {
            continue;
        }
        for document in serde_yaml::Deserializer::from_str(&text) {
            let definition = Value::deserialize(document).with_context(|| format!("reading its {path}"))?;
            let Some(kind) = definition["spec"]["names"]["kind"].as_str().filter(|kind| kinds.contains(kind)) else {
                continue;
            };
            let versions = definition["spec"]["versions"].as_array();
            let stored = versions.into_iter().flatten().find(|version| version["storage"] == true);
            let spec = &stored.context("a definition without a stored version")?["schema"]["openAPIV3Schema"]["properties"]
                ["spec"];
            let mut fields = BTreeMap::new();
            collect_fields(spec, "spec", &mut fields);
            resources.insert(kind.to_owned(), fields);
        }
    }
    Ok(resources)
}

fn collect_fields(schema: &Value, path: &str, fields: &mut BTreeMap<String, String>) {
    let kind = match () {
        () if schema["x-kubernetes-int-or-string"] == true => "int-or-string",
        () if schema["x-kubernetes-preserve-unknown-fields"] == true => "any",
        () => schema["type"].as_str().unwrap_or("any"),
    };
    let map_of_values = schema["additionalProperties"].is_object();
    fields.insert(path.to_owned(), if map_of_values { "map".to_owned() } else { kind.to_owned() });
    if is_unused(path) {
        return;
    }
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        collect_fields(schema, &format!("{path}.{name}"), fields);
    }
    if schema["items"].is_object() {
        collect_fields(&schema["items"], &format!("{path}[]"), fields);
    }
}

/// What is most of the definitions' size and of no use to our templates: a ScrapeConfig's twenty ways of discovery, and an
/// AlertmanagerConfig's other integrations and HTTP clients.
fn is_unused(path: &str) -> bool {
    let integration = path.strip_prefix("spec.receivers[].").filter(|rest| rest.ends_with("Configs"));
    path.ends_with("SDConfigs")
        || path.ends_with("Configs[].httpConfig")
        || integration.is_some_and(|name| !name.contains('.') && !INTEGRATIONS.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Files {
        let texts = [
            (
                "Chart.yaml",
                "name: demo\nversion: 1.0.0\nappVersion: v9\ndependencies:\n  - {name: child, alias: kid}\n",
            ),
            (
                "values.yaml",
                "a: {b: 1, open: {}, demo.ini: {log: {level: 1}}}\nimage: {registry: r.io, repository: x/y, tag: ''}\nkid: {own: true}\n",
            ),
            ("templates/t.yaml", "{{ .Values.a.hidden }} {{ $.Values.top.deep }}\n    - alert: DemoDown\n"),
            ("templates/dashboards/d.yaml", "{\"panels\":[{\"title\":\"p\"}],\"title\":\"Demo\",\"uid\":\"demo\"}"),
            ("charts/child/Chart.yaml", "name: child\nappVersion: 3.0.0\n"),
            ("charts/child/values.yaml", "own: false\nimage: {repository: k, tag: t}\n"),
            (
                "crds/c.yaml",
                "spec:\n  names:\n    kind: ServiceMonitor\n  versions:\n    - storage: true\n      schema: {openAPIV3Schema: {properties: {spec: {type: object, properties: {list: {type: array, items: {type: object, properties: {port: {x-kubernetes-int-or-string: true}}}}}}}}}\n",
            ),
        ];
        texts.into_iter().map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec())).collect()
    }

    #[test]
    fn facts_are_names_and_types() {
        let files = files();
        let chart = Tree::read(&files).unwrap();
        let expected = json!({
            "a": {"b": "number", "demo.ini": "any", "hidden": "any", "open": "any"},
            "enabled": "any",
            "global": "any",
            "image": {"registry": "string", "repository": "string", "tag": "string"},
            "kid": {"enabled": "any", "global": "any", "image": {"repository": "string", "tag": "string"}, "own": "bool"},
            "top": {"deep": "any"},
        });
        assert_eq!(chart.value_types(), expected);
        let images = [("image", "r.io/x/y"), ("kid.image", "k:t")];
        assert_eq!(chart.images(), images.map(|(path, image)| (path.to_owned(), image.to_owned())).into());
        assert_eq!(alerts(&files), ["DemoDown".to_owned()].into());
        assert_eq!(dashboards(&files), [("demo".to_owned(), "Demo".to_owned())].into());
        let fields = &resources(&files, &KINDS).unwrap()["ServiceMonitor"];
        assert_eq!(fields["spec.list[].port"], "int-or-string");
        let unused = ["spec.awsSDConfigs", "spec.receivers[].snsConfigs", "spec.receivers[].slackConfigs[].httpConfig"];
        assert!(unused.into_iter().all(is_unused) && !is_unused("spec.receivers[].slackConfigs"));
    }
}
