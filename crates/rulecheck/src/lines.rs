//! Where in a rule file its groups and rules stand, which the YAML library does not tell.

use std::collections::HashMap;

/// What is looked for: a key, and the text of its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry<'a> {
    /// The list of groups begins; names before it are not theirs.
    Groups,
    /// A group of this name.
    Group(&'a str),
    /// An alerting rule of this name.
    Alert(&'a str),
    /// A recording rule for this series.
    Record(&'a str),
    /// A rule without a name.
    Nameless,
}

/// The lines of a group's or a rule's own text.
#[derive(Debug, Default)]
pub(crate) struct Span<'a> {
    /// The number of the first line, comments above the rule included.
    pub(crate) first: usize,
    /// The number of the rule's own first line.
    pub(crate) line: usize,
    pub(crate) lines: Vec<&'a str>,
}

/// The spans of `entries`, which are those of the text in its order. `first_line` is the number of the text's first
/// line. What cannot be found, since its name is written with escapes or comes from an anchor, has the line of the entry
/// before it and no text.
pub(crate) fn locate<'a>(text: &'a str, first_line: usize, entries: &[Entry<'_>]) -> Vec<Span<'a>> {
    let lines: Vec<&str> = text.lines().collect();
    let index = Index::new(&lines);
    let mut places: Vec<Place> = Vec::with_capacity(entries.len());
    let mut from = (0, 0);
    for entry in entries {
        let found = index.find(*entry, from);
        let previous = places.last().map_or(0, |place| place.found);
        let place = match found {
            Some(at) => {
                from = (at.0, at.1 + 1);
                Place::new(&lines, at.0, previous)
            }
            None => Place { found: previous, start: previous, first: previous, known: false },
        };
        places.push(place);
    }
    let mut spans = Vec::with_capacity(places.len());
    // No rule's text reaches into the next one's, so all together are no longer than the file.
    let mut bound = lines.len();
    for place in places.iter().rev() {
        let end = if place.known { block_end(&lines, place.start, bound) } else { place.first };
        spans.push(Span {
            first: first_line + place.first,
            line: first_line + place.start,
            lines: lines.get(place.first..end).unwrap_or_default().to_vec(),
        });
        bound = place.first;
    }
    spans.reverse();
    spans
}

impl Span<'_> {
    /// The line of `key:`, or the rule's own where there is none at the start of a line.
    pub(crate) fn line_of_key(&self, key: &str) -> usize {
        let is_key = |line: &&str| {
            let line = line.trim_start_matches([' ', '-', '{', '"', '\'']);
            let rest = line.strip_prefix(key).map(|rest| rest.trim_start_matches(['"', '\'']));
            rest.is_some_and(|rest| rest.trim_start().starts_with(':'))
        };
        let found = self.lines.iter().position(is_key);
        found.map_or(self.line, |index| self.first + index)
    }

    pub(crate) fn text(&self) -> String {
        self.lines.join("\n")
    }
}

/// Where one entry stands; all are indices of lines.
struct Place {
    found: usize,
    /// Of the list item that it is part of.
    start: usize,
    /// Of the comments above that.
    first: usize,
    known: bool,
}

impl Place {
    /// `previous` is the line of the entry before, which this one's item cannot reach.
    fn new(lines: &[&str], found: usize, previous: usize) -> Place {
        let start = (previous..=found)
            .rev()
            .find(|&line| is_item(lines[line]) && (line == found || indent_of(lines[line]) < indent_of(lines[found])));
        let start = start.unwrap_or(found);
        let comments = (previous..start).rev().take_while(|&line| is_comment(lines[line]));
        Place { found, start, first: comments.last().unwrap_or(start), known: true }
    }
}

/// The index behind the last line of the block that begins at `start`, before `bound`. Comments right above the next
/// block belong to that one.
fn block_end(lines: &[&str], start: usize, bound: usize) -> usize {
    let is_text = |line: &str| !line.trim().is_empty() && !is_comment(line);
    let indent = indent_of(lines[start]);
    let mut end = start + 1;
    for (index, line) in lines.iter().enumerate().take(bound).skip(start + 1) {
        if is_text(line) && indent_of(line) <= indent {
            break;
        }
        if is_text(line) {
            end = index + 1;
        }
    }
    end
}

/// A list item in block style, or an object of a list in JSON.
fn is_item(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("- ") || line == "-" || line.starts_with('{')
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

fn indent_of(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// Every place where one of the keys stands with a value on its line.
struct Index<'a>(HashMap<(&'static str, &'a str), Vec<At>>);

/// A line's index and a byte in it.
type At = (usize, usize);

const KEYS: [&str; 4] = ["groups", "name", "alert", "record"];

/// Longer values are no names, and looking for their ends would take long in a file that is one line.
const MAX_VALUE: usize = 1000;

impl<'a> Index<'a> {
    fn new(lines: &[&'a str]) -> Index<'a> {
        let mut places: HashMap<(&'static str, &str), Vec<At>> = HashMap::new();
        for (number, line) in lines.iter().enumerate() {
            for key in KEYS {
                for (at, _) in line.match_indices(key) {
                    let Some(value) = value_behind(line, at, key) else { continue };
                    let mut add = |value| places.entry((key, value)).or_default().push((number, at));
                    match key {
                        "groups" => add(""),
                        _ => spellings(value).into_iter().for_each(add),
                    }
                }
            }
        }
        Index(places)
    }

    /// The first place of an entry at or behind `from`.
    fn find(&self, entry: Entry<'_>, from: At) -> Option<At> {
        let (key, value) = match entry {
            Entry::Groups => ("groups", ""),
            Entry::Group(name) => ("name", name),
            Entry::Alert(name) => ("alert", name),
            Entry::Record(name) => ("record", name),
            Entry::Nameless => return None,
        };
        let places = self.0.get(&(key, value))?;
        places.get(places.partition_point(|place| *place < from)).copied()
    }
}

/// What stands behind `key:` at `at`, where that is a key.
fn value_behind<'a>(line: &'a str, at: usize, key: &str) -> Option<&'a str> {
    let before = line[..at].bytes().next_back();
    if !before.is_none_or(|byte| matches!(byte, b' ' | b'"' | b'\'' | b'{' | b',' | b'-')) {
        return None;
    }
    let rest = line[at + key.len()..].trim_start_matches(['"', '\'']);
    Some(rest.trim_start().strip_prefix(':')?.trim_start())
}

/// The values that a text behind a key can stand for: in quotes, to the end of the line or its comment, or in flow style.
fn spellings(text: &str) -> Vec<&str> {
    let mut end = text.len().min(MAX_VALUE);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let text = &text[..end];
    if let Some(quote @ (b'"' | b'\'')) = text.bytes().next() {
        return text[1..].split(char::from(quote)).next().into_iter().collect();
    }
    let block = text.split(" #").next().unwrap_or(text).trim_end();
    let flow = text.split([',', '}']).next().unwrap_or(text).trim_end();
    if block == flow { vec![block] } else { vec![block, flow] }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str, entries: &[Entry<'_>]) -> Vec<(usize, usize, usize)> {
        locate(text, 1, entries).iter().map(|span| (span.first, span.line, span.first + span.lines.len())).collect()
    }

    #[test]
    fn names_before_the_groups_are_not_theirs() {
        let text = "metadata:\n  name: g\nspec:\n  groups:\n    - name: g\n      rules:\n        - alert: A\n";
        assert_eq!(
            lines(text, &[Entry::Groups, Entry::Group("g"), Entry::Alert("A")]),
            [(4, 4, 5), (5, 5, 7), (7, 7, 8)]
        );
    }

    #[test]
    fn flow_style_and_json_have_their_lines() {
        let text = "groups: [{name: g, rules: [\n  {alert: A, expr: a},\n  # why\n  {record: b:c, expr: a}, {alert: A, expr: b}\n]}]\n";
        let entries = [Entry::Groups, Entry::Group("g"), Entry::Alert("A"), Entry::Record("b:c"), Entry::Alert("A")];
        assert_eq!(lines(text, &entries), [(1, 1, 2), (1, 1, 2), (2, 2, 3), (3, 4, 5), (4, 4, 5)]);
        let json = "{\"groups\": [{\n \"name\": \"g\",\n \"rules\": [\n  {\n   \"alert\": \"A\",\n   \"expr\": \"a\"\n  }]}]}\n";
        let spans = locate(json, 1, &[Entry::Groups, Entry::Group("g"), Entry::Alert("A")]);
        assert_eq!((spans[2].line, spans[2].line_of_key("expr")), (4, 6));
    }

    #[test]
    fn what_cannot_be_found_has_the_line_before() {
        let text = "groups:\n  - name: g\n    rules:\n      - alert: \"\\x41\"\n      - alert: B # b\n";
        let entries = [Entry::Groups, Entry::Group("g"), Entry::Alert("A"), Entry::Nameless, Entry::Alert("B")];
        assert_eq!(lines(text, &entries)[2..], [(2, 2, 2), (2, 2, 2), (5, 5, 6)]);
    }

    /// Each rule's text used to be looked for, and copied, to the end of the file.
    #[test]
    fn a_huge_file_takes_no_square_of_its_length() {
        let rules: String =
            (0..50_000).map(|number| format!("{{\"alert\": \"A{number}\", \"expr\": \"up\"}},")).collect();
        for text in [format!("{{\"groups\": [{rules}"), rules.replace("},", "},\n")] {
            let names: Vec<String> = (0..50_000).map(|number| format!("A{number}")).collect();
            let entries: Vec<Entry<'_>> = names.iter().map(|name| Entry::Alert(name)).collect();
            let started = std::time::Instant::now();
            let last = locate(&text, 1, &entries).pop().unwrap();
            assert_eq!(last.line, text.lines().count());
            assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
        }
    }
}
