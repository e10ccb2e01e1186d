//! The metric contract: what each source exposes, so that queries can be checked without a server.
//!
//! The format is described in `docs/metric-contract.md`; unknown fields are refused.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

use crate::finding::Finding;
use crate::yaml;

/// Series that Prometheus itself makes, for every target or every alert.
const BUILT_IN: [&str; 8] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
    "scrape_sample_limit",
    "ALERTS",
    "ALERTS_FOR_STATE",
];

/// All contract files together.
#[derive(Debug, Default)]
pub struct Contract {
    /// By base name.
    pub metrics: BTreeMap<String, Metric>,
    /// By job name.
    pub jobs: BTreeMap<String, Job>,
}

/// A scrape job.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// How often its targets are scraped, a Prometheus duration.
    pub scrape_interval: String,
    /// The labels that scraping adds to every series; `job` itself is implied.
    #[serde(default)]
    pub target_labels: Vec<String>,
}

/// One metric.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metric {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Its unit, a free word; `seconds`, `bytes`, `ratio` and `percent` are known to unit checks.
    pub unit: String,
    /// The jobs that expose it; empty for series that rules make.
    pub jobs: Vec<String>,
    /// Whether it is really there.
    pub emitted: Emitted,
    /// Since when it is there.
    #[serde(default)]
    pub presence: Presence,
    /// The value of a constant metric.
    pub value: Option<f64>,
    /// Its own labels.
    #[serde(default)]
    pub labels: BTreeMap<String, LabelValues>,
    /// Finite upper bounds of a histogram's buckets, rising.
    #[serde(default)]
    pub buckets: Vec<f64>,
}

/// A metric's type; `_bucket`, `_sum` and `_count` follow from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names are Prometheus' own")]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
    Summary,
    Info,
    Untyped,
}

/// Whether a metric is really there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Emitted {
    /// Recorded by the program as it is.
    Live,
    /// Defined by the program, never recorded.
    Dark,
    /// Exposed with one value for ever.
    Constant,
    /// There once its source is installed.
    Optional,
}

/// The word of the contract's format.
impl fmt::Display for Emitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Emitted::Live => "live",
            Emitted::Dark => "dark",
            Emitted::Constant => "constant",
            Emitted::Optional => "optional",
        })
    }
}

/// Since when a metric's series are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// As long as its target.
    #[default]
    Always,
    /// From the first event that it counts.
    AfterEvent,
}

/// The values that a label can have.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelValues {
    /// All possible values.
    pub values: Option<Vec<String>>,
    /// A regular expression that all values match as a whole.
    pub pattern: Option<String>,
    /// About how many values to expect.
    pub cardinality: Option<u64>,
    /// Whether a series may lack the label.
    #[serde(default)]
    pub optional: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    jobs: BTreeMap<String, Job>,
    metrics: BTreeMap<String, Metric>,
}

impl Contract {
    /// Reads the files (path, text) of a contract. A file that cannot be read gives one finding and is left out.
    pub fn parse<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>, findings: &mut Vec<Finding>) -> Contract {
        let mut contract = Contract::default();
        let mut metrics = Vec::new();
        for (path, text) in files {
            match yaml::parse::<File>(text) {
                Ok(file) => {
                    contract.jobs.extend(file.jobs);
                    metrics.extend(file.metrics.into_iter().map(|(name, metric)| (path, text, name, metric)));
                }
                Err(error) => findings.push(Finding::error(path, error.line, "file/syntax", error.message)),
            }
        }
        for (path, text, name, metric) in metrics {
            let line = line_of(text, &name);
            if let Some(problem) = contract.problem(&name, &metric) {
                findings.push(Finding::error(path, line, "file/syntax", format!("metric {name}: {problem}")));
            }
            contract.metrics.insert(name, metric);
        }
        contract
    }

    /// What contradicts itself in a metric's entry.
    fn problem(&self, name: &str, metric: &Metric) -> Option<String> {
        if self.metrics.contains_key(name) {
            return Some("declared twice".into());
        }
        if let Some(job) = metric.jobs.iter().find(|job| !self.jobs.contains_key(*job)) {
            return Some(format!("no file declares its job `{job}`"));
        }
        if (metric.kind == Kind::Histogram) == metric.buckets.is_empty() {
            return Some("buckets belong to histograms, and a histogram needs them".into());
        }
        if !metric.buckets.is_sorted_by(|a, b| a < b) || metric.buckets.iter().any(|b| !b.is_finite()) {
            return Some("buckets must be finite and rise".into());
        }
        if (metric.emitted == Emitted::Constant) != metric.value.is_some() {
            return Some("`value` belongs to `emitted: constant`, which needs it".into());
        }
        let both = metric.labels.iter().find(|(_, values)| values.values.is_some() && values.pattern.is_some());
        both.map(|(label, _)| format!("label `{label}` has both `values` and `pattern`"))
    }

    /// The metric that a series name belongs to, and the suffix that its type adds: `_bucket`, `_sum`, `_count` or none.
    pub fn metric(&self, series: &str) -> Option<(&Metric, &'static str)> {
        if let Some(metric) = self.metrics.get(series) {
            return Some((metric, ""));
        }
        ["_bucket", "_sum", "_count"].into_iter().find_map(|suffix| {
            let metric = self.metrics.get(series.strip_suffix(suffix)?)?;
            match metric.kind {
                Kind::Histogram => Some((metric, suffix)),
                Kind::Summary if suffix != "_bucket" => Some((metric, suffix)),
                _ => None,
            }
        })
    }

    /// Whether Prometheus makes a series of this name by itself.
    pub fn is_built_in(series: &str) -> bool {
        BUILT_IN.contains(&series)
    }
}

/// The line of a metric's key; 1 where the file has an unusual form.
fn line_of(text: &str, name: &str) -> usize {
    let key = format!("{name}:");
    text.lines().position(|line| line.trim_start().starts_with(&key)).map_or(1, |index| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(text: &str) -> Vec<String> {
        let mut findings = Vec::new();
        Contract::parse([("m.yaml", text)], &mut findings);
        findings.iter().map(ToString::to_string).collect()
    }

    const GOOD: &str = "jobs:\n  j: {scrape_interval: 15s}\nmetrics:\n  a_total: {type: counter, unit: things, jobs: [j], emitted: live}\n  h: {type: histogram, unit: seconds, jobs: [j], emitted: dark, buckets: [1, 2]}\n";

    #[test]
    fn suffixes_follow_from_the_type() {
        let contract = Contract::parse([("m.yaml", GOOD)], &mut Vec::new());
        assert!(contract.metric("h_bucket").is_some() && contract.metric("h_sum").is_some());
        assert!(contract.metric("a_total_bucket").is_none() && contract.metric("b").is_none());
        assert!(findings(GOOD).is_empty());
    }

    #[test]
    fn an_entry_that_contradicts_itself_is_named() {
        for (from, to, expected) in [
            (
                "emitted: live",
                "emitted: alive",
                "m.yaml:4: error: file/syntax: metrics.a_total.emitted: unknown variant `alive`",
            ),
            ("unit: things", "unti: things", "unknown field `unti`"),
            ("jobs: [j], emitted: live", "jobs: [k], emitted: live", "no file declares its job `k`"),
            ("emitted: live", "emitted: constant", "`value` belongs to"),
            ("buckets: [1, 2]", "buckets: [2, 1]", "must be finite and rise"),
            (", buckets: [1, 2]", "", "a histogram needs them"),
        ] {
            let found = findings(&GOOD.replace(from, to));
            assert!(found.len() == 1 && found[0].contains(expected), "{found:?}");
        }
    }
}
