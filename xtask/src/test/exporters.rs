//! Entries of `sources` that say `deploy`: an exporter of our own for each, found by the monitor that is made for it.

use anyhow::{Context as _, Result, ensure};
use serde_yaml::Value;

use super::rendered::{Rendered, text_at};
use super::{Case, Context, pods, typed};
use crate::tools::Tool;

const DEPLOYED: &str = "
gorax: {environments: {production: {namespace: gorax-prod}}}
sources:
  postgres: {main: {environment: production, deploy: {secret: {name: gorax-postgres, key: uri}}}}
  redis:
    main: {environment: production, deploy: {address: 'redis://redis.gorax-prod:6379', secret: {name: gorax-redis, key: password}}}
    open: {environment: production, deploy: {address: 'rediss://cache.example.org'}, interval: 1m}
  blackbox: {main: {environment: production, deploy: {}, urls: ['http://gorax-api.gorax-prod/ready']}}
";

pub(super) fn cases() -> Vec<Case> {
    Case::for_both(&[
        ("exporters: nothing runs that no entry deploys", nothing),
        ("exporters: a Deployment, a Service and a monitor that find each other", deployed),
        ("exporters: credentials come from Secrets alone", credentials),
        ("exporters: images and places can be changed", settings),
        ("exporters: a changed configuration rolls the pod", configuration),
        ("exporters: values that cannot work are refused", refusals),
    ])
}

fn nothing(context: &Context, helm: Tool) -> Result<()> {
    let existing = "
sources:
  postgres: {main: {environment: gorax, address: 'exporter:9187'}}
  blackbox: {main: {environment: gorax, address: 'exporter:9115', urls: ['http://a']}}
";
    for rendered in [Rendered::template(context, helm, &[])?, Rendered::values(context, helm, existing)?] {
        for kind in ["Deployment", "Service", "Secret"] {
            ensure!(rendered.of_kind(kind).is_empty(), "a {kind} is rendered");
        }
    }
    Ok(())
}

/// The pod of a deployed source.
fn pod<'a>(rendered: &'a Rendered, source: &str) -> Result<&'a Value> {
    let name = format!("gorax-monitoring-source-{source}");
    let deployment = rendered.of_kind("Deployment").into_iter().find(|d| d["metadata"]["name"] == name.as_str());
    Ok(&deployment.with_context(|| format!("no Deployment {name}"))?["spec"]["template"])
}

/// Whether a selector's labels are among an object's.
fn selected(selector: &Value, metadata: &Value) -> bool {
    let wanted = selector.as_mapping().filter(|wanted| !wanted.is_empty());
    wanted.is_some_and(|wanted| wanted.iter().all(|(key, value)| metadata["labels"].get(key) == Some(value)))
}

fn deployed(context: &Context, helm: Tool) -> Result<()> {
    let rendered = Rendered::values(context, helm, DEPLOYED)?;
    typed::check(&context.model, &rendered)?;
    let deployments = rendered.of_kind("Deployment");
    ensure!(deployments.len() == 4, "{} Deployments", deployments.len());
    for deployment in &deployments {
        let name = text_at(&deployment["metadata"], "name");
        let template = &deployment["spec"]["template"];
        pods::restricted(&template["spec"]).context(name.to_owned())?;
        ensure!(text_at(&deployment["metadata"], "namespace") == "monitoring", "{name}: namespace");
        let container = &template["spec"]["containers"][0];
        for probe in ["livenessProbe", "readinessProbe"] {
            ensure!(text_at(&container[probe]["httpGet"], "port") == "metrics", "{name}: {probe}");
        }
        // Each Deployment and Service finds its own pods, and no other's.
        let services = rendered.of_kind("Service");
        let service = services.iter().find(|service| service["metadata"]["name"] == name).context("no Service")?;
        for selector in [&deployment["spec"]["selector"]["matchLabels"], &service["spec"]["selector"]] {
            let found = deployments.iter().filter(|d| selected(selector, &d["spec"]["template"]["metadata"])).count();
            ensure!(found == 1 && selected(selector, &template["metadata"]), "{name}: it selects {found} Deployments");
        }
        let port = &service["spec"]["ports"][0];
        ensure!(text_at(port, "targetPort") == text_at(&container["ports"][0], "name"), "{name}: port");
        ensure!(port["port"] == container["ports"][0]["containerPort"], "{name}: port number");
    }
    for (source, job) in
        [("postgres-main", "postgres-exporter"), ("redis-main", "redis-exporter"), ("redis-open", "redis-exporter")]
    {
        let name = format!("gorax-monitoring-source-{source}");
        let monitors = rendered.of_kind("ServiceMonitor");
        let monitor = monitors.iter().find(|m| m["metadata"]["name"] == name.as_str()).context("no monitor")?;
        let spec = &monitor["spec"];
        ensure!(spec["namespaceSelector"]["matchNames"] == Value::from(vec!["monitoring"]), "{source}: namespace");
        let services = rendered.of_kind("Service").into_iter();
        let found: Vec<&str> = services
            .filter(|service| selected(&spec["selector"]["matchLabels"], &service["metadata"]))
            .map(|service| text_at(&service["metadata"], "name"))
            .collect();
        ensure!(found == [name.as_str()], "{source}: the monitor finds {found:?}");
        let endpoint = &spec["endpoints"][0];
        ensure!(text_at(endpoint, "port") == "metrics", "{source}: port");
        let relabelings = serde_yaml::to_string(&endpoint["relabelings"])?;
        for label in [format!("replacement: {job}"), "replacement: gorax-prod".to_owned()] {
            ensure!(relabelings.contains(&label), "{source}: {relabelings}");
        }
    }
    let probe = rendered.of_kind("Probe").into_iter().next().context("no Probe")?;
    let prober = text_at(&probe["spec"]["prober"], "url");
    ensure!(prober == "gorax-monitoring-source-blackbox-main.monitoring.svc:9115", "{prober}");
    let infos = rendered.rules().into_iter().filter(|rule| rule["record"] == "gorax:source:info");
    let sources: Vec<&str> = infos.map(|rule| text_at(&rule["labels"], "source")).collect();
    ensure!(sources == ["blackbox", "postgres", "redis"], "{sources:?}");
    Ok(())
}

