//! The table of docs/notifications.md: every alert's receiver as amtool finds it, and the alerts that silence it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context as _, Result, ensure};
use rulecheck::Alertmanager;
use rulecheck::alertmanager::matcher::{self, Matcher, Operator};
use rulecheck::alertmanager::{Certainty, InhibitRule};
use rulecheck::infer::{Domain, Label, Labels};

use super::super::{Case, Context};
use crate::tools::{AMTOOL, HELM4};

const PAGE: &str = "docs/notifications.md";

/// Around the table.
const MARKS: [&str; 2] = ["<!-- every alert's way, by `cargo xtask test` -->\n\n", "\n<!-- end -->"];

/// The receivers that the default routes lead to, and the watchdog.
const VALUES: &str =
    "notifications: {receivers: {pagerduty: {enabled: true}, slack: {enabled: true}}, watchdog: {enabled: true}}";

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("notifications: every alert's receiver is the one that the page names", &[HELM4, AMTOOL], table),
        Case::new("notifications: no alert of the stack silences one of ours", &[HELM4], stack),
        Case::new("notifications: an alert that silences others is never silenced as a consequence", &[HELM4], causes),
    ]
}

type Alerts = BTreeMap<String, BTreeMap<String, String>>;

/// The labels of every alert that no expression gives it, by its name.
fn alerts(context: &Context) -> Alerts {
    let one = |(_, _, rule): (_, _, &rulecheck::Rule)| {
        let mut labels = rule.labels.clone();
        labels.insert("alertname".to_owned(), rule.name.clone());
        (rule.name.clone(), labels)
    };
    context.model.alerts().map(one).collect()
}

fn configuration(context: &Context) -> Result<(String, Alertmanager)> {
    let subject = context.full.first().context("no full edition")?;
    let rendered = super::render(context, HELM4, &subject.archive, VALUES)?;
    let text = super::configuration(&rendered)?.1.to_owned();
    let config =
        Alertmanager::parse(PAGE, &text, &mut Vec::new()).context("rulecheck cannot read the configuration")?;
    Ok((text, config))
}

fn matches(matchers: &[Matcher], alert: &BTreeMap<String, String>) -> bool {
    let mut labels = Labels::none("nothing sets it");
    alert.iter().for_each(|(name, value)| labels.set(name.as_str(), Label::always(Domain::one(value))));
    matcher::certainty(matchers, &labels) == Certainty::Always
}

/// Whether one alert silences the other where their namespaces are the same.
fn silences(rule: &InhibitRule, source: &BTreeMap<String, String>, target: &BTreeMap<String, String>) -> bool {
    let agree = rule.equal.iter().all(|label| label == "namespace" || source.get(label) == target.get(label));
    source != target && agree && matches(&rule.source, source) && matches(&rule.target, target)
}

fn table(context: &Context) -> Result<()> {
    let (text, config) = configuration(context)?;
    let file = context.temporary.path().join("page.yml");
    context.shell.write_file(&file, &text)?;
    let alerts = alerts(context);
    let mut table =
        "| Alert | Severity | Receiver | Silent while one of these fires in its namespace |\n|---|---|---|---|\n"
            .to_owned();
    for (name, labels) in &alerts {
        let arguments: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let receiver = super::routed(context, &file, &arguments)?;
        let receiver = if receiver == "null" { "none" } else { &receiver };
        let silencing =
            alerts.iter().filter(|(_, source)| config.inhibit_rules.iter().any(|it| silences(it, source, labels)));
        let silencing: Vec<&str> = silencing.map(|(name, _)| name.as_str()).collect();
        let severity = labels.get("severity").map_or("", String::as_str);
        let _ = writeln!(table, "| {name} | {severity} | {receiver} | {} |", silencing.join(", "));
    }
    let page = std::fs::read_to_string(context.root.join(PAGE)).with_context(|| format!("reading {PAGE}"))?;
    let around = page.split_once(MARKS[0]).and_then(|(before, rest)| Some((before, rest.split_once(MARKS[1])?.1)));
    let (before, after) = around.with_context(|| format!("{PAGE} has no place for the table, {MARKS:?}"))?;
    super::unchanged(context, PAGE, &page, &format!("{before}{}{table}{}{after}", MARKS[0], MARKS[1]))
}

/// InfoInhibitor fires because of GoraxWatchdog, as of any alert of severity info, and must not silence it.
fn stack(context: &Context) -> Result<()> {
    let (_, config) = configuration(context)?;
    let alerts = alerts(context);
    for (name, severity) in
        [("InfoInhibitor", "none"), ("KubePodCrashLooping", "critical"), ("KubeJobFailed", "warning")]
    {
        let source =
            BTreeMap::from([("alertname", name), ("severity", severity)].map(|(k, v)| (k.to_owned(), v.to_owned())));
        let rules: Vec<&InhibitRule> = config.inhibit_rules.iter().filter(|it| matches(&it.source, &source)).collect();
        ensure!(!rules.is_empty(), "{name} silences nothing at all");
        for (ours, labels) in &alerts {
            for rule in &rules {
                ensure!(!silences(rule, &source, labels), "{name} silences {ours} by {}", rule.path);
            }
        }
    }
    Ok(())
}

/// Else two of them would silence each other, and nobody would hear of either; and a family that no alert has silences
/// nothing.
fn causes(context: &Context) -> Result<()> {
    let (_, config) = configuration(context)?;
    let alerts = alerts(context);
    let mut causes = 0;
    for rule in config.inhibit_rules.iter().filter(|rule| rule.source.iter().any(|it| it.name == "alertname")) {
        let named: Vec<&str> = rule.source.iter().filter_map(Matcher::named).flatten().collect();
        for name in named.iter().filter(|name| **name != "InfoInhibitor") {
            causes += 1;
            let cause = alerts.get(*name).with_context(|| format!("{}: there is no alert {name}", rule.path))?;
            let others = config.inhibit_rules.iter().filter(|other| other.target.iter().any(|it| it.name == "family"));
            for other in others.filter(|other| !other.equal.iter().any(|label| label == "family")) {
                ensure!(!matches(&other.target, cause), "{name} is a cause, and {} may silence it", other.path);
            }
        }
        // The rule for the stack's own alerts asks for those without a family.
        let families = rule.target.iter().filter(|it| it.name == "family").flat_map(|it| it.value.split('|'));
        for family in families.filter(|family| !family.is_empty()) {
            let matcher = Matcher::new("family", Operator::Matches, family).map_err(anyhow::Error::msg)?;
            let is_known = alerts.values().any(|labels| labels.get("family").is_some_and(|it| matcher.is_match(it)));
            ensure!(is_known, "{}: no alert has the family {family}", rule.path);
        }
    }
    ensure!(causes > 3, "only {causes} alerts silence others as their cause");
    Ok(())
}
