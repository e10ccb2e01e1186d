//! Values that nothing reads: a misspelt key renders without a word, and the default stays.

use rulecheck::Finding;
use serde_json::Value;

use crate::model::Model;
use crate::model::values::{Fragment, OWN};

pub(super) fn check(model: &Model) -> Vec<Finding> {
    let mut findings = Vec::new();
    let schema = &model.values.schema;
    let profiles = model.values.profiles.values().flatten();
    for fragment in model.values.base.iter().chain(profiles.clone()) {
        if fragment.owner == OWN {
            own(schema, schema, fragment, &fragment.values, &mut Vec::new(), &mut findings);
        } else {
            findings.extend(dependencys(model, fragment));
        }
    }
    // Profiles are used together, so one must not take away what another has.
    let below: Vec<&Fragment> = model.values.base.iter().chain(profiles.clone()).collect();
    for (number, fragment) in (model.values.base.len()..).zip(profiles) {
        for base in below[..number].iter().filter(|base| base.owner == fragment.owner) {
            dropped_entries(base, fragment, &base.values, &fragment.values, &mut Vec::new(), &mut findings);
        }
    }
    findings
}

fn unknown(fragment: &Fragment, path: &[String], who: &str, known: &[&String]) -> Finding {
    let message = format!("{who} does not know the value `{}`", path.join("."));
    let finding = Finding::error(&fragment.path, fragment.line_of(path), "file/syntax", message);
    let key = path.last().map(String::as_str).unwrap_or_default();
    match known.iter().min_by_key(|candidate| strsim::levenshtein(candidate, key)) {
        Some(near) => finding.help(format!("did you mean `{near}`?")),
        None => finding,
    }
}

/// Keys that our own schema does not know would fail every installation with the chart's own defaults.
fn own(
    root: &Value,
    schema: &Value,
    fragment: &Fragment,
    values: &Value,
    path: &mut Vec<String>,
    findings: &mut Vec<Finding>,
) {
    let schema = resolve(root, schema);
    let (Some(values), Some(known)) = (values.as_object(), schema["properties"].as_object()) else { return };
    for (key, value) in values {
        path.push(key.clone());
        match known.get(key) {
            Some(schema) => own(root, schema, fragment, value, path, findings),
            None if schema["additionalProperties"] == Value::Bool(false) => {
                let known: Vec<&String> = known.keys().collect();
                findings.push(unknown(fragment, path, "values/schema.yaml", &known));
            }
            None => {}
        }
        path.pop();
    }
}

/// Follows `{$ref: "#/definitions/name"}`.
fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let target = schema["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
    target.and_then(|pointer| root.pointer(pointer)).unwrap_or(schema)
}

/// A fragment for a dependency holds nothing but the dependency's key, and below it only what the dependency knows.
fn dependencys(model: &Model, fragment: &Fragment) -> Vec<Finding> {
    let mut findings = Vec::new();
    let keys: Vec<&String> = model.chart.dependencies.iter().map(|dependency| &dependency.name).collect();
    for (key, values) in fragment.values.as_object().into_iter().flatten() {
        let mut path = vec![key.clone()];
        if *key != fragment.owner || !keys.contains(&key) {
            findings.push(unknown(fragment, &path, "Chart.yaml as a dependency", &keys));
        } else if let Some(facts) = model.facts.iter().find(|facts| facts.dependency == *key) {
            known(&facts.values, fragment, values, &mut path, &mut findings);
        }
    }
    findings
}

fn known(types: &Value, fragment: &Fragment, value: &Value, path: &mut Vec<String>, findings: &mut Vec<Finding>) {
    let problem = |message: String, help: &str| {
        let message = format!("`{}` {message}", path.join("."));
        Finding::error(&fragment.path, fragment.line_of(path), "file/syntax", message).help(help)
    };
    match (types, value) {
        // Helm 4.2 drops a null of the chart's own values in silence, other versions honour it.
        (_, Value::Null) => {
            findings.push(problem("is null, which Helm versions take differently".into(), "set a value"));
        }
        (Value::Object(types), Value::Object(values)) => {
            for (key, value) in values {
                path.push(key.clone());
                match types.get(key) {
                    Some(types) => known(types, fragment, value, path, findings),
                    None => {
                        let keys: Vec<&String> = types.keys().collect();
                        findings.push(unknown(fragment, path, &fragment.owner, &keys));
                    }
                }
                path.pop();
            }
        }
        (Value::Object(_), _) => findings.push(problem("is a map in the dependency".into(), "set the keys below it")),
        (Value::String(kind), Value::Object(_)) if kind != "any" => {
            findings.push(problem(format!("is a {kind} in the dependency, not a map"), ""));
        }
        _ => {}
    }
}

