//! `cargo xtask dashboards import FILE`: an export from Grafana's user interface in, a file of dashboards/ out.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rulecheck::dashboard::{Dashboard, canonical};
use rulecheck::document;

use crate::failure::{Findings, Usage};
use crate::flags::{self, DashboardsCommand};
use crate::output::{Lock, Staged};
use crate::sources::Sources;

impl flags::Dashboards {
    pub fn run(self, root: &Path) -> Result<()> {
        match self.command {
            DashboardsCommand::Import(flags) => import(root, &flags),
        }
    }
}

fn import(root: &Path, flags: &flags::Import) -> Result<()> {
    let name = flags.file.to_string_lossy();
    let bytes = match std::fs::read(&flags.file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Usage(format!("reading {name}: {error}")).into());
        }
        read => read.with_context(|| format!("reading {name}"))?,
    };
    let text = document::text(&name, &bytes).map_err(|finding| Findings(vec![finding]))?;
    let (uid, text) = imported(&name, text)?;
    let _lock = Lock::take(root)?;
    let output = match &flags.output {
        Some(path) => std::path::absolute(path).with_context(|| format!("resolving --output {}", path.display()))?,
        None => place(root, &uid)?,
    };
    let is_same = std::fs::read(&output).is_ok_and(|old| old == text.as_bytes());
    let mut staged = Staged::default();
    staged.write(&output, text.as_bytes())?;
    staged.commit()?;
    let done = if is_same {
        "has its canonical form already"
    } else {
        "written; `cargo xtask check` says what is wrong in it"
    };
    say!("{}: {done}", output.strip_prefix(root).unwrap_or(&output).display());
    Ok(())
}

/// The uid and the canonical text of a dashboard.
fn imported(name: &str, text: &str) -> Result<(String, String)> {
    let mut findings = Vec::new();
    // What is wrong in a dashboard that can be read is the checks' business, and is mended after the import.
    if Dashboard::parse(name, text, &mut findings).is_none() {
        return Err(Findings(findings).into());
    }
    let text = canonical(text).map_err(anyhow::Error::msg).with_context(|| format!("reading {name}"))?;
    let uid = Dashboard::parse(name, &text, &mut findings).map(|dashboard| dashboard.uid).unwrap_or_default();
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if !uid.starts_with(word) || !uid.chars().all(|c| word(c) || c == '-') {
        bail!(
            "importing {name}: the uid `{uid}` is to be the file's name; give it one of lower-case words, such as gorax-api"
        );
    }
    Ok((uid, text))
}

/// The file of a dashboard: a new one, or the one that has this uid.
fn place(root: &Path, uid: &str) -> Result<PathBuf> {
    let sources = Sources::read(root)?;
    let path = format!("dashboards/{uid}.json");
    for other in sources.below("dashboards").filter(|other| other.ends_with(".json")) {
        let text = sources.text(other).unwrap_or_default();
        let has = Dashboard::parse(other, text, &mut Vec::new()).map(|dashboard| dashboard.uid).unwrap_or_default();
        if other == path && has != uid {
            bail!("{path} holds the dashboard `{has}`, which would be overwritten; name that file after its uid first");
        }
        if other != path && has == uid {
            bail!("{other} has the uid `{uid}` already; give the imported dashboard another uid");
        }
    }
    Ok(root.join(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_export_needs_a_uid_that_can_be_a_files_name() {
        assert_eq!(imported("x.json", r#"{"dashboard": {"uid": "a-1"}, "meta": {}}"#).unwrap().0, "a-1");
        for uid in [r#""uid": "fdW1_Abc""#, r#""uid": "../x""#, r#""title": "no uid""#] {
            let error = imported("x.json", &format!("{{{uid}}}")).unwrap_err();
            assert!(error.to_string().starts_with("importing x.json: the uid `"), "{error}");
        }
    }

    #[test]
    fn a_v2_resource_is_refused_with_advice() {
        let text = r#"{"apiVersion": "dashboard.grafana.app/v2", "kind": "Dashboard", "metadata": {"name": "a"}, "spec": {"elements": {}, "layout": {}}}"#;
        let error = imported("x.json", text).unwrap_err().to_string();
        assert!(error.contains("a v2 dashboard") && error.contains("classic"), "{error}");
    }
}
