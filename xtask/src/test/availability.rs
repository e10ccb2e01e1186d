//! What high availability and retention need, of the objects that are rendered.

use anyhow::{Context as _, Result, anyhow, ensure};
use rulecheck::look_back::look_back;
use rulecheck::query::{parse_expr, seconds};
use serde_yaml::Value;

use super::rendered::{Rendered, text_at};
use super::{policies, typed};
use crate::check::retention::{SHARE, bytes};

/// What is looked at, and whether all is well.
type Truth = (&'static str, fn(&Rendered) -> Result<()>);

/// What must hold of any installation of the full edition.
pub(super) fn check(rendered: &Rendered) -> Result<()> {
    let truths: [Truth; 8] = [
        ("retention", retention),
        ("budgets", budgets),
        ("one Prometheus for Grafana", steady),
        ("alerts once", deduplicated),
        ("Grafana's replicas", grafana),
        ("shards and sidecars", whole),
        ("resources", resources),
        ("network policies", policies::necessary),
    ];
    truths.iter().try_for_each(|(what, holds)| holds(rendered).map_err(|error| anyhow!("{what}: {error:#}")))
}

/// How many pods the operator makes of a Prometheus or an Alertmanager.
pub(super) fn pods(spec: &Value) -> Result<u64> {
    let number =
        |key: &str| spec.get(key).map_or(Some(1), Value::as_u64).with_context(|| format!("{key} is no number"));
    Ok(number("replicas")? * number("shards")?)
}

/// Blocks fit into the volume, and no rule that is rendered looks back further than samples are kept.
fn retention(rendered: &Rendered) -> Result<()> {
    let spec = &typed::only(rendered, "Prometheus")?["spec"];
    let claim = text_at(&spec["storage"]["volumeClaimTemplate"]["spec"]["resources"]["requests"], "storage");
    let (size, volume) = (text_at(spec, "retentionSize"), bytes(claim).context("no volume")?);
    ensure!(size.ends_with('B') && bytes(size).is_some_and(|size| size <= SHARE * volume), "{size} of {claim}");
    let kept = seconds(text_at(spec, "retention")).context("no retention")?;
    let mut farthest: f64 = 0.0;
    for rule in rendered.rules() {
        farthest = farthest.max(look_back(&parse_expr(text_at(rule, "expr")).map_err(anyhow::Error::msg)?));
    }
    ensure!(0.0 < farthest && farthest <= kept, "rules look back {farthest} s, samples are kept for {kept} s");
    Ok(())
}

/// A budget lets one pod go, and there is one wherever there are replicas.
fn budgets(rendered: &Rendered) -> Result<()> {
    for (kind, app) in [("Prometheus", "prometheus"), ("Alertmanager", "alertmanager")] {
        let spec = &typed::only(rendered, kind)?["spec"];
        let of_app =
            |budget: &&Value| text_at(&budget["spec"]["selector"]["matchLabels"], "app.kubernetes.io/name") == app;
        let budgets = rendered.of_kind("PodDisruptionBudget");
        let budget = budgets.into_iter().find(of_app);
        let replicated = spec["replicas"].as_u64().is_some_and(|replicas| replicas > 1);
        ensure!(budget.is_some() == replicated, "{kind}: {} a budget", if replicated { "not" } else { "needlessly" });
        if let Some(budget) = budget {
            let spread = &spec["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
            ensure!(spread.as_sequence().is_some_and(|terms| !terms.is_empty()), "{kind}: replicas may share a node");
            let minimum = budget["spec"]["minAvailable"].as_u64().context("a budget without minAvailable")?;
            ensure!(minimum + 1 == pods(spec)?, "{kind}: {minimum} of {} pods must stay", pods(spec)?);
            ensure!(budget["spec"].get("maxUnavailable").is_none(), "the API server refuses a budget with both bounds");
        }
    }
    Ok(())
}

/// Each replica has samples of its own, so Grafana stays with one. It asks the Service that keeps a client with a pod.
fn steady(rendered: &Rendered) -> Result<()> {
    let spec = &typed::only(rendered, "Prometheus")?["spec"];
    let source = rendered.named("gorax-monitoring-kube-prom-grafana-datasource")?;
    let sources: Value = serde_yaml::from_str(text_at(&source["data"], "datasource.yaml"))?;
    let url = sources["datasources"].as_sequence().into_iter().flatten().find(|s| s["type"] == "prometheus");
    let url = text_at(url.context("no datasource")?, "url");
    let host = url.split("://").nth(1).and_then(|rest| rest.split('.').next()).context("no host")?;
    let services = rendered.of_kind("Service");
    let service = services.iter().find(|service| service["metadata"]["name"] == host);
    let affinity = text_at(&service.with_context(|| format!("there is no Service {host}"))?["spec"], "sessionAffinity");
    ensure!(pods(spec)? == 1 || affinity == "ClientIP", "{host} has the session affinity {affinity:?}");
    Ok(())
}

/// All replicas tell all Alertmanagers of the same alerts: the operator drops the replica's label, nothing else differs.
fn deduplicated(rendered: &Rendered) -> Result<()> {
    let spec = &typed::only(rendered, "Prometheus")?["spec"];
    ensure!(spec.get("replicaExternalLabelName").is_none_or(|name| name != ""), "replicas cannot be told apart");
    let labels = spec["externalLabels"].as_mapping().context("no external labels")?;
    ensure!(labels.contains_key("cluster"), "no label tells this cluster from another");
    for (name, value) in labels {
        let value = value.as_str().unwrap_or_default();
        ensure!(!value.contains("$("), "the external label {name:?} differs between replicas");
    }
    let alertmanagers = spec["alerting"]["alertmanagers"].as_sequence().context("nobody is told")?;
    ensure!(alertmanagers.len() == 1, "{} Alertmanager Services", alertmanagers.len());
    let services = rendered.of_kind("Service");
    let service = services.iter().find(|service| service["metadata"]["name"] == alertmanagers[0]["name"]);
    let service = service.context("the Alertmanager's Service is not rendered")?;
    let alertmanager = typed::only(rendered, "Alertmanager")?;
    ensure!(service["spec"]["selector"]["alertmanager"] == alertmanager["metadata"]["name"], "it leads elsewhere");
    ensure!(alertmanager["spec"]["listenLocal"] != true, "the replicas would not find each other");
    Ok(())
}

fn grafana(rendered: &Rendered) -> Result<()> {
    let grafana =
        rendered.of_kind("Deployment").into_iter().find(|d| d["metadata"]["name"] == "gorax-monitoring-grafana");
    let grafana = &grafana.context("no Grafana")?["spec"];
    ensure!(grafana["replicas"].as_u64() == Some(1), "replicas need a database");
    ensure!(grafana["strategy"]["type"] == "Recreate", "its volume attaches to one node at a time");
    Ok(())
}

/// Every shard has all that rules read, and a querier finds the sidecars of all pods.
fn whole(rendered: &Rendered) -> Result<()> {
    let prometheus = typed::only(rendered, "Prometheus")?;
    let spec = &prometheus["spec"];
    let classes = spec["scrapeClasses"].as_sequence().into_iter().flatten();
    let default = classes.clone().find(|class| class["default"] == true);
    let everywhere = default.is_some_and(|class| class["relabelings"][0]["targetLabel"] == "__tmp_disable_sharding");
    ensure!(everywhere == (spec["shards"].as_u64() > Some(1)), "targets are on every shard: {everywhere}");
    for kind in ["ServiceMonitor", "PodMonitor", "Probe", "ScrapeConfig"] {
        let ours = rendered.of_kind(kind);
        let spread = ours.iter().find(|object| object["spec"].get("scrapeClass").is_some());
        ensure!(spread.is_none(), "{kind} {:?} leaves the default class", spread.map(|o| &o["metadata"]["name"]));
    }
    if spec.get("thanos").is_some() {
        let services = rendered.of_kind("Service");
        let discovery = services.iter().find(|service| service["spec"]["ports"][0]["port"].as_u64() == Some(10901));
        let selector = &discovery.context("no Service for the sidecars")?["spec"]["selector"];
        ensure!(selector["operator.prometheus.io/name"] == prometheus["metadata"]["name"], "it selects {selector:?}");
    }
    Ok(())
}

/// In a namespace with a ResourceQuota a container without them is refused.
fn resources(rendered: &Rendered) -> Result<()> {
    let mut lacking = Vec::new();
    let mut check = |name: String, resources: &Value| {
        for (kind, resource) in [("requests", "cpu"), ("requests", "memory"), ("limits", "cpu"), ("limits", "memory")] {
            if resources[kind][resource].is_null() {
                lacking.push(format!("{name}: {kind}.{resource}"));
            }
        }
    };
    for kind in ["Deployment", "DaemonSet", "Job"] {
        for object in rendered.of_kind(kind) {
            let pod = &object["spec"]["template"]["spec"];
            for container in ["containers", "initContainers"].iter().flat_map(|key| pod[*key].as_sequence()).flatten() {
                let name = text_at(&object["metadata"], "name");
                check(format!("{kind} {name}, {}", text_at(container, "name")), &container["resources"]);
            }
        }
    }
    for kind in ["Prometheus", "Alertmanager"] {
        let spec = &typed::only(rendered, kind)?["spec"];
        check(kind.to_owned(), &spec["resources"]);
        if let Some(sidecar) = spec.get("thanos") {
            check(format!("{kind}'s Thanos sidecar"), &sidecar["resources"]);
        }
    }
    typed::some(rendered, "Deployment")?;
    ensure!(lacking.is_empty(), "{}", lacking.join(", "));
    Ok(())
}
