//! Profiles, alone and together, on the full edition: with both Helm majors, the stand-in and the real stack. What each
//! combination renders must hold what high availability and retention need.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, anyhow, ensure};
use helmpack::archive;
use rulecheck::query::seconds;
use serde_yaml::Value;

use super::helm::lint_chart;
use super::rendered::Rendered;
use super::{Case, Context, Subject, availability, typed};
use crate::model::facts::Fields;
use crate::tools::{HELM4, Tool};
use crate::vendor::facts;

/// Profiles that say how large an installation is: one of them at most.
const SIZES: [&str; 4] = ["development", "staging", "ha", "production"];

/// What adds little to so small an installation; nobody is helped by a promise that it works.
const SENSELESS: [(&str, &str); 3] =
    [("development", "long-retention"), ("development", "sharded"), ("staging", "sharded")];

/// Additions that meet without a size, or all at once.
const FURTHER: [&[&str]; 6] = [
    &["gitops", "airgap"],
    &["thanos", "remote-write"],
    &["thanos", "sharded"],
    &["long-retention", "remote-write"],
    &["production", "sharded", "thanos", "gitops"],
    &["production", "self-managed", "long-retention", "thanos", "remote-write", "gitops", "airgap", "conservative"],
];

/// A password would be another one in each render; profile gitops switches it off by itself.
const NOTHING_RANDOM: [&str; 2] = ["--set", "gorax.grafanaAdmin.create=false"];

/// The stack's own dashboards and rules are most of a render, and no profile changes them.
const WITHOUT_BULK: [&str; 2] = [
    "--set",
    "kube-prometheus-stack.grafana.defaultDashboardsEnabled=false,kube-prometheus-stack.defaultRules.create=false",
];

pub(super) fn cases(context: &Context) -> Vec<Case> {
    let mut cases = vec![
        Case::new("profiles: conservative has every critical alert wait longer", &[], conservative),
        Case::new("profiles: docs/profiles.md has a row for each, and its values render", &[HELM4], page),
    ];
    cases.extend(Case::for_full(
        context,
        "full edition",
        &[],
        &[
            ("lint --strict, default and with each profile", lint),
            ("profiles alone, twice the same, and together: retention, replicas, budgets, mesh and fields", together),
            ("profile airgap: every image is listed, pinned and of one registry", airgap),
        ],
    ));
    cases.extend(Case::for_both(&[("profiles: lint --strict and render of the addon with each", addon)]));
    cases
}

/// The arguments for profiles of the checkout, in order.
pub(super) fn arguments<'a>(context: &Context, names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let folder = context.root.join("chart/profiles");
    let path = |name: &str| folder.join(format!("{name}.yaml")).to_string_lossy().into_owned();
    names.into_iter().flat_map(|name| ["-f".to_owned(), path(name)]).collect()
}

/// No profile, and each one.
fn alone(context: &Context) -> Vec<Vec<&str>> {
    std::iter::once(Vec::new()).chain(context.model.values.profiles.keys().map(|name| vec![name.as_str()])).collect()
}

/// Every size with every addition that makes sense, and what else meets.
fn combined(context: &Context) -> Vec<Vec<&str>> {
    let additions = context.model.values.profiles.keys().filter(|name| !SIZES.contains(&name.as_str()));
    let pairs = additions.flat_map(|addition| SIZES.map(|size| (size, addition.as_str())));
    let pairs = pairs.filter(|pair| !SENSELESS.contains(pair)).map(|(size, addition)| vec![size, addition]);
    pairs.chain(FURTHER.iter().map(|names| names.to_vec())).collect()
}

