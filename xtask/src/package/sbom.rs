//! What an archive is made of, as a CycloneDX 1.6 bill of materials (cyclonedx.org/docs/1.6/json): the chart, the charts in it
//! with their digests, and the images that it can run. The same archive always gives the same bill.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use helmpack::archive::Files;
use helmpack::chart::Chart;
use serde_json::{Map, Value, json};

use super::images::Image;
use crate::dependency::Archive;

/// The annotation of Chart.yaml that names the licence by its SPDX id.
const LICENSE: &str = "artifacthub.io/license";

/// The bill, as text, of an archive with the sha256 `digest` and this time of its entries.
pub fn write(
    chart: &Chart,
    carried: &[Archive],
    images: &BTreeSet<Image>,
    digest: &str,
    mtime: u64,
) -> Result<Vec<u8>> {
    let subject = subject(chart, digest);
    let mut components = charts(chart, carried)?;
    components.extend(images.iter().map(image));
    let reference = |component: &Value| component["bom-ref"].clone();
    let depends: Vec<Value> = components.iter().map(reference).collect();
    let bill = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": format!("urn:uuid:{}", uuid(digest)),
        "version": 1,
        "metadata": {
            // The time of the archive's entries: a clock would make every bill another one.
            "timestamp": super::time(mtime)?,
            "component": subject,
        },
        "components": components,
        "dependencies": [{"ref": reference(&subject), "dependsOn": depends}],
    });
    Ok((serde_json::to_string_pretty(&bill).context("writing the bill of materials")? + "\n").into_bytes())
}

fn subject(chart: &Chart, digest: &str) -> Value {
    let mut subject = self::chart(&chart.name, &chart.version, None);
    subject.insert("hashes".to_owned(), hashes(digest));
    if let Some(id) = chart.annotations.get(LICENSE) {
        subject.insert("licenses".to_owned(), json!([{"license": {"id": id}}]));
    }
    if let Some(home) = &chart.home {
        subject.insert("externalReferences".to_owned(), json!([{"type": "website", "url": home}]));
    }
    subject.into()
}

/// The dependencies, each with the charts inside it.
fn charts(chart: &Chart, carried: &[Archive]) -> Result<Vec<Value>> {
    let mut components = Vec::new();
    for (dependency, archive) in chart.dependencies.iter().zip(carried) {
        let mut component = self::chart(&dependency.name, &dependency.version, Some(&dependency.repository));
        component.insert("hashes".to_owned(), hashes(&archive.sha256));
        let below = below(&archive.files).with_context(|| format!("reading {}", archive.path()))?;
        if !below.is_empty() {
            component.insert("components".to_owned(), below.into());
        }
        components.push(component.into());
    }
    Ok(components)
}

/// The charts that lie unpacked in a dependency, whose digest covers them.
fn below(files: &Files) -> Result<Vec<Value>> {
    let mut components = Vec::new();
    for (path, bytes) in files.iter().filter(|(path, _)| path.starts_with("charts/") && path.ends_with("/Chart.yaml")) {
        let metadata: Value = serde_yaml::from_slice(bytes).with_context(|| format!("reading its {path}"))?;
        let of = |key: &str| metadata[key].as_str().unwrap_or_default();
        let mut component = chart(of("name"), of("version"), None);
        // The same chart may be there twice, below two others.
        component.insert("bom-ref".to_owned(), path.trim_end_matches("/Chart.yaml").into());
        components.push(component.into());
    }
    Ok(components)
}

fn chart(name: &str, version: &str, repository: Option<&str>) -> Map<String, Value> {
    let from = repository.map(|url| format!("?repository_url={}", escape(url))).unwrap_or_default();
    let purl = format!("pkg:helm/{name}@{}{from}", escape(version));
    let fields = [("type", "application"), ("bom-ref", &purl), ("name", name), ("version", version), ("purl", &purl)];
    fields.map(|(key, value)| (key.to_owned(), value.into())).into_iter().collect()
}

/// An image as a container, by the package URL type `docker`, whose version is a tag or a digest.
fn image(image: &Image) -> Value {
    let (tagged, digest) = match image.reference.split_once('@') {
        Some((tagged, digest)) => (tagged, Some(digest)),
        None => (image.reference.as_str(), None),
    };
    let slash = tagged.rfind('/').map_or(0, |at| at + 1);
    let (path, tag) = match tagged[slash..].split_once(':') {
        Some((name, tag)) => (&tagged[..slash + name.len()], Some(tag)),
        None => (tagged, None),
    };
    // The first part is a registry only if it cannot be a folder of Docker Hub's.
    let host = path.split_once('/').filter(|(host, _)| host.contains(['.', ':']) || *host == "localhost");
    let (registry, repository) = host.unwrap_or(("docker.io", path));
    let version = digest.or(tag);
    let at = version.map(|version| format!("@{}", escape(version))).unwrap_or_default();
    let mut component = json!({
        "type": "container",
        "bom-ref": image.reference,
        "name": path,
        "purl": format!("pkg:docker/{repository}{at}?repository_url={}", escape(registry)),
    });
    if let Some(version) = tag.or(digest) {
        component["version"] = version.into();
    }
    component
}

fn hashes(digest: &str) -> Value {
    json!([{"alg": "SHA-256", "content": digest}])
}

/// A UUID of RFC 9562's version 8, whose bits are free, made of the archive's digest: a random one would be another each time.
fn uuid(digest: &str) -> String {
    let nibble = |at: usize| digest.get(at..=at).unwrap_or("0");
    let part = |from: usize, to: usize| digest.get(from..to).unwrap_or_default();
    let variant = u8::from_str_radix(nibble(16), 16).unwrap_or(0) & 0b0011 | 0b1000;
    format!("{}-{}-8{}-{variant:x}{}-{}", part(0, 8), part(8, 12), part(13, 16), part(17, 20), part(20, 32))
}

/// Percent-encoding as a package URL's parts need it.
fn escape(text: &str) -> String {
    text.bytes().fold(String::new(), |escaped, byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' | b':' => {
            escaped + char::from(byte).encode_utf8(&mut [0; 4])
        }
        byte => format!("{escaped}%{byte:02X}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_named_by_registry_repository_and_tag() {
        let of = |reference: &str| image(&Image { tagged_by: None, reference: reference.to_owned() });
        for (reference, purl, version) in [
            ("quay.io/a/b:v1", "pkg:docker/a/b@v1?repository_url=quay.io", Some("v1")),
            ("mirror:5000/b", "pkg:docker/b?repository_url=mirror:5000", None),
            ("curl/curl:1.2", "pkg:docker/curl/curl@1.2?repository_url=docker.io", Some("1.2")),
            ("q.io/b:v1@sha256:ab", "pkg:docker/b@sha256:ab?repository_url=q.io", Some("v1")),
        ] {
            let component = of(reference);
            assert_eq!((component["purl"].as_str(), component["version"].as_str()), (Some(purl), version));
        }
    }

    #[test]
    fn the_serial_number_is_a_uuid_of_the_digest() {
        assert_eq!(uuid(&"0123456789abcdef".repeat(4)), "01234567-89ab-8def-8123-456789abcdef");
        assert_eq!(uuid(&"f".repeat(64)), "ffffffff-ffff-8fff-bfff-ffffffffffff");
    }
}
