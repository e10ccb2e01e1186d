//! `query/constant-result`, where each part may hold and all of them together cannot, or always do.

use promql_parser::parser::Expr;

use super::condition::{Comparison, binary};
use super::{Query, Settings};
use crate::finding::Finding;
use crate::infer::{Arm, Interval, Key, Node, Presence, World, quote};
use crate::query::{metric_name, selectors};

pub(super) fn check(_: &World<'_>, _: &Settings, query: &Query<'_>) -> Vec<Finding> {
    let nodes = query.node.walk();
    let found = nodes.iter().filter_map(|node| {
        let of_calls = || never_absent(query, node).or_else(|| nothing_between(query, node));
        never_together(query, node).or_else(|| all_taken(query, node)).or_else(of_calls)
    });
    found.chain(always_there(query)).collect()
}

/// `hour() > 22 and hour() < 6`.
fn never_together(query: &Query<'_>, node: &Node<'_>) -> Option<Finding> {
    let (left, right) = operator(node, "and")?;
    let key = key(node);
    let (left, right) = (all_of("and", left), all_of("and", right));
    let pairs = left.into_iter().flat_map(|one| right.iter().map(move |other| (one, *other)));
    let (one, other) = pairs.into_iter().find(|(one, other)| {
        let ranges = same_value(&key, one, other);
        ranges.is_some_and(|(one, other)| one.cut(&other.range()).is_empty())
    })?;
    let message = format!("`{}` and `{}` never hold at once", quote(one.expr), quote(other.expr));
    let value = Comparison::of(one)?.value;
    let help = match value.expr {
        Expr::Call(call) if call.func.name == "hour" => "a window over midnight is `hour() >= 22 or hour() < 6`",
        _ => "write `or` for either, or take one of the two out",
    };
    Some(query.error("query/constant-result", message).help(help))
}

/// `x > 5 unless x > 3`, `x unless on () vector(0)`: nothing is left.
fn all_taken(query: &Query<'_>, node: &Node<'_>) -> Option<Finding> {
    let (left, right) = operator(node, "unless")?;
    let key = key(node);
    let taken = all_of("or", right);
    // What is no number stays: no comparison takes it.
    let covers = |one: &&Node<'_>| {
        taken.iter().filter(|other| !may_be_no_number(other)).any(|other| {
            same_value(&key, one, other).is_some_and(|(one, other)| one.range().always(&other.operator, other.bound))
        })
    };
    let is_there = right.alive().any(|arm| arm.presence == Presence::Always) || always_hold(&taken);
    let meets_all = matches!(&key, Key::On(labels) if labels.is_empty());
    let nothing_is_left = is_there && meets_all || all_of("and", left).iter().any(covers);
    nothing_is_left.then_some(())?;
    let message = format!("`unless {}` takes everything away", quote(right.expr));
    let help = "take away fewer: name the labels that say which with `on (…)`, or mend the condition after `unless`";
    Some(query.error("query/constant-result", message).help(help))
}

/// `absent(sum(x) or vector(0))`.
fn never_absent(query: &Query<'_>, node: &Node<'_>) -> Option<Finding> {
    let Expr::Call(call) = node.expr else { return None };
    let argument = node.children.first().filter(|_| call.func.name.starts_with("absent"))?;
    argument.alive().find(|arm| arm.presence == Presence::Always)?;
    let message = format!("`{}` is never there, since `{}` always has a value", quote(node.expr), quote(argument.expr));
    Some(query.error("query/constant-result", message).help("ask for the absence of the series itself"))
}

/// `clamp(x, 5, 1)`.
fn nothing_between(query: &Query<'_>, node: &Node<'_>) -> Option<Finding> {
    let Expr::Call(call) = node.expr else { return None };
    let [_, low, high] = node.children.as_slice() else { return None };
    let (low, high) = (low.number()?, high.number()?);
    (call.func.name == "clamp" && low > high).then(|| {
        let message = format!("`{}` gives nothing: no number is from {low} to {high}", quote(node.expr));
        query.error("query/constant-result", message).help(format!("write `clamp(…, {high}, {low})`"))
    })
}

