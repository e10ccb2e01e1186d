//! PrometheusRule objects of the Prometheus Operator, alone or in a list with other kinds.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_yaml::Value;

use super::read::RawFile;

/// The operator's kind for rules.
pub(crate) const KIND: &str = "PrometheusRule";

/// A Kubernetes object, as far as rules go. It is read by hand since what `spec` holds depends on `kind`; a derived
/// reader of such a union would lose the lines of its errors.
#[derive(Default)]
pub(super) struct RawObject {
    rules: Option<RawFile>,
    items: Vec<RawObject>,
}

impl RawObject {
    /// The rules of the object and of all objects in it, in the order of the text.
    pub(super) fn into_rules(self) -> Vec<RawFile> {
        self.rules.into_iter().chain(self.items.into_iter().flat_map(RawObject::into_rules)).collect()
    }
}

impl<'de> Deserialize<'de> for RawObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RawObject, D::Error> {
        deserializer.deserialize_map(ObjectVisitor)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = RawObject;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a Kubernetes object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawObject, A::Error> {
        let mut object = RawObject::default();
        let (mut kind, mut spec) = (None, None);
        while let Some(key) = map.next_key::<String>()? {
            match (key.as_str(), kind.as_deref()) {
                ("kind", _) => kind = Some(map.next_value::<String>()?),
                ("spec", Some(KIND)) => object.rules = map.next_value()?,
                // Seldom: the kind comes behind. What is wrong in it is told without its line.
                ("spec", None) => spec = Some(map.next_value::<Value>()?),
                // `kubectl get --output yaml` sorts the keys.
                ("items", None) => object.items = map.next_value::<Option<_>>()?.unwrap_or_default(),
                ("items", Some(kind)) if kind.ends_with("List") => {
                    object.items = map.next_value::<Option<_>>()?.unwrap_or_default();
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        if let (Some(KIND), Some(spec)) = (kind.as_deref(), spec) {
            object.rules = serde_yaml::from_value(spec).map_err(de::Error::custom)?;
        }
        Ok(object)
    }
}
