//! `cargo xtask assemble`: the generated files of chart/ and the capture that the contract gives, made in memory, then
//! written or compared.

pub mod alert_sources;
pub mod readme;
mod sample;
pub mod schema;

use std::path::Path;

use anyhow::{Context, Result};
use helmpack::archive::Files;
use helmpack::lock::{self, Locked};
use rulecheck::Finding;

use crate::check;
use crate::failure::Findings;
use crate::flags::{self, Edition};
use crate::model::Model;
use crate::model::values::{Fragment, OWN};
use crate::output::{Lock, Staged};
use crate::sources::Sources;

/// Folders below chart/ that hold nothing but generated files; a file that no source makes is removed from them.
const OWNED: [&str; 2] = ["files", "profiles"];

impl flags::Assemble {
    pub fn run(self, root: &Path) -> Result<()> {
        let (sources, model, _) = check::checked(root)?;
        let generated = generate(&sources, &model)?;
        let sample = sample::render(&model);
        if self.check {
            let mut stale = stale(root, &generated)?;
            stale.extend(compare(root, sample::PATH, sample.as_bytes())?);
            if !stale.is_empty() {
                return Err(Findings(stale).into());
            }
            say!("{} generated files of chart/ and {} are up to date", generated.len(), sample::PATH);
        } else {
            let _lock = Lock::take(root)?;
            let mut staged = Staged::default();
            staged.write(&root.join(sample::PATH), sample.as_bytes())?;
            staged.commit()?;
            let written = write(root, &generated)?;
            say!("wrote {written} of {} generated files of chart/, and {}", generated.len(), sample::PATH);
        }
        Ok(())
    }
}

/// Every generated file, by its path below chart/.
pub fn generate(sources: &Sources, model: &Model) -> Result<Files> {
    let mut files = values(model, Edition::Full)?;
    files.insert("Chart.lock".to_owned(), lock(model)?.into_bytes());
    files.insert("README.md".to_owned(), readme::render(sources, model)?.into_bytes());
    files.insert("files/alert-sources.yaml".to_owned(), alert_sources::render(model)?.into_bytes());
    let rules = model.rules.iter().map(|file| (file.path.as_str(), "rules"));
    let dashboards = model.dashboards.iter().map(|dashboard| (dashboard.path.as_str(), "dashboards"));
    for (path, folder) in rules.chain(dashboards) {
        let name = path.rsplit('/').next().unwrap_or(path);
        // Byte copies: Helm reads them with .Files.Get, so nothing in them is ever escaped.
        let bytes = sources.bytes(path).with_context(|| format!("{path} is missing"))?;
        files.insert(format!("files/{folder}/{name}"), bytes.to_vec());
    }
    Ok(files)
}

/// The values of an edition: values.yaml, its schema, and the profiles. The addon has our own fragments only.
pub fn values(model: &Model, edition: Edition) -> Result<Files> {
    let mut files = Files::new();
    files.insert("values.yaml".to_owned(), concatenate("values/base", &model.values.base, edition).into_bytes());
    files.insert("values.schema.json".to_owned(), schema::render(model, edition)?.into_bytes());
    for (profile, fragments) in &model.values.profiles {
        let for_edition = edition == Edition::Full || fragments.iter().any(|fragment| fragment.owner == OWN);
        if for_edition {
            let text = concatenate(&format!("values/profiles/{profile}"), fragments, edition);
            files.insert(format!("profiles/{profile}.yaml"), text.into_bytes());
        }
    }
    Ok(files)
}

/// The fragments one after the other, comments and all.
fn concatenate(folder: &str, fragments: &[Fragment], edition: Edition) -> String {
    let header = format!("# Made by `cargo xtask assemble` from {folder}/; edit the files there.\n");
    let fragments = fragments.iter().filter(|fragment| edition == Edition::Full || fragment.owner == OWN);
    fragments.fold(header, |text, fragment| format!("{text}\n{}\n", fragment.text.trim_end()))
}

/// Chart.lock with the exact versions of Chart.yaml; its time is always the release's date, so that a rebuild with
/// another SOURCE_DATE_EPOCH does not make the committed file stale.
fn lock(model: &Model) -> Result<String> {
    let locked: Vec<Locked> = model
        .chart
        .dependencies
        .iter()
        .map(|d| Locked { name: d.name.clone(), version: d.version.clone(), repository: d.repository.clone() })
        .collect();
    lock::write(&model.chart.dependencies, &locked, &model.released.to_string())
}

