//! `cargo xtask release VERSION`: one commit that makes what is unreleased a version.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use helmpack::archive::Files;
use helmpack::changelog;
use helmpack::chart::Chart;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use semver::Version;

use crate::failure::{Findings, Usage, on_errors};
use crate::flags::{self, Edition};
use crate::model::Model;
use crate::output::{Lock, Staged};
use crate::sources::Sources;
use crate::{assemble, check, git};

const CHART: &str = "chart/Chart.yaml";
const CHANGELOG: &str = "CHANGELOG.md";
const README: &str = "README.md";

impl flags::Release {
    pub fn run(self, root: &Path) -> Result<()> {
        let version = Version::parse(&self.version)
            .map_err(|error| Usage(format!("`{}` is not a semantic version such as 1.2.3: {error}", self.version)))?;
        let date = self.date()?;
        let (sources, model, _) = check::checked(root)?;
        let _lock = Lock::take(root)?;
        let head =
            git::head(root, &sources)?.context("this is not a Git repository of its own; a release is a commit")?;
        let generated = assemble::generate(&sources, &model)?;
        if head.dirty {
            bail!(unfinished(root, &generated)?.unwrap_or_else(|| {
                "there are changes that no commit has; commit them or take them back, then release".to_owned()
            }));
        }
        let stale = assemble::CHART.stale(root, &generated)?;
        if !stale.is_empty() {
            return Err(Findings(stale).into());
        }
        let readme = std::fs::read_to_string(root.join(README)).context("reading README.md")?;
        let mut edits = edits(sources, &model.chart, &readme, &version, date)?;
        edits.retain(|path, bytes| !std::fs::read(root.join(path)).is_ok_and(|before| before == *bytes));
        commit(root, &edits, &format!("Release {version}"))?;
        say!(
            "{} {version}, {date}: one commit, {}",
            model.chart.name,
            edits.keys().cloned().collect::<Vec<_>>().join(", ")
        );
        say!(
            "next   look at it with `git show`, then `git tag -s v{version} -m v{version}` and `git push --atomic origin HEAD v{version}`;"
        );
        say!("       the tag's workflow packages, verifies and publishes it");
        say!("undo   `git reset --hard HEAD~1`, as long as it is not pushed");
        Ok(())
    }

    /// The given date, else today in UTC: nothing else in this program asks the clock what day it is.
    fn date(&self) -> Result<Date> {
        match &self.date {
            Some(text) => {
                text.parse().map_err(|_| Usage(format!("--date `{text}` is not a date such as 2026-01-31")).into())
            }
            None => Ok(Timestamp::now().to_zoned(TimeZone::UTC).date()),
        }
    }
}

/// What to do about the changes here where a release made them that was killed before its commit: to commit what is there of them
/// would be half a release.
fn unfinished(root: &Path, generated: &Files) -> Result<Option<String>> {
    let now = std::fs::read_to_string(root.join(CHANGELOG)).context("reading CHANGELOG.md")?;
    let before = git::committed(root, CHANGELOG)?;
    let Some((version, _)) = changelog::latest(&now).filter(|now| Some(*now) != changelog::latest(&before)) else {
        return Ok(None);
    };
    let mut written = git::changed(root)?;
    written.retain(|path| {
        [CHANGELOG, CHART, README].contains(&path.as_str())
            || path.strip_prefix("chart/").is_some_and(|path| generated.contains_key(path))
    });
    Ok(Some(format!(
        "the release of {version} was begun and has no commit; take back what is written of it with \
         `git restore --staged --worktree {}`, then release again",
        written.join(" ")
    )))
}

/// Every file that the release changes, by its path in the repository, with its new bytes.
fn edits(mut sources: Sources, chart: &Chart, readme: &str, version: &Version, date: Date) -> Result<Files> {
    let old = Version::parse(&chart.version).context("reading the chart's version")?;
    ensure!(version.build.is_empty(), "version {version} has build metadata, by which versions are not ordered");
    ensure!(*version > old, "version {version} is not above {old}, the chart's");
    let text = |path: &str| sources.text(path).map(str::to_owned).map_err(|finding| Findings(vec![finding]));
    let log = changelog::release(&text(CHANGELOG)?, &version.to_string(), date).context("CHANGELOG.md")?;
    let manifest = with_version(&text(CHART)?, &chart.version, version)?;
    sources.set(CHANGELOG, &log);
    sources.set(CHART, &manifest);
    let model = Model::parse(&sources)?;
    on_errors(check::findings(&sources, &model))?;
    let generated = assemble::generate(&sources, &model)?;
    let mut edits: Files = generated.into_iter().map(|(path, bytes)| (format!("chart/{path}"), bytes)).collect();
    edits.insert(CHANGELOG.to_owned(), log.into_bytes());
    edits.insert(CHART.to_owned(), manifest.into_bytes());
    edits.insert(README.to_owned(), mentions(readme, chart, version).into_bytes());
    Ok(edits)
}

