//! How long checking takes, from text to findings: 100, 1,000 and 10,000 rules against a contract of 5,000 metrics.
//! `cargo bench --package rulecheck`. A line a size; the time per rule should not grow with the size.

use std::fmt::Write as _;
use std::hint::black_box;
use std::io::Write as _;
use std::time::{Duration, Instant};

use rulecheck::{Contract, RuleFile, Settings, checks};

const METRICS: usize = 5_000;
const SIZES: [usize; 3] = [100, 1_000, 10_000];
const RUNS: usize = 5;

/// The shapes that rule files are made of, with `{n}` for a metric's number.
const EXPRESSIONS: [&str; 6] = [
    "sum by (namespace) (rate(m{n}_total{status!=\"success\"}[5m])) / sum by (namespace) (rate(m{n}_total[5m])) > 0.1",
    "histogram_quantile(0.95, sum by (namespace, le) (rate(h{n}_seconds_bucket[5m]))) > 2",
    "max by (namespace, pod) (g{n}_bytes) / on (namespace, pod) max by (namespace, pod) (g{n}_bytes offset 1h) > 1.5",
    "sum by (namespace) (increase(m{n}_total{status=~\"failed|error\"}[10m])) > 5 and on (namespace) up{job=\"job-1\"} == 1",
    "label_replace(g{n}_bytes, \"owner\", \"$1\", \"pod\", \"(.+)-[a-z0-9]+\") unless on (namespace) m{n}_total",
    "avg_over_time(g{n}_bytes[15m]) > 1e9 or on () vector(0) > 1",
];

fn main() {
    let contract = contract();
    let mut out = std::io::stdout();
    let _ = writeln!(out, "{:>7} rules {:>12} {:>14} {:>10}", "", "median", "per rule", "findings");
    for size in SIZES {
        let text = rules(size);
        let mut findings = 0;
        let mut times: Vec<Duration> = (0..RUNS)
            .map(|_| {
                let start = Instant::now();
                findings = check(&contract, black_box(&text));
                start.elapsed()
            })
            .collect();
        times.sort();
        let median = times[RUNS / 2];
        let per_rule = median / u32::try_from(size).unwrap_or(u32::MAX);
        let _ = writeln!(out, "{size:>7} rules {median:>12.1?} {per_rule:>14.1?} {findings:>10}");
    }
}

fn check(contract: &str, rules: &str) -> usize {
    let mut findings = Vec::new();
    let contract = Contract::parse([("metrics.yaml", contract)], &mut findings);
    let files: Vec<RuleFile> = RuleFile::parse("rules.yaml", rules, &mut findings).into_iter().collect();
    assert!(findings.is_empty() && !files.is_empty(), "the generated files must be readable");
    checks::run(&files, &[], &[], &contract, &Settings::default()).len()
}

fn contract() -> String {
    let mut text = "jobs:\n".to_owned();
    for job in 0..10 {
        let _ = writeln!(text, "  job-{job}: {{scrape_interval: 15s, target_labels: [namespace, pod, instance]}}");
    }
    text.push_str("metrics:\n");
    for n in 0..METRICS / 3 {
        let common = format!("jobs: [job-{}], emitted: live", n % 10);
        let status = "labels: {status: {values: [success, failed, error]}, tenant: {pattern: \"[0-9a-f-]{36}\", cardinality: 50}}";
        let _ = writeln!(text, "  m{n}_total: {{type: counter, unit: events, {common}, {status}}}");
        let _ = writeln!(text, "  g{n}_bytes: {{type: gauge, unit: bytes, {common}}}");
        let _ = writeln!(
            text,
            "  h{n}_seconds: {{type: histogram, unit: seconds, {common}, buckets: [0.1, 0.5, 1, 2, 5, 10]}}"
        );
    }
    text
}

fn rules(size: usize) -> String {
    let mut text = "groups:\n".to_owned();
    for n in 0..size {
        if n % 20 == 0 {
            let _ = writeln!(text, "  - name: g{n}\n    interval: 30s\n    rules:");
        }
        let expr = EXPRESSIONS[n % EXPRESSIONS.len()].replace("{n}", &(n % (METRICS / 3)).to_string());
        let _ = writeln!(
            text,
            "      - alert: Alert{n}\n        expr: |\n          {expr}\n        for: 5m\n        labels: {{severity: warning}}\n        annotations: {{summary: \"{{{{ $labels.namespace }}}} is at {{{{ $value }}}}\"}}"
        );
    }
    text
}
