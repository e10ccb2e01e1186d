//! A chart in a registry, byte for byte as Helm's `pkg/registry` writes it, with one difference: `created` is the time in
//! the archive, where Helm takes that of the file, in the local time zone. So one archive has one manifest digest.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Artifact, Blob, CREATED, Manifest, TITLE};
use crate::chart::{Chart, Maintainer};
use crate::go_json;

/// The media type of the chart's metadata.
pub const CONFIG: &str = "application/vnd.cncf.helm.config.v1+json";

/// The media type of the chart's archive.
pub const CONTENT: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";

/// The media type of the archive's signature, a `.prov` file.
pub const PROVENANCE: &str = "application/vnd.cncf.helm.chart.provenance.v1.prov";

/// The chart's version, as Chart.yaml has it.
pub const VERSION: &str = "org.opencontainers.image.version";

/// The manifest and the blobs of a chart: `archive`, whose entries have the time `mtime` in seconds since 1970, and where it
/// is signed its provenance file.
pub fn artifact(chart: &Chart, mtime: u64, archive: &[u8], provenance: Option<&[u8]>) -> Result<Artifact> {
    let config = Blob::new(CONFIG, config(chart)?.into_bytes());
    let mut layers = vec![Blob::new(CONTENT, archive.to_vec())];
    layers.extend(provenance.map(|bytes| Blob::new(PROVENANCE, bytes.to_vec())));
    layers.sort_by(|one, other| one.descriptor.digest.cmp(&other.descriptor.digest));
    let manifest = Manifest {
        schema_version: 2,
        media_type: None,
        artifact_type: None,
        config: config.descriptor.clone(),
        layers: layers.iter().map(|layer| layer.descriptor.clone()).collect(),
        subject: None,
        annotations: annotations(chart, &super::time(mtime)?),
    };
    let manifest = go_json::to_string(&manifest).context("writing the manifest")?.into_bytes();
    Ok(Artifact { manifest, blobs: std::iter::once(config).chain(layers).collect() })
}

/// The metadata as Helm writes it into the configuration: Go's JSON, without control characters and empty fields.
pub fn config(chart: &Chart) -> Result<String> {
    let mut metadata = serde_json::to_value(chart).context("writing the chart's metadata")?;
    clean(&mut metadata);
    go_json::to_string(&metadata).context("writing the chart's metadata")
}

fn clean(value: &mut Value) {
    match value {
        Value::String(text) => *text = sanitized(text),
        Value::Array(values) => values.iter_mut().for_each(clean),
        Value::Object(fields) => {
            // Helm leaves these two as they are.
            fields
                .iter_mut()
                .filter(|(key, _)| !matches!(key.as_str(), "annotations" | "import-values"))
                .for_each(|(_, field)| clean(field));
            fields.retain(|key, field| key == "repository" || (*field != "" && *field != false));
        }
        _ => {}
    }
}

/// Helm turns every white space into a blank and drops what cannot be printed.
fn sanitized(text: &str) -> String {
    let blank = |c: char| if c.is_whitespace() { ' ' } else { c };
    text.chars().map(blank).filter(|c| is_printable(*c)).collect()
}

/// Whether a character shows itself, as Go's `unicode.IsPrint` has it: of white space the blank alone, and none that only
/// controls others. Rust's escapes follow the same Unicode categories. A letter goes before, since a combining mark is
/// escaped only where it stands alone.
pub fn is_printable(c: char) -> bool {
    matches!(c, '"' | '\'' | '\\') || String::from_iter(['a', c]).escape_debug().count() == 2
}

