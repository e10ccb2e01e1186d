//! The chart's own NetworkPolicies: whatever the monitoring's parts need of each other gets through, nothing else does.
//! The flows are read from what is rendered: monitors, datasources, the test's addresses, the Services behind them.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};
use serde_yaml::Value;

use super::relabel::Labels;
use super::rendered::{Rendered, text_at};
use super::targets::selects;
use super::{Case, Context, FullCase, Subject};
use crate::tools::Tool;

/// Everything on that opens a port, with clients elsewhere.
const VALUES: &str = "
networkPolicy:
  enabled: true
  clients: {ingress: {namespace: ingress-nginx}, querier: {namespace: thanos, podLabels: {app: query}}}
gorax: {environments: {production: {namespace: gorax-prod}}}
sources:
  postgres: {main: {environment: production, deploy: {secret: {name: gorax-postgres, key: uri}}}}
  redis: {main: {environment: production, deploy: {address: 'redis://redis.gorax-prod:6379'}}}
  blackbox: {main: {environment: production, deploy: {}, urls: ['http://gorax-api.gorax-prod/ready']}}
";

const GRAFANA: &str = "gorax-monitoring-grafana";

pub(super) fn cases(context: &Context) -> Vec<Case> {
    let mut cases = Case::for_both(&[("network policies: the addon's exporters let any Prometheus in", addon)]);
    let everything: FullCase = ("network policies let in what must, and nobody else", everything);
    cases.extend(Case::for_full(context, "full edition", &[], &[everything]));
    cases
}

/// Someone who connects: the namespace and labels of a pod; without them an address that no selector knows.
type Peer<'a> = Option<(&'a str, &'a Labels)>;

/// A pod that runs.
struct Running {
    name: String,
    namespace: String,
    labels: Labels,
    /// Container ports by name.
    ports: BTreeMap<String, u64>,
}

/// Who must reach a port of whom.
struct Flow {
    from: &'static str,
    to: String,
    port: u64,
}

/// Whether the policies that are rendered, if any, let through what must get through.
pub(super) fn necessary(rendered: &Rendered) -> Result<()> {
    let pods = running(rendered)?;
    for Flow { from, to, port } in flows(rendered, &pods)? {
        let source = pods.iter().find(|pod| pod.name == from).with_context(|| format!("no pod {from}"))?;
        let target = pods.iter().find(|pod| pod.name == to).with_context(|| format!("no pod {to}"))?;
        let peer = Some((source.namespace.as_str(), &source.labels));
        ensure!(admitted(rendered, target, peer, port, "TCP")?, "{from} does not reach port {port} of {to}");
    }
    for pod in pods.iter().filter(|pod| pod.name == "alertmanager") {
        for protocol in ["TCP", "UDP"] {
            let peer = Some((pod.namespace.as_str(), &pod.labels));
            ensure!(admitted(rendered, pod, peer, 9094, protocol)?, "Alertmanagers do not mesh by {protocol}");
        }
    }
    // The API server asks the webhook, from an address of the host's network.
    for pod in pods.iter().filter(|pod| pod.name.ends_with("-operator")) {
        let port = pod.ports.get("https").copied().unwrap_or(10250);
        ensure!(admitted(rendered, pod, None, port, "TCP")?, "the API server does not reach the operator's webhook");
    }
    Ok(())
}

fn everything(context: &Context, helm: Tool, subject: &Subject) -> Result<()> {
    let file = context.temporary.path().join("network-policies.yaml");
    context.shell.write_file(&file, VALUES)?;
    let path = file.to_string_lossy();
    let rendered = Rendered::chart(context, helm, &subject.archive, "gorax-monitoring", &["-f", &path])?;
    necessary(&rendered)?;
    let pods = running(&rendered)?;
    let flows = flows(&rendered, &pods)?;
    for from in ["prometheus", GRAFANA, "test"] {
        ensure!(flows.iter().any(|flow| flow.from == from), "nothing is known that {from} asks");
    }
    // The host's network is beyond policies, and the test's pod listens to nobody.
    for pod in pods.iter().filter(|pod| pod.name != "test") {
        let own = policies(&rendered, pod)?;
        ensure!(own.len() == 1, "{} policies select {}", own.len(), pod.name);
        let egress = own[0]["spec"]["policyTypes"].as_sequence().is_some_and(|types| types.contains(&"Egress".into()));
        ensure!(!egress, "{}: DNS and what it asks would be shut off", pod.name);
    }
    for policy in rendered.of_kind("NetworkPolicy") {
        let used = pods.iter().any(|pod| covers(policy, pod).unwrap_or(false));
        ensure!(used, "{} selects no pod", text_at(&policy["metadata"], "name"));
    }
    let stranger = Labels::from([("app".to_owned(), "shop".to_owned())]);
    let query = Labels::from([("app".to_owned(), "query".to_owned())]);
    for pod in pods.iter().filter(|pod| pod.name != "test" && !pod.name.ends_with("-operator")) {
        for port in pod.ports.values() {
            for peer in [Some(("monitoring", &stranger)), Some(("shop", &stranger)), None, Some(("thanos", &stranger))]
            {
                ensure!(!admitted(&rendered, pod, peer, *port, "TCP")?, "{peer:?} reaches port {port} of {}", pod.name);
            }
        }
        let web = match pod.name.as_str() {
            "prometheus" => &[9090, 10901][..],
            "alertmanager" => &[9093],
            GRAFANA => &[3000],
            _ => &[],
        };
        for port in web {
            for client in [("ingress-nginx", &stranger), ("thanos", &query)] {
                ensure!(
                    admitted(&rendered, pod, Some(client), *port, "TCP")?,
                    "{client:?} does not reach {}",
                    pod.name
                );
            }
        }
    }
    Ok(())
}