/// `x > 5 or vector(0)`: an alert fires for every series of its result, whatever its value is. One that asks for no
/// series at all, as a watchdog does, is meant to fire.
fn always_there(query: &Query<'_>) -> Option<Finding> {
    query.alert()?;
    let root = &query.node;
    let is_there = |node: &Node<'_>| node.alive().any(|arm| arm.presence == Presence::Always);
    if selectors(root.expr).is_empty() || !is_there(root) {
        return None;
    }
    // Down to the part that is always there, whatever it is matched on.
    let mut part = root;
    while let Some((left, right)) = operator(part, "or") {
        part = if is_there(right) { right } else { left };
    }
    let message = format!("`{}` always has a value, so the alert fires without end", quote(part.expr));
    let help = "fill in before the comparison, `(x or vector(0)) > 5`, or take it out";
    Some(query.error("query/constant-result", message).help(help))
}

/// The sides of the operator, if the node is that.
fn operator<'n, 'a>(node: &'n Node<'a>, name: &str) -> Option<(&'n Node<'a>, &'n Node<'a>)> {
    let (binary, left, right) = binary(node)?;
    (binary.op.to_string() == name).then_some((left, right))
}

fn key(node: &Node<'_>) -> Key {
    Key::of(binary(node).and_then(|(binary, ..)| binary.modifier.as_ref()))
}

/// What a chain of one operator joins, as far as it is about the same series; the node alone where it is none. Matched on
/// some labels only, the right side of `and` may hold for another series, and that of `or` may be left out for one.
fn all_of<'n, 'a>(name: &str, node: &'n Node<'a>) -> Vec<&'n Node<'a>> {
    match operator(node, name) {
        Some((left, right)) if key(node) == Key::Ignoring(Vec::new()) => {
            [all_of(name, left), all_of(name, right)].concat()
        }
        Some((left, _)) => all_of(name, left),
        None => vec![node],
    }
}

/// A comparison with a number.
struct Limit {
    operator: String,
    bound: Interval,
    /// Between which numbers the compared value lies.
    value: Interval,
}

impl Limit {
    fn of(comparison: &Comparison<'_, '_>) -> Option<Limit> {
        let bound = Interval::one(comparison.bound.number().filter(|_| !comparison.is_bool)?);
        let value = comparison.value.alive().map(|arm| arm.interval).reduce(Interval::union)?;
        Some(Limit { operator: comparison.operator.clone(), bound, value })
    }

    /// The values that it leaves.
    fn range(&self) -> Interval {
        self.value.filter(&self.operator, self.bound)
    }

    /// Those of other values that it leaves.
    fn cut(&self, others: &Interval) -> Interval {
        others.filter(&self.operator, self.bound)
    }
}

/// The limits that two comparisons set to the same series' value; `key` says which series meet.
fn same_value(key: &Key, one: &Node<'_>, other: &Node<'_>) -> Option<(Limit, Limit)> {
    let (one, other) = (Comparison::of(one)?, Comparison::of(other)?);
    let meets_itself = |arm: &Arm| {
        let told_apart = !arm.labels.is_open() && arm.labels.iter().all(|(label, _)| key.has(label));
        *key == Key::Ignoring(Vec::new()) || told_apart
    };
    // Without a name, the two may be of different metrics with the same labels.
    let named = selectors(one.value.expr).into_iter().all(|selector| metric_name(selector).is_some());
    if one.value.expr != other.value.expr || !named || !one.value.alive().all(meets_itself) {
        return None;
    }
    Limit::of(&one).zip(Limit::of(&other))
}

/// Whether a value can be no number: a quotient of nothing, a series that is no single one.
fn may_be_no_number(node: &Node<'_>) -> bool {
    const SOURCES: [&str; 6] = ["scalar", "sqrt", "ln", "log2", "log10", "histogram_quantile"];
    node.walk().into_iter().any(|node| match node.expr {
        Expr::Binary(binary) => matches!(binary.op.to_string().as_str(), "/" | "%" | "^"),
        Expr::Call(call) => SOURCES.contains(&call.func.name) || call.func.name.starts_with("std"),
        Expr::Aggregate(aggregate) => aggregate.op.to_string().starts_with("std"),
        _ => false,
    })
}

