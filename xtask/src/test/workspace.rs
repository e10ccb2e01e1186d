//! What needs nothing but Rust: the Rust tests, and that what is committed of the chart and of docs/ is what the
//! sources give.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use rulecheck::Finding;

use super::{Case, Tally};
use crate::assemble;
use crate::docs;
use crate::failure::Findings;

/// Runs `cargo test` and counts its tests into ours.
pub(super) fn rust_tests(root: &Path, offline: bool, tally: &mut Tally) -> Result<()> {
    const NAME: &str = "cargo test --workspace";
    let mut command = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()));
    command.args(["test", "--workspace", "--locked"]).args(offline.then_some("--offline")).current_dir(root);
    // Cargo shows on stderr what it compiles; what the tests print is kept for a failure.
    let output = command.stderr(Stdio::inherit()).output().context("running cargo test")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let (mut passed, mut failed) = (0, 0);
    for line in text.lines().filter_map(|line| line.strip_prefix("test result: ")) {
        passed += count(line, " passed");
        failed += count(line, " failed");
        tally.skipped += count(line, " ignored");
    }
    tally.passed += passed;
    if output.status.success() && passed > 0 {
        say!("ok    {NAME}: {passed} passed");
    } else {
        // The line that says so counts as one; a build that fails has no count of its own.
        tally.failed += failed.saturating_sub(1);
        tally.failed(NAME, &text);
    }
    Ok(())
}

/// The number before `word` in `ok. 12 passed; 0 failed; …`.
fn count(line: &str, word: &str) -> usize {
    let before = line.split(word).next().unwrap_or_default();
    before.rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("generated files of chart/ are up to date", &[], |context| {
            none(assemble::CHART.stale(&context.root, &context.generated)?)
        }),
        Case::new("generated pages of docs/ are up to date", &[], |context| {
            none(docs::PAGES.stale(&context.root, &docs::generate(&context.model)?)?)
        }),
        Case::new("the addon's archive holds no dependency, lock, pins or ignored files", &[], |context| {
            let bytes = std::fs::read(&context.archive).context("reading the archive")?;
            let (root, files) = helmpack::archive::unpack(&bytes)?;
            let unwanted: Vec<&String> = files
                .keys()
                .filter(|path| {
                    context.model.ignore.ignores(path)
                        || path.starts_with("charts/")
                        || matches!(path.as_str(), "Chart.lock" | "dependencies.sha256")
                })
                .collect();
            let chart = files.get("Chart.yaml").context("there is no Chart.yaml")?;
            let chart = helmpack::chart::Chart::parse(std::str::from_utf8(chart)?)?;
            if root != chart.name || root != "gorax-monitoring-addon" || !chart.dependencies.is_empty() {
                bail!("root folder {root}, chart {}, {} dependencies", chart.name, chart.dependencies.len());
            }
            if !unwanted.is_empty() {
                bail!("it holds {unwanted:?}");
            }
            Ok(())
        }),
    ]
}

fn none(stale: Vec<Finding>) -> Result<()> {
    if stale.is_empty() { Ok(()) } else { Err(Findings(stale).into()) }
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn counts_are_read_from_cargos_line() {
        let line = "ok. 12 passed; 3 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.18s";
        assert_eq!([" passed", " failed", " ignored"].map(|word| count(line, word)), [12, 3, 1]);
    }
}
