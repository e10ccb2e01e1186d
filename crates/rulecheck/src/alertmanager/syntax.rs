//! The syntax of matchers. Alertmanager has two parsers, and takes the older one's result where both succeed and differ
//! or where only that one succeeds. Source: prometheus/alertmanager `matcher/compat/parse.go`.

use std::sync::LazyLock;

use regex::Regex;

use super::matcher::{Matcher, Operator};

/// Reads one or more matchers, `a="b", c=~d`, with or without braces.
pub fn matchers(text: &str) -> Result<Vec<Matcher>, String> {
    match (current(text), classic(text)) {
        (Ok(current), Ok(classic)) => Ok(if current == classic { current } else { classic }),
        (Ok(matchers), Err(_)) | (Err(_), Ok(matchers)) => Ok(matchers),
        (Err(message), Err(_)) => Err(message),
    }
}

/// The parser that knows every name in UTF-8. Source: `matcher/parse/{lexer,parse}.go`.
fn current(text: &str) -> Result<Vec<Matcher>, String> {
    let mut rest = text.trim_start();
    let opened = rest.strip_prefix('{');
    rest = opened.unwrap_or(rest).trim_start();
    let mut found = Vec::new();
    while !rest.is_empty() && !rest.starts_with('}') {
        let (name, after) = word(rest).ok_or_else(|| expected("a label", rest))?;
        let (operator, after) = operator(after.trim_start())?;
        let (value, after) = word(after.trim_start()).ok_or_else(|| expected("a value", after))?;
        found.push(Matcher::new(name, operator, value)?);
        let after = after.trim_start();
        rest = match after.strip_prefix(',') {
            Some(next) => next.trim_start(),
            None if after.is_empty() || after.starts_with('}') => after,
            None => return Err(expected("a comma", after)),
        };
    }
    match (opened, rest.strip_prefix('}').map(str::trim)) {
        (Some(_), Some("")) => Ok(found),
        (None, None) => Ok(found),
        (None, Some(_)) => Err("a closing brace without an opening one".to_owned()),
        (Some(_), None) => Err("an opening brace without a closing one".to_owned()),
        (Some(_), Some(more)) => Err(expected("the end", more)),
    }
}

fn expected(what: &str, at: &str) -> String {
    let at = if at.is_empty() { "the end" } else { at };
    format!("{what} is expected at `{at}`")
}

fn operator(text: &str) -> Result<(Operator, &str), String> {
    let operators =
        [("!=", Operator::NotEqual), ("!~", Operator::NotMatches), ("=~", Operator::Matches), ("=", Operator::Equal)];
    let found = operators.into_iter().find_map(|(sign, operator)| Some((operator, text.strip_prefix(sign)?)));
    found.ok_or_else(|| expected("=, !=, =~ or !~", text))
}

/// A quoted text, or one without reserved characters, and what follows it.
fn word(text: &str) -> Option<(String, &str)> {
    if text.starts_with('"') {
        return quoted(text);
    }
    let end = text.find(|c: char| c.is_whitespace() || r#"{}!=~,\"'`"#.contains(c)).unwrap_or(text.len());
    (end > 0).then(|| (text[..end].to_owned(), &text[end..]))
}

/// A text in double quotes with Go's escapes, and what follows it. Source: Go's `strconv.Unquote`.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut bytes = Vec::new();
    let mut rest = text.strip_prefix('"')?;
    loop {
        let character = rest.chars().next()?;
        rest = &rest[character.len_utf8()..];
        match character {
            '"' => return Some((String::from_utf8(bytes).ok()?, rest)),
            '\n' => return None,
            '\\' => rest = escaped(rest, &mut bytes)?,
            other => bytes.extend(other.to_string().bytes()),
        }
    }
}

/// Reads what follows a backslash; gives what follows that.
fn escaped<'a>(text: &'a str, bytes: &mut Vec<u8>) -> Option<&'a str> {
    let kind = text.chars().next()?;
    let rest = &text[kind.len_utf8()..];
    let simple = match kind {
        'a' => b'\x07',
        'b' => b'\x08',
        'f' => b'\x0c',
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => b'\x0b',
        '\\' | '"' => kind as u8,
        'x' => {
            bytes.push(u8::try_from(number(rest.get(..2)?, 16)?).ok()?);
            return rest.get(2..);
        }
        'u' | 'U' => {
            let length = if kind == 'u' { 4 } else { 8 };
            let character = char::from_u32(number(rest.get(..length)?, 16)?)?;
            bytes.extend(character.to_string().bytes());
            return rest.get(length..);
        }
        '0'..='7' => {
            bytes.push(u8::try_from(number(text.get(..3)?, 8)?).ok()?);
            return text.get(3..);
        }
        _ => return None,
    };
    bytes.push(simple);
    Some(rest)
}

fn number(digits: &str, radix: u32) -> Option<u32> {
    // Rust takes a sign here, Go does not.
    if digits.starts_with(['+', '-']) { None } else { u32::from_str_radix(digits, radix).ok() }
}

