//! From what a registry has, and what it shall have, to what is sent: without a network.

use std::collections::BTreeSet;
use std::fmt;

use helmpack::oci::chart::{CONFIG, CONTENT, PROVENANCE};
use helmpack::oci::{self, Blob, Manifest};

use super::release::{Referrer, Release};

/// What a registry has of a release.
#[derive(Debug, Default)]
pub struct Seen {
    /// The manifest under the version's tag.
    pub tag: Option<Vec<u8>>,
    /// Whether our manifest is there.
    pub manifest: bool,
    /// The digests of our blobs, and of those of our referrers, that are there.
    pub blobs: BTreeSet<String>,
    /// The digests of our referrers that are listed and whole.
    pub referrers: BTreeSet<String>,
}

/// One thing to send.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'a> {
    Blob(&'a Blob),
    Manifest,
    Referrer(&'a Referrer),
    Tag,
}

/// The version is there with other content.
#[derive(Debug, PartialEq, Eq)]
pub struct Conflict(String);

impl Conflict {
    /// Says how the two differ.
    pub fn new(release: &Release, theirs: &[u8]) -> Conflict {
        let layer = |manifest: &[u8], kind: &str| {
            let manifest = Manifest::parse(manifest).ok()?;
            Some(manifest.layers.into_iter().find(|layer| layer.media_type == kind)?.digest)
        };
        let same = |kind: &str| layer(theirs, kind) == layer(&release.chart.manifest, kind);
        let how = match (same(CONTENT), same(PROVENANCE)) {
            _ if layer(theirs, CONTENT).is_none() => "no chart at all",
            (false, _) => "another archive",
            (true, false) => "the same archive with another signature, or one without",
            (true, true) => "the same archive under another manifest, as `helm push` writes it",
        };
        Conflict(format!(
            "{} is published already, and it is {how}: there {}, here {}; a published version never changes, so release a new one",
            release.reference,
            oci::digest(theirs),
            release.chart.digest()
        ))
    }
}

impl std::error::Error for Conflict {}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What lacks, in the order in which it is sent: nothing is named before it is there, and the tag, by which people find
/// all of it, comes last. Blobs that a registry has lost are sent again, even where the tag is right.
pub fn steps<'a>(release: &'a Release, seen: &Seen) -> Result<Vec<Step<'a>>, Conflict> {
    if let Some(theirs) = seen.tag.as_deref().filter(|theirs| *theirs != release.chart.manifest) {
        return Err(Conflict::new(release, theirs));
    }
    let blobs = release.chart.blobs.iter().filter(|blob| !seen.blobs.contains(&blob.descriptor.digest));
    let mut steps: Vec<Step<'a>> = blobs.map(Step::Blob).collect();
    steps.extend((!seen.manifest).then_some(Step::Manifest));
    let referrers = release.referrers.iter().filter(|referrer| !seen.referrers.contains(&referrer.artifact.digest()));
    steps.extend(referrers.map(Step::Referrer));
    steps.extend(seen.tag.is_none().then_some(Step::Tag));
    Ok(steps)
}

/// How many bytes the steps send.
pub fn bytes(release: &Release, steps: &[Step<'_>]) -> u64 {
    let artifact = |artifact: &oci::Artifact| {
        artifact.manifest.len() as u64 + artifact.blobs.iter().map(|blob| blob.descriptor.size).sum::<u64>()
    };
    let step = |step: &Step<'_>| match step {
        Step::Blob(blob) => blob.descriptor.size,
        Step::Manifest | Step::Tag => release.chart.manifest.len() as u64,
        Step::Referrer(referrer) => artifact(&referrer.artifact),
    };
    steps.iter().map(step).sum()
}

