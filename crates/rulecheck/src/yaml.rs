//! YAML into typed values, strictly: a duplicate key anywhere is an error, and every error has its line.

use std::collections::HashMap;

use serde::de::DeserializeOwned;
use serde_yaml::Value;

/// Why a text could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct YamlError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong, without the place.
    pub message: String,
}

/// More open brackets than any person writes. The library's scanner needs the square of their number in time, before its
/// own limit counts them.
const MAX_FLOW_DEPTH: usize = 1000;

/// Reads one YAML document.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, YamlError> {
    // A typed map takes the last of two equal keys in silence; an untyped one refuses them. So it is read untyped.
    match serde_yaml::from_value(untyped(text)?) {
        Ok(typed) => Ok(typed),
        // Only the text knows the line.
        Err(_) => serde_yaml::from_str(text).map_err(|error| locate(text, &error)),
    }
}

/// Not generic, so that it is compiled here, as the parser is, and not unoptimised with every caller.
fn untyped(text: &str) -> Result<Value, YamlError> {
    if let Some(line) = too_deep(text) {
        return Err(YamlError { line, message: format!("more than {MAX_FLOW_DEPTH} open brackets") });
    }
    serde_yaml::from_str(text).map_err(|error| locate(text, &error))
}

fn locate(text: &str, error: &serde_yaml::Error) -> YamlError {
    let message = error.to_string();
    // The library's reader tells bytes instead of lines.
    if let Some((message, position)) = message.split_once(" at position ")
        && let Some(before) = position.parse().ok().and_then(|position| text.as_bytes().get(..position))
    {
        let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
        return YamlError { line, message: message.to_owned() };
    }
    let (line, column) = error.location().map_or((1, 1), |at| (at.line(), at.column()));
    // The library repeats the place in its text, except where that is the start of the document.
    let message = message.replace(&format!(" at line {line} column {column}"), "");
    // For the library the end of the text is a line of its own.
    let line = line.min(text.lines().count().max(1));
    match duplicate_key(&message) {
        Some(key) => YamlError { line: second_line_of(text, key, line), message: format!("`{key}` is set twice") },
        None => YamlError { line, message },
    }
}

/// The key of a duplicate-entry message, `…: duplicate entry with key "name"`.
fn duplicate_key(message: &str) -> Option<&str> {
    let (_, key) = message.split_once("duplicate entry with key \"")?;
    key.strip_suffix('"')
}

/// The library gives the line where the map begins. The second `key:` at the column of the first one below that is the
/// line a person looks for; a map in flow style keeps the map's own line.
fn second_line_of(text: &str, key: &str, map_line: usize) -> usize {
    let mut column = None;
    for (number, line) in (1..).zip(text.lines()).skip(map_line - 1) {
        let start = line.len() - line.trim_start_matches([' ', '-']).len();
        let here = line[start..].trim_start_matches(['"', '\'']).strip_prefix(key);
        if !here.is_some_and(|rest| rest.trim_start_matches(['"', '\'']).trim_start().starts_with(':')) {
            continue;
        }
        match column {
            None => column = Some(start),
            Some(first) if first == start => return number,
            Some(_) => {}
        }
    }
    map_line
}

/// The line with more open flow brackets than [`MAX_FLOW_DEPTH`]. Only a bracket where a value can begin is counted, and
/// the end of one takes those inside it that have none along, so that queries and prose do not add up.
fn too_deep(text: &str) -> Option<usize> {
    // Each open bracket, and whether it counts.
    let mut open: Vec<(u8, bool)> = Vec::new();
    let (mut deep, mut line, mut before) = (0, 1, b' ');
    let mut squares = 0_usize;
    for byte in text.bytes() {
        match byte {
            b'[' | b'{' => {
                let counts = matches!(before, b' ' | b'\t' | b'\n' | b':' | b',' | b'[' | b'{');
                deep += usize::from(counts);
                squares += usize::from(byte == b'[');
                open.push((byte, counts));
                if deep > MAX_FLOW_DEPTH {
                    return Some(line);
                }
            }
            b']' | b'}' => {
                let begin = if byte == b']' { b'[' } else { b'{' };
                let is_open = if byte == b']' { squares > 0 } else { open.len() > squares };
                while is_open && let Some((bracket, counts)) = open.pop() {
                    deep -= usize::from(counts);
                    squares -= usize::from(bracket == b'[');
                    if bracket == begin {
                        break;
                    }
                }
            }
            b'\n' => line += 1,
            _ => {}
        }
        before = byte;
    }
    None
}

/// One document of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part<'a> {
    /// Its text, with the `---` above it.
    pub text: &'a str,
    /// The number of the text's first line in the stream.
    pub first_line: usize,
}

