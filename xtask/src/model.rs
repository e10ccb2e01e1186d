//! The sources as typed values: what every later stage works on. Each source is parsed once, here.

pub mod facts;
pub mod images;
pub mod threshold;
pub mod unit_tests;
pub mod values;

use std::collections::BTreeMap;
use std::thread::{self, ScopedJoinHandle};

use helmpack::chart::Chart;
use helmpack::ignore::Rules as IgnoreRules;
use helmpack::{changelog, checksum};
use jiff::Timestamp;
use rulecheck::mark::{Marked, mark};
use rulecheck::rules::RuleKind;
use rulecheck::{Contract, Dashboard, Finding, Rule, RuleFile, Severity, checks, exception};

use crate::failure::{Findings, on_errors};
use crate::sources::Sources;
use facts::Facts;
use unit_tests::TestFile;
use values::Values;

/// Everything that the sources say.
#[derive(Debug)]
pub struct Model {
    /// `chart/Chart.yaml`.
    pub chart: Chart,
    /// The content pins of the chart's dependencies: (sha256, path below chart/).
    pub pins: Vec<(String, String)>,
    /// `chart/.helmignore`.
    pub ignore: IgnoreRules,
    /// The release's date, from the changelog; the fallback time of every archive.
    pub released: Timestamp,
    /// `alerts/*.yaml`.
    pub rules: Vec<RuleFile>,
    /// `alerts/tests/*.yaml`.
    pub tests: Vec<TestFile>,
    /// `dashboards/*.json`.
    pub dashboards: Vec<Dashboard>,
    /// `metrics/*.yaml`.
    pub contract: Contract,
    /// `values/`.
    pub values: Values,
    /// `upstream/*.yaml`.
    pub facts: Vec<Facts>,
}

/// The time of archives of a version that is not released yet: the first day of this project.
const UNRELEASED: &str = "2026-01-01T00:00:00Z";

impl Model {
    /// Parses the sources. Every file that cannot be read gives a finding, and with one there is no model.
    pub fn parse(sources: &Sources) -> Result<Model, Findings> {
        let mut findings = Vec::new();
        let chart = read(sources, "chart/Chart.yaml", Chart::parse, &mut findings);
        let ignore = read(sources, "chart/.helmignore", IgnoreRules::parse, &mut findings);
        let pins = read(
            sources,
            "chart/dependencies.sha256",
            |text| checksum::parse(text).map_err(anyhow::Error::msg),
            &mut findings,
        );
        let version = chart.as_ref().map(|chart| chart.version.clone()).unwrap_or_default();
        let released = read(sources, "CHANGELOG.md", |text| changelog::released(text, &version), &mut findings);
        // The two that take as long as all others together are read beside them.
        let (rules, dashboards, contract, values, tests, facts) = thread::scope(|scope| {
            let tests = scope.spawn(|| reading(|findings| unit_tests::read(sources, findings)));
            let facts = scope.spawn(|| reading(|findings| facts::read(sources, findings)));
            let rules = read_rules(sources, &mut findings);
            let dashboards = read_dashboards(sources, &mut findings);
            let contract = read_contract(sources, &mut findings);
            let values = Values::parse(sources, &mut findings);
            (rules, dashboards, contract, values, joined(tests, &mut findings), joined(facts, &mut findings))
        });
        // What the checker does not know yet may be right; it cannot be proved, though, and so it is not shipped.
        for finding in findings.iter_mut().filter(|finding| finding.check == "file/syntax") {
            finding.severity = Severity::Error;
        }
        on_errors(findings)?;
        let (Some(chart), Some(ignore), Some(pins), Some(released), Some(values)) =
            (chart, ignore, pins, released, values)
        else {
            // Each of them is missing only together with a finding, and those have ended the command above.
            return Err(Findings(Vec::new()));
        };
        let released = released.unwrap_or_else(|| UNRELEASED.parse().unwrap_or_default());
        Ok(Model { chart, pins, ignore, released, rules, tests, dashboards, contract, values, facts })
    }

    /// Every alerting rule with its file and its group's name, in order.
    pub fn alerts(&self) -> impl Iterator<Item = (&RuleFile, &str, &Rule)> {
        self.rules.iter().flat_map(|file| {
            file.groups.iter().flat_map(move |group| {
                let alerts = group.rules.iter().filter(|rule| rule.kind == RuleKind::Alert);
                alerts.map(move |rule| (file, group.name.as_str(), rule))
            })
        })
    }

    /// What a panel shows today, by its place in the dashboard; `None` for one that asks no PromQL, or whose
    /// alternatives are too many to tell. Queries that are switched off are shown to nobody.
    pub fn mark(&self, dashboard: &Dashboard, panel: usize) -> Option<Marked> {
        let queries = dashboard.queries.iter().filter(|query| query.target.is_some_and(|(of, _)| of == panel));
        let shown = queries.filter(|query| dashboard.target(query).is_some_and(|(_, target)| !target.hidden));
        shown.filter_map(|query| mark(&query.ast, &self.rules, &self.contract).ok()).reduce(Marked::and)
    }
}

/// What a reader reads, and what it finds.
fn reading<T>(read: impl FnOnce(&mut Vec<Finding>) -> T) -> (T, Vec<Finding>) {
    let mut findings = Vec::new();
    (read(&mut findings), findings)
}

/// Waits for a reader.
fn joined<T>(reader: ScopedJoinHandle<'_, (T, Vec<Finding>)>, findings: &mut Vec<Finding>) -> T {
    let (read, found) = reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    findings.extend(found);
    read
}

