//! What `helm install` prints: names that exist, and nothing about what is not there. Helm 4 alone prints it without a
//! cluster.

use anyhow::{Context as _, Result, ensure};
use regex::Regex;
use serde_yaml::Value;
use xshell::cmd;

use super::rendered::{Rendered, text_at};
use super::{Case, Context, Subject};
use crate::tools::HELM4;

/// Names that Kubernetes' limits and the stack's own rules for names treat differently.
const RELEASES: [&str; 5] = [
    "gorax-monitoring",
    "obs",
    "a-release-whose-name-has-as-many-characters-as-it-may",
    "kube-prometheus-stack",
    "my-grafana",
];

pub(super) fn cases(context: &Context) -> Vec<Case> {
    let mut cases = vec![
        Case::new("notes: the addon speaks of selectors and of no bundled service", &[HELM4], addon),
        Case::new("notes: silent alerts and what would end it, for each environment", &[HELM4], silent),
        Case::new("notes: the Services by which Gorax is found, in every layout", &[HELM4], services),
    ];
    for subject in &context.full {
        for (name, run) in [
            ("names, ports and Secrets are those of rendered objects", names as fn(&Context, &Subject) -> Result<()>),
            ("what is switched off is not spoken of", switches),
        ] {
            let subject = subject.clone();
            let name = format!("notes: full edition with the {}: {name}", subject.name);
            cases.push(Case::new(name, &[HELM4], move |context| run(context, &subject)));
        }
    }
    cases
}

fn notes(context: &Context, chart: &std::path::Path, release: &str, set: &str) -> Result<String> {
    let helm = context.tool(HELM4)?;
    let command =
        cmd!(context.shell, "{helm} install {release} {chart} --namespace monitoring --dry-run=client --set {set}");
    let output = command.quiet().ignore_status().output()?;
    ensure!(output.status.success(), "{release}, {set}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).context("helm printed no UTF-8")?;
    let (_, notes) = text.split_once("\nNOTES:\n").context("helm printed no notes")?;
    ensure!(!notes.contains("<no value>") && !notes.contains("%!"), "{release}, {set}: {notes}");
    Ok(notes.to_owned())
}

fn names(context: &Context, subject: &Subject) -> Result<()> {
    const STACK: &str = "kube-prometheus-stack";
    let mut sets = vec![format!("{STACK}.fullnameOverride=stack"), format!("{STACK}.nameOverride=own")];
    // The stand-in has no such values.
    if subject.name != "stand-in" {
        sets.push(format!("{STACK}.grafana.fullnameOverride=board,{STACK}.grafana.service.port=3001"));
        sets.push(format!("{STACK}.grafana.nameOverride=board,{STACK}.grafana.namespaceOverride=boards"));
        sets.push(format!("{STACK}.prometheus.service.port=19090,{STACK}.alertmanager.service.port=19093"));
        sets.push(format!("{STACK}.namespaceOverride=own,{STACK}.alertmanager.namespaceOverride=mail"));
        sets.push(format!("{STACK}.cleanPrometheusOperatorObjectNames=true"));
    }
    let forward = Regex::new(r"port-forward --namespace (\S+) service/(\S+) \d+:(\d+)")?;
    let login = Regex::new(r#"get secret (\S+) --namespace (\S+) .*index .data "([^"]+)".*index .data "([^"]+)""#)?;
    let plain = RELEASES.iter().map(|release| (*release, ""));
    for (release, set) in plain.chain(sets.iter().map(|set| ("obs", set.as_str()))) {
        let text = notes(context, &subject.archive, release, set)?;
        let rendered = Rendered::chart(context, HELM4, &subject.archive, release, &["--set", set])?;
        let forwards: Vec<[&str; 3]> = forward.captures_iter(&text).map(|found| found.extract().1).collect();
        ensure!(forwards.len() == 3, "{release}, {set}: {} services in {text}", forwards.len());
        for [namespace, name, port] in forwards {
            let service = object(&rendered, "Service", namespace, name)?;
            let ports = service["spec"]["ports"].as_sequence().context("a Service without ports")?;
            ensure!(ports.iter().any(|p| p["port"].as_u64() == port.parse().ok()), "{name} has no port {port}");
        }
        let [name, _, user, password] = login.captures(&text).context("no command shows the password")?.extract().1;
        // It is made in the release's namespace; a Grafana elsewhere needs a copy there, as the stack has it.
        let secret = object(&rendered, "Secret", "monitoring", name)?;
        ensure!(secret["data"][user].is_string() && secret["data"][password].is_string(), "{name}: {user}, {password}");
    }
    Ok(())
}

fn object<'a>(rendered: &'a Rendered, kind: &str, namespace: &str, name: &str) -> Result<&'a Value> {
    let is = |object: &&&Value| {
        text_at(&object["metadata"], "name") == name && text_at(&object["metadata"], "namespace") == namespace
    };
    rendered.of_kind(kind).iter().find(is).copied().with_context(|| format!("there is no {kind} {namespace}/{name}"))
}