impl fmt::Display for Step<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Blob(Blob { descriptor, .. }) => {
                let what = match descriptor.media_type.as_str() {
                    CONFIG => "the metadata",
                    CONTENT => "the archive",
                    PROVENANCE => "the signature",
                    other => other,
                };
                write!(f, "{what}, {:.1} kB, {}", descriptor.size as f64 / 1000.0, descriptor.digest)
            }
            Step::Manifest => f.write_str("the manifest"),
            Step::Referrer(referrer) => write!(f, "{}, attached as {}", referrer.file, referrer.artifact.digest()),
            Step::Tag => f.write_str("the tag"),
        }
    }
}

#[cfg(test)]
mod tests {
    use helmpack::chart::Chart;
    use helmpack::oci::reference::Repository;
    use helmpack::oci::{Descriptor, MANIFEST, referrer};

    use super::*;
    use crate::flags::Edition;

    fn release(archive: &str, signature: Option<&str>) -> Release {
        let chart = Chart::parse("apiVersion: v2\nname: demo\nversion: 1.0.0\n").unwrap();
        let artifact = oci::chart::artifact(&chart, 0, archive.as_bytes(), signature.map(str::as_bytes)).unwrap();
        let subject = Descriptor::of(MANIFEST, &artifact.manifest);
        let referrer = referrer::pack(&subject, "application/vnd.cyclonedx+json", "demo.cdx.json", b"{}".to_vec(), 0);
        Release {
            edition: Edition::Addon,
            archive: "demo-1.0.0.tgz".to_owned(),
            version: "1.0.0".to_owned(),
            reference: Repository::parse("oci://h/p").unwrap().join("demo").version("1.0.0").unwrap(),
            signed: signature.is_some(),
            chart: artifact,
            referrers: vec![Referrer {
                file: "demo.cdx.json".to_owned(),
                kind: "application/vnd.cyclonedx+json".to_owned(),
                artifact: referrer.unwrap(),
            }],
        }
    }

    fn all(release: &Release) -> Seen {
        Seen {
            tag: Some(release.chart.manifest.clone()),
            manifest: true,
            blobs: release.chart.blobs.iter().map(|blob| blob.descriptor.digest.clone()).collect(),
            referrers: release.referrers.iter().map(|referrer| referrer.artifact.digest()).collect(),
        }
    }

    #[test]
    fn what_lacks_is_sent_and_the_tag_comes_last() {
        let release = release("a", None);
        let [config, archive] = &release.chart.blobs[..] else { panic!("two blobs") };
        let referrer = &release.referrers[0];
        let everything = [Step::Blob(config), Step::Blob(archive), Step::Manifest, Step::Referrer(referrer), Step::Tag];
        assert_eq!(steps(&release, &Seen::default()).unwrap(), everything);
        assert_eq!(steps(&release, &all(&release)).unwrap(), []);
        let cut = Seen { tag: None, ..all(&release) };
        assert_eq!(steps(&release, &cut).unwrap(), [Step::Tag]);
        let lost = Seen { blobs: BTreeSet::new(), ..all(&release) };
        assert_eq!(steps(&release, &lost).unwrap(), [Step::Blob(config), Step::Blob(archive)]);
        let unlisted = Seen { referrers: BTreeSet::new(), ..all(&release) };
        assert_eq!(steps(&release, &unlisted).unwrap(), [Step::Referrer(referrer)]);
    }

    #[test]
    fn other_content_under_the_tag_is_refused_with_both_digests() {
        let ours = release("a", None);
        for (theirs, expected) in [
            (release("b", None).chart.manifest, "another archive"),
            (release("a", Some("signature")).chart.manifest, "another signature"),
            (b"{}".to_vec(), "no chart at all"),
            (br#"{"schemaVersion": 2, "manifests": []}"#.to_vec(), "no chart at all"),
        ] {
            let seen = Seen { tag: Some(theirs.clone()), ..all(&ours) };
            let error = steps(&ours, &seen).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("oci://h/p/demo:1.0.0"), "{error}");
            assert!(error.contains(&oci::digest(&theirs)) && error.contains(&ours.chart.digest()), "{error}");
        }
    }
}
