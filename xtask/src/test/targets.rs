//! Which pods our monitors would scrape: ServiceMonitor → Service → container port, PodMonitor → container port, and plain
//! scrape configurations, as the operator and Prometheus resolve them, against a model of Gorax's deployments (gorax.yaml
//! beside this file).

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use serde_yaml::Value;

use super::relabel::{self, Labels};
use super::rendered::{Rendered, text_at};
use super::scrape_configs;
use super::{Case, Context};
use crate::tools::Tool;

const MODEL: &str = include_str!("gorax.yaml");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Deployed {
    pub(super) name: String,
    pub(super) layout: String,
    prefix: String,
    pub(super) namespace: String,
    pub(super) services: Vec<Service>,
    pub(super) pods: Vec<Pod>,
    /// The labels of the pods that its PodDisruptionBudgets cover.
    #[serde(default)]
    pub(super) budgets: Vec<Labels>,
    /// The specs of NetworkPolicies that its documents tell to apply.
    #[serde(default)]
    pub(super) policies: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Service {
    name: String,
    labels: Labels,
    pub(super) selector: Labels,
    /// Name to the name of the container's port.
    ports: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pod {
    pub(super) deployment: String,
    pub(super) labels: Labels,
    ports: BTreeMap<String, u16>,
    /// Whether /metrics answers there today.
    pub(super) metrics: bool,
}

/// What Prometheus would scrape: a port of a deployment's pod, and the labels after all relabeling.
pub(super) struct Found {
    pub(super) deployment: String,
    port: u16,
    labels: Labels,
}

/// The same in short: (namespace, deployment, port, job).
pub(super) type Target = (String, String, u16, String);

impl Found {
    /// A target without a label instance gets its address for one.
    fn new(pod: &Pod, port: u16, mut labels: Labels) -> Found {
        let address = labels.get("__address__").cloned().unwrap_or_default();
        labels.entry("instance".to_owned()).or_insert(address);
        Found { deployment: pod.deployment.clone(), port, labels }
    }

    pub(super) fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }

    pub(super) fn target(&self) -> Target {
        (self.label("namespace").to_owned(), self.deployment.clone(), self.port, self.label("job").to_owned())
    }

    /// The labels that its series have.
    pub(super) fn series_labels(&self) -> Labels {
        self.labels.iter().filter(|(name, _)| !name.starts_with("__")).map(|(k, v)| (k.clone(), v.clone())).collect()
    }
}

impl Deployed {
    /// The pods that a Service selects.
    fn behind<'a>(&'a self, service: &'a Service) -> impl Iterator<Item = &'a Pod> {
        self.pods.iter().filter(|pod| service.selector.iter().all(|(key, value)| pod.labels.get(key) == Some(value)))
    }
}

impl Service {
    fn meta_labels(&self) -> Labels {
        let mut labels = meta_labels("service", &self.labels);
        labels.insert("__meta_kubernetes_service_name".to_owned(), self.name.clone());
        labels
    }
}

pub(super) fn cases() -> Vec<Case> {
    Case::for_both(&[
        ("targets: discovery finds the API of every layout, and nothing else", discovery),
        ("targets: a named environment finds its API alone, and its deployments by name", named),
        ("targets: a Service of our own reaches the API's pods", own_service),
        ("targets: the workers' monitor finds the workers of every layout", workers),
    ])
}

pub(super) fn model() -> Result<Vec<Deployed>> {
    serde_yaml::from_str(MODEL).context("reading gorax.yaml")
}

/// The API pods of some deployments, each once, on the port where Gorax listens.
pub(super) fn apis<'a>(deployed: impl IntoIterator<Item = &'a Deployed>) -> Vec<Target> {
    let mut targets: Vec<Target> = deployed
        .into_iter()
        .filter(|deployed| deployed.layout != "none")
        .flat_map(|deployed| {
            let pods = deployed.pods.iter().filter(|pod| pod.metrics);
            pods.map(|pod| (deployed.namespace.clone(), pod.deployment.clone(), 8080, "gorax-api".to_owned()))
        })
        .collect();
    targets.sort();
    targets
}

