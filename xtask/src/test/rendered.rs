//! What `helm template` renders, as parsed objects.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize as _;
use serde_yaml::Value;
use xshell::cmd;

use super::Context;
use crate::tools::Tool;

/// Helm built by Go tells an old Kubernetes version, and each major another one; so it is always given.
pub(super) const KUBE_VERSION: &str = "1.36";

/// The objects of one render.
pub(super) struct Rendered {
    pub(super) objects: Vec<Value>,
}

impl Rendered {
    /// Renders the archive as release `gorax-monitoring`.
    pub(super) fn template(context: &Context, helm: Tool, arguments: &[&str]) -> Result<Rendered> {
        Rendered::chart(context, helm, &context.archive, "gorax-monitoring", arguments)
    }

    /// Renders the archive as any release.
    pub(super) fn release(context: &Context, helm: Tool, release: &str, arguments: &[&str]) -> Result<Rendered> {
        Rendered::chart(context, helm, &context.archive, release, arguments)
    }

    /// Renders any chart as any release.
    pub(super) fn chart(
        context: &Context,
        helm: Tool,
        chart: &Path,
        release: &str,
        arguments: &[&str],
    ) -> Result<Rendered> {
        match template(context, helm, chart, release, arguments)? {
            Ok(text) => Rendered::parse(&text),
            Err(error) => bail!("helm template failed: {error}"),
        }
    }

    /// Renders the archive with a values file.
    pub(super) fn values(context: &Context, helm: Tool, values: &str) -> Result<Rendered> {
        let file = context.temporary.path().join("values.yaml");
        context.shell.write_file(&file, values)?;
        Rendered::template(context, helm, &["-f", &file.to_string_lossy()])
    }

    /// The message of a render that must fail.
    pub(super) fn refused(context: &Context, helm: Tool, arguments: &[&str]) -> Result<String> {
        Rendered::chart_refused(context, helm, &context.archive, arguments)
    }

    /// The same of any chart.
    pub(super) fn chart_refused(context: &Context, helm: Tool, chart: &Path, arguments: &[&str]) -> Result<String> {
        match template(context, helm, chart, "gorax-monitoring", arguments)? {
            Ok(_) => bail!("helm template {} was expected to fail", arguments.join(" ")),
            Err(error) => Ok(error),
        }
    }

    fn parse(text: &str) -> Result<Rendered> {
        let objects: Result<Vec<Value>, _> = serde_yaml::Deserializer::from_str(text).map(Value::deserialize).collect();
        let mut objects = objects.context("reading what helm template printed")?;
        objects.retain(|object| !object.is_null());
        let rendered = Rendered { objects };
        let mut names = BTreeMap::new();
        for object in &rendered.objects {
            let metadata = &object["metadata"];
            let id = (text_at(object, "kind"), text_at(metadata, "namespace"), text_at(metadata, "name"));
            ensure!(names.insert(id, ()).is_none(), "{id:?} is rendered twice");
        }
        Ok(rendered)
    }

    pub(super) fn of_kind(&self, kind: &str) -> Vec<&Value> {
        self.objects.iter().filter(|object| object["kind"] == kind).collect()
    }

    pub(super) fn named(&self, name: &str) -> Result<&Value> {
        let found = self.objects.iter().find(|object| object["metadata"]["name"] == name);
        found.with_context(|| format!("there is no object {name}"))
    }

    /// Every rule of every PrometheusRule, in order.
    pub(super) fn rules(&self) -> Vec<&Value> {
        let objects = self.of_kind("PrometheusRule").into_iter();
        let groups = objects.flat_map(|object| object["spec"]["groups"].as_sequence().into_iter().flatten());
        groups.flat_map(|group| group["rules"].as_sequence().into_iter().flatten()).collect()
    }

    /// The alerting rule of a name.
    pub(super) fn alert(&self, name: &str) -> Option<&Value> {
        self.rules().into_iter().find(|rule| rule["alert"] == name)
    }

    /// How many alerting rules there are.
    pub(super) fn alerts(&self) -> usize {
        self.rules().iter().filter(|rule| rule.get("alert").is_some()).count()
    }
}

/// The text of a key, or nothing.
pub(super) fn text_at<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// What helm printed, or its message.
fn template(
    context: &Context,
    helm: Tool,
    chart: &Path,
    release: &str,
    arguments: &[&str],
) -> Result<Result<String, String>> {
    let helm = context.tool(helm)?;
    let command = cmd!(
        context.shell,
        "{helm} template {release} {chart} --namespace monitoring --kube-version {KUBE_VERSION} {arguments...}"
    );
    let output = command.quiet().ignore_status().output()?;
    let text = String::from_utf8(output.stdout).context("helm printed no UTF-8")?;
    let error = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Ok(if output.status.success() { Ok(text) } else { Err(error) })
}
