//! `cargo xtask package`: check → assemble → archive → checksum, for each edition that can be built.

mod dist;
mod edition;
pub mod images;
mod sbom;
pub mod sign;

use std::path::{Path, PathBuf};

use crate::assemble;
use crate::check;
use crate::dependency::{self, Archive};
use crate::failure::{count, plural};
use crate::flags::{self, Edition};
use crate::git;
use crate::model::Model;
use crate::output::Lock;
use crate::record::{self, Record};
use crate::verify::{self, receipt};
use anyhow::{Context, Result, bail};
pub use edition::{Built, Tree, UNPINNED, companions};
use helmpack::archive::{self, Files};
use helmpack::checksum::sha256;
use helmpack::index;
use jiff::Timestamp;

/// The list of checksums, in the form of `sha256sum`.
pub const SUMS: &str = "SHA256SUMS";

/// What a chart repository over HTTP says of the archives.
pub const INDEX: &str = "index.yaml";

impl flags::Package {
    pub fn run(self, root: &Path) -> Result<()> {
        // Everything is made in memory first: bad input leaves chart/ and dist/ as they were.
        let (sources, model, warnings) = check::checked(root)?;
        let generated = assemble::generate(&sources, &model)?;
        let variable = std::env::var_os("SOURCE_DATE_EPOCH").map(|text| text.to_string_lossy().into_owned());
        let epoch = epoch(variable.as_deref(), &model)?;
        let tree = Tree { sources: &sources, model: &model, generated: &generated, epoch };
        let build = self.build(root, &tree)?;
        let output = self.output(root)?;
        // What is there counts as it is once no other command writes it.
        let _lock = Lock::take(root)?;
        let before = if output.is_dir() { verify::read(&output)? } else { Files::new() };
        let index = index(&build.built, epoch, self.existing_index()?.as_deref())?;
        let mut later = self.signatures(&build.built, &before)?;
        let changed = assemble::CHART.write(root, &generated)?;
        // After the generated files are written, so that a commit which lacks them counts as dirty.
        let record = record(root, &tree, &build)?.to_bytes()?;
        let common = [(record::FILE.to_owned(), record), (INDEX.to_owned(), index)];
        let artifacts: Files = build.built.iter().flat_map(Built::artifacts).chain(common).collect();
        later.extend(receipt(&build.built, &artifacts, &later, &before));
        dist::write(&output, &artifacts, &later, &before)?;
        summary(&model, &build, &output, changed);
        if !warnings.is_empty() {
            say!("check  {}; `cargo xtask check` prints them", count(&warnings));
        }
        Ok(())
    }

    /// Packs the editions that are wanted and can be had.
    fn build(&self, root: &Path, tree: &Tree<'_>) -> Result<Build> {
        let wanted = |edition| self.edition.is_none_or(|only| only == edition);
        let mut build = Build { built: Vec::new(), dependencies: Vec::new(), unbuilt: None };
        if wanted(Edition::Full) {
            match dependency::find_all(root, tree.model)? {
                Ok(archives) => {
                    build.built.push(tree.full(&archives)?);
                    build.dependencies = archives;
                }
                Err(reason) if self.require_all || self.edition.is_some() => {
                    bail!("the full edition cannot be built: {reason}");
                }
                Err(reason) => build.unbuilt = Some(reason),
            }
        }
        if wanted(Edition::Addon) {
            build.built.push(tree.addon()?);
        }
        Ok(build)
    }

    fn output(&self, root: &Path) -> Result<PathBuf> {
        match &self.output {
            Some(path) => std::path::absolute(path).with_context(|| format!("resolving --output {}", path.display())),
            None => Ok(root.join("dist")),
        }
    }

    fn existing_index(&self) -> Result<Option<String>> {
        let Some(path) = &self.index else { return Ok(None) };
        Ok(Some(std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?))
    }

    /// The provenance files: signed now, or those there that are still about these archives.
    fn signatures(&self, built: &[Built], before: &Files) -> Result<Files> {
        let Some(key) = &self.sign else { return sign::fitting(built, before) };
        let signer = sign::Signer { key, passphrase: self.passphrase_file.as_deref(), home: None };
        let signatures = signer.sign_all(built, before)?;
        if let Some(warning) = signer.warning()? {
            note!("warning: {warning}");
        }
        Ok(signatures)
    }
}

/// What one run packed.
struct Build {
    built: Vec<Built>,
    /// What the full edition carries.
    dependencies: Vec<Archive>,
    /// Why there is no full edition.
    unbuilt: Option<String>,
}

