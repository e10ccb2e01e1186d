//! The trees of the two editions. The addon is the same tree as the full one under another chart name, without the
//! dependency, its pins and its values.

use anyhow::{Context, Result};
use helmpack::archive::{self, Files};
use helmpack::checksum;

use super::images;
use crate::assemble;
use crate::dependency::Archive;
use crate::flags::Edition;
use crate::model::Model;
use crate::sources::Sources;

/// The annotation of Chart.yaml that marks a build with a dependency other than the pinned one.
const UNPINNED: &str = "gorax-monitoring/unpinned-dependencies";

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
    /// `full` or `addon`.
    pub edition: &'static str,
    /// The archive's file name.
    pub archive: String,
    /// The files in it.
    pub files: Files,
    /// The archive.
    pub bytes: Vec<u8>,
    /// The images that it can run, a line each.
    pub images: String,
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
        self.pack(Edition::Full, &chart, files, unpinned.is_empty())
    }

    /// The addon edition.
    pub fn addon(&self) -> Result<Built> {
        let mut chart = self.model.chart.clone();
        chart.name = format!("{}-addon", chart.name);
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
        self.pack(Edition::Addon, &chart, files, true)
    }

    fn pack(&self, edition: Edition, chart: &helmpack::chart::Chart, mut files: Files, pinned: bool) -> Result<Built> {
        files.retain(|path, _| !self.model.ignore.ignores(path));
        let images = images::list(self.model, edition);
        let edition = match edition {
            Edition::Full => "full",
            Edition::Addon => "addon",
        };
        let bytes =
            archive::pack(&chart.name, &files, self.epoch).with_context(|| format!("packing the {edition} edition"))?;
        Ok(Built { edition, archive: chart.archive_name(), files, bytes, images, pinned })
    }

    /// The files below chart/ that people write, by their path in the chart.
    fn hand_written(&self) -> Files {
        let paths = self.sources.below("chart").filter_map(|path| Some((path.strip_prefix("chart/")?, path)));
        paths.filter_map(|(name, path)| Some((name.to_owned(), self.sources.bytes(path)?.to_vec()))).collect()
    }
}

impl Built {
    /// What goes into dist/: the archive, the digests of the files in it, which hold even where another compressor
    /// packs the same tree, the images to mirror, and the profiles for `helm -f`.
    pub fn artifacts(&self) -> Files {
        let contents = checksum::sums(self.files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())));
        let mut artifacts = Files::from([
            (self.archive.clone(), self.bytes.clone()),
            (format!("{}.contents.sha256", self.archive), contents.into_bytes()),
            (format!("{}.images.txt", self.archive), self.images.clone().into_bytes()),
        ]);
        for (path, bytes) in &self.files {
            if let Some(profile) = path.strip_prefix("profiles/") {
                artifacts.insert(format!("profiles/{}/{profile}", self.edition), bytes.clone());
            }
        }
        artifacts
    }
}
