//! Notifications from values to what Alertmanager does: both editions, every combination of receivers that differs, every
//! alert's way, and what values can get wrong.

mod dialect;
mod messages;
mod page;
mod refused;

use anyhow::{Context as _, Result, bail, ensure};
use rulecheck::{Alertmanager, Finding, Settings, checks};
use serde_yaml::Value;

use super::prometheus::run;
use super::rendered::{Rendered, text_at};
use super::{Case, Context, FullCase, Subject, typed};
use crate::tools::{AMTOOL, Tool};
use xshell::cmd;

/// The Secret with the receivers' credentials.
const SECRET: &str = "gorax-monitoring-notifications";

/// Everything switched on at once.
const ALL: &str = "
notifications:
  receivers:
    pagerduty: {enabled: true}
    slack: {enabled: true, channel: '#gorax'}
    email: {enabled: true, to: a@example.org, from: b@example.org, smarthost: 'mail.example.org:587'}
    webhook: {enabled: true}
  routes: {critical: [pagerduty, slack], warning: slack, info: email, default: webhook}
  watchdog: {enabled: true}
  muteTimes:
    maintenance:
      severities: [critical, warning, default]
      timeIntervals: [{weekdays: [sunday], times: [{startTime: '02:00', endTime: '04:00'}], daysOfMonth: ['1:7', '-1']}]
    business-hours:
      notify: within
      severities: [warning]
      timeIntervals: [{weekdays: ['monday:friday'], times: [{startTime: '09:00', endTime: '17:00'}]}]
";

/// Values by which configurations differ in more than a receiver's name, and what critical, warning and info alerts, one of
/// another severity, and GoraxWatchdog come to with each.
const VARIANTS: [(&str, [&str; 5]); 8] = [
    ("", ["null", "null", "null", "null", "null"]),
    (ALL, ["pagerduty,slack", "slack", "email", "webhook", "watchdog"]),
    ("notifications: {receivers: {pagerduty: {enabled: true}}}", ["pagerduty", "null", "null", "null", "null"]),
    (
        "notifications: {receivers: {slack: {enabled: true, title: '{{ .Status }}', text: hello}}}",
        ["null", "slack", "null", "null", "null"],
    ),
    (
        "notifications: {receivers: {webhook: {enabled: true, url: 'http://chat.example.org/hook'}}, routes: {critical: webhook}}",
        ["webhook", "null", "null", "null", "null"],
    ),
    (
        "notifications: {receivers: {email: {enabled: true, to: a@b, from: c@d, smarthost: 'h:25', authenticate: false}}, \
         routes: {critical: [pagerduty, email], warning: none, info: email}, groupBy: {alertname: false}}",
        ["email", "null", "email", "null", "null"],
    ),
    (
        "notifications: {watchdog: {enabled: true, url: 'http://ring.example.org', interval: 10m}}",
        ["null", "null", "null", "null", "watchdog"],
    ),
    (
        "{alerts: {minSeverity: critical}, notifications: {watchdog: {enabled: true}, receivers: {pagerduty: {enabled: true}}}}",
        ["pagerduty", "null", "null", "null", "watchdog"],
    ),
];

pub(super) fn cases(context: &Context) -> Vec<Case> {
    let taken: FullCase = ("Alertmanager takes the configuration, and alerts their ways", taken);
    let mut cases = Case::for_full(context, "notifications", &[AMTOOL], &[taken]);
    cases.extend(Case::for_full(
        context,
        "notifications",
        &[],
        &[
            ("the operator finds the Secret and knows every field", read_by_the_operator),
            ("the AlertmanagerConfig says the same", same_in_both_editions),
            ("what cannot work is refused", refused::full),
        ],
    ));
    cases.extend(refused::cases());
    cases.extend(messages::cases());
    cases.extend(page::cases());
    cases
}

/// The chart rendered with values from a file.
fn render(context: &Context, helm: Tool, chart: &std::path::Path, values: &str) -> Result<Rendered> {
    let file = context.temporary.path().join("notifications.yaml");
    context.shell.write_file(&file, values)?;
    Rendered::chart(context, helm, chart, "gorax-monitoring", &["-f", &file.to_string_lossy()])
}

