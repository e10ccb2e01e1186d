//! JSON whose numbers keep their text and whose keys are written in one order.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::dashboard::reference::references;

/// Keys that come first wherever they stand, in this order; the others follow by the alphabet, then [`LAST`].
const FIRST: [&str; 25] = [
    "id",
    "refId",
    "name",
    "label",
    "type",
    "uid",
    "title",
    "description",
    "tags",
    "schemaVersion",
    "editable",
    "graphTooltip",
    "refresh",
    "time",
    "timezone",
    "templating",
    "annotations",
    "links",
    "datasource",
    "definition",
    "query",
    "gridPos",
    "targets",
    "expr",
    "legendFormat",
];

/// The long lists, which would hide what stands below them.
const LAST: [&str; 1] = ["panels"];

/// A value of JSON that keeps numbers as they were written.
#[derive(Debug)]
pub(super) enum Node {
    Map(BTreeMap<String, Node>),
    List(Vec<Node>),
    Text(String),
    /// A number, `true`, `false` or `null`, as written.
    Literal(String),
}

impl Node {
    /// Reads a text. The library gives a number's value and not its text, so the texts are found beside it, in the order
    /// in which it comes upon the values.
    pub(super) fn parse(text: &str) -> serde_json::Result<Node> {
        let mut literals = numbers(text);
        let mut reader = serde_json::Deserializer::from_str(text);
        let node = Reader(&mut literals).deserialize(&mut reader)?;
        reader.end()?;
        Ok(node)
    }

    pub(super) fn map<const N: usize>(members: [(&str, &str); N]) -> Node {
        Node::Map(members.map(|(key, text)| (key.to_owned(), Node::Text(text.to_owned()))).into())
    }

    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        match self {
            Node::Map(members) => members.get(key),
            _ => None,
        }
    }

    pub(super) fn text(&self, key: &str) -> Option<&str> {
        match self.get(key)? {
            Node::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn literal(&self, key: &str) -> Option<&str> {
        match self.get(key)? {
            Node::Literal(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn items(&self) -> &[Node] {
        match self {
            Node::List(items) => items,
            _ => &[],
        }
    }

    /// The list at a path.
    pub(super) fn list(&mut self, path: &[&str]) -> Option<&mut Vec<Node>> {
        let found = path.iter().try_fold(self, |node, key| match node {
            Node::Map(members) => members.get_mut(*key),
            _ => None,
        });
        match found? {
            Node::List(items) => Some(items),
            _ => None,
        }
    }

    /// Takes a member out if it is an object.
    pub(super) fn take_map(&mut self, key: &str) -> Option<Node> {
        match self {
            Node::Map(members) if matches!(members.get(key), Some(Node::Map(_))) => members.remove(key),
            _ => None,
        }
    }

    /// Calls `change` for every object, outer ones first.
    pub(super) fn each(&mut self, change: &mut impl FnMut(&mut Node)) {
        if matches!(self, Node::Map(_)) {
            change(self);
        }
        match self {
            Node::Map(members) => members.values_mut().for_each(|node| node.each(change)),
            Node::List(items) => items.iter_mut().for_each(|node| node.each(change)),
            Node::Text(_) | Node::Literal(_) => {}
        }
    }

    /// Whether some text in it uses a variable.
    pub(super) fn uses(&self, variable: &str) -> bool {
        match self {
            Node::Map(members) => members.values().any(|node| node.uses(variable)),
            Node::List(items) => items.iter().any(|node| node.uses(variable)),
            Node::Text(text) => references(text).iter().any(|reference| reference.name == variable),
            Node::Literal(_) => false,
        }
    }

    pub(super) fn set(&mut self, key: &str, node: Node) {
        if let Node::Map(members) = self {
            members.insert(key.to_owned(), node);
        }
    }

    pub(super) fn remove(&mut self, key: &str) {
        if let Node::Map(members) = self {
            members.remove(key);
        }
    }
}

/// Where a key stands among its neighbours.
fn rank(key: &str) -> (usize, &str) {
    let after = FIRST.len() + LAST.iter().position(|last| *last == key).map_or(0, |place| place + 1);
    (FIRST.iter().position(|first| *first == key).unwrap_or(after), key)
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Node::Map(members) => {
                let mut members: Vec<(&String, &Node)> = members.iter().collect();
                members.sort_by_key(|(key, _)| rank(key));
                serializer.collect_map(members)
            }
            Node::List(items) => serializer.collect_seq(items),
            Node::Text(text) => serializer.serialize_str(text),
            Node::Literal(text) => {
                RawValue::from_string(text.clone()).map_err(serde::ser::Error::custom)?.serialize(serializer)
            }
        }
    }
}

/// The texts of the numbers of a JSON text, in order. Where the text is no JSON they mean nothing, and nobody gets them.
fn numbers(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            let start = rest.find(|c: char| c == '"' || c == '-' || c.is_ascii_digit())?;
            rest = &rest[start..];
            if let Some(inside) = rest.strip_prefix('"') {
                rest = after_string(inside);
                continue;
            }
            let is_part = |c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | 'e' | 'E');
            let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
            let (number, after) = rest.split_at(end);
            rest = after;
            return Some(number);
        }
    })
}

