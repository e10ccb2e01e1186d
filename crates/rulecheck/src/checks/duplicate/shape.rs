//! What an expression is but for its thresholds.

use std::fmt::Write as _;

use promql_parser::parser::{Expr, LabelModifier, VectorSelector};

/// An expression as text, with its thresholds taken out, its matchers sorted and its parentheses made regular.
#[derive(Default)]
pub(super) struct Shape {
    pub(super) text: String,
    /// The numbers that its conditions compare with, each turned so that a larger one makes the condition rarer.
    pub(super) thresholds: Vec<f64>,
}

impl Shape {
    /// `is_condition` says that the result holds less often where a comparison in it does.
    pub(super) fn expr(&mut self, expr: &Expr, is_condition: bool) {
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
        let found = match (expr, comparison) {
            (Expr::NumberLiteral(number), Some((operator, is_left))) if is_condition => {
                threshold(operator, number.val, is_left)
            }
            _ => None,
        };
        match found {
            Some(threshold) => {
                self.thresholds.push(threshold);
                self.text.push('#');
            }
            None => self.expr(expr, is_condition),
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

/// The threshold of `vector OPERATOR number`, or of `number OPERATOR vector`, turned so that a larger one makes the
/// condition rarer. Equality has none.
fn threshold(operator: &str, value: f64, number_is_left: bool) -> Option<f64> {
    match (operator, number_is_left) {
        (">" | ">=", false) | ("<" | "<=", true) => Some(value),
        ("<" | "<=", false) | (">" | ">=", true) => Some(-value),
        _ => None,
    }
}
