//! Rules and dashboards that are right, made wrong in one place: how many of the mistakes does rulecheck find?
//!
//! They are this repository's own and the passing examples of `docs/checks/`. Each mutator makes one kind of mistake that
//! people make. `cargo test --test mutation -- --nocapture` prints the table, and what is not found.

mod mutators;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use mutators::{MUTATORS, Mutator, Part};
use regex::{Captures, Regex};
use rulecheck::query::parse_expr;
use rulecheck::{Contract, Dashboard, Finding, Rule, RuleFile, Settings, checks};

/// The share of the mutants that must be found, in percent.
const FOUND: usize = 90;
/// Fewer mutants would prove little.
const MUTANTS: usize = 1000;

#[test]
fn most_mistakes_are_found() {
    let mut missed = Vec::new();
    let mut rows = vec![(0_usize, 0_usize); MUTATORS.len()];
    for mut world in worlds() {
        let baseline = world.findings();
        for (row, mutator) in rows.iter_mut().zip(&MUTATORS) {
            let changes = Changes::of(mutator);
            let of_rules = world.with_rules_changed(&changes);
            let all = of_rules.into_iter().chain(world.with_boards_changed(&changes));
            for (mutant, findings) in all {
                // A mistake that only makes an exception useless is not found.
                let is_new = |finding: &(&str, String)| finding.0 != "exception/unused" && !baseline.contains(finding);
                row.0 += 1;
                match findings.iter().any(is_new) {
                    true => row.1 += 1,
                    false => missed.push(format!("{}: {mutant}", mutator.name)),
                }
            }
        }
    }
    report(&rows, &missed);
    let (all, found) = sums(&rows);
    let idle: Vec<&str> =
        MUTATORS.iter().zip(&rows).filter(|(_, row)| row.0 == 0).map(|(mutator, _)| mutator.name).collect();
    assert!(idle.is_empty(), "nothing to change for: {idle:?}");
    assert!(all >= MUTANTS, "only {all} mutants");
    assert!(found * 100 >= all * FOUND, "{found} of {all} mutants found");
}

fn report(rows: &[(usize, usize)], missed: &[String]) {
    eprintln!("{:<45} {:>7} {:>6}", "mistake", "mutants", "found");
    for (mutator, (all, found)) in MUTATORS.iter().zip(rows) {
        eprintln!("{:<45} {all:>7} {found:>6}", mutator.name);
    }
    let (all, found) = sums(rows);
    eprintln!("{:<45} {all:>7} {found:>6}\n", "all");
    missed.iter().for_each(|line| eprintln!("missed: {line}"));
}

fn sums(rows: &[(usize, usize)]) -> (usize, usize) {
    rows.iter().fold((0, 0), |(all, found), row| (all + row.0, found + row.1))
}

/// A mutator, ready to be used.
struct Changes<'m> {
    mutator: &'m Mutator,
    pattern: Regex,
    not_after: Option<Regex>,
}

