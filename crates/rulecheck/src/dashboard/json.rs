//! JSON values that know their line, which the JSON library does not tell.
//!
//! The library reads through [`Counted`], which counts the lines it has handed out; a value looks there when its turn
//! comes.

use std::cell::Cell;
use std::fmt;
use std::io::{self, Read};

use serde::Deserializer;
use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};

/// A value and where it stands.
#[derive(Debug)]
pub(crate) struct Json {
    /// The line, from 1; for a member of an object that of its key.
    pub(crate) line: usize,
    value: Value,
}

#[derive(Debug)]
enum Value {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Json>),
    /// In the order of the text; of two equal keys the last one counts.
    Map(Vec<(String, Json)>),
}

/// What is there where nothing is.
static NOTHING: Json = Json { line: 1, value: Value::Null };

impl Json {
    /// Reads a text. An error has its line and the library's message.
    pub(crate) fn parse(text: &str) -> Result<Json, (usize, String)> {
        let line = Cell::new(1);
        let mut reader = serde_json::Deserializer::from_reader(Counted { rest: text.as_bytes(), line: &line });
        let parsed = At(&line).deserialize(&mut reader).and_then(|json| reader.end().map(|()| json));
        parsed.map_err(|error| {
            let message = error.to_string();
            (error.line(), message.split(" at line").next().unwrap_or(&message).to_owned())
        })
    }

    /// A member of an object; null where there is none, so that a path can be followed without asking at each step.
    pub(crate) fn get(&self, key: &str) -> &Json {
        match &self.value {
            Value::Map(members) => members.iter().rfind(|(name, _)| name == key).map_or(&NOTHING, |(_, json)| json),
            _ => &NOTHING,
        }
    }

    /// The members of a list; none of anything else.
    pub(crate) fn items(&self) -> &[Json] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// The members of an object; none of anything else.
    pub(crate) fn members(&self) -> &[(String, Json)] {
        match &self.value {
            Value::Map(members) => members,
            _ => &[],
        }
    }

    /// The text of a string.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The number.
    pub(crate) fn number(&self) -> Option<f64> {
        match self.value {
            Value::Number(number) => Some(number),
            _ => None,
        }
    }

    /// Whether it is `true`.
    pub(crate) fn is_true(&self) -> bool {
        matches!(self.value, Value::Bool(true))
    }

    /// Whether it is an object.
    pub(crate) fn is_map(&self) -> bool {
        matches!(self.value, Value::Map(_))
    }

    /// Whether it is null or missing.
    pub(crate) fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// Every string in it, at any depth.
    pub(crate) fn texts(&self) -> Vec<&str> {
        let mut texts = Vec::new();
        let mut left = vec![self];
        while let Some(json) = left.pop() {
            texts.extend(json.text());
            left.extend(json.items());
            left.extend(json.members().iter().map(|(_, json)| json));
        }
        texts
    }
}

/// As short as a message needs it.
impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Value::Null => f.write_str("missing"),
            Value::Bool(value) => write!(f, "{value}"),
            Value::Number(number) => write!(f, "{number}"),
            Value::Text(text) => write!(f, "`{text}`"),
            Value::List(_) => f.write_str("a list"),
            Value::Map(_) => f.write_str("an object"),
        }
    }
}

/// Hands out one byte at a time and counts the lines.
struct Counted<'a> {
    rest: &'a [u8],
    line: &'a Cell<usize>,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (Some((byte, rest)), Some(place)) = (self.rest.split_first(), buffer.first_mut()) else {
            return Ok(0);
        };
        if *byte == b'\n' {
            self.line.set(self.line.get() + 1);
        }
        *place = *byte;
        self.rest = rest;
        Ok(1)
    }
}

/// Reads the value that comes next.
struct At<'a>(&'a Cell<usize>);

impl<'de> DeserializeSeed<'de> for At<'_> {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        let line = self.0.get();
        Ok(Json { line, value: deserializer.deserialize_any(self)? })
    }
}

impl<'de> Visitor<'de> for At<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value as f64))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value as f64))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Number(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = sequence.next_element_seed(At(self.0))? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            members.push((key, map.next_value_seed(At(self.0))?));
        }
        Ok(Value::Map(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_know_their_lines() {
        let json = Json::parse("{\n \"a\": [\n  1,\n\n  {\"b\":\n \"c\"}],\n \"d\": null, \"d\": true\n}\n").unwrap();
        let lines = json.get("a").items().iter().map(|item| item.line);
        assert_eq!((json.line, json.get("a").line, lines.collect::<Vec<_>>()), (1, 2, vec![3, 5]));
        let inner = json.get("a").items()[1].get("b");
        assert_eq!((inner.line, inner.text()), (5, Some("c")));
        assert!(json.get("d").is_true() && json.get("x").get("y").is_null());
        assert_eq!(json.texts(), ["c"]);
    }

    #[test]
    fn an_error_has_its_line() {
        assert_eq!(Json::parse("{\n\"a\": 1,\n}").unwrap_err(), (3, "trailing comma".to_owned()));
        assert_eq!(Json::parse("{} {").unwrap_err(), (1, "trailing characters".to_owned()));
        assert_eq!(Json::parse(&"[".repeat(100_000)).unwrap_err().1, "recursion limit exceeded");
    }

    proptest! {
        #[test]
        fn it_reads_what_the_library_reads(text in "[\\[\\]{}:,\"a1\\\\ \n]{0,20}") {
            prop_assert_eq!(Json::parse(&text).is_ok(), serde_json::from_str::<serde_json::Value>(&text).is_ok());
        }
    }
}
