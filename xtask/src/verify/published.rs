//! What lies in a registry: fetched by digest, proved as files are, and compared with what `publish` writes.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use helmpack::archive::{self, Files};
use helmpack::chart::Chart;
use helmpack::oci::chart::{CONTENT, PROVENANCE};
use helmpack::oci::reference::{self, Reference};
use helmpack::oci::{self, Descriptor, MANIFEST, Manifest, TITLE, referrer};

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

/// Fetches what `publish` attaches. What others attach, such as signatures or their own bills of materials, is theirs to
/// prove.
fn attached(client: &Client, subject: &[u8], name: &str, mtime: u64, files: &mut Files) -> Result<Vec<String>> {
    let subject = Descriptor::of(MANIFEST, subject);
    let listed = client.referrers(&subject.digest)?;
    let mut wrong = Vec::new();
    for (suffix, kind) in ATTACHED {
        let file = format!("{name}{suffix}");
        // A list may leave out what its entries are for.
        let entries = listed.iter().filter(|entry| entry.artifact_type.as_deref().is_none_or(|listed| listed == kind));
        let (mut found, mut broken) = (BTreeSet::new(), Vec::new());
        for entry in entries {
            match ours(client, entry, &subject, kind, &file, mtime) {
                Ok(content) => found.extend(content),
                Err(error) => broken.push(format!("{error:#}")),
            }
        }
        match (found.len(), found.pop_first()) {
            (1, Some(content)) => {
                files.insert(file, content);
            }
            (number, _) => {
                wrong.push(format!("{number} files of the type {kind} are attached as `publish` attaches one"));
                wrong.append(&mut broken);
            }
        }
    }
    Ok(wrong)
}

/// The content of what is attached under the name and the type of one of our files; `None` is somebody else's. Of ours every
/// byte of the manifest follows from the content.
fn ours(
    client: &Client,
    entry: &Descriptor,
    subject: &Descriptor,
    kind: &str,
    file: &str,
    mtime: u64,
) -> Result<Option<Vec<u8>>> {
    let bytes = client.manifest(&entry.digest)?.with_context(|| format!("{} is listed and not there", entry.digest))?;
    let Ok(manifest) = Manifest::parse(&bytes) else { return Ok(None) };
    let [layer] = &manifest.layers[..] else { return Ok(None) };
    let title = layer.annotations.get(TITLE).map(String::as_str);
    if manifest.artifact_type.as_deref() != Some(kind) || title != Some(file) {
        return Ok(None);
    }
    let content = client.blob(&layer.digest)?;
    let expected = referrer::pack(subject, kind, file, content.clone(), mtime)?;
    let digest = oci::digest(&bytes);
    ensure!(bytes == expected.manifest, "{file} is attached as {digest}, `publish` writes {}", expected.digest());
    Ok(Some(content))
}
