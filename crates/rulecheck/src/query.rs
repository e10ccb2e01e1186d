//! PromQL expressions: parsed once, walked by our own recursion.
//!
//! `promql_parser::util::walk_expr` does not visit the parameter of an aggregation, so it is not used.

use promql_parser::parser::{Expr, VectorSelector, parse};

/// How a name begins that stands for a variable of a dashboard: nothing is known of the metric or the label.
pub const VARIABLE: &str = "grafana_variable_";

/// Deeper nesting than any person writes. It bounds the recursion here and in the parser.
const MAX_DEPTH: usize = 200;

/// Parses an expression, comments and all. The parser's messages are short and have no position.
pub fn parse_expr(text: &str) -> Result<Expr, String> {
    let depth = text.bytes().fold((0_usize, 0_usize), |(depth, deepest), byte| match byte {
        b'(' => (depth + 1, deepest.max(depth + 1)),
        b')' => (depth.saturating_sub(1), deepest),
        _ => (depth, deepest),
    });
    if depth.1 > MAX_DEPTH {
        return Err(format!("more than {MAX_DEPTH} nested parentheses"));
    }
    parse(text).map_err(|message| if message.is_empty() { "invalid promql query".to_owned() } else { message })
}

/// Every selector of an expression, in reading order.
pub fn selectors(expr: &Expr) -> Vec<&VectorSelector> {
    let mut found = Vec::new();
    collect(expr, &mut found);
    found
}

fn collect<'a>(expr: &'a Expr, found: &mut Vec<&'a VectorSelector>) {
    match expr {
        Expr::VectorSelector(selector) => found.push(selector),
        Expr::MatrixSelector(matrix) => found.push(&matrix.vs),
        Expr::Aggregate(aggregate) => {
            if let Some(parameter) = &aggregate.param {
                collect(parameter, found);
            }
            collect(&aggregate.expr, found);
        }
        Expr::Unary(unary) => collect(&unary.expr, found),
        Expr::Binary(binary) => {
            collect(&binary.lhs, found);
            collect(&binary.rhs, found);
        }
        Expr::Paren(paren) => collect(&paren.expr, found),
        Expr::Subquery(subquery) => collect(&subquery.expr, found),
        Expr::Call(call) => call.args.args.iter().for_each(|argument| collect(argument, found)),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => {}
    }
}

/// The metric name of a selector, written before the braces or as `{__name__="…"}`. `None` when it selects by a
/// pattern, by a dashboard's variable or by other labels only.
pub fn metric_name(selector: &VectorSelector) -> Option<&str> {
    use promql_parser::label::MatchOp;
    let written = selector.name.as_deref().or_else(|| {
        let matcher = selector.matchers.matchers.iter().find(|m| m.name == "__name__" && m.op == MatchOp::Equal)?;
        Some(&matcher.value)
    });
    written.filter(|name| !has_variable(name))
}

/// Whether a name or a matcher's value holds a variable of a dashboard, so that nothing is known of it.
pub fn has_variable(text: &str) -> bool {
    let after_dollar =
        text.split('$').skip(1).any(|rest| rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '{'));
    after_dollar || text.contains("[[") || text.contains(VARIABLE)
}

/// A Prometheus duration in seconds: `90s`, `1h30m`; `None` for what is none.
pub fn seconds(duration: &str) -> Option<f64> {
    if !crate::rules::is_duration(duration) {
        return None;
    }
    let mut total = 0.0;
    let mut rest = duration;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, tail) = rest.split_at(digits);
        let unit = tail.len() - tail.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let (unit, tail) = tail.split_at(unit);
        let factor = match unit {
            "y" => 365.0 * 86_400.0,
            "w" => 7.0 * 86_400.0,
            "d" => 86_400.0,
            "h" => 3600.0,
            "m" => 60.0,
            "ms" => 0.001,
            _ => 1.0,
        };
        total += number.parse::<f64>().ok()? * factor;
        rest = tail;
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(text: &str) -> Vec<String> {
        let expr = parse_expr(text).unwrap();
        selectors(&expr).into_iter().filter_map(|s| metric_name(s).map(str::to_owned)).collect()
    }

    #[test]
    fn selectors_are_found_wherever_they_hide() {
        assert_eq!(names("quantile(scalar(a), b)"), ["a", "b"]);
        assert_eq!(names("max_over_time((-c offset 1h)[1h:])"), ["c"]);
        assert_eq!(names("{__name__=\"d\", x=\"1\"} or on () e{y=~\"f\"} # g"), ["d", "e"]);
    }

    #[test]
    fn durations_are_seconds() {
        assert_eq!(
            ["1h30m", "90s", "500ms", "0", "x"].map(seconds),
            [Some(5400.0), Some(90.0), Some(0.5), Some(0.0), None]
        );
    }

    #[test]
    fn a_variable_is_not_taken_for_a_value() {
        assert!(
            ["$job", "a-${job:regex}", "[[job]]", "grafana_variable_metric_total"]
                .iter()
                .all(|text| has_variable(text))
        );
        assert!(!has_variable("a$") && !has_variable("5.."));
        assert_eq!(names("grafana_variable_x{a=\"b\"} + {__name__=\"$x\"}"), [""; 0]);
    }

    #[test]
    fn deep_nesting_is_an_error() {
        assert!(parse_expr(&("(".repeat(1000) + "a" + &")".repeat(1000))).is_err());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,60}") {
            let _ = parse_expr(&text);
        }
    }
}
