//! `alert/untested`: every alert has a unit test in which it fires and one in which it stays silent.
//!
//! promtool itself passes a test with a misspelt alert name, and a list of rule files that matches none; both are
//! findings here. So is a test that asks for all `ALERTS` and leaves a rule file out.

use std::collections::{BTreeMap, BTreeSet};

use rulecheck::Finding;

use crate::model::Model;
use crate::model::unit_tests::TestFile;
use crate::sources::Sources;

#[derive(Default)]
struct Seen {
    fires: bool,
    silent: bool,
}

pub(super) fn check(sources: &Sources, model: &Model) -> Vec<Finding> {
    let mut findings = Vec::new();
    let names: BTreeSet<&str> = model.alerts().map(|(_, _, rule)| rule.name.as_str()).collect();
    let mut seen: BTreeMap<String, Seen> = BTreeMap::new();
    for file in &model.tests {
        read(file, sources, &names, &mut seen, &mut findings);
    }
    for (file, _, rule) in model.alerts() {
        let seen = seen.get(&rule.name);
        let lacks = match (seen.is_some_and(|seen| seen.fires), seen.is_some_and(|seen| seen.silent)) {
            (true, true) => continue,
            (true, false) => "stays silent",
            (false, true) => "fires",
            (false, false) => "fires, nor one in which it stays silent",
        };
        let message = format!("no test shows a situation in which it {lacks}");
        findings.push(
            Finding::error(&file.path, rule.line, "alert/untested", message)
                .about(rule.subject())
                .help("add one to alerts/tests, in promtool's format"),
        );
    }
    findings
}

fn read(
    file: &TestFile,
    sources: &Sources,
    names: &BTreeSet<&str>,
    seen: &mut BTreeMap<String, Seen>,
    findings: &mut Vec<Finding>,
) {
    let path = file.path.as_str();
    let text = sources.text(path).unwrap_or_default();
    let line_of = |needle: &str| text.lines().position(|line| line.contains(needle)).map_or(1, |index| index + 1);
    for rule_file in &file.rule_files {
        let found =
            rule_file.strip_prefix("../").is_some_and(|name| sources.bytes(&format!("alerts/{name}")).is_some());
        if !found {
            let message = format!("there is no rule file `{rule_file}`; promtool would pass without it");
            findings.push(
                Finding::error(path, line_of(rule_file), "alert/untested", message).help("name it as ../<file>.yaml"),
            );
        }
    }
    for rule_file in left_out(file, sources) {
        let message = format!("the tests ask for all alerts, but those of `{rule_file}` are not there");
        let help = format!("add ../{rule_file} to rule_files, and its groups to group_eval_order");
        findings.push(Finding::error(path, line_of("rule_files:"), "alert/untested", message).help(help));
    }
    for test in file.tests.iter().flat_map(|test| &test.alert_rule_test) {
        if !names.contains(test.alertname.as_str()) {
            let message = format!("there is no alert `{}`; promtool would pass without it", test.alertname);
            findings.push(Finding::error(path, line_of(&test.alertname), "alert/untested", message));
        }
        let seen = seen.entry(test.alertname.clone()).or_default();
        if test.fires() {
            seen.fires = true;
        } else {
            seen.silent = true;
        }
    }
}

/// The rule files whose alerts a test file would not see that asks for all `ALERTS`.
fn left_out<'a>(file: &TestFile, sources: &'a Sources) -> Vec<&'a str> {
    if !file.tests.iter().any(|test| test.of_all_alerts().is_some()) {
        return Vec::new();
    }
    let all = sources.below("alerts").filter_map(|path| path.strip_prefix("alerts/"));
    let is_named = |name: &&str| file.rule_files.iter().any(|named| named.strip_prefix("../") == Some(name));
    all.filter(|name| !name.contains('/') && !is_named(name)).collect()
}