/// What follows a string, of which the first quote is gone.
fn after_string(mut text: &str) -> &str {
    while let Some(at) = text.find(['"', '\\']) {
        let is_end = text.as_bytes()[at] == b'"';
        text = text.get(at + 1..).unwrap_or_default();
        if is_end {
            return text;
        }
        // What a backslash escapes is no end.
        let mut escaped = text.chars();
        escaped.next();
        text = escaped.as_str();
    }
    ""
}

/// Reads the next value; numbers take their texts from here.
struct Reader<'a, I>(&'a mut I);

impl<'de, 'text, I: Iterator<Item = &'text str>> DeserializeSeed<'de> for Reader<'_, I> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'text, I: Iterator<Item = &'text str>> Reader<'_, I> {
    fn number<E: Error>(self) -> Result<Node, E> {
        self.0.next().map(|text| Node::Literal(text.to_owned())).ok_or_else(|| E::custom("a number without a text"))
    }
}

impl<'de, 'text, I: Iterator<Item = &'text str>> Visitor<'de> for Reader<'_, I> {
    type Value = Node;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value of JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut members = BTreeMap::new();
        while let Some(key) = access.next_key()? {
            members.insert(key, access.next_value_seed(Reader(&mut *self.0))?);
        }
        Ok(Node::Map(members))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(Reader(&mut *self.0))? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Text(text.to_owned()))
    }

    fn visit_bool<E: Error>(self, is: bool) -> Result<Node, E> {
        Ok(Node::Literal(is.to_string()))
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Literal("null".to_owned()))
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Node, E> {
        self.number()
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Node, E> {
        self.number()
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Node, E> {
        self.number()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> String {
        serde_json::to_string(&Node::parse(text).unwrap()).unwrap()
    }

    #[test]
    fn numbers_keep_their_text_whatever_stands_around_them() {
        let text = r#"{"a\\":[1.50,-0,1E+2,"-3\"4",true,null],"é5":{"6":12345678901234567890123}}"#;
        assert_eq!(written(text), text);
    }

    #[test]
    fn of_a_doubled_key_the_last_one_counts_with_its_own_numbers() {
        assert_eq!(written(r#"{"a": {"b": 1.0}, "a": 2.0, "c": 3.00}"#), r#"{"a":2.0,"c":3.00}"#);
    }

    #[test]
    fn what_is_no_json_is_an_error() {
        for text in ["", "{", "[1,]", "1 2", "\"\\", "-", "1e999"] {
            assert!(Node::parse(text).is_err(), "{text}");
        }
    }
}
