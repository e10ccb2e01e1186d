//! Both Helm majors on the full edition: with the stand-in for kube-prometheus-stack, and with the real one where its
//! archive is in the cache or beside the chart.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use helmpack::archive::{self, Files};
use serde_yaml::Value;
use xshell::cmd;

use super::helm::lint_chart;
use super::rendered::{Rendered, text_at};
use super::{Case, Context, Subject, profiles, typed};
use crate::dependency::{self, Archive};
use crate::model::Model;
use crate::tools::{HELM4, Tool};

/// The chart of ours that renders objects of the same names and labels as the real stack, from the values that we set.
const STAND_IN_FOLDER: &str = "xtask/tests/stand-in";

/// What cases call it.
pub(super) const STAND_IN: &str = "stand-in";

/// The dependencies to build full editions with, and what to call them.
pub(super) fn dependencies(root: &Path, model: &Model) -> Result<Vec<(&'static str, Vec<Archive>)>> {
    let mut stand_ins = Vec::new();
    for dependency in &model.chart.dependencies {
        let folder = root.join(STAND_IN_FOLDER).join(&dependency.name);
        let mut files = Files::new();
        read_folder(&folder, "", &mut files)?;
        let bytes = archive::pack(&dependency.name, &files, 0)?;
        let pin = helmpack::checksum::sha256(&bytes);
        stand_ins.push(dependency::check(dependency, bytes, &pin).context("packing the stand-in")?);
    }
    let mut all = vec![(STAND_IN, stand_ins)];
    if let Ok(archives) = dependency::find_all(root, model)? {
        all.push(("real stack", archives));
    }
    Ok(all)
}

fn read_folder(folder: &Path, below: &str, files: &mut Files) -> Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let entry = entry?;
        let path = format!("{below}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            read_folder(&entry.path(), &format!("{path}/"), files)?;
        } else {
            files.insert(path, std::fs::read(entry.path())?);
        }
    }
    Ok(())
}

pub(super) fn cases(context: &Context) -> Vec<Case> {
    let mut cases = Case::for_full(
        context,
        "full edition",
        &[],
        &[
            ("the archive and the checkout's folder render the same", folder),
            ("monitors and rules are selected", selected),
            ("Grafana's administrator", administrator),
            ("every field of our custom resources exists", |context, helm, subject| {
                typed::check(&context.model, &render(context, helm, subject, &[])?)
            }),
        ],
    );
    for subject in &context.full {
        let subject = subject.clone();
        let name = format!("helm4 full edition with the {}: install --dry-run=client", subject.name);
        cases.push(Case::new(name, &[HELM4], move |context| dry_run(context, &subject)));
    }
    cases
}

/// The arguments of two sets of values: the defaults, and the profile that sets most. The rest is in profiles.rs.
fn variants(context: &Context) -> [Vec<String>; 2] {
    [Vec::new(), profiles::arguments(context, ["production"])]
}

fn render(context: &Context, helm: Tool, subject: &Subject, arguments: &[&str]) -> Result<Rendered> {
    Rendered::chart(context, helm, &subject.archive, "gorax-monitoring", arguments)
}

/// Unpacked, the archive is what chart/ is after `cargo xtask vendor`. The password is the one thing that is random.
fn folder(context: &Context, helm: Tool, subject: &Subject) -> Result<()> {
    let (root, files) = archive::unpack(&std::fs::read(&subject.archive)?)?;
    let folder = context.temporary.path().join(format!("{}-{}", subject.name, helm.name)).join(root);
    for (path, bytes) in &files {
        context.shell.write_file(folder.join(path), bytes)?;
    }
    for variant in variants(context) {
        let mut arguments: Vec<&str> = variant.iter().map(String::as_str).collect();
        lint_chart(context, helm, &folder, &arguments)?;
        arguments.extend(["--set", "gorax.grafanaAdmin.create=false"]);
        let packed = render(context, helm, subject, &arguments)?;
        let unpacked = Rendered::chart(context, helm, &folder, "gorax-monitoring", &arguments)?;
        ensure!(packed.objects == unpacked.objects, "{variant:?}: they render differently");
    }
    Ok(())
}

fn selected(context: &Context, helm: Tool, subject: &Subject) -> Result<()> {
    let rendered = render(context, helm, subject, &[])?;
    let spec = &typed::only(&rendered, "Prometheus")?["spec"];
    for selector in ["serviceMonitor", "podMonitor", "probe", "scrapeConfig", "rule"] {
        for key in [format!("{selector}Selector"), format!("{selector}NamespaceSelector")] {
            let everything = spec.get(&key).and_then(Value::as_mapping).is_some_and(serde_yaml::Mapping::is_empty);
            ensure!(everything, "{key} is {:?}, expected {{}}, which selects everything", spec.get(&key));
        }
    }
    ensure!(text_at(spec, "scrapeInterval") == "15s" && text_at(spec, "evaluationInterval") == "15s", "intervals");
    ensure!(!spec["externalLabels"]["cluster"].is_null(), "no external label cluster");
    let features = spec["enableFeatures"].as_sequence().cloned().unwrap_or_default();
    ensure!(features.contains(&"created-timestamp-zero-ingestion".into()), "newborn counters need created timestamps");
    rendered.named("gorax-monitoring-api")?;
    rendered.named("gorax-monitoring-rules-workflows")?;
    Ok(())
}

fn administrator(context: &Context, helm: Tool, subject: &Subject) -> Result<()> {
    const NAME: &str = "gorax-monitoring-grafana-admin";
    let rendered = render(context, helm, subject, &[])?;
    let secret = rendered.named(NAME)?;
    for key in ["admin-user", "admin-password"] {
        ensure!(!text_at(&secret["data"], key).is_empty(), "the Secret has no {key}");
    }
    ensure!(
        text_at(&secret["metadata"]["annotations"], "helm.sh/resource-policy") == "keep",
        "uninstalling deletes it"
    );
    let grafana = serde_yaml::to_string(rendered.named("gorax-monitoring-grafana")?)?;
    let asks = rendered.of_kind("Deployment").iter().any(|d| serde_yaml::to_string(d).is_ok_and(|t| t.contains(NAME)));
    ensure!(asks, "Grafana does not read {NAME}: {grafana}");
    let without = render(context, helm, subject, &["--set", "gorax.grafanaAdmin.create=false"])?;
    ensure!(without.named(NAME).is_err(), "grafanaAdmin.create: false makes no Secret");
    let own = "gorax.grafanaAdmin.existingSecret=mine";
    let refused = Rendered::chart_refused(context, helm, &subject.archive, &["--set", own])?;
    ensure!(refused.contains("set kube-prometheus-stack.grafana.admin.existingSecret to \"mine\" too"), "{refused}");
    let both = format!("{own},kube-prometheus-stack.grafana.admin.existingSecret=mine");
    ensure!(render(context, helm, subject, &["--set", &both])?.named(NAME).is_err(), "an existing Secret is used");
    Ok(())
}

fn dry_run(context: &Context, subject: &Subject) -> Result<()> {
    let (helm, archive) = (context.tool(HELM4)?, &subject.archive);
    for variant in &variants(context) {
        let command = cmd!(
            context.shell,
            "{helm} install gorax-monitoring {archive} -n monitoring --dry-run=client {variant...}"
        );
        let output = command.quiet().ignore_status().output()?;
        ensure!(output.status.success(), "{variant:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
