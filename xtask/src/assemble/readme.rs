//! `chart/README.md`, from a handlebars template: what is inside, and the main values.

use anyhow::{Context, Result};
use handlebars::{Handlebars, no_escape};
use serde_json::{Value, json};

use crate::failure::Findings;
use crate::model::Model;
use crate::model::values::OWN;
use crate::sources::Sources;

/// The template's path.
pub const TEMPLATE: &str = "docs/templates/chart-README.md.hbs";

/// The README as text.
pub fn render(sources: &Sources, model: &Model) -> Result<String> {
    let template = sources.text(TEMPLATE).map_err(|finding| Findings(vec![finding]))?;
    let mut handlebars = Handlebars::new();
    // A name that is not there must not become empty text, and Markdown is no HTML.
    handlebars.set_strict_mode(true);
    handlebars.register_escape_fn(no_escape);
    handlebars.render_template(template, &data(model)).with_context(|| format!("rendering {TEMPLATE}"))
}

fn data(model: &Model) -> Value {
    let alerts: Vec<Value> = model
        .alerts()
        .map(|(_, group, rule)| {
            let of =
                |map: &std::collections::BTreeMap<String, String>, key: &str| map.get(key).cloned().unwrap_or_default();
            // The summary as an operator reads it, with the label's name in place of its value.
            let summary = of(&rule.annotations, "summary").replace("{{ $labels.", "*").replace(" }}", "*");
            json!({
                "name": rule.name,
                "group": group,
                "severity": of(&rule.labels, "severity"),
                "for": rule.hold.clone().unwrap_or_else(|| "0".to_owned()),
                "summary": summary,
                "runbook": of(&rule.annotations, "runbook_url"),
            })
        })
        .collect();
    let dashboards: Vec<Value> =
        model.dashboards.iter().map(|dashboard| json!({"title": dashboard.title, "uid": dashboard.uid})).collect();
    let own = model.values.base.iter().filter(|fragment| fragment.owner == OWN);
    let values: Vec<Value> = own
        .flat_map(|fragment| {
            fragment.described().into_iter().map(|described| {
                let default = fragment.values.pointer(&format!("/{}", described.path.join("/")));
                let default = default.map(Value::to_string).unwrap_or_default();
                json!({"key": described.path.join("."), "default": default, "description": described.description})
            })
        })
        .collect();
    let profiles = model.values.profiles.iter().map(|(name, fragments)| {
        let own = fragments.iter().any(|fragment| fragment.owner == OWN);
        json!({"name": name, "editions": if own { "both" } else { "full" }})
    });
    let profiles: Vec<Value> = profiles.collect();
    json!({"chart": model.chart, "alerts": alerts, "dashboards": dashboards, "values": values, "profiles": profiles})
}
