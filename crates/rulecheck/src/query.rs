//! PromQL expressions: parsed once, walked by our own recursion.
//!
//! `promql_parser::util::walk_expr` does not visit the parameter of an aggregation, so it is not used.

use promql_parser::parser::{Expr, VectorSelector, parse};

/// How a name begins that stands for a variable of a dashboard: nothing is known of the metric or the label.
pub const VARIABLE: &str = "grafana_variable_";

/// Deeper nesting, or a longer chain of operators, than any person writes. It bounds every recursion over expressions:
/// the parser's own, ours, and the one that drops a tree.
const MAX_DEPTH: usize = 200;

/// Longer messages only repeat the query.
const MAX_MESSAGE: usize = 300;

/// Parses an expression, comments and all. The parser's messages are short and have no position.
pub fn parse_expr(text: &str) -> Result<Expr, String> {
    if depth(text) > MAX_DEPTH {
        return Err(format!("more than {MAX_DEPTH} operators and brackets inside one another"));
    }
    if has_endless_duration(text) {
        return Err("a range or an offset of more than a thousand years".to_owned());
    }
    parse(text).map_err(|message| match message.char_indices().nth(MAX_MESSAGE) {
        Some((end, _)) => format!("{}…", &message[..end]),
        None if message.is_empty() => "invalid promql query".to_owned(),
        None => message,
    })
}

/// What stands between a bracket and its end: the operators since the last comma, the deepest bracket among them, and
/// the deepest of the arguments before.
#[derive(Default)]
struct Level {
    operators: usize,
    inner: usize,
    before: usize,
}

impl Level {
    fn depth(&self) -> usize {
        self.before.max(self.operators + self.inner)
    }
}

/// At least the depth of the tree that the parser would build. A chain of operators leans to one side, so each counts.
fn depth(text: &str) -> usize {
    let mut open: Vec<Level> = Vec::new();
    let mut level = Level::default();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let (token, behind) = rest.split_at(token_length(rest, c));
        rest = behind;
        match c {
            '(' => open.push(std::mem::take(&mut level)),
            '[' => {
                // A range or a subquery wraps what stands before it.
                level.operators += 1;
                open.push(std::mem::take(&mut level));
            }
            ')' | ']' => {
                if let Some(outer) = open.pop() {
                    let closed = std::mem::replace(&mut level, outer).depth() + 1;
                    level.inner = level.inner.max(closed);
                }
            }
            ',' => level = Level { before: level.depth(), ..Level::default() },
            '+' | '-' | '*' | '/' | '%' | '^' | '=' | '!' | '<' | '>' => level.operators += 1,
            _ if ["and", "or", "unless", "atan2"].iter().any(|word| token.eq_ignore_ascii_case(word)) => {
                level.operators += 1;
            }
            _ => {}
        }
        if open.len() > MAX_DEPTH {
            break;
        }
    }
    open.iter().rev().fold(level.depth(), |inside, outer| inside + 1 + outer.depth())
}

/// Whether a plain number of seconds that no duration can hold stands where a duration does; the parser panics there.
fn has_endless_duration(text: &str) -> bool {
    let mut expected = false;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let number = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '.').unwrap_or(rest.len());
        let exponent = rest[..number].ends_with(['e', 'E']) && rest[number..].starts_with(['+', '-']);
        let tail = if exponent { &rest[number + 1..] } else { "" };
        let digits = tail.find(|c: char| !c.is_ascii_digit()).unwrap_or(tail.len());
        let number = &rest[..number + if exponent { 1 + digits } else { 0 }];
        if expected && seconds_of(number).is_some_and(|seconds| seconds.is_nan() || seconds.abs() >= 4e10) {
            return true;
        }
        let token = match c {
            _ if expected && !number.is_empty() => number,
            // The step of a subquery stands behind a colon that names may hold too.
            'a'..='z' | 'A'..='Z' | '_' | '0'..='9' => {
                &rest[..rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len())]
            }
            _ => &rest[..token_length(rest, c).min(if c == ':' { 1 } else { usize::MAX })],
        };
        expected = match c {
            '[' | ':' => true,
            '#' | '+' | '-' => expected,
            _ if c.is_whitespace() => expected,
            _ => token.eq_ignore_ascii_case("offset"),
        };
        rest = &rest[token.len()..];
    }
    false
}

/// A number as PromQL writes it: decimal, hexadecimal, octal, infinite.
fn seconds_of(text: &str) -> Option<f64> {
    let lower = text.to_ascii_lowercase();
    match lower.strip_prefix("0x") {
        // Longer ones are beyond any duration.
        Some(digits) => Some(u64::from_str_radix(digits, 16).map_or(f64::INFINITY, |number| number as f64)),
        None => lower.parse().ok(),
    }
}

/// The length of the token that `text` begins with: a comment, a string, label matchers with their braces, a word, an
/// operator, or one character.
fn token_length(text: &str, first: char) -> usize {
    let bytes = text.as_bytes();
    match first {
        '#' => text.find('\n').unwrap_or(text.len()),
        '"' | '\'' | '`' => string_length(bytes),
        '{' => {
            let mut at = 1;
            while at < bytes.len() && bytes[at] != b'}' {
                at += if matches!(bytes[at], b'"' | b'\'' | b'`') { string_length(&bytes[at..]) } else { 1 };
            }
            (at + 1).min(text.len())
        }
        'a'..='z' | 'A'..='Z' | '_' | ':' | '0'..='9' => {
            text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':').unwrap_or(text.len())
        }
        '=' | '!' | '<' | '>' if matches!(bytes.get(1), Some(b'=' | b'~')) => 2,
        _ => first.len_utf8(),
    }
}

