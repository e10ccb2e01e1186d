//! What is published: the archives of dist/, as they go into a registry.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use helmpack::checksum::sha256;
use helmpack::oci::reference::{Reference, Repository};
use helmpack::oci::{self, Descriptor, MANIFEST, referrer};

use crate::dependency::read as read_file;
use crate::flags::Edition;

/// One edition's chart with all that goes beside it.
#[derive(Debug)]
pub struct Release {
    /// `full` or `addon`.
    pub edition: String,
    /// The archive's file name.
    pub archive: String,
    /// The chart's version, which a tag may not be able to say.
    pub version: String,
    /// Where it goes.
    pub reference: Reference,
    /// Whether a signature lies beside the archive.
    pub signed: bool,
    /// The time in the archive, seconds since 1970.
    mtime: u64,
    pub chart: oci::Artifact,
    pub referrers: Vec<Referrer>,
}

/// A file that is attached to a chart's manifest.
#[derive(Debug, PartialEq, Eq)]
pub struct Referrer {
    /// Its name in dist/.
    pub file: String,
    /// Its media type.
    pub kind: String,
    pub artifact: oci::Artifact,
}

impl Release {
    pub fn new(edition: &str, archive: &str, packed: oci::chart::Packed, target: &Repository) -> Result<Release> {
        let reference = target.join(&packed.chart.name).version(&packed.chart.version)?;
        let signed = packed.artifact.blobs.iter().any(|blob| blob.descriptor.media_type == oci::chart::PROVENANCE);
        Ok(Release {
            edition: edition.to_owned(),
            archive: archive.to_owned(),
            version: packed.chart.version,
            reference,
            signed,
            mtime: packed.mtime,
            chart: packed.artifact,
            referrers: Vec::new(),
        })
    }

    /// Puts a file beside the chart's manifest.
    pub fn attach(&mut self, file: &str, kind: &str, bytes: Vec<u8>) -> Result<()> {
        let subject = Descriptor::of(MANIFEST, &self.chart.manifest);
        let artifact = referrer::pack(&subject, kind, file, bytes, self.mtime)?;
        self.referrers.push(Referrer { file: file.to_owned(), kind: kind.to_owned(), artifact });
        Ok(())
    }
}

/// The media type of a bill of materials.
const SBOM: &str = "application/vnd.cyclonedx+json";

/// Reads the editions of a folder that `package` wrote.
pub fn read(folder: &Path, only: Option<Edition>, target: &Repository) -> Result<Vec<Release>> {
    let file = |name: &str| read_file(&folder.join(name));
    let record = file("package.json")?;
    let record = record
        .with_context(|| format!("{} holds no package.json; make it with `cargo xtask package`", folder.display()))?;
    let record: serde_json::Value = serde_json::from_slice(&record).context("reading package.json")?;
    let mut releases = Vec::new();
    for (edition, packed) in record["archives"].as_object().context("package.json lists no archives")? {
        let wanted = match only {
            None => true,
            Some(Edition::Full) => edition == "full",
            Some(Edition::Addon) => edition == "addon",
        };
        if !wanted {
            continue;
        }
        let name = packed["file"].as_str().context("package.json names no file")?;
        let bytes = file(name)?.with_context(|| format!("{name} is missing; `cargo xtask package` makes it"))?;
        ensure!(
            packed["sha256"] == *sha256(&bytes),
            "{name} is not what package.json says; `cargo xtask package` makes it anew"
        );
        let signature = file(&format!("{name}.prov"))?;
        let packed = oci::chart::pack(&bytes, signature.as_deref()).with_context(|| format!("reading {name}"))?;
        let mut release = Release::new(edition, name, packed, target)?;
        let sbom = format!("{name}.cdx.json");
        if let Some(bytes) = file(&sbom)? {
            release.attach(&sbom, SBOM, bytes)?;
        }
        releases.push(release);
    }
    if releases.is_empty() {
        bail!("{} holds no such edition; `cargo xtask package --require-all` makes all", folder.display());
    }
    Ok(releases)
}
