//! `Chart.yaml`, chart API version 2.
//!
//! Fields and their order are those of helm/helm `pkg/chart/v2/metadata.go` and `dependency.go`. Helm itself accepts
//! unknown fields, any name and loose versions; we refuse them, because each is a slip that only shows at install time.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

/// The metadata of a chart, the whole of `Chart.yaml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Chart {
    /// The chart's name, also its root folder in the archive and its OCI repository.
    pub name: String,
    /// Where the project lives; alert runbook links begin with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub home: Option<String>,
    /// URLs of the source code.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<String>,
    /// The chart's version, SemVer 2.
    pub version: String,
    /// One sentence, shown by `helm search`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Words for `helm search`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keywords: Vec<String>,
    /// People or teams who answer for the chart.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub maintainers: Vec<Maintainer>,
    /// URL of an SVG or PNG.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icon: Option<String>,
    /// Always `v2`.
    pub api_version: String,
    /// The version of what the chart monitors or deploys; free text, but a string.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_version: Option<String>,
    /// True for a chart that should no longer be installed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deprecated: Option<bool>,
    /// Free annotations; Helm copies them onto the OCI manifest.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// The range of Kubernetes versions that the chart supports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kube_version: Option<String>,
    /// Charts that this one wraps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dependencies: Vec<Dependency>,
    /// `application` or `library`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

/// Someone who answers for a chart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Maintainer {
    /// Display name.
    pub name: String,
    /// E-mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Home page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// A chart that another one depends on. The field order is Go's struct order, which `Chart.lock`'s digest hashes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Dependency {
    /// The dependency's chart name.
    pub name: String,
    /// A version or a range of versions.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// URL of the chart repository, `oci://…` or `file://…`.
    #[serde(default)]
    pub repository: String,
    /// Path of a boolean in the values that switches the dependency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// Tags that switch the dependency.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Set by Helm while it loads a chart.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub enabled: bool,
    /// Values of the dependency that are copied into the parent's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub import_values: Vec<serde_json::Value>,
    /// Another name under which the dependency is loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
}

impl Chart {
    /// Reads `Chart.yaml`. Fails on unknown fields, a name that Kubernetes labels or OCI repositories cannot carry, a
    /// version that is not SemVer 2, or another chart API version. A message carries the line where YAML has one.
    pub fn parse(text: &str) -> Result<Chart> {
        let chart: Chart = serde_yaml::from_str(text)?;
        ensure!(chart.api_version == "v2", "apiVersion is `{}`, expected `v2`", chart.api_version);
        check_name(&chart.name)?;
        semver::Version::parse(&chart.version)
            .with_context(|| format!("version `{}` is not a semantic version such as 1.2.3", chart.version))?;
        if let Some(kind) = &chart.kind
            && !matches!(kind.as_str(), "application" | "library")
        {
            bail!("type is `{kind}`, expected `application` or `library`");
        }
        let mut names: Vec<&str> = Vec::new();
        for dependency in &chart.dependencies {
            let name = dependency.alias.as_deref().unwrap_or(&dependency.name);
            ensure!(!names.contains(&name), "dependency `{name}` is declared twice");
            names.push(name);
        }
        Ok(chart)
    }

    /// `Chart.yaml` as text, keys sorted as Helm's own packager writes them.
    pub fn to_yaml(&self) -> Result<String> {
        let mut value = serde_json::to_value(self).context("writing Chart.yaml")?;
        value.sort_all_objects();
        Ok(crate::yaml::write(&value))
    }

    /// The archive's file name, `<name>-<version>.tgz`; Helm leaves a `+` in the version as it is.
    pub fn archive_name(&self) -> String {
        format!("{}-{}.tgz", self.name, self.version)
    }
}

/// Helm accepts any name; a label value and an OCI repository do not.
fn check_name(name: &str) -> Result<()> {
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let inner = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    ensure!(
        inner && ends(name.chars().next()) && ends(name.chars().last()) && name.len() <= 53,
        "name `{name}` must be lower-case letters, digits and dashes, 53 at the most"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHART: &str = "apiVersion: v2\nname: demo\nversion: 1.2.3\ndependencies:\n  - name: a\n    version: 1.x\n    repository: https://example.org\n";

    #[test]
    fn reads_what_it_wrote() {
        let chart = Chart::parse(CHART).unwrap();
        assert_eq!(Chart::parse(&chart.to_yaml().unwrap()).unwrap(), chart);
        assert_eq!(chart.archive_name(), "demo-1.2.3.tgz");
    }

    #[test]
    fn refuses_slips_that_helm_lets_through() {
        for (slip, expected) in [
            (CHART.replace("name: demo", "name: Bad_Name"), "lower-case"),
            (CHART.replace("1.2.3", "v1.2"), "semantic version"),
            (CHART.replace("version: 1.2.3", "version: 1.2.3\ntpye: library"), "unknown field `tpye`"),
            (CHART.replace("version: 1.2.3", "version: 1.2.3\ntype: libary"), "libary"),
            (CHART.replace("apiVersion: v2", "apiVersion: v1"), "expected `v2`"),
            (format!("{CHART}  - name: a\n    version: 2.x\n    repository: https://example.org\n"), "declared twice"),
        ] {
            let error = Chart::parse(&slip).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
