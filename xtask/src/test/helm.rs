//! Both Helm majors on the packed archive: it lints, it renders what the sources say, and values do what they promise.

use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use serde_yaml::Value;
use xshell::cmd;

use super::rendered::{KUBE_VERSION, Rendered, text_at};
use super::{Case, Context, typed};
use crate::tools::{HELM3, HELM4, Tool};

/// The alerts of Gorax's own rules, which the requirements name: none may get lost.
const REQUIRED: [(&str, &[&str]); 5] = [
    (
        "gorax_workflows",
        &[
            "HighWorkflowFailureRate",
            "CriticalWorkflowFailureRate",
            "SlowWorkflowExecutions",
            "WorkflowExecutionStalled",
        ],
    ),
    ("gorax_queue", &["QueueBacklog", "QueueBacklogCritical", "NoActiveWorkers", "LowWorkerCount"]),
    ("gorax_api", &["HighHTTPErrorRate", "HighHTTPLatency", "HighHTTPRequestRate"]),
    ("gorax_infrastructure", &["DatabaseConnectionFailure", "RedisConnectionFailure", "HighMemoryUsage"]),
    ("gorax_step_failures", &["HighStepFailureRate", "HTTPActionFailures"]),
];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for helm in [HELM3, HELM4] {
        let mut case = |name: &str, run: fn(&Context, Tool) -> Result<()>| {
            cases.push(Case::new(format!("{} {name}", helm.name), &[helm], move |context| run(context, helm)));
        };
        case("lint --strict of the archive", lint);
        case("render: one object for each source, all required alerts", counts);
        case("render: rules and dashboards equal their sources", fidelity);
        case("render: a threshold override changes exactly that number", one_threshold);
        case("render: every other override does what it says", overrides);
        case("render: every marked number can be overridden", every_mark);
        case("render: values that cannot work are refused", refusals);
        case("render: named environments", environments);
        case("render: scrape settings", scrape_settings);
        case("render: workers and a Service of our own", workers);
        case("render: selector labels and names", names);
        case("render: every field of our custom resources exists", |context, helm| {
            typed::check(&context.model, &Rendered::template(context, helm, &[])?)
        });
    }
    cases.push(Case::new("helm3 and helm4 render the same", &[HELM3, HELM4], |context| {
        for arguments in [&[][..], &["--set", "gorax.environments.a.namespace=x,alerts.minSeverity=warning"]] {
            let [three, four] = [HELM3, HELM4].map(|helm| Rendered::template(context, helm, arguments));
            ensure!(three?.objects == four?.objects, "the objects differ with {arguments:?}");
        }
        Ok(())
    }));
    cases.push(Case::new("helm4 packs the same files from the checkout's folder", &[HELM4], same_files_as_helm));
    cases
}

fn lint(context: &Context, helm: Tool) -> Result<()> {
    lint_chart(context, helm, &context.archive, &[])
}

/// Lints any chart with any values; a warning fails too.
pub(super) fn lint_chart(context: &Context, helm: Tool, chart: &Path, arguments: &[&str]) -> Result<()> {
    let helm = context.tool(helm)?;
    let command = cmd!(context.shell, "{helm} lint --strict --kube-version {KUBE_VERSION} {chart} {arguments...}");
    let output = command.quiet().ignore_status().output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success() && !text.contains("[WARNING]") && !text.contains("[ERROR]"), "{text}");
    Ok(())
}

fn counts(context: &Context, helm: Tool) -> Result<()> {
    let rendered = Rendered::template(context, helm, &[])?;
    let model = &context.model;
    for (kind, expected) in [
        ("ServiceMonitor", 1),
        // One for each rule file, and the configuration series.
        ("PrometheusRule", model.rules.len() + 1),
        ("ConfigMap", model.dashboards.len()),
    ] {
        let found = rendered.of_kind(kind).len();
        ensure!(found == expected, "{found} objects of kind {kind}, expected {expected}");
    }
    for (group, alerts) in REQUIRED {
        let file = rendered.of_kind("PrometheusRule").into_iter().flat_map(|o| o["spec"]["groups"].as_sequence());
        let group = file.flatten().find(|g| g["name"] == group).with_context(|| format!("no group {group}"))?;
        let names: Vec<&str> =
            group["rules"].as_sequence().into_iter().flatten().map(|rule| text_at(rule, "alert")).collect();
        ensure!(alerts.iter().all(|alert| names.contains(alert)), "{} holds {names:?}", text_at(group, "name"));
    }
    ensure!(rendered.alerts() == model.alerts().count(), "{} alerts are rendered", rendered.alerts());
    let records = rendered.rules().iter().filter(|rule| rule["record"] == "gorax:workflow_success_rate:5m").count();
    ensure!(records == 1, "gorax:workflow_success_rate:5m is recorded {records} times");
    Ok(())
}