/// What to do about a generated file that is not what the sources give.
const STALE: &str = "run `cargo xtask assemble`";

/// The findings of `--check`: every generated file that differs, is missing, or should not be there.
pub fn stale(root: &Path, generated: &Files) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for (path, bytes) in generated {
        findings.extend(compare(root, &format!("chart/{path}"), bytes)?);
    }
    for file in strays(root, generated)? {
        findings
            .push(Finding::error(&format!("chart/{file}"), 1, "file/stale", "no source makes this file").help(STALE));
    }
    Ok(findings)
}

/// A finding where a file is missing or has other bytes.
fn compare(root: &Path, file: &str, bytes: &[u8]) -> Result<Option<Finding>> {
    let (line, message) = match std::fs::read(root.join(file)) {
        Ok(old) if old == bytes => return Ok(None),
        Ok(old) => {
            let (line, old, new) = first_difference(&old, bytes);
            (line, format!("stale: the line is `{old}`, the sources give `{new}`"))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => (1, "the file is missing".to_owned()),
        Err(error) => return Err(error).with_context(|| format!("reading {file}")),
    };
    Ok(Some(Finding::error(file, line, "file/stale", message).help(STALE)))
}

/// The number of the first line that differs, and what stands there in both.
fn first_difference(old: &[u8], new: &[u8]) -> (usize, String, String) {
    let (old, new) = (String::from_utf8_lossy(old), String::from_utf8_lossy(new));
    let index = old.lines().zip(new.lines()).take_while(|(old, new)| old == new).count();
    let (old, new) = (old.lines().nth(index), new.lines().nth(index));
    // A long line is shown from shortly before the difference.
    let equal =
        old.unwrap_or_default().chars().zip(new.unwrap_or_default().chars()).take_while(|(a, b)| a == b).count();
    let show = |line: Option<&str>| {
        let Some(line) = line else { return "(end of file)".to_owned() };
        let skip = if equal > 40 { equal - 20 } else { 0 };
        let shown: String = line.chars().skip(skip).take(80).collect();
        if skip > 0 { format!("…{shown}") } else { shown }
    };
    (index + 1, show(old), show(new))
}

/// Writes what differs and removes strays; returns how many files changed.
pub fn write(root: &Path, generated: &Files) -> Result<usize> {
    let stale = stale(root, generated)?;
    let chart = root.join("chart");
    let mut staged = Staged::default();
    for (path, bytes) in generated {
        staged.write(&chart.join(path), bytes)?;
    }
    staged.commit()?;
    for file in strays(root, generated)? {
        std::fs::remove_file(chart.join(&file)).with_context(|| format!("removing chart/{file}"))?;
    }
    Ok(stale.len())
}

/// Files in generated folders that no source makes, relative to chart/.
fn strays(root: &Path, generated: &Files) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for folder in OWNED {
        list(&root.join("chart"), folder, &mut found)?;
    }
    found.retain(|path| !generated.contains_key(path));
    found.sort();
    Ok(found)
}

fn list(chart: &Path, folder: &str, found: &mut Vec<String>) -> Result<()> {
    let entries = match std::fs::read_dir(chart.join(folder)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries.with_context(|| format!("reading chart/{folder}"))?,
    };
    for entry in entries {
        let entry = entry.with_context(|| format!("reading chart/{folder}"))?;
        let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
        if entry.file_type().with_context(|| format!("reading chart/{path}"))?.is_dir() {
            list(chart, &path, found)?;
        } else {
            found.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stale output fails `cargo test` too, not only `cargo xtask test`.
    #[test]
    fn the_committed_files_are_up_to_date() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let (sources, model, _) = check::checked(root).unwrap();
        let mut stale = stale(root, &generate(&sources, &model).unwrap()).unwrap();
        stale.extend(compare(root, sample::PATH, sample::render(&model).as_bytes()).unwrap());
        assert!(stale.is_empty(), "{}", Findings(stale));
    }

    #[test]
    fn the_first_difference_has_its_line() {
        assert_eq!(first_difference(b"a\nb\nc\n", b"a\nx\nc\n"), (2, "b".into(), "x".into()));
        assert_eq!(first_difference(b"a\n", b"a\nb\n"), (2, "(end of file)".into(), "b".into()));
        let long = "x".repeat(100);
        let (_, old, new) = first_difference(format!("{long}a").as_bytes(), format!("{long}b").as_bytes());
        assert_eq!((old, new), (format!("…{}a", "x".repeat(20)), format!("…{}b", "x".repeat(20))));
    }
}
