//! Expressions that are the same but for what their selectors leave out: a part and its whole.

use std::collections::BTreeSet;

use promql_parser::label::{MatchOp, Matcher};
use promql_parser::parser::{AggregateExpr, BinaryExpr, Expr, LabelModifier, Offset, VectorSelector};

use super::Node;
use super::interval::Interval;
use super::key::Key;
use crate::query::metric_name;

/// A part divided by its whole lies between 0 and 1.
pub(super) fn part_of_whole(binary: &BinaryExpr, operator: &str, left: &Node<'_>) -> Option<Interval> {
    let (part, whole) = (&binary.lhs, unfiltered(&binary.rhs));
    let never_negative = || left.arms.iter().all(|arm| arm.interval.low >= 0.0);
    let is_ratio = operator == "/"
        && grows(part)
        && never_negative()
        && meets_its_own(whole, &Key::of(binary.modifier.as_ref()))
        && (is_part_of(part, whole) || is_share_of(part, whole));
    is_ratio.then(|| Interval::between(0.0, 1.0))
}

/// Whether what matches `whole` is a part of just that series: every label that tells wholes apart is in the match.
/// `rate(x{status="failed"}[5m]) / ignoring (status) group_right () rate(x[5m])` compares failures with successes.
fn meets_its_own(whole: &Expr, key: &Key) -> bool {
    match whole {
        Expr::Paren(whole) => meets_its_own(&whole.expr, key),
        Expr::Aggregate(aggregate) => match (&aggregate.modifier, key) {
            (None, _) => true,
            (Some(LabelModifier::Include(kept)), key) => kept.labels.iter().all(|label| key.has(label)),
            (Some(LabelModifier::Exclude(gone)), Key::Ignoring(ignored)) => {
                ignored.iter().all(|label| gone.labels.contains(label))
            }
            (Some(LabelModifier::Exclude(_)), Key::On(_)) => false,
        },
        _ => *key == Key::Ignoring(Vec::new()),
    }
}

/// How far a series' newest sample may lie back for the series to be there at all, in seconds, unless Prometheus is told
/// otherwise. Source: prometheus/prometheus `cmd/prometheus`, `--query.lookback-delta`.
const LOOK_BACK: f64 = 300.0;

/// `time() - timestamp(x)`: how old the newest sample of a series is that is still there.
pub(super) fn age_of_sample(binary: &BinaryExpr, operator: &str) -> Option<Interval> {
    let is_now = matches!(unwrapped(&binary.lhs), Expr::Call(call) if call.func.name == "time");
    let offset = sample_time(&binary.rhs).filter(|_| operator == "-" && is_now)?;
    Some(Interval { below_high: true, ..Interval::between(offset, offset + LOOK_BACK) })
}

/// How far back the samples are asked for whose times an expression gives, in seconds.
fn sample_time(expr: &Expr) -> Option<f64> {
    match unwrapped(expr) {
        Expr::Aggregate(aggregate) if matches!(aggregate.op.to_string().as_str(), "min" | "max" | "avg") => {
            sample_time(&aggregate.expr)
        }
        Expr::Call(call) if call.func.name == "timestamp" => match unwrapped(call.args.args.first()?) {
            Expr::VectorSelector(selector) if selector.at.is_none() => match selector.offset {
                None => Some(0.0),
                Some(Offset::Pos(back)) => Some(back.as_secs_f64()),
                Some(Offset::Neg(_)) => None,
            },
            _ => None,
        },
        _ => None,
    }
}

fn unwrapped(expr: &Expr) -> &Expr {
    match expr {
        Expr::Paren(paren) => unwrapped(&paren.expr),
        other => other,
    }
}

/// What a comparison with a number filters, as in `part / (whole > 0)`: what is left is the same.
fn unfiltered(expr: &Expr) -> &Expr {
    match expr {
        Expr::Paren(paren) => unfiltered(&paren.expr),
        Expr::Binary(binary)
            if binary.op.is_comparison_operator()
                && !binary.return_bool()
                && matches!(binary.rhs.as_ref(), Expr::NumberLiteral(_)) =>
        {
            unfiltered(&binary.lhs)
        }
        other => other,
    }
}

