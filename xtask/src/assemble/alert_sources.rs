//! `chart/files/alert-sources.yaml`: the alerts that are silent without a source of `sources:` in the values, and those
//! that wait for metrics which Gorax does not record yet. The chart's notes and configuration series are rendered from it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use rulecheck::Contract;
use rulecheck::contract::Emitted;
use rulecheck::needs::{Alternative, Need, needs};
use serde::Serialize;

use crate::model::Model;

/// The kinds of `sources:`, and the workers' probe, and the job whose name the chart gives their targets, by which the
/// metric contract knows them. Everything else that metrics come from is there wherever a Prometheus stack and Gorax are.
pub const SOURCES: [(&str, &str); 6] = [
    ("blackbox", "blackbox"),
    ("ingressNginx", "ingress-nginx"),
    ("postgres", "postgres-exporter"),
    ("redis", "redis-exporter"),
    ("sql", "sql-exporter"),
    ("workerProbe", "gorax-worker-health"),
];

/// The label in which a program's own namespace arrives unless its monitor honours labels.
const EXPORTED: &str = "exported_namespace";

#[derive(Debug, Serialize)]
struct File<'a> {
    /// By alert.
    waiting: BTreeMap<&'a str, Waiting<'a>>,
    /// By alert.
    uninstrumented: BTreeMap<&'a str, Uninstrumented<'a>>,
}

#[derive(Debug, Serialize)]
struct Waiting<'a> {
    group: &'a str,
    severity: &'a str,
    /// Any of them will do.
    alternatives: BTreeSet<Sources>,
}

#[derive(Debug, Serialize)]
struct Uninstrumented<'a> {
    group: &'a str,
    severity: &'a str,
    /// What Gorax does not record.
    series: BTreeSet<String>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Sources {
    /// The kinds that are needed together.
    sources: BTreeSet<&'static str>,
    /// PromQL: the namespaces where their series are seen, whoever scrapes them.
    seen: String,
}

/// The file's text.
pub fn render(model: &Model) -> Result<String> {
    let mut file = File { waiting: BTreeMap::new(), uninstrumented: BTreeMap::new() };
    for (_, group, rule) in model.alerts() {
        let severity = rule.labels.get("severity").map(String::as_str).unwrap_or_default();
        let all = needs(&rule.ast, &model.rules).map_err(anyhow::Error::msg);
        let all = all.with_context(|| format!("deriving the sources of {}", rule.subject()))?;
        let is_dark = |need: &&Need| is_dark(&model.contract, need);
        let mut lit = all.iter().filter(|alternative| !alternative.iter().any(|need| is_dark(&need))).peekable();
        if lit.peek().is_none() {
            let series = all.iter().flatten().filter(is_dark).map(|need| need.series.clone()).collect();
            file.uninstrumented.insert(&rule.name, Uninstrumented { group, severity, series });
            continue;
        }
        let alternatives: BTreeSet<Sources> = lit.map(|alternative| sources(&model.contract, alternative)).collect();
        if alternatives.iter().all(|alternative| !alternative.sources.is_empty()) {
            file.waiting.insert(&rule.name, Waiting { group, severity, alternatives });
        }
    }
    let header = "# Made by `cargo xtask assemble` from alerts/ and metrics/; edit those.\n";
    Ok(header.to_owned() + &serde_yaml::to_string(&file).context("writing files/alert-sources.yaml")?)
}

fn is_dark(contract: &Contract, need: &Need) -> bool {
    contract.metric(&need.series).is_some_and(|(metric, _)| metric.emitted == Emitted::Dark)
}

/// What of an alternative only sources bring.
fn sources(contract: &Contract, alternative: &Alternative) -> Sources {
    let brought = alternative.iter().filter_map(|need| Some((kind(contract, need)?, need)));
    let (sources, seen): (BTreeSet<_>, Vec<_>) = brought.map(|(kind, need)| (kind, seen(contract, need))).unzip();
    Sources { sources, seen: seen.join(" and on (namespace) ") }
}

/// The kind of source that all jobs of a series belong to.
fn kind(contract: &Contract, need: &Need) -> Option<&'static str> {
    let of = |job: &str| SOURCES.iter().find(|(_, known)| *known == job).map(|(kind, _)| *kind);
    if let Some(job) = &need.job {
        return of(job);
    }
    let jobs = &contract.metric(&need.series)?.0.jobs;
    let kind = of(jobs.first()?)?;
    jobs.iter().all(|job| of(job) == Some(kind)).then_some(kind)
}

