//! The metric contract: what each source exposes, so that queries can be checked without a server.
//!
//! The format is described in `docs/metric-contract.md`; unknown fields are refused.

mod compare;
mod draft;
mod load;
mod sample;

use std::collections::BTreeMap;
use std::fmt;

use regex::Regex;
use serde::Deserialize;

use crate::finding::Finding;
pub use compare::{Difference, differences};
pub use draft::draft;
pub use sample::sample;

/// Series that Prometheus itself makes, for every target or every alert. Source: prometheus/prometheus 3.14
/// `scrape/scrape.go`; the last three of a scrape are its extra metrics.
const BUILT_IN: [&str; 10] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
    "scrape_timeout_seconds",
    "scrape_sample_limit",
    "scrape_body_size_bytes",
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
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
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
    /// The contract file that declares it, as the caller named it.
    #[serde(skip)]
    pub file: String,
    /// The line of its declaration there, from 1.
    #[serde(skip)]
    pub line: usize,
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

impl Metric {
    /// Where it is declared, `file:line`.
    pub fn declared_in(&self) -> String {
        format!("{}:{}", self.file, self.line)
    }
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

/// As the contract writes it.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
            Kind::Summary => "summary",
            Kind::Info => "info",
            Kind::Untyped => "untyped",
        })
    }
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

/// A pattern of the contract, which matches values as a whole.
pub(crate) fn anchored(pattern: &str) -> Result<Regex, regex::Error> {
    Regex::new(&format!("^(?:{pattern})$"))
}

impl Contract {
    /// Reads the files (path, text) of a contract. A file that cannot be read gives one finding and is left out; an
    /// entry that contradicts itself or one before gives one too.
    pub fn parse<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>, findings: &mut Vec<Finding>) -> Contract {
        load::contract(files, findings)
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

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "jobs:\n  j: {scrape_interval: 15s}\nmetrics:\n  a_total: {type: counter, unit: things, jobs: [j], emitted: live}\n  h: {type: histogram, unit: seconds, jobs: [j], emitted: dark, buckets: [1, 2]}\n";

    #[test]
    fn what_extra_scrape_metrics_add_is_built_in() {
        assert!(
            ["scrape_timeout_seconds", "scrape_sample_limit", "scrape_body_size_bytes"].map(Contract::is_built_in)
                == [true; 3]
        );
        assert!(!Contract::is_built_in("scrape_pool_targets"));
    }

    #[test]
    fn suffixes_follow_from_the_type() {
        let contract = Contract::parse([("m.yaml", GOOD)], &mut Vec::new());
        assert!(contract.metric("h_bucket").is_some() && contract.metric("h_sum").is_some());
        assert!(contract.metric("a_total_bucket").is_none() && contract.metric("b").is_none());
    }
}
