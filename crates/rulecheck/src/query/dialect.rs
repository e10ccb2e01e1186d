//! What Prometheus 3 takes and the parser does not, said in words that it does take.
//!
//! A text in backticks becomes one in double quotes, a duration that is computed becomes its result, `\Q…\E` becomes what
//! it stands for, a number loses its underscores. `anchored` and `smoothed` change values, so they are not known here.

use promql_parser::util::{escape_string, unquote_string};

use super::{blank_length, seconds, seconds_of, string_length, token_length};

/// An expression as the parser reads it, which means the same.
#[derive(Debug, Default)]
pub(super) struct Plain {
    pub(super) text: String,
    /// What Prometheus may know, and neither the parser nor this: why the parser refuses it, if it does.
    pub(super) beyond: Option<&'static str>,
}

/// Rewrites an expression. What cannot be understood stays as it is, for the parser to judge.
pub(super) fn plain(text: &str) -> Plain {
    let mut plain = Plain { text: String::with_capacity(text.len()), ..Plain::default() };
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (token, after) = rest.split_at(token_length(rest, first));
        rest = after;
        match first {
            '"' | '\'' | '`' => plain.string(token, false),
            '{' => plain.matchers(token),
            '[' => rest = plain.range(rest),
            '0'..='9' => plain.text.extend(token.split('_')),
            _ => plain.text.push_str(token),
        }
        if is_word(token, &["offset"]) {
            rest = plain.offset(rest);
        } else if is_word(token, &["anchored", "smoothed"]) {
            plain.beyond = Some("the modifiers `anchored` and `smoothed`");
        } else if matches!(token, "<" | ">") && rest.starts_with('/') {
            plain.beyond = Some("the operators `</` and `>/`");
        }
    }
    plain
}

fn is_word(token: &str, words: &[&str]) -> bool {
    words.iter().any(|word| token.eq_ignore_ascii_case(word))
}

impl Plain {
    /// A text in quotes. The parser takes a backslash in backticks for an escape; Prometheus does not.
    fn string(&mut self, token: &str, is_pattern: bool) {
        let value = match token.strip_prefix('`') {
            Some(raw) => raw.strip_suffix('`').map(str::to_owned),
            None if is_pattern && token.contains("\\Q") => unquote_string(token).ok(),
            None => None,
        };
        match value {
            Some(value) => {
                let value = if is_pattern { without_literals(&value) } else { value };
                self.text.extend(["\"", &escape_string(&value), "\""]);
            }
            None => self.text.push_str(token),
        }
    }

    /// The braces of a selector and what stands between.
    fn matchers(&mut self, token: &str) {
        let mut rest = token;
        let mut is_pattern = false;
        while let Some(first) = rest.chars().next() {
            let is_string = matches!(first, '"' | '\'' | '`');
            let blank = blank_length(rest);
            let length = if is_string { string_length(rest.as_bytes()) } else { blank.max(first.len_utf8()) };
            match is_string {
                true => self.string(&rest[..length], is_pattern),
                false => self.text.push_str(&rest[..length]),
            }
            is_pattern = first == '~' || (is_pattern && blank > 0);
            rest = &rest[length..];
        }
    }

    /// What stands behind an opening bracket, up to the closing one; gives what follows that.
    fn range<'t>(&mut self, text: &'t str) -> &'t str {
        self.text.push('[');
        let (mut begin, mut at) = (0, 0);
        while let Some(first) = text[at..].chars().next() {
            let end = at;
            at += blank_length(&text[at..]).max(first.len_utf8());
            if matches!(first, ':' | ']') {
                self.duration(&text[begin..end]);
                self.text.push(first);
                begin = at;
            }
            if first == ']' {
                break;
            }
        }
        &text[begin..]
    }

    /// A range or the step of a subquery, which is a millisecond or longer.
    fn duration(&mut self, text: &str) {
        let whole: String = text.split('_').collect();
        let mut sum = Sum { rest: &whole, is_of_server: false };
        let value = sum.of(0).filter(|value| *value >= 0.001 && blank_length(sum.rest) == sum.rest.len());
        let is_written = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '.' || c.is_ascii_whitespace());
        match value.filter(|_| !is_written) {
            Some(value) => self.text.push_str(&value.to_string()),
            None => self.text.push_str(text),
        }
        self.note(&sum);
    }

    /// What stands behind `offset`; gives what follows that. What is computed belongs to it where it begins with a
    /// parenthesis; behind a sign only what the parentheses hold does.
    fn offset<'t>(&mut self, text: &'t str) -> &'t str {
        let mut sum = Sum { rest: text, is_of_server: false };
        let begins = text[blank_length(text)..].starts_with('(');
        let value = if begins { sum.of(0) } else { sum.operand() };
        self.note(&sum);
        match value.filter(|_| begins || text[..text.len() - sum.rest.len()].ends_with(')')) {
            Some(value) => {
                self.text.extend([" ", &value.to_string()]);
                sum.rest
            }
            None => text,
        }
    }

    fn note(&mut self, sum: &Sum<'_>) {
        if sum.is_of_server {
            self.beyond = Some("durations that are made of `step()` or `range()`");
        }
    }
}

/// A duration that is computed, in seconds. Source: prometheus/prometheus `promql/parser/generated_parser.y`,
/// `duration_expr`. The depth of the whole text is bounded already, and so is the recursion.
struct Sum<'t> {
    rest: &'t str,
    /// Whether it needs what only a server knows, the step or the range of a query.
    is_of_server: bool,
}

