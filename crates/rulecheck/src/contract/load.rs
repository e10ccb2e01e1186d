//! From contract files to the typed contract. What contradicts itself, or an entry before, is a finding.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::{Contract, Emitted, Job, Kind, LabelValues, Metric, anchored};
use crate::finding::Finding;
use crate::rules::{is_duration, is_label_name, is_metric_name};
use crate::yaml::{self, KeyLines};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    jobs: BTreeMap<String, Job>,
    #[serde(default)]
    metrics: BTreeMap<String, Metric>,
}

/// A file that could be read, with what is needed to tell lines.
struct Loaded<'a> {
    path: &'a str,
    lines: KeyLines<'a>,
    file: File,
}

/// What is wrong with an entry, and the keys below it that lead there.
struct Problem {
    below: Vec<String>,
    message: String,
}

pub(super) fn contract<'a>(
    files: impl IntoIterator<Item = (&'a str, &'a str)>,
    findings: &mut Vec<Finding>,
) -> Contract {
    let mut loaded = Vec::new();
    // A shell that redirects a new contract into a folder has made the empty file before the command reads the others.
    for (path, text) in files.into_iter().filter(|(_, text)| !text.trim().is_empty()) {
        match yaml::parse::<File>(text) {
            Ok(file) => loaded.push(Loaded { path, lines: KeyLines::new(text), file }),
            Err(error) => findings.push(Finding::error(path, error.line, "file/syntax", error.message)),
        }
    }
    let mut contract = Contract::default();
    let mut declared = BTreeMap::new();
    // Metrics name jobs of any file, so jobs come first.
    for Loaded { path, lines, file } in &mut loaded {
        for (name, job) in std::mem::take(&mut file.jobs) {
            let line = lines.line(&["jobs", &name]);
            if let Some(message) = job_problem(&contract, &declared, &name, &job) {
                findings.push(Finding::error(path, line, "file/syntax", format!("job {name}: {message}")));
            }
            declared.entry(name.clone()).or_insert(format!("{path}:{line}"));
            contract.jobs.entry(name).or_insert(job);
        }
    }
    // Many labels share a pattern, and compiling one takes longer than all the rest.
    let mut good_patterns = BTreeSet::new();
    for Loaded { path, lines, file } in loaded {
        for (name, mut metric) in file.metrics {
            metric.file = path.to_owned();
            metric.line = lines.line(&["metrics", &name]);
            if let Some(Problem { below, message }) = metric_problem(&contract, &name, &metric, &mut good_patterns) {
                let keys: Vec<&str> = ["metrics", &name].into_iter().chain(below.iter().map(String::as_str)).collect();
                let line = lines.line(&keys);
                findings.push(Finding::error(path, line, "file/syntax", format!("metric {name}: {message}")));
            }
            if let Entry::Vacant(entry) = contract.metrics.entry(name) {
                entry.insert(metric);
            }
        }
    }
    contract
}

fn job_problem(contract: &Contract, declared: &BTreeMap<String, String>, name: &str, job: &Job) -> Option<String> {
    if contract.jobs.get(name).is_some_and(|first| first != job) {
        let first = declared.get(name).map_or("another file", String::as_str);
        return Some(format!("{first} declares it in another way"));
    }
    if !is_duration(&job.scrape_interval) || !job.scrape_interval.contains(|c: char| ('1'..='9').contains(&c)) {
        return Some(format!("scrape_interval `{}` is not a duration such as 30s", job.scrape_interval));
    }
    let label = job.target_labels.iter().find(|label| !is_label_name(label))?;
    Some(format!("`{label}` is not a name for a label"))
}

fn metric_problem(
    contract: &Contract,
    name: &str,
    metric: &Metric,
    good_patterns: &mut BTreeSet<String>,
) -> Option<Problem> {
    let problem = |message: String| Some(Problem { below: Vec::new(), message });
    let below = |key: &str, message: &str| Some(Problem { below: vec![key.to_owned()], message: message.to_owned() });
    if let Some(first) = contract.metrics.get(name) {
        return problem(format!("{} declares it too", first.declared_in()));
    }
    if !is_metric_name(name) {
        return problem("this is no name for a metric".to_owned());
    }
    if let Some(job) = metric.jobs.iter().find(|job| !contract.jobs.contains_key(*job)) {
        return below("jobs", &format!("no file declares its job `{job}`"));
    }
    if (metric.kind == Kind::Histogram) == metric.buckets.is_empty() {
        return below("buckets", "buckets belong to histograms, and a histogram needs them");
    }
    if !metric.buckets.is_sorted_by(|a, b| a < b) || metric.buckets.iter().any(|b| !b.is_finite()) {
        return below("buckets", "buckets must be finite and rise");
    }
    if (metric.emitted == Emitted::Constant) != metric.value.is_some() {
        return below("value", "`value` belongs to `emitted: constant`, which needs it");
    }
    metric.labels.iter().find_map(|(label, values)| {
        let message = label_problem(label, values, good_patterns)?;
        Some(Problem { below: vec!["labels".to_owned(), label.clone()], message: format!("label `{label}` {message}") })
    })
}