/// The namespaces of a series: its own, and the one that it was exported with where its program knows namespaces.
fn seen(contract: &Contract, need: &Need) -> String {
    let Need { series, job } = need;
    let series = job.as_ref().map_or_else(|| series.clone(), |job| format!("{series}{{job=\"{job}\"}}"));
    let own = format!("group by (namespace) ({series})");
    let exports = contract.metric(&need.series).is_some_and(|(metric, _)| metric.labels.contains_key(EXPORTED));
    if !exports {
        return own;
    }
    let exported = format!("group by ({EXPORTED}) ({series})");
    format!("({own} or label_replace({exported}, \"namespace\", \"$1\", \"{EXPORTED}\", \"(.+)\"))")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rulecheck::RuleFile;
    use rulecheck::query::parse_expr;
    use std::path::Path;

    const CONTRACT: &str = "
jobs:
  gorax-api: {scrape_interval: 15s}
  redis-exporter: {scrape_interval: 15s}
  ingress-nginx: {scrape_interval: 15s}
metrics:
  live: {type: gauge, unit: things, jobs: [gorax-api], emitted: live}
  dark: {type: gauge, unit: things, jobs: [gorax-api], emitted: dark}
  redis: {type: gauge, unit: things, jobs: [redis-exporter], emitted: optional}
  ingress: {type: gauge, unit: things, jobs: [ingress-nginx], emitted: optional, labels: {exported_namespace: {}}}
  both: {type: gauge, unit: things, jobs: [gorax-api, redis-exporter], emitted: optional}
";

    /// The file for one alert of that expression, without its header.
    fn derived(expr: &str) -> serde_yaml::Value {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut model = Model::parse(&crate::sources::Sources::read(root).unwrap()).unwrap();
        let rules = format!(
            "groups:\n  - name: g\n    rules:\n      - {{alert: A, expr: '{expr}', labels: {{severity: info}}}}\n"
        );
        model.rules = RuleFile::parse("r.yaml", &rules, &mut Vec::new()).into_iter().collect();
        model.contract = Contract::parse([("m.yaml", CONTRACT)], &mut Vec::new());
        serde_yaml::from_str(&render(&model).unwrap()).unwrap()
    }

    fn waits_for(expr: &str) -> String {
        let file = derived(expr);
        let alternatives = file["waiting"]["A"]["alternatives"].as_sequence().cloned().unwrap_or_default();
        let kinds = alternatives.iter().map(|alternative| {
            parse_expr(alternative["seen"].as_str().unwrap()).unwrap();
            let kinds = alternative["sources"].as_sequence().unwrap().iter();
            kinds.map(|kind| kind.as_str().unwrap()).collect::<Vec<_>>().join("+")
        });
        kinds.collect::<Vec<_>>().join(" or ")
    }

    #[test]
    fn an_alert_waits_for_a_source_where_every_lit_alternative_needs_one() {
        for (expr, expected) in [
            ("redis == 0", "redis"),
            ("live > 0", ""),
            ("redis == 0 or live == 0", ""),
            ("dark or ingress", "ingressNginx"),
            ("redis and ingress", "ingressNginx+redis"),
            ("redis or ingress", "ingressNginx or redis"),
            ("both", ""),
            ("up{job=\"redis-exporter\"} == 0", "redis"),
            ("up == 0", ""),
            ("dark", ""),
        ] {
            assert_eq!(waits_for(expr), expected, "{expr}");
        }
    }

    #[test]
    fn an_alert_is_uninstrumented_where_every_alternative_is_dark() {
        assert_eq!(derived("dark and redis")["uninstrumented"]["A"]["series"][0], "dark");
        assert!(derived("dark or redis")["uninstrumented"].get("A").is_none());
    }

    #[test]
    fn series_count_where_they_were_exported() {
        let file = derived("ingress");
        let seen = file["waiting"]["A"]["alternatives"][0]["seen"].as_str().unwrap();
        assert!(seen.contains("label_replace(group by (exported_namespace) (ingress)"), "{seen}");
    }
}
