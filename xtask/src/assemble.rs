//! `cargo xtask assemble`: the generated files of chart/ and the capture that the contract gives, made in memory, then
//! written or compared.

pub mod alert_sources;
pub mod look_back;
pub mod readme;
mod sample;
pub mod schema;

use std::path::Path;

use anyhow::{Context, Result};
use helmpack::archive::Files;
use helmpack::lock::{self, Locked};

use crate::check;
use crate::failure::Findings;
use crate::flags::{self, Edition};
use crate::generated::Place;
use crate::model::Model;
use crate::model::values::{Fragment, OWN};
use crate::output::Lock;
use crate::sources::Sources;

const COMMAND: &str = "cargo xtask assemble";

/// The generated files of the chart.
pub const CHART: Place = Place { command: COMMAND, folder: "chart", owned: &["files", "profiles"] };

/// The capture that the contract gives, beside those of a running Gorax.
const CAPTURES: Place = Place { command: COMMAND, folder: "metrics/captures", owned: &[] };

impl flags::Assemble {
    pub fn run(self, root: &Path) -> Result<()> {
        let (sources, model, _) = check::checked(root)?;
        let (chart, captures) = (generate(&sources, &model)?, sample::generate(&model));
        let count = chart.len() + captures.len();
        if self.check {
            let mut stale = CHART.stale(root, &chart)?;
            stale.extend(CAPTURES.stale(root, &captures)?);
            if !stale.is_empty() {
                return Err(Findings(stale).into());
            }
            say!("{count} generated files of chart/ and metrics/captures/ are up to date");
        } else {
            let _lock = Lock::take(root)?;
            let written = CHART.write(root, &chart)? + CAPTURES.write(root, &captures)?;
            say!("wrote {written} of {count} generated files of chart/ and metrics/captures/");
        }
        Ok(())
    }
}

/// Every generated file of the chart, by its path below chart/.
pub fn generate(sources: &Sources, model: &Model) -> Result<Files> {
    let mut files = values(model, Edition::Full)?;
    files.insert("Chart.lock".to_owned(), lock(model)?.into_bytes());
    files.insert("README.md".to_owned(), readme::render(sources, model)?.into_bytes());
    files.insert("files/alert-sources.yaml".to_owned(), alert_sources::render(model)?.into_bytes());
    files.insert("files/look-back.yaml".to_owned(), look_back::render(model)?.into_bytes());
    let rules = model.rules.iter().map(|file| (file.path.as_str(), "rules"));
    let dashboards = model.dashboards.iter().map(|dashboard| (dashboard.path.as_str(), "dashboards"));
    for (path, folder) in rules.chain(dashboards) {
        let name = path.rsplit('/').next().unwrap_or(path);
        // Byte copies: Helm reads them with .Files.Get, so nothing in them is ever escaped.
        let bytes = sources.bytes(path).with_context(|| format!("{path} is missing"))?;
        files.insert(format!("files/{folder}/{name}"), bytes.to_vec());
    }
    Ok(files)
}

/// The values of an edition: values.yaml, its schema, and the profiles. The addon has our own fragments only.
pub fn values(model: &Model, edition: Edition) -> Result<Files> {
    let mut files = Files::new();
    files.insert("values.yaml".to_owned(), concatenate("values/base", &model.values.base, edition).into_bytes());
    files.insert("values.schema.json".to_owned(), schema::render(model, edition)?.into_bytes());
    for (profile, fragments) in &model.values.profiles {
        let for_edition = edition == Edition::Full || fragments.iter().any(|fragment| fragment.owner == OWN);
        if for_edition {
            let text = concatenate(&format!("values/profiles/{profile}"), fragments, edition);
            files.insert(format!("profiles/{profile}.yaml"), text.into_bytes());
        }
    }
    Ok(files)
}

/// The fragments one after the other, comments and all.
fn concatenate(folder: &str, fragments: &[Fragment], edition: Edition) -> String {
    let header = format!("# Made by `cargo xtask assemble` from {folder}/; edit the files there.\n");
    let fragments = fragments.iter().filter(|fragment| edition == Edition::Full || fragment.owner == OWN);
    fragments.fold(header, |text, fragment| format!("{text}\n{}\n", fragment.text.trim_end()))
}

/// Chart.lock with the exact versions of Chart.yaml; its time is always the release's date, so that a rebuild with
/// another SOURCE_DATE_EPOCH does not make the committed file stale.
fn lock(model: &Model) -> Result<String> {
    let locked: Vec<Locked> = model
        .chart
        .dependencies
        .iter()
        .map(|d| Locked { name: d.name.clone(), version: d.version.clone(), repository: d.repository.clone() })
        .collect();
    lock::write(&model.chart.dependencies, &locked, &model.released.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stale output fails `cargo test` too, not only `cargo xtask test`.
    #[test]
    fn the_committed_files_are_up_to_date() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let (sources, model, _) = check::checked(root).unwrap();
        let mut stale = CHART.stale(root, &generate(&sources, &model).unwrap()).unwrap();
        stale.extend(CAPTURES.stale(root, &sample::generate(&model)).unwrap());
        assert!(stale.is_empty(), "{}", Findings(stale));
    }
}
