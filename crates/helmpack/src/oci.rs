//! What lies in an OCI registry: manifests, the blobs that they name, and their addresses.
//!
//! The formats are those of the [image](https://github.com/opencontainers/image-spec) and
//! [distribution](https://github.com/opencontainers/distribution-spec) specifications, written as Helm writes them.

pub mod chart;
pub mod reference;
pub mod referrer;

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::checksum::sha256;

/// The media type of a manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// The media type of a list of manifests.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Under this annotation stands the file's name for a layer, the chart's name for a manifest.
pub const TITLE: &str = "org.opencontainers.image.title";

/// When what a manifest names was made, RFC 3339.
pub const CREATED: &str = "org.opencontainers.image.created";

/// What names a blob or a manifest: its type, digest and size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// How its bytes are read.
    pub media_type: String,
    /// `sha256:` and the hash in hex.
    pub digest: String,
    /// The number of bytes.
    pub size: u64,
    /// Free notes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// In a list of manifests: what the manifest is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
}

/// A manifest. The order of the fields is that of Helm and ORAS, of whose text the digest is taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// Helm leaves it out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// What the manifest is for, where its configuration does not say so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The configuration: for a chart its metadata.
    pub config: Descriptor,
    /// The content.
    pub layers: Vec<Descriptor>,
    /// The manifest that this one speaks about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Free notes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// A blob with what names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// Its name.
    pub descriptor: Descriptor,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// A manifest as it goes into a registry, with all the blobs that it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// The manifest's text.
    pub manifest: Vec<u8>,
    /// Its configuration and layers.
    pub blobs: Vec<Blob>,
}

/// `sha256:` and the hash of `bytes`.
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", sha256(bytes))
}

impl Descriptor {
    /// Names some bytes.
    pub fn of(media_type: &str, bytes: &[u8]) -> Descriptor {
        Descriptor {
            media_type: media_type.to_owned(),
            digest: digest(bytes),
            size: bytes.len() as u64,
            annotations: BTreeMap::new(),
            artifact_type: None,
        }
    }
}

impl Blob {
    /// A blob of some bytes.
    pub fn new(media_type: &str, bytes: Vec<u8>) -> Blob {
        Blob { descriptor: Descriptor::of(media_type, &bytes), bytes }
    }
}

impl Manifest {
    /// Reads a manifest; fields that are not known here are passed over.
    pub fn parse(bytes: &[u8]) -> Result<Manifest> {
        serde_json::from_slice(bytes).context("it is no OCI manifest")
    }
}

impl Artifact {
    /// The manifest's digest, by which registries and signatures name the artifact.
    pub fn digest(&self) -> String {
        digest(&self.manifest)
    }
}

/// An RFC 3339 time of seconds since 1970.
fn time(seconds: u64) -> Result<String> {
    let seconds = i64::try_from(seconds).context("the time is out of range")?;
    Ok(jiff::Timestamp::from_second(seconds).context("the time is out of range")?.to_string())
}
