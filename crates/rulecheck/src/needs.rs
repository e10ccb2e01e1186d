//! What must exist for a query to return anything, as alternatives: sets of series, one of which must be there as a whole.
//!
//! `or` offers alternatives; every other operator needs both of its sides, save `unless`, which needs only its left one.
//! A recording rule needs what its own expression needs.

use std::collections::{BTreeMap, BTreeSet};

use promql_parser::label::MatchOp;
use promql_parser::parser::token::{T_LOR, T_LUNLESS};
use promql_parser::parser::{Expr, VectorSelector};

use crate::query::metric_name;
use crate::rules::RuleFile;

/// More alternatives than any person writes. A chain of `(a or b) and (c or d) and …` doubles them with every link.
const MAX_ALTERNATIVES: usize = 256;

/// Series of one name that a query asks for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Need {
    /// The name, with `_bucket`, `_sum` or `_count` where the query has one.
    pub series: String,
    /// The job, where the query names exactly one: of `up` it tells which target is meant.
    pub job: Option<String>,
}

/// Series that must all be there.
pub type Alternative = BTreeSet<Need>;

/// The alternatives of an expression, none of which holds another one. An empty alternative means that nothing is needed,
/// as for `vector(1)` or `absent(x)`; no alternative, that the expression can never return anything, as a recording rule
/// that is made of itself. `scalar(x)` needs `x`: without it the number is NaN, which no comparison holds for.
///
/// The error says that there are too many alternatives to tell.
pub fn needs(expr: &Expr, rules: &[RuleFile]) -> Result<BTreeSet<Alternative>, String> {
    let mut recorded: BTreeMap<&str, Vec<&Expr>> = BTreeMap::new();
    for rule in rules.iter().flat_map(RuleFile::rules) {
        if let Some(name) = rule.record() {
            recorded.entry(name).or_default().push(&rule.ast);
        }
    }
    Walk { recorded, known: BTreeMap::new() }.expr(expr)
}

struct Walk<'a> {
    recorded: BTreeMap<&'a str, Vec<&'a Expr>>,
    /// Recording rules that are worked out, or being so, when they offer nothing yet.
    known: BTreeMap<String, BTreeSet<Alternative>>,
}

impl Walk<'_> {
    fn expr(&mut self, expr: &Expr) -> Result<BTreeSet<Alternative>, String> {
        match expr {
            Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => Ok(nothing()),
            Expr::VectorSelector(selector) => self.selector(selector),
            Expr::MatrixSelector(matrix) => self.selector(&matrix.vs),
            Expr::Aggregate(aggregate) => self.expr(&aggregate.expr),
            Expr::Unary(unary) => self.expr(&unary.expr),
            Expr::Paren(paren) => self.expr(&paren.expr),
            Expr::Subquery(subquery) => self.expr(&subquery.expr),
            Expr::Binary(binary) => match binary.op.id() {
                T_LUNLESS => self.expr(&binary.lhs),
                T_LOR => either(self.expr(&binary.lhs)?, self.expr(&binary.rhs)?),
                _ => both(&self.expr(&binary.lhs)?, &self.expr(&binary.rhs)?),
            },
            Expr::Call(call) if matches!(call.func.name, "absent" | "absent_over_time") => Ok(nothing()),
            Expr::Call(call) => {
                call.args.args.iter().try_fold(nothing(), |needs, argument| both(&needs, &self.expr(argument)?))
            }
        }
    }

    fn selector(&mut self, selector: &VectorSelector) -> Result<BTreeSet<Alternative>, String> {
        // Nobody can say what a selector without a name finds.
        let Some(name) = metric_name(selector) else { return Ok(nothing()) };
        if let Some(known) = self.known.get(name) {
            return Ok(known.clone());
        }
        if let Some(rules) = self.recorded.get(name).cloned() {
            self.known.insert(name.to_owned(), BTreeSet::new());
            let needs = rules.into_iter().try_fold(BTreeSet::new(), |needs, rule| either(needs, self.expr(rule)?))?;
            self.known.insert(name.to_owned(), needs.clone());
            return Ok(needs);
        }
        let mut jobs = selector.matchers.matchers.iter().filter(|m| m.name == "job" && m.op == MatchOp::Equal);
        let need = Need { series: name.to_owned(), job: jobs.next().map(|matcher| matcher.value.clone()) };
        Ok(BTreeSet::from([Alternative::from([need])]))
    }
}

fn nothing() -> BTreeSet<Alternative> {
    BTreeSet::from([Alternative::new()])
}

fn either(mut left: BTreeSet<Alternative>, right: BTreeSet<Alternative>) -> Result<BTreeSet<Alternative>, String> {
    left.extend(right);
    smallest(&left)
}

fn both(left: &BTreeSet<Alternative>, right: &BTreeSet<Alternative>) -> Result<BTreeSet<Alternative>, String> {
    // Before the product is made: it is compared pair by pair.
    if left.len() * right.len() > 16 * MAX_ALTERNATIVES {
        return Err(too_many());
    }
    smallest(&left.iter().flat_map(|l| right.iter().map(move |r| l | r)).collect())
}

