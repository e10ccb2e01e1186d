//! The workflows of .github/, which run on GitHub alone: what can be said of them here is that they are well formed and careful.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use serde_yaml::Value;
use xshell::cmd;

use super::{Case, Context};
use crate::tools::ACTIONLINT;

const FOLDER: &str = ".github/workflows";

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("workflows: actionlint finds nothing", &[ACTIONLINT], |context| {
            let (actionlint, files) = (context.tool(ACTIONLINT)?, files(context)?);
            // Scripts are checked by what they do; shellcheck is not among our tools.
            let output = cmd!(context.shell, "{actionlint} -no-color -shellcheck= -pyflakes= {files...}");
            let output = output.quiet().ignore_status().output()?;
            ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
            Ok(())
        }),
        Case::new("workflows: actions are pinned by commit, permissions and time are bounded", &[], |context| {
            let mut wrong = Vec::new();
            for path in files(context)? {
                let text = context.shell.read_file(&path)?;
                wrong.extend(slips(&text)?.into_iter().map(|slip| format!("{}: {slip}", path.display())));
            }
            ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
            Ok(())
        }),
        Case::new("workflows: renovate.json is JSON", &[], |context| {
            let text = context.shell.read_file(context.root.join("renovate.json"))?;
            serde_json::from_str::<serde_json::Value>(&text).context("reading renovate.json").map(|_| ())
        }),
    ]
}

fn files(context: &Context) -> Result<Vec<PathBuf>> {
    let mut files = context.shell.read_dir(context.root.join(FOLDER))?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml"));
    ensure!(!files.is_empty(), "{FOLDER} is empty");
    Ok(files)
}

/// What a workflow lacks: a commit behind each action with its version beside it, no permission by default, what each job needs,
/// a time after which a job is given up, one run at a time.
fn slips(text: &str) -> Result<Vec<String>> {
    let mut slips = Vec::new();
    for line in text.lines() {
        let Some((_, used)) =
            line.split_once("uses: ").filter(|(before, _)| before.trim_matches(['-', ' ']).is_empty())
        else {
            continue;
        };
        let (action, version) = used.split_once(" # ").unwrap_or((used, ""));
        let commit = action.split_once('@').map(|(_, commit)| commit.trim()).unwrap_or_default();
        let is_commit = commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !(is_commit || action.starts_with("./")) || (is_commit && !version.starts_with('v')) {
            slips.push(format!("`{used}` is not an action at a commit, with its version in a comment"));
        }
    }
    let workflow: Value = serde_yaml::from_str(text).context("reading a workflow")?;
    if !workflow["permissions"].as_mapping().is_some_and(|permissions| permissions.is_empty()) {
        slips.push("`permissions: {}` is missing at the top".to_owned());
    }
    if workflow["concurrency"].is_null() {
        slips.push("it says nothing of `concurrency`".to_owned());
    }
    for (name, job) in workflow["jobs"].as_mapping().context("the workflow has no jobs")? {
        for key in ["permissions", "timeout-minutes"] {
            if job[key].is_null() {
                slips.push(format!("the job {} has no `{key}`", name.as_str().unwrap_or_default()));
            }
        }
    }
    Ok(slips)
}

#[cfg(test)]
mod tests {
    use super::slips;

    const GOOD: &str = "permissions: {}\nconcurrency: a\njobs:\n  one:\n    timeout-minutes: 1\n    permissions: {contents: read}\n    steps:\n      - uses: a/b@0123456789012345678901234567890123456789 # v1.0.0\n      - uses: ./own\n";

    #[test]
    fn a_careful_workflow_passes() {
        assert_eq!(slips(GOOD).unwrap(), [""; 0]);
    }

    #[test]
    fn each_slip_is_told() {
        for (from, to, expected) in [
            ("@0123456789012345678901234567890123456789 # v1.0.0", "@v1", "is not an action at a commit"),
            (" # v1.0.0", "", "is not an action at a commit"),
            ("permissions: {}\n", "permissions: write-all\n", "`permissions: {}` is missing"),
            ("permissions: {}\n", "", "`permissions: {}` is missing"),
            ("concurrency: a\n", "", "`concurrency`"),
            ("    timeout-minutes: 1\n", "", "job one has no `timeout-minutes`"),
            ("    permissions: {contents: read}\n", "", "job one has no `permissions`"),
        ] {
            let slips = slips(&GOOD.replacen(from, to, 1)).unwrap();
            assert!(slips.len() == 1 && slips[0].contains(expected), "{from}: {slips:?}");
        }
    }
}
