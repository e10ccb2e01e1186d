//! Rules that are right, made wrong in one place: how many of the mistakes does rulecheck find?
//!
//! The rules are this repository's own and the passing examples of `docs/checks/`. Each mutator makes one kind of
//! mistake that people make. `cargo test --test mutation -- --nocapture` prints the table.

use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;
use rulecheck::query::parse_expr;
use rulecheck::{Contract, Finding, Rule, RuleFile, Settings, checks};

/// The share of the mutants that must be found, in percent.
const FOUND: usize = 90;
/// Fewer mutants would prove little.
const MUTANTS: usize = 300;

/// One kind of mistake: what is changed, and into what. Every place where the pattern matches makes a mutant.
struct Mutator {
    name: &'static str,
    part: Part,
    pattern: &'static str,
    replacement: &'static str,
}

/// The part of a rule that is changed.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    Expr,
    Annotations,
    Labels,
    Hold,
}

const fn expr(name: &'static str, pattern: &'static str, replacement: &'static str) -> Mutator {
    Mutator { name, part: Part::Expr, pattern, replacement }
}

const MUTATORS: [Mutator; 26] = [
    expr("a metric's name misspelt", r"\b([a-z]+_[a-z_]+?)(_total|_bucket|_count|_bytes|_replicas)\b", "${1}s$2"),
    expr("a label misspelt in a matcher", r#"([{,]\s*[a-z_]+)(=~?"[^"$]+")"#, "${1}s$2"),
    expr("a value that is never there", r#"((?:status|step_type|phase|code)=~?")([^"$]+")"#, "${1}no-$2"),
    expr("the job of another program", r#"job="[a-z-]+""#, r#"job="node""#),
    expr("delta for rate", r"\brate\(", "delta("),
    expr("deriv for rate", r"\brate\(", "deriv("),
    expr("increase left out", r"\bincrease\(([a-z_:]+(?:\{[^}]*\})?)\[[0-9a-z]+\]\)", "$1"),
    expr("rate left out", r"\brate\(([a-z_:]+(?:\{[^}]*\})?)\[[0-9a-z]+\]\)", "$1"),
    expr("le left out", r"by \(([a-z_, ]*), le\)", "by ($1)"),
    expr("a quantile in percent", r"histogram_quantile\(0\.9[0-9]*,", "histogram_quantile(95,"),
    expr("a quantile of sums", r"_bucket\b", "_sum"),
    expr("a threshold beyond the last bucket", r"(histogram_quantile\([^#]*?\)\)?\s*>)\s*[0-9.]+", "$1 4000"),
    expr(
        "aggregation left out on one side",
        r"sum by \([a-z_, ]+\) (\((?:rate|increase)\([a-z_:]+(?:\{[^}]*\})?\[[0-9a-z]+\]\)\))",
        "$1",
    ),
    expr("everything added up on one side", r"\b(sum|max|min) by \([a-z_, ]+\)", "$1"),
    expr("another label on one side", r"\b(sum|max|min) by \([a-z_, ]+\)", "$1 by (pod)"),
    expr("a set operator without on", r"\b(and|unless) on \([a-z_, ]+\)", "$1"),
    expr("a join on a label of one side", r"\bon \(namespace(?:, [a-z]+)?\)", "on (tenant_id)"),
    expr("a ratio that cannot be reached", r"> 0\.[0-9]+", "> 1.1"),
    expr("a comparison that always holds", r"(increase|rate)(\([^()]*\)\)?) > 0\b", "$1$2 >= 0"),
    expr("a range shorter than two scrapes", r"\[[0-9]+m\]", "[10s]"),
    Mutator {
        name: "a label that was aggregated away",
        part: Part::Annotations,
        pattern: r"\$labels\.[a-z_]+",
        replacement: "$$labels.instance",
    },
    Mutator {
        name: "a percentage of what is no ratio",
        part: Part::Annotations,
        pattern: r"\$value \| (humanizeDuration|humanize\b|printf [^}]*)",
        replacement: "$$value | humanizePercentage ",
    },
    Mutator {
        name: "a duration of what is no time",
        part: Part::Annotations,
        pattern: r"\$value \| humanizePercentage",
        replacement: "$$value | humanizeDuration",
    },
    Mutator {
        name: "a severity that nobody routes",
        part: Part::Labels,
        pattern: r"^(warning|critical|info)$",
        replacement: "page",
    },
    Mutator {
        name: "the namespace overwritten",
        part: Part::Labels,
        pattern: r"^(warning|critical|info)$",
        replacement: "NAMESPACE",
    },
    Mutator { name: "a condition shorter than a scrape", part: Part::Hold, pattern: r"^[0-9]+m$", replacement: "5s" },
];

#[test]
fn most_mistakes_are_found() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the repository");
    let mut missed = Vec::new();
    let mut rows = vec![(0_usize, 0_usize); MUTATORS.len()];
    for (contract, mut files) in worlds(root) {
        let baseline = find(&contract, &files);
        for (row, mutator) in rows.iter_mut().zip(&MUTATORS) {
            for place in places(&files) {
                for mutant in mutants(rule_at(&mut files, place), mutator) {
                    let original = apply(rule_at(&mut files, place), mutant.clone());
                    let found = find(&contract, &files).into_iter().any(|finding| !baseline.contains(&finding));
                    apply(rule_at(&mut files, place), original);
                    row.0 += 1;
                    row.1 += usize::from(found);
                    if !found {
                        missed.push(format!(
                            "{}: {}: {}",
                            mutator.name,
                            rule_at(&mut files, place).name,
                            mutant.text()
                        ));
                    }
                }
            }
        }
    }
    report(&rows, &missed);
    let (all, found) = rows.iter().fold((0, 0), |(all, found), row| (all + row.0, found + row.1));
    assert!(all >= MUTANTS, "only {all} mutants");
    assert!(found * 100 >= all * FOUND, "{found} of {all} mutants found");
}

fn report(rows: &[(usize, usize)], missed: &[String]) {
    eprintln!("{:<45} {:>7} {:>6}", "mistake", "mutants", "found");
    for (mutator, (all, found)) in MUTATORS.iter().zip(rows) {
        eprintln!("{:<45} {all:>7} {found:>6}", mutator.name);
    }
    let (all, found) = rows.iter().fold((0, 0), |(all, found), row| (all + row.0, found + row.1));
    eprintln!("{:<45} {all:>7} {found:>6}\n", "all");
    missed.iter().for_each(|line| eprintln!("missed: {line}"));
}

/// A changed part of a rule, ready to be put in its place.
#[derive(Clone)]
enum Mutant {
    Expr(String),
    Annotation(String, String),
    Label(String, String),
    Hold(String),
    Relabelled(Box<Mutant>),
}

impl Mutant {
    fn text(&self) -> String {
        match self {
            Mutant::Expr(text) | Mutant::Hold(text) => text.split_whitespace().collect::<Vec<_>>().join(" "),
            Mutant::Annotation(name, text) | Mutant::Label(name, text) => format!("{name}: {text}"),
            Mutant::Relabelled(inner) => inner.text(),
        }
    }
}

fn mutants(rule: &Rule, mutator: &Mutator) -> Vec<Mutant> {
    let pattern = Regex::new(mutator.pattern).expect("the pattern is a regular expression");
    let changed = |text: &str| -> Vec<String> {
        let all = pattern.captures_iter(text).map(|captures| {
            let (mut expanded, whole) = (String::new(), captures.get(0).expect("group 0 is the match"));
            captures.expand(mutator.replacement, &mut expanded);
            format!("{}{expanded}{}", &text[..whole.start()], &text[whole.end()..])
        });
        all.collect()
    };
    match mutator.part {
        Part::Expr => {
            let parsed = changed(&rule.expr).into_iter().filter(|text| parse_expr(text).is_ok());
            // What promtool would refuse is not for rulecheck to find.
            parsed.filter(|text| parse_expr(text).ok().as_ref() != Some(&rule.ast)).map(Mutant::Expr).collect()
        }
        Part::Annotations => {
            let all = rule
                .annotations
                .iter()
                .flat_map(|(name, text)| changed(text).into_iter().map(move |text| (name.clone(), text)));
            all.map(|(name, text)| Mutant::Annotation(name, text)).collect()
        }
        Part::Labels => {
            let severity = rule.labels.get("severity").map(|text| changed(text)).unwrap_or_default();
            let all = severity.into_iter().map(|text| match text.as_str() {
                "NAMESPACE" => Mutant::Label("namespace".into(), "gorax".into()),
                _ => Mutant::Label("severity".into(), text),
            });
            all.collect()
        }
        Part::Hold => rule.hold.iter().flat_map(|text| changed(text)).map(Mutant::Hold).collect(),
    }
}

/// Puts a mutant into its rule and gives back what was there.
fn apply(rule: &mut Rule, mutant: Mutant) -> Mutant {
    match mutant {
        Mutant::Expr(text) => {
            rule.ast = parse_expr(&text).expect("a mutant parses");
            Mutant::Expr(std::mem::replace(&mut rule.expr, text))
        }
        Mutant::Annotation(name, text) => {
            let old = rule.annotations.insert(name.clone(), text).unwrap_or_default();
            Mutant::Annotation(name, old)
        }
        Mutant::Label(name, text) => match rule.labels.insert(name.clone(), text) {
            Some(old) => Mutant::Label(name, old),
            None => Mutant::Relabelled(Box::new(Mutant::Label(name, String::new()))),
        },
        Mutant::Relabelled(inner) => {
            if let Mutant::Label(name, _) = inner.as_ref() {
                rule.labels.remove(name);
            }
            *inner
        }
        Mutant::Hold(text) => Mutant::Hold(rule.hold.replace(text).unwrap_or_default()),
    }
}

fn find(contract: &Contract, files: &[RuleFile]) -> Vec<(&'static str, String)> {
    let findings = checks::run(files, &[], &[], contract, &Settings::default());
    // A mistake that only makes an exception useless is not found.
    findings
        .into_iter()
        .filter(|finding| finding.check != "exception/unused")
        .map(|f: Finding| (f.check, f.message))
        .collect()
}

type Place = (usize, usize, usize);

fn places(files: &[RuleFile]) -> Vec<Place> {
    let mut places = Vec::new();
    for (f, file) in files.iter().enumerate() {
        for (g, group) in file.groups.iter().enumerate() {
            places.extend((0..group.rules.len()).map(|r| (f, g, r)));
        }
    }
    places
}

fn rule_at(files: &mut [RuleFile], (f, g, r): Place) -> &mut Rule {
    &mut files[f].groups[g].rules[r]
}

/// The repository's rules with its contract, and each passing example with the examples' contract.
fn worlds(root: &Path) -> Vec<(Contract, Vec<RuleFile>)> {
    let mut worlds = vec![(contract(&yaml_files(&root.join("metrics"))), rules(&yaml_files(&root.join("alerts"))))];
    for (path, text) in read(&root.join("docs/checks"), "md") {
        let Some((_, passes)) = text.split_once("## Passes") else { continue };
        let Some(example) = passes.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()) else {
            continue;
        };
        if example.starts_with("groups:") {
            let files = rules(&[(path, example.to_owned())]);
            worlds.push((contract(&read(&root.join("docs/checks"), "yaml")), files));
        }
    }
    worlds
}

fn contract(files: &[(PathBuf, String)]) -> Contract {
    let mut findings = Vec::new();
    let named: Vec<(String, &str)> =
        files.iter().map(|(path, text)| (path.display().to_string(), text.as_str())).collect();
    let contract = Contract::parse(named.iter().map(|(path, text)| (path.as_str(), *text)), &mut findings);
    assert_eq!(findings, [], "the contract is readable");
    contract
}

fn rules(files: &[(PathBuf, String)]) -> Vec<RuleFile> {
    let mut findings = Vec::new();
    let parsed =
        files.iter().filter_map(|(path, text)| RuleFile::parse(&path.display().to_string(), text, &mut findings));
    let parsed = parsed.collect();
    assert_eq!(findings, [], "the rules are readable");
    parsed
}

fn yaml_files(folder: &Path) -> Vec<(PathBuf, String)> {
    read(folder, "yaml")
}

/// The files of one extension right in a folder, sorted.
fn read(folder: &Path, extension: &str) -> Vec<(PathBuf, String)> {
    let entries = fs::read_dir(folder).expect("the folder is there");
    let paths = entries.map(|entry| entry.expect("the entry is readable").path());
    let mut paths: Vec<PathBuf> = paths.filter(|path| path.extension().is_some_and(|e| e == extension)).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read_to_string(&path).expect("the file is readable"))).collect()
}
