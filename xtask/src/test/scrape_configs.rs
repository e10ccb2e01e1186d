//! `gorax.scrape.additionalScrapeConfigs`: the API's scraping as plain Prometheus configuration.

use anyhow::{Context as _, Result, ensure};
use serde_yaml::Value;
use xshell::cmd;

use super::prometheus::run;
use super::relabel::Labels;
use super::rendered::{Rendered, text_at};
use super::targets::{self, Deployed, Found};
use super::{Case, Context};
use crate::tools::{HELM3, HELM4, PROMTOOL, Tool};

const NAME: &str = "gorax-monitoring-additional-scrape-configs";

/// Everything that the scrape settings can put into a configuration.
const SETTINGS: &str = "
gorax:
  scrape:
    additionalScrapeConfigs: {enabled: true}
    sampleLimit: 1000000
    dropWorkflowBuckets: true
    relabelings: [{targetLabel: team, replacement: flows}, {action: Drop, sourceLabels: [pod], regex: 'x.*'}]
    metricRelabelings: [{action: labeldrop, regex: pod}]
    tls:
      enabled: true
      ca: {secret: gorax-ca, key: ca.crt}
      cert: {secret: gorax-client, key: tls.crt}
      key: {secret: gorax-client, key: tls.key}
      serverName: gorax.example.org
      insecureSkipVerify: true
";

pub(super) fn cases(context: &Context) -> Vec<Case> {
    let mut cases = Case::for_both(&[
        ("additional scrape configs: they find what the monitors find, with the same labels", same_targets),
        ("additional scrape configs: every scrape setting is in them", settings),
    ]);
    for helm in [HELM3, HELM4] {
        let name = format!("promtool check config on what {} renders of the additional scrape configs", helm.name);
        cases.push(Case::new(name, &[PROMTOOL, helm], move |context| promtool(context, helm)));
        for subject in &context.full {
            let archive = subject.archive.clone();
            let name = format!("{} full edition with the {}: additional scrape configs", helm.name, subject.name);
            cases.push(Case::new(name, &[helm], move |context| full(context, helm, &archive)));
        }
    }
    cases
}

/// The scrape configurations that a render holds; none where they are not asked for.
pub(super) fn of(rendered: &Rendered) -> Result<Vec<Value>> {
    let Ok(secret) = rendered.named(NAME) else { return Ok(Vec::new()) };
    serde_yaml::from_str(text_at(&secret["stringData"], "gorax.yaml")).context("reading the scrape configurations")
}

fn same_targets(context: &Context, helm: Tool) -> Result<()> {
    let model = targets::model()?;
    let mut environments = vec![String::new()];
    for Deployed { name, namespace, layout, .. } in model.iter().filter(|deployed| deployed.layout != "none") {
        environments.push(format!("{name}: {{namespace: {namespace}, layout: {layout}}}"));
    }
    // All of them at once, and selectors with every operator.
    let all = environments[1..].join(", ");
    environments.push(all);
    for expression in [
        "{key: component, operator: In, values: [api, web]}",
        "{key: component, operator: NotIn, values: [web, worker]}",
        "{key: environment, operator: Exists}",
        "{key: environment, operator: DoesNotExist}",
    ] {
        environments.push(format!(
            "own: {{namespace: gorax-prod, layout: custom, selector: {{matchLabels: {{app: gorax}}, matchExpressions: [{expression}]}}}}"
        ));
    }
    for environments in environments {
        let labels = |enabled: bool| -> Result<Vec<Labels>> {
            let values = format!(
                "gorax: {{environments: {{{environments}}}, scrape: {{additionalScrapeConfigs: {{enabled: {enabled}}}, relabelings: [{{targetLabel: team, replacement: flows}}]}}}}"
            );
            let rendered = Rendered::values(context, helm, &values)?;
            ensure!(rendered.of_kind("ServiceMonitor").is_empty() == enabled, "targets would be scraped twice");
            Ok(targets::found(&rendered, &model)?.iter().map(Found::series_labels).collect())
        };
        let (monitors, plain) = (labels(false)?, labels(true)?);
        ensure!(monitors == plain, "{environments}: monitors {monitors:#?}, plain {plain:#?}");
        let none = environments.contains("DoesNotExist");
        ensure!(monitors.is_empty() == none, "{environments}: the comparison is one of {} targets", monitors.len());
    }
    Ok(())
}

