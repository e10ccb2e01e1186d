//! `sources:` in the values: a monitor for each exporter, with the environment's namespace on its series.

use anyhow::{Context as _, Result, ensure};
use serde_yaml::Value;

use super::rendered::{Rendered, text_at};
use super::{Case, Context, typed};
use crate::tools::Tool;

/// Kind in the values, part of the object's name, job, and the port's usual name.
const EXPORTERS: [(&str, &str, &str, &str); 4] = [
    ("ingressNginx", "ingress-nginx", "ingress-nginx", "metrics"),
    ("postgres", "postgres", "postgres-exporter", "http"),
    ("redis", "redis", "redis-exporter", "redis-exporter"),
    ("sql", "sql", "sql-exporter", "http"),
];

pub(super) fn cases() -> Vec<Case> {
    Case::for_both(&[
        ("sources: none by default", |context, helm| {
            let rendered = Rendered::template(context, helm, &[])?;
            ensure!(rendered.of_kind("ScrapeConfig").is_empty() && rendered.of_kind("Probe").is_empty(), "objects");
            ensure!(infos(&rendered).is_empty(), "series");
            Ok(())
        }),
        ("sources: exporters by selector and by address", exporters),
        ("sources: probes", probes),
        ("sources: values that cannot work are refused", refusals),
    ])
}

/// The (source, namespace) pairs of gorax:source:info.
fn infos(rendered: &Rendered) -> Vec<(String, String)> {
    let rules = rendered.rules().into_iter().filter(|rule| rule["record"] == "gorax:source:info");
    let of = |rule: &Value, label: &str| text_at(&rule["labels"], label).to_owned();
    rules.map(|rule| (of(rule, "source"), of(rule, "namespace"))).collect()
}

fn exporters(context: &Context, helm: Tool) -> Result<()> {
    for (kind, object, job, port) in EXPORTERS {
        // In a named environment, and in one that is discovered, whose name is its namespace.
        for (environments, environment) in
            [("{production: {namespace: gorax-prod}}", "production"), ("{}", "gorax-prod")]
        {
            let values = format!(
                "
gorax: {{environments: {environments}}}
sources:
  {kind}:
    near: {{environment: {environment}, selector: {{matchLabels: {{app: exporter}}}}}}
    far: {{environment: {environment}, address: 'exporter.example.org:9000', path: /m, interval: 1m}}
    other: {{environment: {environment}, namespace: db, port: web, selector: {{matchLabels: {{app: exporter}}}}}}
"
            );
            let rendered = Rendered::values(context, helm, &values)?;
            typed::check(&context.model, &rendered)?;
            let spec = |name: &str| -> Result<&Value> {
                Ok(&rendered.named(&format!("gorax-monitoring-source-{object}-{name}"))?["spec"])
            };
            let (near, far, other) = (spec("near")?, spec("far")?, spec("other")?);
            let endpoint = &near["endpoints"][0];
            ensure!(near["namespaceSelector"]["matchNames"] == Value::from(vec!["gorax-prod"]), "{kind}: namespace");
            ensure!(text_at(endpoint, "port") == port && text_at(endpoint, "path") == "/metrics", "{kind}: port, path");
            ensure!(other["namespaceSelector"]["matchNames"] == Value::from(vec!["db"]), "{kind}: its own namespace");
            ensure!(text_at(&other["endpoints"][0], "port") == "web", "{kind}: its own port");
            ensure!(
                far["staticConfigs"][0]["targets"] == Value::from(vec!["exporter.example.org:9000"]),
                "{kind}: target"
            );
            ensure!(
                text_at(far, "metricsPath") == "/m" && text_at(far, "scrapeInterval") == "1m",
                "{kind}: path, interval"
            );
            for relabeled in [endpoint, far, &other["endpoints"][0]] {
                for (label, value) in [("job", job), ("namespace", "gorax-prod")] {
                    let rules = relabeled["relabelings"].as_sequence().context("no relabelings")?;
                    let rule = rules.iter().find(|rule| text_at(rule, "targetLabel") == label);
                    ensure!(
                        rule.is_some_and(|rule| text_at(rule, "replacement") == value),
                        "{kind}: the label {label}"
                    );
                }
                let kept = &relabeled["metricRelabelings"][0];
                let keeps = text_at(kept, "action") == "keep" && text_at(kept, "regex") == "gorax-prod";
                ensure!(keeps == (kind == "ingressNginx"), "{kind}: one controller serves many namespaces");
            }
            ensure!(infos(&rendered) == [(kind.to_owned(), "gorax-prod".to_owned())], "{kind}: {:?}", infos(&rendered));
        }
    }
    Ok(())
}

fn probes(context: &Context, helm: Tool) -> Result<()> {
    let values = "
sources:
  blackbox:
    ready: {environment: gorax-prod, address: 'blackbox.monitoring:9115', urls: ['http://gorax-api.gorax-prod/ready']}
";
    let rendered = Rendered::values(context, helm, values)?;
    typed::check(&context.model, &rendered)?;
    let spec = &rendered.named("gorax-monitoring-source-blackbox-ready")?["spec"];
    ensure!(text_at(&spec["prober"], "url") == "blackbox.monitoring:9115", "prober");
    let targets = &spec["targets"]["staticConfig"];
    ensure!(targets["static"] == Value::from(vec!["http://gorax-api.gorax-prod/ready"]), "targets");
    ensure!(text_at(&targets["labels"], "namespace") == "gorax-prod", "namespace");
    ensure!(infos(&rendered) == [("blackbox".to_owned(), "gorax-prod".to_owned())], "series");
    Ok(())
}

fn refusals(context: &Context, helm: Tool) -> Result<()> {
    for (set, expected) in [
        ("sources.redis.a.environment=x", "set sources.redis.a.selector.matchLabels to the labels of its Service"),
        ("sources.redis.a.address=h:1", "sources.redis.a belongs to no environment: set sources.redis.a.environment"),
        (
            "sources.redis.a.environment=x,sources.redis.a.address=h:1,sources.redis.a.selector.matchLabels.a=b",
            "sources.redis.a has selector and address: keep the one",
        ),
        (
            "sources.redis.a.environment=x,sources.redis.a.address=h:1,gorax.environments.production.namespace=y",
            "sources.redis.a.environment is \"x\": there is no such environment; there are production",
        ),
        ("sources.blackbox.a.environment=x,sources.blackbox.a.address=h:1", "sources.blackbox.a probes nothing"),
    ] {
        let refused = Rendered::refused(context, helm, &["--set", set, "--skip-schema-validation"])?;
        ensure!(refused.contains(expected), "{set}: {refused}");
    }
    // An address without a port, and a selector without labels, are the schema's to refuse.
    for set in ["sources.redis.a.address=host", "sources.redis.a.selector=", "sources.kafka.a.environment=x"] {
        Rendered::refused(context, helm, &["--set", set])?;
    }
    Ok(())
}
