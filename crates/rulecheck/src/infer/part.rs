//! Parts and wholes: expressions that are equal but for the matchers of their selectors.

use std::collections::BTreeSet;

use promql_parser::label::Matcher;
use promql_parser::parser::{BinaryExpr, Expr, VectorSelector};

use super::interval::Interval;

/// A part divided by its whole lies between 0 and 1.
pub(super) fn part_of_whole(binary: &BinaryExpr, operator: &str) -> Option<Interval> {
    let whole = unfiltered(&binary.rhs);
    (operator == "/" && grows(&binary.lhs) && is_part_of(&binary.lhs, whole)).then(|| Interval::between(0.0, 1.0))
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

/// Whether the value adds up what is never negative, so that fewer series give less.
fn grows(expr: &Expr) -> bool {
    match expr {
        Expr::Paren(paren) => grows(&paren.expr),
        Expr::Aggregate(aggregate) => {
            matches!(aggregate.op.to_string().as_str(), "sum" | "count")
                && match aggregate.expr.as_ref() {
                    Expr::Call(call) => matches!(call.func.name, "rate" | "increase" | "irate"),
                    _ => aggregate.op.to_string() == "count",
                }
        }
        Expr::Call(call) => matches!(call.func.name, "rate" | "increase" | "irate"),
        _ => false,
    }
}

/// Whether `part` is `whole` with nothing but more matchers, at least one more.
pub fn is_part_of(part: &Expr, whole: &Expr) -> bool {
    part != whole
        && same_but_matchers(part, whole, &mut |part, whole| whole.iter().all(|matcher| part.contains(matcher)))
}

/// The labels that only one of the two sides matches, or each in its own way, where the two are else the same.
pub fn differing_matchers(left: &Expr, right: &Expr) -> Option<BTreeSet<String>> {
    let mut labels = BTreeSet::new();
    let same = same_but_matchers(left, right, &mut |left, right| {
        let only_left = left.iter().filter(|matcher| !right.contains(matcher));
        let only_right = right.iter().filter(|matcher| !left.contains(matcher));
        labels.extend(only_left.chain(only_right).map(|matcher| matcher.name.clone()));
        true
    });
    same.then_some(labels)
}

/// Whether two expressions are equal but for the matchers of their selectors, which `matchers` compares.
fn same_but_matchers(left: &Expr, right: &Expr, matchers: &mut impl FnMut(&[Matcher], &[Matcher]) -> bool) -> bool {
    match (left, right) {
        (Expr::Paren(left), right) => same_but_matchers(&left.expr, right, matchers),
        (left, Expr::Paren(right)) => same_but_matchers(left, &right.expr, matchers),
        (Expr::VectorSelector(left), Expr::VectorSelector(right)) => same_selector(left, right, matchers),
        (Expr::MatrixSelector(left), Expr::MatrixSelector(right)) => {
            left.range == right.range && same_selector(&left.vs, &right.vs, matchers)
        }
        (Expr::Call(left), Expr::Call(right)) => {
            let (l, r) = (&left.args.args, &right.args.args);
            left.func.name == right.func.name
                && l.len() == r.len()
                && l.iter().zip(r).all(|(left, right)| same_but_matchers(left, right, matchers))
        }
        (Expr::Aggregate(left), Expr::Aggregate(right)) => {
            left.op == right.op
                && left.modifier == right.modifier
                && left.param == right.param
                && same_but_matchers(&left.expr, &right.expr, matchers)
        }
        (left, right) => left == right,
    }
}

fn same_selector(
    left: &VectorSelector,
    right: &VectorSelector,
    matchers: &mut impl FnMut(&[Matcher], &[Matcher]) -> bool,
) -> bool {
    left.name == right.name
        && left.offset == right.offset
        && left.at == right.at
        && matchers(&left.matchers.matchers, &right.matchers.matchers)
}