impl Changes<'_> {
    fn of(mutator: &Mutator) -> Changes<'_> {
        let regex = |pattern| Regex::new(pattern).expect("a regular expression");
        Changes { mutator, pattern: regex(mutator.pattern), not_after: mutator.not_after.map(regex) }
    }

    /// The text with the mistake in it, once for every place.
    fn of_text(&self, text: &str) -> Vec<String> {
        if self.mutator.everywhere {
            let changed = self.pattern.replace_all(text, self.mutator.replacement);
            return if changed == text { Vec::new() } else { vec![changed.into_owned()] };
        }
        let right_before = |place: usize| self.not_after.as_ref().is_some_and(|before| before.is_match(&text[..place]));
        let change = |captures: Captures<'_>| {
            let (mut with, whole) = (String::new(), captures.get(0)?);
            captures.expand(self.mutator.replacement, &mut with);
            let changed = format!("{}{with}{}", &text[..whole.start()], &text[whole.end()..]);
            (!right_before(whole.start()) && changed != text).then_some(changed)
        };
        self.pattern.captures_iter(text).filter_map(change).collect()
    }

    fn of_rule(&self, rule: &Rule) -> Vec<(Field, String)> {
        let field = |field: Field, text: &str| -> Vec<(Field, String)> {
            self.of_text(text).into_iter().map(|text| (field.clone(), text)).collect()
        };
        match self.mutator.part {
            Part::Expr => {
                // What promtool would refuse is not for rulecheck to find.
                let parses = |text: &String| parse_expr(text).is_ok_and(|ast| ast != rule.ast);
                let mistakes = field(Field::Expr, &rule.expr).into_iter();
                mistakes.filter(|(_, text)| parses(text) && (self.mutator.applies)(text)).collect()
            }
            Part::Annotations => {
                rule.annotations.iter().flat_map(|(name, text)| field(Field::Annotation(name.clone()), text)).collect()
            }
            Part::Severity => {
                rule.labels.get("severity").map_or_else(Vec::new, |text| field(Field::Label("severity".into()), text))
            }
            Part::Namespace if rule.record().is_none() && (self.mutator.applies)(&rule.expr) => {
                vec![(Field::Label("namespace".into()), self.mutator.replacement.into())]
            }
            Part::Hold => rule.hold.as_ref().map_or_else(Vec::new, |text| field(Field::Hold, text)),
            Part::Record => rule.record().map_or_else(Vec::new, |text| field(Field::Name, text)),
            Part::Namespace | Part::Board => Vec::new(),
        }
    }
}

/// A part of a rule that holds a text.
#[derive(Clone)]
enum Field {
    Expr,
    Annotation(String),
    Label(String),
    Hold,
    Name,
}

/// Puts a text into a rule, or takes it out, and gives back what was there.
fn put(rule: &mut Rule, field: &Field, text: Option<String>) -> Option<String> {
    let swap = |texts: &mut BTreeMap<String, String>, name: &String, text: Option<String>| match text {
        Some(text) => texts.insert(name.clone(), text),
        None => texts.remove(name),
    };
    match field {
        Field::Annotation(name) => swap(&mut rule.annotations, name, text),
        Field::Label(name) => swap(&mut rule.labels, name, text),
        Field::Hold => std::mem::replace(&mut rule.hold, text),
        Field::Name => Some(std::mem::replace(&mut rule.name, text.unwrap_or_default())),
        Field::Expr => {
            let text = text.unwrap_or_default();
            rule.ast = parse_expr(&text).expect("it was parsed before");
            Some(std::mem::replace(&mut rule.expr, text))
        }
    }
}

