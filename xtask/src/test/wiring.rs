//! `gorax:` in the values: environments, scrape settings, workers, names, and what is refused.

use anyhow::{Context as _, Result, ensure};
use serde_yaml::Value;

use super::rendered::{Rendered, text_at};
use super::{Case, Context, typed};
use crate::tools::Tool;

pub(super) fn cases() -> Vec<Case> {
    Case::for_both(&[
        ("wiring: values that cannot work are refused", refusals),
        ("wiring: named environments", environments),
        ("wiring: scrape settings", scrape_settings),
        ("wiring: workers and a Service of our own", workers),
        ("wiring: selector labels and names", names),
        ("wiring: what the operator shall read are its own objects, all with the selector labels", operators_objects),
    ])
}

fn refusals(context: &Context, helm: Tool) -> Result<()> {
    for (set, by_schema, by_template) in [
        (
            "alerts.overrides.HighWorkflowFailureRat.threshold=1",
            "HighWorkflowFailureRat",
            "there is no such alert; the alerts are",
        ),
        ("alerts.groups.gorax_queues.enabled=false", "gorax_queues", "there is no such group; the groups are"),
        ("alerts.overrides.NoActiveWorkers.threshold=1", "threshold", "no number of the alert is marked `# threshold`"),
        ("alerts.overrides.HighHTTPLatency.thresholds.x=1", "x", "no number of the alert is marked `# threshold: x`"),
        ("alerts.overrides.HighHTTPLatency.threshold=$1 0.3", "threshold", "is \"$1 0.3\": a number is expected"),
        ("alerts.overrides.HighHTTPLatency.severity=page", "severity", "use info, warning or critical"),
        ("alerts.minSeverity=none", "minSeverity", "use info, warning or critical"),
        ("gorax.environments.a.namePrefix=x-", "namespace", "gorax.environments.a has no namespace: set"),
        (
            "gorax.environments.a.namespace=x,gorax.environments.b.namespace=x",
            "both in namespace x",
            "gorax.environments.a and gorax.environments.b are both in namespace x",
        ),
        ("gorax.metricsService.enabled=true", "needs named environments", "set gorax.environments.<name>.namespace"),
        (
            "gorax.metricsService.enabled=true,gorax.environments.a.namespace=x",
            "needs to know the labels",
            "set gorax.environments.a.layout to kustomize or deployment-guide",
        ),
        (
            "gorax.worker.podMonitor.enabled=true,gorax.environments.a.namespace=x,gorax.environments.a.layout=custom,gorax.environments.a.selector.matchLabels.a=b",
            "layout custom needs the labels of the workers' pods",
            "set gorax.environments.a.workerSelector.matchLabels",
        ),
        ("gorax.scrape.tls.cert.secret=s,gorax.scrape.tls.cert.key=k", "key", ""),
        ("gorax.layout=helm", "layout", "unknown layout \"helm\""),
        ("gorax.layout=custom", "", "layout custom needs the labels of the API's Service"),
    ] {
        let schema = Rendered::refused(context, helm, &["--set", set])?;
        ensure!(schema.contains(by_schema), "{set}: {schema}");
        if by_template.is_empty() {
            continue;
        }
        // Helm can be told to skip the schema; a slip must not pass in silence then either.
        let template = Rendered::refused(context, helm, &["--set", set, "--skip-schema-validation"])?;
        ensure!(template.contains(by_template), "{set}: {template}");
    }
    Ok(())
}

