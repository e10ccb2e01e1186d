//! `index.yaml` of a chart repository over HTTP, written and merged as helm/helm `pkg/repo/v1/index.go` does, but with the times
//! that it is given and the same bytes for the same charts.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use semver::Version;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::chart::Chart;

/// What the index says of one archive, which lies beside it. `digest` is the archive's sha256 in hex, `created` a time in the form
/// of RFC 3339.
pub fn entry(chart: &Chart, digest: &str, created: &str) -> Result<Value> {
    let mut entry = serde_json::to_value(chart).context("writing an entry of index.yaml")?;
    entry["urls"] = json!([chart.archive_name()]);
    entry["digest"] = digest.into();
    entry["created"] = created.into();
    entry.sort_all_objects();
    Ok(entry)
}

/// An index as text: `entries` added to those of `existing`, the text of another index. Names are sorted, of each the newest
/// version first. `generated` is a time in the form of RFC 3339.
///
/// An archive that `existing` has already stays as it stands there, with the time at which it was first listed. Fails where it has
/// the version with another digest, for a version is never given twice, and where it is no index.
pub fn merge(existing: Option<&str>, entries: &[Value], generated: &str) -> Result<String> {
    let mut charts = existing.map(parse).transpose()?.unwrap_or_default();
    for entry in entries {
        let (name, version) = (text(entry, "name"), text(entry, "version"));
        let listed = charts.entry(name.to_owned()).or_default();
        match listed.iter().find(|other| text(other, "version") == version) {
            Some(other) if text(other, "digest") == text(entry, "digest") => {}
            Some(other) => bail!(
                "{name} {version} is listed with the digest {}, the archive here has {}; a version that is out is never changed: \
                 release a new one",
                text(other, "digest"),
                text(entry, "digest")
            ),
            None => listed.push(entry.clone()),
        }
    }
    for listed in charts.values_mut() {
        // What is no semantic version comes last, as it stood.
        listed.sort_by_cached_key(|entry| Reverse(Version::parse(text(entry, "version")).ok()));
    }
    let index = json!({"apiVersion": "v1", "entries": charts, "generated": generated});
    Ok(crate::yaml::write(&index))
}

/// The entries of an index by the charts' names, with every field that they have.
pub fn parse(index: &str) -> Result<BTreeMap<String, Vec<Value>>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Index {
        api_version: String,
        entries: BTreeMap<String, Vec<Map<String, Value>>>,
    }
    let index: Index = serde_yaml::from_str(index).context("it is not the index of a chart repository")?;
    ensure!(index.api_version == "v1", "its apiVersion is `{}`, expected `v1`", index.api_version);
    let values = |list: Vec<Map<String, Value>>| list.into_iter().map(Value::from).collect();
    Ok(index.entries.into_iter().map(|(name, list)| (name, values(list))).collect())
}

fn text<'a>(entry: &'a Value, key: &str) -> &'a str {
    entry[key].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(version: &str) -> Value {
        let chart = Chart::parse(&format!("apiVersion: v2\nname: demo\nversion: {version}\n")).unwrap();
        entry(&chart, &format!("digest of {version}"), "2026-01-01T00:00:00Z").unwrap()
    }

    fn versions(index: &str) -> Vec<String> {
        parse(index).unwrap()["demo"].iter().map(|entry| text(entry, "version").to_owned()).collect()
    }

    #[test]
    fn an_index_is_written_as_helm_reads_it() {
        let expected = "apiVersion: v1\nentries:\n  demo:\n    - apiVersion: v2\n      created: \"2026-01-01T00:00:00Z\"\n      \
                        digest: digest of 1.0.0\n      name: demo\n      urls:\n        - demo-1.0.0.tgz\n      \
                        version: \"1.0.0\"\ngenerated: now\n";
        assert_eq!(merge(None, &[chart("1.0.0")], "now").unwrap(), expected);
    }

    #[test]
    fn the_newest_version_is_first_whatever_came_first() {
        let versions_of = |order: &[&str]| {
            order.iter().fold(None, |index: Option<String>, version| {
                Some(merge(index.as_deref(), &[chart(version)], "now").unwrap())
            })
        };
        let one = versions_of(&["1.9.0", "1.10.0", "1.10.0-rc.1", "2.0.0"]).unwrap();
        assert_eq!(versions(&one), ["2.0.0", "1.10.0", "1.10.0-rc.1", "1.9.0"]);
        assert_eq!(versions_of(&["2.0.0", "1.10.0-rc.1", "1.9.0", "1.10.0"]).unwrap(), one);
    }

    #[test]
    fn what_is_listed_already_keeps_its_time_and_what_we_do_not_know() {
        let old = "apiVersion: v1\nentries:\n  demo:\n  - {name: demo, version: 1.0.0, digest: digest of 1.0.0, created: before, extra: [1]}\n  other: []\n";
        let merged = merge(Some(old), &[chart("1.0.0")], "now").unwrap();
        let entry = &parse(&merged).unwrap()["demo"][0];
        assert_eq!((text(entry, "created"), &entry["extra"]), ("before", &json!([1])));
        assert_eq!(merge(Some(&merged), &[chart("1.0.0")], "now").unwrap(), merged);
    }

    #[test]
    fn a_version_is_never_given_twice() {
        let mut other = chart("1.0.0");
        other["digest"] = "another".into();
        let index = merge(None, &[chart("1.0.0")], "now").unwrap();
        let error = merge(Some(&index), &[other], "now").unwrap_err().to_string();
        assert!(
            error.starts_with("demo 1.0.0 is listed with the digest digest of 1.0.0, the archive here has another")
        );
    }

    #[test]
    fn what_is_no_index_is_refused() {
        for text in ["", "<html>", "apiVersion: v2\nentries: {}\n", "apiVersion: v1\nentries: {a: [1]}\n"] {
            assert!(merge(Some(text), &[], "now").is_err(), "{text}");
        }
    }
}
