//! How long the bundled Prometheus keeps samples, how much of them, and the volume that must hold both: in the base, and in
//! the base under each profile. The chart's templates ask the same of what users set (chart/templates/stack-values.yaml).

use std::collections::BTreeMap;

use rulecheck::Finding;
use rulecheck::look_back::duration;
use rulecheck::query::seconds;
use serde_json::Value;

use crate::assemble::look_back;
use crate::model::Model;
use crate::model::values::Fragment;

/// Where the values are.
const SPEC: [&str; 3] = ["kube-prometheus-stack", "prometheus", "prometheusSpec"];
const VOLUME: [&str; 6] = ["storageSpec", "volumeClaimTemplate", "spec", "resources", "requests", "storage"];

/// How much of the volume blocks may take: a compaction writes beside them, and the write-ahead log is not counted.
pub const SHARE: f64 = 0.85;

pub(super) fn check(model: &Model) -> Vec<Finding> {
    let look_back = look_back::of(model);
    let mut findings = Vec::new();
    let base = problems(&model.values.with(&[]), &look_back);
    findings.extend(base.iter().map(|problem| finding(&[], model, problem)));
    for fragments in model.values.profiles.values() {
        let own = problems(&model.values.with(fragments), &look_back);
        // What the base has wrong already is said once.
        findings.extend(own.iter().filter(|problem| !base.contains(problem)).map(|p| finding(fragments, model, p)));
    }
    findings
}

/// What cannot work: the key below the spec, and why.
#[derive(Debug, PartialEq)]
pub struct Problem {
    /// The key that is to be changed.
    pub key: Vec<&'static str>,
    message: String,
    help: &'static str,
}

/// A finding at the key's last place: in the profile where that sets it, else in the base.
fn finding(profile: &[Fragment], model: &Model, problem: &Problem) -> Finding {
    let path: Vec<String> = SPEC.iter().chain(&problem.key).map(|&step| step.to_owned()).collect();
    let pointer = format!("/{}", path.join("/"));
    let sets = |fragment: &&Fragment| fragment.values.pointer(&pointer).is_some();
    let place = profile.iter().find(sets).or_else(|| model.values.base.iter().find(sets)).or(profile.first());
    let (file, line) = place.map_or(("values/base", 1), |place| (place.path.as_str(), place.line_of(&path)));
    Finding::error(file, line, "file/syntax", format!("`{}` {}", path.join("."), problem.message)).help(problem.help)
}

/// The problems of a whole set of values, by how far the groups of rules look back.
pub fn problems(values: &Value, look_back: &BTreeMap<&str, f64>) -> Vec<Problem> {
    let spec = SPEC.iter().fold(values, |value, key| &value[*key]);
    if spec.is_null() {
        return Vec::new();
    }
    let mut problems = Vec::new();
    let mut problem = |key: &[&'static str], message: String, help| {
        problems.push(Problem { key: key.to_vec(), message, help });
    };
    match spec["retention"].as_str().and_then(seconds) {
        None => problem(&["retention"], format!("is {}", spec["retention"]), "write a duration, such as 15d"),
        Some(kept) => {
            let on = |group: &str| values["alerts"]["groups"][group]["enabled"] != false;
            for (group, back) in look_back.iter().filter(|(group, back)| **back > kept && on(group)) {
                let message = format!("is {}, and rules of {group} look back {}", duration(kept), duration(*back));
                let help = "keep samples that long, or switch the group off in `alerts.groups`";
                problem(&["retention"], message, help);
            }
        }
    }
    let volume = &VOLUME.iter().fold(spec, |value, key| &value[*key]);
    let size = spec["retentionSize"].as_str().filter(|size| size.ends_with('B')).and_then(bytes);
    match (size, volume.as_str().and_then(bytes)) {
        (None, _) => {
            let message = format!("is {}", spec["retentionSize"]);
            problem(&["retentionSize"], message, "write a size of at most 85 % of the volume, such as 50GB of 60Gi");
        }
        (_, None) => problem(&VOLUME, format!("is {volume}"), "set the size of the volume, such as 60Gi"),
        (Some(size), Some(volume_size)) if size > SHARE * volume_size => {
            let message = format!("is {}, and the volume has {volume}: it would fill up", spec["retentionSize"]);
            let help = "keep it at 85 % of the volume or less, where GB counts as Gi";
            problem(&["retentionSize"], message, help);
        }
        _ => {}
    }
    problems
}

/// Bytes of a size as Kubernetes writes it, or as Prometheus does, with a B; there all are powers of two.
pub fn bytes(text: &str) -> Option<f64> {
    let plain = text.strip_suffix('B').unwrap_or(text);
    let binary = plain.len() < text.len() || plain.ends_with('i');
    let plain = plain.strip_suffix('i').unwrap_or(plain);
    let digits = plain.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let power = match &plain[digits.len()..] {
        "" => 0,
        unit => 1 + ["k", "m", "g", "t", "p", "e"].iter().position(|known| unit.eq_ignore_ascii_case(known))?,
    };
    let step: f64 = if binary { 1024.0 } else { 1000.0 };
    Some(digits.parse::<f64>().ok()? * step.powi(i32::try_from(power).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn keys(spec: &Value, alerts: &Value) -> Vec<String> {
        let values = json!({"alerts": alerts, "kube-prometheus-stack": {"prometheus": {"prometheusSpec": spec}}});
        let look_back = BTreeMap::from([("slo", 14.0 * 86_400.0)]);
        problems(&values, &look_back).iter().map(|problem| problem.key.join(".")).collect()
    }

    fn spec(retention: &str, size: &str, volume: &str) -> Value {
        let claim = json!({"volumeClaimTemplate": {"spec": {"resources": {"requests": {"storage": volume}}}}});
        json!({"retention": retention, "retentionSize": size, "storageSpec": claim})
    }

    #[test]
    fn sizes_are_of_their_writer() {
        assert_eq!(bytes("50GB"), bytes("50Gi"));
        assert_eq!(bytes("50GiB"), bytes("50Gi"));
        assert_eq!((bytes("1k"), bytes("1Ki"), bytes("7")), (Some(1000.0), Some(1024.0), Some(7.0)));
        assert_eq!((bytes("x"), bytes("1X"), bytes("")), (None, None, None));
    }

    #[test]
    fn time_size_and_volume_agree() {
        let all = json!({});
        assert_eq!(keys(&spec("15d", "50GB", "60Gi"), &all), Vec::<String>::new());
        assert_eq!(keys(&spec("15d", "50GB", "60G"), &all), ["retentionSize"]);
        assert_eq!(keys(&spec("15d", "50Gi", "60Gi"), &all), ["retentionSize"]);
        assert_eq!(keys(&spec("15d", "", "60Gi"), &all), ["retentionSize"]);
        assert_eq!(keys(&spec("15", "50GB", "60Gi"), &all), ["retention"]);
        assert_eq!(keys(&spec("3d", "50GB", "60Gi"), &all), ["retention"]);
        assert_eq!(
            keys(&spec("3d", "50GB", "60Gi"), &json!({"groups": {"slo": {"enabled": false}}})),
            Vec::<String>::new()
        );
        assert_eq!(keys(&json!({"retention": "15d", "retentionSize": "50GB"}), &all), [VOLUME.join(".")]);
    }
}
