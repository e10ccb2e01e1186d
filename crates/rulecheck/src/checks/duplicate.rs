//! `alert/duplicate`: two alerts with the same condition, of which one never says anything that the other has not said:
//! written twice, a warning that never speaks before its critical variant, thresholds in the wrong order.
//!
//! Only what is certain is compared: expressions that are equal but for the numbers that their conditions compare with.
//! One thing more is likely: a name that another group has too, with the same severity and about the same metrics.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;

use promql_parser::parser::{Expr, LabelModifier, VectorSelector};

use super::alert::set_labels;
use crate::dashboard::Dashboard;
use crate::finding::Finding;
use crate::infer::World;
use crate::query::{metric_name, seconds, selectors};
use crate::rules::{Rule, RuleFile, RuleKind};

pub(super) fn check(_: &World<'_>, files: &[RuleFile], _: &[Dashboard]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let alerts: Vec<Alert<'_>> = files.iter().flat_map(alerts).collect();
    let mut alike: HashMap<&str, Vec<&Alert<'_>>> = HashMap::new();
    let mut named: HashMap<&str, Vec<&Alert<'_>>> = HashMap::new();
    for alert in &alerts {
        let alike = alike.entry(&alert.shape).or_default();
        let named = named.entry(&alert.rule.name).or_default();
        let found = alike.iter().find_map(|earlier| compare(earlier, alert));
        findings.extend(found.or_else(|| named.iter().find_map(|earlier| same_name(earlier, alert))));
        alike.push(alert);
        named.push(alert);
    }
    findings
}

/// An alert as it is compared with others.
struct Alert<'a> {
    file: &'a str,
    group: &'a str,
    rule: &'a Rule,
    labels: BTreeMap<&'a str, &'a str>,
    /// The expression without the numbers that its conditions compare with.
    shape: String,
    /// Those numbers, each turned so that a larger one makes the condition rarer.
    thresholds: Vec<Threshold>,
    /// For how long the condition must hold, in seconds.
    hold: f64,
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
        }
    })
}

impl<'a> Alert<'a> {
    /// How severe it is; `None` where the words cannot be ordered.
    fn rank(&self) -> Option<usize> {
        ["info", "warning", "critical"].iter().position(|known| self.labels.get("severity") == Some(known))
    }

    /// Whether it holds only where the other holds too.
    fn implies(&self, other: &Alert<'_>) -> bool {
        self.thresholds.iter().zip(&other.thresholds).all(|(mine, theirs)| mine.implies(*theirs))
    }

    fn metrics(&self) -> BTreeSet<&'a str> {
        selectors(&self.rule.ast).into_iter().filter_map(metric_name).collect()
    }

    fn place(&self) -> String {
        format!("{} at {}:{}", self.rule.name, self.file, self.rule.line)
    }

    fn error(&self, message: String) -> Finding {
        Finding::error(self.file, self.rule.expr_line, "alert/duplicate", message).about(self.rule.subject())
    }
}

fn compare(first: &Alert<'_>, second: &Alert<'_>) -> Option<Finding> {
    match (first.implies(second), second.implies(first)) {
        (true, true) => same_condition(first, second),
        (true, false) => ordered(second, first),
        (false, true) => ordered(first, second),
        (false, false) => None,
    }
}

fn same_condition(first: &Alert<'_>, second: &Alert<'_>) -> Option<Finding> {
    if first.labels == second.labels {
        let finding = second.error(format!("the same condition and labels as {}", first.place()));
        let twice = first.rule.name == second.rule.name;
        let help = "keep one of the two, or tell them apart by a label";
        return Some(if twice { finding.help(help) } else { finding.help(help).warning() });
    }
    let (low, high) = match first.rank()?.cmp(&second.rank()?) {
        std::cmp::Ordering::Less => (first, second),
        std::cmp::Ordering::Greater => (second, first),
        std::cmp::Ordering::Equal => return None,
    };
    (high.hold <= low.hold).then(|| {
        low.error(format!("never fires before {}, which is more severe and has the same condition", high.place()))
            .help("give the more severe one a rarer condition, or let it hold for longer")
    })
}

/// `weak` holds whenever `strong` does, and more often.
fn ordered(weak: &Alert<'_>, strong: &Alert<'_>) -> Option<Finding> {
    if weak.hold > strong.hold {
        return None;
    }
    let (weak_rank, strong_rank) = (weak.rank()?, strong.rank()?);
    if strong_rank < weak_rank {
        let message = format!("never fires before {}, which is more severe and has the looser threshold", weak.place());
        return Some(strong.error(message).help("swap the two thresholds"));
    }
    let redundant = strong.labels == weak.labels && strong.rule.name == weak.rule.name;
    redundant.then(|| {
        let message =
            format!("never fires without {}, which has the looser threshold and the same labels", weak.place());
        strong.error(message).help("take one of the two out, or make this one more severe").warning()
    })
}

