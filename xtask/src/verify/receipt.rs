//! `publish.json`, what was published, against the archives that it is about.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use helmpack::archive::Files;
use helmpack::chart::Chart;
use helmpack::oci::reference::Repository;
use serde_json::{Map, Value, json};

use super::Defect;
use super::archive::difference;
use crate::flags::Edition;
use crate::publish::release::{self, Referrer, Release};
use crate::record::{self, Record};

/// Its name in dist/.
pub const FILE: &str = "publish.json";

/// What a receipt among the files says otherwise than `publish` would of these archives, given by their charts. Which registry they
/// went to is all that it alone knows.
pub fn verify(files: &Files, charts: &BTreeMap<&str, Chart>) -> Option<Defect> {
    let bytes = files.get(FILE)?;
    match releases(files, charts).and_then(|releases| write(releases.iter())) {
        Err(error) => Some(Defect::new(FILE, format!("{error:#}"))),
        Ok(expected) if expected != *bytes => Some(Defect::new(FILE, difference(bytes, &expected, "the folder"))),
        Ok(_) => None,
    }
}

/// The editions that a receipt among the files names, in the registries that it names; none where there is no receipt.
pub fn releases(files: &Files, charts: &BTreeMap<&str, Chart>) -> Result<Vec<Release>> {
    let Some(bytes) = files.get(FILE) else { return Ok(Vec::new()) };
    let editions: Map<String, Value> = serde_json::from_slice(bytes).context("it is no record of a publication")?;
    let record = files.get(record::FILE).context("there is no package.json")?;
    let record = Record::parse(record).context("reading package.json")?;
    let mut releases = Vec::new();
    for edition in Edition::ALL {
        let Some(published) = editions.get(edition.name()) else { continue };
        let reference = published["reference"].as_str().unwrap_or_default();
        let (target, _) = reference.rsplit_once('/').context("it does not say where an edition was published")?;
        releases.extend(release::read(files, charts, &record, &[edition], &Repository::parse(target)?)?);
    }
    ensure!(!releases.is_empty(), "it names no edition");
    Ok(releases)
}

/// The text of a receipt: the same for the same archives and registry, in whatever order they come.
pub fn write<'a>(releases: impl Iterator<Item = &'a Release>) -> Result<Vec<u8>> {
    let mut editions: Vec<_> = releases.map(|release| (release.edition, entry(release))).collect();
    editions.sort_by_key(|(edition, _)| Edition::ALL.iter().position(|known| known == edition));
    let editions: Map<_, _> = editions.into_iter().map(|(edition, entry)| (edition.name().to_owned(), entry)).collect();
    Ok((serde_json::to_string_pretty(&editions).context("writing publish.json")? + "\n").into_bytes())
}

fn entry(release: &Release) -> Value {
    let referrer = |referrer: &Referrer| json!({"artifactType": referrer.kind, "digest": referrer.artifact.digest(), "file": referrer.file});
    json!({
        "reference": release.reference.to_string(),
        "digest": release.chart.digest(),
        "size": release.chart.manifest.len(),
        "archive": release.archive,
        "signed": release.signed,
        "referrers": release.referrers.iter().map(referrer).collect::<Vec<_>>(),
    })
}