fn environments(context: &Context, helm: Tool) -> Result<()> {
    let values = "
gorax:
  environments:
    production: {namespace: gorax-prod, namePrefix: prod-, layout: kustomize, dbMaxOpenConnections: 20}
    guide: {namespace: gorax, layout: deployment-guide, service: gorax-api}
    own:
      namespace: flows
      layout: custom
      selector: {matchLabels: {team: flows}}
      port: metrics
      deployments: {api: flow-api, worker: flow-worker}
";
    let rendered = Rendered::values(context, helm, values)?;
    let spec = |name: &str| -> Result<&Value> { Ok(&rendered.named(&format!("gorax-monitoring-api-{name}"))?["spec"]) };
    ensure!(rendered.of_kind("ServiceMonitor").len() == 3, "one monitor for each environment");
    for (name, namespace, selector, port) in [
        ("production", "gorax-prod", "{matchLabels: {app: gorax, component: api}}", "http"),
        ("guide", "gorax", "{matchLabels: {app: gorax-api}}", "http"),
        ("own", "flows", "{matchLabels: {team: flows}}", "metrics"),
    ] {
        let spec = spec(name)?;
        ensure!(spec["namespaceSelector"]["matchNames"] == Value::from(vec![namespace]), "{name}: namespace");
        ensure!(spec["selector"] == serde_yaml::from_str::<Value>(selector)?, "{name}: {:?}", spec["selector"]);
        ensure!(text_at(&spec["endpoints"][0], "port") == port, "{name}: port");
        let relabelings = serde_yaml::to_string(&spec["endpoints"][0]["relabelings"])?;
        ensure!(relabelings.contains("replacement: gorax-api"), "{name}: the job is not forced to gorax-api");
    }
    let series: Vec<&Value> =
        rendered.rules().into_iter().filter(|rule| rule["record"] == "gorax:environment:info").collect();
    let of = |environment: &str| {
        series.iter().find(|rule| rule["labels"]["environment"] == environment).map(|rule| &rule["labels"])
    };
    let production = of("production").context("no series of production")?;
    ensure!(text_at(production, "worker_deployment") == "prod-gorax-worker", "the prefix makes the deployment's name");
    ensure!(text_at(production, "service") == "prod-gorax-api", "the prefix makes the Service's name");
    ensure!(text_at(of("own").context("no series of own")?, "api_deployment") == "flow-api", "deployments.api");
    let limits: Vec<&str> = rendered
        .rules()
        .into_iter()
        .filter(|rule| rule["record"] == "gorax:db_pool_limit:connections")
        .map(|rule| text_at(rule, "expr"))
        .collect();
    ensure!(limits == ["vector(150)", "vector(150)", "vector(20)"], "{limits:?}");
    Ok(())
}

fn scrape_settings(context: &Context, helm: Tool) -> Result<()> {
    let plain = Rendered::template(context, helm, &[])?;
    let spec = &plain.named("gorax-monitoring-api")?["spec"];
    ensure!(spec["sampleLimit"] == 200_000 && spec["labelLimit"] == 64, "limits");
    let values = "
gorax:
  scrape:
    interval: 30s
    timeout: 5s
    sampleLimit: 0
    dropWorkflowBuckets: true
    tls:
      enabled: true
      ca: {secret: gorax-ca, key: ca.crt}
      cert: {secret: gorax-client, key: tls.crt}
      key: {secret: gorax-client, key: tls.key}
      serverName: gorax.example.org
    relabelings: [{targetLabel: team, replacement: flows}]
    metricRelabelings: [{action: labeldrop, regex: pod}]
";
    let rendered = Rendered::values(context, helm, values)?;
    typed::check(&context.model, &rendered)?;
    let spec = &rendered.named("gorax-monitoring-api")?["spec"];
    let endpoint = &spec["endpoints"][0];
    ensure!(text_at(endpoint, "interval") == "30s" && text_at(endpoint, "scrapeTimeout") == "5s", "interval, timeout");
    ensure!(spec["sampleLimit"] == 0, "sampleLimit");
    ensure!(text_at(endpoint, "scheme") == "https", "scheme");
    let tls: Value = serde_yaml::from_str(
        "{ca: {secret: {name: gorax-ca, key: ca.crt}}, cert: {secret: {name: gorax-client, key: tls.crt}}, \
         keySecret: {name: gorax-client, key: tls.key}, serverName: gorax.example.org}",
    )?;
    ensure!(endpoint["tlsConfig"] == tls, "{:?}", endpoint["tlsConfig"]);
    let dropped = &endpoint["metricRelabelings"];
    ensure!(text_at(&dropped[0], "regex") == "gorax_workflow_execution_duration_seconds_bucket", "dropWorkflowBuckets");
    ensure!(text_at(&dropped[1], "action") == "labeldrop", "metricRelabelings");
    let relabelings = endpoint["relabelings"].as_sequence().context("no relabelings")?;
    ensure!(relabelings.last().is_some_and(|last| text_at(last, "targetLabel") == "team"), "relabelings");
    Ok(())
}

