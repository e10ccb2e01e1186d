//! Operators between two results, and which series of one side meets which of the other.
//!
//! `match/labels`: no series meets another, because one side always has a label of the match and the other never; or each
//! meets every other, because neither side has one.
//! `match/values`: no series meets another, because a label of the match has other values on each side.
//! `match/set`: `and`, `or` or `unless` without `on ()` between results with different labels.
//! `match/self`: every series meets itself, so that a ratio is always 1 and a difference always 0.

use promql_parser::parser::value::ValueType;
use promql_parser::parser::{BinaryExpr, Expr};

use super::{Query, Settings};
use crate::finding::Finding;
use crate::infer::{Arm, Carried, Key, Lack, Mismatch, Node, Presence, World, differing_matchers, fills, quote};

pub(super) fn check(_: &World<'_>, _: &Settings, query: &Query<'_>) -> Vec<Finding> {
    let operators = operators(&query.node);
    operators.into_iter().filter_map(|operator| one(query, &operator)).collect()
}

/// An operator between two results that can both have series.
pub(super) struct Operator<'a, 'b> {
    pub(super) expr: &'a BinaryExpr,
    pub(super) name: String,
    pub(super) key: Key,
    pub(super) left: &'b Node<'a>,
    pub(super) right: &'b Node<'a>,
    /// Whether its result is aggregated at once.
    is_aggregated: bool,
}

/// The operators of a query, but for those with a dead side: it is reported where it died.
pub(super) fn operators<'a, 'b>(node: &'b Node<'a>) -> Vec<Operator<'a, 'b>> {
    let mut found = Vec::new();
    collect(node, false, &mut found);
    found
}

fn collect<'a, 'b>(node: &'b Node<'a>, is_aggregated: bool, found: &mut Vec<Operator<'a, 'b>>) {
    if let (Expr::Binary(expr), [left, right]) = (node.expr, node.children.as_slice()) {
        let is_vector = |node: &Node<'_>| node.expr.value_type() == ValueType::Vector && node.alive().next().is_some();
        if is_vector(left) && is_vector(right) && !fills(expr) {
            let (name, key) = (expr.op.to_string(), Key::of(expr.modifier.as_ref()));
            found.push(Operator { expr, name, key, left, right, is_aggregated });
        }
    }
    let aggregates = matches!(node.expr, Expr::Aggregate(_));
    node.children.iter().for_each(|child| collect(child, aggregates, found));
}

impl Operator<'_, '_> {
    pub(super) fn is_set(&self) -> bool {
        self.expr.op.is_set_operator()
    }

    /// Every pair of arms that can have series.
    fn pairs(&self) -> impl Iterator<Item = (&Arm, &Arm)> {
        self.left.alive().flat_map(|left| self.right.alive().map(move |right| (left, right)))
    }

    /// Why no pair can meet.
    pub(super) fn mismatch(&self) -> Option<(Mismatch, &Arm, &Arm)> {
        let mut first = None;
        for (left, right) in self.pairs() {
            let mismatch = self.key.cannot_meet(&left.labels, &right.labels)?;
            first.get_or_insert((mismatch, left, right));
        }
        first
    }

    /// A match that the sides can meet in: on the labels that both always have, or, where those are many, without the
    /// ones that only one side has.
    fn possible_match(&self) -> String {
        let Some((left, right)) = self.pairs().next() else { return String::new() };
        let labels = Key::Ignoring(Vec::new()).labels(&left.labels, &right.labels);
        let carried = |label: &str| (left.labels.carries(label), right.labels.carries(label));
        // The jobs of two programs are never the same.
        let meet = |label: &str| match (left.labels.get(label), right.labels.get(label)) {
            (Some(left), Some(right)) => left.domain.meets(&right.domain),
            _ => true,
        };
        let common: Vec<&str> = labels
            .iter()
            .map(AsRef::as_ref)
            .filter(|label| carried(label) == (Carried::Always, Carried::Always) && meet(label))
            .collect();
        if common.len() <= 4 {
            return format!("on ({})", common.join(", "));
        }
        let one_sided =
            |label: &&str| matches!(carried(label), (Carried::Never, _) | (_, Carried::Never)) || !meet(label);
        let one_sided: Vec<&str> = labels.iter().map(AsRef::as_ref).filter(one_sided).collect();
        format!("ignoring ({})", one_sided.join(", "))
    }
}

