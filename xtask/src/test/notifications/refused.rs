//! Values that could not notify anybody fail with what to do, in the schema or behind it.

use anyhow::{Result, ensure};

use super::super::rendered::Rendered;
use super::super::{Case, Context, Subject};
use crate::tools::Tool;

/// Values below `notifications.`, and a part of the message; the schema refuses the last seven.
const MISTAKES: [(&str, &str); 17] = [
    (
        "receivers.slack.enabled=true,receivers.slack.secretKey=",
        "set notifications.receivers.slack.secretKey to the key",
    ),
    (
        "receivers.pagerduty.enabled=true,receivers.pagerduty.secretKey=",
        "notifications.receivers.pagerduty is enabled, but",
    ),
    (
        "receivers.webhook.enabled=true,receivers.webhook.secretKey=",
        "that holds it, or notifications.receivers.webhook.url where the address is no secret",
    ),
    ("watchdog.enabled=true,watchdog.secretKey=", "or notifications.watchdog.url"),
    ("receivers.email.enabled=true", "set notifications.receivers.email.to"),
    ("receivers.email.enabled=true,receivers.email.to=a", "set notifications.receivers.email.from"),
    (
        "receivers.email.enabled=true,receivers.email.to=a,receivers.email.from=b",
        "set notifications.receivers.email.smarthost",
    ),
    (
        "receivers.email.enabled=true,receivers.email.to=a,receivers.email.from=b,receivers.email.smarthost=h:25,\
         receivers.email.secretKey=",
        "notifications.receivers.email.authenticate to false",
    ),
    ("watchdog.enabled=true,alerts.overrides.GoraxWatchdog.enabled=false", "leave the alert GoraxWatchdog out"),
    ("watchdog.enabled=true,alerts.enabled=false", "leave the alert GoraxWatchdog out"),
    ("routes.critical=pagerdutty", "critical"),
    ("routes.urgent=slack", "urgent"),
    ("receivers.teams.enabled=true", "teams"),
    ("receivers.slack.secretKey=a/b", "secretKey"),
    ("receivers.webhook.url=https://user:password@example.org", "url"),
    ("groupInterval=0s", "groupInterval"),
    ("alerts.labels.family=mine", "family"),
];

/// The same mistakes where the schema is not asked.
const WITHOUT_SCHEMA: [(&str, &str); 4] = [
    (
        "routes.critical=pagerdutty",
        "notifications.routes.critical names the receiver \"pagerdutty\": use none, pagerduty",
    ),
    ("receivers.teams.enabled=true", "notifications.receivers.teams: there is no such receiver; use pagerduty, slack"),
    ("muteTimes.x.severities={warning}", "notifications.muteTimes.x needs timeIntervals"),
    (
        "muteTimes.x.notify=never,muteTimes.x.severities={warning},muteTimes.x.timeIntervals[0].weekdays={sunday}",
        "notifications.muteTimes.x.notify is \"never\": use outside",
    ),
];

/// In the full edition, below `kube-prometheus-stack.alertmanager.`, where PagerDuty is enabled.
const IN_FULL: [(&str, &str); 4] = [
    ("enabled=false", "kube-prometheus-stack.alertmanager.enabled is false: set it to true"),
    ("alertmanagerSpec.useExistingSecret=false", "useExistingSecret is false"),
    ("alertmanagerSpec.configSecret=mine", "take configSecret and alertmanagerConfiguration out of it"),
    ("alertmanagerSpec.volumeMounts=null", "no longer mount: repeat the entries"),
];

pub(super) fn cases() -> Vec<Case> {
    Case::for_both(&[("notifications: what cannot work is refused in the addon", addon)])
}

/// The settings, those of notifications with their prefix.
fn set(settings: &str) -> String {
    let prefixed = settings.split(',').map(|setting| {
        if setting.starts_with("alerts.") { setting.to_owned() } else { format!("notifications.{setting}") }
    });
    prefixed.collect::<Vec<_>>().join(",")
}

fn addon(context: &Context, helm: Tool) -> Result<()> {
    for (settings, message) in MISTAKES {
        let refused = Rendered::refused(context, helm, &["--set", &set(settings)])?;
        ensure!(refused.contains(message), "{settings}: {refused}");
    }
    for (settings, message) in WITHOUT_SCHEMA {
        let arguments = ["--skip-schema-validation", "--set", &set(settings)];
        let on = "notifications.receivers.pagerduty.enabled=true";
        let refused = Rendered::refused(context, helm, &[&arguments[..], &["--set", on]].concat())?;
        ensure!(refused.contains(message), "{settings}: {refused}");
    }
    let elsewhere = r#"notifications.muteTimes.x={"severities":["warning"],"timeIntervals":[{"weekdays":["sunday"],"location":"Europe/Berlin"}]}"#;
    let on = "notifications.receivers.slack.enabled=true";
    let refused = Rendered::refused(context, helm, &["--set", on, "--set-json", elsewhere])?;
    ensure!(refused.contains("give the times in UTC and leave location out"), "{refused}");
    Ok(())
}

pub(super) fn full(context: &Context, helm: Tool, subject: &Subject) -> Result<()> {
    const STACK: &str = "kube-prometheus-stack.alertmanager";
    let refused =
        |arguments: &[&str]| -> Result<String> { Rendered::chart_refused(context, helm, &subject.archive, arguments) };
    // Both editions share what decides; that the full one asks it is seen by one mistake.
    let found = refused(&["--set", &set(MISTAKES[0].0)])?;
    ensure!(found.contains(MISTAKES[0].1), "{found}");
    let on = "notifications.receivers.pagerduty.enabled=true";
    for (setting, message) in IN_FULL {
        let found = refused(&["--set", on, "--set", &format!("{STACK}.{setting}")])?;
        ensure!(found.contains(message), "{setting}: {found}");
    }
    let own = format!(r#"{STACK}.config.receivers=[{{"name":"null"}},{{"name":"mine"}}]"#);
    let found = refused(&["--set-json", &own])?;
    ensure!(found.contains("config, stringConfig and templateFiles are not read"), "{found}");
    // What is not refused is the stack's own again.
    let theirs = format!("{STACK}.alertmanagerSpec.useExistingSecret=false");
    let arguments = ["--set-json", &own, "--set", &theirs];
    let rendered = Rendered::chart(context, helm, &subject.archive, "gorax-monitoring", &arguments)?;
    let secrets = rendered
        .of_kind("Secret")
        .into_iter()
        .filter(|secret| secret["metadata"]["name"].as_str().is_some_and(|name| name.starts_with("alertmanager-")));
    let secrets: Vec<_> = secrets.collect();
    ensure!(secrets.len() == 1 && secrets[0]["stringData"].is_null(), "the stack writes its Secret");
    let none = format!("{STACK}.enabled=false");
    Rendered::chart(context, helm, &subject.archive, "gorax-monitoring", &["--set", &none])?;
    Ok(())
}