/// Whether the value adds up others, so that fewer series give less where none is negative.
fn grows(expr: &Expr) -> bool {
    match expr {
        Expr::Paren(paren) => grows(&paren.expr),
        Expr::Aggregate(aggregate) => {
            matches!(aggregate.op.to_string().as_str(), "sum" | "count")
                && (matches!(aggregate.expr.as_ref(), Expr::VectorSelector(_))
                    || is_growth(&aggregate.expr)
                    || aggregate.op.to_string() == "count")
        }
        call => is_growth(call),
    }
}

fn is_growth(expr: &Expr) -> bool {
    matches!(expr, Expr::Call(call) if matches!(call.func.name, "rate" | "increase" | "irate"))
}

/// `x unless x offset 5m`: the series that were not there 5 minutes ago, so that a counter's whole value grew since.
pub(super) fn are_newborn(binary: &BinaryExpr) -> bool {
    let (Some(now), Some(earlier)) = (last_of(&binary.lhs), last_of(&binary.rhs)) else { return false };
    let is_earlier = matches!(earlier.offset, Some(Offset::Pos(_)));
    let same = VectorSelector { offset: None, ..earlier.clone() };
    Key::of(binary.modifier.as_ref()) == Key::Ignoring(Vec::new()) && is_earlier && *now == same
}

/// The selector whose last samples an expression gives.
fn last_of(expr: &Expr) -> Option<&VectorSelector> {
    match expr {
        Expr::Paren(inner) => last_of(&inner.expr),
        Expr::VectorSelector(selector) => Some(selector),
        Expr::Call(call) if call.func.name == "last_over_time" => match call.args.args.first().map(|first| &**first) {
            Some(Expr::MatrixSelector(matrix)) => Some(&matrix.vs),
            _ => None,
        },
        _ => None,
    }
}

/// Whether `part` is `whole` with nothing but more matchers, at least one more, or the bucket of a bound where `whole` is
/// the number of all observations.
pub fn is_part_of(part: &Expr, whole: &Expr) -> bool {
    is_filtered(part, whole)
        || part != whole
            && same_but_selectors(part, whole, &mut |part, whole| {
                let of_whole = |matcher: &Matcher| part.matchers.matchers.contains(matcher);
                (metric_name(part) == metric_name(whole) || is_bucket_of(part, whole))
                    && whole.matchers.matchers.iter().all(of_whole)
            })
}

/// `count(up == 0)` of `count(up)`.
fn is_filtered(part: &Expr, whole: &Expr) -> bool {
    match (part, whole) {
        (Expr::Paren(part), whole) => is_filtered(&part.expr, whole),
        (part, Expr::Paren(whole)) => is_filtered(part, &whole.expr),
        (Expr::Aggregate(part), Expr::Aggregate(whole)) => {
            let same = part.op == whole.op && part.modifier == whole.modifier;
            same && part.op.to_string() == "count"
                && part.expr != whole.expr
                && unfiltered(&part.expr) == unfiltered(&whole.expr)
                && unfiltered(&whole.expr) == &*whole.expr
        }
        _ => false,
    }
}

fn is_bucket_of(part: &VectorSelector, whole: &VectorSelector) -> bool {
    let base = |selector, suffix: &str| metric_name(selector).and_then(|name: &str| name.strip_suffix(suffix));
    let has_bound = part.matchers.matchers.iter().any(|matcher| matcher.name == "le" && matcher.op == MatchOp::Equal);
    has_bound && base(part, "_bucket").is_some() && base(part, "_bucket") == base(whole, "_count")
}

/// `sum by (namespace, status) (x)` of `sum by (namespace) (x)`.
fn is_share_of(part: &Expr, whole: &Expr) -> bool {
    match (part, whole) {
        (Expr::Paren(part), whole) => is_share_of(&part.expr, whole),
        (part, Expr::Paren(whole)) => is_share_of(part, &whole.expr),
        (Expr::Aggregate(part), Expr::Aggregate(whole)) => {
            let finer =
                by(part).zip(by(whole)).is_some_and(|(part, whole)| whole.iter().all(|label| part.contains(label)));
            finer && part.op == whole.op && (part.expr == whole.expr || is_part_of(&part.expr, &whole.expr))
        }
        _ => false,
    }
}

