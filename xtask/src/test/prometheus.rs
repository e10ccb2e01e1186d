//! promtool on the rule files and their unit tests, and on what Helm renders of them.

use anyhow::{Result, ensure};
use serde_yaml::Value;
use xshell::cmd;

use super::rendered::Rendered;
use super::{Case, Context};
use crate::tools::{HELM4, PROMTOOL};

/// A test of the discovery's series, in promtool's format; the rules are rendered beside it as configuration.yaml.
const DISCOVERY: &str = include_str!("discovery.test.yaml");

pub(super) fn cases(context: &Context) -> Vec<Case> {
    let mut cases = vec![Case::new("promtool check rules alerts/*.yaml", &[PROMTOOL], |context| {
        let promtool = context.tool(PROMTOOL)?;
        let files: Vec<_> = context.model.rules.iter().map(|file| context.root.join(&file.path)).collect();
        run(cmd!(context.shell, "{promtool} check rules --lint=all --lint-fatal {files...}"))
    })];
    for path in context.sources.below("alerts/tests") {
        let file = context.root.join(path);
        cases.push(Case::new(format!("promtool test rules {path}"), &[PROMTOOL], move |context| {
            let promtool = context.tool(PROMTOOL)?;
            run(cmd!(context.shell, "{promtool} test rules {file}"))
        }));
    }
    cases.push(Case::new("promtool check rules on the rendered PrometheusRules", &[PROMTOOL, HELM4], rendered_rules));
    cases.push(Case::new("promtool test rules on the rendered discovery", &[PROMTOOL, HELM4], discovery));
    cases
}

/// Runs a command and fails with all that it printed.
pub(super) fn run(command: xshell::Cmd<'_>) -> Result<()> {
    let output = command.quiet().ignore_status().output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{text}");
    Ok(())
}

fn rendered_rules(context: &Context) -> Result<()> {
    let promtool = context.tool(PROMTOOL)?;
    let variants = [
        "",
        "gorax.environments.production.namespace=gorax-prod,alerts.overrides.HighMemoryUsage.threshold=1e6",
        "sources.redis.a.environment=gorax-prod,sources.redis.a.address=h:1",
    ];
    for set in variants {
        let rendered = Rendered::template(context, HELM4, &["--set", set])?;
        for object in rendered.of_kind("PrometheusRule") {
            let file = context.temporary.path().join("rendered.yaml");
            context.shell.write_file(&file, serde_yaml::to_string(&object["spec"])?)?;
            run(cmd!(context.shell, "{promtool} check rules --lint=all --lint-fatal {file}"))?;
        }
    }
    Ok(())
}

fn discovery(context: &Context) -> Result<()> {
    let promtool = context.tool(PROMTOOL)?;
    let rendered = Rendered::template(context, HELM4, &[])?;
    let rules: &Value = &rendered.named("gorax-monitoring-configuration")?["spec"];
    let folder = context.temporary.path();
    context.shell.write_file(folder.join("configuration.yaml"), serde_yaml::to_string(rules)?)?;
    context.shell.write_file(folder.join("discovery.yaml"), DISCOVERY)?;
    let test = folder.join("discovery.yaml");
    run(cmd!(context.shell, "{promtool} test rules {test}"))
}