/// Leaves out every alternative that holds another one: who has the larger has the smaller too.
fn smallest(all: &BTreeSet<Alternative>) -> Result<BTreeSet<Alternative>, String> {
    let larger = |one: &Alternative| all.iter().any(|other| other != one && other.is_subset(one));
    let smallest: BTreeSet<Alternative> = all.iter().filter(|one| !larger(one)).cloned().collect();
    if smallest.len() > MAX_ALTERNATIVES {
        return Err(too_many());
    }
    Ok(smallest)
}

fn too_many() -> String {
    format!("there are more than {MAX_ALTERNATIVES} sets of series that it could be made of")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::parse_expr;
    use proptest::prelude::*;

    const RULES: &str = "groups:
  - name: g
    rules:
      - {record: 'r:either', expr: 'a or b'}
      - {record: 'r:itself', expr: 'r:itself + 1'}
      - {record: 'r:twice', expr: 'a'}
      - {record: 'r:twice', expr: 'b', labels: {x: y}}
";

    /// The alternatives as `a b | c`, each need as `series` or `series/job`.
    fn alternatives(text: &str) -> String {
        let rules: Vec<RuleFile> = RuleFile::parse("r.yaml", RULES, &mut Vec::new()).into_iter().collect();
        let found = needs(&parse_expr(text).unwrap(), &rules).unwrap();
        let show = |need: &Need| match &need.job {
            Some(job) => format!("{}/{job}", need.series),
            None => need.series.clone(),
        };
        let alternatives = found.iter().map(|all| all.iter().map(show).collect::<Vec<_>>().join(" "));
        alternatives.collect::<Vec<_>>().join(" | ")
    }

    #[test]
    fn operators_join_and_offer() {
        for (text, expected) in [
            ("sum by (x) (rate(a[5m])) / on (x) b > 0.1", "a b"),
            ("a or b", "a | b"),
            ("a unless b", "a"),
            ("(a or b) and on (x) c", "a c | b c"),
            ("a or (a and b)", "a"),
            ("histogram_quantile(0.9, sum by (le) (rate(h_bucket[5m])))", "h_bucket"),
            ("topk(scalar(a), b)", "b"),
            ("max_over_time((-c offset 1h)[1h:])", "c"),
            ("label_replace(a, \"x\", \"$1\", \"y\", \"(.+)\")", "a"),
            ("up{job=\"one\"} == 0 or up{job=~\"two|three\"}", "up | up/one"),
        ] {
            assert_eq!(alternatives(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_always_there_needs_nothing() {
        for text in ["vector(1)", "absent(a)", "a or vector(0)", "time()", "{x=\"y\"}", "absent_over_time(a[5m])"] {
            assert_eq!(alternatives(text), "", "{text}");
        }
        assert_eq!(alternatives("vector(scalar(a))"), "a");
    }

    #[test]
    fn a_recording_rule_needs_what_it_is_made_of() {
        assert_eq!(alternatives("r:either > 1 and c"), "a c | b c");
        assert_eq!(alternatives("r:twice"), "a | b");
        assert_eq!(alternatives("r:itself or c"), "c", "a rule made of itself never returns anything");
    }

    #[test]
    fn alternatives_that_double_with_every_link_are_an_error_in_time() {
        let links: Vec<String> = (0..100).map(|n| format!("(a{n} or b{n})")).collect();
        assert!(needs(&parse_expr(&links.join(" and ")).unwrap(), &[]).unwrap_err().contains("more than 256"));
    }

    proptest! {
        /// Against the meaning itself: an expression of `and`, `or` and `*` over three names returns something
        /// exactly where one of its alternatives is there.
        #[test]
        fn alternatives_say_when_something_returns(text in formula(), there in 0_u8..8) {
            let has = |name: &str| there & (1 << "abc".find(name).unwrap()) != 0;
            let found = needs(&parse_expr(&text).unwrap(), &[]).unwrap();
            let met = found.iter().any(|all| all.iter().all(|need| has(&need.series)));
            prop_assert_eq!(met, returns(&parse_expr(&text).unwrap(), &has));
        }
    }

    fn formula() -> impl Strategy<Value = String> {
        let name = prop::sample::select(vec!["a", "b", "c"]).prop_map(str::to_owned);
        name.prop_recursive(4, 24, 2, |inner| {
            let op = prop::sample::select(vec!["and", "or", "*"]);
            (inner.clone(), op, inner).prop_map(|(left, op, right)| format!("({left} {op} {right})"))
        })
    }

    fn returns(expr: &Expr, has: &impl Fn(&str) -> bool) -> bool {
        match expr {
            Expr::Paren(paren) => returns(&paren.expr, has),
            Expr::VectorSelector(selector) => has(metric_name(selector).unwrap()),
            Expr::Binary(binary) if binary.op.id() == T_LOR => returns(&binary.lhs, has) || returns(&binary.rhs, has),
            Expr::Binary(binary) => returns(&binary.lhs, has) && returns(&binary.rhs, has),
            _ => unreachable!(),
        }
    }
}