impl Sum<'_> {
    /// What operators make that bind at least as strongly as `least`.
    fn of(&mut self, least: u8) -> Option<f64> {
        let mut left = self.operand()?;
        loop {
            let rest = &self.rest[blank_length(self.rest)..];
            let (operator, binding) = match rest.chars().next() {
                Some(operator @ ('+' | '-')) => (operator, 1),
                Some(operator @ ('*' | '/' | '%')) => (operator, 2),
                Some('^') => ('^', 3),
                _ => return Some(left),
            };
            if binding < least {
                return Some(left);
            }
            self.rest = &rest[1..];
            let right = self.of(if operator == '^' { binding } else { binding + 1 })?;
            left = match operator {
                '+' => left + right,
                '-' => left - right,
                '*' => left * right,
                '/' | '%' if right == 0.0 => return None,
                '/' => left / right,
                '%' => left % right,
                _ => left.powf(right),
            };
        }
    }

    /// A number of seconds, a duration, a sum in parentheses, or one of them with a sign.
    fn operand(&mut self) -> Option<f64> {
        self.rest = &self.rest[blank_length(self.rest)..];
        match self.rest.chars().next()? {
            sign @ ('-' | '+') => {
                self.rest = &self.rest[1..];
                let value = self.of(3)?;
                Some(if sign == '-' { -value } else { value })
            }
            '(' => {
                self.rest = &self.rest[1..];
                let value = self.of(0)?;
                self.rest = self.rest[blank_length(self.rest)..].strip_prefix(')')?;
                Some(value)
            }
            first => {
                let (word, after) = self.rest.split_at(super::number_length(self.rest));
                self.is_of_server |= is_word(word, &["step", "range"]) && after.trim_start().starts_with('(');
                self.rest = after;
                seconds(word).or_else(|| seconds_of(word)).filter(|_| first.is_ascii_digit() || first == '.')
            }
        }
    }
}

/// A pattern in which every text between `\Q` and `\E` has its meaning without them.
fn without_literals(pattern: &str) -> String {
    let mut plain = String::new();
    let mut rest = pattern;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        plain.push_str(before);
        if let Some(literal) = escape.strip_prefix("\\Q") {
            let (literal, after) = literal.split_once("\\E").unwrap_or((literal, ""));
            plain.push_str(&regex::escape(literal));
            rest = after;
        } else {
            let length = 1 + escape[1..].chars().next().map_or(0, char::len_utf8);
            plain.push_str(&escape[..length]);
            rest = &escape[length..];
        }
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn reads(written: &str, expected: &str) {
        assert_eq!(plain(written).text, expected, "{written}");
        assert_eq!(plain(written).beyond, None, "{written}");
    }

    #[test]
    fn a_raw_string_keeps_its_backslashes() {
        reads(r"a{b=~`fail\w+`}", r#"a{b=~"fail\\w+"}"#);
        reads("label_replace(a, `x`, `\"\\`, \"y\", `(.\n)`)", r#"label_replace(a, "x", "\"\\", "y", "(.\n)")"#);
        reads(r#"a{b="`\\", c='`'} # `\w"#, r#"a{b="`\\", c='`'} # `\w"#);
    }

    #[test]
    fn a_quoted_part_of_a_pattern_is_read_as_it_is_meant() {
        reads(r#"a{b=~"x\\Qa.b\\E.*"}"#, r#"a{b=~"xa\\.b.*"}"#);
        reads(
            r"a{b !~ # why
            `\Q(`, c=`\Q(`}",
            r#"a{b !~ # why
            "\\(", c="\\Q("}"#,
        );
        reads(r#"a{b=~"\\\\Qa.b"}"#, r#"a{b=~"\\\\Qa.b"}"#);
    }

    #[test]
    fn a_duration_that_is_computed_is_its_result() {
        reads("rate(a[5m*2])", "rate(a[600])");
        reads("a[ 5m + 1m ] offset 1h * 2", "a[360] offset 1h * 2");
        reads("a[(1h-30m)/2:5m % 2m]", "a[900:60]");
        reads("a[2^3^1 * 1.5 # :]\n]", "a[12]");
        reads("a offset (1h*2)", "a offset 7200");
        reads("a offset -(1h + -5m) > 1", "a offset -3300 > 1");
        reads("a[5m] offset -5m", "a[5m] offset -5m");
        reads("a[0x10*1e+1]", "a[160]");
        reads("a_1 > 1_000", "a_1 > 1000");
    }

    #[test]
    fn what_is_no_duration_stays_for_the_parser() {
        for text in ["a[5m-10m]", "a[5m/0]", "a[5m*]", "a[(5m]", "a[5m", "a[", "a offset (", "a offset (b)", "a[5m:"] {
            assert!(super::super::parse_expr(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_only_prometheus_knows_is_told() {
        for text in ["rate(a[step()*2])", "a offset -(2*range())", "a offset step()", "a </ 5", "sum(a smoothed)"] {
            assert!(plain(text).beyond.is_some(), "{text}");
        }
        assert_eq!(plain("a < 5 and step() > 1").beyond, None);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "([-+*/%^()\\[\\]{}~=\"'`\\\\QE#:.0-9a-m \n]|offset|.){0,40}") {
            plain(&text);
        }

        #[test]
        fn what_has_nothing_of_it_stays(text in "([-+*()=<>{},\"#. \n]|[a-z0-9])*") {
            prop_assert_eq!(plain(&text).text, text);
        }
    }
}