/// The documents of a stream, those without any content left out. YAML keeps `---` at the start of a line for itself,
/// in every style of scalar, so the text tells them apart.
pub fn documents(stream: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let (mut start, mut first_line, mut content) = (0, 1, false);
    let mut at = 0;
    for (number, line) in (1..).zip(stream.split_inclusive('\n')) {
        let marker = line.strip_prefix("---").filter(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace));
        if let Some(rest) = marker {
            if content {
                parts.push(Part { text: &stream[start..at], first_line });
            }
            (start, first_line) = (at, number);
            content = has_content(rest);
        } else {
            content |= has_content(line);
        }
        at += line.len();
    }
    if content {
        parts.push(Part { text: &stream[start..], first_line });
    }
    parts
}

fn has_content(line: &str) -> bool {
    let line = line.trim();
    // A directive counts with the document that it stands above.
    !(line.is_empty() || line == "..." || line.starts_with(['#', '%']))
}

/// The lines of a text's keys in block style, by their path from the top. Lists and flow style are not entered.
pub struct KeyLines<'a>(HashMap<Vec<&'a str>, usize>);

impl<'a> KeyLines<'a> {
    /// Deeper keys are not remembered; the formats that are asked about have none.
    const MAX_DEPTH: usize = 6;

    /// Goes through the text once.
    pub fn new(text: &'a str) -> KeyLines<'a> {
        let mut lines = HashMap::new();
        let mut open: Vec<(usize, &str)> = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let content = line.trim_start();
            let indent = line.len() - content.len();
            let Some((key, _)) = content.split_once(':').filter(|_| !content.starts_with(['#', '-'])) else { continue };
            while open.last().is_some_and(|(level, _)| *level >= indent) {
                open.pop();
            }
            open.push((indent, key.trim_matches(['"', '\''])));
            if open.len() <= Self::MAX_DEPTH {
                lines.entry(open.iter().map(|(_, key)| *key).collect()).or_insert(number);
            }
        }
        KeyLines(lines)
    }

    /// The line of a key; of the nearest key above it where that is written another way, and else 1.
    pub fn line(&self, path: &[&str]) -> usize {
        (1..=path.len()).rev().find_map(|length| self.0.get(&path[..length])).copied().unwrap_or(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn error(text: &str) -> YamlError {
        parse::<Value>(text).unwrap_err()
    }

    #[test]
    fn duplicate_keys_are_named_with_the_second_line() {
        assert_eq!(error("a: 1\nb: 2\na: 3\n"), YamlError { line: 3, message: "`a` is set twice".into() });
        assert_eq!(error("x:\n  k:\n    k: 0\n  l: 1\n  k: 2\n").line, 5);
        assert_eq!(error("x:\n  - k: 1\n    k: 2\n").line, 3);
        assert_eq!(error("x: {k: 1, k: 2}\n").line, 1);
    }

    #[test]
    fn syntax_errors_have_their_line() {
        assert_eq!(error("a:\n\t- b\n").line, 2);
        assert_eq!(error("a:\n- \0\n"), YamlError { line: 2, message: "control characters are not allowed".into() });
    }

    #[test]
    fn a_text_that_ends_too_early_is_wrong_in_its_last_line() {
        assert_eq!(error("a: 1\nb: [1\n").line, 2);
        assert_eq!(error("a: 1\nb: [1").line, 2);
    }

    #[test]
    fn a_tower_of_brackets_is_an_error_at_once() {
        for open in ["[", "{a: ", "- [", "[\n"] {
            assert!(parse::<Value>(&open.repeat(1_000_000)).is_err(), "{open}");
        }
        let text = "- x{a=\"b\"}[5m] and {b=\"[\"}\n- y[5m or z{\n".repeat(10_000);
        assert!(too_deep(&text).is_none(), "queries are no tower");
    }

    #[test]
    fn an_alias_bomb_is_an_error_at_once() {
        let grow = |i: usize| format!("a{}: &a{} [*a{i}, *a{i}]\n", i + 1, i + 1);
        let bomb = "a0: &a0 [x]\n".to_owned() + &(0..60).map(grow).collect::<String>();
        assert_eq!(error(&bomb).message, "repetition limit exceeded");
    }

    #[test]
    fn documents_are_told_apart_with_their_lines() {
        let stream =
            "# only a comment\n---\n---\na: |\n  ---\n---x: 1\n--- # second\nb: 1\n...\n---   \n%YAML 1.2\n--- c\n";
        let parts: Vec<(usize, &str)> = documents(stream).iter().map(|part| (part.first_line, part.text)).collect();
        assert_eq!(parts, [(3, "---\na: |\n  ---\n---x: 1\n"), (7, "--- # second\nb: 1\n...\n"), (12, "--- c\n")]);
    }

    #[test]
    fn keys_know_their_lines() {
        let lines = KeyLines::new("a:\n  # b: no\n  b: {c: 1}\n  \"d\":\n    - e: 1\nf: 1\n");
        assert_eq!(
            [&["a"][..], &["a", "b"], &["a", "b", "c"], &["a", "d"], &["f"], &["g"]].map(|p| lines.line(p)),
            [1, 3, 3, 4, 6, 1]
        );
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".*") {
            documents(&text);
            KeyLines::new(&text);
            let _ = parse::<Value>(&text);
        }
    }
}
