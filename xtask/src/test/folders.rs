//! `dashboards.folder` and `dashboards.folders`: each dashboard says in which folder it belongs, and the bundled Grafana
//! listens.

use anyhow::{Context as _, Result, ensure};
use serde_yaml::Value;

use super::rendered::{Rendered, text_at};
use super::{Case, Context, Subject};
use crate::tools::{HELM4, Tool};

pub(super) fn cases(context: &Context) -> Vec<Case> {
    let mut cases = Case::for_both(&[("dashboards: each goes to the folder that values name", folders)]);
    for subject in context.full.iter().filter(|subject| subject.name == "real stack") {
        let subject = subject.clone();
        let name = "helm4 full edition with the real stack: Grafana reads the dashboards' folders";
        cases.push(Case::new(name, &[HELM4], move |context| listens(context, HELM4, &subject)));
    }
    cases
}

fn folders(context: &Context, helm: Tool) -> Result<()> {
    let default = Rendered::template(context, helm, &[])?;
    ensure!(folder(&default, "gorax-overview")? == "Gorax", "the default folder");
    ensure!(folder(&default, "gorax-business")? == "Gorax Business", "a role's folder");
    let set = "dashboards.folder=Platform,dashboards.folders.gorax-api=APIs,dashboards.folders.gorax-business=";
    let set = Rendered::template(context, helm, &["--set", set])?;
    for (uid, expected) in [
        ("gorax-overview", "Platform"),
        ("gorax-api", "APIs"),
        ("gorax-operations", "Gorax Operations"),
        ("gorax-business", ""),
    ] {
        ensure!(folder(&set, uid)? == expected, "{uid} is in the folder {:?}", folder(&set, uid)?);
    }
    let message = Rendered::refused(context, helm, &["--set", "dashboards.folders.gorax-apis=X"])?;
    let expected = "dashboards.folders.gorax-apis: there is no such dashboard; the dashboards are gorax-api, ";
    ensure!(message.contains(expected), "{message}");
    Ok(())
}

/// Empty where there is no annotation.
fn folder<'a>(rendered: &'a Rendered, uid: &str) -> Result<&'a str> {
    let object = rendered.named(&format!("gorax-monitoring-dashboard-{uid}"))?;
    Ok(text_at(&object["metadata"]["annotations"], "grafana_folder"))
}

/// The sidecar writes a dashboard into a folder by the annotation, and Grafana makes folders of those on the disk.
fn listens(context: &Context, helm: Tool, subject: &Subject) -> Result<()> {
    let rendered = Rendered::chart(context, helm, &subject.archive, "gorax-monitoring", &[])?;
    let deployments = rendered.of_kind("Deployment").into_iter();
    let mut grafana = deployments.filter(|object| object["metadata"]["name"] == "gorax-monitoring-grafana");
    let grafana = grafana.next().context("there is no Grafana")?;
    let containers = grafana["spec"]["template"]["spec"]["containers"].as_sequence();
    let mut variables = containers.into_iter().flatten().flat_map(|c| c["env"].as_sequence()).flatten();
    let annotation = variables.find(|variable| variable["name"] == "FOLDER_ANNOTATION").context("FOLDER_ANNOTATION")?;
    ensure!(annotation["value"] == "grafana_folder", "{annotation:?}");
    let provider = rendered.named("gorax-monitoring-grafana-config-dashboards")?;
    let provider: Value = serde_yaml::from_str(text_at(&provider["data"], "provider.yaml"))?;
    ensure!(provider["providers"][0]["options"]["foldersFromFilesStructure"] == true, "{provider:?}");
    Ok(())
}