/// The older parser, which takes more of what people write. Source: `pkg/labels/parse.go`.
fn classic(text: &str) -> Result<Vec<Matcher>, String> {
    let text = text.strip_prefix('{').unwrap_or(text);
    let text = text.strip_suffix('}').unwrap_or(text);
    let (mut inside, mut escaped) = (false, false);
    let mut parts = vec![String::new()];
    for character in text.chars() {
        if character == ',' && !inside {
            parts.push(String::new());
            continue;
        }
        inside ^= character == '"' && !escaped;
        escaped = match character {
            '\\' => !escaped,
            ',' => escaped,
            _ => false,
        };
        parts.last_mut().into_iter().for_each(|part| part.push(character));
    }
    // Only the last part may be empty: a comma may end the text.
    if parts.last().is_some_and(|last| last.trim().is_empty()) {
        parts.pop();
    }
    parts.iter().map(|part| classic_matcher(part)).collect()
}

fn classic_matcher(text: &str) -> Result<Matcher, String> {
    #[allow(clippy::unwrap_used, reason = "a constant, which the tests compile")]
    static FORM: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"^(?-u:\s)*([a-zA-Z_:][a-zA-Z0-9_:]*)(?-u:\s)*(=~|=|!=|!~)(?-u:\s)*((?s:.*?))(?-u:\s)*$").unwrap()
    });
    let parts = FORM.captures(text).ok_or_else(|| format!("`{text}` is no matcher"))?;
    let (operator, _) = operator(&parts[2])?;
    Matcher::new(&parts[1], operator, classic_value(&parts[3])?)
}

fn classic_value(raw: &str) -> Result<String, String> {
    let quoted = raw.strip_prefix('"');
    let mut text = quoted.unwrap_or(raw);
    if quoted.is_some() {
        text = text.strip_suffix('"').ok_or_else(|| format!("`{raw}` has no closing quote"))?;
    }
    let mut value = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (character, character == '\\') {
            ('"', _) => return Err(format!("`{raw}` has a quote inside")),
            (other, false) => value.push(other),
            (_, true) => match characters.next() {
                Some('n') => value.push('\n'),
                Some(escaped @ ('"' | '\\')) => value.push(escaped),
                // A backslash that escapes nothing is one.
                Some(other) => value.extend(['\\', other]),
                // One that ends a quoted text has escaped the quote.
                None if quoted.is_some() => return Err(format!("`{raw}` has no closing quote")),
                None => value.push('\\'),
            },
        }
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Vec<String> {
        matchers(text).unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn all_spellings_of_a_matcher_are_read() {
        for text in ["a=\"b\"", "a = b", " {a=\"b\"} ", "{a=b,}", "\"\\x61\"=b", "\"\\141\"=\"\\u0062\""] {
            assert_eq!(read(text), ["a=\"b\""], "{text}");
        }
        assert_eq!(read("{a=~\"b|c\", d!=e,f!~\"g.*\"}"), ["a=~\"b|c\"", "d!=\"e\"", "f!~\"g.*\""]);
        assert_eq!(read("severity =~ warning|info"), ["severity=~\"warning|info\""]);
        assert_eq!(read("\"größe.x\"=\"a, b\""), ["größe.x=\"a, b\""]);
        assert_eq!(read(""), [""; 0]);
        assert_eq!(read("{}"), [""; 0]);
    }

    #[test]
    fn the_older_parser_is_asked_where_the_newer_one_fails_or_differs() {
        // An unquoted reserved character, an unknown escape, an empty value, a brace too many.
        assert_eq!(read("a=b=c"), ["a=\"b=c\""]);
        assert_eq!(read(r#"a=~"\d+""#), [r#"a=~"\\d+""#]);
        assert_eq!(read("a="), ["a=\"\""]);
        assert_eq!(read("{a=b}}"), ["a=\"b}\""]);
        // The newer one takes `\a` for a bell.
        assert_eq!(read(r#"a=~"b\a""#), [r#"a=~"b\\a""#]);
    }

    #[test]
    fn what_both_parsers_refuse_is_an_error() {
        for text in ["a", "a==\"b\"", "a=\"b", "=b", "a=~\"(\"", "ä b=c", "a=\"b\" c=d", ",a=b", "a=\"b\"c\""] {
            assert!(matchers(text).is_err(), "{text}");
        }
        assert_eq!(matchers("a b").unwrap_err(), "=, !=, =~ or !~ is expected at `b`");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "([a-c{}=!~,\"\\\\ ]|.){0,20}") {
            let _ = matchers(&text);
        }

        #[test]
        fn what_is_printed_is_read_again(name in "[a-z_]{1,4}", value in "[ -~]{0,6}") {
            let matcher = Matcher::new(name, Operator::NotEqual, value).unwrap();
            prop_assert_eq!(matchers(&matcher.to_string()).unwrap(), [matcher]);
        }
    }
}