/// What is found: the check and its message.
type Found = Vec<(&'static str, String)>;

/// Files that are checked together.
struct World {
    contract: Rc<Contract>,
    rules: Vec<RuleFile>,
    /// How many of the rule files are changed; what they need comes behind them.
    changed: usize,
    boards: Vec<Dashboard>,
    /// The texts of the dashboards.
    texts: Vec<(String, String)>,
}

impl World {
    fn new(contract: &Rc<Contract>, changed: usize, files: &[(String, String)]) -> World {
        let mut findings = Vec::new();
        let texts: Vec<(String, String)> = files.iter().filter(|(path, _)| path.ends_with(".json")).cloned().collect();
        let rules = files.iter().filter(|(_, text)| text.contains("groups:"));
        let rules = rules.filter_map(|(path, text)| RuleFile::parse(path, text, &mut findings)).collect();
        let boards = texts.iter().filter_map(|(path, text)| Dashboard::parse(path, text, &mut findings)).collect();
        assert_eq!(findings, [], "the files are readable");
        World { contract: contract.clone(), rules, changed, boards, texts }
    }

    fn findings(&self) -> Found {
        let settings = Settings { evaluation_interval: Some(30.0), retention: Some(15.0 * 86_400.0) };
        named(checks::run(&self.rules, &self.boards, &[], &self.contract, &settings))
    }

    /// What is found with each changed rule, which is named.
    fn with_rules_changed(&mut self, changes: &Changes<'_>) -> Vec<(String, Found)> {
        let mut all = Vec::new();
        for (file, group, index) in places(&self.rules[..self.changed]) {
            for (field, text) in changes.of_rule(&self.rules[file].groups[group].rules[index]) {
                let rule = &mut self.rules[file].groups[group].rules[index];
                let name = format!("{}: {}", rule.name, text.split_whitespace().collect::<Vec<_>>().join(" "));
                let before = put(rule, &field, Some(text));
                all.push((name, self.findings()));
                put(&mut self.rules[file].groups[group].rules[index], &field, before);
            }
        }
        all
    }

    /// What is found with each changed dashboard, of which the changed line is told.
    fn with_boards_changed(&mut self, changes: &Changes<'_>) -> Vec<(String, Found)> {
        let mut all = Vec::new();
        if changes.mutator.part != Part::Board {
            return all;
        }
        for (index, (path, text)) in self.texts.clone().into_iter().enumerate() {
            for changed in changes.of_text(&text) {
                let mut findings = Vec::new();
                let line = changed.lines().zip(text.lines()).find(|(new, old)| new != old);
                let name = format!("{path}: {}", line.map_or("", |(new, _)| new.trim()));
                if let Some(board) = Dashboard::parse(&path, &changed, &mut findings) {
                    let before = std::mem::replace(&mut self.boards[index], board);
                    findings.extend(checks::link::check(&self.boards, &std::collections::BTreeSet::new()));
                    all.push((name, [self.findings(), named(findings)].concat()));
                    self.boards[index] = before;
                } else {
                    all.push((name, named(findings)));
                }
            }
        }
        all
    }
}

fn named(findings: Vec<Finding>) -> Found {
    findings.into_iter().map(|finding| (finding.check, finding.message)).collect()
}

fn places(files: &[RuleFile]) -> Vec<(usize, usize, usize)> {
    let mut places = Vec::new();
    for (f, file) in files.iter().enumerate() {
        for (g, group) in file.groups.iter().enumerate() {
            places.extend((0..group.rules.len()).map(|r| (f, g, r)));
        }
    }
    places
}

/// Each of the repository's rule files with the recording rules that it may read, and its dashboards, with its contract;
/// and each passing example with the examples' contract.
fn worlds() -> Vec<World> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the repository");
    let own = contract(&read(&root.join("metrics"), "yaml"));
    let rules = read(&root.join("alerts"), "yaml");
    let recorders = || rules.iter().filter(|(_, text)| text.contains("- record: ")).cloned();
    let with_recorders = |file: &(String, String)| -> Vec<(String, String)> {
        [file.clone()].into_iter().chain(recorders().filter(|other| other != file)).collect()
    };
    let mut worlds: Vec<World> = rules.iter().map(|file| World::new(&own, 1, &with_recorders(file))).collect();
    let boards: Vec<(String, String)> = recorders().chain(read(&root.join("dashboards"), "json")).collect();
    worlds.push(World::new(&own, 0, &boards));
    let of_examples = contract(&read(&root.join("docs/checks"), "yaml"));
    for (path, text) in read(&root.join("docs/checks"), "md") {
        let passes = text.split_once("## Passes").map_or("", |(_, rest)| rest.split("\n## ").next().unwrap_or(""));
        let blocks = passes.split("```").skip(1).step_by(2).filter_map(|block| block.split_once('\n'));
        let files: Vec<(String, String)> =
            blocks.map(|(kind, body)| (format!("{path}.{kind}"), body.to_owned())).collect();
        let changed = files.iter().filter(|(_, text)| text.contains("groups:")).count();
        worlds.push(World::new(&of_examples, changed, &files));
    }
    worlds
}

fn contract(files: &[(String, String)]) -> Rc<Contract> {
    let mut findings = Vec::new();
    let contract = Contract::parse(files.iter().map(|(path, text)| (path.as_str(), text.as_str())), &mut findings);
    assert_eq!(findings, [], "the contract is readable");
    Rc::new(contract)
}

/// The files of one extension right in a folder, sorted; dashboards' exceptions are none of them.
fn read(folder: &Path, extension: &str) -> Vec<(String, String)> {
    let entries = fs::read_dir(folder).expect("the folder is there");
    let paths = entries.map(|entry| entry.expect("the entry is readable").path());
    let mut paths: Vec<PathBuf> = paths.filter(|path| path.extension().is_some_and(|e| e == extension)).collect();
    paths.sort();
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    paths.iter().map(|path| (name(path), fs::read_to_string(path).expect("the file is readable"))).collect()
}
