//! `cargo xtask package`: check → assemble → archive → checksum, for each edition that can be built.

mod edition;
pub mod images;
mod sbom;

use std::path::Path;

use crate::assemble;
use crate::check;
use crate::dependency::{self, Archive};
use crate::failure::{count, plural};
use crate::flags::{self, Edition};
use crate::git;
use crate::model::Model;
use crate::output::{Lock, Staged};
use crate::record::{self, Record};
use anyhow::{Context, Result, bail};
pub use edition::{Built, Tree, UNPINNED, companions};
use helmpack::archive::{self, Files};
use helmpack::checksum::{self, sha256};
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
        let tree = Tree {
            sources: &sources,
            model: &model,
            generated: &generated,
            epoch: epoch(variable.as_deref(), &model)?,
        };
        let wanted = |edition| self.edition.is_none_or(|only| only == edition);
        let mut built = Vec::new();
        let mut dependencies = Vec::new();
        let mut unbuilt = None;
        if wanted(Edition::Full) {
            match dependency::find_all(root, &model)? {
                Ok(archives) => {
                    built.push(tree.full(&archives)?);
                    dependencies = archives;
                }
                Err(reason) if self.require_all || self.edition.is_some() => {
                    bail!("the full edition cannot be built: {reason}");
                }
                Err(reason) => unbuilt = Some(reason),
            }
        }
        if wanted(Edition::Addon) {
            built.push(tree.addon()?);
        }
        let output = match &self.output {
            Some(folder) => {
                std::path::absolute(folder).with_context(|| format!("resolving --output {}", folder.display()))?
            }
            None => root.join("dist"),
        };
        let _lock = Lock::take(root)?;
        let changed = assemble::CHART.write(root, &generated)?;
        // After the generated files are written, so that a commit which lacks them counts as dirty.
        let record = record(root, &tree, &built, &dependencies)?.to_bytes()?;
        let index = index(&built, tree.epoch)?;
        let common = [(record::FILE.to_owned(), record), (INDEX.to_owned(), index)];
        let artifacts: Files = built.iter().flat_map(Built::artifacts).chain(common).collect();
        write_dist(&output, &artifacts)?;
        summary(&model, &built, unbuilt.as_deref(), &output, changed);
        if !warnings.is_empty() {
            say!("check  {}; `cargo xtask check` prints them", count(&warnings));
        }
        Ok(())
    }
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
fn record(root: &Path, tree: &Tree<'_>, built: &[Built], dependencies: &[Archive]) -> Result<Record> {
    let head = git::head(root)?;
    let archives = built
        .iter()
        .map(|b| (b.edition.name().to_owned(), record::Packed { file: b.archive.clone(), sha256: sha256(&b.bytes) }));
    let dependencies = dependencies.iter().map(|d| record::Dependency {
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

/// The index of a chart repository that holds what was built.
fn index(built: &[Built], epoch: u64) -> Result<Vec<u8>> {
    let time = time(epoch)?;
    let entries: Result<Vec<_>> = built.iter().map(|b| index::entry(&b.chart, &sha256(&b.bytes), &time)).collect();
    Ok(index::merge(None, &entries?, &time)?.into_bytes())
}

/// Seconds since 1970 in the form of RFC 3339.
pub fn time(epoch: u64) -> Result<String> {
    let time = i64::try_from(epoch).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    Ok(time.with_context(|| format!("time {epoch} is out of range"))?.to_string())
}

/// Writes the artifacts, the checksums last, then removes what an earlier run listed and this one did not make.
fn write_dist(output: &Path, artifacts: &Files) -> Result<()> {
    let before = std::fs::read_to_string(output.join(SUMS)).unwrap_or_default();
    let mut staged = Staged::default();
    for (name, bytes) in artifacts {
        staged.write(&output.join(name), bytes)?;
    }
    let sums = checksum::sums(artifacts.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())));
    staged.write(&output.join(SUMS), sums.as_bytes())?;
    staged.commit()?;
    for (_, name) in checksum::parse(&before).unwrap_or_default() {
        // Whatever the old list says, nothing outside the folder is ever removed.
        let inside = name.split('/').all(|step| !matches!(step, "" | "." | "..")) && !name.contains('\\');
        if inside && !artifacts.contains_key(&name) && name != SUMS {
            let _ = std::fs::remove_file(output.join(&name));
        }
    }
    Ok(())
}

fn summary(model: &Model, built: &[Built], unbuilt: Option<&str>, output: &Path, changed: usize) {
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
    for built in built {
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
    if let Some(reason) = unbuilt {
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
