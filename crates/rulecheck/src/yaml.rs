//! YAML into typed values, strictly: a duplicate key anywhere is an error, and every error has its line.

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

/// Reads one YAML document.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, YamlError> {
    // A typed map takes the last of two equal keys in silence; an untyped one refuses them. So read twice.
    serde_yaml::from_str::<Value>(text).map_err(|error| locate(text, &error))?;
    serde_yaml::from_str(text).map_err(|error| locate(text, &error))
}

fn locate(text: &str, error: &serde_yaml::Error) -> YamlError {
    let message = error.to_string();
    let (line, column) = error.location().map_or((1, 1), |at| (at.line(), at.column()));
    // The library repeats the place in its text, except where that is the start of the document.
    let message = message.replace(&format!(" at line {line} column {column}"), "");
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
        assert_eq!(error("a: 1\nb: [1\n").line, 3);
        assert_eq!(error("a:\n\t- b\n").line, 2);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".*") {
            let _ = parse::<Value>(&text);
        }
    }
}
