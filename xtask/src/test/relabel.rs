//! Prometheus' relabeling of targets, with the actions that our monitors use.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use regex::Regex;
use serde::Deserialize;
use serde_yaml::Value;

/// A target's labels.
pub(super) type Labels = BTreeMap<String, String>;

/// One rule, with the fields' names of a monitor or of Prometheus' own configuration.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    #[serde(default = "replace")]
    action: String,
    #[serde(default, alias = "sourceLabels")]
    source_labels: Vec<String>,
    #[serde(default = "everything")]
    regex: String,
    #[serde(default, alias = "targetLabel")]
    target_label: String,
    #[serde(default = "first_group")]
    replacement: String,
}

fn replace() -> String {
    "replace".to_owned()
}

fn everything() -> String {
    "(.*)".to_owned()
}

fn first_group() -> String {
    "$1".to_owned()
}

/// What a list of rules makes of a target's labels; nothing if one of them drops the target.
pub(super) fn apply(rules: &Value, mut labels: Labels) -> Result<Option<Labels>> {
    let rules: Option<Vec<Rule>> = serde_yaml::from_value(rules.clone()).context("reading relabelings")?;
    for rule in rules.unwrap_or_default() {
        let values = rule.source_labels.iter().map(|label| labels.get(label).map_or("", String::as_str));
        let value = values.collect::<Vec<_>>().join(";");
        let regex = Regex::new(&format!("^(?s:{})$", rule.regex)).context("a relabeling's regex")?;
        let matched = regex.captures(&value);
        match rule.action.as_str() {
            "keep" if matched.is_none() => return Ok(None),
            "drop" if matched.is_some() => return Ok(None),
            "keep" | "drop" => {}
            "replace" => {
                if let Some(groups) = matched {
                    let mut result = String::new();
                    groups.expand(&rule.replacement, &mut result);
                    // An empty label is none.
                    match result.is_empty() {
                        true => labels.remove(&rule.target_label),
                        false => labels.insert(rule.target_label, result),
                    };
                }
            }
            other => bail!("unknown action {other}"),
        }
    }
    Ok(Some(labels))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relabeled(rules: &str) -> Option<Labels> {
        let labels = [("a", "1"), ("b", "two")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        apply(&serde_yaml::from_str(rules).unwrap(), labels.into()).unwrap()
    }

    #[test]
    fn targets_are_kept_dropped_and_changed() {
        assert!(relabeled("[{action: keep, sourceLabels: [a, b], regex: '1;t.*'}]").is_some());
        // A regular expression matches the whole value.
        assert!(relabeled("[{action: keep, source_labels: [b], regex: tw}]").is_none());
        assert!(relabeled("[{action: drop, source_labels: [missing], regex: ''}]").is_none());
        let changed = relabeled(
            "[{source_labels: [b], regex: 't(.)o', target_label: c, replacement: x$1/y}, {targetLabel: a, replacement: ''}]",
        );
        let changed = changed.unwrap();
        assert_eq!((changed.get("c").map(String::as_str), changed.get("a")), (Some("xw/y"), None));
        assert!(apply(&serde_yaml::from_str("[{action: hashmod}]").unwrap(), Labels::new()).is_err());
    }
}