/// Helm replaces a list whole: an overlay that sets one must repeat what the base has in it.
fn dropped_entries(
    base: &Fragment,
    profile: &Fragment,
    below: &Value,
    above: &Value,
    path: &mut Vec<String>,
    findings: &mut Vec<Finding>,
) {
    match (below, above) {
        (Value::Object(below), Value::Object(above)) => {
            for (key, above) in above {
                if let Some(below) = below.get(key) {
                    path.push(key.clone());
                    dropped_entries(base, profile, below, above, path, findings);
                    path.pop();
                }
            }
        }
        (Value::Array(below), Value::Array(above)) => {
            for entry in below.iter().filter(|entry| !above.contains(entry)) {
                let message = format!("`{}` drops {entry}, which {} has in it", path.join("."), base.path);
                findings.push(
                    Finding::error(&profile.path, profile.line_of(path), "file/syntax", message)
                        .help("Helm replaces a list whole; repeat the entry"),
                );
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fragment(text: &str) -> Fragment {
        let values = rulecheck::yaml::parse(text).unwrap();
        Fragment { path: "values/x.yaml".into(), owner: "stack".into(), text: text.into(), values }
    }

    fn found(text: &str) -> Vec<String> {
        let types = json!({"prometheus": {"retention": "string", "open": "any", "list": "list"}});
        let fragment = fragment(text);
        let mut findings = Vec::new();
        known(&types, &fragment, &fragment.values, &mut Vec::new(), &mut findings);
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn keys_that_the_dependency_does_not_know_get_a_suggestion() {
        assert_eq!(
            found("prometheus:\n  retentoin: 15d\n"),
            [
                "values/x.yaml:2: error: file/syntax: stack does not know the value `prometheus.retentoin`\n  help: did you mean `retention`?"
            ]
        );
        assert_eq!(found("prometheus:\n  retention: 15d\n  open: {a: {b: 1}}\n  list: [1]\n"), Vec::<String>::new());
        assert!(found("prometheus:\n  retention:\n")[0].contains("`prometheus.retention` is null"));
        assert!(found("prometheus: 1\n")[0].contains("is a map in the dependency"));
        assert!(found("prometheus:\n  list: {a: 1}\n")[0].contains("is a list in the dependency, not a map"));
    }

    #[test]
    fn a_profile_that_drops_an_entry_is_named() {
        let (base, profile) = (fragment("a:\n  list: [x, y]\n"), fragment("a:\n  list: [y, z]\n"));
        let mut findings = Vec::new();
        dropped_entries(&base, &profile, &base.values, &profile.values, &mut Vec::new(), &mut findings);
        assert_eq!(findings.len(), 1);
        assert!(findings[0].message.starts_with("`a.list` drops \"x\""), "{}", findings[0]);
    }

    #[test]
    fn a_profile_that_drops_what_another_has_is_named() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut model = Model::parse(&crate::sources::Sources::read(root).unwrap()).unwrap();
        assert_eq!(check(&model), []);
        let list = json!({"kube-prometheus-stack": {"prometheus": {"prometheusSpec": {"remoteWrite": [{"url": "http://x"}]}}}});
        let mut fragment = fragment("");
        (fragment.owner, fragment.values) = ("kube-prometheus-stack".to_owned(), list);
        model.values.profiles.insert("zz".to_owned(), vec![fragment]);
        let findings = check(&model);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(
            findings[0].message.ends_with("which values/profiles/remote-write/kube-prometheus-stack.yaml has in it")
        );
    }
}
