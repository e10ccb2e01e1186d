//! The pages of `docs/checks/`: every check has one, its examples do what it says, and the overview lists them all.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;
use rulecheck::document::Documents;
use rulecheck::{Contract, Finding, Settings, checks};

/// The families of checks, in the overview's order, and what each is about.
const FAMILIES: [(&str, &str); 10] = [
    ("file", "What cannot be read"),
    ("query", "Expressions of rules and panels"),
    ("match", "Two sides that meet in an operator"),
    ("rule", "Intervals and waiting times of rules"),
    ("alert", "Alerting rules"),
    ("record", "Recording rules"),
    ("dashboard", "Dashboards"),
    ("route", "Alertmanager's routes"),
    ("link", "What refers to something else"),
    ("exception", "Exceptions"),
];

/// Checks whose examples no page can hold, with what proves them instead.
const WITHOUT_EXAMPLES: [(&str, &str); 6] = [
    ("file/encoding", "a page is UTF-8; document.rs has the case"),
    ("alert/untested", "about this repository's own unit tests; checkout/bad_input.rs has the case"),
    ("dashboard/format", "about this repository's own dashboards; checkout/dashboards.rs has the case"),
    ("dashboard/policy", "about this repository's own dashboards; checkout/dashboards.rs has the case"),
    ("dashboard/threshold", "about this repository's own alerts; checkout/dashboards.rs has the case"),
    ("file/stale", "about this repository's own generated files; checkout/package.rs has the case"),
];

/// A page: the check, its summary, and what its sections hold.
struct Page {
    check: String,
    /// The first sentence.
    summary: String,
    /// The files of an example, by the section's heading.
    examples: BTreeMap<String, Vec<(String, String)>>,
}

#[test]
fn what_a_page_says_is_reported_is_reported() {
    for page in pages().iter().filter(|page| !is_without_examples(&page.check)) {
        let findings = run(&page.examples["Reported"]);
        let names: BTreeSet<&str> = findings.iter().map(|finding| finding.check).collect();
        assert_eq!(names, BTreeSet::from([page.check.as_str()]), "{}\n{findings:#?}", page.check);
    }
}

#[test]
fn what_a_page_says_passes_passes() {
    for page in pages().iter().filter(|page| !is_without_examples(&page.check)) {
        assert_eq!(run(&page.examples["Passes"]), [], "{}", page.check);
    }
}

/// What cannot be read, is not needed, or leads nowhere is mended instead.
const NEVER_ALLOWED: [&str; 3] = ["exception", "file", "link"];

#[test]
fn an_exception_allows_what_is_reported() {
    let can_be = |page: &&Page| !NEVER_ALLOWED.contains(&page.check.split('/').next().unwrap_or_default());
    for page in pages().iter().filter(|page| !is_without_examples(&page.check)).filter(can_be) {
        assert_eq!(run(&allowed(&page.examples["Reported"], &page.check)), [], "{}", page.check);
    }
}

/// The files of an example with an exception at everything that is found.
fn allowed(files: &[(String, String)], check: &str) -> Vec<(String, String)> {
    let places: BTreeSet<(String, usize)> = run(files).into_iter().map(|found| (found.file, found.line)).collect();
    let mut changed = Vec::new();
    for (path, text) in files {
        if let Some(name) = path.strip_suffix(".json") {
            changed.push((path.clone(), text.clone()));
            changed.push((format!("{name}.allow.yaml"), format!("- {{check: {check}, reason: because}}\n")));
            continue;
        }
        let mut lines = String::new();
        for (number, line) in (1..).zip(text.lines()) {
            if places.contains(&(path.clone(), number)) {
                lines += &format!("# rulecheck: allow {check}: because\n");
            }
            lines += &format!("{line}\n");
        }
        changed.push((path.clone(), lines));
    }
    changed
}

#[test]
fn every_check_has_a_page_and_every_page_a_check() {
    let named: BTreeSet<String> = pages().into_iter().map(|page| page.check).collect();
    assert_eq!(named, checks_in_the_sources());
}

#[test]
fn the_overview_lists_every_check() {
    let written = fs::read_to_string(folder().join("README.md")).expect("the overview is there");
    let expected = overview(&pages());
    assert!(written.ends_with(&expected), "docs/checks/README.md must end with:\n\n{expected}");
}

/// The tables of the overview, which are the first sentences of the pages.
fn overview(pages: &[Page]) -> String {
    let tables = FAMILIES.iter().map(|(family, title)| {
        let mine = pages.iter().filter(|page| page.check.split('/').next() == Some(family));
        let rows = mine.map(|page| format!("| [{0}]({1}) | {2} |\n", page.check, file_name(&page.check), page.summary));
        format!("## {title}\n\n| Check | Reports |\n|---|---|\n{}", rows.collect::<String>())
    });
    tables.collect::<Vec<_>>().join("\n")
}

