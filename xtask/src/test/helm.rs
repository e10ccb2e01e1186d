//! Both Helm majors on the packed addon edition: it lints, and it renders what the sources say.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
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
    let mut cases = Case::for_both(&[
        ("lint --strict of the archive", lint),
        ("render: one object for each source, all required alerts", counts),
        ("render: rules and dashboards equal their sources", fidelity),
        ("render: every field of our custom resources exists", |context, helm| {
            typed::check(&context.model, &Rendered::template(context, helm, &[])?)
        }),
    ]);
    cases.push(Case::new("helm3 and helm4 render the same", &[HELM3, HELM4], |context| {
        let deployed = "sources.redis.a.environment=x,sources.redis.a.deploy.address=redis://r,gorax.scrape.additionalScrapeConfigs.enabled=true";
        for arguments in [
            &[][..],
            &["--set", "gorax.environments.a.namespace=x,alerts.minSeverity=warning"],
            &["--set", deployed],
            &["--set-json", r#"sources.blackbox.a={"environment":"x","deploy":{}}"#, "--set", "gorax.worker.probe.enabled=true"],
        ] {
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
        // One more holds the script of `helm test`.
        ("ConfigMap", model.dashboards.len() + 1),
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
