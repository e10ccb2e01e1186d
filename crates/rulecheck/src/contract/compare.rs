//! What a target exposes against what the contract says of its job.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::{Contract, Emitted, Kind, LabelValues, Metric, Presence, anchored};
use crate::exposition::{Exposition, Family, Sample};

/// More values say no more than the first few.
const SHOWN: usize = 8;

/// One thing in which the two differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The metric's base name.
    pub metric: String,
    /// Where the contract declares it, `file:line`; empty where it does not.
    pub declared_in: String,
    /// What differs: lower case, no full stop.
    pub message: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.declared_in.is_empty() {
            write!(f, "{}: ", self.declared_in)?;
        }
        write!(f, "{}: {}", self.metric, self.message)
    }
}

/// Every difference, what is exposed first, in its order. What the contract says is not always there may be missing.
pub fn differences(contract: &Contract, job: &str, exposition: &Exposition) -> Vec<Difference> {
    let mut differences = Vec::new();
    for family in &exposition.families {
        let metric = contract.metrics.get(&family.name);
        let messages = match metric {
            Some(metric) if metric.jobs.iter().any(|of| of == job) => compare(contract, job, metric, family),
            Some(metric) => vec![format!("exposed here, but declared for {}", list(metric.jobs.iter()))],
            None => vec![format!("exposed, but not declared: {}", describe(family))],
        };
        let declared_in = metric.map(Metric::declared_in).unwrap_or_default();
        differences.extend(messages.into_iter().map(|message| Difference {
            metric: family.name.clone(),
            declared_in: declared_in.clone(),
            message,
        }));
    }
    let exposed: BTreeSet<&str> = exposition.families.iter().map(|family| family.name.as_str()).collect();
    let missing = contract.metrics.iter().filter(|(name, metric)| {
        metric.jobs.iter().any(|of| of == job)
            && metric.presence == Presence::Always
            && matches!(metric.emitted, Emitted::Live | Emitted::Constant)
            && !exposed.contains(name.as_str())
    });
    differences.extend(missing.map(|(name, metric)| Difference {
        metric: name.clone(),
        declared_in: metric.declared_in(),
        message: "declared as always there, but not exposed".to_owned(),
    }));
    differences
}

fn compare(contract: &Contract, job: &str, metric: &Metric, family: &Family) -> Vec<String> {
    let mut messages = Vec::new();
    // The classic text format has no type for an info metric.
    if metric.kind != family.kind && (metric.kind, family.kind) != (Kind::Info, Kind::Gauge) {
        messages.push(format!("declared as {}, exposed as {}", metric.kind, family.kind));
    }
    if metric.emitted == Emitted::Dark {
        messages.push("declared as dark, but recorded".to_owned());
    }
    if let Some(value) = metric.value
        && let Some(sample) = family.samples.iter().find(|sample| sample.value != value)
    {
        messages.push(format!("declared as constantly {value}, exposed as {}", sample.value));
    }
    let target_labels = contract.jobs.get(job).map(|job| job.target_labels.as_slice()).unwrap_or_default();
    let mut seen: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    let mut holders: BTreeMap<String, usize> = BTreeMap::new();
    for sample in &family.samples {
        for (label, value) in own_labels(family.kind, sample) {
            // A label of the target pushes aside one of the metric with that name.
            let exported = format!("exported_{label}");
            let renamed = target_labels.contains(label) && metric.labels.contains_key(&exported);
            let label = if renamed { exported } else { label.clone() };
            seen.entry(label.clone()).or_default().insert(value);
            *holders.entry(label).or_default() += 1;
        }
    }
    for (label, declared) in &metric.labels {
        let holders = holders.get(label).copied().unwrap_or_default();
        if holders < family.samples.len() && !declared.optional {
            let lack = family.samples.len() - holders;
            messages.push(format!("{lack} of {} series lack the label `{label}`", family.samples.len()));
        }
    }
    for (label, values) in &seen {
        messages.extend(label_difference(label, metric.labels.get(label), values));
    }
    let bounds = bounds(family);
    if metric.kind == Kind::Histogram && family.kind == Kind::Histogram && metric.buckets != bounds {
        messages.push(format!(
            "the bounds of its buckets are {}, declared are {}",
            list(&bounds),
            list(&metric.buckets)
        ));
    }
    messages
}

fn label_difference(label: &str, declared: Option<&LabelValues>, seen: &BTreeSet<&str>) -> Option<String> {
    let Some(declared) = declared else {
        return Some(format!("the label `{label}` is not declared; its values are {}", quoted(seen)));
    };
    let declares = match (&declared.values, &declared.pattern) {
        (Some(values), _) => format!("declared are {}", quoted(&values.iter().map(String::as_str).collect())),
        (None, Some(pattern)) => format!("declared is the pattern {pattern}"),
        (None, None) => return None,
    };
    let others = declared.others(seen);
    (!others.is_empty()).then(|| format!("the label `{label}` has the values {}; {declares}", quoted(&others)))
}

impl LabelValues {
    /// Those of some values that the label cannot have.
    fn others<'v>(&self, seen: &BTreeSet<&'v str>) -> BTreeSet<&'v str> {
        // One that does not compile is a finding of its own.
        let pattern = self.pattern.as_deref().and_then(|pattern| anchored(pattern).ok());
        let allowed = |value: &str| match &self.values {
            Some(values) => values.iter().any(|allowed| allowed == value),
            None => pattern.as_ref().is_none_or(|pattern| pattern.is_match(value)),
        };
        seen.iter().copied().filter(|value| !allowed(value)).collect()
    }
}