fn refs(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

fn render(context: &Context, helm: Tool, subject: &Subject, names: &[&str], more: &[&str]) -> Result<Rendered> {
    let profiles = arguments(context, names.iter().copied());
    let arguments = [refs(&profiles), more.to_vec()].concat();
    Rendered::chart(context, helm, &subject.archive, "gorax-monitoring", &arguments)
        .map_err(|error| anyhow!("profiles {names:?}: {error:#}"))
}

fn lint(context: &Context, helm: Tool, subject: &Subject) -> Result<()> {
    for names in alone(context) {
        lint_chart(context, helm, &subject.archive, &refs(&arguments(context, names)))?;
    }
    Ok(())
}

fn together(context: &Context, helm: Tool, subject: &Subject) -> Result<()> {
    let fields = fields_of_stack(subject)?;
    // With the stand-in alone there is nothing better to try all of them with.
    let best = context.full.last().is_some_and(|best| best.name == subject.name);
    let combined = if best { combined(context) } else { FURTHER.iter().map(|names| names.to_vec()).collect() };
    for names in alone(context).into_iter().chain(combined) {
        let random = if names.contains(&"gitops") { &[][..] } else { &NOTHING_RANDOM };
        let more = [&WITHOUT_BULK, random].concat();
        let rendered = render(context, helm, subject, &names, &more)?;
        if names.len() < 2 {
            let again = render(context, helm, subject, &names, &more)?;
            ensure!(rendered.objects == again.objects, "profiles {names:?}: two renders differ");
        }
        availability::check(&rendered).map_err(|error| anyhow!("profiles {names:?}, {error:#}"))?;
        let mut typed = typed::check(&context.model, &rendered);
        if !fields.is_empty() {
            typed = typed.and_then(|()| typed::fields(&fields, &rendered));
        }
        typed.map_err(|error| anyhow!("profiles {names:?}: {error:#}"))?;
        let guarded = !rendered.of_kind("NetworkPolicy").is_empty();
        ensure!(guarded == names.contains(&"production"), "profiles {names:?}: network policies {guarded}");
        let spec = &typed::only(&rendered, "Prometheus")?["spec"];
        let (replicas, alertmanagers) =
            (availability::pods(spec)?, availability::pods(&typed::only(&rendered, "Alertmanager")?["spec"])?);
        let large = names.iter().any(|name| ["ha", "production"].contains(name));
        let shards = if names.contains(&"sharded") { 2 } else { 1 };
        let expected = if large { (2 * shards, 3) } else { (shards, 1) };
        ensure!((replicas, alertmanagers) == expected, "{names:?}: {replicas} and {alertmanagers} pods");
    }
    Ok(())
}

/// The fields of Prometheus and Alertmanager from the definitions inside the archive; the stand-in has none.
fn fields_of_stack(subject: &Subject) -> Result<BTreeMap<String, Fields>> {
    let (_, files) = archive::unpack(&std::fs::read(&subject.archive)?)?;
    let mut fields = BTreeMap::new();
    for (_, bytes) in files.iter().filter(|(path, _)| path.starts_with("charts/")) {
        fields.extend(facts::resources(&archive::unpack(bytes)?.1, &["Prometheus", "Alertmanager"])?);
    }
    Ok(fields)
}

/// Every image comes from the one registry, is in the list to mirror, and is the one that runs without the profile.
fn airgap(context: &Context, helm: Tool, subject: &Subject) -> Result<()> {
    const REGISTRY: &str = "registry.example.org/";
    let everything = [
        "sources.postgres.a={\"environment\":\"x\",\"deploy\":{\"secret\":{\"name\":\"s\",\"key\":\"k\"}}}",
        "sources.redis.a={\"environment\":\"x\",\"deploy\":{\"address\":\"redis://r:6379\"}}",
        "sources.blackbox.a={\"environment\":\"x\",\"deploy\":{},\"urls\":[\"http://x\"]}",
    ]
    .map(|set| ["--set-json", set])
    .concat();
    let plain = images(&render(context, helm, subject, &["thanos"], &everything)?);
    let here = images(&render(context, helm, subject, &["thanos", "airgap"], &everything)?);
    ensure!(here.len() == plain.len() && here.len() > 12, "{} images, and {} without it", here.len(), plain.len());
    let list = super::images(&subject.archive)?;
    ensure!(!list.contains('#'), "images without a tag are listed:\n{list}");
    for image in &here {
        let name = image.strip_prefix(REGISTRY).with_context(|| format!("{image} is of another registry"))?;
        ensure!(!name.ends_with(":latest") && name.contains(':'), "{image} is not pinned");
        let of_plain = plain.iter().find(|plain| plain.split_once('/').is_some_and(|(_, path)| path == name));
        let of_plain =
            of_plain.with_context(|| format!("without the profile {name} has another version: {plain:?}"))?;
        ensure!(list.lines().any(|line| line == of_plain), "{of_plain} is not listed:\n{list}");
    }
    Ok(())
}

/// What runs: images of containers and of the operator's resources, and those that its arguments name.
fn images(rendered: &Rendered) -> Vec<String> {
    let mut found = Vec::new();
    rendered.objects.iter().for_each(|object| collect_images(object, &mut found));
    found.sort();
    found.dedup();
    found
}

fn collect_images(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Mapping(map) => {
            found.extend(map.get("image").and_then(Value::as_str).map(str::to_owned));
            map.values().for_each(|value| collect_images(value, found));
        }
        Value::Sequence(list) => list.iter().for_each(|value| collect_images(value, found)),
        Value::String(text) => {
            let flags = ["--prometheus-config-reloader=", "--thanos-default-base-image="];
            found.extend(flags.iter().find_map(|flag| text.strip_prefix(flag)).map(str::to_owned));
        }
        _ => {}
    }
}

