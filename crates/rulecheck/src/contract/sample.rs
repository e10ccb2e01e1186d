//! What a target would expose if everything that the contract declares for its job were recorded: tests read it where
//! no program does that yet.

use std::fmt::Write as _;

use regex_syntax::hir::{Class, Hir, HirKind};

use super::{Contract, Kind, LabelValues, Metric};

/// One scrape of a job in the text format 0.0.4, with each combination of closed label values, and one example of each
/// open one.
pub fn sample(contract: &Contract, job: &str) -> String {
    let mut text = String::new();
    for (name, metric) in contract.metrics.iter().filter(|(_, metric)| metric.jobs.iter().any(|of| of == job)) {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "# TYPE {name} {}", if metric.kind == Kind::Info { Kind::Gauge } else { metric.kind });
        for labels in combinations(metric) {
            series(&mut text, name, metric, &labels);
        }
    }
    text
}

fn series(text: &mut String, name: &str, metric: &Metric, labels: &[String]) {
    let mut add = |suffix: &str, more: Option<String>, value: f64| {
        let labels: Vec<String> = labels.iter().cloned().chain(more).collect();
        let braces = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(text, "{name}{suffix}{braces} {value}");
    };
    match metric.kind {
        Kind::Histogram => {
            for bound in &metric.buckets {
                add("_bucket", Some(format!("le=\"{bound}\"")), 1.0);
            }
            add("_bucket", Some("le=\"+Inf\"".to_owned()), 1.0);
            add("_sum", None, metric.buckets.first().copied().unwrap_or_default());
            add("_count", None, 1.0);
        }
        Kind::Summary => {
            add("", Some("quantile=\"0.5\"".to_owned()), 1.0);
            add("_sum", None, 1.0);
            add("_count", None, 1.0);
        }
        _ => add("", None, metric.value.unwrap_or(1.0)),
    }
}

/// Every combination of label values, each label as `name="value"`.
fn combinations(metric: &Metric) -> Vec<Vec<String>> {
    let mut combinations = vec![Vec::new()];
    for (label, values) in &metric.labels {
        let values: Vec<String> =
            examples(values).iter().map(|value| format!("{label}=\"{}\"", escape(value))).collect();
        combinations = combinations
            .iter()
            .flat_map(|before| values.iter().map(|value| [before.as_slice(), std::slice::from_ref(value)].concat()))
            .collect();
    }
    combinations
}

fn examples(label: &LabelValues) -> Vec<String> {
    match (&label.values, &label.pattern) {
        (Some(values), _) => values.clone(),
        (None, Some(pattern)) => {
            let mut example = String::new();
            if let Ok(hir) = regex_syntax::parse(pattern) {
                write_example(&hir, &mut example);
            }
            vec![example]
        }
        (None, None) => vec!["example".to_owned()],
    }
}

/// A text that a pattern matches: of every choice the first, of every repetition the fewest.
fn write_example(hir: &Hir, example: &mut String) {
    match hir.kind() {
        HirKind::Literal(literal) => example.push_str(&String::from_utf8_lossy(&literal.0)),
        HirKind::Class(Class::Unicode(class)) => {
            let first: Vec<char> = class.iter().map(|range| range.start()).collect();
            // A letter or a digit reads better than the sign that may stand before it.
            let readable = first.iter().find(|c| c.is_ascii_alphanumeric());
            example.extend(readable.or(first.first()));
        }
        HirKind::Class(Class::Bytes(class)) => {
            example.extend(class.iter().next().map(|range| char::from(range.start())));
        }
        HirKind::Repetition(repetition) => {
            (0..repetition.min).for_each(|_| write_example(&repetition.sub, example));
        }
        HirKind::Capture(capture) => write_example(&capture.sub, example),
        HirKind::Concat(parts) => parts.iter().for_each(|part| write_example(part, example)),
        HirKind::Alternation(choices) => choices.iter().take(1).for_each(|choice| write_example(choice, example)),
        HirKind::Empty | HirKind::Look(_) => {}
    }
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::differences;
    use crate::exposition::Exposition;

    #[test]
    fn a_sample_agrees_with_its_contract() {
        let text = "jobs:\n  j: {scrape_interval: 15s}\nmetrics:
  a_total: {type: counter, unit: x, jobs: [j], emitted: live, labels: {s: {values: [a, 'b\"\\']}, t: {values: [c, d]}, u: {pattern: '(x|y)[0-9-]{3}[^a-z]?\\.'}, v: {}}}
  h: {type: histogram, unit: seconds, jobs: [j], emitted: live, buckets: [0.5, 10]}
  s: {type: summary, unit: seconds, jobs: [j], emitted: live}
  i: {type: info, unit: ratio, jobs: [j], emitted: constant, value: 3}
  other: {type: gauge, unit: x, jobs: [], emitted: live}
";
        let mut findings = Vec::new();
        let contract = Contract::parse([("m.yaml", text)], &mut findings);
        assert!(findings.is_empty(), "{findings:?}");
        let sample = sample(&contract, "j");
        let exposition = Exposition::parse(&sample).unwrap();
        assert_eq!(differences(&contract, "j", &exposition), [], "{sample}");
        let counts: Vec<(&str, usize)> =
            exposition.families.iter().map(|family| (family.name.as_str(), family.samples.len())).collect();
        assert_eq!(counts, [("a_total", 4), ("h", 5), ("i", 1), ("s", 3)]);
        assert!(sample.contains("u=\"x000.\",v=\"example\""), "{sample}");
    }
}