/// The time of all entries: SOURCE_DATE_EPOCH, else the release's date.
pub fn epoch(variable: Option<&str>, model: &Model) -> Result<u64> {
    let Some(text) = variable else {
        return u64::try_from(model.released.as_second()).context("the release's date is before 1970");
    };
    match text.trim().parse() {
        Ok(epoch) if epoch <= archive::MAX_MTIME => Ok(epoch),
        _ => bail!(
            "SOURCE_DATE_EPOCH is `{text}`, expected whole seconds since 1970, {} at the most",
            archive::MAX_MTIME
        ),
    }
}

/// The record of a build. Which commit it was is known only where the checkout is a Git repository of its own.
fn record(root: &Path, tree: &Tree<'_>, build: &Build) -> Result<Record> {
    let head = git::head(root, tree.sources)?;
    let archives = build
        .built
        .iter()
        .map(|b| (b.edition.name().to_owned(), record::Packed { file: b.archive.clone(), sha256: sha256(&b.bytes) }));
    let dependencies = build.dependencies.iter().map(|d| record::Dependency {
        name: d.name.clone(),
        version: d.version.clone(),
        sha256: d.sha256.clone(),
        pinned: d.pinned,
    });
    Ok(Record {
        name: tree.model.chart.name.clone(),
        version: tree.model.chart.version.clone(),
        commit: head.as_ref().map(|head| head.commit.clone()),
        dirty: head.as_ref().map(|head| head.dirty),
        cargo_lock: dependency::read(&root.join("Cargo.lock"))?.map(|bytes| sha256(&bytes)),
        source_date_epoch: tree.epoch,
        archives: archives.collect(),
        dependencies: dependencies.collect(),
    })
}

/// What `publish` noted, if it is still about these artifacts and their signatures.
fn receipt(built: &[Built], artifacts: &Files, signatures: &Files, before: &Files) -> Option<(String, Vec<u8>)> {
    let receipt = (receipt::FILE.to_owned(), before.get(receipt::FILE)?.clone());
    let mut files = artifacts.clone();
    files.extend(signatures.clone());
    files.extend([receipt.clone()]);
    let charts = built.iter().map(|built| (built.archive.as_str(), built.chart.clone())).collect();
    receipt::verify(&files, &charts).is_none().then_some(receipt)
}

/// The index of a chart repository that holds what was built, and what `existing` lists.
fn index(built: &[Built], epoch: u64, existing: Option<&str>) -> Result<Vec<u8>> {
    let time = time(epoch)?;
    let entries: Result<Vec<_>> = built.iter().map(|b| index::entry(&b.chart, &sha256(&b.bytes), &time)).collect();
    Ok(index::merge(existing, &entries?, &time).context("merging index.yaml")?.into_bytes())
}

/// Seconds since 1970 in the form of RFC 3339.
pub fn time(epoch: u64) -> Result<String> {
    let time = i64::try_from(epoch).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    Ok(time.with_context(|| format!("time {epoch} is out of range"))?.to_string())
}

fn summary(model: &Model, build: &Build, output: &Path, changed: usize) {
    let groups = model.rules.iter().map(|file| file.groups.len()).sum::<usize>();
    say!(
        "{} {}: {} in {}, {}, {}{}",
        model.chart.name,
        model.chart.version,
        plural(model.alerts().count(), "alert"),
        plural(groups, "group"),
        plural(model.dashboards.len(), "dashboard"),
        plural(model.values.profiles.len(), "profile"),
        if changed > 0 {
            format!("; {changed} generated files of chart/ were stale and are renewed")
        } else {
            String::new()
        },
    );
    for built in &build.built {
        say!(
            "{:<6} {}  {} files, {:.1} kB, sha256 {}{}",
            built.edition.name(),
            output.join(&built.archive).display(),
            built.files.len(),
            built.bytes.len() as f64 / 1000.0,
            sha256(&built.bytes),
            if built.pinned { "" } else { "; NOT PINNED: marked, never to be published" },
        );
    }
    if let Some(reason) = &build.unbuilt {
        say!("full   not built: {reason}");
    }
    say!("sums   {}", output.join(SUMS).display());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_is_none_is_refused() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let model = Model::parse(&crate::sources::Sources::read(root).unwrap()).unwrap();
        assert_eq!(epoch(Some("1700000000"), &model).unwrap(), 1_700_000_000);
        assert_eq!(epoch(None, &model).unwrap() % 86_400, 0);
        for wrong in ["", "-1", "yesterday", "99999999999999"] {
            assert!(epoch(Some(wrong), &model).unwrap_err().to_string().contains("SOURCE_DATE_EPOCH"), "{wrong}");
        }
    }
}
