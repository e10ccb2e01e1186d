//! The list of images that an archive can run, for those who mirror them: also what is off by default.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use helmpack::archive::Files;
use serde_json::Value;

use crate::dependency::Archive;
use crate::model::images;
use crate::vendor::facts;

/// An image that a chart can run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Image {
    /// The dependency whose template gives it its tag, where the values have none.
    pub tagged_by: Option<String>,
    /// `registry/repository:tag@digest`, with the parts that the values have.
    pub reference: String,
}

/// The images of the values of a chart, given by its files, and of what it carries.
pub fn of(files: &Files, carried: &[Archive]) -> Result<BTreeSet<Image>> {
    let values = files.get("values.yaml").context("there is no values.yaml")?;
    let values: Value = serde_yaml::from_slice(values).context("reading values.yaml")?;
    // A profile may give an image the tag that the dependency's template would give it, so that it can be listed.
    let profiles = files.range("profiles/".to_owned()..).take_while(|(path, _)| path.starts_with("profiles/"));
    let profiles: Vec<Value> = profiles
        .map(|(path, bytes)| serde_yaml::from_slice(bytes).with_context(|| format!("reading {path}")))
        .collect::<Result<_>>()?;
    let mut own = values.clone();
    let mut all = BTreeMap::new();
    for dependency in carried {
        let theirs = facts::images(&dependency.files).with_context(|| format!("reading {}", dependency.path()))?;
        all.extend(theirs.into_iter().map(|(place, reference)| {
            // Our values may give another tag than the dependency's own.
            let pointer = format!("/{}/{}/tag", dependency.name, place.replace('.', "/"));
            let tag = std::iter::once(&values).chain(&profiles).find_map(|values| values.pointer(&pointer)?.as_str());
            let reference = tag.map_or_else(|| reference.clone(), |tag| with_tag(&reference, tag));
            (format!("{}.{place}", dependency.name), (Some(dependency.name.clone()), reference))
        }));
        own.as_object_mut().map(|map| map.remove(&dependency.name));
    }
    all.extend(images::of(&own).into_iter().map(|(path, reference)| (path, (None, reference))));
    let image = |(owner, reference): (Option<String>, String)| Image {
        tagged_by: owner.filter(|_| !tagged(&reference)),
        reference,
    };
    Ok(all.into_values().map(image).collect())
}

/// The list as text: a reference on each line, sorted. An image whose tag only a dependency's template knows stands in a
/// comment at the end, since a reference without one would mean another image.
pub fn list(images: &BTreeSet<Image>) -> String {
    let line = |image: &Image| match &image.tagged_by {
        None => format!("{}\n", image.reference),
        Some(dependency) => format!("# {}: {dependency} gives it its tag\n", image.reference),
    };
    images.iter().map(line).collect()
}

/// A colon before the last slash belongs to a registry's port.
pub fn tagged(reference: &str) -> bool {
    reference.rsplit('/').next().is_some_and(|name| name.contains(':') || name.contains('@'))
}

fn with_tag(reference: &str, tag: &str) -> String {
    let bare =
        if tagged(reference) { reference.rsplit_once(':').map_or(reference, |(bare, _)| bare) } else { reference };
    format!("{bare}:{tag}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_is_listed_with_its_tag() {
        let files = |pairs: &[(&str, &[u8])]| -> Files {
            pairs.iter().map(|(path, bytes)| ((*path).to_owned(), bytes.to_vec())).collect()
        };
        let stack = Archive {
            name: "stack".to_owned(),
            version: "1.0.0".to_owned(),
            sha256: String::new(),
            pinned: true,
            bytes: Vec::new(),
            files: files(&[(
                "values.yaml",
                b"job: {image: {registry: docker.io, repository: busybox, tag: latest}}\n\
                  grafana: {image: {repository: 'mirror:5000/grafana'}}\n\
                  sidecar: {image: {repository: sidecar}}\n\
                  prometheus: {image: {registry: quay.io, repository: prometheus, tag: v3}}\n",
            )]),
        };
        let values = b"exporter: {image: {repository: r/exporter, tag: v1}}\nstack: {job: {image: {tag: 1.38.0}}}\n";
        let files = files(&[
            ("values.yaml", values),
            ("profiles/airgap.yaml", b"stack: {sidecar: {image: {tag: v2}}, prometheus: {image: {tag: v3}}}\n"),
        ]);
        let images = of(&files, &[stack]).unwrap();
        let expected = "docker.io/busybox:1.38.0\nquay.io/prometheus:v3\nr/exporter:v1\nsidecar:v2\n\
                        # mirror:5000/grafana: stack gives it its tag\n";
        assert_eq!(list(&images), expected);
    }
}
