//! `alert/duplicate`: two alerts with the same condition, of which one never says anything that the other has not said:
//! written twice, a warning that never speaks before its critical variant, thresholds in the wrong order.
//!
//! Only what is certain is compared: expressions that are equal but for the numbers that their conditions compare with.
//! One thing more is likely: a name that another group has too, with the same severity and about the same metrics.

mod shape;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::alert::set_labels;
use crate::dashboard::Dashboard;
use crate::finding::Finding;
use crate::infer::World;
use crate::query::{metric_name, seconds, selectors};
use crate::rules::{Rule, RuleFile, RuleKind};
use shape::Shape;

pub(super) fn check(_: &World<'_>, files: &[RuleFile], _: &[Dashboard]) -> Vec<Finding> {
    let alerts: Vec<Alert<'_>> = files.iter().flat_map(alerts).collect();
    let mut known = Known::default();
    for alert in &alerts {
        known.add(alert);
    }
    let mut findings = Vec::new();
    let mut named: HashMap<_, Vec<&Alert<'_>>> = HashMap::new();
    for alert in &alerts {
        if let Some(finding) = known.problem(alert) {
            findings.push(finding);
            continue;
        }
        let of_name = named.entry((&alert.rule.name, alert.labels.get("severity"), alert.metrics())).or_default();
        let elsewhere = of_name.iter().find(|earlier| earlier.group() != alert.group());
        findings.extend(elsewhere.map(|earlier| same_name(earlier, alert)));
        // Two of different groups are enough: one of them is elsewhere for every other.
        if of_name.is_empty() || (of_name.len() == 1 && elsewhere.is_some()) {
            of_name.push(alert);
        }
    }
    findings
}

type Labels<'a> = BTreeMap<&'a str, &'a str>;

/// An alert as it is compared with others.
struct Alert<'a> {
    file: &'a str,
    group: &'a str,
    rule: &'a Rule,
    labels: Labels<'a>,
    /// The expression without the numbers that its conditions compare with.
    shape: String,
    /// Those numbers, each turned so that a larger one makes the condition rarer.
    thresholds: Vec<f64>,
    /// For how long the condition must hold, in seconds.
    hold: f64,
    /// For how long it goes on when the condition has ended, in seconds.
    keep: f64,
}

fn alerts(file: &RuleFile) -> impl Iterator<Item = Alert<'_>> {
    let rules = file.groups.iter().flat_map(|group| group.rules.iter().map(move |rule| (rule, group)));
    rules.filter(|(rule, _)| rule.kind == RuleKind::Alert).map(|(rule, group)| {
        let mut shape = Shape::default();
        shape.expr(&rule.ast, true);
        Alert {
            file: &file.path,
            group: &group.name,
            rule,
            labels: set_labels(rule, group),
            shape: shape.text,
            thresholds: shape.thresholds,
            hold: rule.hold.as_deref().and_then(seconds).unwrap_or(0.0),
            keep: rule.keep_firing_for.as_deref().and_then(seconds).unwrap_or(0.0),
        }
    })
}

impl<'a> Alert<'a> {
    /// How severe it is; `None` where the words cannot be ordered.
    fn rank(&self) -> Option<usize> {
        SEVERITIES.iter().position(|known| self.labels.get("severity") == Some(known))
    }

    /// Whether it fires whenever the other does, for as long and no later.
    fn covers(&self, other: &Alert<'_>) -> bool {
        let is_looser = self.thresholds.iter().zip(&other.thresholds).all(|(mine, theirs)| mine <= theirs);
        is_looser && self.hold <= other.hold && self.keep >= other.keep
    }

    fn metrics(&self) -> BTreeSet<&'a str> {
        selectors(&self.rule.ast).into_iter().filter_map(metric_name).collect()
    }

    fn group(&self) -> (&'a str, &'a str) {
        (self.file, self.group)
    }

    fn place(&self) -> String {
        format!("{} at {}:{}", self.rule.name, self.file, self.rule.line)
    }

    fn error(&self, message: String) -> Finding {
        Finding::error(self.file, self.rule.expr_line, "alert/duplicate", message).about(self.rule.subject())
    }
}

/// Severities in their order.
const SEVERITIES: [&str; 3] = ["info", "warning", "critical"];

/// Of the alerts that are compared with one another, those that no other covers. They cover whatever any of them does, so
/// that nobody has to be compared with all: with one threshold and one `for` it is a single alert.
#[derive(Default)]
struct Front<'a>(Vec<&'a Alert<'a>>);

/// More alerts of which none covers another are not compared, so that ten thousand of them do not take minutes.
const MAX_FRONT: usize = 50;

impl<'a> Front<'a> {
    fn add(&mut self, alert: &'a Alert<'a>) {
        if self.covering(alert).next().is_none() {
            self.0.retain(|known| !alert.covers(known));
            if self.0.len() < MAX_FRONT {
                self.0.push(alert);
            }
        }
    }

    fn covering(&self, alert: &Alert<'_>) -> impl Iterator<Item = &'a Alert<'a>> {
        self.0.iter().copied().filter(|known| known.covers(alert))
    }
}