fn one(query: &Query<'_>, operator: &Operator<'_, '_>) -> Option<Finding> {
    if operator.name == "or" {
        return added_fallback(query, operator);
    }
    never_meet(query, operator)
        .or_else(|| meet_all(query, operator))
        .or_else(|| lost_arm(query, operator))
        .or_else(|| meets_itself(query, operator))
}

/// `a and on (x) b`, with x on neither side: a label that is missing on both is equal on both. Where the sides have no
/// other label in common there is nothing to tell apart: `sum by (cluster) (a) and on (cluster) sum by (cluster) (b)` is
/// written for installations with and without such a label.
fn meet_all(query: &Query<'_>, operator: &Operator<'_, '_>) -> Option<Finding> {
    let Key::On(labels) = &operator.key else { return None };
    let lacks = |arm: &Arm| labels.iter().all(|label| arm.labels.carries(label) == Carried::Never);
    let (left, _) = operator.pairs().next().filter(|_| !labels.is_empty())?;
    let differ =
        |left: &Arm, right: &Arm| left.labels.iter().any(|(label, _)| right.labels.carries(label) == Carried::Always);
    if !operator.pairs().all(|(left, right)| lacks(left) && lacks(right) && differ(left, right)) {
        return None;
    }
    let (name, list) = (&operator.name, labels.join(", "));
    let why = left.labels.why_never(&labels[0]);
    let message =
        format!("`{name} on ({list})` tells no series apart: neither side has {list}; on the left side {why}");
    Some(
        query
            .error("match/labels", message)
            .help(format!("match on what both sides have: `{name} {}`", operator.possible_match())),
    )
}

fn never_meet(query: &Query<'_>, operator: &Operator<'_, '_>) -> Option<Finding> {
    let (mismatch, left, right) = operator.mismatch()?;
    let name = &operator.name;
    let effect = match name.as_str() {
        "and" => "`and` keeps nothing".to_owned(),
        "unless" => "`unless` takes nothing away".to_owned(),
        _ => format!("`{name}` finds no pair"),
    };
    let (check, help) = match &mismatch {
        Mismatch::Values { label, .. } => ("match/values", values_help(operator, label)),
        Mismatch::OneSided { label, left_has_it, .. } => {
            let lacking = if *left_has_it { &right.labels } else { &left.labels };
            let explicit = matches!(operator.key, Key::On(_));
            // A label that is named, and that the recording rule took away: the rule is the place to mend.
            let check = match lacking.lack(label) {
                Some(Lack::Recorded { .. }) if explicit => "record/dropped-label",
                _ if operator.is_set() && !explicit => "match/set",
                _ => "match/labels",
            };
            (check, labels_help(operator, label, *left_has_it))
        }
    };
    Some(query.error(check, format!("{effect}: {mismatch}")).help(help))
}

fn values_help(operator: &Operator<'_, '_>, label: &str) -> String {
    let name = &operator.name;
    match &operator.key {
        Key::Ignoring(_) => format!("leave the label out of the match: `{name} ignoring ({label})`"),
        Key::On(_) => format!("take {label} out of `on ()`, or ask both sides for the same {label}"),
    }
}

fn labels_help(operator: &Operator<'_, '_>, label: &str, left_has_it: bool) -> String {
    let name = &operator.name;
    let lacks = if left_has_it { "right" } else { "left" };
    if matches!(operator.key, Key::On(_)) {
        return format!("keep {label} on the {lacks} side, or take it out of `on ()`");
    }
    let possible = operator.possible_match();
    if operator.is_set() {
        return format!("match on what both sides have: `{name} {possible}`");
    }
    let group = if left_has_it { "group_left" } else { "group_right" };
    format!("aggregate both sides by the same labels, or write `{name} {possible} {group} ()`")
}

/// `sum by (namespace) (x) or vector(0)`: nothing on the left equals a series without labels, so that this does not
/// fill gaps but adds one series more, always. Within an aggregation that is harmless, and meant: `sum(x or vector(0))`.
fn added_fallback(query: &Query<'_>, operator: &Operator<'_, '_>) -> Option<Finding> {
    let is_there = operator.right.alive().all(|arm| arm.presence < Presence::Conditional);
    if matches!(operator.key, Key::On(_)) || operator.is_aggregated || !is_there || !is_fallback(operator.right.expr) {
        return None;
    }
    let (mismatch, ..) = operator.mismatch()?;
    let fallback = quote(operator.right.expr);
    let message = format!("`or {fallback}` does not fill in but adds a series of its own, always: {mismatch}");
    let help =
        "write `or on () …` for one value where there is nothing at all, or `or 0 * x`, with x of the same labels";
    Some(query.error("match/set", message).help(help).warning())
}

