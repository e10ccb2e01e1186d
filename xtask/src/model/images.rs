//! Container images in values: every map with a `repository` is one.

use std::collections::BTreeMap;

use serde_json::Value;

/// The images of a chart's values: the path of the map, and `registry/repository:tag@digest` with the parts that it has.
pub fn of(values: &Value) -> BTreeMap<String, String> {
    let mut images = BTreeMap::new();
    collect(values, "", &mut images);
    images
}

fn collect(value: &Value, path: &str, images: &mut BTreeMap<String, String>) {
    let Some(map) = value.as_object() else { return };
    let of = |key: &str| map.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    if let Some(repository) = of("repository") {
        let registry = of("registry").map(|registry| format!("{registry}/")).unwrap_or_default();
        let tag = of("tag").map(|tag| format!(":{tag}")).unwrap_or_default();
        let digest = of("digest").map(|digest| format!("@{digest}")).unwrap_or_default();
        images.insert(path.to_owned(), format!("{registry}{repository}{tag}{digest}"));
    }
    for (key, value) in map {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        collect(value, &path, images);
    }
}
