//! Both Helm majors on the full edition: with the stand-in for kube-prometheus-stack, and with the real one where its
//! archive is in the cache or beside the chart.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use helmpack::archive::{self, Files};
use serde_yaml::Value;
use xshell::cmd;

use super::helm::lint_chart;
use super::rendered::{Rendered, text_at};
use super::{Case, Context, Subject, typed};
use crate::dependency::{self, Archive};
use crate::model::Model;
use crate::tools::{HELM3, HELM4, Tool};

/// The chart of ours that renders objects of the same names and labels as the real stack, from the values that we set.
const STAND_IN: &str = "xtask/tests/stand-in";

/// The dependencies to build full editions with, and what to call them.
pub(super) fn dependencies(root: &Path, model: &Model) -> Result<Vec<(&'static str, Vec<Archive>)>> {
    let mut stand_ins = Vec::new();
    for dependency in &model.chart.dependencies {
        let folder = root.join(STAND_IN).join(&dependency.name);
        let mut files = Files::new();
        read_folder(&folder, "", &mut files)?;
        let bytes = archive::pack(&dependency.name, &files, 0)?;
        let pin = helmpack::checksum::sha256(&bytes);
        stand_ins.push(dependency::check(dependency, bytes, &pin).context("packing the stand-in")?);
    }
    let mut all = vec![("stand-in", stand_ins)];
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
    let mut cases = Vec::new();
    for subject in &context.full {
        for helm in [HELM3, HELM4] {
            let mut case = |name: &str, run: fn(&Context, Tool, &Subject) -> Result<()>| {
                let subject = subject.clone();
                let name = format!("{} full edition with the {}: {name}", helm.name, subject.name);
                cases.push(Case::new(name, &[helm], move |context| run(context, helm, &subject)));
            };
            case("lint --strict, default and with each profile", lint);
            case("the archive and the checkout's folder render the same", folder);
            case("monitors and rules are selected", selected);
            case("retention fits the volume", retention);
            case("every container has requests and limits", resources);
            case("profiles ha and production: replicas, spreading, PDBs", high_availability);
            case("Grafana's administrator", administrator);
            case("every field of our custom resources exists", |context, helm, subject| {
                typed::check(&context.model, &render(context, helm, subject, &[])?)
            });
        }
        let subject = subject.clone();
        let name = format!("helm4 full edition with the {}: install --dry-run=client", subject.name);
        cases.push(Case::new(name, &[HELM4], move |context| dry_run(context, &subject)));
    }
    cases
}

/// The path of a profile as it lies in the checkout.
fn profile(context: &Context, name: &str) -> String {
    context.root.join("chart/profiles").join(format!("{name}.yaml")).to_string_lossy().into_owned()
}

/// The arguments of every set of values that is tried: the defaults, and each profile.
fn variants(context: &Context) -> Vec<Vec<String>> {
    let profiles = context.model.values.profiles.keys().map(|name| vec!["-f".to_owned(), profile(context, name)]);
    std::iter::once(Vec::new()).chain(profiles).collect()
}

fn render(context: &Context, helm: Tool, subject: &Subject, arguments: &[&str]) -> Result<Rendered> {
    Rendered::chart(context, helm, &subject.archive, "gorax-monitoring", arguments)
}

fn render_variant(context: &Context, helm: Tool, subject: &Subject, variant: &[String]) -> Result<Rendered> {
    let arguments: Vec<&str> = variant.iter().map(String::as_str).collect();
    render(context, helm, subject, &arguments)
}

fn lint(context: &Context, helm: Tool, subject: &Subject) -> Result<()> {
    for variant in variants(context) {
        let arguments: Vec<&str> = variant.iter().map(String::as_str).collect();
        lint_chart(context, helm, &subject.archive, &arguments)?;
    }
    Ok(())
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
        let again = render(context, helm, subject, &arguments)?;
        ensure!(packed.objects == again.objects, "{variant:?}: two renders differ");
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

fn retention(context: &Context, helm: Tool, subject: &Subject) -> Result<()> {
    for variant in variants(context) {
        let rendered = render_variant(context, helm, subject, &variant)?;
        let spec = &typed::only(&rendered, "Prometheus")?["spec"];
        ensure!(
            text_at(spec, "retention") == "15d" && text_at(spec, "retentionSize") == "50GB",
            "{variant:?}: retention"
        );
        let claim = &spec["storage"]["volumeClaimTemplate"]["spec"]["resources"]["requests"];
        // Prometheus' GB are powers of two; the size counts blocks, and a compaction needs room beside them.
        ensure!(text_at(claim, "storage") == "60Gi", "{variant:?}: 50GB need a volume of 60Gi, not {claim:?}");
    }
    Ok(())
}

fn resources(context: &Context, helm: Tool, subject: &Subject) -> Result<()> {
    for variant in variants(context) {
        let rendered = render_variant(context, helm, subject, &variant)?;
        let mut lacking = Vec::new();
        let mut check = |name: String, resources: &Value| {
            for (kind, resource) in
                [("requests", "cpu"), ("requests", "memory"), ("limits", "cpu"), ("limits", "memory")]
            {
                if resources[kind][resource].is_null() {
                    lacking.push(format!("{name}: {kind}.{resource}"));
                }
            }
        };
        for kind in ["Deployment", "DaemonSet", "Job"] {
            for object in rendered.of_kind(kind) {
                let pod = &object["spec"]["template"]["spec"];
                for container in
                    ["containers", "initContainers"].iter().flat_map(|key| pod[*key].as_sequence()).flatten()
                {
                    let name = text_at(&object["metadata"], "name");
                    check(format!("{kind} {name}, {}", text_at(container, "name")), &container["resources"]);
                }
            }
        }
        for kind in ["Prometheus", "Alertmanager"] {
            check(kind.to_owned(), &typed::only(&rendered, kind)?["spec"]["resources"]);
        }
        typed::some(&rendered, "Deployment")?;
        ensure!(lacking.is_empty(), "{variant:?}: {}", lacking.join(", "));
    }
    Ok(())
}

fn high_availability(context: &Context, helm: Tool, subject: &Subject) -> Result<()> {
    let plain = render(context, helm, subject, &[])?;
    ensure!(plain.of_kind("PodDisruptionBudget").is_empty(), "a budget over one replica would block every drain");
    for name in ["ha", "production"] {
        let rendered = render(context, helm, subject, &["-f", &profile(context, name)])?;
        for (kind, replicas) in [("Prometheus", 2), ("Alertmanager", 3)] {
            let object = typed::only(&rendered, kind)?;
            ensure!(object["spec"]["replicas"] == replicas, "{name}: {kind} replicas");
            let spread =
                &object["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
            ensure!(spread.as_sequence().is_some_and(|terms| !terms.is_empty()), "{name}: {kind} may share a node");
        }
        let budgets = typed::some(&rendered, "PodDisruptionBudget")?;
        ensure!(budgets.len() == 2, "{name}: {} budgets", budgets.len());
        for budget in budgets {
            let spec = &budget["spec"];
            let app = text_at(&spec["selector"]["matchLabels"], "app.kubernetes.io/name");
            let replicas = if app == "alertmanager" { 3 } else { 2 };
            let minimum = spec["minAvailable"].as_i64().context("a budget without minAvailable")?;
            ensure!(minimum < replicas, "{name}: the budget of {app} blocks every drain");
            ensure!(spec.get("maxUnavailable").is_none(), "{name}: the API server refuses a budget with both bounds");
        }
    }
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