fn discovery(context: &Context, helm: Tool) -> Result<()> {
    let model = model()?;
    let rendered = Rendered::template(context, helm, &[])?;
    let found = targets(&rendered, &model)?;
    ensure!(found == apis(&model), "{found:#?}");
    Ok(())
}

fn named(context: &Context, helm: Tool) -> Result<()> {
    let model = model()?;
    for deployed in model.iter().filter(|deployed| deployed.layout != "none") {
        // `auto` must find them as well as the layout that they really have.
        for layout in ["auto", &deployed.layout] {
            let Deployed { name, namespace, prefix, .. } = deployed;
            let values = format!(
                "gorax: {{environments: {{{name}: {{namespace: {namespace}, layout: {layout}, namePrefix: '{prefix}'}}}}}}"
            );
            let rendered = Rendered::values(context, helm, &values)?;
            let found = targets(&rendered, &model)?;
            ensure!(found == apis([deployed]), "{name} as {layout}: {found:#?}");
            let rules = rendered.rules();
            let info = rules.iter().find(|rule| rule["record"] == "gorax:environment:info").context("no series")?;
            for (label, what) in [("api_deployment", "api"), ("worker_deployment", "worker")] {
                let deployment = text_at(&info["labels"], label);
                let there = deployed.pods.iter().any(|pod| pod.deployment == deployment && deployment.ends_with(what));
                ensure!(there, "{name}: there is no deployment {deployment}");
            }
            let service = text_at(&info["labels"], "service");
            ensure!(
                deployed.services.iter().any(|other| other.name == service),
                "{name}: there is no Service {service}"
            );
        }
    }
    Ok(())
}

fn own_service(context: &Context, helm: Tool) -> Result<()> {
    let model = model()?;
    for deployed in model.iter().filter(|deployed| deployed.layout != "none") {
        let Deployed { name, namespace, layout, .. } = deployed;
        let values = format!(
            "gorax: {{metricsService: {{enabled: true}}, environments: {{{name}: {{namespace: {namespace}, layout: {layout}}}}}}}"
        );
        let found = targets(&Rendered::values(context, helm, &values)?, &model)?;
        ensure!(found == apis([deployed]), "{name}: {found:#?}");
    }
    Ok(())
}

fn workers(context: &Context, helm: Tool) -> Result<()> {
    let model = model()?;
    let rendered = Rendered::template(context, helm, &["--set", "gorax.worker.podMonitor.enabled=true"])?;
    let found: Vec<Target> =
        targets(&rendered, &model)?.into_iter().filter(|target| target.3 == "gorax-worker").collect();
    ensure!(found == worker_targets(&model, "gorax-worker"), "{found:#?}");
    Ok(())
}

/// The workers of all deployments, each once.
pub(super) fn worker_targets(model: &[Deployed], job: &str) -> Vec<Target> {
    let mut targets: Vec<Target> = model
        .iter()
        .filter(|deployed| deployed.layout != "none")
        .map(|d| (d.namespace.clone(), format!("{}gorax-worker", d.prefix), 8081, job.to_owned()))
        .collect();
    targets.sort();
    targets
}

/// The targets of [`found`], in short.
pub(super) fn targets(rendered: &Rendered, model: &[Deployed]) -> Result<Vec<Target>> {
    Ok(found(rendered, model)?.iter().map(Found::target).collect())
}

