//! The pieces of a Go template: the text, and the tokens of the actions between `{{` and `}}`.
//! Source: Go's `text/template/parse/lex.go`.

use std::ops::Range;

use super::TemplateError;

/// A piece of a template, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// What stands between the actions; of it only what follows a value matters.
    Text(String),
    /// `{{ … }}` with its place in the text.
    Action(Range<usize>, Vec<Token>),
}

/// A token of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// `.name`; without a space before it a field of what stands before it.
    Field { name: String, spaced: bool },
    /// `.`
    Dot,
    /// `$name`, without the dollar; `$` alone is empty.
    Variable(String),
    /// A function or a keyword.
    Word(String),
    /// A quoted string, unquoted.
    Text(String),
    /// A number or a character.
    Constant,
    /// `(`
    Open,
    /// `)`
    Close,
    /// `|`
    Pipe,
    /// `:=`
    Declare,
    /// `=`
    Assign,
    /// `,`
    Comma,
}

/// Takes a template apart.
pub(super) fn pieces(text: &str) -> Result<Vec<Piece>, TemplateError> {
    let mut pieces = Vec::new();
    let mut at = 0;
    while let Some(start) = text[at..].find("{{").map(|found| at + found) {
        pieces.push(Piece::Text(text[at..start].to_owned()));
        let mut lexer = Lexer { text, at: start + 2 };
        if lexer.rest().starts_with('-') && lexer.rest()[1..].starts_with(char::is_whitespace) {
            lexer.at += 1;
        }
        let tokens = lexer.action(start)?;
        at = lexer.at;
        pieces.extend(tokens.map(|tokens| Piece::Action(start..at, tokens)));
    }
    pieces.push(Piece::Text(text[at..].to_owned()));
    Ok(pieces)
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// The tokens up to the closing braces, which are passed; `None` for a comment.
    fn action(&mut self, start: usize) -> Result<Option<Vec<Token>>, TemplateError> {
        let unclosed = || TemplateError { at: start, message: "an action that begins with `{{` is not closed".into() };
        if self.rest().trim_start().starts_with("/*") {
            let end = self.rest().find("*/").ok_or_else(unclosed)?;
            self.at += end + 2;
            self.at += self.rest().find("}}").ok_or_else(unclosed)? + 2;
            return Ok(None);
        }
        let mut tokens = Vec::new();
        loop {
            let before = self.rest();
            let rest = before.trim_start();
            let spaced = rest.len() < before.len();
            self.at += before.len() - rest.len();
            if rest.is_empty() {
                return Err(unclosed());
            }
            let closing = if spaced && rest.starts_with("-}}") { "-}}" } else { "}}" };
            if rest.starts_with(closing) {
                self.at += closing.len();
                return Ok(Some(tokens));
            }
            tokens.push(self.token(spaced)?);
        }
    }

    fn token(&mut self, spaced: bool) -> Result<Token, TemplateError> {
        let rest = self.rest();
        let first = rest.chars().next().unwrap_or_default();
        match first {
            '"' | '\'' | '`' => self.quoted(first),
            '.' if rest[1..].starts_with(is_word) => {
                self.at += 1;
                let name = self.word();
                // `.5` is a number.
                Ok(if name.starts_with(|c: char| c.is_ascii_digit()) {
                    Token::Constant
                } else {
                    Token::Field { name, spaced }
                })
            }
            '$' => {
                self.at += 1;
                Ok(Token::Variable(self.word()))
            }
            '0'..='9' | '+' | '-' if rest[1..].starts_with(is_word) || first.is_ascii_digit() => {
                self.at += 1;
                let number = |c: char| is_word(c) || c == '.';
                self.at += self.rest().len() - self.rest().trim_start_matches(number).len();
                Ok(Token::Constant)
            }
            _ if is_word(first) => Ok(Token::Word(self.word())),
            _ => self.symbol(first),
        }
    }

    fn symbol(&mut self, first: char) -> Result<Token, TemplateError> {
        let (token, length) = match first {
            '.' => (Token::Dot, 1),
            '(' => (Token::Open, 1),
            ')' => (Token::Close, 1),
            '|' => (Token::Pipe, 1),
            ',' => (Token::Comma, 1),
            '=' => (Token::Assign, 1),
            ':' if self.rest().starts_with(":=") => (Token::Declare, 2),
            _ => return Err(TemplateError { at: self.at, message: format!("`{first}` has no meaning in an action") }),
        };
        self.at += length;
        Ok(token)
    }

    fn word(&mut self) -> String {
        let rest = self.rest();
        let word = &rest[..rest.len() - rest.trim_start_matches(is_word).len()];
        self.at += word.len();
        word.to_owned()
    }

    fn quoted(&mut self, quote: char) -> Result<Token, TemplateError> {
        let unclosed =
            TemplateError { at: self.at, message: format!("a string that begins with `{quote}` is not closed") };
        let mut value = String::new();
        let mut characters = self.rest().char_indices().skip(1);
        while let Some((index, character)) = characters.next() {
            match character {
                _ if character == quote => {
                    self.at += index + quote.len_utf8();
                    return Ok(if quote == '\'' { Token::Constant } else { Token::Text(value) });
                }
                '\\' if quote != '`' => value.extend(characters.next().map(|(_, escaped)| match escaped {
                    'n' => '\n',
                    't' => '\t',
                    other => other,
                })),
                '\n' if quote != '`' => return Err(unclosed),
                other => value.push(other),
            }
        }
        Err(unclosed)
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_end_where_go_ends_them() {
        let texts = |text: &str| pieces(text).map(|pieces| pieces.len());
        assert_eq!(texts("a {{- $x -}} b {{/* }} */}} c"), Ok(4));
        assert_eq!(texts("{{ \"}}\" }}"), Ok(3));
        assert_eq!(texts("{{ `\n}}` }}"), Ok(3));
        assert_eq!(texts("no braces"), Ok(1));
        for bad in ["{{ x", "{{ \"x }}", "{{ # }}", "{{/* x }}"] {
            assert!(pieces(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_field_knows_whether_it_belongs_to_what_stands_before() {
        let field = |spaced| Token::Field { name: "x".into(), spaced };
        let tokens = |text: &str| pieces(text).map(|mut pieces| pieces.remove(1));
        let labels = Token::Variable("labels".into());
        assert_eq!(tokens("{{$labels.x}}"), Ok(Piece::Action(0..13, vec![labels.clone(), field(false)])));
        assert_eq!(tokens("{{$labels .x}}"), Ok(Piece::Action(0..14, vec![labels, field(true)])));
        assert_eq!(tokens("{{-1.5e3}}"), Ok(Piece::Action(0..10, vec![Token::Constant])));
    }
}
