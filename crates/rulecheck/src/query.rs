//! PromQL expressions: parsed once, walked by our own recursion.
//!
//! `promql_parser::util::walk_expr` does not visit the parameter of an aggregation, so it is not used.

mod depth;
mod dialect;

use std::fmt;

use promql_parser::parser::{Expr, VectorSelector, parse};

use crate::finding::Finding;
use depth::{MAX_DEPTH, depth};

/// How a name begins that stands for a variable of a dashboard: nothing is known of the metric or the label.
pub const VARIABLE: &str = "grafana_variable_";

/// Longer messages only repeat the query.
const MAX_MESSAGE: usize = 300;

/// Why an expression was not read, to be said of it: "the expression does not parse: …".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unread {
    /// Prometheus does not read it either.
    Wrong(String),
    /// It is more than this checker reads, and may be right.
    Beyond(String),
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unread::Wrong(why) => write!(f, "does not parse: {why}"),
            Unread::Beyond(why) => write!(f, "cannot be checked: {why}"),
        }
    }
}

impl Unread {
    /// What may be right is no error.
    pub fn weigh(&self, finding: Finding) -> Finding {
        if matches!(self, Unread::Wrong(_)) { finding } else { finding.warning() }
    }
}

/// Parses an expression, comments and all. The parser's messages are short and have no position.
pub fn parse_expr(text: &str) -> Result<Expr, Unread> {
    if depth(text) > MAX_DEPTH {
        let why = format!(
            "it has more than {MAX_DEPTH} operators and brackets inside one another, the most that this checker reads; \
             record a part of it as a series of its own"
        );
        return Err(Unread::Beyond(why));
    }
    let plain = dialect::plain(text);
    if has_endless_duration(&plain.text) {
        return Err(Unread::Wrong("a range or an offset of more than a thousand years".to_owned()));
    }
    parse(&plain.text).map_err(|message| match (plain.beyond, message.trim()) {
        (Some(what), _) => Unread::Beyond(format!("this version of the checker does not know {what} yet")),
        (None, "") => Unread::Wrong("invalid promql query".to_owned()),
        (None, message) => Unread::Wrong(match message.char_indices().nth(MAX_MESSAGE) {
            Some((end, _)) => format!("{}…", &message[..end]),
            None => message.to_owned(),
        }),
    })
}

/// Whether a plain number of seconds that no duration can hold stands where a duration does; the parser panics there.
fn has_endless_duration(text: &str) -> bool {
    let mut expected = false;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let number = &rest[..number_length(rest)];
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

/// The length of the number or the word that a text begins with, a sign in its exponent included.
fn number_length(text: &str) -> usize {
    let length = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '.').unwrap_or(text.len());
    if !text[..length].ends_with(['e', 'E']) || !text[length..].starts_with(['+', '-']) {
        return length;
    }
    let tail = &text[length + 1..];
    length + 1 + tail.find(|c: char| !c.is_ascii_digit()).unwrap_or(tail.len())
}

/// The length of the spaces and comments that a text begins with.
fn blank_length(text: &str) -> usize {
    let mut rest = text.trim_start();
    while rest.starts_with('#') {
        rest = rest.find('\n').map_or("", |end| rest[end..].trim_start());
    }
    text.len() - rest.len()
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
                at += match bytes[at] {
                    b'"' | b'\'' | b'`' => string_length(&bytes[at..]),
                    b'#' => bytes[at..].iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len() - at),
                    _ => 1,
                };
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
            let unread = parse_expr(&deep).unwrap_err();
            assert!(matches!(&unread, Unread::Beyond(why) if why.starts_with("it has more than 200 operators")));
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
    fn a_message_does_not_repeat_a_huge_query() {
        assert!(parse_expr(&format!("a{{b=~\"({}\"}}", "x".repeat(100_000))).unwrap_err().to_string().len() < 1000);
    }

    #[test]
    fn what_prometheus_reads_and_the_parser_does_not_is_read() {
        for (written, expected) in [
            (r"a{status=~`fail\w+`}", r#"a{status=~"fail\\w+"}"#),
            (r#"a{b=~"\\Qx.y\\E"}"#, r#"a{b=~"x\\.y"}"#),
            ("rate(a[5m*2])", "rate(a[10m])"),
            ("a offset -(1h*2)", "a offset -2h"),
            ("rate(a[1_0 * 60])", "rate(a[10m])"),
            ("rate(a{b=\"c\" # it's }\n}[5m*2])", "rate(a{b=\"c\"}[10m])"),
            ("a offset (5m) * 2 > 1", "a offset 10m > 1"),
        ] {
            assert_eq!(parse_expr(written), parse_expr(expected), "{written}");
            assert!(parse_expr(expected).is_ok(), "{expected}");
        }
    }

    #[test]
    fn what_prometheus_may_read_is_not_called_wrong() {
        let unread = parse_expr("rate(a[step()])").unwrap_err();
        assert_eq!(
            unread.to_string(),
            "cannot be checked: this version of the checker does not know durations that are made of `step()` or `range()` yet"
        );
        for beyond in ["rate(a[5m] anchored)", "sum(a smoothed)", "a and on (b) anchored"] {
            assert!(matches!(parse_expr(beyond), Err(Unread::Beyond(_))), "{beyond}");
        }
        assert!(matches!(parse_expr("rate(a[step])"), Err(Unread::Wrong(_))));
        assert!(matches!(parse_expr("a offset (5m) * a"), Err(Unread::Wrong(_))));
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
            assert!(
                parse_expr(endless).is_err_and(|unread| unread.to_string().contains("thousand years")),
                "{endless}"
            );
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
