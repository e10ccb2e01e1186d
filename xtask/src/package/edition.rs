//! The trees of the two editions. The addon is the same tree as the full one under another chart name, without the
//! dependency, its pins and its values.

use anyhow::{Context, Result};
use helmpack::archive::{self, Files, Packed};
use helmpack::chart::Chart;
use helmpack::checksum::{self, sha256};

use super::{images, sbom};
use crate::assemble;
use crate::dependency::Archive;
use crate::flags::Edition;
use crate::model::Model;
use crate::sources::Sources;

/// The annotation of Chart.yaml that marks a build with a dependency other than the pinned one.
pub const UNPINNED: &str = "gorax-monitoring/unpinned-dependencies";

/// What an edition is made of.
pub struct Tree<'a> {
    pub sources: &'a Sources,
    pub model: &'a Model,
    /// The generated files of chart/.
    pub generated: &'a Files,
    /// The time of all entries, seconds since 1970.
    pub epoch: u64,
}

/// One edition, packed.
pub struct Built {
    /// Which it is.
    pub edition: Edition,
    /// Its Chart.yaml.
    pub chart: Chart,
    /// The archive's file name.
    pub archive: String,
    /// The files in it.
    pub files: Files,
    /// The archive.
    pub bytes: Vec<u8>,
    /// What lies beside it in dist/.
    pub companions: Files,
    /// Whether every dependency in it is the pinned one.
    pub pinned: bool,
}

impl Tree<'_> {
    /// The full edition: everything below chart/, with the dependencies' archives unchanged inside.
    pub fn full(&self, archives: &[Archive]) -> Result<Built> {
        let mut chart = self.model.chart.clone();
        let mut files = self.generated.clone();
        files.extend(self.hand_written());
        files.extend(archives.iter().map(|archive| (archive.path(), archive.bytes.clone())));
        let unpinned: Vec<String> =
            archives.iter().filter(|a| !a.pinned).map(|a| format!("{} {}", a.name, a.version)).collect();
        if !unpinned.is_empty() {
            chart.annotations.insert(UNPINNED.to_owned(), unpinned.join(", "));
            files.insert("Chart.yaml".to_owned(), chart.to_yaml()?.into_bytes());
        }
        self.pack(Edition::Full, &chart, files, archives)
    }

    /// The addon edition.
    pub fn addon(&self) -> Result<Built> {
        let mut chart = self.model.chart.clone();
        chart.name += Edition::ADDON_SUFFIX;
        chart.description =
            Some("Monitors Gorax on Kubernetes in a cluster that already runs the Prometheus Operator".to_owned());
        chart.dependencies.clear();
        let mut files = self.generated.clone();
        files.extend(self.hand_written());
        files.retain(|path, _| {
            !matches!(path.as_str(), "Chart.lock" | "dependencies.sha256") && !path.starts_with("profiles/")
        });
        files.extend(assemble::values(self.model, Edition::Addon)?);
        files.insert("Chart.yaml".to_owned(), chart.to_yaml()?.into_bytes());
        self.pack(Edition::Addon, &chart, files, &[])
    }

    fn pack(&self, edition: Edition, chart: &Chart, mut files: Files, carried: &[Archive]) -> Result<Built> {
        files.retain(|path, _| !self.model.ignore.ignores(path));
        let packing = || format!("packing the {} edition", edition.name());
        let bytes = archive::pack(&chart.name, &files, self.epoch).with_context(packing)?;
        let packed = Packed { root: chart.name.clone(), mtime: self.epoch, files };
        let companions = companions(chart, &packed, carried, &sha256(&bytes)).with_context(packing)?;
        let pinned = carried.iter().all(|archive| archive.pinned);
        let (chart, archive) = (chart.clone(), chart.archive_name());
        Ok(Built { edition, chart, archive, files: packed.files, bytes, companions, pinned })
    }

    /// The files below chart/ that people write, by their path in the chart.
    fn hand_written(&self) -> Files {
        let paths = self.sources.below("chart").filter_map(|path| Some((path.strip_prefix("chart/")?, path)));
        paths.filter_map(|(name, path)| Some((name.to_owned(), self.sources.bytes(path)?.to_vec()))).collect()
    }
}

impl Built {
    /// What goes into dist/.
    pub fn artifacts(&self) -> Files {
        let mut artifacts = self.companions.clone();
        artifacts.insert(self.archive.clone(), self.bytes.clone());
        artifacts
    }
}

/// What lies beside an archive in dist/, all of it derived from the archive, the dependencies that it carries among it: the digests of the files in it, which hold even where
/// another compressor packs the same tree, the images to mirror, the bill of materials, and the profiles for `helm -f`.
pub fn companions(chart: &Chart, packed: &Packed, carried: &[Archive], digest: &str) -> Result<Files> {
    let archive = chart.archive_name();
    let contents = checksum::sums(packed.files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())));
    let images = images::of(&packed.files, carried)?;
    let mut companions = Files::from([
        (format!("{archive}.contents.sha256"), contents.into_bytes()),
        (format!("{archive}.images.txt"), images::list(&images).into_bytes()),
        (format!("{archive}.cdx.json"), sbom::write(chart, carried, &images, digest, packed.mtime)?),
    ]);
    let edition = Edition::of(chart);
    for (path, bytes) in &packed.files {
        if let Some(profile) = path.strip_prefix("profiles/") {
            companions.insert(format!("profiles/{}/{profile}", edition.name()), bytes.clone());
        }
    }
    Ok(companions)
}
