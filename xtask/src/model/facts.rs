//! Facts about a pinned dependency, which checks need without its archive: which values it knows, which images it runs,
//! which alerts and dashboards it brings, which fields its custom resources have. Names and types, none of its text.

use std::collections::{BTreeMap, BTreeSet};

use rulecheck::{Finding, yaml};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::sources::Sources;

/// The text of `upstream/<name>-<version>.yaml`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// The dependency's chart name.
    pub dependency: String,
    /// Its version.
    pub version: String,
    /// The digest of the archive that the facts come from.
    pub archive_sha256: String,
    /// The digest over its unpacked files.
    pub contents_sha256: String,
    /// The values that it knows, as a tree: a leaf names the type of the default, `any` stands for everything below.
    pub values: Value,
    /// Images in its values: the path of the value, and registry/repository, with `:tag` where values.yaml has one;
    /// else a template makes it of some version.
    pub images: BTreeMap<String, String>,
    /// The names of its alerts.
    pub alerts: BTreeSet<String>,
    /// Its dashboards: uid and title.
    pub dashboards: BTreeMap<String, String>,
    /// By kind, every field of `spec` with its type.
    pub resources: BTreeMap<String, Fields>,
}

/// The fields of a kind by path, such as `spec.endpoints[].port`, each with its type.
pub type Fields = BTreeMap<String, String>;

/// Where the facts of one dependency's version are kept.
pub fn path(name: &str, version: &str) -> String {
    format!("upstream/{name}-{version}.yaml")
}

/// Reads all facts files.
pub fn read(sources: &Sources, findings: &mut Vec<Finding>) -> Vec<Facts> {
    let mut facts = Vec::new();
    for path in sources.below("upstream") {
        let parsed = sources.text(path).and_then(|text| {
            yaml::parse(text).map_err(|error| {
                Finding::error(path, error.line, "file/syntax", error.message)
                    .help("the file is made by `cargo xtask vendor`")
            })
        });
        match parsed {
            Ok(parsed) => facts.push(parsed),
            Err(finding) => findings.push(finding),
        }
    }
    facts
}
