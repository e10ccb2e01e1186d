//! A small YAML writer whose output every YAML reader understands alike.
//!
//! Helm and kubectl read YAML 1.1: a plain `on`, `no`, `1_000` or `2024-01-01` changes its type there, and
//! `serde_yaml` writes exactly those without quotes. Here a string is plain only where no reader can doubt it.

use serde_json::Value;

/// `value` as block YAML with a final newline. Maps keep their order.
pub fn write(value: &Value) -> String {
    let mut text = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => write_block(value, 0, &mut text),
        Value::Array(list) if !list.is_empty() => write_block(value, 0, &mut text),
        scalar => {
            text.push_str(&flow(scalar));
            text.push('\n');
        }
    }
    text
}

fn write_block(value: &Value, indent: usize, text: &mut String) {
    let pad = " ".repeat(indent);
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                text.push_str(&format!("{pad}{}:", string(key)));
                write_child(value, indent + 2, text);
            }
        }
        Value::Array(list) => {
            for value in list {
                if let Value::Object(map) = value
                    && !map.is_empty()
                {
                    // The first key stands on the dash's line, the others below it.
                    let mut item = String::new();
                    write_block(value, indent + 2, &mut item);
                    text.push_str(&format!("{pad}- {}", &item[indent + 2..]));
                } else {
                    text.push_str(&format!("{pad}-"));
                    write_child(value, indent + 2, text);
                }
            }
        }
        _ => {}
    }
}

fn write_child(value: &Value, indent: usize, text: &mut String) {
    let block = match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(list) => !list.is_empty(),
        _ => false,
    };
    if block {
        text.push('\n');
        write_block(value, indent, text);
    } else {
        text.push_str(&format!(" {}\n", flow(value)));
    }
}

fn flow(value: &Value) -> String {
    match value {
        Value::String(s) => string(s),
        // JSON is YAML: numbers, booleans, null and the empty collections.
        other => other.to_string(),
    }
}

/// Plain where it cannot be taken for anything else, else a JSON string, which is a YAML double-quoted one.
fn string(s: &str) -> String {
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
    let plain = s.starts_with(|c: char| c.is_ascii_alphabetic())
        && !s.ends_with(' ')
        && !s.contains("  ")
        && s.chars().all(|c| word(c) || c == ' ')
        && !is_special(s);
    if plain { s.to_owned() } else { quote(s) }
}

/// JSON's escapes plus those characters that YAML forbids or folds even between quotes.
fn quote(s: &str) -> String {
    let mut quoted = String::with_capacity(s.len() + 2);
    for c in Value::from(s).to_string().chars() {
        match c {
            '\u{7f}'..='\u{a0}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                quoted.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => quoted.push(c),
        }
    }
    quoted
}

/// The words that YAML 1.1 reads as booleans, null or numbers, in any case.
fn is_special(s: &str) -> bool {
    const WORDS: [&str; 14] =
        ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf", "infinity", "nil", "none"];
    WORDS.iter().any(|word| s.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn writes_what_a_person_would() {
        let value = json!({"name": "demo", "list": [{"a": "x", "b": {}}, "y", []], "url": "https://e.org", "n": 1.5});
        let expected =
            "name: demo\nlist:\n  - a: x\n    b: {}\n  - \"y\"\n  - []\nurl: \"https://e.org\"\n\"n\": 1.5\n";
        assert_eq!(write(&value), expected);
    }

    #[test]
    fn strings_that_yaml_1_1_would_retype_are_quoted() {
        for s in ["on", "No", "y", "1_000", "0777", "2024-01-01", "12:30", "1e3", ".5", "~", "", "null", "a: b", "a #b"]
        {
            assert!(string(s).starts_with('"'), "{s}");
        }
    }

    fn arbitrary() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".*".prop_map(Value::from),
            "[a-z #:.-]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[ -~]{0,6}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_value_reads_back(value in arbitrary()) {
            let text = write(&value);
            let read: Value = serde_yaml::from_str(&text).map_err(|e| TestCaseError::fail(format!("{e}\n{text}")))?;
            prop_assert_eq!(read, value, "{}", text);
        }
    }
}
