//! index.yaml: both Helm majors write the same of our archives, and install from it.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use helmpack::index;
use serde_json::Value;
use xshell::cmd;

use super::{Case, Context};
use crate::tools::Tool;

pub(super) fn cases() -> Vec<Case> {
    Case::for_both(&[
        ("repo index: ours says what Helm's says", same_as_helm),
        ("pull: the archives come out of a repository with our index, byte for byte", pulled),
    ])
}

/// A folder as a chart repository has it: every archive that was packed, and our index of them.
fn repository(context: &Context, helm: Tool) -> Result<std::path::PathBuf> {
    let folder = context.temporary.path().join("repository").join(helm.name);
    let mut entries = Vec::new();
    let real = context.full.last().map(|subject| &subject.archive);
    for archive in [Some(&context.archive), real].into_iter().flatten() {
        let bytes = std::fs::read(archive)?;
        let (_, files) = helmpack::archive::unpack(&bytes)?;
        let chart = String::from_utf8_lossy(files.get("Chart.yaml").context("there is no Chart.yaml")?).into_owned();
        let chart = helmpack::chart::Chart::parse(&chart)?;
        context.shell.write_file(folder.join(chart.archive_name()), &bytes)?;
        entries.push(index::entry(&chart, &helmpack::checksum::sha256(&bytes), "2026-01-01T00:00:00Z")?);
    }
    let index = index::merge(None, &entries, "2026-01-01T00:00:00Z")?;
    context.shell.write_file(folder.join("index.yaml"), index)?;
    Ok(folder)
}

/// The entries without the time at which they were made.
fn entries(text: &str) -> Result<BTreeMap<String, Vec<Value>>> {
    let mut entries = index::parse(text)?;
    for entry in entries.values_mut().flatten() {
        entry.as_object_mut().map(|map| map.remove("created"));
    }
    Ok(entries)
}

fn same_as_helm(context: &Context, helm: Tool) -> Result<()> {
    let folder = repository(context, helm)?;
    let ours = entries(&context.shell.read_file(folder.join("index.yaml"))?)?;
    let program = context.tool(helm)?;
    cmd!(context.shell, "{program} repo index {folder}").quiet().run()?;
    let theirs = entries(&context.shell.read_file(folder.join("index.yaml"))?)?;
    ensure!(ours == theirs, "ours {ours:#?}, Helm's {theirs:#?}");
    Ok(())
}

fn pulled(context: &Context, helm: Tool) -> Result<()> {
    let folder = repository(context, helm)?;
    let server = super::server::Server::start(folder.clone())?;
    let home = context.shell.create_temp_dir()?;
    let (program, home, url) = (context.tool(helm)?, home.path(), &server.url);
    let run = |arguments: &[&str]| {
        let command = cmd!(context.shell, "{program} {arguments...}").quiet().ignore_stdout();
        let command = command.env("HELM_CONFIG_HOME", home).env("HELM_CACHE_HOME", home).env("HELM_DATA_HOME", home);
        // The repository is on loopback, wherever the proxy is.
        command.env("NO_PROXY", "127.0.0.1").run()
    };
    let to = context.shell.create_dir(home.join("pulled"))?;
    let to = to.to_str().context("the temporary folder's name is not UTF-8")?;
    run(&["repo", "add", "ours", url])?;
    for (name, entry) in entries(&context.shell.read_file(folder.join("index.yaml"))?)? {
        let version = entry[0]["version"].as_str().unwrap_or_default();
        let archive = format!("{name}-{version}.tgz");
        run(&["pull", &format!("ours/{name}"), "--version", version, "--destination", to])?;
        let same = std::fs::read(home.join("pulled").join(&archive))? == std::fs::read(folder.join(&archive))?;
        ensure!(same, "{archive} comes out with other bytes");
    }
    Ok(())
}
