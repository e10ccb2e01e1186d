//! Two releases in one cluster, each with environments of its own: no object, target or series is there twice.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Result, ensure};
use serde_yaml::Value;

use super::rendered::{Rendered, text_at};
use super::{Case, Context, targets};
use crate::tools::{HELM3, HELM4, Tool};

/// A release's name, the namespace of its one environment, and its values.
const RELEASES: [(&str, &str, &str); 2] = [
    (
        "gorax-monitoring",
        "gorax-prod",
        "{environments: {production: {namespace: gorax-prod}}, worker: {podMonitor: {enabled: true}}}",
    ),
    (
        "obs",
        "gorax-staging",
        "{environments: {staging: {namespace: gorax-staging, layout: kustomize}}, metricsService: {enabled: true}}",
    ),
];

pub(super) fn cases(context: &Context) -> Vec<Case> {
    let mut cases = Case::for_both(&[
        ("releases: two addons share no object, target or series", |context, helm| {
            apart(&render(context, helm, &context.archive)?)
        }),
        ("releases: the addon makes nothing that belongs to the whole cluster", |context, helm| {
            for (rendered, _) in render(context, helm, &context.archive)? {
                for object in &rendered.objects {
                    ensure!(
                        !text_at(&object["metadata"], "namespace").is_empty(),
                        "{:?} has no namespace",
                        object["kind"]
                    );
                }
            }
            Ok(())
        }),
    ]);
    for subject in &context.full {
        for helm in [HELM3, HELM4] {
            let archive = subject.archive.clone();
            let name = format!(
                "{} releases: the full edition with the {} and an addon share no object, target or series",
                helm.name, subject.name
            );
            cases.push(Case::new(name, &[helm], move |context| apart(&render(context, helm, &archive)?)));
        }
    }
    cases
}

/// The first release from the given chart, the second from the addon, each with its environment's namespace.
fn render(context: &Context, helm: Tool, first: &Path) -> Result<Vec<(Rendered, &'static str)>> {
    let mut all = Vec::new();
    for ((release, namespace, gorax), chart) in RELEASES.into_iter().zip([first, &context.archive]) {
        let environment = if namespace == "gorax-prod" { "production" } else { "staging" };
        let values = format!(
            "
gorax: {gorax}
tests: {{prometheusUrl: 'http://prometheus'}}
sources:
  redis: {{main: {{environment: {environment}, deploy: {{address: 'redis://redis:6379'}}}}}}
  blackbox: {{main: {{environment: {environment}, address: 'blackbox:9115', urls: ['http://api/ready']}}}}
"
        );
        let file = context.temporary.path().join("release.yaml");
        context.shell.write_file(&file, values)?;
        all.push((Rendered::chart(context, helm, chart, release, &["-f", &file.to_string_lossy()])?, namespace));
    }
    Ok(all)
}

fn apart(releases: &[(Rendered, &str)]) -> Result<()> {
    let mut objects = BTreeSet::new();
    let mut dashboards = BTreeMap::new();
    for (rendered, namespace) in releases {
        for object in &rendered.objects {
            let metadata = &object["metadata"];
            let id = (text_at(object, "kind"), text_at(metadata, "namespace"), text_at(metadata, "name"));
            ensure!(objects.insert(id), "{id:?} belongs to both");
            // Grafana's sidecar writes each key to one file: two dashboards of a name must be the same.
            if object["kind"] == "ConfigMap" && metadata["labels"]["grafana_dashboard"] == "1" {
                for (key, text) in object["data"].as_mapping().into_iter().flatten() {
                    ensure!(*dashboards.entry(key.as_str()).or_insert(text) == text, "{key:?} differs");
                }
            }
            if object["kind"] == "PrometheusRule" && metadata["labels"]["app.kubernetes.io/part-of"] == "gorax" {
                let groups = object["spec"]["groups"].as_sequence().into_iter().flatten();
                for rule in groups.flat_map(|group| group["rules"].as_sequence().into_iter().flatten()) {
                    let name = text_at(rule, "alert").to_owned() + text_at(rule, "record");
                    ensure!(is_narrow(rule, namespace), "the other release has the series of {name} too");
                }
            }
        }
    }
    let model = targets::model()?;
    let mut found = Vec::new();
    for (rendered, _) in releases {
        found.extend(targets::targets(rendered, &model)?);
    }
    found.retain(|target| target.3 == "gorax-api");
    found.sort();
    let watched = |namespace: &str| releases.iter().any(|(_, own)| *own == namespace);
    let expected = targets::apis(model.iter().filter(|deployed| watched(&deployed.namespace)));
    ensure!(found == expected, "{found:#?}");
    Ok(())
}

/// Whether a rule speaks of one environment alone, or of the monitoring itself.
fn is_narrow(rule: &Value, namespace: &str) -> bool {
    let labels = &rule["labels"];
    let own = format!("gorax:environment:info{{namespace=~\"{namespace}\"}}");
    labels["component"] == "monitoring" || labels["namespace"] == namespace || text_at(rule, "expr").contains(&own)
}
