//! Where in a JSON text its strings stand, which the JSON library does not tell.

use std::collections::{HashMap, VecDeque};

use crate::query::string_length;

/// The lines of the string values of some keys, each asked for in the order of the text.
pub(crate) struct StringLines<'a>(HashMap<(&'a str, String), VecDeque<usize>>);

impl<'a> StringLines<'a> {
    /// Goes once through a text that is valid JSON.
    pub(crate) fn new(text: &'a str, keys: &[&'a str]) -> StringLines<'a> {
        let mut lines: HashMap<(&str, String), VecDeque<usize>> = HashMap::new();
        let mut line = 1;
        let mut key = None;
        let mut rest = text;
        while let Some(at) = rest.find(['"', '\n', ',', '{', '[']) {
            let token = &rest[at..];
            let length = if token.starts_with('"') { string_length(token.as_bytes()) } else { 1 };
            let (token, behind) = token.split_at(length);
            rest = behind;
            match token {
                "\n" => line += 1,
                "," | "{" | "[" => key = None,
                _ if behind.trim_start().starts_with(':') => {
                    let name = token.trim_matches('"');
                    key = keys.iter().find(|key| **key == name);
                }
                _ => {
                    if let (Some(key), Ok(value)) = (key, serde_json::from_str(token)) {
                        lines.entry((key, value)).or_default().push_back(line);
                    }
                }
            }
        }
        StringLines(lines)
    }

    /// The line of the next `"key": value`, or 1 where there is none.
    pub(crate) fn next(&mut self, key: &'a str, value: &str) -> usize {
        self.0.get_mut(&(key, value.to_owned())).and_then(VecDeque::pop_front).unwrap_or(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn equal_strings_have_their_lines_one_after_the_other() {
        let text = "{\"expr\": \"a\",\n \"title\": \"expr\",\n \"expr\" : \"a\", \"x\": [\"expr\", \"b\\\\\"],\n\"expr\": \"\\u003e \\\"\"}\n";
        let mut lines = StringLines::new(text, &["expr"]);
        assert_eq!([lines.next("expr", "a"), lines.next("expr", "a"), lines.next("expr", "a")], [1, 3, 1]);
        assert_eq!([lines.next("expr", "> \""), lines.next("expr", "expr"), lines.next("title", "expr")], [4, 1, 1]);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[\"\\\\:,{é\n a]*") {
            StringLines::new(&text, &["a"]);
        }
    }
}
