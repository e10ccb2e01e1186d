//! Files from anywhere, against this repository's metric contract or another one. The rules of this house are not
//! theirs.

use std::path::{Path, PathBuf};

use anyhow::Result;
use rulecheck::document::{self, Documents};
use rulecheck::{Contract, Finding, Settings, checks};

use crate::failure::{Usage, plural};
use crate::flags;
use crate::inputs::{self, Inputs};
use crate::model;
use crate::sources::Sources;

/// What is wrong with the files that the caller names, and what they are.
pub(super) fn check(root: &Path, flags: &flags::Check) -> Result<(Vec<Finding>, String)> {
    let Inputs { files, mut findings } = inputs::read(&flags.paths)?;
    if files.is_empty() && findings.is_empty() {
        let folder = flags.paths.first().map_or_else(String::new, |path| path.to_string_lossy().into_owned());
        let message = "the folder holds no *.yaml, *.yml or *.json";
        findings.push(Finding::error(&folder, 1, "file/unknown-kind", message));
    }
    let mut unread = Vec::new();
    let documents = Documents::read(files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())), &mut unread);
    let contract = if flags.metrics.is_empty() {
        model::read_contract(&Sources::read(root)?, &mut findings)
    } else {
        contract(&flags.metrics, &mut findings)?
    };
    // With a broken contract every metric of it would be unknown.
    if findings.is_empty() {
        let Documents { rules, dashboards, alertmanagers } = &documents;
        findings = checks::run(rules, dashboards, alertmanagers, &contract, &Settings::default());
    }
    findings.append(&mut unread);
    findings.sort();
    Ok((findings, describe(&documents)))
}

/// The contract in files, or folders of files, that the caller names.
pub(super) fn contract(paths: &[PathBuf], findings: &mut Vec<Finding>) -> Result<Contract> {
    let mut inputs = inputs::read(paths)?;
    inputs.files.retain(|(path, _)| !path.ends_with(".json"));
    findings.append(&mut inputs.findings);
    if inputs.files.is_empty() && findings.is_empty() {
        return Err(Usage("--metrics: the folder holds no contract file, *.yaml or *.yml".to_owned()).into());
    }
    let mut texts = Vec::new();
    for (path, bytes) in &inputs.files {
        match document::text(path, bytes) {
            Ok(text) => texts.push((path.as_str(), text)),
            Err(finding) => findings.push(finding),
        }
    }
    Ok(Contract::parse(texts, findings))
}

fn describe(documents: &Documents) -> String {
    let rules = || documents.rules.iter().flat_map(|file| file.rules());
    let records = rules().filter(|rule| rule.record().is_some()).count();
    let counts = [
        (rules().count() - records, "alert"),
        (records, "recording rule"),
        (documents.dashboards.len(), "dashboard"),
        (documents.alertmanagers.len(), "Alertmanager configuration"),
    ];
    let counted: Vec<String> =
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| plural(*count, word)).collect();
    match counted.as_slice() {
        [] => "no rules and no dashboards".to_owned(),
        [only] => only.clone(),
        [before @ .., last] => format!("{} and {last}", before.join(", ")),
    }
}