/// Every target of every monitor, sorted; a pod that two endpoints reach is there twice.
pub(super) fn found(rendered: &Rendered, model: &[Deployed]) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    for deployed in model {
        let ours = made_in(deployed, rendered)?;
        for monitor in rendered.of_kind("ServiceMonitor") {
            for service in deployed.services.iter().chain(&ours) {
                service_targets(&monitor["spec"], deployed, service, &mut found)?;
            }
        }
        for monitor in rendered.of_kind("PodMonitor") {
            for pod in &deployed.pods {
                pod_targets(&monitor["spec"], deployed, pod, &mut found)?;
            }
        }
        for job in scrape_configs::of(rendered)? {
            for service in &deployed.services {
                plain_targets(&job, deployed, service, &mut found)?;
            }
        }
    }
    found.sort_by(|a, b| (a.target(), &a.labels).cmp(&(b.target(), &b.labels)));
    Ok(found)
}

/// The Services that the chart makes in a deployment's namespace, with the ports of the pods that they lead to.
fn made_in(deployed: &Deployed, rendered: &Rendered) -> Result<Vec<Service>> {
    let mut made = Vec::new();
    for object in rendered.of_kind("Service") {
        let (metadata, spec) = (&object["metadata"], &object["spec"]);
        if text_at(metadata, "namespace") != deployed.namespace {
            continue;
        }
        let mut service = Service {
            name: text_at(metadata, "name").to_owned(),
            labels: serde_yaml::from_value(metadata["labels"].clone())?,
            selector: serde_yaml::from_value(spec["selector"].clone())?,
            ports: BTreeMap::new(),
        };
        let port = &spec["ports"][0];
        let number = port["targetPort"].as_u64().context("a port by number is expected")?;
        let leads = |pod: &&Pod| service.selector.iter().all(|(key, value)| pod.labels.get(key) == Some(value));
        let ports = deployed.pods.iter().filter(leads).flat_map(|pod| &pod.ports);
        let target = ports.into_iter().find(|(_, of)| u64::from(**of) == number).map(|(name, _)| name.clone());
        service.ports.extend(target.map(|target| (text_at(port, "name").to_owned(), target)));
        made.push(service);
    }
    Ok(made)
}

fn service_targets(spec: &Value, deployed: &Deployed, service: &Service, found: &mut Vec<Found>) -> Result<()> {
    if !in_namespace(spec, deployed) || !selects(&spec["selector"], &service.labels)? {
        return Ok(());
    }
    for endpoint in spec["endpoints"].as_sequence().context("a monitor without endpoints")? {
        let Some(port) = service.ports.get(text_at(endpoint, "port")) else { continue };
        for pod in deployed.behind(service) {
            let number = *pod.ports.get(port).with_context(|| format!("no container has the port {port}"))?;
            let mut labels = discovered(deployed, pod, number);
            labels.extend(service.meta_labels());
            found.extend(monitored(endpoint, labels, pod, number)?);
        }
    }
    Ok(())
}

fn pod_targets(spec: &Value, deployed: &Deployed, pod: &Pod, found: &mut Vec<Found>) -> Result<()> {
    if !in_namespace(spec, deployed) || !selects(&spec["selector"], &pod.labels)? {
        return Ok(());
    }
    for endpoint in spec["podMetricsEndpoints"].as_sequence().context("a monitor without endpoints")? {
        if let Some(number) = pod.ports.get(text_at(endpoint, "port")) {
            found.extend(monitored(endpoint, discovered(deployed, pod, *number), pod, *number)?);
        }
    }
    Ok(())
}

/// The targets of a scrape configuration: Prometheus discovers the ports of every Service's pods, and, without the name
/// of a Service's port, the pods' other ports.
fn plain_targets(job: &Value, deployed: &Deployed, service: &Service, found: &mut Vec<Found>) -> Result<()> {
    let discovery = &job["kubernetes_sd_configs"][0];
    ensure!(text_at(discovery, "role") == "endpointslice", "the role is {:?}", discovery["role"]);
    let namespaces = discovery["namespaces"]["names"].as_sequence();
    if namespaces.is_some_and(|names| !names.contains(&deployed.namespace.as_str().into())) {
        return Ok(());
    }
    for pod in deployed.behind(service) {
        for (name, number) in &pod.ports {
            let mut labels = discovered(deployed, pod, *number);
            labels.extend(service.meta_labels());
            if let Some((port, _)) = service.ports.iter().find(|(_, target)| *target == name) {
                labels.insert("__meta_kubernetes_endpointslice_port_name".to_owned(), port.clone());
            }
            let labels = relabel::apply(&job["relabel_configs"], labels)?;
            found.extend(labels.map(|labels| Found::new(pod, *number, labels)));
        }
    }
    Ok(())
}