/// A constant that stands in for what is missing: `vector(0)`, `0 * x`.
fn is_fallback(expr: &Expr) -> bool {
    let is_zero = |expr: &Expr| matches!(expr, Expr::NumberLiteral(number) if number.val == 0.0);
    match expr {
        Expr::Paren(paren) => is_fallback(&paren.expr),
        Expr::Call(call) => call.func.name == "vector",
        Expr::Binary(binary) => binary.op.to_string() == "*" && (is_zero(&binary.lhs) || is_zero(&binary.rhs)),
        _ => false,
    }
}

/// `(sum by (namespace) (x) or vector(0)) / …`: what stands in has no labels, and so meets nothing; neither does `sum(y)`
/// in its place. Of `unless`, what has nothing to meet on the right side stays, as it should.
fn lost_arm(query: &Query<'_>, operator: &Operator<'_, '_>) -> Option<Finding> {
    let sides = [(operator.left, operator.right, true), (operator.right, operator.left, false)];
    let (arm, mismatch, is_left) = sides.into_iter().find_map(|(side, other, is_left)| {
        let mut lost = side.alive().filter_map(|arm| Some((arm, meets_nothing(operator, arm, other, is_left)?)));
        let (arm, mismatch) = lost.next().filter(|_| side.alive().count() > 1)?;
        Some((arm, mismatch, is_left))
    })?;
    let (name, side) = (&operator.name, if is_left { "left" } else { "right" });
    let stands_in = arm.origins.is_empty();
    if name == "unless" && (is_left || stands_in) {
        return None;
    }
    let other = quote(if is_left { operator.right.expr } else { operator.left.expr });
    let (what, help) = match arm.origins.first().filter(|_| !stands_in) {
        None => (
            format!("what stands in for a missing {side} side of `{name}`"),
            format!("write `or 0 * {other}` instead of a number"),
        ),
        Some(origin) => (
            format!("what {} gives to the {side} side of `{name}`", origin.series),
            "give every part of the side the labels of the match".to_owned(),
        ),
    };
    Some(query.error("match/labels", format!("{what} meets nothing: {mismatch}")).help(help).warning())
}

/// Why an arm of one side meets no arm of the other.
fn meets_nothing(operator: &Operator<'_, '_>, arm: &Arm, other: &Node<'_>, is_left: bool) -> Option<Mismatch> {
    let mut mismatches = other.alive().map(|other| match is_left {
        true => operator.key.cannot_meet(&arm.labels, &other.labels),
        false => operator.key.cannot_meet(&other.labels, &arm.labels),
    });
    let mismatch = mismatches.next()??;
    mismatches.all(|mismatch| mismatch.is_some()).then_some(mismatch)
}

fn meets_itself(query: &Query<'_>, operator: &Operator<'_, '_>) -> Option<Finding> {
    let effect = match operator.name.as_str() {
        "/" => "the ratio is always 1",
        "-" => "the difference is always 0",
        "%" => "the remainder is always 0",
        ">" | "<" | "!=" => "the comparison never holds",
        ">=" | "<=" | "==" => "the comparison always holds",
        _ => return None,
    };
    let labels = differing_matchers(operator.left.expr, operator.right.expr)?;
    if labels.is_empty() {
        return same_on_both(query, operator, effect);
    }
    let in_match = |arm: &Arm, label: &str| arm.labels.carries(label) == Carried::Always && operator.key.has(label);
    if !labels.iter().all(|label| operator.pairs().all(|(l, r)| in_match(l, label) && in_match(r, label))) {
        return None;
    }
    let list = labels.iter().map(String::as_str).collect::<Vec<&str>>().join(", ");
    let message = format!("every series meets only itself, since {list} is part of the match: {effect}");
    let by = match operator.pairs().all(|(left, _)| left.labels.carries("namespace") == Carried::Always) {
        true if !labels.contains("namespace") => " by (namespace)",
        _ => "",
    };
    let name = &operator.name;
    Some(
        query
            .error("match/self", message)
            .help(format!("aggregate {list} away on both sides: `sum{by} (…) {name} sum{by} (…)`")),
    )
}

/// The same expression twice. `x == x` and `x != x` tell numbers from those that are none, which has its use.
fn same_on_both(query: &Query<'_>, operator: &Operator<'_, '_>, effect: &str) -> Option<Finding> {
    if matches!(operator.name.as_str(), "==" | "!=") {
        return None;
    }
    let message = format!("`{}` has the same expression on both sides: {effect}", operator.name);
    Some(
        query
            .error("match/self", message)
            .help("compare with other series, or with another time: `offset 1h`")
            .warning(),
    )
}