fn same_name(first: &Alert<'_>, second: &Alert<'_>) -> Option<Finding> {
    let same_place = (first.file, first.group) == (second.file, second.group);
    let same_severity = first.labels.get("severity") == second.labels.get("severity");
    if same_place || !same_severity || first.metrics() != second.metrics() {
        return None;
    }
    let message = format!("another alert of this name and severity looks at the same metrics: {}", first.place());
    Some(
        second.error(message).help("keep the better of the two, or give them names that say how they differ").warning(),
    )
}

/// A number that a condition compares with.
#[derive(Clone, Copy)]
enum Threshold {
    /// The larger, the rarer the condition.
    AtLeast(f64),
    /// The smaller, the rarer.
    AtMost(f64),
    Exactly(f64),
}

impl Threshold {
    fn implies(self, other: Threshold) -> bool {
        match (self, other) {
            (Threshold::AtLeast(mine), Threshold::AtLeast(theirs)) => mine >= theirs,
            (Threshold::AtMost(mine), Threshold::AtMost(theirs)) => mine <= theirs,
            (Threshold::Exactly(mine), Threshold::Exactly(theirs)) => mine == theirs,
            _ => false,
        }
    }

    /// The threshold of `vector OPERATOR number`, or of `number OPERATOR vector`.
    fn of(operator: &str, value: f64, number_is_left: bool) -> Threshold {
        match (operator, number_is_left) {
            (">" | ">=", false) | ("<" | "<=", true) => Threshold::AtLeast(value),
            ("<" | "<=", false) | (">" | ">=", true) => Threshold::AtMost(value),
            _ => Threshold::Exactly(value),
        }
    }
}

/// An expression as text, with its thresholds taken out, its matchers sorted and its parentheses made regular.
#[derive(Default)]
struct Shape {
    text: String,
    thresholds: Vec<Threshold>,
}

impl Shape {
    /// `is_condition` says that the result holds less often where a comparison in it does.
    fn expr(&mut self, expr: &Expr, is_condition: bool) {
        // Writing into a string cannot fail.
        match expr {
            Expr::Paren(paren) => self.expr(&paren.expr, is_condition),
            Expr::Binary(binary) => {
                let operator = binary.op.to_string();
                let filters = binary.op.is_comparison_operator() && !binary.return_bool();
                let (left, right) = match operator.as_str() {
                    "and" | "or" => (is_condition, is_condition),
                    "unless" => (is_condition, false),
                    _ => (is_condition && filters, is_condition && filters),
                };
                let modifier = binary.modifier.as_ref().map(ToString::to_string).unwrap_or_default();
                self.text.push('(');
                self.side(&binary.lhs, left, filters.then_some((operator.as_str(), true)));
                let _ = write!(self.text, " {operator}{modifier} ");
                self.side(&binary.rhs, right, filters.then_some((operator.as_str(), false)));
                self.text.push(')');
            }
            Expr::Aggregate(aggregate) => {
                let (word, mut labels) = match &aggregate.modifier {
                    Some(LabelModifier::Exclude(labels)) => ("without", labels.labels.clone()),
                    Some(LabelModifier::Include(labels)) => ("by", labels.labels.clone()),
                    None => ("by", Vec::new()),
                };
                labels.sort();
                let _ = write!(self.text, "{} {word} {labels:?} (", aggregate.op);
                self.list(aggregate.param.as_deref().into_iter().chain([aggregate.expr.as_ref()]));
            }
            Expr::Call(call) => {
                let _ = write!(self.text, "{}(", call.func.name);
                self.list(call.args.args.iter().map(AsRef::as_ref));
            }
            Expr::VectorSelector(selector) => self.selector(selector),
            Expr::MatrixSelector(matrix) => {
                self.selector(&matrix.vs);
                let _ = write!(self.text, "[{:?}]", matrix.range);
            }
            Expr::Subquery(subquery) => {
                self.expr(&subquery.expr, false);
                let (range, step) = (subquery.range, subquery.step);
                let _ = write!(self.text, "[{range:?}:{step:?}]{:?}{:?}", subquery.offset, subquery.at);
            }
            Expr::Unary(unary) => {
                self.text.push('-');
                self.expr(&unary.expr, false);
            }
            Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => {
                self.text.push_str(&expr.to_string());
            }
        }
    }

    fn side(&mut self, expr: &Expr, is_condition: bool, comparison: Option<(&str, bool)>) {
        match (expr, comparison) {
            (Expr::NumberLiteral(number), Some((operator, is_left))) if is_condition => {
                self.thresholds.push(Threshold::of(operator, number.val, is_left));
                self.text.push('#');
            }
            _ => self.expr(expr, is_condition),
        }
    }

    fn list<'a>(&mut self, items: impl Iterator<Item = &'a Expr>) {
        for item in items {
            self.expr(item, false);
            self.text.push(',');
        }
        self.text.push(')');
    }

    fn selector(&mut self, selector: &VectorSelector) {
        let mut sorted = selector.clone();
        sorted.matchers.matchers.sort_by(|a, b| (&a.name, &a.value).cmp(&(&b.name, &b.value)));
        let _ = write!(self.text, "{sorted}");
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::of_rules;

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