/// The labels that an aggregation keeps, where it names them.
fn by(aggregate: &AggregateExpr) -> Option<&[String]> {
    match &aggregate.modifier {
        None => Some(&[]),
        Some(LabelModifier::Include(labels)) => Some(&labels.labels),
        Some(LabelModifier::Exclude(_)) => None,
    }
}

/// The labels that only one of the two sides matches, or each in its own way, where the two are else the same, but for
/// a comparison that keeps one above a number.
pub fn differing_matchers(left: &Expr, right: &Expr) -> Option<BTreeSet<String>> {
    let mut labels = BTreeSet::new();
    let same = same_but_selectors(unfiltered(left), unfiltered(right), &mut |left, right| {
        let (l, r) = (&left.matchers.matchers, &right.matchers.matchers);
        let only_left = l.iter().filter(|matcher| !r.contains(matcher));
        let only_right = r.iter().filter(|matcher| !l.contains(matcher));
        labels.extend(only_left.chain(only_right).map(|matcher| matcher.name.clone()));
        left.name == right.name
    });
    same.then_some(labels)
}

/// Whether two expressions are equal but for their selectors' names and matchers, which `selectors` compares.
fn same_but_selectors(
    left: &Expr,
    right: &Expr,
    selectors: &mut impl FnMut(&VectorSelector, &VectorSelector) -> bool,
) -> bool {
    let mut same_time = |left: &VectorSelector, right: &VectorSelector| {
        left.offset == right.offset && left.at == right.at && selectors(left, right)
    };
    match (left, right) {
        (Expr::Paren(left), right) => same_but_selectors(&left.expr, right, selectors),
        (left, Expr::Paren(right)) => same_but_selectors(left, &right.expr, selectors),
        (Expr::VectorSelector(left), Expr::VectorSelector(right)) => same_time(left, right),
        (Expr::MatrixSelector(left), Expr::MatrixSelector(right)) => {
            left.range == right.range && same_time(&left.vs, &right.vs)
        }
        (Expr::Call(left), Expr::Call(right)) => {
            let (l, r) = (&left.args.args, &right.args.args);
            left.func.name == right.func.name
                && l.len() == r.len()
                && l.iter().zip(r).all(|(left, right)| same_but_selectors(left, right, selectors))
        }
        (Expr::Aggregate(left), Expr::Aggregate(right)) => {
            left.op == right.op
                && left.modifier == right.modifier
                && left.param == right.param
                && same_but_selectors(&left.expr, &right.expr, selectors)
        }
        (left, right) => left == right,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::parse_expr;

    #[track_caller]
    fn part(part: &str, whole: &str, expected: bool) {
        let (part, whole) = (parse_expr(part).unwrap(), parse_expr(whole).unwrap());
        assert_eq!(is_part_of(&part, &whole) || is_share_of(&part, &whole), expected, "{part} of {whole}");
    }

    #[test]
    fn a_part_is_its_whole_with_more_left_out() {
        part("sum(rate(x{a=\"1\"}[5m]))", "sum((rate(x[5m])))", true);
        part("sum(rate(x{a=\"1\",b=\"2\"}[5m]))", "sum(rate(x{b=\"2\"}[5m]))", true);
        part("sum(rate(x{a=\"1\"}[5m]))", "sum(rate(x{b=\"2\"}[5m]))", false);
        part("sum(rate(x{a=\"1\"}[5m]))", "sum(rate(x[10m]))", false);
        part("sum(rate(x{a=\"1\"}[5m]))", "sum(rate(y[5m]))", false);
        part("x{a=\"1\"} offset 5m", "x", false);
    }

    #[test]
    fn a_share_keeps_more_labels() {
        part("sum by (n, a) (x)", "sum by (n) (x)", true);
        part("sum by (n, a) (x{b=\"1\"})", "sum(x)", true);
        part("sum by (n) (x)", "sum by (n, a) (x)", false);
        part("max by (n, a) (x)", "sum by (n) (x)", false);
    }

    #[test]
    fn a_bucket_holds_a_part_of_all_observations() {
        part("sum(rate(h_bucket{le=\"1.0\"}[5m]))", "sum(rate(h_count[5m]))", true);
        part("sum(rate(h_bucket[5m]))", "sum(rate(h_count[5m]))", false);
        part("sum(rate(h_bucket{le=\"1.0\"}[5m]))", "sum(rate(g_count[5m]))", false);
    }
}