/// Fails where a committed file is not what it must be, and leaves that for somebody to read.
fn unchanged(context: &Context, path: &str, committed: &str, must: &str) -> Result<()> {
    if committed != must {
        let name = path.rsplit('/').next().unwrap_or(path);
        context.shell.write_file(context.root.join("target/notifications").join(name), must)?;
        bail!("{path} is stale: read target/notifications/{name}, and copy it there");
    }
    Ok(())
}

/// The Secret with the bundled Alertmanager's configuration, and the configuration.
fn configuration(rendered: &Rendered) -> Result<(&Value, &str)> {
    let name = text_at(&typed::only(rendered, "Alertmanager")?["metadata"], "name");
    let secret = rendered.named(&format!("alertmanager-{name}"))?;
    let text = text_at(&secret["stringData"], "alertmanager.yaml");
    ensure!(!text.is_empty(), "the operator would run a configuration that notifies nobody");
    Ok((secret, text))
}

/// amtool, rulecheck, and amtool's way for an alert of each severity.
fn taken(context: &Context, helm: Tool, subject: &Subject) -> Result<()> {
    let amtool = context.tool(AMTOOL)?;
    let file = context.temporary.path().join("notifications.yml");
    for (values, receivers) in VARIANTS {
        let rendered = render(context, helm, &subject.archive, values)?;
        let (_, text) = configuration(&rendered)?;
        context.shell.write_file(&file, text)?;
        run(cmd!(context.shell, "{amtool} check-config {file}"))?;
        let found = findings(context, text);
        ensure!(found.is_empty(), "{found:#?} in\n{text}");
        let watchdog = "alertname=GoraxWatchdog";
        let alerts = ["severity=critical", "severity=warning", "severity=info", "severity=page", watchdog];
        for (alert, receiver) in alerts.into_iter().zip(receivers) {
            let reached = routed(context, &file, &[alert.to_owned(), "namespace=gorax-prod".to_owned()])?;
            ensure!(reached == receiver, "{alert} goes to {reached}, not to {receiver}, with\n{text}");
        }
        for stacks in ["Watchdog", "InfoInhibitor"] {
            let labels = [format!("alertname={stacks}"), "severity=none".to_owned()];
            ensure!(routed(context, &file, &labels)? == "null", "{stacks} is for nobody");
        }
    }
    Ok(())
}

/// What rulecheck finds about the configuration, with all alerts of ours.
fn findings(context: &Context, text: &str) -> Vec<Finding> {
    const PATH: &str = "alertmanager.yaml";
    let mut findings = Vec::new();
    if let Some(config) = Alertmanager::parse(PATH, text, &mut findings) {
        let model = &context.model;
        findings.extend(checks::run(&model.rules, &[], &[config], &model.contract, &Settings::default()));
    }
    findings.retain(|finding| finding.file == PATH);
    findings
}

/// The receivers that an alert with these labels comes to.
fn routed(context: &Context, file: &std::path::Path, labels: &[String]) -> Result<String> {
    let amtool = context.tool(AMTOOL)?;
    let output = cmd!(context.shell, "{amtool} config routes test --config.file {file} {labels...}").quiet().read()?;
    Ok(output.lines().last().unwrap_or_default().to_owned())
}

/// Fields of a configuration that the operator knows, by where they stand. It decodes the Secret with types of its own, and a
/// field that only Alertmanager knows stops it; so one is put here when it is found there.
/// Source: prometheus-operator/prometheus-operator `pkg/alertmanager/types.go`, 0.93.
const OPERATOR: [(&str, &str); 9] = [
    ("", "route inhibit_rules receivers time_intervals"),
    (
        "route",
        "receiver group_by group_wait group_interval repeat_interval routes matchers continue mute_time_intervals active_time_intervals",
    ),
    ("inhibit_rules", "source_matchers target_matchers equal"),
    ("receivers", "name pagerduty_configs slack_configs email_configs webhook_configs"),
    ("pagerduty_configs", "send_resolved routing_key_file description severity component group class details links"),
    ("slack_configs", "send_resolved api_url_file channel title text color"),
    ("email_configs", "send_resolved to from smarthost auth_username auth_password_file require_tls headers html text"),
    ("webhook_configs", "send_resolved url url_file"),
    ("time_intervals", "name time_intervals weekdays times days_of_month months years location"),
];

