//! `cargo xtask package`: check → assemble → archive → checksum, for each edition that can be built.

use std::path::Path;

use anyhow::{Context, Result, bail};
use helmpack::archive::{self, Files};
use helmpack::checksum::{self, sha256};

use crate::assemble;
use crate::check;
use crate::flags::{self, Edition};
use crate::model::Model;
use crate::output::{Lock, Staged};
use crate::sources::Sources;

/// The list of checksums, in the form of `sha256sum`.
const SUMS: &str = "SHA256SUMS";

impl flags::Package {
    pub fn run(self, root: &Path) -> Result<()> {
        // Everything is made in memory first: bad input leaves chart/ and dist/ as they were.
        let (sources, model) = check::checked(root)?;
        let generated = assemble::generate(&sources, &model)?;
        let variable = std::env::var_os("SOURCE_DATE_EPOCH").map(|text| text.to_string_lossy().into_owned());
        let epoch = epoch(variable.as_deref(), &model)?;
        let mut artifacts = Files::new();
        let mut built = Vec::new();
        if self.edition != Some(Edition::Full) {
            let addon = build_addon(&sources, &model, &generated, epoch)?;
            artifacts.extend(addon.artifacts());
            built.push(addon);
        }
        let unbuilt = (self.edition != Some(Edition::Addon)).then(|| why_not_full(&model));
        if let Some(reason) = unbuilt.as_ref().filter(|_| self.require_all || self.edition == Some(Edition::Full)) {
            bail!("the full edition cannot be built: {reason}");
        }
        let sums = checksum::sums(artifacts.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())));
        let output = match &self.output {
            Some(folder) => {
                std::path::absolute(folder).with_context(|| format!("resolving --output {}", folder.display()))?
            }
            None => root.join("dist"),
        };
        let _lock = Lock::take(root)?;
        let changed = assemble::write(root, &generated)?;
        write_dist(&output, &artifacts, &sums)?;
        summary(&model, &built, unbuilt.as_deref(), &output, changed);
        Ok(())
    }
}

/// One edition, packed.
pub struct Built {
    edition: &'static str,
    pub archive: String,
    files: Files,
    pub bytes: Vec<u8>,
}

impl Built {
    /// The archive, and the digests of the files in it: they hold even where another compressor packs the same tree.
    fn artifacts(&self) -> Files {
        let contents = checksum::sums(self.files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())));
        Files::from([
            (self.archive.clone(), self.bytes.clone()),
            (format!("{}.contents.sha256", self.archive), contents.into_bytes()),
        ])
    }
}

/// The addon edition: the same tree under another chart name, without the dependency, its pins and its values.
pub fn build_addon(sources: &Sources, model: &Model, generated: &Files, epoch: u64) -> Result<Built> {
    let mut chart = model.chart.clone();
    chart.name = format!("{}-addon", chart.name);
    chart.description =
        Some("Monitors Gorax on Kubernetes in a cluster that already runs the Prometheus Operator".to_owned());
    chart.dependencies.clear();
    let mut files = generated.clone();
    files.retain(|path, _| path != "Chart.lock" && !path.starts_with("profiles/"));
    files.extend(assemble::values(model, Edition::Addon)?);
    files.extend(hand_written(sources));
    files.insert("Chart.yaml".to_owned(), chart.to_yaml()?.into_bytes());
    files.retain(|path, _| !model.ignore.ignores(path));
    let bytes = archive::pack(&chart.name, &files, epoch).context("packing the addon edition")?;
    Ok(Built { edition: "addon", archive: chart.archive_name(), files, bytes })
}

/// The files below chart/ that people write, by their path in the chart.
fn hand_written(sources: &Sources) -> Files {
    let paths = sources.below("chart").filter_map(|path| Some((path.strip_prefix("chart/")?, path)));
    paths.filter_map(|(name, path)| Some((name.to_owned(), sources.bytes(path)?.to_vec()))).collect()
}

fn why_not_full(model: &Model) -> String {
    let names: Vec<String> = model.chart.dependencies.iter().map(|d| format!("{} {}", d.name, d.version)).collect();
    format!("this version cannot pack {} into it yet; install the addon edition beside a stack", names.join(", "))
}

/// The time of all entries: SOURCE_DATE_EPOCH, else the release's date.
pub fn epoch(variable: Option<&str>, model: &Model) -> Result<u64> {
    let Some(text) = variable else {
        return u64::try_from(model.released.as_second()).context("the release's date is before 1970");
    };
    match text.trim().parse() {
        Ok(epoch) if epoch <= archive::MAX_MTIME => Ok(epoch),
        _ => bail!(
            "SOURCE_DATE_EPOCH is `{text}`, expected whole seconds since 1970, {} at the most",
            archive::MAX_MTIME
        ),
    }
}

/// Writes the artifacts, the checksums last, then removes what an earlier run listed and this one did not make.
fn write_dist(output: &Path, artifacts: &Files, sums: &str) -> Result<()> {
    let before = std::fs::read_to_string(output.join(SUMS)).unwrap_or_default();
    let mut staged = Staged::default();
    for (name, bytes) in artifacts {
        staged.write(&output.join(name), bytes)?;
    }
    staged.write(&output.join(SUMS), sums.as_bytes())?;
    staged.commit()?;
    for (_, name) in checksum::parse(&before).unwrap_or_default() {
        // Only plain names, whatever the old list says: nothing outside the folder is ever removed.
        if !artifacts.contains_key(&name) && !name.contains(['/', '\\']) && name != SUMS {
            let _ = std::fs::remove_file(output.join(&name));
        }
    }
    Ok(())
}

fn summary(model: &Model, built: &[Built], unbuilt: Option<&str>, output: &Path, changed: usize) {
    let groups = model.rules.iter().map(|file| file.groups.len()).sum::<usize>();
    println!(
        "{} {}: {} alerts in {groups} groups, {} dashboards{}",
        model.chart.name,
        model.chart.version,
        model.alerts().count(),
        model.dashboards.len(),
        if changed > 0 {
            format!("; {changed} generated files of chart/ were stale and are renewed")
        } else {
            String::new()
        },
    );
    for built in built {
        println!(
            "{:<6} {}  {} files, {:.1} kB, sha256 {}",
            built.edition,
            output.join(&built.archive).display(),
            built.files.len(),
            built.bytes.len() as f64 / 1000.0,
            sha256(&built.bytes),
        );
    }
    if let Some(reason) = unbuilt {
        println!("full   not built: {reason}");
    }
    println!("sums   {}", output.join(SUMS).display());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_is_none_is_refused() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let model = Model::parse(&Sources::read(root).unwrap()).unwrap();
        assert_eq!(epoch(Some("1700000000"), &model).unwrap(), 1_700_000_000);
        assert_eq!(epoch(None, &model).unwrap() % 86_400, 0);
        for wrong in ["", "-1", "yesterday", "99999999999999"] {
            assert!(epoch(Some(wrong), &model).unwrap_err().to_string().contains("SOURCE_DATE_EPOCH"), "{wrong}");
        }
    }
}
