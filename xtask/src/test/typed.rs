//! Rendered custom resources against the fields that their definitions have: the API server drops an unknown field
//! without a word, and refuses a wrong type only when someone installs.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use serde_yaml::Value;

use super::rendered::{Rendered, text_at};
use crate::model::Model;
use crate::model::facts::Fields;

/// Checks every object of a kind that the facts know.
pub(super) fn check(model: &Model, rendered: &Rendered) -> Result<()> {
    model.facts.iter().try_for_each(|facts| fields(&facts.resources, rendered))
}

/// Checks every object of these kinds, of which there must be some.
pub(super) fn fields(kinds: &BTreeMap<String, Fields>, rendered: &Rendered) -> Result<()> {
    let mut problems = Vec::new();
    let mut checked = 0;
    for (kind, fields) in kinds {
        for object in rendered.of_kind(kind) {
            let name = format!("{kind} {}", text_at(&object["metadata"], "name"));
            compare(fields, "spec", &object["spec"], &name, &mut problems);
            checked += 1;
        }
    }
    ensure!(problems.is_empty(), "{}", problems.join("\n"));
    ensure!(checked > 0, "no rendered object is described");
    Ok(())
}

fn compare(fields: &Fields, path: &str, value: &Value, name: &str, problems: &mut Vec<String>) {
    // A definition cannot say that a route holds routes; the operator reads them as it reads the first.
    let path = if path == "spec.route.routes[]" { "spec.route" } else { path };
    let Some(kind) = fields.get(path).map(String::as_str) else {
        problems.push(format!("{name}: there is no field {path}"));
        return;
    };
    let fits = match kind {
        "object" | "map" => value.is_mapping(),
        "array" => value.is_sequence(),
        "string" => value.is_string(),
        "boolean" => value.is_bool(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "int-or-string" => value.is_string() || value.is_i64() || value.is_u64(),
        _ => true,
    };
    if !fits {
        problems.push(format!("{name}: {path} must be of type {kind}"));
    }
    // What is below a map or anything-goes is not described.
    match value {
        Value::Mapping(map) if kind == "object" => {
            for (key, value) in map {
                let key = key.as_str().unwrap_or_default();
                compare(fields, &format!("{path}.{key}"), value, name, problems);
            }
        }
        Value::Sequence(list) if kind == "array" => {
            list.iter().for_each(|value| compare(fields, &format!("{path}[]"), value, name, problems));
        }
        _ => {}
    }
}

/// How many objects of a kind there must be at least, for a check that would pass on nothing.
pub(super) fn some<'a>(rendered: &'a Rendered, kind: &str) -> Result<Vec<&'a Value>> {
    let found = rendered.of_kind(kind);
    ensure!(!found.is_empty(), "no {kind} is rendered");
    Ok(found)
}

/// The only object of a kind.
pub(super) fn only<'a>(rendered: &'a Rendered, kind: &str) -> Result<&'a Value> {
    let found = rendered.of_kind(kind);
    ensure!(found.len() == 1, "{} objects of kind {kind}, expected one", found.len());
    found.first().copied().context("no object")
}
