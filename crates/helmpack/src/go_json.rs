//! JSON as Go's encoding/json writes it, where a digest is taken of the text.

use anyhow::Result;
use serde::Serialize;

/// The text of a value: compact, fields in the order that they are declared in.
pub fn to_string(value: &impl Serialize) -> Result<String> {
    Ok(escape(&serde_json::to_string(value)?))
}

/// Go's encoding/json escapes these five characters, so that JSON can stand in HTML and JavaScript.
fn escape(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                escaped.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => escaped.push(c),
        }
    }
    escaped
}