fn fidelity(context: &Context, helm: Tool) -> Result<()> {
    let rendered = Rendered::template(context, helm, &[])?;
    for file in &context.model.rules {
        let stem = file.path.trim_start_matches("alerts/").trim_end_matches(".yaml");
        let object = rendered.named(&format!("gorax-monitoring-rules-{stem}"))?;
        let source: Value =
            serde_yaml::from_str(context.sources.text(&file.path).map_err(|f| anyhow::anyhow!("{f}"))?)?;
        ensure!(object["spec"] == source, "{} is rendered with other values than it has", file.path);
    }
    for dashboard in &context.model.dashboards {
        let object = rendered.named(&format!("gorax-monitoring-dashboard-{}", dashboard.uid))?;
        let text = text_at(&object["data"], &format!("{}.json", dashboard.uid));
        let source = context.sources.bytes(&dashboard.path).unwrap_or_default();
        ensure!(text.as_bytes() == source, "{} is rendered with other bytes than it has", dashboard.path);
        ensure!(
            text_at(&object["metadata"]["labels"], "grafana_dashboard") == "1",
            "the sidecar would not see {}",
            dashboard.uid
        );
    }
    Ok(())
}

fn one_threshold(context: &Context, helm: Tool) -> Result<()> {
    let plain = Rendered::template(context, helm, &[])?;
    let changed =
        Rendered::template(context, helm, &["--set", "alerts.overrides.HighWorkflowFailureRate.threshold=0.2"])?;
    let (plain, changed) = (plain.rules(), changed.rules());
    let different: Vec<(&Value, &Value)> = plain.into_iter().zip(changed).filter(|(a, b)| a != b).collect();
    let [(before, after)] = different[..] else { bail!("{} rules differ, expected one", different.len()) };
    let mut expected = before.clone();
    expected["expr"] = text_at(before, "expr").replace("> 0.1  # threshold\n", "> 0.2  # threshold\n").into();
    ensure!(*after == expected && before != after, "{}", serde_yaml::to_string(after)?);
    Ok(())
}

fn overrides(context: &Context, helm: Tool) -> Result<()> {
    let values = "
alerts:
  labels: {team: platform}
  runbookBaseUrl: https://wiki.example.org/gorax/
  dashboardBaseUrl: https://grafana.example.org/d
  groups:
    gorax_queue: {enabled: false}
  overrides:
    HighWorkflowFailureRate: {threshold: 0, for: 10m, severity: critical}
    CriticalWorkflowFailureRate: {thresholds: {minimumRuns: 1000000}}
    HighHTTPLatency: {enabled: false}
    HighHTTPRequestRate: {for: '0'}
";
    let rendered = with_values(context, helm, values)?;
    let alert = |name: &str| rendered.alert(name).with_context(|| format!("{name} is not rendered"));
    let high = alert("HighWorkflowFailureRate")?;
    ensure!(text_at(high, "expr").contains("> 0  # threshold\n"), "{}", text_at(high, "expr"));
    ensure!(text_at(high, "for") == "10m" && text_at(&high["labels"], "severity") == "critical", "for or severity");
    ensure!(text_at(&high["labels"], "team") == "platform", "alerts.labels");
    let annotations = &high["annotations"];
    let runbook = text_at(annotations, "runbook_url");
    ensure!(runbook == "https://wiki.example.org/gorax/HighWorkflowFailureRate.md", "{runbook}");
    let dashboard = text_at(annotations, "dashboard_url");
    ensure!(
        dashboard == "https://grafana.example.org/d/gorax-overview?var-namespace={{ $labels.namespace }}",
        "{dashboard}"
    );
    let critical = text_at(alert("CriticalWorkflowFailureRate")?, "expr");
    ensure!(
        critical.contains(">= 1e+06  # threshold: minimumRuns") && critical.contains("> 0.25  # threshold\n"),
        "{critical}"
    );
    ensure!(text_at(alert("HighHTTPRequestRate")?, "for") == "0", "for: 0");
    ensure!(rendered.alert("HighHTTPLatency").is_none() && rendered.alert("NoActiveWorkers").is_none(), "switches");

    let critical_only = Rendered::template(context, helm, &["--set", "alerts.minSeverity=critical"])?;
    let severities = critical_only.rules().into_iter().map(|rule| text_at(&rule["labels"], "severity").to_owned());
    ensure!(severities.into_iter().all(|severity| severity.is_empty() || severity == "critical"), "minSeverity");
    let none = Rendered::template(context, helm, &["--set", "alerts.enabled=false,dashboards.enabled=false"])?;
    ensure!(none.alerts() == 0 && none.of_kind("ConfigMap").is_empty(), "alerts.enabled, dashboards.enabled");
    ensure!(none.rules().iter().any(|rule| rule["record"] == "gorax:workflow_success_rate:5m"), "recording rules stay");
    Ok(())
}