#[cfg(test)]
mod tests {
    use super::super::testing::{finds, of_alert, of_rules};

    #[test]
    fn a_label_of_neither_side_tells_no_series_apart() {
        finds("active_runs > 5 and on (queue) memory_bytes > 1", &["match/labels"]);
        finds("active_runs > 5 unless on (queue) memory_bytes > 1", &["match/labels"]);
        finds("memory_bytes * on (queue) group_left () environment_info > 5", &["match/labels"]);
        finds("active_runs > 5 and on () memory_bytes > 1", &[]);
        finds("active_runs > 5 and on (namespace, queue) memory_bytes > 1", &[]);
        finds("foreign_active > 5 and on (queue) memory_bytes > 1", &["query/unknown-metric"]);
        // Kubernetes' own rules are written for one cluster and for many.
        finds("sum by (cluster) (active_runs) > 5 and on (cluster) sum by (cluster) (memory_bytes) > 1", &[]);
        finds("active_runs > 5 and on (cluster) count by (cluster) (memory_bytes) > 1", &[]);
    }

    #[test]
    fn sides_with_other_labels_never_meet() {
        finds("sum(memory_bytes) / sum by (namespace) (memory_bytes) > 0.5", &["match/labels"]);
        finds("sum by (pod) (memory_bytes) > on (pod) sum by (namespace) (memory_bytes)", &["match/labels"]);
        finds("sum by (namespace) (active_runs) / sum by (namespace) (memory_bytes) > 0.5", &[]);
        finds("active_runs / on (namespace, pod) sum by (namespace, pod) (memory_bytes) > 0.5", &[]);
        finds("memory_bytes * on (namespace) group_left (deployment) environment_info > 5", &[]);
        let found = of_alert("sum by (namespace) (memory_bytes) / sum(memory_bytes) > 0.5");
        assert!(
            found[0].contains("only the left side has the label namespace; on the right side `sum` drops it"),
            "{found:?}"
        );
    }

    #[test]
    fn sides_with_other_values_never_meet() {
        let side = |status: &str| format!("rate(runs_total{{status=\"{status}\"}}[5m])");
        let ratio = |key: &str| format!("{} / {key} {} > 1", side("failed"), side("success"));
        finds(&ratio(""), &["match/values"]);
        finds(&ratio("ignoring (status)"), &[]);
        finds("duration_seconds_bucket{le=\"0.5\"} unless duration_seconds_bucket{le=\"1.0\"}", &["match/values"]);
    }

    #[test]
    fn what_is_filled_in_needs_no_pair() {
        let ratio = |fill: &str| {
            format!(
                "sum by (namespace) (rate(runs_total{{status=\"success\"}}[5m])) / on (namespace) {fill} sum by (namespace) (rate(runs_total[5m])) < 0.9"
            )
        };
        finds(&ratio(""), &["query/empty-numerator"]);
        finds(&ratio("fill_left (0)"), &[]);
        finds("sum(memory_bytes) + on (namespace) fill_right (1) sum by (namespace) (pool_open) > 5", &[]);
    }

    /// Of two jobs, no match on the job is one.
    #[test]
    fn the_match_that_is_advised_can_meet() {
        let rules = "      - {alert: A, expr: 'memory_bytes / kube_pods > 5', labels: {severity: info}}\n";
        let helps: Vec<String> = of_rules(rules).into_iter().map(|finding| finding.help).collect();
        assert!(helps[0].contains("on (instance, namespace)") && !helps[0].contains("job"), "{helps:?}");
    }

    #[test]
    fn set_operators_need_equal_labels_or_on() {
        finds("active_runs > 5 and sum by (namespace) (pool_open) > 1", &["match/set"]);
        finds("active_runs > 5 unless sum by (namespace) (pool_open) > 1", &["match/set"]);
        finds("active_runs > 5 and on (namespace) sum by (namespace) (pool_open) > 1", &[]);
        finds("active_runs > 5 unless active_runs offset 5m", &[]);
        finds("(sum by (namespace) (active_runs) or vector(0)) > 5", &["match/set"]);
        finds("(sum by (namespace) (active_runs) or on () vector(0)) > 5", &[]);
        finds("(sum(active_runs) or vector(0)) > 5", &[]);
    }

