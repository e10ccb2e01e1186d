//! Where in a YAML text its keys and list items stand, which the YAML library does not tell.

use std::collections::BTreeMap;

/// The lines of a text's keys and list items, by path: `route.routes[2].receiver`. It goes by indentation; what is
/// written in flow style has the line of the block around it.
pub(crate) struct Outline {
    lines: BTreeMap<String, usize>,
    /// The innermost path that begins on each line, by line.
    paths: BTreeMap<usize, String>,
    /// The paths whose value is a block scalar, `|` or `>`.
    scalars: BTreeMap<String, usize>,
}

/// A map or a list that is open at a line.
struct Level {
    column: usize,
    /// The path of what is open.
    path: String,
    /// The path of its entry that was seen last.
    entry: String,
    /// How many items it has, for a list.
    items: Option<usize>,
}

impl Outline {
    pub(crate) fn of(text: &str) -> Outline {
        let mut outline = Outline { lines: BTreeMap::new(), paths: BTreeMap::new(), scalars: BTreeMap::new() };
        let mut levels: Vec<Level> = Vec::new();
        let mut scalar: Option<usize> = None;
        for (number, line) in (1..).zip(text.lines()) {
            let content = line.trim_start();
            let column = line.len() - content.len();
            if content.is_empty() || scalar.is_some_and(|indent| column > indent) {
                continue;
            }
            scalar = None;
            if !content.starts_with('#') && content != "---" {
                scalar = outline.line(number, column, content, &mut levels);
            }
        }
        outline
    }

    /// Reads one line; gives the column that a block scalar's text lies right of, if one begins here.
    fn line(&mut self, number: usize, mut column: usize, mut rest: &str, levels: &mut Vec<Level>) -> Option<usize> {
        loop {
            levels.retain(|level| level.column <= column);
            let (path, after) = if let Some(after) = item(rest) {
                (next_item(levels, column), after)
            } else {
                let (key, after) = key(rest)?;
                (next_key(levels, column, key), after)
            };
            self.lines.entry(path.clone()).or_insert(number);
            self.paths.insert(number, path.clone());
            let value = after.trim_start();
            if value.starts_with(['|', '>']) {
                self.scalars.insert(path, number);
                return Some(column);
            }
            if item(rest).is_none() || value.is_empty() {
                return None;
            }
            column += rest.len() - value.len();
            rest = value;
        }
    }

    /// The line of a path, or of the nearest one above it.
    pub(crate) fn line_of(&self, path: &str) -> usize {
        let mut path = Some(path);
        while let Some(here) = path {
            if let Some(line) = self.lines.get(here) {
                return *line;
            }
            path = parent(here);
        }
        1
    }

    /// The line on which the text of a path's value begins: for a block scalar the one below its key.
    pub(crate) fn text_line_of(&self, path: &str) -> usize {
        self.scalars.get(path).map_or_else(|| self.line_of(path), |line| line + 1)
    }

    /// The innermost path on this line or on the next one that has any: what a comment here is about.
    pub(crate) fn path_from(&self, line: usize) -> Option<&str> {
        self.paths.range(line..).next().map(|(_, path)| path.as_str())
    }
}

/// The path of what holds this: `a.b[1]` → `a.b` → `a`.
pub(crate) fn parent(path: &str) -> Option<&str> {
    path.rfind(['.', '[']).map(|end| &path[..end])
}

fn next_item(levels: &mut Vec<Level>, column: usize) -> String {
    let open = levels.iter().rposition(|level| level.column == column && level.items.is_some());
    // An item ends whatever stands deeper, and the map of the same column that it may have held.
    match open {
        Some(at) => levels.truncate(at + 1),
        None => {
            let path = levels.last().map_or_else(String::new, |level| level.entry.clone());
            levels.push(Level { column, path, entry: String::new(), items: Some(0) });
        }
    }
    let Some(level) = levels.last_mut() else { return String::new() };
    let index = level.items.unwrap_or_default();
    level.items = Some(index + 1);
    level.entry = format!("{}[{index}]", level.path);
    level.entry.clone()
}

fn next_key(levels: &mut Vec<Level>, column: usize, key: &str) -> String {
    // A list may stand in the column of the key that holds it; a key there ends it.
    while levels.last().is_some_and(|level| level.column == column && level.items.is_some()) {
        levels.pop();
    }
    if levels.last().is_none_or(|level| level.column < column) {
        let path = levels.last().map_or_else(String::new, |level| level.entry.clone());
        levels.push(Level { column, path, entry: String::new(), items: None });
    }
    let Some(level) = levels.last_mut() else { return String::new() };
    level.entry = if level.path.is_empty() { key.to_owned() } else { format!("{}.{key}", level.path) };
    level.entry.clone()
}

