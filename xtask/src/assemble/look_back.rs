//! `chart/files/look-back.yaml`: how far the rules of each group look back. The chart refuses to keep samples for less.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use rulecheck::look_back::{duration, look_back};

use crate::model::Model;

/// The file's text.
pub fn render(model: &Model) -> Result<String> {
    let groups: BTreeMap<&str, String> = of(model).into_iter().map(|(group, back)| (group, duration(back))).collect();
    let header = "# Made by `cargo xtask assemble` from alerts/; edit those.\n";
    Ok(header.to_owned() + &serde_yaml::to_string(&groups).context("writing files/look-back.yaml")?)
}

/// Seconds by group, of those that look back at all.
pub fn of(model: &Model) -> BTreeMap<&str, f64> {
    let groups = model.rules.iter().flat_map(|file| &file.groups);
    let farthest = groups
        .map(|group| (group.name.as_str(), group.rules.iter().map(|rule| look_back(&rule.ast)).fold(0.0, f64::max)));
    farthest.filter(|(_, back)| *back > 0.0).collect()
}
