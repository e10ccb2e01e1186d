//! Which pods our monitors would scrape: ServiceMonitor → Service → container port, and PodMonitor → container port, as
//! the operator and Prometheus resolve them, against a model of Gorax's deployments (gorax.yaml beside this file).

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};
use regex::Regex;
use serde::Deserialize;
use serde_yaml::Value;

use super::rendered::{Rendered, text_at};
use super::{Case, Context};
use crate::tools::Tool;

const MODEL: &str = include_str!("gorax.yaml");

type Labels = BTreeMap<String, String>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Deployed {
    name: String,
    layout: String,
    prefix: String,
    namespace: String,
    services: Vec<Service>,
    pods: Vec<Pod>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Service {
    name: String,
    labels: Labels,
    selector: Labels,
    /// Name to the name of the container's port.
    ports: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pod {
    deployment: String,
    labels: Labels,
    ports: BTreeMap<String, u16>,
    /// Whether /metrics answers there today.
    metrics: bool,
}

/// What Prometheus would scrape: (namespace, deployment, port, job).
type Target = (String, String, u16, String);

pub(super) fn cases() -> Vec<Case> {
    Case::for_both(&[
        ("targets: discovery finds the API of every layout, and nothing else", discovery),
        ("targets: a named environment finds its API alone, and its deployments by name", named),
        ("targets: the workers' monitor finds the workers of every layout", workers),
    ])
}

fn model() -> Result<Vec<Deployed>> {
    serde_yaml::from_str(MODEL).context("reading gorax.yaml")
}

/// The API pods of some deployments, each once, on the port where Gorax listens.
fn apis<'a>(deployed: impl IntoIterator<Item = &'a Deployed>) -> Vec<Target> {
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

fn workers(context: &Context, helm: Tool) -> Result<()> {
    let model = model()?;
    let rendered = Rendered::template(context, helm, &["--set", "gorax.worker.podMonitor.enabled=true"])?;
    let found: Vec<Target> =
        targets(&rendered, &model)?.into_iter().filter(|target| target.3 == "gorax-worker").collect();
    let mut expected: Vec<Target> = model
        .iter()
        .filter(|deployed| deployed.layout != "none")
        .map(|d| (d.namespace.clone(), format!("{}gorax-worker", d.prefix), 8081, "gorax-worker".to_owned()))
        .collect();
    expected.sort();
    ensure!(found == expected, "{found:#?}");
    Ok(())
}

/// Every target of every monitor, sorted; a pod that two endpoints reach is there twice.
fn targets(rendered: &Rendered, model: &[Deployed]) -> Result<Vec<Target>> {
    let mut targets = Vec::new();
    for deployed in model {
        for monitor in rendered.of_kind("ServiceMonitor") {
            for service in &deployed.services {
                service_targets(&monitor["spec"], deployed, service, &mut targets)?;
            }
        }
        for monitor in rendered.of_kind("PodMonitor") {
            for pod in &deployed.pods {
                pod_targets(&monitor["spec"], deployed, pod, &mut targets)?;
            }
        }
    }
    targets.sort();
    Ok(targets)
}

fn service_targets(spec: &Value, deployed: &Deployed, service: &Service, targets: &mut Vec<Target>) -> Result<()> {
    if !in_namespace(spec, deployed) || !selects(&spec["selector"], &service.labels)? {
        return Ok(());
    }
    for endpoint in spec["endpoints"].as_sequence().context("a monitor without endpoints")? {
        let Some(port) = service.ports.get(text_at(endpoint, "port")) else { continue };
        for pod in deployed.pods.iter().filter(|pod| service.selector.iter().all(|(k, v)| pod.labels.get(k) == Some(v)))
        {
            let number = *pod.ports.get(port).with_context(|| format!("no container has the port {port}"))?;
            let mut meta = meta_labels("service", &service.labels);
            meta.insert("__meta_kubernetes_service_name".to_owned(), service.name.clone());
            targets.extend(relabel(endpoint, meta, deployed, pod, number)?);
        }
    }
    Ok(())
}

fn pod_targets(spec: &Value, deployed: &Deployed, pod: &Pod, targets: &mut Vec<Target>) -> Result<()> {
    if !in_namespace(spec, deployed) || !selects(&spec["selector"], &pod.labels)? {
        return Ok(());
    }
    for endpoint in spec["podMetricsEndpoints"].as_sequence().context("a monitor without endpoints")? {
        if let Some(number) = pod.ports.get(text_at(endpoint, "port")) {
            targets.extend(relabel(endpoint, meta_labels("pod", &pod.labels), deployed, pod, *number)?);
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
fn selects(selector: &Value, labels: &Labels) -> Result<bool> {
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

fn meta_labels(kind: &str, labels: &Labels) -> Labels {
    let clean = |key: &str| key.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    labels
        .iter()
        .map(|(key, value)| (format!("__meta_kubernetes_{kind}_label_{}", clean(key)), value.clone()))
        .collect()
}

/// Applies `keep` and `replace`, the two actions that our monitors use on targets.
fn relabel(endpoint: &Value, mut labels: Labels, deployed: &Deployed, pod: &Pod, port: u16) -> Result<Option<Target>> {
    for rule in endpoint["relabelings"].as_sequence().into_iter().flatten() {
        let sources = rule["sourceLabels"].as_sequence().into_iter().flatten().filter_map(Value::as_str);
        let value = sources.map(|label| labels.get(label).cloned().unwrap_or_default()).collect::<Vec<_>>().join(";");
        match text_at(rule, "action") {
            "keep" => {
                let regex = Regex::new(&format!("^(?:{})$", text_at(rule, "regex"))).context("a relabeling's regex")?;
                if !regex.is_match(&value) {
                    return Ok(None);
                }
            }
            "replace" => {
                labels.insert(text_at(rule, "targetLabel").to_owned(), text_at(rule, "replacement").to_owned());
            }
            other => bail!("unknown action {other}"),
        }
    }
    let job = labels.remove("job").context("no relabeling sets the job")?;
    Ok(Some((deployed.namespace.clone(), pod.deployment.clone(), port, job)))
}