fn switches(context: &Context, subject: &Subject) -> Result<()> {
    let of = |set: &str| notes(context, &subject.archive, "obs", set);
    let (selectors, sidecar) = ("Does your Prometheus take our objects?", "Does your Grafana load the dashboards?");
    for (set, there, gone) in [
        ("", &["9090:", "9093:", "3000:", "helm test obs"][..], &[selectors, sidecar, "prometheusUrl"][..]),
        (
            "kube-prometheus-stack.grafana.enabled=false",
            &["9090:", "9093:", sidecar],
            &["3000", "password", "admin-user", selectors],
        ),
        (
            "kube-prometheus-stack.prometheus.enabled=false",
            &["9093:", "3000:", selectors, "; set tests.prometheusUrl if"],
            &["9090:", "/targets", sidecar],
        ),
        ("kube-prometheus-stack.alertmanager.enabled=false", &["9090:", "3000:"], &["9093", "silences", "notified"]),
        (
            "kube-prometheus-stack.alertmanager.alertmanagerSpec.useExistingSecret=false",
            &["9093:"],
            &["notified", "curl"],
        ),
        (
            "notifications.receivers.slack.enabled=true,kube-prometheus-stack.alertmanager.alertmanagerSpec.routePrefix=/am",
            &[
                "\n  slack-webhook-url\n",
                "get secret gorax-monitoring-notifications ",
                "http://localhost:9093/am/api/v2/alerts\n",
            ],
            &["notified", "AlertmanagerConfig", "No route"],
        ),
        (
            "notifications.receivers.webhook.enabled=true,notifications.receivers.webhook.url=http://w",
            &["No route leads to webhook"],
            &["notified", "webhook-url", "get secret gorax-monitoring-notifications"],
        ),
        ("dashboards.enabled=false,kube-prometheus-stack.grafana.enabled=false", &[], &["Grafana", "dashboards"]),
        ("tests.enabled=false", &[], &["helm test", "tests."]),
        ("gorax.grafanaAdmin.create=false", &["yours to make"], &[]),
        (
            "gorax.grafanaAdmin.existingSecret=own,kube-prometheus-stack.grafana.admin.existingSecret=own",
            &["get secret own "],
            &["yours to make"],
        ),
    ] {
        says(&of(set)?, there, gone).context(set)?;
    }
    Ok(())
}

fn says(text: &str, there: &[&str], gone: &[&str]) -> Result<()> {
    for needle in there {
        ensure!(text.contains(needle), "it does not say {needle:?}: {text}");
    }
    for needle in gone {
        ensure!(!text.contains(needle), "it says {needle:?}: {text}");
    }
    Ok(())
}

fn addon(context: &Context) -> Result<()> {
    let of = |set: &str| notes(context, &context.archive, "obs", set);
    let bundled = ["port-forward", "password"];
    says(
        &of("")?,
        &[
            "  release: obs\n",
            "  grafana_dashboard: \"1\"\n",
            "It asks http://prometheus-operated.monitoring.svc:9090; set tests.prometheusUrl if",
            "prometheuses",
            "Nobody is notified of alerts yet",
        ],
        &bundled,
    )?;
    let slack = of("notifications.receivers.slack.enabled=true")?;
    says(&slack, &["\n  slack-webhook-url\n", "get alertmanagers", ":9093/api/v2/alerts\n"], &["notified"])?;
    let url = "tests.prometheusUrl=http://p:9090,selectorLabels.team=a,dashboards.enabled=false";
    says(
        &of(url)?,
        &["  team: a\n", "Check that it works:\n\n  helm test obs --namespace monitoring --logs\n"],
        &["tests.prometheusUrl", "Grafana", "port-forward"],
    )?;
    let plain = of("gorax.scrape.additionalScrapeConfigs.enabled=true")?;
    let secret = "obs-gorax-monitoring-additional-scrape-configs";
    says(&plain, &[&format!("the Secret {secret}, key gorax.yaml")], &bundled)?;
    let rendered =
        Rendered::release(context, HELM4, "obs", &["--set", "gorax.scrape.additionalScrapeConfigs.enabled=true"])?;
    ensure!(text_at(rendered.named(secret)?, "kind") == "Secret", "{secret} is no Secret");
    Ok(())
}

