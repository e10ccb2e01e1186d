//! What must hold of a build before it is published, beside that it verifies and rebuilds.

use std::path::Path;

use anyhow::Result;
use helmpack::changelog;

use crate::flags::Edition;
use crate::git;
use crate::record::Record;

/// What a build is tagged as.
#[derive(Debug, Default)]
pub struct Tags {
    /// The tags of its commit in this repository, of which some may be no versions.
    commit: Vec<String>,
    /// The tag that a workflow of GitHub runs for, which is there to be published.
    workflow: Option<String>,
}

/// Why a build must not be published, nothing if it may: changes that no commit holds, a version without its dated heading in the
/// changelog, a tag of another version on its commit, in a workflow any tag but its own, a dependency in one of `editions` that is
/// not the pinned one.
pub fn refusals(record: &Record, changelog: &str, tags: &Tags, editions: &[Edition]) -> Vec<String> {
    let mut reasons = Vec::new();
    let version = &record.version;
    if record.clean_commit().is_none() {
        reasons.push(match record.dirty {
            Some(true) => "it holds changes that no commit has; commit them, then `cargo xtask package`".to_owned(),
            _ => "no commit is recorded; package it in a Git repository of its own".to_owned(),
        });
    }
    match changelog::released(changelog, version) {
        Ok(Some(_)) => {}
        Ok(None) => reasons.push(format!(
            "CHANGELOG.md has no heading `## [{version}] - <date>`; `cargo xtask release VERSION` makes one"
        )),
        Err(error) => reasons.push(format!("CHANGELOG.md: {error:#}")),
    }
    let of_a_version = |tag: &&String| tag.strip_prefix('v').is_some_and(|v| semver::Version::parse(v).is_ok());
    for tag in tags.commit.iter().filter(of_a_version).filter(|tag| tag[1..] != *version) {
        reasons.push(format!("its commit has the tag {tag}, and its version is {version}"));
    }
    if let Some(tag) = tags.workflow.as_ref().filter(|tag| **tag != format!("v{version}")) {
        reasons.push(format!("the workflow runs for the tag {tag}, and the one of version {version} is v{version}"));
    }
    if editions.contains(&Edition::Full) {
        for dependency in record.dependencies.iter().filter(|dependency| !dependency.pinned) {
            reasons.push(format!(
                "the full edition carries another {} {} than the pinned one; get that with `cargo xtask vendor`, or publish \
                 `--edition addon` alone",
                dependency.name, dependency.version
            ));
        }
    }
    reasons
}

/// The tags of a build's commit, and the one that a workflow of GitHub runs for.
pub fn tags(root: &Path, record: &Record) -> Result<Tags> {
    let commit = record.commit.as_ref().map(|commit| git::tags(root, commit)).transpose()?.unwrap_or_default();
    let is_tag = std::env::var("GITHUB_REF_TYPE").is_ok_and(|kind| kind == "tag");
    Ok(Tags { commit, workflow: std::env::var("GITHUB_REF_NAME").ok().filter(|_| is_tag) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Dependency;

    const CHANGELOG: &str = "# C\n\n## [Unreleased]\n\n## [1.0.0] - 2026-01-31\n\n- A.\n";

    fn record() -> Record {
        Record {
            name: "demo".to_owned(),
            version: "1.0.0".to_owned(),
            commit: Some("c0".repeat(20)),
            dirty: Some(false),
            cargo_lock: None,
            source_date_epoch: 0,
            archives: [].into(),
            dependencies: vec![Dependency {
                name: "stack".to_owned(),
                version: "2.0.0".to_owned(),
                sha256: String::new(),
                pinned: true,
            }],
        }
    }

    fn reasons(record: &Record, tags: &[&str], editions: &[Edition]) -> Vec<String> {
        let tags = Tags { commit: tags.iter().map(|tag| (*tag).to_owned()).collect(), workflow: None };
        refusals(record, CHANGELOG, &tags, editions)
    }

    #[test]
    fn a_release_as_it_should_be_is_not_refused() {
        assert_eq!(reasons(&record(), &[], &Edition::ALL), [""; 0]);
        assert_eq!(reasons(&record(), &["v1.0.0", "very-good"], &Edition::ALL), [""; 0]);
    }

    #[test]
    fn a_workflow_of_a_tag_publishes_that_version_alone() {
        let of = |tag: &str| {
            let tags = Tags { workflow: Some(tag.to_owned()), ..Tags::default() };
            refusals(&record(), CHANGELOG, &tags, &Edition::ALL)
        };
        assert_eq!(of("v1.0.0"), [""; 0]);
        for tag in ["v1.0", "1.0.0", "v1.0.0-rc.1", "v01.0.0", "v1.0.0+1", "very-good", ""] {
            assert_eq!(
                of(tag),
                [format!("the workflow runs for the tag {tag}, and the one of version 1.0.0 is v1.0.0")],
            );
        }
    }

    #[test]
    fn each_thing_that_is_wrong_is_a_reason() {
        let unpinned = vec![Dependency { pinned: false, ..record().dependencies.remove(0) }];
        for (record, tags, expected) in [
            (Record { dirty: Some(true), ..record() }, &[][..], "changes that no commit has"),
            (Record { dirty: None, ..record() }, &[], "no commit is recorded"),
            (Record { version: "1.1.0".to_owned(), ..record() }, &[], "no heading `## [1.1.0]"),
            (record(), &["v1.1.0"], "has the tag v1.1.0, and its version is 1.0.0"),
            (Record { dependencies: unpinned.clone(), ..record() }, &[], "another stack 2.0.0"),
        ] {
            let reasons = reasons(&record, tags, &Edition::ALL);
            assert!(reasons.len() == 1 && reasons[0].contains(expected), "{reasons:?}");
        }
        let addon = Record { dependencies: unpinned, ..record() };
        assert_eq!(reasons(&addon, &[], &[Edition::Addon]), [""; 0], "the addon edition may go alone");
    }
}