fn settings(context: &Context, helm: Tool) -> Result<()> {
    let plain = Rendered::template(context, helm, &["--set", "gorax.scrape.additionalScrapeConfigs.enabled=true"])?;
    ensure!(plain.of_kind("ServiceMonitor").is_empty(), "every target would be scraped twice");
    let jobs = of(&plain)?;
    ensure!(jobs.len() == 1 && text_at(&jobs[0], "job_name") == "gorax-api", "{jobs:?}");
    ensure!(jobs[0]["sample_limit"] == 200_000 && jobs[0]["label_limit"] == 64, "limits");
    ensure!(jobs[0].get("tls_config").is_none() && text_at(&jobs[0], "scheme") == "http", "TLS is off by default");
    let jobs = of(&Rendered::values(context, helm, SETTINGS)?)?;
    let tls: Value = serde_yaml::from_str(
        "{ca_file: /etc/prometheus/secrets/gorax-ca/ca.crt, cert_file: /etc/prometheus/secrets/gorax-client/tls.crt, \
         key_file: /etc/prometheus/secrets/gorax-client/tls.key, server_name: gorax.example.org, \
         insecure_skip_verify: true}",
    )?;
    ensure!(jobs[0]["tls_config"] == tls, "{:?}", jobs[0]["tls_config"]);
    ensure!(text_at(&jobs[0], "scheme") == "https" && jobs[0]["sample_limit"] == 1_000_000, "{jobs:?}");
    let relabelings = jobs[0]["relabel_configs"].as_sequence().context("no relabelings")?;
    ensure!(relabelings.last().is_some_and(|last| text_at(last, "regex") == "x.*"), "relabelings");
    Rendered::refused(context, helm, &["--set", "gorax.scrape.additionalScrapeConfigs.secret=x"])?;
    let dropped = jobs[0]["metric_relabel_configs"].as_sequence().context("no metric relabelings")?;
    ensure!(dropped.len() == 2 && text_at(&dropped[1], "action") == "labeldrop", "metricRelabelings");
    Ok(())
}

fn promtool(context: &Context, helm: Tool) -> Result<()> {
    let promtool = context.tool(PROMTOOL)?;
    let environments = "
gorax:
  scrape: {additionalScrapeConfigs: {enabled: true}}
  environments:
    production: {namespace: gorax-prod, namePrefix: prod-}
    own: {namespace: own, layout: custom, selector: {matchExpressions: [{key: app.kubernetes.io/name, operator: NotIn, values: [a.b]}]}}
";
    for values in ["gorax: {scrape: {additionalScrapeConfigs: {enabled: true}}}", environments, SETTINGS] {
        let rendered = Rendered::values(context, helm, values)?;
        let configuration = format!("scrape_configs:\n{}", text_at(&rendered.named(NAME)?["stringData"], "gorax.yaml"));
        let file = context.temporary.path().join("prometheus.yaml");
        context.shell.write_file(&file, configuration)?;
        // The certificates are files of a Prometheus' pod.
        let syntax = values.contains("tls").then_some("--syntax-only");
        run(cmd!(context.shell, "{promtool} check config --lint=all --lint-fatal {syntax...} {file}"))?;
    }
    Ok(())
}

/// The bundled Prometheus must be told to read them, or nothing scrapes Gorax.
fn full(context: &Context, helm: Tool, archive: &std::path::Path) -> Result<()> {
    let enabled = "gorax.scrape.additionalScrapeConfigs.enabled=true";
    let asked = "kube-prometheus-stack.prometheus.prometheusSpec.additionalScrapeConfigsSecret";
    let told = |name: &str, key: &str| format!("{enabled},{asked}.enabled=true,{asked}.name={name},{asked}.key={key}");
    let expected = format!("set {asked} to {{enabled: true, name: {NAME}, key: gorax.yaml}}");
    for set in [enabled.to_owned(), told("other", "gorax.yaml"), told(NAME, "other")] {
        let refused = Rendered::chart_refused(context, helm, archive, &["--set", &set])?;
        ensure!(refused.contains(&expected), "{set}: {refused}");
    }
    let set = told(NAME, "gorax.yaml");
    let rendered = Rendered::chart(context, helm, archive, "gorax-monitoring", &["--set", &set])?;
    ensure!(rendered.named("gorax-monitoring-api").is_err(), "every target would be scraped twice");
    ensure!(of(&rendered)?.len() == 1, "no scrape configuration");
    Ok(())
}
