//! Variables where a dashboard uses them: `$name`, `${name}`, `${name.field}`, `${name:format}`, `[[name]]`.
//! Source of the syntax: grafana/grafana `public/app/features/variables/utils.ts`.

use crate::query::VARIABLE;

/// One use of a variable in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reference<'a> {
    /// The variable's name.
    pub name: &'a str,
    start: usize,
    end: usize,
}

/// The variables that a text uses, in order. What is no name, such as the `$1` of a regular expression's replacement,
/// is none.
pub fn references(text: &str) -> Vec<Reference<'_>> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(start) = text[from..].find(['$', '[']).map(|at| from + at) {
        match one(text, start) {
            Some(reference) => {
                from = reference.end;
                found.push(reference);
            }
            None => from = start + 1,
        }
    }
    found
}

fn one(text: &str, start: usize) -> Option<Reference<'_>> {
    let rest = &text[start..];
    let (open, close) = match () {
        () if rest.starts_with("${") => ("${", "}"),
        () if rest.starts_with("[[") => ("[[", "]]"),
        () if rest.starts_with('$') => ("$", ""),
        () => return None,
    };
    let inside = &rest[open.len()..];
    let name = &inside[..inside.find(|c: char| !is_word(c)).unwrap_or(inside.len())];
    if !name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        return None;
    }
    let tail = &inside[name.len()..];
    // Between the name and the end a field or a format may stand.
    let skipped = match close {
        "" => 0,
        _ if tail.starts_with(close) || tail.starts_with([':', '.']) => tail.find(close)?,
        _ => return None,
    };
    Some(Reference { name, start, end: start + open.len() + name.len() + skipped + close.len() })
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The text with every variable that `value_of` knows in place; the others stay as they are.
pub fn interpolate(text: &str, value_of: &dyn Fn(&str) -> Option<String>) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut from = 0;
    for reference in references(text) {
        let Some(value) = value_of(reference.name) else { continue };
        filled.push_str(&text[from..reference.start]);
        filled.push_str(&value);
        from = reference.end;
    }
    filled + &text[from..]
}

/// What stands for a variable where PromQL has no room for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// A name that nobody knows: of a metric, a label or a series.
    Name,
    /// A number that nobody knows.
    Number,
    /// The value that the variable has when the dashboard opens.
    Value,
}

/// An expression that PromQL's grammar takes, with every variable filled in. A duration stands where one is asked for;
/// inside of quotes the variable stays, as `$name`. `value_of` gives a variable's value for [`Style::Value`].
pub(super) fn fill(expr: &str, style: Style, value_of: &dyn Fn(&str) -> Option<String>) -> String {
    let mut filled = String::with_capacity(expr.len());
    let mut state = State::default();
    let mut from = 0;
    for reference in references(expr) {
        state.pass(&expr[from..reference.start]);
        filled.push_str(&expr[from..reference.start]);
        let next = expr[reference.end..].chars().next();
        let place = state.place(next, filled.ends_with(is_word));
        filled.push_str(&substitute(reference.name, place, style, value_of));
        from = reference.end;
    }
    filled.push_str(&expr[from..]);
    filled
}

/// Where in an expression a variable stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In quotes, or in a comment; says whether a letter follows.
    Text { joined: bool },
    /// A range or an offset, the unit included or not.
    Duration { unit_follows: bool },
    /// Part of a longer name.
    InName,
    /// Anything else.
    Free,
}

fn substitute(name: &str, place: Place, style: Style, value_of: &dyn Fn(&str) -> Option<String>) -> String {
    let placeholder = || format!("{VARIABLE}{name}");
    match place {
        Place::Text { joined: true } => format!("${{{name}}}"),
        Place::Text { joined: false } => format!("${name}"),
        Place::Duration { unit_follows: true } => "5".to_owned(),
        Place::Duration { unit_follows: false } => "5m".to_owned(),
        _ if is_duration(name) => "5m".to_owned(),
        _ if is_number(name) => "300".to_owned(),
        Place::Free if style == Style::Number => format!("scalar({})", placeholder()),
        _ if style == Style::Value => value_of(name).unwrap_or_else(placeholder),
        _ => placeholder(),
    }
}

/// Grafana's own variables that hold a duration.
fn is_duration(name: &str) -> bool {
    matches!(name, "__interval" | "__rate_interval" | "__range") || name.starts_with("__auto_interval")
}