/// The template finds marks with a regular expression, our model with its own code: they must agree on every mark.
fn every_mark(context: &Context, helm: Tool) -> Result<()> {
    let mut values = String::from("alerts:\n  overrides:\n");
    let mut expected = Vec::new();
    for (_, _, rule) in context.model.alerts() {
        let marks = crate::model::threshold::thresholds(&rule.expr).map_err(anyhow::Error::msg)?;
        if marks.is_empty() {
            continue;
        }
        values += &format!("    {}:\n", rule.name);
        let mut named: Vec<&str> =
            marks.iter().map(|mark| mark.name.as_str()).filter(|name| !name.is_empty()).collect();
        named.dedup();
        if marks.iter().any(|mark| mark.name.is_empty()) {
            values += "      threshold: 12345.5\n";
        }
        if !named.is_empty() {
            let named: Vec<String> = named.iter().map(|name| format!("{name}: 12345.5")).collect();
            values += &format!("      thresholds: {{{}}}\n", named.join(", "));
        }
        expected.push((rule.name.clone(), marks.len()));
    }
    let rendered = with_values(context, helm, &values)?;
    for (name, count) in expected {
        let expr = text_at(rendered.alert(&name).context("an alert is gone")?, "expr");
        ensure!(expr.matches(" 12345.5 ").count() == count, "{name}: {expr}");
    }
    Ok(())
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
    let rendered = with_values(context, helm, values)?;
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
    let rendered = with_values(context, helm, values)?;
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
    let rendered = with_values(context, helm, values)?;
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

/// Unpacks ours, lets Helm pack it again, and compares the files: the same paths and bytes, `Chart.yaml` by value.
fn same_files_as_helm(context: &Context) -> Result<()> {
    let (root, ours) = helmpack::archive::unpack(&std::fs::read(&context.archive)?)?;
    let folder = context.temporary.path().join("unpacked").join(root);
    for (path, bytes) in &ours {
        context.shell.write_file(folder.join(path), bytes)?;
    }
    // What an editor or a killed command leaves behind must stay out.
    for stray in ["templates/.rules.yaml.swp", "rules.yaml~", ".values.yaml.tmp"] {
        context.shell.write_file(folder.join(stray), "left behind")?;
    }
    let (helm, out) = (context.tool(HELM4)?, context.temporary.path().join("packed"));
    cmd!(context.shell, "{helm} package {folder} --destination {out}").quiet().ignore_stdout().run()?;
    let archive = context.archive.file_name().context("a file without a name")?;
    let (_, mut theirs) = helmpack::archive::unpack(&std::fs::read(out.join(archive))?)?;
    let mut ours = ours;
    let charts = [ours.remove("Chart.yaml"), theirs.remove("Chart.yaml")]
        .map(|bytes| serde_yaml::from_slice::<Value>(&bytes.unwrap_or_default()).context("reading Chart.yaml"));
    let [our_chart, their_chart] = charts;
    ensure!(our_chart? == their_chart?, "Chart.yaml differs");
    let paths = |files: &helmpack::archive::Files| files.keys().cloned().collect::<Vec<_>>();
    ensure!(paths(&ours) == paths(&theirs), "ours {:?}, Helm's {:?}", paths(&ours), paths(&theirs));
    ensure!(ours == theirs, "the bytes of a file differ");
    Ok(())
}

/// Renders with a values file.
pub(super) fn with_values(context: &Context, helm: Tool, values: &str) -> Result<Rendered> {
    let file = context.temporary.path().join("values.yaml");
    context.shell.write_file(&file, values)?;
    Rendered::template(context, helm, &["-f", &file.to_string_lossy()])
}