fn workers(context: &Context, helm: Tool) -> Result<()> {
    let plain = Rendered::template(context, helm, &[])?;
    ensure!(plain.of_kind("PodMonitor").is_empty() && plain.of_kind("Service").is_empty(), "off by default");
    let values = "
gorax:
  metricsService: {enabled: true}
  worker: {podMonitor: {enabled: true}}
  environments:
    production: {namespace: gorax-prod, layout: kustomize}
    guide: {namespace: gorax, layout: deployment-guide}
";
    let rendered = Rendered::values(context, helm, values)?;
    typed::check(&context.model, &rendered)?;
    for (name, namespace, worker, port, api) in [
        ("production", "gorax-prod", "{app: gorax, component: worker}", "metrics", "{app: gorax, component: api}"),
        ("guide", "gorax", "{app: gorax-worker}", "health", "{app: gorax-api}"),
    ] {
        let spec = &rendered.named(&format!("gorax-monitoring-worker-{name}"))?["spec"];
        ensure!(spec["selector"]["matchLabels"] == serde_yaml::from_str::<Value>(worker)?, "{name}: worker selector");
        let endpoints = spec["podMetricsEndpoints"].as_sequence().context("no endpoints")?;
        ensure!(endpoints.len() == 1 && text_at(&endpoints[0], "port") == port, "{name}: worker port");
        let job = endpoints[0]["relabelings"].as_sequence().and_then(|list| list.last()).context("no relabelings")?;
        ensure!(text_at(job, "replacement") == "gorax-worker", "{name}: job");
        let services = rendered.of_kind("Service").into_iter();
        let service = services.into_iter().find(|s| text_at(&s["metadata"], "namespace") == namespace);
        let service = service.with_context(|| format!("no Service in {namespace}"))?;
        ensure!(service["spec"]["selector"] == serde_yaml::from_str::<Value>(api)?, "{name}: Service selector");
        ensure!(service["spec"]["ports"][0]["targetPort"] == 8080, "{name}: Gorax listens on 8080 alone");
        // The monitor must find the very Service that is made here.
        let monitor = &rendered.named(&format!("gorax-monitoring-api-{name}"))?["spec"];
        let labels = &service["metadata"]["labels"];
        let wanted = monitor["selector"]["matchLabels"].as_mapping().context("no labels to match")?;
        ensure!(
            wanted.iter().all(|(key, value)| labels.get(key) == Some(value)),
            "{name}: the monitor misses the Service"
        );
        ensure!(monitor["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"], "{name}: port name");
    }
    Ok(())
}

fn names(context: &Context, helm: Tool) -> Result<()> {
    let rendered =
        Rendered::release(context, helm, "obs", &["--set", "selectorLabels.team=a,selectorLabels.release=kps"])?;
    for kind in ["ServiceMonitor", "PrometheusRule"] {
        for object in rendered.of_kind(kind) {
            let metadata = &object["metadata"];
            ensure!(text_at(metadata, "name").starts_with("obs-gorax-monitoring-"), "{}", text_at(metadata, "name"));
            let labels = &metadata["labels"];
            ensure!(text_at(labels, "team") == "a" && text_at(labels, "release") == "kps", "selectorLabels");
            ensure!(text_at(labels, "app.kubernetes.io/name") == "gorax-monitoring", "name label");
        }
    }
    let plain = Rendered::release(context, helm, "my-gorax-monitoring", &[])?;
    let monitor = plain.named("my-gorax-monitoring-api")?;
    ensure!(text_at(&monitor["metadata"]["labels"], "release") == "my-gorax-monitoring", "the default selector label");
    Ok(())
}

/// The operator passes over a ConfigMap with rules or scrape configurations, and an object without its labels.
fn operators_objects(context: &Context, helm: Tool) -> Result<()> {
    let values = "
gorax:
  worker: {podMonitor: {enabled: true}, probe: {enabled: true}}
sources:
  redis: {a: {environment: gorax, address: 'redis:9121'}}
  postgres: {a: {environment: gorax, selector: {matchLabels: {app: postgres}}}}
  blackbox: {a: {environment: gorax, address: 'blackbox:9115', urls: ['http://gorax-api.gorax/ready']}}
selectorLabels: {release: kps}
tests: {prometheusUrl: 'http://prometheus'}
";
    let rendered = Rendered::values(context, helm, values)?;
    for kind in ["ServiceMonitor", "PodMonitor", "Probe", "ScrapeConfig", "PrometheusRule"] {
        for object in typed::some(&rendered, kind)? {
            let metadata = &object["metadata"];
            ensure!(text_at(&metadata["labels"], "release") == "kps", "{kind} {}", text_at(metadata, "name"));
        }
    }
    for map in typed::some(&rendered, "ConfigMap")? {
        for (key, text) in map["data"].as_mapping().into_iter().flatten() {
            let (key, text) = (key.as_str().unwrap_or_default(), text.as_str().unwrap_or_default());
            let loaded = key.ends_with(".sh") || map["metadata"]["labels"]["grafana_dashboard"] == "1";
            ensure!(loaded, "nothing loads {key} of {}", text_at(&map["metadata"], "name"));
            ensure!(!text.starts_with("groups:") && !text.contains("scrape_configs:"), "{key} would be read by nobody");
        }
    }
    Ok(())
}
