//! What lies in a registry: fetched by digest, proved as files are, and compared with what `publish` writes.

use anyhow::{Context, Result};
use helmpack::archive::{self, Files};
use helmpack::chart::Chart;
use helmpack::oci::chart::{CONTENT, PROVENANCE};
use helmpack::oci::reference::{self, Reference};
use helmpack::oci::{self, Descriptor, MANIFEST, Manifest, referrer};

use super::Defect;
use crate::flags;
use crate::provenance;
use crate::publish::release::ATTACHED;
use crate::record;
use crate::registry::{Access, Client};

/// Fetches a version: its archive and what is attached to it, under the names that they have in dist/, and what is wrong
/// with how the registry holds them.
///
/// Fails where there is no chart under the reference, or it cannot be taken apart.
pub fn fetch(text: &str, flags: &flags::Registry) -> Result<(Files, Vec<Defect>)> {
    let reference = Reference::parse(text)?;
    let repositories = std::slice::from_ref(&reference.repository);
    let client = Client::open(repositories, flags, Access::Pull)?.pop().context("there is no client")?;
    let manifest = client.manifest(&reference.version)?.with_context(|| format!("there is no {reference}"))?;
    let parsed = Manifest::parse(&manifest).with_context(|| format!("reading {reference}"))?;
    let layer = |kind: &str| parsed.layers.iter().find(|layer| layer.media_type == kind);
    let content = layer(CONTENT).with_context(|| format!("{reference} is no Helm chart"))?;
    let archive = client.blob(&content.digest)?;
    let signature = layer(PROVENANCE).map(|layer| client.blob(&layer.digest)).transpose()?;
    // It is in no file, but Helm reads it.
    client.blob(&parsed.config.digest)?;
    let packed = archive::verify(&archive).with_context(|| format!("reading the archive of {reference}"))?;
    let chart = packed.files.get("Chart.yaml").context("the archive holds no Chart.yaml")?;
    let chart = Chart::parse(&String::from_utf8_lossy(chart)).context("reading the archive's Chart.yaml")?;
    let name = chart.archive_name();
    let expected = oci::chart::artifact(&chart, packed.mtime, &archive, signature.as_deref())?;
    let mut wrong = named(&reference, &chart)?;
    if expected.manifest != manifest {
        wrong.push(format!("its manifest is {}, `publish` writes {}", oci::digest(&manifest), expected.digest()));
    }
    let mut files = Files::new();
    files.extend(signature.map(|signature| (format!("{name}.prov"), signature)));
    files.insert(name.clone(), archive);
    wrong.extend(attached(&client, &manifest, &name, packed.mtime, &mut files)?);
    // The statement says what package.json says, which is all that a rebuild needs.
    if let Some(Ok(record)) =
        files.get(&format!("{name}{}", provenance::SUFFIX)).map(|text| provenance::parse(text, &chart))
    {
        files.insert(record::FILE.to_owned(), record.to_bytes()?);
    }
    let shown = reference.to_string();
    Ok((files, wrong.into_iter().map(|message| Defect::new(&shown, message)).collect()))
}

/// The repository's name and the tag are the chart's.
fn named(reference: &Reference, chart: &Chart) -> Result<Vec<String>> {
    let tag = reference::tag(&chart.version)?;
    let name = reference.repository.path.rsplit('/').next().unwrap_or_default();
    let right = name == chart.name && (reference.is_digest() || reference.version == tag);
    Ok((!right).then(|| format!("Chart.yaml is of {} {}", chart.name, chart.version)).into_iter().collect())
}

/// Fetches what `publish` attaches. What others attach, such as signatures, is theirs to prove.
fn attached(client: &Client, subject: &[u8], name: &str, mtime: u64, files: &mut Files) -> Result<Vec<String>> {
    let subject = Descriptor::of(MANIFEST, subject);
    let mut found = Vec::new();
    for entry in client.referrers(&subject.digest)? {
        let manifest = client.manifest(&entry.digest)?;
        found.push(manifest.with_context(|| format!("{} is listed and not there", entry.digest))?);
    }
    let mut wrong = Vec::new();
    for (suffix, kind) in ATTACHED {
        let file = format!("{name}{suffix}");
        let mut ours = Vec::new();
        for bytes in &found {
            let manifest = Manifest::parse(bytes)?;
            if manifest.artifact_type.as_deref() == Some(kind) {
                ours.push((bytes, manifest));
            }
        }
        let [(bytes, manifest)] = &ours[..] else {
            wrong.push(format!("{} files of the type {kind} are attached, `publish` attaches one", ours.len()));
            continue;
        };
        let layer = manifest.layers.first().with_context(|| format!("what is attached as {kind} is empty"))?;
        let content = client.blob(&layer.digest)?;
        let expected = referrer::pack(&subject, kind, &file, content.clone(), mtime)?;
        if expected.manifest != **bytes {
            wrong.push(format!("{file} is attached as {}, `publish` writes {}", oci::digest(bytes), expected.digest()));
        }
        files.insert(file, content);
    }
    Ok(wrong)
}