fn silent(context: &Context) -> Result<()> {
    let of = |set: &str| notes(context, &context.archive, "obs", set);
    let environments = "gorax.environments.production.namespace=gorax-prod,gorax.environments.dev.namespace=gorax-dev";
    let redis = "sources.redis.a.environment=dev,sources.redis.a.address=redis:9121";
    let ingress = "sources.ingressNginx.a.environment=gorax-prod,sources.ingressNginx.a.address=nginx:10254";
    let http =
        "APIErrorBudgetBurnsFast, APIErrorBudgetBurnsSlowly, HighHTTPErrorRate, HighHTTPLatency, HighHTTPRequestRate\n";
    says(
        &of("")?,
        &[
            &format!("  sources.ingressNginx: {http}"),
            "  sources.redis: RedisConnectionFailure, ",
            "  sources.sql: QueueBacklog, ",
            "  gorax.worker.probe: GoraxWorkerUnhealthy\n",
            "HighStepFailureRate\n",
        ],
        &[],
    )?;
    let probe = "gorax.worker.probe.enabled=true,sources.blackbox.a.environment=x,sources.blackbox.a.address=h:9115";
    for named in ["", ",gorax.environments.x.namespace=gorax-prod"] {
        says(&of(&format!("{probe}{named}"))?, &[], &["GoraxWorkerUnhealthy"])?;
    }
    says(&of(environments)?, &["  sources.redis for dev, production: RedisConnectionFailure, "], &[])?;
    let one = of(&format!("{environments},{redis}"))?;
    says(
        &one,
        &["  sources.redis for production: RedisConnectionFailure, ", "sources.ingressNginx for dev, production: "],
        &[],
    )?;
    says(&of(ingress)?, &["sources.redis: "], &["sources.ingressNginx"])?;
    let off = "alerts.overrides.RedisConnectionFailure.enabled=false,alerts.groups.gorax_api.enabled=false,alerts.groups.gorax_slo.enabled=false";
    says(&of(off)?, &["QueueBacklog", "RedisEvictingKeys"], &["sources.ingressNginx", "RedisConnectionFailure"])?;
    // The info alert goes, and so do the queue's warnings.
    says(
        &of("alerts.minSeverity=critical")?,
        &["HighHTTPErrorRate", "QueueBacklogCritical\n"],
        &["HighHTTPRequestRate", "QueueBacklog,"],
    )?;
    let raised = "alerts.minSeverity=critical,alerts.overrides.HighHTTPRequestRate.severity=critical";
    says(&of(raised)?, &["HighHTTPRequestRate"], &[])?;
    says(&of("alerts.enabled=false")?, &[], &["Silent"])
}

fn services(context: &Context) -> Result<()> {
    for (set, command) in [
        ("", "--all-namespaces --selector 'app in (gorax, gorax-api)'"),
        ("layout=kustomize", "--namespace gorax-prod --selector 'app=gorax,component=api'"),
        ("layout=deployment-guide", "--namespace gorax-prod --selector 'app=gorax-api'"),
        ("layout=custom,selector.matchLabels.team=a", "--namespace gorax-prod --selector 'team=a'"),
        (
            "layout=custom,selector.matchExpressions[0].key=a,selector.matchExpressions[0].operator=DoesNotExist",
            "--namespace gorax-prod --selector '!a'",
        ),
        (
            "layout=custom,selector.matchExpressions[0].key=a,selector.matchExpressions[0].operator=NotIn,selector.matchExpressions[0].values={b,c}",
            "--namespace gorax-prod --selector 'a notin (b, c)'",
        ),
    ] {
        let keys = set.replace(",sel", ",gorax.environments.p.sel").replace("layout", "gorax.environments.p.layout");
        let named =
            if set.is_empty() { String::new() } else { format!("gorax.environments.p.namespace=gorax-prod,{keys}") };
        let text = notes(context, &context.archive, "obs", &named)?;
        says(&text, &[&format!("  kubectl get services {command}\n")], &[]).with_context(|| named.clone())?;
    }
    let own = "gorax.metricsService.enabled=true,gorax.environments.p.namespace=gorax-prod,gorax.environments.p.layout=kustomize";
    let text = notes(context, &context.archive, "obs", own)?;
    says(&text, &["--selector 'app.kubernetes.io/instance=obs,metrics=true'"], &[])
}