/// All alerts, by what makes two of them alike.
#[derive(Default)]
struct Known<'a> {
    /// The first of each condition with its labels.
    first: HashMap<(&'a str, Vec<u64>, &'a Labels<'a>), &'a Alert<'a>>,
    /// By shape and severity.
    of_rank: HashMap<(&'a str, usize), Front<'a>>,
    /// By shape, name and labels.
    of_name: HashMap<(&'a str, &'a str, &'a Labels<'a>), Front<'a>>,
}

impl<'a> Known<'a> {
    fn add(&mut self, alert: &'a Alert<'a>) {
        self.first.entry(condition(alert)).or_insert(alert);
        self.of_name.entry((&alert.shape, &alert.rule.name, &alert.labels)).or_default().add(alert);
        if let Some(rank) = alert.rank() {
            self.of_rank.entry((&alert.shape, rank)).or_default().add(alert);
        }
    }

    /// What is wrong with an alert that another one covers.
    fn problem(&self, alert: &Alert<'_>) -> Option<Finding> {
        self.repeated(alert).or_else(|| self.preceded(alert)).or_else(|| self.contained(alert))
    }

    fn repeated(&self, alert: &Alert<'_>) -> Option<Finding> {
        let first = self.first.get(&condition(alert)).filter(|first| !std::ptr::eq(first.rule, alert.rule))?;
        let finding = alert.error(format!("the same condition and labels as {}", first.place()));
        let finding = finding.help("keep one of the two, or tell them apart by a label");
        Some(if first.rule.name == alert.rule.name { finding } else { finding.warning() })
    }

    fn preceded(&self, alert: &Alert<'_>) -> Option<Finding> {
        let more_severe = alert.rank()? + 1..SEVERITIES.len();
        let mut fronts = more_severe.filter_map(|rank| self.of_rank.get(&(alert.shape.as_str(), rank)));
        let other = fronts.find_map(|front| front.covering(alert).next())?;
        let (what, help) = match other.thresholds == alert.thresholds {
            true => ("same condition", "give the more severe one a rarer condition, or let it hold for longer"),
            false => ("looser threshold", "swap the two thresholds"),
        };
        let message = format!("never fires before {}, which is more severe and has the {what}", other.place());
        Some(alert.error(message).help(help))
    }

    fn contained(&self, alert: &Alert<'_>) -> Option<Finding> {
        let front = self.of_name.get(&(alert.shape.as_str(), alert.rule.name.as_str(), &alert.labels))?;
        let other = front.covering(alert).find(|other| other.thresholds != alert.thresholds)?;
        let message =
            format!("never fires without {}, which has the looser threshold and the same labels", other.place());
        Some(alert.error(message).help("take one of the two out, or make this one more severe").warning())
    }
}

/// What two alerts that are written twice have in common.
fn condition<'a>(alert: &'a Alert<'a>) -> (&'a str, Vec<u64>, &'a Labels<'a>) {
    // Adding zero makes one number of the two zeros.
    (&alert.shape, alert.thresholds.iter().map(|threshold| (threshold + 0.0).to_bits()).collect(), &alert.labels)
}

fn same_name(first: &Alert<'_>, second: &Alert<'_>) -> Finding {
    let message = format!("another alert of this name and severity looks at the same metrics: {}", first.place());
    second.error(message).help("keep the better of the two, or give them names that say how they differ").warning()
}

#[cfg(test)]
mod tests {
    use super::super::testing::of_rules;
    use super::*;
    use crate::Contract;

    /// What is found about two alerts, each with name, expression, `for` and severity.
    fn found(alerts: [(&str, &str, &str, &str); 2]) -> Vec<(String, String)> {
        let rules = alerts.map(|(name, expr, hold, severity)| {
            format!("      - {{alert: {name}, expr: \"{expr}\", for: {hold}, labels: {{severity: {severity}}}}}\n")
        });
        let found = of_rules(&rules.concat()).into_iter();
        found.map(|finding| (finding.severity.to_string(), finding.subject)).collect()
    }

    fn pair(severity: &str, subject: &str) -> Vec<(String, String)> {
        vec![(severity.to_owned(), format!("alert {subject}"))]
    }

    const FEW: &str = "sum by (namespace) (active_runs) > 5 and on (namespace) sum by (namespace) (pool_open) > 1";

    #[test]
    fn the_same_alert_twice_is_found_however_it_is_written() {
        let other = "(sum by (namespace) (active_runs)) > 5.0 and on (namespace) (sum(pool_open) by (namespace)) > 1";
        assert_eq!(found([("A", FEW, "5m", "info"), ("A", other, "9m", "info")]), pair("error", "A"));
        assert_eq!(found([("A", FEW, "5m", "info"), ("B", other, "5m", "info")]), pair("warning", "B"));
        let matched =
            ["tenant='1',pod='b'", "pod='b',tenant='1'"].map(|matchers| format!("sum(active_runs{{{matchers}}}) > 5"));
        assert_eq!(found([("A", &matched[0], "5m", "info"), ("A", &matched[1], "5m", "info")]), pair("error", "A"));
    }

