//! Chart repositories: what `index.yaml` says of one version of one chart.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Deserialize;

/// Where one version of a chart is to be had.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Release {
    version: String,
    /// Places of the archive; a relative one is below the repository.
    pub urls: Vec<String>,
    /// The archive's sha256 in hex, where the repository tells it.
    pub digest: Option<String>,
}

#[derive(Deserialize)]
struct Index {
    entries: BTreeMap<String, Vec<Release>>,
}

/// Finds one version of one chart in the text of an `index.yaml`, its URLs made absolute against `repository`.
pub fn find(index: &str, repository: &str, name: &str, version: &str) -> Result<Release> {
    let index: Index = serde_yaml::from_str(index).context("the repository's index.yaml is none")?;
    let releases = index.entries.get(name).with_context(|| format!("the repository has no chart {name}"))?;
    let release = releases.iter().find(|release| release.version == version);
    let mut release = release.with_context(|| format!("the repository has no version {version} of {name}"))?.clone();
    for url in &mut release.urls {
        if !url.contains("://") {
            *url = format!("{}/{}", repository.trim_end_matches('/'), url.trim_start_matches('/'));
        }
    }
    Ok(release)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: &str = "apiVersion: v1\nentries:\n  demo:\n    - {name: demo, version: 1.0.0, urls: [demo-1.0.0.tgz], digest: ab, created: x}\n";

    #[test]
    fn a_relative_url_is_below_the_repository() {
        let release = find(INDEX, "https://example.org/charts/", "demo", "1.0.0").unwrap();
        assert_eq!(release.urls, ["https://example.org/charts/demo-1.0.0.tgz"]);
        assert_eq!(release.digest.as_deref(), Some("ab"));
    }

    #[test]
    fn what_is_not_there_is_named() {
        for (index, name, version, expected) in [
            (INDEX, "other", "1.0.0", "no chart other"),
            (INDEX, "demo", "2.0.0", "no version 2.0.0 of demo"),
            ("<html>", "demo", "1.0.0", "index.yaml is none"),
        ] {
            assert!(find(index, "https://example.org", name, version).unwrap_err().to_string().contains(expected));
        }
    }
}
