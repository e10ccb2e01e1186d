//! `values.schema.json`: the schema of our own values, completed with what other sources know, so that a misspelt alert
//! name fails at installation and an editor can suggest the right one.

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use crate::flags::Edition;
use crate::model::values::OWN;
use crate::model::{Model, threshold};

/// The schema as JSON text.
pub fn render(model: &Model, edition: Edition) -> Result<String> {
    let mut schema = model.values.schema.clone();
    let missing = || "values/schema.yaml has no property for it";
    let overrides = schema.pointer_mut("/properties/alerts/properties/overrides").with_context(missing)?;
    overrides["properties"] = overrides_of(model)?;
    let groups = schema.pointer_mut("/properties/alerts/properties/groups").with_context(missing)?;
    groups["properties"] = groups_of(model);
    for fragment in model.values.base.iter().filter(|fragment| fragment.owner == OWN) {
        for described in fragment.described() {
            let pointer = format!("/properties/{}", described.path.join("/properties/"));
            if let Some(Value::Object(property)) = schema.pointer_mut(&pointer) {
                property.insert("description".to_owned(), described.description.into());
            }
        }
    }
    if edition == Edition::Full {
        let properties = schema["properties"].as_object_mut().with_context(missing)?;
        for dependency in &model.chart.dependencies {
            properties.insert(dependency.name.clone(), json!({"type": "object"}));
        }
    }
    let text = serde_json::to_string_pretty(&schema).context("writing values.schema.json")?;
    Ok(text + "\n")
}

/// What may be overridden of each alert: its marked numbers, and what every alert has.
fn overrides_of(model: &Model) -> Result<Value> {
    let mut alerts = Map::new();
    for (_, _, rule) in model.alerts() {
        let mut properties = Map::new();
        let mut named = Map::new();
        for mark in threshold::thresholds(&rule.expr).map_err(anyhow::Error::msg)? {
            // Draft 7 ignores what stands beside a $ref, hence allOf.
            let number = json!({"allOf": [{"$ref": "#/definitions/number"}], "default": mark.value});
            if mark.name.is_empty() {
                properties.insert("threshold".into(), number);
            } else {
                named.insert(mark.name, number);
            }
        }
        if !named.is_empty() {
            let thresholds = json!({"type": "object", "additionalProperties": false, "properties": named});
            properties.insert("thresholds".into(), thresholds);
        }
        properties.insert("for".into(), json!({"$ref": "#/definitions/duration"}));
        properties.insert("severity".into(), json!({"$ref": "#/definitions/severity"}));
        properties.insert("enabled".into(), json!({"type": "boolean"}));
        let summary = rule.annotations.get("summary").cloned().unwrap_or_default();
        let alert =
            json!({"description": summary, "type": "object", "additionalProperties": false, "properties": properties});
        alerts.insert(rule.name.clone(), alert);
    }
    Ok(Value::Object(alerts))
}

fn groups_of(model: &Model) -> Value {
    let switch =
        json!({"type": "object", "additionalProperties": false, "properties": {"enabled": {"type": "boolean"}}});
    let groups = model.rules.iter().flat_map(|file| &file.groups);
    Value::Object(groups.map(|group| (group.name.clone(), switch.clone())).collect())
}