/// The addon does not know the Prometheus that scrapes: one of any namespace, by the label that the operator gives it.
fn addon(context: &Context, helm: Tool) -> Result<()> {
    let rendered = Rendered::values(context, helm, VALUES)?;
    let pods = running(&rendered)?;
    let prometheus = Labels::from([("app.kubernetes.io/name".to_owned(), "prometheus".to_owned())]);
    let other = Labels::from([("app".to_owned(), "shop".to_owned())]);
    let exporters: Vec<&Running> = pods.iter().filter(|pod| pod.name != "test").collect();
    ensure!(exporters.len() == 3 && rendered.of_kind("NetworkPolicy").len() == 3, "{} exporters", exporters.len());
    for pod in exporters {
        let port = pod.ports["metrics"];
        ensure!(admitted(&rendered, pod, Some(("observability", &prometheus)), port, "TCP")?, "{}: none", pod.name);
        ensure!(!admitted(&rendered, pod, Some(("monitoring", &other)), port, "TCP")?, "{}: anyone", pod.name);
    }
    Ok(())
}

/// The pods of what is rendered; those that the operator makes have the labels and ports that it gives them.
fn running(rendered: &Rendered) -> Result<Vec<Running>> {
    let mut pods = Vec::new();
    for (kind, name, label, ports) in [
        ("Prometheus", "prometheus", "operator.prometheus.io/name", &[("http-web", 9090), ("reloader-web", 8080)][..]),
        ("Alertmanager", "alertmanager", "alertmanager", &[("http-web", 9093), ("reloader-web", 8080)]),
    ] {
        for object in rendered.of_kind(kind) {
            let resource = text_at(&object["metadata"], "name");
            let labels = [
                ("app.kubernetes.io/name", name),
                ("app.kubernetes.io/instance", resource),
                ("app.kubernetes.io/managed-by", "prometheus-operator"),
                (label, resource),
            ];
            let sidecar = &[("grpc", 10901), ("http", 10902)][..];
            let more = if object["spec"].get("thanos").is_some() { sidecar } else { &[] };
            pods.push(Running {
                name: name.to_owned(),
                namespace: text_at(&object["metadata"], "namespace").to_owned(),
                labels: labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
                ports: ports.iter().chain(more).map(|(name, number)| ((*name).to_owned(), *number)).collect(),
            });
        }
    }
    for object in rendered.objects.iter().filter(|object| ["Deployment", "Pod"].contains(&text_at(object, "kind"))) {
        let test = object["kind"] == "Pod";
        let pod = if test { object } else { &object["spec"]["template"] };
        let containers = pod["spec"]["containers"].as_sequence().into_iter().flatten();
        let ports = containers.flat_map(|container| container["ports"].as_sequence().into_iter().flatten());
        let name = if test { "test" } else { text_at(&object["metadata"], "name") };
        pods.push(Running {
            name: name.to_owned(),
            namespace: text_at(&object["metadata"], "namespace").to_owned(),
            labels: serde_yaml::from_value(pod["metadata"]["labels"].clone())?,
            ports: ports.map(|p| (text_at(p, "name").to_owned(), p["containerPort"].as_u64().unwrap_or(0))).collect(),
        });
    }
    Ok(pods)
}

/// What the monitors let Prometheus scrape, whom it tells of alerts, and what Grafana and the test are told to ask.
fn flows(rendered: &Rendered, pods: &[Running]) -> Result<Vec<Flow>> {
    let mut flows = Vec::new();
    let services = rendered.of_kind("Service");
    for monitor in rendered.of_kind("ServiceMonitor") {
        for service in &services {
            let labels: Labels = serde_yaml::from_value(service["metadata"]["labels"].clone())?;
            if !selects(&monitor["spec"]["selector"], &labels)? {
                continue;
            }
            for endpoint in monitor["spec"]["endpoints"].as_sequence().into_iter().flatten() {
                flows.extend(through(service, &endpoint["port"], "prometheus", pods));
            }
        }
    }
    let named = |name: &str| services.iter().find(|service| service["metadata"]["name"] == name).copied();
    let mut asks = Vec::new();
    for object in rendered.of_kind("Prometheus") {
        let alertmanagers = object["spec"]["alerting"]["alertmanagers"].as_sequence().into_iter().flatten();
        asks.extend(alertmanagers.map(|a| ("prometheus", text_at(a, "name").to_owned(), a["port"].clone())));
    }
    for object in &rendered.objects {
        let urls = urls(object)?;
        asks.extend(urls.into_iter().map(|(from, host, port)| (from, host, port.into())));
    }
    for (from, service, port) in asks {
        let service = named(&service).with_context(|| format!("{from} asks {service}, which is no Service here"))?;
        let found = through(service, &port, from, pods);
        ensure!(!found.is_empty(), "{from} asks port {port:?} of a Service that leads nowhere");
        flows.extend(found);
    }
    Ok(flows)
}