/// A sample's labels without those that follow from the type. An empty value is no label to Prometheus.
pub(super) fn own_labels(kind: Kind, sample: &Sample) -> impl Iterator<Item = (&String, &str)> {
    let of_type = match kind {
        Kind::Histogram => "le",
        Kind::Summary => "quantile",
        _ => "",
    };
    let labels = sample.labels.iter().filter(move |(label, value)| *label != of_type && !value.is_empty());
    labels.map(|(label, value)| (label, value.as_str()))
}

/// The finite bounds of all buckets, rising.
pub(super) fn bounds(family: &Family) -> Vec<f64> {
    let bounds = family.samples.iter().filter_map(|sample| sample.labels.get("le")?.parse().ok());
    let mut bounds: Vec<f64> = bounds.filter(|bound: &f64| bound.is_finite()).collect();
    bounds.sort_by(f64::total_cmp);
    bounds.dedup();
    bounds
}

fn describe(family: &Family) -> String {
    let labels: BTreeSet<&str> = family
        .samples
        .iter()
        .flat_map(|sample| own_labels(family.kind, sample))
        .map(|(label, _)| label.as_str())
        .collect();
    match labels.is_empty() {
        true => format!("{} without labels", family.kind),
        false => format!("{} with the labels {}", family.kind, list(labels)),
    }
}

fn list<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}

/// The first few values, in quotes since any text can be one.
pub(super) fn quoted(values: &BTreeSet<&str>) -> String {
    let shown = list(values.iter().take(SHOWN).map(|value| format!("{value:?}")));
    match values.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTRACT: &str = "jobs:
  j: {scrape_interval: 15s, target_labels: [pod]}
  k: {scrape_interval: 15s}
metrics:
  c_total: {type: counter, unit: x, jobs: [j], emitted: live, presence: after_event, labels: {s: {values: [a, b]}, t: {pattern: '[0-9]+', optional: true}, exported_pod: {optional: true}}}
  g: {type: gauge, unit: x, jobs: [j], emitted: live}
  h: {type: histogram, unit: seconds, jobs: [j], emitted: dark, buckets: [1, 2]}
  i: {type: info, unit: x, jobs: [j], emitted: optional}
  one: {type: gauge, unit: x, jobs: [j], emitted: constant, value: 1}
  other: {type: gauge, unit: x, jobs: [k], emitted: live}
";
    const BASE: &str = "# TYPE g gauge\ng 1\n# TYPE one gauge\none 1\n";

    fn differences(more: &str) -> Vec<String> {
        let mut findings = Vec::new();
        let contract = Contract::parse([("m.yaml", CONTRACT)], &mut findings);
        assert!(findings.is_empty(), "{findings:?}");
        let exposition = Exposition::parse(&format!("{BASE}{more}")).unwrap();
        super::differences(&contract, "j", &exposition).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_declared_or_may_be_missing_is_no_difference() {
        assert_eq!(differences(""), Vec::<String>::new());
        let more = "# TYPE i gauge\ni 1\n# TYPE c_total counter\nc_total{s=\"a\",t=\"12\",pod=\"p\"} 1\nc_total{s=\"b\",t=\"\"} 1\n";
        assert_eq!(differences(more), Vec::<String>::new());
    }

    #[test]
    fn each_difference_is_told_once_with_its_declaration() {
        let counter = "# TYPE c_total counter\n";
        for (more, expected) in [
            (
                "# TYPE n gauge\nn{b=\"1\",a=\"1\"} 1\n".to_owned(),
                "n: exposed, but not declared: gauge with the labels a, b",
            ),
            ("# TYPE other gauge\nother 1\n".to_owned(), "m.yaml:10: other: exposed here, but declared for k"),
            (
                "# TYPE c_total gauge\nc_total{s=\"a\"} 1\n".to_owned(),
                "m.yaml:5: c_total: declared as counter, exposed as gauge",
            ),
            (
                format!("{counter}c_total{{s=\"a\"}} 1\nc_total{{s=\"c\"}} 1\nc_total{{s=\"d\"}} 1\n"),
                "m.yaml:5: c_total: the label `s` has the values \"c\", \"d\"; declared are \"a\", \"b\"",
            ),
            (
                format!("{counter}c_total{{s=\"a\",t=\"1x\"}} 1\n"),
                "m.yaml:5: c_total: the label `t` has the values \"1x\"; declared is the pattern [0-9]+",
            ),
            (
                format!("{counter}c_total{{s=\"a\",u=\"1\"}} 1\n"),
                "m.yaml:5: c_total: the label `u` is not declared; its values are \"1\"",
            ),
            (
                format!("{counter}c_total 1\nc_total{{s=\"a\"}} 1\n"),
                "m.yaml:5: c_total: 1 of 2 series lack the label `s`",
            ),
        ] {
            assert_eq!(differences(&more), [expected]);
        }
    }

    #[test]
    fn values_types_and_buckets_are_compared() {
        let more = "# TYPE h histogram\nh_bucket{le=\"1.0\"} 1\nh_bucket{le=\"3\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n";
        assert_eq!(
            differences(more),
            [
                "m.yaml:7: h: declared as dark, but recorded",
                "m.yaml:7: h: the bounds of its buckets are 1, 3, declared are 1, 2",
            ]
        );
        let mut findings = Vec::new();
        let contract = Contract::parse([("m.yaml", CONTRACT)], &mut findings);
        let exposition = Exposition::parse("# TYPE one gauge\none 2\n").unwrap();
        let found: Vec<String> =
            super::differences(&contract, "j", &exposition).iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "m.yaml:9: one: declared as constantly 1, exposed as 2",
                "m.yaml:6: g: declared as always there, but not exposed",
            ]
        );
    }
}