/// Grafana's own variables that hold a number.
fn is_number(name: &str) -> bool {
    matches!(name, "__interval_ms" | "__range_s" | "__range_ms" | "__from" | "__to")
}

/// How far an expression is read: within which quotes, brackets or comment.
#[derive(Default)]
struct State {
    quote: Option<char>,
    escaped: bool,
    comment: bool,
    brackets: usize,
    /// The last word, for `offset`.
    word: String,
}

impl State {
    fn pass(&mut self, text: &str) {
        for c in text.chars() {
            if self.comment {
                self.comment = c != '\n';
            } else if let Some(quote) = self.quote {
                if self.escaped {
                    self.escaped = false;
                } else if c == '\\' && quote != '`' {
                    self.escaped = true;
                } else if c == quote {
                    self.quote = None;
                }
            } else {
                self.pass_free(c);
            }
        }
    }

    fn pass_free(&mut self, c: char) {
        match c {
            '"' | '\'' | '`' => self.quote = Some(c),
            '#' => self.comment = true,
            '[' => self.brackets += 1,
            ']' => self.brackets = self.brackets.saturating_sub(1),
            _ => {}
        }
        if is_word(c) {
            self.word.push(c);
        } else if self.word != "offset" || !(c.is_whitespace() || c == '-') {
            self.word.clear();
        }
    }

    fn place(&mut self, next: Option<char>, behind_word: bool) -> Place {
        let joined = next.is_some_and(is_word);
        if self.comment || self.quote.is_some() {
            return Place::Text { joined };
        }
        let offset = std::mem::take(&mut self.word).eq_ignore_ascii_case("offset");
        match () {
            () if self.brackets > 0 || offset => Place::Duration { unit_follows: joined },
            () if joined || behind_word => Place::InName,
            () => Place::Free,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::parse_expr;
    use proptest::prelude::*;

    #[test]
    fn variables_are_told_from_what_only_looks_like_one() {
        let names = |text| references(text).into_iter().map(|reference| reference.name).collect::<Vec<_>>();
        assert_eq!(
            names("$a ${b} ${c:regex} [[d]] [[e:csv]] ${f.text:raw} x$g-$_h"),
            ["a", "b", "c", "d", "e", "f", "g", "_h"]
        );
        assert!(names("$1 ${1} a$ .*$|b$ [[:alpha:]] [5m] ${ [a] ${a $$").is_empty());
        assert_eq!(names("$$x[[[a]]"), ["x", "a"]);
    }

    #[test]
    fn known_variables_are_put_in_place_wherever_they_stand() {
        let text = "rate(a{x=~\"$x|[[x]]\", y=\"${y:raw}\"}[${x.text}$z])";
        let filled = interpolate(text, &|name| (name == "x").then(|| "1".to_owned()));
        assert_eq!(filled, "rate(a{x=~\"1|1\", y=\"${y:raw}\"}[1$z])");
    }

    #[track_caller]
    fn filled(expr: &str, style: Style, expected: &str) {
        let filled = fill(expr, style, &|name| (name == "fn").then(|| "max".to_owned()));
        assert_eq!(filled, expected);
        parse_expr(&filled).unwrap();
    }

    #[test]
    fn each_place_gets_what_the_grammar_takes_there() {
        filled("rate(a{x=~\"$x\"}[$__rate_interval])", Style::Name, "rate(a{x=~\"$x\"}[5m])");
        filled("a{x=~\"${x:regex}|[[y]]z\"}", Style::Name, "a{x=~\"$x|${y}z\"}");
        filled(
            "sum by ($by) (${metric}_total)",
            Style::Name,
            "sum by (grafana_variable_by) (grafana_variable_metric_total)",
        );
        filled("max_over_time(a[${__range_s}s:$step])", Style::Name, "max_over_time(a[5s:5m])");
        filled("a offset $shift > b offset -${shift}", Style::Name, "a offset 5m > b offset -5m");
        filled("topk($k, a)", Style::Number, "topk(scalar(grafana_variable_k), a)");
        filled("$fn by (x) (a)", Style::Value, "max by (x) (a)");
        filled("a / $__range_s * $__interval", Style::Name, "a / 300 * 5m");
        filled("a # $x and 'y\n+ b{c='[${d} s]'}", Style::Name, "a # $x and 'y\n+ b{c='[$d s]'}");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[$\\[\\]{}:.\"'`#\\\\aé_1 -]{0,30}") {
            for style in [Style::Name, Style::Number, Style::Value] {
                fill(&text, style, &|_| None);
            }
        }
    }
}
