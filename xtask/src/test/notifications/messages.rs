//! What people read: every text of every receiver, filled in by amtool with alerts as they come, beside a file that a person
//! has read.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use serde_yaml::Value;
use xshell::cmd;

use super::super::{Case, Context};
use crate::tools::{AMTOOL, HELM4};

/// What makes a group of alerts.
type Sample = fn() -> serde_json::Value;

/// A group of alerts, and the texts that it gives, as somebody has read them.
const SAMPLES: [(&str, Sample, &str); 4] = [
    ("one", one, include_str!("one.txt")),
    ("many", many, include_str!("many.txt")),
    ("bare", bare, include_str!("bare.txt")),
    ("resolved", resolved, include_str!("resolved.txt")),
];

pub(super) fn cases() -> Vec<Case> {
    let case = |(name, alerts, expected): (&'static str, Sample, &'static str)| {
        let title = format!("notifications: the texts of the sample {name} are those that somebody has read");
        Case::new(title, &[HELM4, AMTOOL], move |context| texts(context, name, &alerts(), expected))
    };
    SAMPLES.map(case).into()
}

fn texts(context: &Context, name: &str, data: &serde_json::Value, expected: &str) -> Result<()> {
    let subject = context.full.first().context("no full edition")?;
    let rendered = super::render(context, HELM4, &subject.archive, super::ALL)?;
    let config: Value = serde_yaml::from_str(super::configuration(&rendered)?.1)?;
    let mut found = String::new();
    for receiver in config["receivers"].as_sequence().into_iter().flatten() {
        for (path, text) in templates(receiver) {
            found += &format!("## {path}\n{}\n", filled_in(context, &path, text, data)?);
        }
    }
    super::unchanged(context, &format!("xtask/src/test/notifications/{name}.txt"), expected, &found)
}

/// The texts of a receiver that are templates, by where they stand.
fn templates(receiver: &Value) -> Vec<(String, &str)> {
    fn within<'a>(path: &str, value: &'a Value, found: &mut Vec<(String, &'a str)>) {
        match value {
            Value::String(text) if text.contains("{{") => found.push((path.to_owned(), text)),
            Value::Sequence(list) => list.iter().for_each(|value| within(path, value, found)),
            Value::Mapping(map) => map.iter().for_each(|(key, value)| {
                within(&format!("{path} {}", key.as_str().unwrap_or_default()), value, found);
            }),
            _ => {}
        }
    }
    let mut found = Vec::new();
    within(receiver["name"].as_str().unwrap_or_default(), receiver, &mut found);
    found
}

/// A text as Alertmanager would send it.
fn filled_in(context: &Context, path: &str, text: &str, data: &serde_json::Value) -> Result<String> {
    let amtool = context.tool(AMTOOL)?;
    let folder = context.temporary.path().join("texts");
    let file = folder.join("data.json");
    context.shell.write_file(&file, data.to_string())?;
    let kind = if path.ends_with("html") { "html" } else { "text" };
    // The glob names files with further templates, of which there are none.
    let glob = folder.join("none");
    context.shell.write_file(&glob, "")?;
    let command = cmd!(
        context.shell,
        "{amtool} template render --template.glob={glob} --template.type={kind} --template.text={text} --template.data={file}"
    );
    let output = command.quiet().ignore_status().output()?;
    ensure!(output.status.success(), "{path}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).context("amtool printed no UTF-8")?;
    ensure!(!text.contains("<no value>"), "{path}: {text}");
    Ok(text)
}

/// An alert as Prometheus sends it.
fn alert(status: &str, labels: &[(&str, &str)], annotations: &[(&str, &str)]) -> serde_json::Value {
    let map = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), json!(v))).collect::<serde_json::Map<_, _>>()
    };
    json!({
        "status": status,
        "labels": map(labels),
        "annotations": map(annotations),
        "startsAt": "2026-03-01T09:30:00Z",
        "endsAt": if status == "firing" { "0001-01-01T00:00:00Z" } else { "2026-03-01T10:00:00Z" },
        "generatorURL": "http://prometheus.example.org/graph?g0.expr=up+%3D%3D+0&g0.tab=1",
        "fingerprint": "0000000000000000",
    })
}

/// A notification of these alerts, grouped as the chart groups them.
fn notification(alerts: &[serde_json::Value]) -> serde_json::Value {
    let common = |of: &str| {
        let mut all = alerts.iter().map(|alert| alert[of].as_object().cloned().unwrap_or_default());
        let mut common = all.next().unwrap_or_default();
        all.for_each(|other| common.retain(|key, value| other.get(key) == Some(value)));
        common
    };
    let (labels, annotations) = (common("labels"), common("annotations"));
    let group: BTreeMap<&String, _> =
        labels.iter().filter(|(key, _)| ["alertname", "cluster", "namespace"].contains(&key.as_str())).collect();
    json!({
        "receiver": "any",
        "status": if alerts.iter().any(|alert| alert["status"] == "firing") { "firing" } else { "resolved" },
        "groupLabels": group,
        "commonLabels": labels,
        "commonAnnotations": annotations,
        "externalURL": "http://alertmanager.example.org",
        "alerts": alerts,
    })
}

const FAILURES: [(&str, &str); 5] = [
    ("alertname", "HighWorkflowFailureRate"),
    ("severity", "critical"),
    ("component", "workflows"),
    ("namespace", "gorax-prod"),
    ("cluster", "eu&\"west\""),
];
const RUNBOOK: (&str, &str) = ("runbook_url", "https://example.org/runbooks/HighWorkflowFailureRate.md");

/// One alert, with signs in it that mean something to Slack, to HTML or in an address.
fn one() -> serde_json::Value {
    let annotations = [
        ("summary", "12.5% of executions fail in <gorax-prod>"),
        ("description", "Of 200 executions & more, 25 failed: <!channel> \"at once\"."),
        RUNBOOK,
        ("dashboard_url", "https://grafana.example.org/d/gorax-workflows?var-namespace=gorax-prod"),
    ];
    notification(&[alert("firing", &FAILURES, &annotations)])
}

/// More than a notification shows, and resolved ones among them; Grafana's address is not known.
fn many() -> serde_json::Value {
    let numbered = |number: usize| {
        let (pod, summary) = (format!("api-{number}"), format!("Pod {number} is down"));
        let labels = [("alertname", "Many"), ("severity", "warning"), ("namespace", "gorax-prod"), ("pod", &pod)];
        let annotations = [("summary", summary.as_str()), RUNBOOK, ("dashboard_url", "/d/gorax-overview")];
        alert(if number < 22 { "firing" } else { "resolved" }, &labels, &annotations)
    };
    notification(&(0..24).map(numbered).collect::<Vec<_>>())
}

/// Alerts of others: two names in one group, no annotations, no namespace, an unknown severity.
fn bare() -> serde_json::Value {
    let named = |name: &str| alert("firing", &[("alertname", name), ("severity", "page")], &[]);
    notification(&[named("DiskFull"), named("NodeGone")])
}

fn resolved() -> serde_json::Value {
    let annotations = [("summary", "12.5% of executions fail in gorax-prod"), RUNBOOK];
    notification(&[alert("resolved", &FAILURES, &annotations)])
}
