//! What is said about a manifest by another one beside it: an SBOM, a statement on how it was built. And the list of
//! these that stands in for the referrers API where a registry lacks it.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::reference::check_digest;
use super::{Artifact, Blob, CREATED, Descriptor, INDEX, MANIFEST, Manifest, TITLE};
use crate::go_json;

/// The media type of a configuration that says nothing.
const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// A file that speaks about a manifest, as it goes into a registry beside that. `kind` is the file's media type and what
/// the manifest is for; `mtime`, seconds since 1970, is the same at every call, so that the digest is too.
pub fn pack(subject: &Descriptor, kind: &str, name: &str, bytes: Vec<u8>, mtime: u64) -> Result<Artifact> {
    let config = Blob::new(EMPTY, b"{}".to_vec());
    let mut layer = Blob::new(kind, bytes);
    layer.descriptor.annotations.insert(TITLE.to_owned(), name.to_owned());
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(MANIFEST.to_owned()),
        artifact_type: Some(kind.to_owned()),
        config: config.descriptor.clone(),
        layers: vec![layer.descriptor.clone()],
        subject: Some(subject.clone()),
        annotations: BTreeMap::from([(CREATED.to_owned(), super::time(mtime)?)]),
    };
    let manifest = go_json::to_string(&manifest).context("writing the manifest")?.into_bytes();
    Ok(Artifact { manifest, blobs: vec![config, layer] })
}

/// How a list names such a manifest: with what it is for, and its annotations.
pub fn entry(artifact: &Artifact) -> Result<Descriptor> {
    let manifest = Manifest::parse(&artifact.manifest)?;
    let named = Descriptor::of(MANIFEST, &artifact.manifest);
    Ok(Descriptor { annotations: manifest.annotations, artifact_type: manifest.artifact_type, ..named })
}

/// The tag of the list of all that refers to a digest, where the registry has no API for it.
pub fn fallback_tag(digest: &str) -> String {
    digest.replace(':', "-")
}

/// The entries of such a list, or of the API's answer, which is one too. What does not read as one is somebody else's and
/// passed over.
pub fn entries(index: &[u8]) -> Result<Vec<Descriptor>> {
    let mut index = parse(index)?;
    let entries = index["manifests"].as_array_mut().map(std::mem::take).unwrap_or_default();
    let entry =
        |entry| serde_json::from_value(entry).ok().filter(|entry: &Descriptor| check_digest(&entry.digest).is_ok());
    Ok(entries.into_iter().filter_map(entry).collect())
}

/// The list with one more entry; all that others wrote into it stays as it is. `None` if it is there already.
pub fn merge(index: Option<&[u8]>, entry: &Descriptor) -> Result<Option<Vec<u8>>> {
    let mut index = match index {
        Some(bytes) => parse(bytes)?,
        None => json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}),
    };
    let manifests = index["manifests"].as_array_mut().context("the list of referrers has no manifests")?;
    if manifests.iter().any(|known| known["digest"] == entry.digest) {
        return Ok(None);
    }
    manifests.push(serde_json::to_value(entry).context("writing the list of referrers")?);
    Ok(Some(go_json::to_string(&index).context("writing the list of referrers")?.into_bytes()))
}

fn parse(index: &[u8]) -> Result<Value> {
    let mut index: Value = serde_json::from_slice(index).context("the list of referrers is no JSON")?;
    // So Go writes a list that is empty.
    if let Some(manifests) = index.get_mut("manifests").filter(|manifests| manifests.is_null()) {
        *manifests = json!([]);
    }
    ensure!(index["manifests"].is_array(), "the list of referrers is no OCI index");
    Ok(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifact(bytes: &str) -> Artifact {
        let subject = Descriptor::of(MANIFEST, b"subject");
        pack(&subject, "application/vnd.cyclonedx+json", "demo.cdx.json", bytes.into(), 0).unwrap()
    }

    #[test]
    fn a_referrer_names_its_subject_and_is_the_same_every_time() {
        let manifest = Manifest::parse(&artifact("{}").manifest).unwrap();
        assert_eq!(manifest.subject.unwrap(), Descriptor::of(MANIFEST, b"subject"));
        assert_eq!(manifest.config.digest, "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
        assert_eq!(artifact("{}"), artifact("{}"));
        assert_ne!(artifact("{}").digest(), artifact("[]").digest());
    }

    #[test]
    fn others_entries_stay_and_an_entry_is_added_once() {
        let theirs = r#"{"schemaVersion":2,"x":1,"manifests":[{"mediaType":"m","digest":"sha256:DIGEST","size":1,"platform":{"os":"any"}},5]}"#;
        let theirs = theirs.replace("DIGEST", &"0".repeat(64));
        let ours = entry(&artifact("{}")).unwrap();
        let merged = merge(Some(theirs.as_bytes()), &ours).unwrap().unwrap();
        let text = String::from_utf8(merged.clone()).unwrap();
        assert!(text.starts_with(theirs.trim_end_matches("]}")), "{text}");
        assert_eq!(entries(&merged).unwrap()[1], ours);
        assert_eq!(ours.artifact_type.as_deref(), Some("application/vnd.cyclonedx+json"));
        assert_eq!(merge(Some(&merged), &ours).unwrap(), None);
        assert_eq!(
            merge(Some(br#"{"manifests":null}"#), &ours).unwrap().map(|list| entries(&list).unwrap().len()),
            Some(1)
        );
        assert!(merge(None, &ours).unwrap().is_some());
    }

    #[test]
    fn a_list_that_is_none_is_refused() {
        for text in ["", "[]", "{}", r#"{"manifests":{}}"#] {
            assert!(merge(Some(text.as_bytes()), &entry(&artifact("{}")).unwrap()).is_err(), "{text}");
        }
        for entry in ["1", "{}", r#"{"mediaType":"m","digest":"sha256:../../x","size":1}"#] {
            assert_eq!(entries(format!("{{\"manifests\":[{entry}]}}").as_bytes()).unwrap(), [], "{entry}");
        }
    }
}
