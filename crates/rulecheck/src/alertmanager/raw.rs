//! Alertmanager's configuration as YAML has it. Unknown fields are refused, as Alertmanager refuses them.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};
use serde_yaml::Mapping;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an Alertmanager configuration")]
pub(super) struct File {
    pub(super) route: Option<Route>,
    pub(super) inhibit_rules: Option<Vec<InhibitRule>>,
    pub(super) receivers: Option<Vec<Mapping>>,
    pub(super) templates: Option<Vec<Scalar>>,
    pub(super) mute_time_intervals: Option<Vec<Interval>>,
    pub(super) time_intervals: Option<Vec<Interval>>,
    #[serde(rename = "global")]
    _global: Option<Mapping>,
    #[serde(rename = "tracing")]
    _tracing: Option<Mapping>,
    #[serde(rename = "event_recorder")]
    _event_recorder: Option<Mapping>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a route")]
pub(super) struct Route {
    pub(super) receiver: Option<Scalar>,
    pub(super) group_by: Option<Vec<Scalar>>,
    #[serde(rename = "match")]
    pub(super) equal: Option<BTreeMap<String, Scalar>>,
    #[serde(rename = "match_re")]
    pub(super) like: Option<BTreeMap<String, Scalar>>,
    pub(super) matchers: Option<Vec<Scalar>>,
    pub(super) mute_time_intervals: Option<Vec<Scalar>>,
    pub(super) active_time_intervals: Option<Vec<Scalar>>,
    #[serde(rename = "continue")]
    pub(super) continues: Option<Flag>,
    pub(super) routes: Option<Vec<Route>>,
    pub(super) group_wait: Option<Scalar>,
    pub(super) group_interval: Option<Scalar>,
    pub(super) repeat_interval: Option<Scalar>,
    #[serde(rename = "labels")]
    _labels: Option<BTreeMap<String, Scalar>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an inhibition rule")]
pub(super) struct InhibitRule {
    #[serde(rename = "name")]
    _name: Option<Scalar>,
    pub(super) source_match: Option<BTreeMap<String, Scalar>>,
    pub(super) source_match_re: Option<BTreeMap<String, Scalar>>,
    pub(super) source_matchers: Option<Vec<Scalar>>,
    pub(super) target_match: Option<BTreeMap<String, Scalar>>,
    pub(super) target_match_re: Option<BTreeMap<String, Scalar>>,
    pub(super) target_matchers: Option<Vec<Scalar>>,
    pub(super) equal: Option<Vec<Scalar>>,
}

#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "the definition of a time interval, {name, time_intervals}; a route names those that mute it"
)]
pub(super) struct Interval {
    pub(super) name: Option<Scalar>,
    pub(super) time_intervals: Option<Vec<Option<Times>>>,
}

/// When an interval is: all of the lists that are there must hold.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a time interval")]
pub(super) struct Times {
    pub(super) times: Option<Vec<TimeRange>>,
    pub(super) weekdays: Option<Vec<Scalar>>,
    pub(super) days_of_month: Option<Vec<Scalar>>,
    pub(super) months: Option<Vec<Scalar>>,
    pub(super) years: Option<Vec<Scalar>>,
    // What zones there are is the machine's business.
    #[serde(rename = "location")]
    _location: Option<Scalar>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a range of times, {start_time, end_time}")]
pub(super) struct TimeRange {
    #[serde(rename = "start_time")]
    pub(super) start: Option<Scalar>,
    #[serde(rename = "end_time")]
    pub(super) end: Option<Scalar>,
}

/// A text. Alertmanager takes a number or a boolean as the text that it is written with.
#[derive(Debug)]
pub(super) struct Scalar(pub(super) String);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Scalar, D::Error> {
        deserializer.deserialize_any(ScalarVisitor).map(Scalar)
    }
}

/// Whether something is so. Alertmanager takes YAML 1.1's words as well.
pub(super) struct Flag(pub(super) bool);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Flag, D::Error> {
        let text = deserializer.deserialize_any(ScalarVisitor)?;
        match text.to_lowercase().as_str() {
            "true" | "yes" | "y" | "on" => Ok(Flag(true)),
            "false" | "no" | "n" | "off" => Ok(Flag(false)),
            _ => Err(D::Error::custom(format!("`{text}` is neither true nor false"))),
        }
    }
}

struct ScalarVisitor;

impl Visitor<'_> for ScalarVisitor {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<String, E> {
        Ok(value.to_string())
    }
}
