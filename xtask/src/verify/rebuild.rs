//! `verify --rebuild`: the recorded commit, packed again, gives the same bytes.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use helmpack::archive::{self, Files};

use super::Defect;
use super::archive::difference;
use crate::dependency::{self, Archive};
use crate::flags::Edition;
use crate::model::Model;
use crate::output::Lock;
use crate::package::{Built, Tree};
use crate::record::Record;
use crate::{assemble, check, git};

/// What decides how sources become archives. A commit with another pipeline is rebuilt with that one.
const PIPELINE: [&str; 4] = ["xtask", "crates", "Cargo.toml", "Cargo.lock"];

/// Packs the record's commit again, as this checkout's Git has it, and compares every archive of the record that is among `files`,
/// and what lies beside it. The full edition's dependencies are those in its own archive, which the commit pins.
///
/// Fails where that cannot be tried: no commit is recorded that holds all that was built, it is not in this repository, or its
/// pipeline is not the one that runs.
pub fn rebuild(root: &Path, record: &Record, files: &Files) -> Result<Vec<Defect>> {
    let commit = record.clean_commit().context(
        "package.json records no commit that holds all that was built; commit the changes, then `cargo xtask package`",
    )?;
    ensure!(
        git::has(root, commit)?,
        "commit {commit} is not in this repository; get it with `git fetch origin {commit}`, then try again"
    );
    ensure!(
        git::same(root, commit, &PIPELINE)?,
        "{} are not here as commit {commit} has them; rebuild with its own pipeline: `git worktree add ../at-{commit} {commit}`, \
         and there `cargo xtask verify --rebuild {}`",
        PIPELINE.join(", "),
        root.join("dist").display()
    );
    let _lock = Lock::take(root)?;
    let folder = root.join("target/rebuild");
    remove(&folder)?;
    git::export(root, commit, &folder)?;
    let built = pack(&folder, record, files).with_context(|| format!("packing commit {commit} again"));
    remove(&folder)?;
    Ok(built?.iter().flat_map(|built| differences(built, files)).collect())
}

fn remove(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Packs the editions whose archives are among the files.
fn pack(root: &Path, record: &Record, files: &Files) -> Result<Vec<Built>> {
    let (sources, model, _) = check::checked(root)?;
    let generated = assemble::generate(&sources, &model)?;
    let tree = Tree { sources: &sources, model: &model, generated: &generated, epoch: record.source_date_epoch };
    let mut built = Vec::new();
    for edition in Edition::ALL {
        let archive = record.archive(edition).and_then(|packed| files.get(&packed.file));
        match (edition, archive) {
            (_, None) => {}
            (Edition::Full, Some(archive)) => built.push(tree.full(&carried(&model, archive)?)?),
            (Edition::Addon, Some(_)) => built.push(tree.addon()?),
        }
    }
    Ok(built)
}

/// The dependencies in a full edition's archive.
fn carried(model: &Model, archive: &[u8]) -> Result<Vec<Archive>> {
    let (_, mut files) = archive::unpack(archive)?;
    let mut take = |dependency: &helmpack::chart::Dependency| {
        let path = dependency::path_in_chart(&dependency.name, &dependency.version);
        let bytes = files.remove(&path).with_context(|| format!("the archive does not carry {path}"))?;
        dependency::check(dependency, bytes, dependency::pin(model, dependency)?)
    };
    model.chart.dependencies.iter().map(&mut take).collect()
}

fn differences(built: &Built, files: &Files) -> Vec<Defect> {
    let artifacts = built.artifacts();
    let differing = artifacts.iter().filter(|(name, bytes)| files.get(*name).is_some_and(|found| found != *bytes));
    differing
        .map(|(name, bytes)| {
            let found = &files[name];
            let message =
                if *name == built.archive { entry(found, built) } else { difference(found, bytes, "the rebuild") };
            Defect::new(name, message)
        })
        .collect()
}

/// The first entry of an archive that is another one than in the rebuild.
fn entry(found: &[u8], built: &Built) -> String {
    let Ok((_, files)) = archive::unpack(found) else { return "the rebuild is another one".to_owned() };
    let paths = files.keys().chain(built.files.keys()).collect::<std::collections::BTreeSet<_>>();
    for path in paths {
        match (files.get(path), built.files.get(path)) {
            (Some(_), None) => return format!("the rebuild has no {path}"),
            (None, Some(_)) => return format!("it lacks {path}, which the rebuild has"),
            (Some(found), Some(expected)) if found != expected => {
                return format!("{path}: {}", difference(found, expected, "the rebuild"));
            }
            _ => {}
        }
    }
    "its entries are those of the rebuild, but their time or the compression differs".to_owned()
}
