//! amtool and rulecheck on the same Alertmanager configurations: what one refuses the other refuses, and where one
//! sends an alert the other sends it.

use std::fmt::Write as _;

use anyhow::{Context as _, Result, ensure};
use rulecheck::Alertmanager;
use rulecheck::alertmanager::Certainty;
use rulecheck::infer::{Domain, Label, Labels};
use xshell::cmd;

use super::{Case, Context};
use crate::tools::AMTOOL;

/// How many configurations are made, and how many alerts go through each.
const CONFIGURATIONS: u64 = 240;
const ALERTS: usize = 2;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("amtool config routes test agrees with rulecheck", &[AMTOOL], routes),
        Case::new("amtool check-config agrees with rulecheck", &[AMTOOL], refused),
    ]
}

fn routes(context: &Context) -> Result<()> {
    let amtool = context.tool(AMTOOL)?;
    let file = context.temporary.path().join("alertmanager.yml");
    let mut several = 0;
    for seed in 1..=CONFIGURATIONS {
        let mut dice = Dice(seed);
        let text = configuration(&mut dice);
        context.shell.write_file(&file, &text)?;
        let mut findings = Vec::new();
        let config = Alertmanager::parse("alertmanager.yml", &text, &mut findings);
        let config = config.with_context(|| format!("{findings:?} in\n{text}"))?;
        for _ in 0..ALERTS {
            let alert = alert(&mut dice);
            let labels: Vec<String> = alert.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
            let theirs = cmd!(context.shell, "{amtool} config routes test --config.file {file} {labels...}");
            let theirs = theirs.quiet().ignore_stderr().read()?;
            // Above it stand warnings about matchers that only the older parser reads.
            let theirs = theirs.lines().last().unwrap_or_default();
            let ours = receivers(&config, &alert)?;
            ensure!(theirs == ours, "{alert:?}: amtool says {theirs}, rulecheck {ours} of\n{text}");
            several += usize::from(ours.contains(','));
        }
    }
    // Were no alert sent to several receivers, `continue` would not be tried.
    ensure!(several > 20, "only {several} alerts go to several receivers");
    Ok(())
}

fn receivers(config: &Alertmanager, alert: &[(&str, &str)]) -> Result<String> {
    let mut labels = Labels::none("nothing sets it");
    alert.iter().for_each(|(name, value)| labels.set(*name, Label::always(Domain::one(value))));
    let reached = config.receivers(&labels);
    ensure!(reached.iter().all(|(_, certainty)| *certainty == Certainty::Always), "{alert:?} is all that is asked");
    let names: Vec<&str> = reached.iter().map(|(route, _)| route.receiver.as_str()).collect();
    Ok(names.join(","))
}

/// Numbers that are the same on every run. Source: Marsaglia's xorshift.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: u64) -> u64 {
        // Seeds beside each other give first numbers beside each other.
        self.0 = self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % sides
    }

    fn one_of<T: Copy>(&mut self, values: &[T]) -> T {
        values[usize::try_from(self.below(values.len() as u64)).unwrap_or_default()]
    }
}

const NAMES: [&str; 4] = ["severity", "team", "pod", "größe"];

fn alert(dice: &mut Dice) -> Vec<(&'static str, &'static str)> {
    let names = NAMES.into_iter().filter(|_| dice.below(4) > 0).collect::<Vec<_>>();
    names.into_iter().map(|name| (name, dice.one_of(&["a", "b", "ab", "a b", "a|b"]))).collect()
}

fn configuration(dice: &mut Dice) -> String {
    let mut text = "route:\n  receiver: r0\n".to_owned();
    routes_within(dice, 1, &mut text);
    text.push_str("receivers: [{name: r0}, {name: r1}, {name: r2}, {name: r3}]\n");
    text
}

/// Writes the routes within a route; writing into a string cannot fail.
fn routes_within(dice: &mut Dice, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    let _ = writeln!(text, "{indent}routes:");
    for _ in 0..=dice.below(4) {
        let _ = writeln!(text, "{indent}- continue: {}", dice.one_of(&["true", "false", "yes", "off"]));
        if dice.below(4) > 0 {
            let _ = writeln!(text, "{indent}  receiver: r{}", dice.below(4));
        }
        let value = dice.one_of(&["a", "b", "ab"]);
        let expression = dice.one_of(&["a", "a|b", "a.*", ".+", ".*", "[ab]+", "b?", "a\\sb"]);
        let _ = match dice.below(6) {
            0 => writeln!(text, "{indent}  match: {{{}: {value}}}", dice.one_of(&NAMES[..3])),
            1 => writeln!(text, "{indent}  match_re: {{{}: '{expression}'}}", dice.one_of(&NAMES[..3])),
            _ => writeln!(text, "{indent}  matchers: ['{}']", matchers(dice)),
        };
        if depth < 4 && dice.below(3) == 0 {
            routes_within(dice, depth + 1, text);
        }
    }
}