    #[test]
    fn unions_of_different_things_pass() {
        finds("up{job=\"api\"} == 0 or absent(up{job=\"api\"})", &[]);
        finds("sum by (namespace) (active_runs or vector(0)) > 5", &[]);
        finds("sum by (namespace) (active_runs) or 0 * absent(active_runs)", &[]);
        finds("up{job=\"api\"} == 0 or up{job=\"kube-state-metrics\"} == 0", &[]);
        finds("sum by (namespace) (active_runs) or 0 * sum by (namespace) (memory_bytes)", &[]);
    }

    #[test]
    fn common_idioms_pass() {
        for expr in [
            "absent(up{job=\"api\"})",
            "up{job=\"api\"} == 0",
            "changes(temperature_ratio[1h]) > 5",
            "time() - timestamp(memory_bytes) > 200",
            "count by (namespace) (memory_bytes) > 5",
            "kube_pods{phase=\"Failed\"} unless on (namespace) environment_info",
            "increase(requests_total{code=\"500\"}[1h]) > 0",
            "memory_bytes * on (namespace) group_left (deployment) environment_info > 1e9",
            "sum by (namespace) (memory_bytes) > bool 5",
            "sum(rate(runs_total[5m])) or vector(0)",
            "(sum by (namespace) (rate(runs_total{status=\"failed\"}[5m])) or 0 * sum by (namespace) (rate(runs_total[5m]))) / sum by (namespace) (rate(runs_total[5m])) < 0.5",
            "sum by (namespace) (kube_pods{phase=\"Running\"}) < 5",
            "memory_bytes / ignoring (pool) pool_open > 5",
            "runs_total unless runs_total offset 5m",
            "max by (namespace) (memory_bytes) > 2 * avg by (namespace) (memory_bytes offset 1d)",
            "1 - memory_bytes / memory_bytes offset 1h > 0.5",
            "{job=\"other\"} / on (instance) {job=\"another\"} > 5",
        ] {
            let found = of_alert(expr);
            assert!(found.iter().all(|text| !text.starts_with("match/")), "{expr}\n{found:#?}");
        }
    }

    #[test]
    fn what_stands_in_must_meet_the_other_side() {
        finds(
            "(sum by (namespace) (active_runs) or on () vector(0)) / sum by (namespace) (memory_bytes) > 5",
            &["match/labels"],
        );
        finds("(sum(active_runs) or vector(0)) / sum(memory_bytes) > 5", &[]);
    }

    #[test]
    fn every_part_of_a_side_must_meet_the_other_side() {
        let sides = |left: &str, operator: &str, right: &str| format!("({left}) {operator} on (namespace) ({right})");
        let (whole, by) = ("sum(active_runs) > 5", "sum by (namespace) (memory_bytes) > 5");
        finds(&sides(by, "and", &format!("{whole} or {by}")), &["match/labels"]);
        finds(&sides(by, "unless", &format!("{whole} or {by}0")), &["match/labels"]);
        finds(&sides(&format!("{by} or on () {whole}"), "and", by), &["match/labels"]);
        // What nothing can silence fires, as it should.
        finds(&sides(&format!("{by} or on () {whole}"), "unless", by), &[]);
        finds(&sides(by, "and", &format!("{by} or environment_info")), &[]);
    }

    /// Measured with promtool: one failure in a thousand runs fires such an alert, with "100%".
    #[test]
    fn a_ratio_of_a_series_to_itself_is_found() {
        finds("rate(runs_total{status=\"failed\"}[5m]) / rate(runs_total[5m]) > 0.1", &["match/self"]);
        let by_status = "sum by (namespace, status)";
        let ratio = format!(
            "{by_status} (rate(runs_total{{status!=\"success\"}}[5m])) / {by_status} (rate(runs_total[5m])) > 0.1"
        );
        finds(&ratio, &["match/self"]);
        finds("rate(runs_total{status=\"failed\"}[5m]) / (rate(runs_total[5m]) > 0) > 0.1", &["match/self"]);
        finds("memory_bytes - memory_bytes > 0", &["match/self"]);
        finds(
            "rate(runs_total{status=\"failed\"}[5m]) / ignoring (status) group_left () sum without (status) (rate(runs_total[5m])) > 0.1",
            &[],
        );
        finds(
            "sum by (namespace) (rate(runs_total{status=\"failed\"}[5m])) / sum by (namespace) (rate(runs_total[5m])) > 0.1",
            &[],
        );
        finds("memory_bytes - memory_bytes offset 1h > 0", &[]);
        finds("temperature_ratio == temperature_ratio", &[]);
    }
}