fn credentials(context: &Context, helm: Tool) -> Result<()> {
    let rendered = Rendered::values(context, helm, DEPLOYED)?;
    let environment = |source: &str| -> Result<&Value> { Ok(&pod(&rendered, source)?["spec"]["containers"][0]["env"]) };
    for (source, expected) in [
        ("postgres-main", "[{name: DATA_SOURCE_NAME, valueFrom: {secretKeyRef: {name: gorax-postgres, key: uri}}}]"),
        (
            "redis-main",
            "[{name: REDIS_ADDR, value: 'redis://redis.gorax-prod:6379'}, \
              {name: REDIS_PASSWORD, valueFrom: {secretKeyRef: {name: gorax-redis, key: password}}}]",
        ),
        ("redis-open", "[{name: REDIS_ADDR, value: 'rediss://cache.example.org'}]"),
    ] {
        let (found, expected) = (environment(source)?, serde_yaml::from_str::<Value>(expected)?);
        ensure!(*found == expected, "{source}: {found:?}");
    }
    ensure!(rendered.of_kind("Secret").is_empty(), "Secrets are the operator's of the cluster to make");
    Ok(())
}

fn settings(context: &Context, helm: Tool) -> Result<()> {
    let container = |rendered: &Rendered, source: &str| -> Result<Value> {
        Ok(pod(rendered, source)?["spec"]["containers"][0].clone())
    };
    let plain = Rendered::values(context, helm, DEPLOYED)?;
    let listed = super::images(&context.archive)?;
    for source in ["postgres-main", "redis-main", "blackbox-main"] {
        let image = container(&plain, source)?;
        let image = text_at(&image, "image");
        let pinned = image.rsplit_once(":v").is_some_and(|(_, version)| version.split('.').count() == 3);
        ensure!(
            pinned && listed.lines().any(|line| line == image),
            "{image} is not pinned, or not in the list of images"
        );
    }
    let digest = format!("sha256:{}", "0".repeat(64));
    let own = format!(
        "{DEPLOYED}
global: {{imageRegistry: mirror.example.org, imagePullSecrets: [plain, {{name: map}}]}}
"
    )
    .replace(
        "gorax: {",
        &format!(
            "gorax: {{exporters: {{nodeSelector: {{disk: ssd}}, tolerations: [{{key: a, operator: Exists}}], \
             redis: {{image: {{repository: r/e, tag: '1', digest: '{digest}', pullPolicy: Always}}, \
             resources: {{limits: {{memory: 1Gi}}}}}}}}, "
        ),
    );
    let changed = Rendered::values(context, helm, &own)?;
    let redis = container(&changed, "redis-main")?;
    ensure!(text_at(&redis, "image") == format!("mirror.example.org/r/e:1@{digest}"), "{redis:?}");
    ensure!(text_at(&redis, "imagePullPolicy") == "Always", "pullPolicy");
    ensure!(text_at(&redis["resources"]["limits"], "memory") == "1Gi", "resources");
    ensure!(!redis["resources"]["limits"]["cpu"].is_null(), "what is not changed stays");
    let spec = &pod(&changed, "redis-main")?["spec"];
    ensure!(text_at(&spec["nodeSelector"], "disk") == "ssd" && spec["tolerations"][0]["key"] == "a", "places");
    let secrets: Value = serde_yaml::from_str("[{name: plain}, {name: map}]")?;
    ensure!(spec["imagePullSecrets"] == secrets, "{:?}", spec["imagePullSecrets"]);
    let own = own.replace("exporters: {", "exporters: {imagePullSecrets: [{name: own}], ");
    let changed = Rendered::values(context, helm, &own)?;
    let secrets = &pod(&changed, "postgres-main")?["spec"]["imagePullSecrets"];
    ensure!(*secrets == serde_yaml::from_str::<Value>("[{name: own}]")?, "{secrets:?}");
    ensure!(text_at(&container(&changed, "postgres-main")?, "image").starts_with("mirror.example.org/"), "registry");
    Ok(())
}

