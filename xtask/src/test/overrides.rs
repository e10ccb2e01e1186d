//! `alerts:` in the values: overrides change what they name and nothing else, switches switch.

use anyhow::{Context as _, Result, bail, ensure};
use serde_yaml::Value;

use super::rendered::{Rendered, text_at};
use super::{Case, Context};
use crate::tools::Tool;

pub(super) fn cases() -> Vec<Case> {
    Case::for_both(&[
        ("alerts: a threshold override changes exactly that number", one_threshold),
        ("alerts: every other override does what it says", overrides),
        ("alerts: every marked number can be overridden", every_mark),
    ])
}

fn one_threshold(context: &Context, helm: Tool) -> Result<()> {
    let plain = Rendered::template(context, helm, &[])?;
    let changed =
        Rendered::template(context, helm, &["--set", "alerts.overrides.HighWorkflowFailureRate.threshold=0.2"])?;
    let (plain, changed) = (plain.rules(), changed.rules());
    let different: Vec<(&Value, &Value)> = plain.into_iter().zip(changed).filter(|(a, b)| a != b).collect();
    let [(before, after)] = different[..] else { bail!("{} rules differ, expected one", different.len()) };
    let mut expected = before.clone();
    expected["expr"] = text_at(before, "expr").replace("> 0.1  # threshold\n", "> 0.2  # threshold\n").into();
    ensure!(*after == expected && before != after, "{}", serde_yaml::to_string(after)?);
    Ok(())
}

fn overrides(context: &Context, helm: Tool) -> Result<()> {
    let values = "
alerts:
  labels: {team: platform}
  runbookBaseUrl: https://wiki.example.org/gorax/
  dashboardBaseUrl: https://grafana.example.org/d
  groups:
    gorax_queue: {enabled: false}
  overrides:
    HighWorkflowFailureRate: {threshold: 0, for: 10m, severity: critical}
    CriticalWorkflowFailureRate: {thresholds: {minimumRuns: 1000000}}
    HighHTTPLatency: {enabled: false}
    HighHTTPRequestRate: {for: '0'}
";
    let rendered = Rendered::values(context, helm, values)?;
    let alert = |name: &str| rendered.alert(name).with_context(|| format!("{name} is not rendered"));
    let high = alert("HighWorkflowFailureRate")?;
    ensure!(text_at(high, "expr").contains("> 0  # threshold\n"), "{}", text_at(high, "expr"));
    ensure!(text_at(high, "for") == "10m" && text_at(&high["labels"], "severity") == "critical", "for or severity");
    ensure!(text_at(&high["labels"], "team") == "platform", "alerts.labels");
    let annotations = &high["annotations"];
    let runbook = text_at(annotations, "runbook_url");
    ensure!(runbook == "https://wiki.example.org/gorax/HighWorkflowFailureRate.md", "{runbook}");
    let dashboard = text_at(annotations, "dashboard_url");
    ensure!(
        dashboard == "https://grafana.example.org/d/gorax-workflows?var-namespace={{ $labels.namespace }}",
        "{dashboard}"
    );
    let critical = text_at(alert("CriticalWorkflowFailureRate")?, "expr");
    ensure!(
        critical.contains(">= 1e+06  # threshold: minimumRuns") && critical.contains("> 0.25  # threshold\n"),
        "{critical}"
    );
    ensure!(text_at(alert("HighHTTPRequestRate")?, "for") == "0", "for: 0");
    ensure!(rendered.alert("HighHTTPLatency").is_none() && rendered.alert("NoActiveWorkers").is_none(), "switches");

    let critical_only = Rendered::template(context, helm, &["--set", "alerts.minSeverity=critical"])?;
    let severities = critical_only.rules().into_iter().map(|rule| text_at(&rule["labels"], "severity").to_owned());
    ensure!(severities.into_iter().all(|severity| severity.is_empty() || severity == "critical"), "minSeverity");
    let off = "alerts.enabled=false,dashboards.enabled=false,tests.enabled=false";
    let none = Rendered::template(context, helm, &["--set", off])?;
    ensure!(none.alerts() == 0 && none.of_kind("ConfigMap").is_empty(), "alerts.enabled, dashboards.enabled");
    ensure!(none.rules().iter().any(|rule| rule["record"] == "gorax:workflow_success_rate:5m"), "recording rules stay");
    Ok(())
}

/// The template finds marks with a regular expression, our model with its own code: they must agree on every mark.
fn every_mark(context: &Context, helm: Tool) -> Result<()> {
    let mut values = String::from("alerts:\n  overrides:\n");
    let mut expected = Vec::new();
    for (_, _, rule) in context.model.alerts() {
        let marks = crate::model::threshold::thresholds(&rule.expr).map_err(anyhow::Error::msg)?;
        if marks.is_empty() {
            continue;
        }
        values += &format!("    {}:\n", rule.name);
        let mut named: Vec<&str> =
            marks.iter().map(|mark| mark.name.as_str()).filter(|name| !name.is_empty()).collect();
        named.dedup();
        if marks.iter().any(|mark| mark.name.is_empty()) {
            values += "      threshold: 12345.5\n";
        }
        if !named.is_empty() {
            let named: Vec<String> = named.iter().map(|name| format!("{name}: 12345.5")).collect();
            values += &format!("      thresholds: {{{}}}\n", named.join(", "));
        }
        expected.push((rule.name.clone(), marks.len()));
    }
    let rendered = Rendered::values(context, helm, &values)?;
    for (name, count) in expected {
        let expr = text_at(rendered.alert(&name).context("an alert is gone")?, "expr");
        ensure!(expr.matches(" 12345.5 ").count() == count, "{name}: {expr}");
    }
    Ok(())
}
