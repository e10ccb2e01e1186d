//! `gorax.worker.probe`: every worker's /health, asked through a blackbox exporter.

use anyhow::{Context as _, Result, ensure};
use serde_yaml::Value;

use super::rendered::{Rendered, text_at};
use super::targets::{self, Deployed, Found, Target};
use super::{Case, Context, typed};
use crate::tools::Tool;

pub(super) fn cases() -> Vec<Case> {
    Case::for_both(&[
        ("worker probe: each worker of every layout is asked once, through the exporter", each_once),
        ("worker probe: it takes its environment's exporter", prober),
        ("worker probe: values that cannot work are refused", refusals),
    ])
}

fn each_once(context: &Context, helm: Tool) -> Result<()> {
    let model = targets::model()?;
    let environment = |name: &str, namespace: &str, rest: &str| format!("{name}: {{namespace: {namespace}, {rest}}}");
    let custom = "layout: custom, selector: {matchLabels: {app: gorax-api}}, workerSelector: {matchLabels: {app: gorax-worker}}, workerPort: health";
    for deployed in model.iter().filter(|deployed| deployed.layout != "none") {
        let Deployed { name, namespace, layout, .. } = deployed;
        let mut environments = vec![environment(name, namespace, &format!("layout: {layout}"))];
        environments.push(environment(name, namespace, "layout: auto"));
        // Discovery.
        environments.push(String::new());
        if layout == "deployment-guide" {
            environments.push(environment(name, namespace, custom));
        }
        for environment in environments {
            // Discovered environments are called by their namespaces.
            let source = if environment.is_empty() { namespace } else { name };
            let values = format!(
                "
gorax: {{worker: {{probe: {{enabled: true}}}}, environments: {{{environment}}}}}
sources: {{blackbox: {{main: {{environment: {source}, deploy: {{}}}}}}}}
"
            );
            let found = targets::found(&Rendered::values(context, helm, &values)?, &model)?;
            let probes: Vec<&Found> =
                found.iter().filter(|found| found.label("job") == "gorax-worker-health").collect();
            let everywhere = environment.is_empty();
            let expected: Vec<Target> = targets::worker_targets(&model, "gorax-worker-health")
                .into_iter()
                .filter(|(of, ..)| everywhere || of == namespace)
                .collect();
            let targets: Vec<Target> = probes.iter().map(|found| found.target()).collect();
            ensure!(targets == expected, "{values}: {targets:#?}");
            for probe in probes {
                for (label, value) in [
                    ("__address__", "gorax-monitoring-source-blackbox-main.monitoring.svc:9115"),
                    ("__param_target", "http://10.0.0.1:8081/health"),
                    ("__param_module", "http_2xx"),
                    ("__metrics_path__", "/probe"),
                    ("instance", "10.0.0.1:8081"),
                    ("pod", &format!("{}-0", probe.deployment)),
                ] {
                    ensure!(probe.label(label) == value, "{values}: {label} is {:?}", probe.label(label));
                }
            }
        }
    }
    Ok(())
}

fn prober(context: &Context, helm: Tool) -> Result<()> {
    let plain = Rendered::template(context, helm, &[])?;
    ensure!(plain.of_kind("PodMonitor").is_empty(), "off by default");
    let values = "
gorax:
  worker: {probe: {enabled: true, module: http_health, interval: 1m}}
  environments: {production: {namespace: gorax-prod}, staging: {namespace: gorax-staging}}
sources:
  blackbox:
    a: {environment: staging, address: 'blackbox.staging:9115'}
    b: {environment: production, address: 'blackbox.production:9115', urls: ['http://a']}
";
    let rendered = Rendered::values(context, helm, values)?;
    typed::check(&context.model, &rendered)?;
    for (environment, prober) in [("staging", "blackbox.staging:9115"), ("production", "blackbox.production:9115")] {
        let spec = &rendered.named(&format!("gorax-monitoring-probe-worker-{environment}"))?["spec"];
        for endpoint in spec["podMetricsEndpoints"].as_sequence().context("no endpoints")? {
            ensure!(!text_at(endpoint, "port").is_empty(), "without a port each of a pod's would be a target");
            ensure!(endpoint["params"]["module"] == Value::from(vec!["http_health"]), "module");
            ensure!(text_at(endpoint, "interval") == "1m", "interval");
            let relabelings = serde_yaml::to_string(&endpoint["relabelings"])?;
            ensure!(relabelings.contains(&format!("replacement: {prober}")), "{environment}: {relabelings}");
        }
    }
    // What has no URLs of its own serves the workers alone.
    let probes = rendered.of_kind("Probe");
    ensure!(probes.len() == 1 && probes[0]["metadata"]["name"] == "gorax-monitoring-source-blackbox-b", "{probes:?}");
    Ok(())
}

fn refusals(context: &Context, helm: Tool) -> Result<()> {
    for (set, expected) in [
        (
            "gorax.worker.probe.enabled=true",
            "set sources.blackbox.<name> to {environment: <namespace of Gorax>, deploy: {}}",
        ),
        (
            "gorax.worker.probe.enabled=true,gorax.environments.a.namespace=a,gorax.environments.x.namespace=x,sources.blackbox.b.environment=x,sources.blackbox.b.address=h:1",
            "set sources.blackbox.<name> to {environment: a, deploy: {}}",
        ),
        (
            "gorax.worker.probe.enabled=true,gorax.environments.a.namespace=a,gorax.environments.a.layout=custom,gorax.environments.a.selector.matchLabels.a=b,sources.blackbox.b.environment=a,sources.blackbox.b.address=h:1",
            "set gorax.environments.a.workerSelector.matchLabels, or switch gorax.worker.podMonitor and gorax.worker.probe off",
        ),
        ("gorax.worker.probe.path=/", "path"),
    ] {
        let refused = Rendered::refused(context, helm, &["--set", set])?;
        ensure!(refused.contains(expected), "{set}: {refused}");
    }
    Ok(())
}