fn configuration(context: &Context, helm: Tool) -> Result<()> {
    let rendered = Rendered::values(context, helm, DEPLOYED)?;
    let template = pod(&rendered, "blackbox-main")?;
    let maps = rendered.of_kind("ConfigMap").into_iter();
    let map = maps.into_iter().find(|map| map["metadata"]["name"] == "gorax-monitoring-source-blackbox-main");
    let text = text_at(&map.context("no ConfigMap")?["data"], "config.yml");
    let modules: Value = serde_yaml::from_str(text)?;
    ensure!(text_at(&modules["modules"]["http_2xx"], "prober") == "http", "{text}");
    let checksum = text_at(&template["metadata"]["annotations"], "checksum/config");
    ensure!(checksum == helmpack::checksum::sha256(text.trim_end().as_bytes()), "the annotation is no digest of it");
    let container = &template["spec"]["containers"][0];
    let mount = &container["volumeMounts"][0];
    ensure!(mount["readOnly"] == true, "it can be written");
    let file = format!("--config.file={}/config.yml", text_at(mount, "mountPath"));
    ensure!(container["args"] == Value::from(vec![file]), "{:?}", container["args"]);
    let volume = &template["spec"]["volumes"][0];
    ensure!(volume["name"] == mount["name"], "another volume is mounted");
    ensure!(text_at(&volume["configMap"], "name") == "gorax-monitoring-source-blackbox-main", "{volume:?}");
    Ok(())
}

fn refusals(context: &Context, helm: Tool) -> Result<()> {
    let long = format!("sources.redis.{0}.environment=x,sources.redis.{0}.deploy.address=redis://r", "a".repeat(40));
    // Refused by the template: what it says must name the key and the remedy.
    for (set, expected) in [
        (
            "sources.postgres.a.deploy.secret.name=s",
            "set sources.postgres.a.deploy.secret.name and .key to a Secret in namespace monitoring",
        ),
        (
            "sources.redis.a.deploy.secret.name=s,sources.redis.a.deploy.secret.key=k",
            "set sources.redis.a.deploy.address, such as redis://redis:6379",
        ),
        ("sources.redis.a.deploy.address=redis://:password@r:6379", "sources.redis.a.deploy.address holds credentials"),
        (
            "sources.redis.a.deploy.address=redis://r:6379,sources.redis.a.address=h:1",
            "sources.redis.a has address and deploy: keep the one by which the exporter is reached",
        ),
        (
            "sources.redis.a.deploy.address=redis://r:6379,sources.redis.a.port=http",
            "sources.redis.a.port is read only beside a selector: remove it",
        ),
        ("sources.redis.a.interval=1m", "or sources.redis.a.deploy to have one run beside this chart"),
        ("sources.sql.a.deploy.x=y", "sources.sql.a cannot have deploy: set sources.sql.a.selector.matchLabels"),
        (
            "sources.blackbox.a.urls[0]=http://a",
            "set sources.blackbox.a.address to host:port, or sources.blackbox.a.deploy",
        ),
        ("sources.blackbox.a.selector.matchLabels.a=b", "sources.blackbox.a cannot have selector"),
        (
            "sources.blackbox.a.deploy.x=y,sources.blackbox.a.urls[0]=http://a,sources.blackbox.a.module=tcp",
            "the exporter that is deployed has http_2xx alone; remove sources.blackbox.a.module",
        ),
        (&long, "a Service's name has 63 characters at the most"),
    ] {
        let kind = set.strip_prefix("sources.").map(|rest| rest.split('.').next().unwrap_or_default());
        let environment = kind.map(|kind| format!("sources.{kind}.a.environment=x,")).unwrap_or_default();
        let set = format!("{}{set}", if set == long { "" } else { &environment });
        let refused = Rendered::refused(context, helm, &["--set", &set, "--skip-schema-validation"])?;
        ensure!(refused.contains(expected), "{set}: {refused}");
    }
    // Refused by the schema, which an editor reads too.
    for (set, expected) in [
        ("sources.postgres.a.deploy.password=x", "password"),
        ("sources.postgres.a.deploy.secret.value=x", "value"),
        ("sources.redis.a.deploy.address=redis://:password@r:6379", "address"),
        ("sources.sql.a.deploy.address=x", "deploy"),
        ("sources.blackbox.a.deploy.modules=x", "modules"),
        ("gorax.exporters.postgres.image.version=1", "version"),
        ("gorax.exporters.redis.image.digest=latest", "digest"),
        ("gorax.exporters.redis.image.pullPolicy=Sometimes", "pullPolicy"),
        ("gorax.exporters.mysql.image.tag=1", "mysql"),
    ] {
        let environment = set.strip_prefix("sources.").and_then(|rest| rest.split('.').next());
        let set = match environment {
            Some(kind) => format!("{set},sources.{kind}.a.environment=x"),
            None => set.to_owned(),
        };
        let refused = Rendered::refused(context, helm, &["--set", &set])?;
        ensure!(refused.contains("schema") && refused.contains(expected), "{set}: {refused}");
    }
    Ok(())
}