fn is_without_examples(check: &str) -> bool {
    WITHOUT_EXAMPLES.iter().any(|(name, _)| *name == check)
}

fn run(files: &[(String, String)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let documents = Documents::read(files.iter().map(|(path, text)| (path.as_str(), text.as_bytes())), &mut findings);
    let contract = fs::read_to_string(folder().join("contract.yaml")).expect("the examples' contract is there");
    let contract = Contract::parse([("contract.yaml", contract.as_str())], &mut findings);
    let settings = Settings { evaluation_interval: Some(60.0), retention: Some(15.0 * 86_400.0) };
    findings.extend(checks::run(
        &documents.rules,
        &documents.dashboards,
        &documents.alertmanagers,
        &contract,
        &settings,
    ));
    // All dashboards that an example speaks of are in it.
    findings.extend(checks::link::check(&documents.dashboards, &BTreeSet::new()));
    findings
}

/// The names of all checks, as the sources have them outside of their tests.
fn checks_in_the_sources() -> BTreeSet<String> {
    let families: Vec<&str> = FAMILIES.iter().map(|(family, _)| *family).collect();
    let name = Regex::new(&format!("\"((?:{})/[a-z-]+)\"", families.join("|"))).expect("a regular expression");
    let mut files = Vec::new();
    for folder in ["crates/rulecheck/src", "xtask/src"] {
        rust_files(&root().join(folder), &mut files);
    }
    let mut names = BTreeSet::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("a source is readable");
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        names.extend(name.captures_iter(code).map(|found| found[1].to_owned()));
    }
    names
}

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("the entry is readable").path();
        if path.is_dir() {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// All pages, by the names of their checks.
fn pages() -> Vec<Page> {
    let mut pages: Vec<Page> = Vec::new();
    for entry in fs::read_dir(folder()).expect("the folder is there") {
        let path = entry.expect("the entry is readable").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.ends_with(".md") && name != "README.md" {
            let text = fs::read_to_string(&path).expect("a page is readable");
            let page = page(&text).unwrap_or_else(|problem| panic!("{name}: {problem}"));
            assert_eq!(name, file_name(&page.check), "the page's name is its check's");
            pages.push(page);
        }
    }
    pages.sort_by(|a, b| a.check.cmp(&b.check));
    pages
}

fn file_name(check: &str) -> String {
    format!("{}.md", check.replace('/', "-"))
}

fn page(text: &str) -> Result<Page, String> {
    let mut sections = text.split("\n## ");
    let head = sections.next().unwrap_or_default();
    let (title, rest) = head.split_once('\n').ok_or("it has no text")?;
    let check = title.strip_prefix("# ").ok_or("it begins with `# family/name`")?.to_owned();
    let paragraph = rest.trim().split("\n\n").next().unwrap_or_default().replace('\n', " ");
    let summary = paragraph.split_inclusive(". ").next().unwrap_or_default().trim().to_owned();
    if !(summary.ends_with('.') && (20..160).contains(&summary.len())) {
        return Err(format!("the first sentence stands in the overview, so it says what is reported: `{summary}`"));
    }
    let mut page = Page { check, summary, examples: BTreeMap::new() };
    let mut headings = Vec::new();
    for section in sections {
        let (heading, body) = section.split_once('\n').ok_or("a section is empty")?;
        headings.push(heading);
        match heading {
            "Allow an exception" => {}
            _ => drop(page.examples.insert(heading.to_owned(), files(body)?)),
        }
    }
    let wanted = if is_without_examples(&page.check) {
        &["Allow an exception"][..]
    } else {
        &["Reported", "Passes", "Allow an exception"]
    };
    if headings == wanted { Ok(page) } else { Err(format!("its sections are {headings:?}, expected {wanted:?}")) }
}

/// The fenced blocks of a section, as files.
fn files(section: &str) -> Result<Vec<(String, String)>, String> {
    let mut files = Vec::new();
    let mut rest = section;
    while let Some((_, block)) = rest.split_once("```") {
        let (body, after) = block.split_once("\n```").ok_or("a block has no end")?;
        let (kind, body) = body.split_once('\n').ok_or("a block is empty")?;
        let extension =
            ["yaml", "json"].into_iter().find(|known| *known == kind).ok_or("a block is no yaml or json")?;
        files.push((format!("example-{}.{extension}", files.len() + 1), format!("{body}\n")));
        rest = after;
    }
    if files.is_empty() { Err("a section has no example".to_owned()) } else { Ok(files) }
}

fn folder() -> PathBuf {
    root().join("docs/checks")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the repository").to_owned()
}
