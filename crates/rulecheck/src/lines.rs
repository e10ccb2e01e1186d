//! Where in a rule file its groups and rules stand.

use crate::rules::RuleKind;

/// Finds the lines of groups and rules, which the YAML library does not tell. It goes through the text once, in the
/// order of the parsed rules; a file in flow style gets line 1.
pub(crate) struct Lines<'a> {
    lines: Vec<&'a str>,
    /// Where to look on, an index.
    next: usize,
}

/// The lines of one rule.
pub(crate) struct Span<'a> {
    /// The number of the first line, comments above the rule included.
    pub(crate) first: usize,
    /// The number of the rule's own first line.
    pub(crate) line: usize,
    pub(crate) lines: Vec<&'a str>,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(text: &'a str) -> Lines<'a> {
        Lines { lines: text.lines().collect(), next: 0 }
    }

    /// The number of the line that was found last.
    pub(crate) fn last_line(&self) -> usize {
        self.next.max(1)
    }

    fn find(&mut self, key: &str, value: &str) -> Option<usize> {
        let found = (self.next..self.lines.len()).find(|&index| key_value(self.lines[index], key) == Some(value))?;
        self.next = found + 1;
        Some(found)
    }

    pub(crate) fn group(&mut self, name: &str) -> usize {
        self.find("name", name).map_or(1, |index| index + 1)
    }

    pub(crate) fn rule(&mut self, kind: RuleKind, name: &str) -> Span<'a> {
        let key = if kind == RuleKind::Alert { "alert" } else { "record" };
        let Some(found) = self.find(key, name) else {
            return Span { first: 1, line: 1, lines: Vec::new() };
        };
        let start = self.item_start(found);
        let is_comment = |index: usize| self.lines[index].trim_start().starts_with('#');
        let first = (0..start).rev().take_while(|&index| is_comment(index)).last().unwrap_or(start);
        let indent = indent_of(self.lines[start]);
        let next = (start + 1..self.lines.len())
            .find(|&index| {
                !self.lines[index].trim().is_empty() && !is_comment(index) && indent_of(self.lines[index]) <= indent
            })
            .unwrap_or(self.lines.len());
        // Comments right above the next rule belong to that one.
        let end = (start + 1..next).rev().find(|&index| !is_comment(index) && !self.lines[index].trim().is_empty());
        let end = end.map_or(start + 1, |index| index + 1);
        Span { first: first + 1, line: start + 1, lines: self.lines[first..end].to_vec() }
    }

    /// The line with the dash of the list item that the line at `index` is part of.
    fn item_start(&self, index: usize) -> usize {
        let is_dash = |index: usize| self.lines[index].trim_start().starts_with("- ");
        if is_dash(index) {
            return index;
        }
        let indent = indent_of(self.lines[index]);
        (0..index).rev().find(|&above| is_dash(above) && indent_of(self.lines[above]) < indent).unwrap_or(index)
    }
}

impl Span<'_> {
    /// The line of `key:`, or the rule's own where there is none in block style.
    pub(crate) fn line_of_key(&self, key: &str) -> usize {
        let found = self.lines.iter().position(|line| key_value(line, key).is_some());
        found.map_or(self.line, |index| self.first + index)
    }

    pub(crate) fn text(&self) -> String {
        self.lines.join("\n")
    }
}

fn indent_of(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// The value of `key: value` on a line, quotes and comment taken off.
fn key_value<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let line = line.trim_start().trim_start_matches("- ").trim_start();
    let value = line.strip_prefix(key)?.strip_prefix(':')?.trim();
    let value = value.split(" #").next().unwrap_or(value).trim_end();
    Some(value.trim_matches(['"', '\'']))
}