fn label_problem(label: &str, values: &LabelValues, good_patterns: &mut BTreeSet<String>) -> Option<String> {
    if !is_label_name(label) {
        return Some("has no name for a label".to_owned());
    }
    match (&values.values, &values.pattern) {
        (Some(_), Some(_)) => Some("has both `values` and `pattern`".to_owned()),
        (Some(values), None) if values.is_empty() => Some("has no `values`; leave it open with {}".to_owned()),
        (None, Some(pattern)) if good_patterns.contains(pattern) => None,
        (None, Some(pattern)) => match anchored(pattern) {
            Ok(_) => {
                good_patterns.insert(pattern.clone());
                None
            }
            Err(error) => {
                // The last line says what is wrong, those above point at it.
                let error = error.to_string();
                let reason = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
                Some(format!("has a pattern that is no regular expression: {reason}"))
            }
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "jobs:
  j: {scrape_interval: 15s, target_labels: [pod]}
metrics:
  a_total:
    type: counter
    unit: things
    jobs: [j]
    emitted: live
    labels:
      x: {values: [a]}
      y: {pattern: \"a+\", optional: true}
  h: {type: histogram, unit: seconds, jobs: [j], emitted: dark, buckets: [1, 2]}
";

    fn load(files: &[(&str, &str)]) -> (Contract, Vec<String>) {
        let mut findings = Vec::new();
        let contract = contract(files.iter().copied(), &mut findings);
        (contract, findings.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn metrics_know_where_they_are_declared() {
        let (contract, findings) = load(&[("m.yaml", GOOD)]);
        assert_eq!(findings, Vec::<String>::new());
        assert_eq!(contract.metrics["a_total"].declared_in(), "m.yaml:4");
        assert_eq!(contract.metric("h_bucket").unwrap().0.declared_in(), "m.yaml:12");
        assert!(contract.metrics["a_total"].labels["y"].optional);
    }

    #[test]
    fn an_entry_that_contradicts_itself_is_named() {
        for (from, to, expected) in [
            (
                "emitted: live",
                "emitted: alive",
                "m.yaml:8: error: file/syntax: metrics.a_total.emitted: unknown variant",
            ),
            ("unit: things", "unti: things", "unknown field `unti`"),
            (
                "jobs: [j]\n",
                "jobs: [k]\n",
                "m.yaml:7: error: file/syntax: metric a_total: no file declares its job `k`",
            ),
            ("emitted: live", "emitted: constant", "m.yaml:4: error: file/syntax: metric a_total: `value` belongs to"),
            ("emitted: live", "emitted: live\n    value: 1", "m.yaml:9: error: file/syntax: metric a_total: `value`"),
            ("buckets: [1, 2]", "buckets: [2, 1]", "m.yaml:12: error: file/syntax: metric h: buckets must be finite"),
            (
                "buckets: [1, 2]",
                "buckets: [1, .inf]",
                "m.yaml:12: error: file/syntax: metric h: buckets must be finite",
            ),
            (", buckets: [1, 2]", "", "a histogram needs them"),
            ("15s", "15", "m.yaml:2: error: file/syntax: job j: scrape_interval `15` is not a duration"),
            ("15s", "0s", "job j: scrape_interval `0s` is not a duration"),
            ("[pod]", "[po-d]", "job j: `po-d` is not a name for a label"),
            ("  h:", "  h-i:", "m.yaml:12: error: file/syntax: metric h-i: this is no name for a metric"),
            (
                "x: {values: [a]}",
                "x: {values: []}",
                "m.yaml:10: error: file/syntax: metric a_total: label `x` has no `val",
            ),
            ("x: {values: [a]}", "x: {values: [a], pattern: b}", "label `x` has both `values` and `pattern`"),
            ("x: {values: [a]}", "x-y: {}", "m.yaml:10: error: file/syntax: metric a_total: label `x-y` has no name"),
            (
                "a+",
                "a(",
                "m.yaml:11: error: file/syntax: metric a_total: label `y` has a pattern that is no regular exp",
            ),
            ("optional", "optionl", "m.yaml:11: error: file/syntax: metrics.a_total.labels.y: unknown field `optionl`"),
            ("  h:", "  a_total:", "`a_total` is set twice"),
        ] {
            let (_, found) = load(&[("m.yaml", &GOOD.replacen(from, to, 1))]);
            assert!(found.len() == 1 && found[0].contains(expected), "{expected}\n{found:?}");
        }
    }

    #[test]
    fn files_may_share_a_job_and_no_metric() {
        let job = GOOD.split("metrics:").next().unwrap();
        assert_eq!(load(&[("m.yaml", GOOD), ("n.yaml", job)]).1, Vec::<String>::new());
        let other = job.replace("15s", "30s");
        let (contract, found) = load(&[("m.yaml", GOOD), ("n.yaml", &other)]);
        assert_eq!(found, ["n.yaml:2: error: file/syntax: job j: m.yaml:2 declares it in another way"]);
        assert_eq!(contract.jobs["j"].scrape_interval, "15s");
        assert_eq!(load(&[("m.yaml", GOOD), ("new.yaml", "\n")]).1, Vec::<String>::new());
        let again = "metrics:\n  h: {type: gauge, unit: x, jobs: [], emitted: live}\n";
        let (contract, found) = load(&[("m.yaml", GOOD), ("n.yaml", again)]);
        assert_eq!(found, ["n.yaml:2: error: file/syntax: metric h: m.yaml:12 declares it too"]);
        assert_eq!(contract.metrics["h"].kind, Kind::Histogram);
    }
}