fn addon(context: &Context, helm: Tool) -> Result<()> {
    let (_, files) = archive::unpack(&std::fs::read(&context.archive)?)?;
    let folder = context.temporary.path().join("addon-profiles");
    let mut tried = 0;
    for (path, bytes) in files.iter().filter(|(path, _)| path.starts_with("profiles/")) {
        let file = folder.join(path);
        context.shell.write_file(&file, bytes)?;
        let arguments = ["-f", &file.to_string_lossy()];
        lint_chart(context, helm, &context.archive, &arguments)
            .and_then(|()| typed::check(&context.model, &Rendered::template(context, helm, &arguments)?))
            .map_err(|error| anyhow!("{path}: {error:#}"))?;
        tried += 1;
    }
    ensure!(tried > 0, "the addon has no profiles");
    Ok(())
}

/// A new critical alert must be thought of here too.
fn conservative(context: &Context) -> Result<()> {
    let profile = context.model.values.profiles.get("conservative").context("no profile conservative")?;
    let values = context.model.values.with(profile);
    for (_, _, rule) in context.model.alerts().filter(|(_, _, rule)| rule.labels["severity"] == "critical") {
        let held = |text: Option<&str>| text.and_then(seconds).unwrap_or(0.0);
        let longer = held(values["alerts"]["overrides"][&rule.name]["for"].as_str());
        ensure!(longer >= 2.0 * held(rule.hold.as_deref()), "{} waits {longer} s", rule.name);
    }
    Ok(())
}

/// Blocks that begin with `# my-values.yaml` are for this chart.
fn page(context: &Context) -> Result<()> {
    let page = std::fs::read_to_string(context.root.join("docs/profiles.md")).context("reading docs/profiles.md")?;
    for name in context.model.values.profiles.keys() {
        ensure!(page.contains(&format!("\n| `{name}` | ")), "docs/profiles.md has no row for {name}");
    }
    let subject = context.full.last().context("no full edition")?;
    let file = context.temporary.path().join("my-values.yaml");
    let blocks = page.split("```yaml\n# my-values.yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let blocks: Vec<&str> = blocks.collect();
    ensure!(blocks.len() > 2, "{} examples", blocks.len());
    let (names, fields) = (["production", "thanos"], fields_of_stack(subject)?);
    let plain = render(context, HELM4, subject, &names, &NOTHING_RANDOM)?;
    for block in blocks {
        context.shell.write_file(&file, block)?;
        let path = file.to_string_lossy();
        let rendered = render(context, HELM4, subject, &names, &[&NOTHING_RANDOM[..], &["-f", &path]].concat())?;
        ensure!(rendered.objects != plain.objects, "this changes nothing:\n{block}");
        if !fields.is_empty() {
            typed::fields(&fields, &rendered)?;
        }
    }
    Ok(())
}
