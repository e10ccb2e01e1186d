//! The pod of `helm test`, as it is rendered. What its script says is proved beside the binary's tests.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use serde_yaml::Value;

use super::rendered::{Rendered, text_at};
use super::{Case, Context, Subject, pods};
use crate::tools::Tool;

pub(super) fn cases(context: &Context) -> Vec<Case> {
    let mut cases = Case::for_both(&[
        ("helm test: the addon's asks the Prometheus and the Grafana that values name", addon),
        ("helm test: it asks for the groups and dashboards that are rendered", groups),
        ("helm test: its pod is restricted and its image replaceable", pod_settings),
    ]);
    cases.extend(Case::for_full(context, "helm test: full edition", &[], &[("it asks the bundled services", bundled)]));
    cases
}

/// The pod, if there is one.
fn pod(rendered: &Rendered) -> Option<&Value> {
    rendered.of_kind("Pod").into_iter().find(|pod| text_at(&pod["metadata"]["annotations"], "helm.sh/hook") == "test")
}

/// A variable's value, or the key of the Secret that it comes from as `secret/key`.
fn variable(pod: &Value, name: &str) -> String {
    let variables = pod["spec"]["containers"][0]["env"].as_sequence().into_iter().flatten();
    let found = variables.into_iter().find(|variable| text_at(variable, "name") == name);
    let Some(found) = found else { return "(none)".to_owned() };
    let secret = &found["valueFrom"]["secretKeyRef"];
    if secret.is_null() {
        text_at(found, "value").to_owned()
    } else {
        format!("{}/{}", text_at(secret, "name"), text_at(secret, "key"))
    }
}

fn addon(context: &Context, helm: Tool) -> Result<()> {
    let plain = Rendered::template(context, helm, &[])?;
    let asked = variable(pod(&plain).context("no pod")?, "PROMETHEUS_URL");
    ensure!(asked == "http://prometheus-operated.monitoring.svc:9090", "{asked}");
    let url = "tests.prometheusUrl=http://prometheus.example.org:9090/path/";
    let rendered = Rendered::template(context, helm, &["--set", url])?;
    let of = |name: &str| variable(pod(&rendered).unwrap_or(&Value::Null), name);
    ensure!(of("PROMETHEUS_URL") == "http://prometheus.example.org:9090/path", "{}", of("PROMETHEUS_URL"));
    ensure!(of("GRAFANA_URL") == "(none)" && of("GRAFANA_PASSWORD") == "(none)", "no Grafana is known");
    ensure!(of("NAMESPACES").is_empty(), "discovery knows no namespace");
    let script = &rendered.named("gorax-monitoring-test")?["data"]["test.sh"];
    let source = context.sources.text("chart/scripts/test.sh").map_err(|f| anyhow::anyhow!("{f}"))?;
    ensure!(script.as_str() == Some(source), "the script is rendered with other bytes than it has");

    let grafana = "tests.grafanaUrl=http://grafana.example.org";
    let both = format!(
        "{url},{grafana},tests.grafanaSecret=viewer,gorax.environments.b.namespace=y,gorax.environments.a.namespace=z"
    );
    let rendered = Rendered::template(context, helm, &["--set", &both])?;
    let of = |name: &str| variable(pod(&rendered).unwrap_or(&Value::Null), name);
    ensure!(
        of("GRAFANA_USER") == "viewer/admin-user" && of("GRAFANA_PASSWORD") == "viewer/admin-password",
        "{}",
        of("GRAFANA_USER")
    );
    ensure!(of("NAMESPACES") == "y z", "{}", of("NAMESPACES"));
    ensure!(
        pod(&Rendered::template(context, helm, &["--set", &format!("{url},tests.enabled=false")])?).is_none(),
        "off"
    );

    let refused = Rendered::refused(context, helm, &["--set", &format!("{url},{grafana}")])?;
    ensure!(refused.contains("set tests.grafanaSecret to a Secret"), "{refused}");
    let refused = Rendered::refused(context, helm, &["--set", "tests.prometheusUrl=http://user:password@p"])?;
    ensure!(refused.contains("prometheusUrl"), "a credential in values: {refused}");
    Ok(())
}

