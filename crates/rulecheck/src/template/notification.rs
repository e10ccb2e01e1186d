//! Templates of notifications: which fields of the notification and of its alerts they use, and which other templates.
//!
//! Source: prometheus/alertmanager `template/template.go`.

use super::TemplateError;
use super::lex::{self, Piece, Token};

/// What a template of a notification uses.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Notification {
    /// Fields of what is known to be the notification or one of its alerts, in reading order.
    pub fields: Vec<Field>,
    /// Names of the templates that it calls, each with its place in bytes.
    pub templates: Vec<(String, usize)>,
    /// Names of the functions that it calls, each with its place in bytes.
    pub functions: Vec<(String, usize)>,
    /// Names of the templates that it defines itself.
    pub defined: Vec<String>,
}

/// A field that a template uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Whose field.
    pub of: Dot,
    /// The field and those within it: `CommonLabels`, `severity`.
    pub path: Vec<String>,
    /// The place of the action, in bytes.
    pub at: usize,
}

/// What the dot is while a template runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dot {
    /// The notification, with what its alerts have in common.
    Notification,
    /// One of its alerts.
    Alert,
    /// Anything else.
    Other,
}

/// Words that are no function.
const WORDS: &str = "if else end range with define block template break continue nil true false";

impl Notification {
    /// Reads a template that is run on a notification. The error is what Go cannot parse.
    pub fn parse(text: &str) -> Result<Notification, TemplateError> {
        let mut reader = Reader::default();
        for piece in lex::pieces(text)? {
            if let Piece::Action(place, tokens) = piece {
                reader.at = place.start;
                reader.action(&tokens)?;
            }
        }
        match reader.blocks.last() {
            Some(block) => reader.error(format!("`{}` is not closed by `{{{{ end }}}}`", block.keyword)),
            None => Ok(reader.found),
        }
    }
}

/// An `if`, `with`, `range`, `define` or `block` that is not closed yet, and what to go back to behind it.
struct Block {
    keyword: String,
    dot: Dot,
    root: Dot,
    variables: usize,
}

struct Reader {
    found: Notification,
    blocks: Vec<Block>,
    dot: Dot,
    /// What `$` is.
    root: Dot,
    variables: Vec<(String, Dot)>,
    at: usize,
}

impl Default for Reader {
    fn default() -> Reader {
        Reader {
            found: Notification::default(),
            blocks: Vec::new(),
            dot: Dot::Notification,
            root: Dot::Notification,
            variables: Vec::new(),
            at: 0,
        }
    }
}

impl Reader {
    fn error<T>(&self, message: impl Into<String>) -> Result<T, TemplateError> {
        Err(TemplateError { at: self.at, message: message.into() })
    }

    fn action(&mut self, tokens: &[Token]) -> Result<(), TemplateError> {
        let (keyword, rest) = match tokens {
            [Token::Word(word), rest @ ..] => (word.as_str(), rest),
            _ => ("", tokens),
        };
        match keyword {
            "if" | "with" | "range" | "define" | "block" => self.open(keyword, rest),
            "else" => return self.otherwise(rest),
            "end" => match self.blocks.pop() {
                Some(block) => {
                    (self.dot, self.root) = (block.dot, block.root);
                    self.variables.truncate(block.variables);
                }
                None => return self.error("`end` closes nothing"),
            },
            "template" => {
                self.found.templates.extend(name_of(rest).map(|name| (name, self.at)));
                self.pipeline(rest);
            }
            _ => {
                self.pipeline(tokens);
            }
        }
        Ok(())
    }

    fn open(&mut self, keyword: &str, rest: &[Token]) {
        let (dot, root, variables) = (self.dot, self.root, self.variables.len());
        self.blocks.push(Block { keyword: keyword.to_owned(), dot, root, variables });
        if matches!(keyword, "define" | "block") {
            self.found.defined.extend(name_of(rest));
            // What it will be called with is not followed.
            (self.dot, self.root) = (Dot::Other, Dot::Other);
            return;
        }
        self.enter(keyword, rest);
    }

    /// The dot within a block of this kind.
    fn enter(&mut self, keyword: &str, rest: &[Token]) {
        let value = self.pipeline(rest);
        let dot = match (keyword, &value) {
            ("if", _) => return,
            ("with", Value::Dot(dot)) => *dot,
            ("range", Value::Alerts) => Dot::Alert,
            _ => Dot::Other,
        };
        self.dot = dot;
        // `range $index, $alert := .Alerts`: the last variable is what the dot is.
        let declared = rest.iter().take_while(|token| **token != Token::Declare);
        let names = declared.filter_map(|token| match token {
            Token::Variable(name) if rest.contains(&Token::Declare) => Some(name.clone()),
            _ => None,
        });
        let names: Vec<String> = names.collect();
        let last = names.len().saturating_sub(1);
        let variables = names.into_iter().enumerate();
        self.variables.extend(variables.map(|(index, name)| (name, if index == last { dot } else { Dot::Other })));
    }

    fn otherwise(&mut self, rest: &[Token]) -> Result<(), TemplateError> {
        let Some(block) = self.blocks.last().filter(|block| !["define", "block"].contains(&block.keyword.as_str()))
        else {
            return self.error("`else` without `if`, `with` or `range`");
        };
        self.dot = block.dot;
        if let [Token::Word(keyword), condition @ ..] = rest {
            self.enter(keyword, condition);
        }
        Ok(())
    }

