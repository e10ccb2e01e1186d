//! The list of images that an edition can run, for those who mirror them: also what is off by default.

use std::collections::BTreeSet;

use crate::flags::Edition;
use crate::model::values::OWN;
use crate::model::{Model, images};

/// The list as text: a reference on each line, sorted. An image whose tag only a dependency's template knows stands in a
/// comment at the end, since a reference without one would mean another image.
pub fn list(model: &Model, edition: Edition) -> String {
    let mut references = BTreeSet::new();
    let mut untagged = BTreeSet::new();
    for fragment in model.values.base.iter().filter(|fragment| fragment.owner == OWN) {
        references.extend(images::of(&fragment.values).into_values());
    }
    if edition == Edition::Full {
        for dependency in &model.chart.dependencies {
            let facts =
                model.facts.iter().filter(|f| f.dependency == dependency.name && f.version == dependency.version);
            for (path, reference) in facts.flat_map(|facts| &facts.images) {
                let pointer = format!("/{}/{}/tag", dependency.name, path.replace('.', "/"));
                let of_ours = model.values.base.iter().find_map(|fragment| fragment.values.pointer(&pointer)?.as_str());
                let reference = of_ours.map_or_else(|| reference.clone(), |tag| with_tag(reference, tag));
                match tagged(&reference) {
                    true => references.insert(reference),
                    false => untagged.insert(format!("# {reference}: {} gives it its tag", dependency.name)),
                };
            }
        }
    }
    references.into_iter().chain(untagged).map(|line| line + "\n").collect()
}

/// A colon before the last slash belongs to a registry's port.
fn tagged(reference: &str) -> bool {
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
    use std::path::Path;

    #[test]
    fn every_image_is_listed_with_its_tag() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut model = Model::parse(&crate::sources::Sources::read(root).unwrap()).unwrap();
        let facts = &mut model.facts[0];
        facts.images = [
            ("crds.upgradeJob.image.busybox", "docker.io/busybox:latest"),
            ("grafana.image", "mirror:5000/grafana"),
            ("prometheus.image", "quay.io/prometheus:v3"),
        ]
        .map(|(path, image)| (path.to_owned(), image.to_owned()))
        .into();
        let addon = list(&model, Edition::Addon);
        for ours in ["quay.io/prometheus/blackbox-exporter:v", "docker.io/oliver006/redis_exporter:v"] {
            assert!(addon.lines().any(|line| line.starts_with(ours)), "{addon}");
        }
        assert!(addon.lines().all(tagged), "{addon}");
        let full = list(&model, Edition::Full);
        // values/base gives BusyBox another tag than the dependency does.
        let rest: Vec<&str> = full.lines().filter(|line| !addon.lines().any(|other| other == *line)).collect();
        let grafana = "# mirror:5000/grafana: kube-prometheus-stack gives it its tag";
        assert_eq!(rest, ["docker.io/busybox:1.38.0", "quay.io/prometheus:v3", grafana]);
    }
}