/// The length of a string with its quotes, which `bytes` begin with; to the end where it is not closed.
pub(crate) fn string_length(bytes: &[u8]) -> usize {
    let quote = bytes[0];
    let mut at = 1;
    while at < bytes.len() && bytes[at] != quote {
        at += if bytes[at] == b'\\' && quote != b'`' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

/// Every selector of an expression, in reading order.
pub fn selectors(expr: &Expr) -> Vec<&VectorSelector> {
    let mut found = Vec::new();
    collect(expr, true, &mut found);
    found
}

/// Every selector without a range, in reading order.
pub fn instant_selectors(expr: &Expr) -> Vec<&VectorSelector> {
    let mut found = Vec::new();
    collect(expr, false, &mut found);
    found
}

fn collect<'a>(expr: &'a Expr, ranges: bool, found: &mut Vec<&'a VectorSelector>) {
    match expr {
        Expr::VectorSelector(selector) => found.push(selector),
        Expr::MatrixSelector(matrix) if ranges => found.push(&matrix.vs),
        Expr::Aggregate(aggregate) => {
            if let Some(parameter) = &aggregate.param {
                collect(parameter, ranges, found);
            }
            collect(&aggregate.expr, ranges, found);
        }
        Expr::Unary(unary) => collect(&unary.expr, ranges, found),
        Expr::Binary(binary) => {
            collect(&binary.lhs, ranges, found);
            collect(&binary.rhs, ranges, found);
        }
        Expr::Paren(paren) => collect(&paren.expr, ranges, found),
        Expr::Subquery(subquery) if ranges => collect(&subquery.expr, ranges, found),
        Expr::Call(call) => call.args.args.iter().for_each(|argument| collect(argument, ranges, found)),
        Expr::MatrixSelector(_)
        | Expr::Subquery(_)
        | Expr::NumberLiteral(_)
        | Expr::StringLiteral(_)
        | Expr::Extension(_) => {}
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
    fn deep_nesting_is_an_error_however_it_is_written() {
        let around = |open: &str, close: &str| open.repeat(100_000) + "a" + &close.repeat(100_000);
        for deep in [
            around("(", ")"),
            around("abs(", ")"),
            around("-", ""),
            around("", " + a"),
            around("", " ^ a"),
            around("", " OR a"),
            around("", "[5m:1m]"),
            around("a{b=\"(\"} - (", ")"),
            around("sum by (a) (", ""),
            around("[", ""),
        ] {
            let message = parse_expr(&deep).unwrap_err();
            assert_eq!(message, "more than 200 operators and brackets inside one another");
        }
    }

    /// The parser, our recursion and the drop of the tree fit into the 2 MB of a test's thread.
    #[test]
    fn the_deepest_that_passes_is_parsed() {
        for expr in
            ["-".repeat(200) + "a", "a".to_owned() + &" ^ a".repeat(200), "(".repeat(200) + "a" + &")".repeat(200)]
        {
            assert_eq!(names(&expr)[0], "a");
        }
    }

    #[test]
    fn what_only_looks_deep_passes() {
        assert_eq!(depth("a{b=\"((((\", c=~'[[[['} # (((("), 0);
        assert_eq!(depth("f(a + b, c + d, e)"), 2);
        assert_eq!(depth("(a) or (b) or (c >= bool 1)"), 4);
        assert_eq!(depth("max_over_time(order_total[5m])"), 3);
    }

    #[test]
    fn a_message_does_not_repeat_a_huge_query() {
        assert!(parse_expr(&format!("a{{b=~\"({}\"}}", "x".repeat(100_000))).unwrap_err().len() < 1000);
    }

    #[test]
    fn a_duration_that_no_clock_can_hold_is_an_error() {
        for endless in [
            "a offset 1e309",
            "a offset -\n1e+300",
            "a[99999999999999999999]",
            "a[5m:1e20]",
            "a offset # why\n inf",
            "a[0xffffffffffffffffff]",
        ] {
            assert!(parse_expr(endless).is_err_and(|message| message.contains("thousand years")), "{endless}");
        }
        assert!(parse_expr("max_over_time(a:b[1e2:60] offset 1h) > 1e300 or c offset 5").is_ok());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,60}") {
            let _ = parse_expr(&text);
        }

        #[test]
        fn no_queer_query_panics(
            tokens in proptest::collection::vec(
                proptest::sample::select(vec![
                    "a", "1e309", "99999999999999999999", "5m", "9999999999999y", "(", ")", "[", "]", "{", "}", ":", ",",
                    "=", "=~", "!~", "==", "-", "+", "^", "@", "offset", "by", "sum", "rate", "on", "group_left", "and",
                    "bool", "\"", "'", "`", "\"\\u\"", "\"(\"", "é", "start()", "histogram_quantile", "0x", "#", "\n", " ",
                ]),
                0..12,
            ),
        ) {
            let _ = parse_expr(&tokens.concat());
            let _ = parse_expr(&tokens.join(" "));
        }
    }
}