fn groups(context: &Context, helm: Tool) -> Result<()> {
    for set in [
        "",
        "alerts.enabled=false",
        "alerts.minSeverity=critical",
        "alerts.groups.gorax_recordings.enabled=false,alerts.groups.gorax_api.enabled=false",
        "alerts.overrides.GoraxNotFound.enabled=false",
        "dashboards.enabled=false",
    ] {
        let grafana = "tests.prometheusUrl=http://p,tests.grafanaUrl=http://g,tests.grafanaSecret=s";
        let rendered = Rendered::template(context, helm, &["--set", &format!("{grafana},{set}")])?;
        let pod = pod(&rendered).context("no pod")?;
        let objects = rendered.of_kind("PrometheusRule").into_iter();
        let groups = objects.flat_map(|object| object["spec"]["groups"].as_sequence().into_iter().flatten());
        let rendered_groups: BTreeSet<&str> = groups.map(|group| text_at(group, "name")).collect();
        let asked = variable(pod, "GROUPS_OF_RULES");
        ensure!(asked.split(' ').collect::<BTreeSet<_>>() == rendered_groups, "{set}: it asks for {asked}");
        let fullname = variable(pod, "FULLNAME");
        for object in rendered.of_kind("PrometheusRule") {
            let name = text_at(&object["metadata"], "name");
            let known = name.strip_prefix(&format!("{fullname}-"));
            let known = known.is_some_and(|rest| rest == "configuration" || rest.starts_with("rules-"));
            ensure!(known, "{set}: it does not take {name} for a PrometheusRule of this release");
        }
        let asked = variable(pod, "DASHBOARDS");
        let there = rendered
            .of_kind("ConfigMap")
            .into_iter()
            .filter_map(|map| text_at(&map["metadata"], "name").strip_prefix("gorax-monitoring-dashboard-"));
        let there: Vec<&str> = there.collect();
        ensure!(
            asked == if there.is_empty() { "(none)".to_owned() } else { there.join(" ") },
            "{set}: it asks for {asked}"
        );
    }
    Ok(())
}

fn pod_settings(context: &Context, helm: Tool) -> Result<()> {
    let plain = Rendered::template(context, helm, &["--set", "tests.prometheusUrl=http://p"])?;
    let image = pod(&plain).map(|pod| text_at(&pod["spec"]["containers"][0], "image")).unwrap_or_default();
    let listed = super::images(&context.archive)?;
    ensure!(listed.lines().any(|line| line == image), "{image:?} is not in the list of images");
    let values = "
global: {imageRegistry: mirror.example.org, imagePullSecrets: [mirror]}
tests:
  prometheusUrl: http://p
  waitSeconds: 0
  image: {tag: 1.2.3}
  nodeSelector: {disk: fast}
  tolerations: [{key: team, operator: Exists}]
";
    let rendered = Rendered::values(context, helm, values)?;
    let pod = pod(&rendered).context("no pod")?;
    pods::restricted(&pod["spec"])?;
    ensure!(pod["spec"]["restartPolicy"] == "Never", "a test that fails is not tried for ever");
    let container = &pod["spec"]["containers"][0];
    ensure!(text_at(container, "image") == "mirror.example.org/curlimages/curl:1.2.3", "{:?}", container["image"]);
    ensure!(pod["spec"]["imagePullSecrets"][0]["name"] == "mirror", "imagePullSecrets");
    ensure!(pod["spec"]["nodeSelector"]["disk"] == "fast" && pod["spec"]["tolerations"][0]["key"] == "team", "where");
    // Helm would delete the log with the pod.
    let policy = text_at(&pod["metadata"]["annotations"], "helm.sh/hook-delete-policy");
    ensure!(policy == "before-hook-creation", "{policy}");
    ensure!(variable(pod, "WAIT_SECONDS") == "0" && pod["spec"]["activeDeadlineSeconds"] == 120, "waitSeconds");
    Ok(())
}

fn bundled(context: &Context, helm: Tool, subject: &Subject) -> Result<()> {
    for release in ["gorax-monitoring", "obs"] {
        let rendered = Rendered::chart(context, helm, &subject.archive, release, &[])?;
        let pod = pod(&rendered).context("no pod")?;
        for (name, default) in [("PROMETHEUS_URL", 9090), ("GRAFANA_URL", 80)] {
            let url = variable(pod, name);
            let service = url.trim_start_matches("http://").split('.').next().unwrap_or_default();
            ensure!(url == format!("http://{service}.monitoring.svc:{default}"), "{name}: {url}");
            let services = rendered.of_kind("Service").into_iter();
            let found = services.into_iter().find(|object| text_at(&object["metadata"], "name") == service);
            let ports = &found.with_context(|| format!("there is no Service {service}"))?["spec"]["ports"];
            ensure!(ports.as_sequence().into_iter().flatten().any(|port| port["port"] == default), "{service}: ports");
        }
        let secret = &rendered.named(&format!("{release}-grafana-admin"))?["data"];
        for name in ["GRAFANA_USER", "GRAFANA_PASSWORD"] {
            let from = variable(pod, name);
            let key = from.strip_prefix(&format!("{release}-grafana-admin/")).context("another Secret")?;
            ensure!(secret[key].is_string(), "the Secret has no key {key}");
        }
    }
    let off = "kube-prometheus-stack.grafana.enabled=false";
    let rendered = Rendered::chart(context, helm, &subject.archive, "obs", &["--set", off])?;
    ensure!(variable(pod(&rendered).context("no pod")?, "GRAFANA_URL") == "(none)", "there is no Grafana to ask");
    Ok(())
}