/// Reads one text file with `parse`; what goes wrong becomes a finding, with the line where the message has one.
fn read<T>(
    sources: &Sources,
    path: &str,
    parse: impl FnOnce(&str) -> anyhow::Result<T>,
    findings: &mut Vec<Finding>,
) -> Option<T> {
    let text = sources.text(path).map_err(|finding| findings.push(finding)).ok()?;
    match parse(text) {
        Ok(value) => Some(value),
        Err(error) => {
            let (line, message) = split_line(&format!("{error:#}"));
            findings.push(Finding::error(path, line, "file/syntax", message));
            None
        }
    }
}

/// Takes the place out of a message: `line 3: …`, or `… at line 3 column 5` as the YAML library writes it.
fn split_line(message: &str) -> (usize, String) {
    if let Some((line, rest)) = message.strip_prefix("line ").and_then(|rest| rest.split_once(": "))
        && let Ok(line) = line.parse()
    {
        return (line, rest.to_owned());
    }
    if let Some((before, place)) = message.split_once(" at line ")
        && let Some(Ok(line)) = place.split(' ').next().map(str::parse)
    {
        return (line, before.to_owned());
    }
    (1, message.to_owned())
}

fn read_rules(sources: &Sources, findings: &mut Vec<Finding>) -> Vec<RuleFile> {
    let mut rules = Vec::new();
    for path in sources.below("alerts").filter(|path| !path.starts_with("alerts/tests/")) {
        if wrong_place(path, "alerts", ".yaml", findings) {
            continue;
        }
        match sources.text(path) {
            Ok(text) => rules.extend(RuleFile::parse(path, text, findings)),
            Err(finding) => findings.push(finding),
        }
    }
    for file in rules.iter().filter(|file| file.rules().next().is_none()) {
        findings.push(Finding::error(&file.path, 1, "file/syntax", "the file holds no rule"));
    }
    unique_groups(&rules, findings);
    rules
}

/// Prometheus wants group names unique within a file; `alerts.groups` switches by name, so ours are unique at all.
fn unique_groups(rules: &[RuleFile], findings: &mut Vec<Finding>) {
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    for file in rules {
        for group in &file.groups {
            // Twice within a file is a finding of the reader's.
            if let Some(first) = seen.insert(&group.name, &file.path).filter(|first| *first != file.path) {
                let message = format!("group `{}` is declared in {first} too", group.name);
                findings.push(Finding::error(&file.path, group.line, "file/syntax", message));
            }
        }
    }
}

fn read_dashboards(sources: &Sources, findings: &mut Vec<Finding>) -> Vec<Dashboard> {
    let mut dashboards: Vec<Dashboard> = Vec::new();
    for path in sources.below("dashboards") {
        let text = match sources.text(path) {
            Ok(text) => text,
            Err(finding) => {
                findings.push(finding);
                continue;
            }
        };
        if path.ends_with(".allow.yaml") {
            let board = path.replace(".allow.yaml", ".json");
            match exception::in_file(path, text) {
                // The list stands before its dashboard in the sorted order.
                Ok(_) if sources.bytes(&board).is_some() => {}
                Ok(_) => findings.push(Finding::error(path, 1, "exception/unused", format!("there is no {board}"))),
                Err(finding) => findings.push(finding),
            }
        } else if !wrong_place(path, "dashboards", ".json", findings)
            && let Some(mut dashboard) = Dashboard::parse(path, text, findings)
        {
            let allow = dashboard.allow_path();
            if let Some(Ok(text)) = sources.bytes(&allow).map(|_| sources.text(&allow)) {
                dashboard.exceptions = exception::in_file(&allow, text).unwrap_or_default();
            }
            dashboards.push(dashboard);
        }
    }
    // Objects of the chart are named after the uid.
    findings.extend(checks::unique_dashboards(&dashboards));
    dashboards
}

/// The metric contract in `metrics/`.
pub fn read_contract(sources: &Sources, findings: &mut Vec<Finding>) -> Contract {
    let mut files = Vec::new();
    for path in sources.below("metrics").filter(|path| !path.starts_with("metrics/captures/")) {
        if wrong_place(path, "metrics", ".yaml", findings) {
            continue;
        }
        match sources.text(path) {
            Ok(text) => files.push((path, text)),
            Err(finding) => findings.push(finding),
        }
    }
    Contract::parse(files, findings)
}

/// A file that no stage would read is an error: someone believes that it counts.
fn wrong_place(path: &str, folder: &str, extension: &str, findings: &mut Vec<Finding>) -> bool {
    let name = &path[folder.len() + 1..];
    let stem = name.strip_suffix(extension);
    // The stem becomes part of a Kubernetes object's name.
    let fits = stem.is_some_and(|stem| {
        let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        stem.starts_with(word) && stem.ends_with(word) && stem.chars().all(|c| word(c) || c == '-')
    });
    if !fits {
        let help = format!("name it {folder}/<lower-case-words>{extension}");
        findings
            .push(Finding::error(path, 1, "file/unknown-kind", "nothing reads a file of this name here").help(help));
    }
    !fits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_taken_out_of_a_message() {
        assert_eq!(split_line("line 3: x: y"), (3, "x: y".to_owned()));
        assert_eq!(split_line("a: unknown field `b` at line 12 column 4"), (12, "a: unknown field `b`".to_owned()));
        assert_eq!(split_line("version `x` is wrong"), (1, "version `x` is wrong".to_owned()));
    }
}
