//! What is published: the editions in dist/, as they go into a registry.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use helmpack::archive::Files;
use helmpack::chart::Chart;
use helmpack::oci::reference::{Reference, Repository};
use helmpack::oci::{self, Descriptor, MANIFEST, referrer};

use crate::flags::Edition;
use crate::provenance;
use crate::record::Record;

/// What is attached to a chart: the bill of materials and the statement on its build, by what follows the archive's name in
/// theirs, with their media types.
pub const ATTACHED: [(&str, &str); 2] =
    [(".cdx.json", "application/vnd.cyclonedx+json"), (provenance::SUFFIX, "application/vnd.in-toto+json")];

/// One edition's chart with all that goes beside it.
#[derive(Debug)]
pub struct Release {
    pub edition: Edition,
    /// The archive's file name.
    pub archive: String,
    /// The chart's version, which a tag may not be able to say.
    pub version: String,
    /// Where it goes.
    pub reference: Reference,
    /// Whether a signature lies beside the archive.
    pub signed: bool,
    pub chart: oci::Artifact,
    pub referrers: Vec<Referrer>,
}

/// A file that is attached to a chart's manifest.
#[derive(Debug, PartialEq, Eq)]
pub struct Referrer {
    /// Its name.
    pub file: String,
    /// Its media type.
    pub kind: String,
    pub artifact: oci::Artifact,
}

/// Editions of a folder that `package` wrote and that was verified, given by its files and its charts.
pub fn read(
    files: &Files,
    charts: &BTreeMap<&str, Chart>,
    record: &Record,
    editions: &[Edition],
    target: &Repository,
) -> Result<Vec<Release>> {
    ensure!(!editions.is_empty(), "this edition was not packaged; `cargo xtask package --require-all` makes both");
    let one = |edition: &Edition| {
        let name = record.archive(*edition).map(|packed| packed.file.as_str()).unwrap_or_default();
        let chart = charts.get(name).with_context(|| format!("{name} is missing"))?;
        one(files, name, chart, record, *edition, target)
    };
    editions.iter().map(one).collect()
}

fn one(
    files: &Files,
    name: &str,
    chart: &Chart,
    record: &Record,
    edition: Edition,
    target: &Repository,
) -> Result<Release> {
    let bytes = files.get(name).with_context(|| format!("{name} is missing"))?;
    let epoch = record.source_date_epoch;
    let signature = files.get(&format!("{name}.prov"));
    let artifact = oci::chart::artifact(chart, epoch, bytes, signature.map(Vec::as_slice))?;
    let subject = Descriptor::of(MANIFEST, &artifact.manifest);
    let referrers = ATTACHED.into_iter().map(|(suffix, kind)| {
        let file = format!("{name}{suffix}");
        let bytes = match suffix {
            provenance::SUFFIX => provenance::statement(record, edition, chart)?,
            _ => files.get(&file).cloned().with_context(|| format!("{file} is missing"))?,
        };
        let artifact = referrer::pack(&subject, kind, &file, bytes, epoch)?;
        Ok(Referrer { file, kind: kind.to_owned(), artifact })
    });
    Ok(Release {
        edition,
        reference: target.join(&chart.name).version(&chart.version)?,
        version: chart.version.clone(),
        signed: signature.is_some(),
        chart: artifact,
        referrers: referrers.collect::<Result<_>>()?,
        archive: name.to_owned(),
    })
}
