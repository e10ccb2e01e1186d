//! Where an archive comes from, as an in-toto statement (in-toto/attestation `spec/v1/statement.md`) with the predicate of SLSA
//! (slsa.dev/spec/v1.0/provenance). It says what `package.json` says, for programs that know neither this project nor Helm.

use anyhow::{Context, Result, ensure};
use helmpack::chart::Chart;
use serde_json::{Value, json};

use crate::dependency;
use crate::flags::Edition;
use crate::record::{self, Record};

/// What follows an archive's name in that of its statement, where both are files.
pub const SUFFIX: &str = ".intoto.json";

const STATEMENT: &str = "https://in-toto.io/Statement/v1";
const PREDICATE: &str = "https://slsa.dev/provenance/v1";

/// What a build does, below the project's address.
const BUILD_TYPE: &str = "/blob/main/docs/publishing.md#provenance";

/// What builds, below the project's address.
const BUILDER: &str = "/blob/main/xtask";

/// The statement about one edition's archive: the same bytes for the same record. `chart` is the Chart.yaml in the archive.
///
/// Fails where the record does not tell a commit that holds all that was built: there is nothing to state then.
pub fn statement(record: &Record, edition: Edition, chart: &Chart) -> Result<Vec<u8>> {
    let archive = record.archive(edition).with_context(|| format!("there is no {} edition", edition.name()))?;
    let commit = record.clean_commit().context("what was not built from a commit has no provenance")?;
    let home = chart.home.as_deref().context("Chart.yaml has no `home`, the project's address")?;
    let mut materials = vec![json!({"uri": format!("git+{home}"), "digest": {"gitCommit": commit}})];
    if let Some(digest) = &record.cargo_lock {
        materials.push(json!({"name": "Cargo.lock", "digest": {"sha256": digest}}));
    }
    for dependency in carried(record, chart) {
        let path = dependency::path_in_chart(&dependency.name, &dependency.version);
        materials.push(json!({"name": path, "digest": {"sha256": dependency.sha256}}));
    }
    let statement = json!({
        "_type": STATEMENT,
        "subject": [{"name": archive.file, "digest": {"sha256": archive.sha256}}],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": format!("{home}{BUILD_TYPE}"),
                "externalParameters": {"edition": edition.name()},
                "internalParameters": {"sourceDateEpoch": record.source_date_epoch},
                "resolvedDependencies": materials,
            },
            "runDetails": {"builder": {"id": format!("{home}{BUILDER}")}},
        },
    });
    Ok((serde_json::to_string_pretty(&statement).context("writing the statement")? + "\n").into_bytes())
}

/// Reads a statement back into the part of the record that it holds, which is all that a rebuild needs. `chart` is the Chart.yaml
/// in the archive, `name` the chart's name in the full edition.
///
/// Fails on a statement that is not, byte for byte, what [`statement`] gives for that record.
pub fn parse(bytes: &[u8], chart: &Chart) -> Result<Record> {
    let statement: Value = serde_json::from_slice(bytes).context("the statement is no JSON")?;
    let text = |pointer: &str| statement.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let definition = "/predicate/buildDefinition";
    let edition = text(&format!("{definition}/externalParameters/edition")).unwrap_or_default();
    let edition = Edition::named(&edition).with_context(|| format!("there is no edition `{edition}`"))?;
    let materials = statement.pointer(&format!("{definition}/resolvedDependencies")).and_then(Value::as_array);
    let digest = |name: &str| {
        let mut materials = materials.into_iter().flatten();
        Some(materials.find(|material| material["name"] == name)?["digest"]["sha256"].as_str()?.to_owned())
    };
    let commit = materials.into_iter().flatten().find_map(|material| material["digest"]["gitCommit"].as_str());
    let epoch = statement.pointer(&format!("{definition}/internalParameters/sourceDateEpoch")).and_then(Value::as_u64);
    let subject = record::Packed {
        file: text("/subject/0/name").context("the statement names no archive")?,
        sha256: text("/subject/0/digest/sha256").context("the statement has no digest of the archive")?,
    };
    let dependencies = chart.dependencies.iter().filter_map(|declared| {
        let sha256 = digest(&dependency::path_in_chart(&declared.name, &declared.version))?;
        // Nothing else is ever published.
        Some(record::Dependency {
            name: declared.name.clone(),
            version: declared.version.clone(),
            sha256,
            pinned: true,
        })
    });
    let record = Record {
        name: chart.name.clone(),
        version: chart.version.clone(),
        commit: commit.map(str::to_owned),
        dirty: Some(false),
        cargo_lock: digest("Cargo.lock"),
        source_date_epoch: epoch.context("the statement has no sourceDateEpoch")?,
        archives: [(edition.name().to_owned(), subject)].into(),
        dependencies: dependencies.collect(),
    };
    ensure!(
        self::statement(&record, edition, chart)? == bytes,
        "the statement holds more or other than its record gives"
    );
    Ok(record)
}

/// Those of the build's dependencies that this chart carries; the addon edition has none.
fn carried<'a>(record: &'a Record, chart: &Chart) -> impl Iterator<Item = &'a record::Dependency> {
    let names: Vec<String> = chart.dependencies.iter().map(|dependency| dependency.name.clone()).collect();
    record.dependencies.iter().filter(move |dependency| names.contains(&dependency.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHART: &str = "apiVersion: v2\nname: demo\nversion: 1.0.0\nhome: https://example.org/demo\n";

    fn chart() -> Chart {
        Chart::parse(&format!("{CHART}dependencies:\n  - {{name: stack, version: 2.0.0, repository: x}}\n")).unwrap()
    }

    fn record() -> Record {
        let packed = |file: &str| record::Packed { file: file.to_owned(), sha256: "ab".repeat(32) };
        Record {
            name: "demo".to_owned(),
            version: "1.0.0".to_owned(),
            commit: Some("c0".repeat(20)),
            dirty: Some(false),
            cargo_lock: Some("cd".repeat(32)),
            source_date_epoch: 7,
            archives: [("full".to_owned(), packed("demo-1.0.0.tgz"))].into(),
            dependencies: vec![record::Dependency {
                name: "stack".to_owned(),
                version: "2.0.0".to_owned(),
                sha256: "ef".repeat(32),
                pinned: true,
            }],
        }
    }

    #[test]
    fn a_statement_reads_back_into_its_record() {
        let bytes = statement(&record(), Edition::Full, &chart()).unwrap();
        assert_eq!(parse(&bytes, &chart()).unwrap(), record());
        let statement: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(statement["subject"][0]["digest"]["sha256"], "ab".repeat(32));
        assert_eq!(statement["predicate"]["buildDefinition"]["resolvedDependencies"].as_array().unwrap().len(), 3);
    }

    #[test]
    fn every_flipped_byte_of_a_statement_is_found_or_another_record() {
        let bytes = statement(&record(), Edition::Full, &chart()).unwrap();
        for at in 0..bytes.len() {
            let mut broken = bytes.clone();
            broken[at] ^= 1;
            if let Ok(read) = parse(&broken, &chart()) {
                assert_ne!(read, record(), "byte {at}");
            }
        }
    }

    #[test]
    fn what_no_commit_holds_has_no_provenance() {
        for record in [Record { dirty: Some(true), ..record() }, Record { commit: None, ..record() }] {
            let error = statement(&record, Edition::Full, &chart()).unwrap_err().to_string();
            assert!(error.contains("no provenance"), "{error}");
        }
        assert!(statement(&record(), Edition::Addon, &chart()).unwrap_err().to_string().contains("no addon edition"));
    }
}