/// The Services and ports in Grafana's datasources and in the variables of the test's pod.
fn urls(object: &Value) -> Result<Vec<(&'static str, String, u64)>> {
    let mut urls = Vec::new();
    if let Some(text) = object["data"]["datasource.yaml"].as_str() {
        let file: Value = serde_yaml::from_str(text)?;
        let sources = file["datasources"].as_sequence().into_iter().flatten();
        urls.extend(sources.map(|source| (GRAFANA, text_at(source, "url").to_owned())));
    }
    if object["kind"] == "Pod" {
        let variables = object["spec"]["containers"][0]["env"].as_sequence().into_iter().flatten();
        let addresses = variables.filter(|v| text_at(v, "name").ends_with("_URL"));
        urls.extend(addresses.map(|v| ("test", text_at(v, "value").to_owned())));
    }
    let parse = |(from, url): (&'static str, String)| {
        let authority = url.split("://").nth(1)?.split('/').next()?;
        let (host, port) = authority.split_once(':')?;
        Some((from, host.split('.').next()?.to_owned(), port.parse().ok()?))
    };
    let parsed: Option<Vec<_>> = urls.clone().into_iter().map(parse).collect();
    parsed.with_context(|| format!("an address without a Service and a port is among {urls:?}"))
}

/// The pods and their ports behind a Service's port, given by name or number.
fn through(service: &Value, port: &Value, from: &'static str, pods: &[Running]) -> Vec<Flow> {
    let ports = service["spec"]["ports"].as_sequence().into_iter().flatten();
    let mut flows = Vec::new();
    for target in ports.filter(|p| p["name"] == *port || p["port"] == *port).map(|p| &p["targetPort"]) {
        for pod in pods.iter().filter(|pod| pod.namespace == text_at(&service["metadata"], "namespace")) {
            let selector = service["spec"]["selector"].as_mapping();
            let chosen = selector.is_some_and(|selector| {
                let has = |(key, value): (&Value, &Value)| {
                    pod.labels.get(key.as_str().unwrap_or_default()).map(String::as_str) == value.as_str()
                };
                !selector.is_empty() && selector.iter().all(has)
            });
            let number = target.as_u64().or_else(|| pod.ports.get(target.as_str()?).copied());
            if let Some(port) = number.filter(|_| chosen) {
                flows.push(Flow { from, to: pod.name.clone(), port });
            }
        }
    }
    flows
}

fn covers(policy: &Value, pod: &Running) -> Result<bool> {
    let here = text_at(&policy["metadata"], "namespace") == pod.namespace;
    Ok(here && selects(&policy["spec"]["podSelector"], &pod.labels)?)
}

fn policies<'a>(rendered: &'a Rendered, pod: &Running) -> Result<Vec<&'a Value>> {
    let mut found = Vec::new();
    for policy in rendered.of_kind("NetworkPolicy") {
        if covers(policy, pod)? {
            found.push(policy);
        }
    }
    Ok(found)
}

/// Whether traffic reaches a port of a pod, as Kubernetes reads policies: without one that selects it, all does.
fn admitted(rendered: &Rendered, pod: &Running, peer: Peer<'_>, port: u64, protocol: &str) -> Result<bool> {
    let policies = policies(rendered, pod)?;
    for policy in &policies {
        for rule in policy["spec"]["ingress"].as_sequence().into_iter().flatten() {
            let ports = rule["ports"].as_sequence().context("a rule for all ports")?;
            let open = ports.iter().any(|p| p["port"].as_u64() == Some(port) && text_at(p, "protocol") == protocol);
            if open && (rule.get("from").is_none() || one_of(&rule["from"], peer)?) {
                return Ok(true);
            }
        }
    }
    Ok(policies.is_empty())
}

fn one_of(from: &Value, peer: Peer<'_>) -> Result<bool> {
    let Some((namespace, labels)) = peer else { return Ok(false) };
    // A namespace carries its name as a label of Kubernetes' own.
    let namespace = Labels::from([("kubernetes.io/metadata.name".to_owned(), namespace.to_owned())]);
    let peers = from.as_sequence().filter(|peers| !peers.is_empty()).context("an empty list lets everyone in")?;
    for peer in peers {
        if peer.get("namespaceSelector").is_none() {
            bail!("a peer without namespaceSelector: the same namespace, whatever it is");
        }
        if selects(&peer["namespaceSelector"], &namespace)? && selects(&peer["podSelector"], labels)? {
            return Ok(true);
        }
    }
    Ok(false)
}
