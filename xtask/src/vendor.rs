//! `cargo xtask vendor`: brings the pinned dependencies into the cache and into chart/charts/, and derives the facts
//! that checks need of them.

mod download;
pub mod facts;

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use helmpack::chart::Dependency;
use helmpack::checksum::{self, sha256};

use crate::dependency::{self, Archive, Cache, UNPINNED};
use crate::flags;
use crate::model::{self, Model};
use crate::output::{Lock, Staged};
use crate::sources::Sources;

/// The content pins.
const PINS: &str = "chart/dependencies.sha256";

impl flags::Vendor {
    pub fn run(self, root: &Path) -> Result<()> {
        let model = Model::parse(&Sources::read(root)?)?;
        let cache = Cache::open()?;
        for dependency in &model.chart.dependencies {
            let pin = dependency::pin(&model, dependency)?;
            let archive = match &self.from {
                Some(path) => self.import(dependency, path, pin)?,
                None => fetch(dependency, &cache, pin)?,
            };
            let facts = facts::derive(&archive).with_context(|| format!("reading {}", archive.path()))?;
            let _lock = Lock::take(root)?;
            self.write(root, &model, &cache, &archive, &facts)?;
        }
        Ok(())
    }

    fn import(&self, dependency: &Dependency, path: &Path, pin: &str) -> Result<Archive> {
        let bytes = dependency::read(path)?.with_context(|| format!("there is no {}", path.display()))?;
        let archive =
            dependency::check(dependency, bytes, pin).with_context(|| format!("importing {}", path.display()))?;
        ensure!(
            archive.pinned || self.allow_unpinned || self.pin,
            "{} is not the pinned archive: its sha256 is {}, the pin {pin}; --allow-unpinned takes it for builds that are \
             never published, --pin makes it the pinned one",
            path.display(),
            archive.sha256,
        );
        Ok(archive)
    }

    /// Everything that comes of an archive, each file by a rename; the cache first, since it is good by itself.
    fn write(&self, root: &Path, model: &Model, cache: &Cache, archive: &Archive, facts: &str) -> Result<()> {
        let mut staged = Staged::default();
        staged.write(&cache.path(&archive.sha256), &archive.bytes)?;
        staged.write(&root.join("chart").join(archive.path()), &archive.bytes)?;
        let name = format!("{}-{}", archive.name, archive.version);
        let facts_path = model::facts::path(&archive.name, &archive.version);
        staged.write(&root.join(&facts_path), facts.as_bytes())?;
        let mut pinned = archive.pinned;
        if self.pin && !pinned {
            staged.write(&root.join(PINS), repinned(model, archive).as_bytes())?;
            pinned = true;
        }
        if !pinned {
            staged.write(&root.join(UNPINNED), format!("{}  {name}.tgz\n", archive.sha256).as_bytes())?;
        }
        staged.commit()?;
        if pinned {
            let _ = std::fs::remove_file(root.join(UNPINNED));
        }
        remove_other_versions(root, archive)?;
        say!(
            "{} {}  {:.1} kB, sha256 {}{}",
            archive.name,
            archive.version,
            archive.bytes.len() as f64 / 1000.0,
            archive.sha256,
            if pinned { "" } else { ", not the pinned archive: what is built with it is marked and never published" },
        );
        say!("chart  chart/{}", archive.path());
        say!("cache  {}", cache.path(&archive.sha256).display());
        say!("facts  {facts_path}");
        Ok(())
    }
}

/// dependencies.sha256 with the digest of `archive` in place of the old one.
fn repinned(model: &Model, archive: &Archive) -> String {
    let line = |digest: &str, path: &str| format!("{digest}  {path}\n");
    let lines = model.pins.iter().map(|(digest, path)| match *path == archive.path() {
        true => line(&archive.sha256, path),
        false => line(digest, path),
    });
    lines.collect()
}

/// A stale archive of another version would be packed by Helm beside the new one.
fn remove_other_versions(root: &Path, archive: &Archive) -> Result<()> {
    let folder = root.join("chart/charts");
    for entry in std::fs::read_dir(&folder).context("reading chart/charts")? {
        let path = entry.context("reading chart/charts")?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let version = name.strip_prefix(&format!("{}-", archive.name)).and_then(|rest| rest.strip_suffix(".tgz"));
        if version.is_some_and(|version| version != archive.version && semver::Version::parse(version).is_ok()) {
            std::fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
        }
    }
    Ok(())
}

/// The pinned archive from the cache, else from the dependency's repository.
fn fetch(dependency: &Dependency, cache: &Cache, pin: &str) -> Result<Archive> {
    if let Some(bytes) = cache.get(pin)? {
        return dependency::check(dependency, bytes, pin).context("reading the cache");
    }
    let what = format!("{} {}", dependency.name, dependency.version);
    let bytes = download::archive(dependency, pin).with_context(|| {
        format!("fetching {what}; an archive that you have at hand is imported with `cargo xtask vendor --from PATH`")
    })?;
    let digest = sha256(&bytes);
    if digest != pin {
        bail!("{what} from {} has the sha256 {digest}, the pin is {pin}; nothing of it is kept", dependency.repository);
    }
    dependency::check(dependency, bytes, pin).with_context(|| format!("reading {what}"))
}

/// The digest over the unpacked files: it stays the same when someone packs them again.
pub fn contents_sha256(files: &helmpack::archive::Files) -> String {
    sha256(checksum::sums(files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice()))).as_bytes())
}