/// What follows the dash of a list item.
fn item(text: &str) -> Option<&str> {
    let after = text.strip_prefix('-')?;
    (after.is_empty() || after.starts_with(' ')).then_some(after)
}

/// A key without its quotes, and what follows its colon.
fn key(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|first| ['"', '\''].contains(first));
    let (key, after) = match quote {
        Some(quote) => text[1..].split_once(quote)?,
        None => text.split_at(text.match_indices(':').find(|(at, _)| ends_key(&text[at + 1..])).map(|(at, _)| at)?),
    };
    let after = after.strip_prefix(':')?;
    (!key.starts_with(['{', '[']) && ends_key(after)).then_some((key.trim_end(), after))
}

fn ends_key(after: &str) -> bool {
    after.is_empty() || after.starts_with(' ')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_yaml::Value;

    const TEXT: &str = "# a: b
route:
  'receiver': a
  routes:
  - matchers:
      - x=\"y\"
      - z: 1
    receiver: b # c: d
  # between
  - receiver: c
receivers:
  - name: http://x:1
    text: |
      - no: item

      key: no
    after: {flow: 1}
";

    #[test]
    fn keys_and_items_have_their_lines() {
        let outline = Outline::of(TEXT);
        for (path, line) in [
            ("route", 2),
            ("route.receiver", 3),
            ("route.routes", 4),
            ("route.routes[0]", 5),
            ("route.routes[0].matchers", 5),
            ("route.routes[0].matchers[1]", 7),
            ("route.routes[0].receiver", 8),
            ("route.routes[1]", 10),
            ("receivers[0].text", 13),
            ("receivers[0].after.flow", 17),
            ("receivers[0].key", 12),
            ("nowhere", 1),
        ] {
            assert_eq!(outline.line_of(path), line, "{path}");
        }
        assert_eq!((outline.text_line_of("receivers[0].text"), outline.text_line_of("route")), (14, 2));
        assert_eq!(outline.path_from(9), Some("route.routes[1].receiver"));
        assert_eq!(outline.path_from(18), None);
    }

    #[test]
    fn items_of_items_have_their_lines() {
        let outline = Outline::of("a:\n- - x\n  - y\n- - z\nb: 1\n");
        assert_eq!(["a[0][1]", "a[1]", "a[1][0]", "b"].map(|path| outline.line_of(path)), [3, 4, 4, 5]);
    }

    /// Every path of a value, parents first, in the order of the text.
    fn paths(value: &Value, path: &str, found: &mut Vec<String>) {
        if !path.is_empty() {
            found.push(path.to_owned());
        }
        match value {
            Value::Mapping(map) => {
                for (key, value) in map {
                    let key = key.as_str().unwrap_or_default();
                    let path = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
                    paths(value, &path, found);
                }
            }
            Value::Sequence(list) => {
                list.iter().enumerate().for_each(|(index, value)| paths(value, &format!("{path}[{index}]"), found));
            }
            _ => {}
        }
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![Just("x".to_owned()), Just("- a\nb: c\n".to_owned()), Just("k: v".to_owned())];
        let leaf = leaf.prop_map(Value::String);
        let any = leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 1..4).prop_map(Value::Sequence),
                proptest::collection::btree_map("[a-d]", inner, 1..4)
                    .prop_map(|map| Value::Mapping(map.into_iter().map(|(k, v)| (Value::String(k), v)).collect())),
            ]
        });
        any.prop_map(|value| Value::Mapping([(Value::String("root".to_owned()), value)].into_iter().collect()))
    }

    proptest! {
        #[test]
        fn what_the_library_writes_is_outlined(value in values()) {
            let text = serde_yaml::to_string(&value).unwrap();
            let outline = Outline::of(&text);
            let mut expected = Vec::new();
            paths(&value, "", &mut expected);
            let missing: Vec<&String> = expected.iter().filter(|path| !outline.lines.contains_key(*path)).collect();
            prop_assert!(missing.is_empty(), "{missing:?} in\n{text}");
            let lines: Vec<usize> = expected.iter().map(|path| outline.line_of(path)).collect();
            prop_assert!(lines.is_sorted(), "{lines:?} in\n{text}");
            prop_assert_eq!(outline.lines.len(), expected.len(), "{}", text);
        }

        #[test]
        fn no_text_panics(text in "([ -~ä]|\n|  |- |: ){0,60}") {
            let outline = Outline::of(&text);
            outline.line_of("a.b[1]");
            outline.path_from(1);
        }
    }
}