/// Those of the chart's own metadata, then the ones of Chart.yaml, which may replace any but title and version.
fn annotations(chart: &Chart, created: &str) -> BTreeMap<String, String> {
    let text = |text: &Option<String>| sanitized(text.as_deref().unwrap_or_default());
    let authors: Vec<String> = chart.maintainers.iter().map(author).collect();
    let own = [
        ("org.opencontainers.image.description", text(&chart.description)),
        ("org.opencontainers.image.url", text(&chart.home)),
        (CREATED, created.to_owned()),
        ("org.opencontainers.image.source", chart.sources.first().map(|url| sanitized(url)).unwrap_or_default()),
        ("org.opencontainers.image.authors", authors.join(", ")),
    ];
    let own = own.into_iter().filter(|(_, value)| !value.trim().is_empty());
    let mut all: BTreeMap<String, String> = own.map(|(key, value)| (key.to_owned(), value)).collect();
    all.extend(chart.annotations.clone());
    all.insert(TITLE.to_owned(), chart.name.clone());
    all.insert(VERSION.to_owned(), chart.version.clone());
    all
}

fn author(maintainer: &Maintainer) -> String {
    let email = maintainer.email.as_deref().map(sanitized).filter(|email| !email.is_empty());
    sanitized(&maintainer.name) + &email.map(|email| format!(" ({email})")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHART: &str = "apiVersion: v2
name: demo
version: 1.2.3+build
type: application
description: \"a <b> & 'c' \\\"d\\\"\\n\\te\\u0301\\u200b\"
home: https://example.org/?a=b&c
sources: [https://example.org/source]
icon: ''
deprecated: false
keywords: [a, b]
maintainers: [{name: Ada, email: ada@example.org}, {name: Bo, url: https://example.org}]
kubeVersion: '>=1.25.0-0'
annotations:
  z: \"last\\nline\"
  a: <first>
  org.opencontainers.image.version: other
  org.opencontainers.image.url: https://example.org/other
dependencies: [{name: sub, version: 1.x, repository: ''}]
";

    fn made(provenance: Option<&[u8]>) -> Artifact {
        artifact(&Chart::parse(CHART).unwrap(), 1_700_000_000, b"archive", provenance).unwrap()
    }

    /// What Helm 3.22 and 4.3 push for this archive, with the same time at the file; `cargo xtask test` compares them anew.
    #[test]
    fn the_configuration_is_helms() {
        let config = String::from_utf8(made(None).blobs[0].bytes.clone()).unwrap();
        assert_eq!(
            // The mark shown as `^`.
            config.replace('\u{301}', "^"),
            r#"{"name":"demo","home":"https://example.org/?a=b\u0026c","sources":["https://example.org/source"],"version":"1.2.3+build","description":"a \u003cb\u003e \u0026 'c' \"d\"  e^","keywords":["a","b"],"maintainers":[{"name":"Ada","email":"ada@example.org"},{"name":"Bo","url":"https://example.org"}],"apiVersion":"v2","annotations":{"a":"\u003cfirst\u003e","org.opencontainers.image.url":"https://example.org/other","org.opencontainers.image.version":"other","z":"last\nline"},"kubeVersion":"\u003e=1.25.0-0","dependencies":[{"name":"sub","version":"1.x","repository":""}],"type":"application"}"#
        );
    }

    #[test]
    fn title_and_version_are_the_charts_and_created_is_the_archives() {
        let manifest = Manifest::parse(&made(None).manifest).unwrap();
        let of = |key: &str| manifest.annotations[&format!("org.opencontainers.image.{key}")].as_str();
        assert_eq!([of("title"), of("version"), of("created")], ["demo", "1.2.3+build", "2023-11-14T22:13:20Z"]);
        assert_eq!([of("url"), of("authors")], ["https://example.org/other", "Ada (ada@example.org), Bo"]);
        assert_eq!(manifest.annotations["a"], "<first>");
    }

    #[test]
    fn a_signature_is_a_second_layer_and_layers_are_sorted() {
        for signature in ["a", "b", "c", "d"] {
            let artifact = made(Some(signature.as_bytes()));
            let manifest = Manifest::parse(&artifact.manifest).unwrap();
            assert!(manifest.layers[0].digest < manifest.layers[1].digest);
            assert!(manifest.layers.iter().any(|layer| layer.media_type == PROVENANCE));
            assert_eq!(artifact.blobs.len(), 3);
        }
    }
}