/// Chart.yaml with another version, everything else as people wrote it.
fn with_version(manifest: &str, old: &str, new: &Version) -> Result<String> {
    let is_version = |line: &str| line.strip_prefix("version:").is_some_and(|value| value.contains(old));
    let lines = manifest.split_inclusive('\n').map(|line| match is_version(line) {
        true => line.replacen(old, &new.to_string(), 1),
        false => line.to_owned(),
    });
    let changed: String = lines.collect();
    ensure!(Chart::parse(&changed)?.version == new.to_string(), "chart/Chart.yaml has no line `version: {old}`");
    Ok(changed)
}

/// A page with the names of the new archives in place of the old ones.
fn mentions(page: &str, chart: &Chart, version: &Version) -> String {
    let names = [String::new(), Edition::ADDON_SUFFIX.to_owned()].map(|suffix| format!("{}{suffix}", chart.name));
    names.iter().fold(page.to_owned(), |page, name| {
        page.replace(&format!("{name}-{}.tgz", chart.version), &format!("{name}-{version}.tgz"))
    })
}

/// Writes the files and commits them; where that fails, they are again as they were.
fn commit(root: &Path, edits: &Files, message: &str) -> Result<()> {
    let mut before = Files::new();
    for path in edits.keys() {
        let bytes = std::fs::read(root.join(path)).with_context(|| format!("reading {path}"))?;
        before.insert(path.clone(), bytes);
    }
    write(root, edits)?;
    let paths: Vec<&str> = edits.keys().map(String::as_str).collect();
    if let Err(error) = git::commit(root, &paths, message) {
        write(root, &before)?;
        git::unstage(root, &paths)?;
        bail!("{error:#}; every file is as it was");
    }
    Ok(())
}

fn write(root: &Path, files: &Files) -> Result<()> {
    let mut staged = Staged::default();
    for (path, bytes) in files {
        staged.write(&root.join(path), bytes)?;
    }
    staged.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources() -> (Sources, Chart) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut sources = Sources::read(root).unwrap();
        let chart = Model::parse(&sources).unwrap().chart;
        let log =
            format!("# Changelog\n\n## [Unreleased]\n\n- New.\n\n## [{}] - 2026-01-01\n\n- Old.\n", chart.version);
        sources.set(CHANGELOG, log);
        (sources, chart)
    }

    fn release(version: &str) -> Result<Files> {
        let (sources, chart) = sources();
        let readme = format!("a {0}-{1}.tgz and {0}-addon-{1}.tgz, not other-{1}.tgz\n", chart.name, chart.version);
        edits(sources, &chart, &readme, &version.parse()?, "2026-02-01".parse()?)
    }

    #[test]
    fn a_release_changes_version_changelog_and_what_is_made_of_them() {
        let (sources, chart) = sources();
        let edits = release("99.0.0").unwrap();
        let text = |path: &str| String::from_utf8(edits[path].clone()).unwrap();
        let before = sources.text(CHART).unwrap();
        assert_eq!(text(CHART), before.replacen(&format!("\nversion: {}\n", chart.version), "\nversion: 99.0.0\n", 1));
        assert!(text(CHANGELOG).contains("## [Unreleased]\n\n## [99.0.0] - 2026-02-01\n\n- New.\n"));
        assert!(text("chart/Chart.lock").contains("generated: \"2026-02-01T00:00:00Z\""));
        assert!(text("chart/README.md").contains("99.0.0"));
        assert_eq!(
            text(README),
            format!("a {0}-99.0.0.tgz and {0}-addon-99.0.0.tgz, not other-{1}.tgz\n", chart.name, chart.version)
        );
    }

    #[test]
    fn a_version_that_is_not_above_the_charts_is_refused() {
        let (_, chart) = sources();
        for (version, expected) in
            [(chart.version.as_str(), "is not above"), ("0.0.1", "is not above"), ("99.0.0+1", "build metadata")]
        {
            let error = release(version).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