fn read_by_the_operator(context: &Context, helm: Tool, subject: &Subject) -> Result<()> {
    for (values, _) in VARIANTS {
        let rendered = render(context, helm, &subject.archive, values)?;
        let (secret, text) = configuration(&rendered)?;
        let alertmanager = typed::only(&rendered, "Alertmanager")?;
        let namespace = |object: &Value| text_at(&object["metadata"], "namespace").to_owned();
        ensure!(namespace(secret) == namespace(alertmanager), "the operator looks in Alertmanager's namespace");
        ensure!(alertmanager["spec"]["configSecret"].is_null(), "the operator would read another Secret");
        let config: Value = serde_yaml::from_str(text)?;
        known("", &config)?;
        let receivers: Vec<&str> =
            config["receivers"].as_sequence().into_iter().flatten().map(|it| text_at(it, "name")).collect();
        ensure!(receivers.contains(&"null"), "routes point at the receiver null");

        let folder = format!("/etc/alertmanager/secrets/{SECRET}");
        let spec = &alertmanager["spec"];
        ensure!(spec["volumes"][0]["secret"]["secretName"] == SECRET, "{:?}", spec["volumes"]);
        ensure!(spec["volumes"][0]["secret"]["optional"] == true, "Alertmanager's pod would wait for the Secret");
        ensure!(spec["volumeMounts"][0]["name"] == spec["volumes"][0]["name"], "the volume is not mounted");
        ensure!(text_at(&spec["volumeMounts"][0], "mountPath") == folder, "{:?}", spec["volumeMounts"]);
        for line in text.lines().filter(|line| line.contains("_file: ")) {
            ensure!(line.contains(&format!("_file: {folder}/")), "{line}");
        }
    }
    let elsewhere = "kube-prometheus-stack: {alertmanager: {namespaceOverride: alerting}}";
    if subject.name != "stand-in" {
        let rendered = render(context, helm, &subject.archive, elsewhere)?;
        let (secret, _) = configuration(&rendered)?;
        ensure!(text_at(&secret["metadata"], "namespace") == "alerting", "namespaceOverride");
    }
    Ok(())
}

/// Fails for a field that [`OPERATOR`] has not.
fn known(place: &str, value: &Value) -> Result<()> {
    // These hold whatever the receiver wants, or lists of texts.
    const OPEN: [&str; 3] = ["details", "headers", "links"];
    if let Some(list) = value.as_sequence() {
        return list.iter().try_for_each(|value| known(place, value));
    }
    let fields = OPERATOR.iter().find(|(name, _)| *name == place).map_or("", |(_, fields)| fields);
    for (key, value) in value.as_mapping().into_iter().flatten() {
        let key = key.as_str().context("a key that is no text")?;
        ensure!(fields.split(' ').any(|known| known == key), "the operator is not known to take `{key}` in {place:?}");
        let nested = match key {
            "routes" => "route",
            "times" => continue,
            key => key,
        };
        if !OPEN.contains(&key) {
            known(nested, value)?;
        }
    }
    Ok(())
}

/// The addon's resource against the full edition's configuration: the same routes, inhibitions, texts and times, and
/// credentials from the same keys.
fn same_in_both_editions(context: &Context, helm: Tool, subject: &Subject) -> Result<()> {
    for (values, receivers) in VARIANTS {
        let full = render(context, helm, &subject.archive, values)?;
        ensure!(full.of_kind("AlertmanagerConfig").is_empty(), "the bundled Alertmanager has its Secret");
        let addon = render(context, helm, &context.archive, values)?;
        let objects = addon.of_kind("AlertmanagerConfig");
        if receivers.iter().all(|receiver| *receiver == "null") {
            ensure!(objects.is_empty(), "no receiver is enabled");
            continue;
        }
        typed::check(&context.model, &addon)?;
        let object = typed::only(&addon, "AlertmanagerConfig")?;
        ensure!(
            text_at(&object["metadata"]["labels"], "release") == "gorax-monitoring",
            "an operator selects by labels"
        );
        let config: Value = serde_yaml::from_str(configuration(&full)?.1)?;
        dialect::compare(&object["spec"], &config)?;
    }
    Ok(())
}
