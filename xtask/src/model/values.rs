//! `values/`: the fragments that become the chart's values, their comments, and their schema.

use std::collections::BTreeMap;

use rulecheck::{Finding, yaml};
use serde_json::Value;

use crate::sources::Sources;

/// The fragment that both editions have; every other one configures a dependency.
pub const OWN: &str = "gorax";

/// Fragments and schema.
#[derive(Debug)]
pub struct Values {
    /// `values/base/<owner>.yaml`.
    pub base: Vec<Fragment>,
    /// `values/profiles/<profile>/<owner>.yaml`, by profile.
    pub profiles: BTreeMap<String, Vec<Fragment>>,
    /// `values/schema.yaml`.
    pub schema: Value,
}

/// One file of values: a part of `values.yaml` or of a profile.
#[derive(Debug)]
pub struct Fragment {
    /// Its path in the repository.
    pub path: String,
    /// `gorax`, or the dependency that it configures.
    pub owner: String,
    /// Its text, comments and all.
    pub text: String,
    /// Its values.
    pub values: Value,
}

/// A value that a comment `# -- …` describes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// The path of keys from the top.
    pub path: Vec<String>,
    /// The comment's text.
    pub description: String,
}

impl Values {
    /// Reads the fragments and the schema.
    pub fn parse(sources: &Sources, findings: &mut Vec<Finding>) -> Option<Values> {
        let mut base = Vec::new();
        let mut profiles: BTreeMap<String, Vec<Fragment>> = BTreeMap::new();
        for path in sources.below("values").filter(|path| *path != "values/schema.yaml") {
            let steps: Vec<&str> = path.split('/').collect();
            let place = match steps[..] {
                ["values", "base", file] => file.strip_suffix(".yaml").map(|owner| (None, owner)),
                ["values", "profiles", profile, file] => file.strip_suffix(".yaml").map(|owner| (Some(profile), owner)),
                _ => None,
            };
            let Some((profile, owner)) = place else {
                let help = "fragments are values/base/<owner>.yaml and values/profiles/<profile>/<owner>.yaml";
                findings.push(
                    Finding::error(path, 1, "file/unknown-kind", "nothing reads a file of this name here").help(help),
                );
                continue;
            };
            match Fragment::parse(sources, path, owner) {
                Ok(fragment) => profile.map_or(&mut base, |p| profiles.entry(p.to_owned()).or_default()).push(fragment),
                Err(finding) => findings.push(finding),
            }
        }
        if !base.iter().any(|fragment| fragment.owner == OWN) && findings.is_empty() {
            findings.push(Finding::error("values/base/gorax.yaml", 1, "file/syntax", "the file is missing"));
        }
        let schema = parse_map(sources, "values/schema.yaml").map_err(|finding| findings.push(finding)).ok()?;
        Some(Values { base, profiles, schema: schema.1 })
    }

    /// What an installation with these further fragments has: as Helm, maps are merged, everything else is replaced.
    pub fn with(&self, fragments: &[Fragment]) -> Value {
        let mut merged = Value::Null;
        self.base.iter().chain(fragments).for_each(|fragment| merge(&mut merged, &fragment.values));
        merged
    }
}

fn merge(below: &mut Value, above: &Value) {
    match (below, above) {
        (Value::Object(below), Value::Object(above)) => {
            above.iter().for_each(|(key, value)| merge(below.entry(key).or_insert(Value::Null), value));
        }
        (below, above) => *below = above.clone(),
    }
}

impl Fragment {
    fn parse(sources: &Sources, path: &str, owner: &str) -> Result<Fragment, Finding> {
        let (text, values) = parse_map(sources, path)?;
        Ok(Fragment { path: path.to_owned(), owner: owner.to_owned(), text: text.to_owned(), values })
    }

    /// The line of a value, where it is written in block style.
    pub fn line_of(&self, path: &[String]) -> usize {
        keys(&self.text).into_iter().find(|key| key.path == path).map_or(1, |key| key.line)
    }

    /// Every value with a `# -- …` comment above it, in order.
    pub fn described(&self) -> Vec<Described> {
        let keys = keys(&self.text);
        let described =
            keys.into_iter().filter_map(|key| Some(Described { path: key.path, description: key.description? }));
        described.collect()
    }
}

fn parse_map<'a>(sources: &'a Sources, path: &str) -> Result<(&'a str, Value), Finding> {
    let text = sources.text(path)?;
    let values: Value =
        yaml::parse(text).map_err(|error| Finding::error(path, error.line, "file/syntax", error.message))?;
    if !values.is_object() {
        return Err(Finding::error(path, 1, "file/syntax", "a map of values is expected"));
    }
    Ok((text, values))
}

struct Key {
    path: Vec<String>,
    line: usize,
    description: Option<String>,
}

/// The keys of a text in block style, with the `# --` comment right above each. Lists and flow style are not entered.
fn keys(text: &str) -> Vec<Key> {
    let mut keys: Vec<Key> = Vec::new();
    let mut open: Vec<(usize, String)> = Vec::new();
    let mut description: Option<String> = None;
    for (number, line) in (1..).zip(text.lines()) {
        let content = line.trim_start();
        let indent = line.len() - content.len();
        if let Some(comment) = content.strip_prefix('#') {
            match (comment.trim().strip_prefix("-- "), &mut description) {
                (Some(begin), _) => description = Some(begin.to_owned()),
                (None, Some(more)) => *more = format!("{more} {}", comment.trim()),
                (None, None) => {}
            }
            continue;
        }
        let key = content.split_once(':').map(|(key, _)| key.trim_matches('"')).filter(|key| is_key(key));
        let Some(key) = key else {
            description = None;
            continue;
        };
        open.retain(|(level, _)| *level < indent);
        open.push((indent, key.to_owned()));
        let path = open.iter().map(|(_, key)| key.clone()).collect();
        keys.push(Key { path, line: number, description: description.take() });
    }
    keys
}

/// A list item's dash, a blank or a bracket means that the line is no `key: value` of a map.
fn is_key(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('-')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_belong_to_the_key_below_them() {
        let mut sources = Sources::default();
        let text = "a:\n  # -- First\n  # and more.\n  b: 1\n  # plain\n  c: 2\n# -- Second\nd: {}\n";
        sources.set("values/base/gorax.yaml", text);
        let fragment = Fragment::parse(&sources, "values/base/gorax.yaml", OWN).unwrap();
        let described: Vec<(String, String)> =
            fragment.described().into_iter().map(|d| (d.path.join("."), d.description)).collect();
        assert_eq!(described, [("a.b".into(), "First and more.".into()), ("d".into(), "Second".into())]);
        assert_eq!(fragment.line_of(&["a".into(), "c".into()]), 6);
    }
}
