//! promtool on the rule files and their unit tests, and on what Helm renders of them.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use xshell::cmd;

use super::rendered::Rendered;
use super::{Case, Context};
use crate::tools::{HELM4, PROMTOOL};

/// Values, and a test of what the chart makes of them, in promtool's format. The file that the test names as its rules is
/// rendered from the objects of the given names.
const RENDERED: [(&str, &str, &[&str], &str); 3] = [
    ("discovery", "", &["configuration"], include_str!("discovery.test.yaml")),
    (
        "alert sources",
        "gorax.environments.production.namespace=gorax-prod,gorax.environments.dev.namespace=gorax-dev,\
         sources.redis.main.environment=production,sources.redis.main.address=redis:9121",
        &["configuration"],
        include_str!("alert-sources.test.yaml"),
    ),
    (
        "rules of one of two releases",
        "gorax.environments.production.namespace=gorax-prod",
        &["rules-recordings", "rules-workflows"],
        include_str!("releases.test.yaml"),
    ),
];

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
    cases.extend(RENDERED.map(|(name, set, objects, test)| {
        Case::new(format!("promtool test rules on the rendered {name}"), &[PROMTOOL, HELM4], move |context| {
            rendered_test(context, set, objects, test)
        })
    }));
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

fn rendered_test(context: &Context, set: &str, objects: &[&str], test: &str) -> Result<()> {
    let promtool = context.tool(PROMTOOL)?;
    let rendered = Rendered::template(context, HELM4, &["--set", set])?;
    let mut groups = Vec::new();
    for object in objects {
        let object = rendered.named(&format!("gorax-monitoring-{object}"))?;
        groups.extend(object["spec"]["groups"].as_sequence().into_iter().flatten().cloned());
    }
    let rules = BTreeMap::from([("groups", groups)]);
    let folder = context.temporary.path();
    context.shell.write_file(folder.join("rules.yaml"), serde_yaml::to_string(&rules)?)?;
    context.shell.write_file(folder.join("test.yaml"), test)?;
    let test = folder.join("test.yaml");
    run(cmd!(context.shell, "{promtool} test rules {test}"))
}