/// One or two matchers, in one of the spellings that Alertmanager takes.
fn matchers(dice: &mut Dice) -> String {
    let one = |dice: &mut Dice| {
        let (name, operator) = (dice.one_of(&NAMES), dice.one_of(&["=", "!=", "=~", "!~"]));
        let value = match operator {
            "=" | "!=" => {
                dice.one_of(&["a", "b", "ab", "\"a b\"", "\"\"", "\"a|b\"", "a=b", "\"a\\\\b\"", "\"\\x61\"", ""])
            }
            _ => dice.one_of(&[
                "a",
                "a|b",
                "\"a.*\"",
                ".+",
                "\".*\"",
                "\"[ab]+\"",
                "\"b?\"",
                "\"a\\sb\"",
                "\"a\\\\sb\"",
                "(a)b",
            ]),
        };
        // The older parser does not know this name, so nothing but the newer one's spelling is left.
        let value = if name.is_ascii() { value } else { dice.one_of(&["a", "\"a b\"", "\"\\x61\"", "\"a|b\""]) };
        match dice.below(3) {
            0 => format!("{name} {operator} {value} "),
            1 => format!("\"{name}\"{operator}\"{}\"", dice.one_of(&["a", "b", "ab"])),
            _ => format!("{name}{operator}{value}"),
        }
    };
    match dice.below(5) {
        0 => format!("{{{}}}", one(dice)),
        1 => format!("{{{}, severity=~\"a|b\",}}", one(dice)),
        2 => format!("{}, team!=\"b\"", one(dice)),
        _ => one(dice),
    }
}

/// Configurations with one defect each, and a few that only look as if they had one.
const REFUSED: [(&str, bool); 26] = [
    ("route: {receiver: a}\nreceivers: [{name: a}]\n", false),
    ("receivers: [{name: a}]\n", true),
    ("route: {}\nreceivers: [{name: a}]\n", true),
    ("route: {receiver: b}\nreceivers: [{name: a}]\n", true),
    ("route: {receiver: a}\nreceivers: [{name: a}, {name: a}]\n", true),
    ("route: {receiver: a}\nreceivers: [{name: null}]\n", true),
    ("route: {receiver: \"null\"}\nreceivers: [{name: \"null\"}]\n", false),
    ("route: {receiver: a, continue: true}\nreceivers: [{name: a}]\n", true),
    ("route: {receiver: a, matchers: [a=b]}\nreceivers: [{name: a}]\n", true),
    ("route: {receiver: a, match: {a: b}}\nreceivers: [{name: a}]\n", true),
    ("route: {receiver: a, routes: [{matchers: [a]}]}\nreceivers: [{name: a}]\n", true),
    ("route: {receiver: a, routes: [{matchers: ['a=~\"(\"']}]}\nreceivers: [{name: a}]\n", true),
    ("route: {receiver: a, routes: [{matchers: ['{a=b}}', 'a=b=c', 'a=']}]}\nreceivers: [{name: a}]\n", false),
    ("route: {receiver: a, routes: [{matchers: 'a=b'}]}\nreceivers: [{name: a}]\n", true),
    ("route: {receiver: a, routes: [{matchers: [{a: b}]}]}\nreceivers: [{name: a}]\n", true),
    ("route: {receiver: a, routes: [{match: {a: 1, b: true}}]}\nreceivers: [{name: a}]\n", false),
    ("route: {receiver: a, routes: [{match: {a-b: c}}]}\nreceivers: [{name: a}]\n", true),
    ("route: {receiver: a, routes: [{mute_time_intervals: [x]}]}\nreceivers: [{name: a}]\n", true),
    ("route: {receiver: a}\nreceivers: [{name: a}]\nmute_time_intervals: [x]\n", true),
    ("route: {receiver: a}\nreceivers: [{name: a}]\nmute_time_intervals: [{name: x, time_intervals: []}]\n", false),
    ("route: {receiver: a, group_by: [a, '...']}\nreceivers: [{name: a}]\n", true),
    ("route: {receiver: a, group_by: [a, a]}\nreceivers: [{name: a}]\n", true),
    ("route: {receiver: a, group_interval: 0s}\nreceivers: [{name: a}]\n", true),
    ("route: {receiver: a, group_wait: 0s, repeat_interval: 1h30m}\nreceivers: [{name: a}]\n", false),
    ("route: {receiver: a}\nreceivers: [{name: a, slack_config: []}]\n", true),
    ("route: {receiver: a}\nreceivers: [{name: a}]\ninhibit_rules: [{equal: ['']}]\n", true),
];

fn refused(context: &Context) -> Result<()> {
    let amtool = context.tool(AMTOOL)?;
    let file = context.temporary.path().join("alertmanager.yml");
    for (text, is_refused) in REFUSED {
        context.shell.write_file(&file, text)?;
        let theirs = cmd!(context.shell, "{amtool} check-config {file}").quiet().ignore_status().output()?;
        ensure!(theirs.status.success() != is_refused, "amtool: {}\n{text}", String::from_utf8_lossy(&theirs.stdout));
        let ours = Alertmanager::parse("alertmanager.yml", text, &mut Vec::new());
        ensure!(ours.is_none() == is_refused, "rulecheck does not agree with amtool on\n{text}");
    }
    Ok(())
}
