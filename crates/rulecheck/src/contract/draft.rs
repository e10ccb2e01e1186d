//! A starting contract, written from what a target exposes. What it cannot know, a person says.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::Kind;
use super::compare::{bounds, own_labels, quoted};
use crate::exposition::{Exposition, Family};
use crate::rules::{is_label_name, is_metric_name};

/// Units that a metric's name ends in, as Prometheus' naming guide has them.
const UNITS: [&str; 10] =
    ["seconds", "bytes", "ratio", "percent", "celsius", "meters", "volts", "amperes", "joules", "grams"];

/// The text of a contract file for one job. Values that were seen stand in comments, and labels are left open: one
/// scrape does not show what else may come.
pub fn draft(job: &str, exposition: &Exposition) -> String {
    let job = key(job);
    let mut text = format!(
        "# Made from one scrape. Close the labels whose values are known, and say of each metric whether it is always there.
jobs:
  {job}:
    scrape_interval: 30s  # that of its monitor
    target_labels: [namespace, pod, container, service, endpoint, instance]

metrics:
"
    );
    for family in &exposition.families {
        if is_metric_name(&family.name) {
            metric(&mut text, &job, family);
        } else {
            line(&mut text, &format!("  # Left out, since its name is not of the classic form: {:?}", family.name));
        }
    }
    if exposition.families.is_empty() {
        text = text.replace("metrics:", "metrics: {}");
    }
    text
}

fn metric(text: &mut String, job: &str, family: &Family) {
    let bounds = bounds(family);
    let bare = family.kind == Kind::Histogram && bounds.is_empty();
    if !family.help.is_empty() {
        line(text, &format!("  # {}", family.help.replace(['\n', '\r'], " ")));
    }
    line(text, &format!("  {}:", key(&family.name)));
    match bare {
        true => line(text, "    type: untyped  # a histogram without a finite bucket"),
        false => line(text, &format!("    type: {}", family.kind)),
    }
    match unit(family) {
        Some(unit) => line(text, &format!("    unit: {}", key(&unit))),
        None => line(text, "    unit: mixed  # say what it counts, if that is one thing"),
    }
    line(text, &format!("    jobs: [{job}]"));
    line(text, "    emitted: live");
    let mut labels: BTreeMap<&str, (usize, BTreeSet<&str>)> = BTreeMap::new();
    for sample in &family.samples {
        for (label, value) in own_labels(family.kind, sample) {
            let (holders, values) = labels.entry(label).or_default();
            *holders += 1;
            values.insert(value);
        }
    }
    match labels.keys().any(|label| is_label_name(label)) {
        true => line(text, "    labels:"),
        false if labels.is_empty() => {}
        false => line(text, "    labels: {}"),
    }
    for (label, (holders, values)) in labels {
        if !is_label_name(label) {
            line(text, &format!("      # Left out, since its name is not of the classic form: {label:?}"));
            continue;
        }
        let open = if holders < family.samples.len() { "{optional: true}" } else { "{}" };
        line(text, &format!("      {}: {open}  # {}", key(label), quoted(&values)));
    }
    if family.kind == Kind::Histogram && !bare {
        let bounds: Vec<String> = bounds.iter().map(f64::to_string).collect();
        line(text, &format!("    buckets: [{}]", bounds.join(", ")));
    }
}

/// The unit that the exposition tells or the name ends in; for a counter else the thing that is counted. Of another
/// metric the last word of its name says too little: `…_status_capacity` may be bytes.
fn unit(family: &Family) -> Option<String> {
    if !family.unit.is_empty() {
        return Some(family.unit.clone());
    }
    let name = family.name.strip_suffix("_total").unwrap_or(&family.name);
    let last = name.rsplit(['_', ':']).find(|word| !word.is_empty()).unwrap_or("things");
    let known = UNITS.iter().find(|unit| **unit == last).copied();
    known.or_else(|| (family.kind == Kind::Counter).then_some(last)).map(str::to_owned)
}

/// A text as a key or a value of YAML.
fn key(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ':'))
        && !text.ends_with(':')
        && !["null", "true", "false", "yes", "no", "on", "off", "y", "n"].contains(&text.to_ascii_lowercase().as_str());
    if plain { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}

fn line(text: &mut String, line: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{}", line.trim_end());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{Contract, differences};
    use proptest::prelude::*;

    /// The draft loads, and agrees with what it was made from.
    fn check(exposed: &str) -> String {
        let exposition = Exposition::parse(exposed).unwrap();
        let text = draft("my job", &exposition);
        let mut findings = Vec::new();
        let contract = Contract::parse([("draft.yaml", text.as_str())], &mut findings);
        assert!(findings.is_empty(), "{findings:?}\n{text}");
        let mut differences = differences(&contract, "my job", &exposition);
        // A histogram without bounds, and a name of another form, are beyond the contract.
        differences.retain(|difference| !difference.message.starts_with("declared as untyped, exposed as histogram"));
        differences.retain(|difference| is_metric_name(&difference.metric));
        assert_eq!(differences, []);
        text
    }

    #[test]
    fn a_draft_holds_what_was_seen() {
        let text = check(
            "# HELP jobs_seconds Time.\n# TYPE jobs_seconds histogram\njobs_seconds_bucket{s=\"a\",le=\"0.5\"} 1\njobs_seconds_bucket{s=\"b\",t=\"\\n\",le=\"+Inf\"} 1\n# TYPE done_total counter\ndone_total 1\n# TYPE limit gauge\nlimit 1\n{\"a.b\"} 1\n",
        );
        let expected = "metrics:
  # Time.
  jobs_seconds:
    type: histogram
    unit: seconds
    jobs: [\"my job\"]
    emitted: live
    labels:
      s: {}  # \"a\", \"b\"
      t: {optional: true}  # \"\\n\"
    buckets: [0.5]
  done_total:
    type: counter
    unit: done
    jobs: [\"my job\"]
    emitted: live
  limit:
    type: gauge
    unit: mixed  # say what it counts, if that is one thing
    jobs: [\"my job\"]
    emitted: live
  # Left out, since its name is not of the classic form: \"a.b\"
";
        assert!(text.ends_with(expected), "{text}");
        assert!(check("").ends_with("metrics: {}\n"));
    }

    #[test]
    fn a_label_that_is_only_written_in_quotes_is_left_out() {
        let left_out = |labels: &str| {
            let text = draft("j", &Exposition::parse(&format!("m{{{labels}}} 1\n")).unwrap());
            let mut findings = Vec::new();
            Contract::parse([("draft.yaml", text.as_str())], &mut findings);
            assert_eq!(findings, [], "{text}");
            text
        };
        let only = left_out("\"0.b\"=\"x\"");
        let expected = "    labels: {}\n      # Left out, since its name is not of the classic form: \"0.b\"\n";
        assert!(only.ends_with(expected), "{only}");
        assert!(left_out("a=\"y\",\"0.b\"=\"x\"").contains("    labels:\n      # Left out"));
    }

    proptest! {
        #[test]
        fn every_draft_loads(
            name in "[a-z_:]{1,6}(_total|_info|_sum|_seconds)?",
            kind in "(counter|gauge|histogram|summary|info)",
            label in "(null|on|le|[a-z_]{1,3})",
            value in "[ -~é]{0,5}",
            help in "[ -~]{0,9}",
        ) {
            let value = format!("{value:?}");
            check(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n{name}{{{label}={value}}} 1\n"));
        }
    }
}