fn in_namespace(spec: &Value, deployed: &Deployed) -> bool {
    let selector = &spec["namespaceSelector"];
    let named =
        selector["matchNames"].as_sequence().is_some_and(|names| names.contains(&deployed.namespace.as_str().into()));
    named || selector["any"] == true
}

/// A Kubernetes label selector; an empty one selects everything.
pub(super) fn selects(selector: &Value, labels: &Labels) -> Result<bool> {
    for (key, value) in selector["matchLabels"].as_mapping().into_iter().flatten() {
        if labels.get(key.as_str().unwrap_or_default()).map(String::as_str) != value.as_str() {
            return Ok(false);
        }
    }
    for expression in selector["matchExpressions"].as_sequence().into_iter().flatten() {
        let values: Vec<&str> =
            expression["values"].as_sequence().into_iter().flatten().filter_map(Value::as_str).collect();
        let value = labels.get(text_at(expression, "key")).map(String::as_str);
        let holds = match text_at(expression, "operator") {
            "In" => value.is_some_and(|value| values.contains(&value)),
            "NotIn" => value.is_none_or(|value| !values.contains(&value)),
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            other => bail!("unknown operator {other}"),
        };
        if !holds {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The labels that service discovery gives to a port of a pod.
fn discovered(deployed: &Deployed, pod: &Pod, port: u16) -> Labels {
    let mut labels = meta_labels("pod", &pod.labels);
    for (label, value) in [
        ("__address__", format!("10.0.0.1:{port}")),
        ("__meta_kubernetes_namespace", deployed.namespace.clone()),
        ("__meta_kubernetes_pod_container_name", format!("{}-container", pod.deployment)),
        ("__meta_kubernetes_pod_name", format!("{}-0", pod.deployment)),
        ("__meta_kubernetes_pod_phase", "Running".to_owned()),
    ] {
        labels.insert(label.to_owned(), value);
    }
    labels
}

/// A target of a monitor's endpoint: the labels that the operator puts on every target, then the endpoint's relabelings.
fn monitored(endpoint: &Value, mut labels: Labels, pod: &Pod, port: u16) -> Result<Option<Found>> {
    for (label, meta) in [
        ("namespace", "namespace"),
        ("service", "service_name"),
        ("pod", "pod_name"),
        ("container", "pod_container_name"),
    ] {
        if let Some(value) = labels.get(&format!("__meta_kubernetes_{meta}")) {
            labels.insert(label.to_owned(), value.clone());
        }
    }
    labels.insert("endpoint".to_owned(), text_at(endpoint, "port").to_owned());
    labels.insert("__metrics_path__".to_owned(), text_at(endpoint, "path").to_owned());
    for (name, values) in endpoint["params"].as_mapping().into_iter().flatten() {
        let label = format!("__param_{}", name.as_str().unwrap_or_default());
        labels.insert(label, values[0].as_str().unwrap_or_default().to_owned());
    }
    Ok(relabel::apply(&endpoint["relabelings"], labels)?.map(|labels| Found::new(pod, port, labels)))
}

fn meta_labels(kind: &str, labels: &Labels) -> Labels {
    let clean = |key: &str| key.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    let both = |(key, value): (&String, &String)| {
        let key = clean(key);
        [
            (format!("__meta_kubernetes_{kind}_label_{key}"), value.clone()),
            (format!("__meta_kubernetes_{kind}_labelpresent_{key}"), "true".to_owned()),
        ]
    };
    labels.iter().flat_map(both).collect()
}