    #[test]
    fn a_warning_speaks_before_its_critical_variant() {
        let more = FEW.replace("> 5", "> 50");
        assert_eq!(found([("A", FEW, "5m", "warning"), ("B", &more, "2m", "critical")]), []);
        assert_eq!(found([("A", &more, "5m", "warning"), ("B", FEW, "2m", "critical")]), pair("error", "A"));
        assert_eq!(found([("A", FEW, "5m", "warning"), ("B", FEW, "5m", "critical")]), pair("error", "A"));
        assert_eq!(found([("A", FEW, "5m", "warning"), ("B", FEW, "1h", "critical")]), []);
        assert_eq!(found([("A", &more, "5m", "warning"), ("B", FEW, "1h", "critical")]), []);
    }

    #[test]
    fn a_name_that_two_groups_have_is_found() {
        let group = |name: &str, severity: &str| {
            format!(
                "  - name: {name}\n    rules:\n      - {{alert: A, expr: \"max(active_runs) > 5\", for: 5m, labels: {{severity: {severity}}}}}\n"
            )
        };
        let first = "      - {alert: A, expr: \"sum(active_runs) > 5\", for: 5m, labels: {severity: info}}\n";
        let found = |severity: &str| of_rules(&format!("{first}{}", group("h", severity))).len();
        assert_eq!((found("info"), found("critical")), (1, 0));
    }

    #[test]
    fn a_smaller_number_is_rarer_below() {
        let below = |number: u8| format!("sum(memory_bytes) < {number}");
        assert_eq!(found([("A", &below(5), "5m", "warning"), ("B", &below(2), "5m", "critical")]), []);
        assert_eq!(found([("A", &below(2), "5m", "warning"), ("B", &below(5), "5m", "critical")]), pair("error", "A"));
        assert_eq!(found([("A", &below(2), "5m", "info"), ("A", &below(5), "5m", "info")]), pair("warning", "A"));
    }

    #[test]
    fn one_that_another_contains_is_found_behind_its_twin() {
        let rule = |number: u8, hold: &str| {
            format!(
                "      - {{alert: A, expr: sum(active_runs) > {number}, for: {hold}, labels: {{severity: info}}}}\n"
            )
        };
        let found = of_rules(&(rule(5, "5m") + &rule(5, "1m") + &rule(1, "5m")));
        let lines: Vec<(usize, String)> =
            found.iter().map(|finding| (finding.line, finding.severity.to_string())).collect();
        assert_eq!(lines, [(5, "warning".to_owned()), (6, "error".to_owned())], "{found:?}");
    }

    #[test]
    fn a_warning_that_goes_on_for_longer_is_of_use() {
        let found = |warning: &str, critical: &str| {
            let rule = |name: &str, keep: &str| {
                format!(
                    "      - {{alert: {name}, expr: \"sum(active_runs) > 5\", keep_firing_for: {keep}, labels: {{severity: {name}}}}}\n"
                )
            };
            of_rules(&(rule("warning", warning) + &rule("critical", critical))).len()
        };
        assert_eq!((found("10m", "5m"), found("5m", "5m"), found("5m", "10m")), (0, 1, 1));
    }

    /// Each used to be compared with all before it.
    #[test]
    fn many_alike_take_no_square_of_their_number() {
        let rule = |number: usize| match number % 4 {
            0 => format!(
                "      - {{alert: A, expr: up > {number}, for: {}s, labels: {{severity: info}}}}\n",
                20_000 - number
            ),
            1 => format!("      - {{alert: B{number}, expr: memory_bytes > {number}, labels: {{severity: info}}}}\n"),
            2 => format!("      - {{alert: C, expr: memory_bytes == {number}, labels: {{severity: info}}}}\n"),
            _ => format!("      - {{alert: D, expr: up > 1, labels: {{severity: info, team: t{number}}}}}\n"),
        };
        let text = format!("groups:\n- name: g\n  rules:\n{}", (0..20_000).map(rule).collect::<String>());
        let files: Vec<RuleFile> = RuleFile::parse("r.yaml", &text, &mut Vec::new()).into_iter().collect();
        let contract = Contract::default();
        let world = World::new(&contract, &files);
        let started = std::time::Instant::now();
        assert_eq!(check(&world, &files, &[]), []);
        assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
    }

    #[test]
    fn what_cannot_be_ordered_accuses_nobody() {
        let unless = |number: u8| format!("sum(active_runs) > 5 unless sum(pool_open) > {number}");
        assert_eq!(found([("A", &unless(5), "5m", "warning"), ("B", &unless(1), "5m", "critical")]), []);
        assert_eq!(
            found([("A", "sum(active_runs) > 5", "5m", "warning"), ("A", "sum(pool_open) > 5", "5m", "critical")]),
            []
        );
        assert_eq!(
            found([
                ("A", FEW, "5m", "warning"),
                ("B", &FEW.replace("> 5", "> 50").replace("> 1", "> 0"), "5m", "info")
            ]),
            []
        );
    }
}
