//! `Chart.lock` and its digest, as in helm/helm `internal/resolver/resolver.go`.
//!
//! The digest covers metadata only; the content of a dependency is pinned by `dependencies.sha256` beside it.

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::{Value, json};

use crate::chart::Dependency;
use crate::checksum::sha256;
use crate::go_json;

/// A dependency as it was resolved: one exact version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Locked {
    /// The dependency's chart name.
    pub name: String,
    /// The exact version.
    pub version: String,
    /// The repository it was resolved from.
    pub repository: String,
}

/// The text of `Chart.lock`. `generated` is an RFC 3339 time; Helm writes its clock there, we write the release's date.
pub fn write(requested: &[Dependency], locked: &[Locked], generated: &str) -> Result<String> {
    let dependencies: Vec<Value> =
        locked.iter().map(|l| json!({"name": l.name, "repository": l.repository, "version": l.version})).collect();
    let digest = digest(requested, locked)?;
    let lock = json!({"dependencies": dependencies, "digest": digest, "generated": generated});
    Ok(crate::yaml::write(&lock))
}

/// `sha256:` and the hash of Go's JSON of `[requested, locked]`. `helm dependency build` refuses a lock whose digest
/// does not fit `Chart.yaml`.
pub fn digest(requested: &[Dependency], locked: &[Locked]) -> Result<String> {
    let mut requested = serde_json::to_value(requested).context("hashing dependencies")?;
    for dependency in requested.as_array_mut().into_iter().flatten() {
        // Go sorts the keys of the free maps in import-values; the struct's own order is already Go's.
        if let Some(imports) = dependency.get_mut("import-values") {
            imports.sort_all_objects();
        }
    }
    let locked: Vec<Value> =
        locked.iter().map(|l| json!({"name": l.name, "version": l.version, "repository": l.repository})).collect();
    let text = go_json::to_string(&json!([requested, locked])).context("hashing dependencies")?;
    Ok(format!("sha256:{}", sha256(text.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dependency(yaml: &str) -> Dependency {
        serde_yaml::from_str(yaml).unwrap()
    }

    /// The vector was measured with Helm itself: ranges, a condition, tags, import-values and an alias.
    #[test]
    fn digest_is_helms() {
        let requested = [
            dependency("{name: alpha, version: 0.1.x, repository: 'file://../alpha', condition: alpha.enabled}"),
            dependency(
                "{name: beta, version: '>=0.1.0', repository: 'file://../beta', tags: [t1], \
                 import-values: [{parent: b, child: a}], alias: betaish}",
            ),
        ];
        let locked = ["alpha", "beta"].map(|name| Locked {
            name: name.into(),
            version: "0.1.0".into(),
            repository: format!("file://../{name}"),
        });
        assert_eq!(
            digest(&requested, &locked).unwrap(),
            "sha256:448cda35a9de29a112144189ecc2dc6d837cc19ded55a86dd97ef182ea1b8296"
        );
    }

    #[test]
    fn lock_reads_back() {
        let text = write(&[], &[], "2026-01-02T00:00:00Z").unwrap();
        let value: Value = serde_yaml::from_str(&text).unwrap();
        assert_eq!(value["generated"], "2026-01-02T00:00:00Z");
        assert_eq!(value["dependencies"], json!([]));
    }
}
