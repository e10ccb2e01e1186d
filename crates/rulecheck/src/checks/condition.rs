//! The comparisons of an expression, and those among them that decide whether an alert fires.

use promql_parser::parser::{BinaryExpr, Expr};

use crate::infer::{Arm, Node, mirrored};

/// A comparison, read so that a number stands on the right: `5 < x` as `x > 5`.
pub(super) struct Comparison<'n, 'a> {
    pub(super) value: &'n Node<'a>,
    pub(super) operator: String,
    pub(super) bound: &'n Node<'a>,
    /// Whether it gives 0 or 1 instead of taking series away.
    pub(super) is_bool: bool,
}

impl<'n, 'a> Comparison<'n, 'a> {
    /// The comparison that the node is.
    pub(super) fn of(node: &'n Node<'a>) -> Option<Comparison<'n, 'a>> {
        let (binary, left, right) = binary(node)?;
        if !binary.op.is_comparison_operator() {
            return None;
        }
        let (is_bool, operator) = (binary.return_bool(), binary.op.to_string());
        match left.number().is_some() && right.number().is_none() {
            true => Some(Comparison { value: right, operator: mirrored(&operator).to_owned(), bound: left, is_bool }),
            false => Some(Comparison { value: left, operator, bound: right, is_bool }),
        }
    }

    /// Whether it asks for small values: `<`, `<=`, or `== 0`.
    pub(super) fn asks_for_little(&self) -> bool {
        match self.operator.as_str() {
            "<" => self.bound.number().is_none_or(|bound| bound > 0.0),
            "<=" => self.bound.number().is_none_or(|bound| bound >= 0.0),
            "==" => self.bound.number() == Some(0.0),
            _ => false,
        }
    }

    /// Whether it holds for no value of the arm, whatever the other side is.
    pub(super) fn never(&self, arm: &Arm) -> bool {
        let mut bounds = self.bound.alive().peekable();
        bounds.peek().is_some() && bounds.all(|bound| arm.interval.filter(&self.operator, bound.interval).is_empty())
    }

    /// Whether it holds for every value of the arm, whatever the other side is.
    pub(super) fn always(&self, arm: &Arm) -> bool {
        let mut bounds = self.bound.alive().peekable();
        bounds.peek().is_some() && bounds.all(|bound| arm.interval.always(&self.operator, bound.interval))
    }
}

/// A comparison that decides whether an alert fires, with what stands beside it.
pub(super) struct Condition<'n, 'a> {
    pub(super) node: &'n Node<'a>,
    pub(super) comparison: Comparison<'n, 'a>,
    /// What must hold too: the other sides of `and`.
    pub(super) beside: Vec<&'n Node<'a>>,
    /// What may hold instead: the other sides of `or`.
    pub(super) instead: Vec<&'n Node<'a>>,
    /// What must not hold: the right sides of `unless`.
    pub(super) except: Vec<&'n Node<'a>>,
}

/// What stands around a comparison.
#[derive(Default, Clone)]
struct Around<'n, 'a> {
    beside: Vec<&'n Node<'a>>,
    instead: Vec<&'n Node<'a>>,
    except: Vec<&'n Node<'a>>,
}

/// The deciding comparisons of an expression. What `unless` takes away and what a value is made of do not decide.
pub(super) fn conditions<'n, 'a>(root: &'n Node<'a>) -> Vec<Condition<'n, 'a>> {
    let mut found = Vec::new();
    collect(root, &Around::default(), &mut found);
    found
}

fn collect<'n, 'a>(node: &'n Node<'a>, around: &Around<'n, 'a>, found: &mut Vec<Condition<'n, 'a>>) {
    let with = |others: &[&'n Node<'a>], other: &'n Node<'a>| -> Vec<&'n Node<'a>> { [others, &[other]].concat() };
    let beside = |other| Around { beside: with(&around.beside, other), ..around.clone() };
    let instead = |other| Around { instead: with(&around.instead, other), ..around.clone() };
    match (node.expr, node.children.as_slice()) {
        (Expr::Binary(binary), [left, right]) => match binary.op.to_string().as_str() {
            "and" => {
                collect(left, &beside(right), found);
                collect(right, &beside(left), found);
            }
            "or" => {
                collect(left, &instead(right), found);
                collect(right, &instead(left), found);
            }
            "unless" => collect(left, &Around { except: with(&around.except, right), ..around.clone() }, found),
            _ => {
                if let Some(comparison) = Comparison::of(node) {
                    collect(comparison.value, around, found);
                    let Around { beside, instead, except } = around.clone();
                    found.push(Condition { node, comparison, beside, instead, except });
                }
            }
        },
        // What is aggregated decides where nothing is compared after it: `max by (namespace) (x == 0)`.
        (Expr::Aggregate(_), [.., body]) => collect(body, around, found),
        _ => {}
    }
}

/// The operator that the node is, with its sides.
pub(super) fn binary<'n, 'a>(node: &'n Node<'a>) -> Option<(&'a BinaryExpr, &'n Node<'a>, &'n Node<'a>)> {
    match (node.expr, node.children.as_slice()) {
        (Expr::Binary(binary), [left, right]) => Some((binary, left, right)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infer::{World, infer};
    use crate::{Contract, query::parse_expr};

    #[test]
    fn only_what_decides_is_a_condition() {
        let contract = Contract::default();
        let world = World::new(&contract, &[]);
        let found = |text: &str| -> Vec<String> {
            let expr = parse_expr(text).unwrap();
            let root = infer(&world, &expr);
            let conditions = conditions(&root);
            let texts = conditions.iter().map(|condition| {
                let Comparison { value, operator, bound, .. } = &condition.comparison;
                let (beside, instead) = (condition.beside.len(), condition.instead.len());
                format!("{} {operator} {} beside {beside} instead {instead}", value.expr, bound.expr)
            });
            texts.collect()
        };
        assert_eq!(found("5 < a"), ["a > 5 beside 0 instead 0"]);
        assert_eq!(found("a > b and c > 1 or d == 0")[1], "c > 1 beside 1 instead 1");
        assert_eq!(found("a > 5 unless b > 6"), ["a > 5 beside 0 instead 0"]);
        assert_eq!(found("max by (x) (a == 0)"), ["a == 0 beside 0 instead 0"]);
        assert_eq!(found("a / (b > 0) > 5").len(), 1);
    }
}
