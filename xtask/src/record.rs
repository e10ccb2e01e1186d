//! `package.json`, the record of a build: what was made, from which commit, with which dependencies.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::flags::Edition;

/// The record's name in dist/.
pub const FILE: &str = "package.json";

/// A record; the fields in the file's order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Record {
    /// The chart's name in the full edition.
    pub name: String,
    /// The chart's version, of both editions.
    pub version: String,
    /// The commit that was checked out, where the checkout is a Git repository of its own.
    pub commit: Option<String>,
    /// Whether the checkout held changes that no commit has.
    pub dirty: Option<bool>,
    /// The sha256 of Cargo.lock, which names every crate of the pipeline.
    pub cargo_lock: Option<String>,
    /// The time of all entries, seconds since 1970.
    pub source_date_epoch: u64,
    /// The archives by edition, `full` and `addon`.
    pub archives: BTreeMap<String, Packed>,
    /// What the full edition carries.
    pub dependencies: Vec<Dependency>,
}

/// One archive of a build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Packed {
    /// Its file name.
    pub file: String,
    /// Its sha256 in hex.
    pub sha256: String,
}

/// A dependency's archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dependency {
    /// Its chart name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its sha256 in hex.
    pub sha256: String,
    /// Whether that is the pinned digest.
    pub pinned: bool,
}

impl Record {
    /// Reads the text of package.json.
    pub fn parse(bytes: &[u8]) -> Result<Record> {
        serde_json::from_slice(bytes).context("it is not a record of this version of the pipeline")
    }

    /// The text of package.json.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        Ok((serde_json::to_string_pretty(self).context("writing package.json")? + "\n").into_bytes())
    }

    /// The commit, if all that was built is in it.
    pub fn clean_commit(&self) -> Option<&str> {
        self.commit.as_deref().filter(|_| self.dirty == Some(false))
    }

    /// The archive of an edition.
    pub fn archive(&self, edition: Edition) -> Option<&Packed> {
        self.archives.get(edition.name())
    }
}