/// Whether some two of the alternatives leave no value out, as `hour() >= 6 or hour() < 22` does, of one that is always
/// there.
fn always_hold(alternatives: &[&Node<'_>]) -> bool {
    let comparisons = alternatives.iter().filter_map(|node| Comparison::of(node));
    let lasting = comparisons.filter(|comparison| {
        let always = comparison.value.alive().all(|arm| arm.presence == Presence::Always);
        always && !may_be_no_number(comparison.value)
    });
    let limits: Vec<_> =
        lasting.filter_map(|comparison| Some((comparison.value.expr, Limit::of(&comparison)?))).collect();
    let fills = |low: &Limit, high: &Limit| {
        let (below, above) = (low.range(), high.range());
        let meet = above.low < below.high || above.low == below.high && !(above.above_low && below.below_high);
        meet && low.operator.starts_with('<') && high.operator.starts_with('>')
    };
    limits.iter().any(|(value, low)| limits.iter().any(|(other, high)| value == other && fills(low, high)))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{finds, of_alert};

    #[test]
    fn what_cannot_hold_at_once_is_named() {
        let window = "rate(requests_total[5m]) > 5 and on () (hour() >= 22 and hour() < 6)";
        let message = "query/constant-result: `hour() >= 22` and `hour() < 6` never hold at once";
        assert_eq!(of_alert(window), [message]);
        for expr in [
            "memory_bytes > 5 and memory_bytes < 3",
            "up{job=\"api\"} == 0 and up{job=\"api\"} == 1",
            "memory_bytes > 5 and on (pod) rate(requests_total[5m]) > 1 and on (job, namespace, pod, instance) memory_bytes <= 5",
            "sum by (pod) (memory_bytes) > 5 and on (pod) sum by (pod) (memory_bytes) < 3",
        ] {
            finds(expr, &["query/constant-result"]);
        }
        for expr in [
            "memory_bytes > 5 and memory_bytes < 9",
            "memory_bytes > 5 and on (namespace) memory_bytes < 3",
            "memory_bytes < 3 and (memory_bytes < 10 and on (namespace) memory_bytes > 5)",
            "memory_bytes > 5 and memory_bytes offset 1h < 3",
            "{__name__=~\"memory_bytes|pool_open\"} > 50 and {__name__=~\"memory_bytes|pool_open\"} < 3",
            "rate(requests_total[5m]) > 5 and on () (hour() >= 22 or hour() < 6)",
        ] {
            finds(expr, &[]);
        }
    }

    #[test]
    fn unless_that_takes_everything_away_is_named() {
        for expr in [
            "memory_bytes > 5 unless memory_bytes > 3",
            "memory_bytes > 5 unless on () vector(0)",
            "memory_bytes > 5 unless on () (hour() >= 6 or hour() < 22)",
        ] {
            finds(expr, &["query/constant-result"]);
        }
        for expr in [
            "memory_bytes > 5 unless memory_bytes > 9",
            "memory_bytes > 5 unless on (namespace) memory_bytes > 3",
            "memory_bytes > 5 unless (temperature_ratio or on () memory_bytes > 3)",
            "memory_bytes > 5 unless on () (hour() >= 22 or hour() < 6)",
            "memory_bytes > 5 unless on () (day_of_week() != 3)",
            "memory_bytes > 5 unless on () (minute() < 4 or minute() != 30)",
            "memory_bytes > 5 unless on () (vector(scalar(memory_bytes)) >= 6 or vector(scalar(memory_bytes)) < 22)",
        ] {
            finds(expr, &[]);
        }
    }

    #[test]
    fn a_value_that_is_always_there_is_no_condition() {
        for expr in [
            "sum(rate(requests_total[5m])) > 5 or vector(0)",
            "sum(memory_bytes) > 5 or on () vector(1)",
            "memory_bytes > 5 or on () (pool_open > 1 or on () vector(1))",
            "absent(sum(memory_bytes) or vector(0))",
            "clamp(memory_bytes, 5, 1) > 0",
        ] {
            finds(expr, &["query/constant-result"]);
        }
        for expr in ["vector(1)", "(sum(active_runs) or vector(0)) < 5", "absent(memory_bytes)"] {
            finds(expr, &[]);
        }
    }
}