    /// Notes what a pipeline uses, and gives its value where it is a single operand.
    fn pipeline(&mut self, tokens: &[Token]) -> Value {
        let start = tokens.iter().position(|token| *token == Token::Declare).map_or(0, |at| at + 1);
        let mut rest = &tokens[start..];
        let mut only = Value::Other;
        while let [first, tail @ ..] = rest {
            rest = tail;
            let of = match first {
                Token::Dot => Some((self.dot, None)),
                Token::Field { name, .. } => Some((self.dot, Some(name))),
                Token::Variable(name) if name.is_empty() => Some((self.root, None)),
                Token::Variable(name) => Some((self.variable(name), None)),
                Token::Close => Some((Dot::Other, None)),
                Token::Word(word) if !WORDS.split(' ').any(|known| known == word) => {
                    self.found.functions.push((word.clone(), self.at));
                    None
                }
                _ => None,
            };
            let Some((of, name)) = of else { continue };
            let mut path: Vec<String> = name.into_iter().cloned().collect();
            while let [Token::Field { name, spaced: false }, tail @ ..] = rest {
                path.push(name.clone());
                rest = tail;
            }
            only = Value::of(of, &path);
            if !path.is_empty() && of != Dot::Other {
                self.found.fields.push(Field { of, path, at: self.at });
            }
        }
        let is_single = tokens[start..].iter().skip(1).all(|token| matches!(token, Token::Field { spaced: false, .. }));
        if is_single { only } else { Value::Other }
    }

    fn variable(&self, name: &str) -> Dot {
        self.variables.iter().rev().find(|(known, _)| known == name).map_or(Dot::Other, |(_, dot)| *dot)
    }
}

/// The value of an operand.
enum Value {
    Dot(Dot),
    /// The alerts of the notification, or the firing or resolved ones.
    Alerts,
    Other,
}

impl Value {
    fn of(of: Dot, path: &[String]) -> Value {
        let names: Vec<&str> = path.iter().map(String::as_str).collect();
        match (of, names.as_slice()) {
            (of, []) => Value::Dot(of),
            (Dot::Notification, ["Alerts"] | ["Alerts", "Firing" | "Resolved"]) => Value::Alerts,
            _ => Value::Other,
        }
    }
}

fn name_of(tokens: &[Token]) -> Option<String> {
    match tokens.first() {
        Some(Token::Text(name)) => Some(name.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The fields, those of an alert after `alert`.
    fn fields(text: &str) -> Vec<String> {
        let found = Notification::parse(text).unwrap().fields;
        found.iter().map(|field| format!("{:?}.{}", field.of, field.path.join("."))).collect()
    }

    #[test]
    fn fields_belong_to_the_notification_or_to_an_alert() {
        assert_eq!(
            fields("{{ .Status | toUpper }} {{ .GroupLabels.a }}"),
            ["Notification.Status", "Notification.GroupLabels.a"]
        );
        assert_eq!(
            fields("{{ range .Alerts }}{{ .Labels.a }} {{ $.Status }}{{ end }}{{ .Annotations.b }}"),
            ["Notification.Alerts", "Alert.Labels.a", "Notification.Status", "Notification.Annotations.b"]
        );
        assert_eq!(
            fields("{{ range $i, $alert := .Alerts.Firing }}{{ $alert.Labels.a }}{{ $i.x }}{{ end }}"),
            ["Notification.Alerts.Firing", "Alert.Labels.a"]
        );
        assert_eq!(
            fields("{{ if gt (len .Alerts) 1 }}{{ (index .Alerts 0).Annotations.a }}{{ end }}"),
            ["Notification.Alerts", "Notification.Alerts"]
        );
    }

    #[test]
    fn what_is_not_followed_accuses_nobody() {
        assert_eq!(
            fields("{{ with .CommonLabels }}{{ .a }}{{ else }}{{ .b }}{{ end }}"),
            ["Notification.CommonLabels", "Notification.b"]
        );
        assert_eq!(
            fields("{{ define \"x\" }}{{ .a }}{{ $.b }}{{ end }}{{ range .Alerts.Other }}{{ .c }}{{ end }}"),
            ["Notification.Alerts.Other"]
        );
        assert_eq!(fields("{{ $x := .Alerts }}{{ $x.y }}"), ["Notification.Alerts"]);
    }

    #[test]
    fn templates_and_functions_are_named() {
        let found =
            Notification::parse("a {{ define \"x\" }}{{ end }}{{ template \"x\" . }}{{ .Status | upper }}").unwrap();
        assert_eq!(found.templates, [("x".to_owned(), 27)]);
        assert_eq!((found.defined, found.functions), (vec!["x".to_owned()], vec![("upper".to_owned(), 47)]));
    }

    #[test]
    fn what_go_cannot_parse_is_an_error() {
        for bad in
            ["{{ .Status", "{{ if .Status }}", "{{ end }}", "{{ else }}", "{{ define \"x\" }}{{ else }}{{ end }}"]
        {
            assert!(Notification::parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(\\{\\{|\\}\\}|if |end|range|\\.[A-C]|[ -~äß\n]){0,30}") {
            let _ = Notification::parse(&text);
        }
    }
}
