//! The archives that the full edition carries: pinned by content in `chart/dependencies.sha256`, kept in the user's
//! cache under their digest, and beside the chart in `chart/charts/`, where Helm looks for them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use helmpack::archive::{self, Files};
use helmpack::chart::Dependency;
use helmpack::checksum::{self, sha256};

use crate::model::Model;

/// The list, in sha256sum's format, of archives in chart/charts/ that are not the pinned ones but were allowed. Helm
/// passes over a hidden file there; any other would break the chart.
pub const UNPINNED: &str = "chart/charts/.unpinned.sha256";

/// A dependency's archive, checked.
#[derive(Debug, Clone)]
pub struct Archive {
    /// The dependency's chart name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its digest in hex.
    pub sha256: String,
    /// Whether that is the pinned digest. What is built with another one is marked and never published.
    pub pinned: bool,
    /// The archive itself, unchanged.
    pub bytes: Vec<u8>,
    /// The files in it.
    pub files: Files,
}

impl Archive {
    /// The archive's path in the chart.
    pub fn path(&self) -> String {
        path_in_chart(&self.name, &self.version)
    }
}

/// Where Helm expects the archive of a dependency, relative to the chart.
pub fn path_in_chart(name: &str, version: &str) -> String {
    format!("charts/{name}-{version}.tgz")
}

/// The pinned digest of a dependency. `check` makes sure that there is one.
pub fn pin<'a>(model: &'a Model, dependency: &Dependency) -> Result<&'a str> {
    let path = path_in_chart(&dependency.name, &dependency.version);
    let pin = model.pins.iter().find(|(_, pinned)| *pinned == path);
    let (digest, _) = pin.with_context(|| format!("chart/dependencies.sha256 has no pin for {path}"))?;
    Ok(digest)
}

/// Finds the archives that `package` puts into the full edition, without a network: beside the chart, or in the cache.
/// `Ok(Err(reason))` when one is not there; an error when one is there and is not what was pinned or allowed.
pub fn find_all(root: &Path, model: &Model) -> Result<Result<Vec<Archive>, String>> {
    let mut archives = Vec::new();
    for dependency in &model.chart.dependencies {
        match find(root, model, dependency)? {
            Some(archive) => archives.push(archive),
            None => {
                return Ok(Err(format!(
                    "the archive of {} {} is not here; get it with `cargo xtask vendor`, or import one with `cargo xtask vendor --from PATH`",
                    dependency.name, dependency.version
                )));
            }
        }
    }
    Ok(Ok(archives))
}

fn find(root: &Path, model: &Model, dependency: &Dependency) -> Result<Option<Archive>> {
    let pin = pin(model, dependency)?;
    let path = format!("chart/{}", path_in_chart(&dependency.name, &dependency.version));
    if let Some(bytes) = read(&root.join(&path))? {
        let digest = sha256(&bytes);
        let allowed = digest == pin || allowed(root)?.contains(&digest);
        ensure!(
            allowed,
            "{path} is not the pinned archive: its sha256 is {digest}, the pin {pin}; replace it with `cargo xtask vendor`"
        );
        return check(dependency, bytes, pin).map(Some).with_context(|| format!("reading {path}"));
    }
    match Cache::open().and_then(|cache| cache.get(pin))? {
        Some(bytes) => check(dependency, bytes, pin).map(Some).context("reading the cache"),
        None => Ok(None),
    }
}

fn allowed(root: &Path) -> Result<Vec<String>> {
    let Some(text) = read(&root.join(UNPINNED))? else { return Ok(Vec::new()) };
    let lines = checksum::parse(&String::from_utf8_lossy(&text)).map_err(anyhow::Error::msg);
    Ok(lines.with_context(|| format!("reading {UNPINNED}"))?.into_iter().map(|(digest, _)| digest).collect())
}

/// Looks into an archive before anything is done with it: safe to unpack, and the chart that is wanted.
pub fn check(dependency: &Dependency, bytes: Vec<u8>, pin: &str) -> Result<Archive> {
    let (_, files) = archive::unpack(&bytes).context("the archive is refused")?;
    let metadata = files.get("Chart.yaml").context("the archive holds no Chart.yaml")?;
    // A foreign chart may use fields that ours may not; name and version are all that matters here.
    let metadata: serde_json::Value = serde_yaml::from_slice(metadata).context("reading its Chart.yaml")?;
    let of = |key: &str| metadata[key].as_str().unwrap_or_default().to_owned();
    let (name, version) = (of("name"), of("version"));
    if (name.as_str(), version.as_str()) != (&dependency.name, &dependency.version) {
        bail!("the archive is {name} {version}, wanted is {} {}", dependency.name, dependency.version);
    }
    let sha256 = sha256(&bytes);
    Ok(Archive { name, version, pinned: sha256 == pin, sha256, bytes, files })
}

/// Reads a file that may be missing.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
    }
}

/// The user's cache: one file an archive, named after its digest.
pub struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// `$GORAX_MONITORING_CACHE`, else `gorax-monitoring` in `$XDG_CACHE_HOME` or `~/.cache`.
    pub fn open() -> Result<Cache> {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let folder = variable("GORAX_MONITORING_CACHE")
            .or_else(|| Some(variable("XDG_CACHE_HOME")?.join("gorax-monitoring")))
            .or_else(|| Some(std::env::home_dir()?.join(".cache/gorax-monitoring")))
            .context("there is no home folder for the cache; set GORAX_MONITORING_CACHE")?;
        Ok(Cache { folder })
    }

    /// Where an archive is, or would be.
    pub fn path(&self, sha256: &str) -> PathBuf {
        self.folder.join(format!("{sha256}.tgz"))
    }

    /// The archive of a digest. A file whose content is not what its name says counts as missing.
    pub fn get(&self, digest: &str) -> Result<Option<Vec<u8>>> {
        Ok(read(&self.path(digest))?.filter(|bytes| sha256(bytes) == digest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demo() -> Dependency {
        serde_yaml::from_str("{name: demo, version: 1.0.0, repository: 'https://example.org'}").unwrap()
    }

    fn packed(chart: &str) -> Vec<u8> {
        let files = Files::from([("Chart.yaml".to_owned(), chart.as_bytes().to_vec())]);
        archive::pack("demo", &files, 0).unwrap()
    }

    #[test]
    fn only_the_wanted_chart_is_taken() {
        let right = check(&demo(), packed("name: demo\nversion: 1.0.0\nextra: 1\n"), "ab").unwrap();
        assert!(!right.pinned && right.path() == "charts/demo-1.0.0.tgz");
        for (chart, expected) in [
            ("name: demo\nversion: 1.0.1\n", "the archive is demo 1.0.1, wanted is demo 1.0.0"),
            ("name: other\nversion: 1.0.0\n", "the archive is other 1.0.0"),
            ("[", "reading its Chart.yaml"),
        ] {
            let error = format!("{:#}", check(&demo(), packed(chart), "ab").unwrap_err());
            assert!(error.contains(expected), "{error}");
        }
        let whole = packed("name: demo\nversion: 1.0.0\n");
        let error = format!("{:#}", check(&demo(), whole[..whole.len() / 2].to_vec(), "ab").unwrap_err());
        assert!(error.starts_with("the archive is refused: "), "{error}");
    }
}
