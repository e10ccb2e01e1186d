//! Runs a template on what is known of an alert.

use std::ops::Range;

use super::lex::{self, Piece, Token};
use super::{LabelUse, Template, TemplateError, ValueUse};

/// Reads a template from its first piece to its last.
pub(super) fn template(text: &str) -> Read<Template> {
    let mut reader = Reader::default();
    for name in ["labels", "value", "externalLabels", "externalURL"] {
        reader.variables.push((name.to_owned(), of_root(name)));
    }
    let pieces = lex::pieces(text)?;
    for (index, piece) in pieces.iter().enumerate() {
        let Piece::Action(place, tokens) = piece else { continue };
        reader.place = place.clone();
        if let Operand::Value(functions, percent) = reader.action(tokens)? {
            let after = matches!(pieces.get(index + 1), Some(Piece::Text(text)) if text.trim_start().starts_with('%'));
            reader.found.values.push(ValueUse { functions, percent: percent || after, action: place.clone() });
        }
    }
    match reader.blocks.last() {
        Some(block) => reader.error(format!("`{}` is not closed by `{{{{ end }}}}`", block.keyword)),
        None => Ok(reader.finish()),
    }
}

/// Functions that Prometheus gives to templates, then those that Go brings.
const FUNCTIONS: &str = "query first label value strvalue args reReplaceAll safeHtml match title toUpper toLower \
    graphLink tableLink sortByLabel stripPort stripDomain humanize humanize1024 humanizeDuration humanizePercentage \
    humanizeTimestamp toTime toDuration now pathPrefix externalURL parseDuration urlQueryEscape \
    and call html index slice js len not or print printf println urlquery eq ge gt le lt ne";

/// Words that are values.
const CONSTANTS: [&str; 3] = ["true", "false", "nil"];

/// Functions that print a number as text.
const FORMATTERS: &str =
    "humanize humanize1024 humanizeDuration humanizePercentage humanizeTimestamp print printf println";

fn is_one_of(word: &str, words: &str) -> bool {
    words.split_whitespace().any(|known| known == word)
}

/// Deeper nesting than any person writes; it bounds the recursion.
const MAX_DEPTH: usize = 100;

/// What is known of a value while a template runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
enum Operand {
    /// The alert: `.Labels`, `.Value` and two more.
    Root,
    /// Its labels.
    Labels,
    /// Its value, after these functions, with or without a percent sign from `printf`.
    Value(Vec<String>, bool),
    /// A text as written.
    Text(String),
    /// A text that is not known, such as a label's value.
    Word,
    /// Anything else.
    #[default]
    Other,
}

/// What the alert has, under the name of a field or of a variable that Prometheus declares.
fn of_root(name: &str) -> Operand {
    match name {
        "Labels" | "labels" => Operand::Labels,
        "Value" | "value" => Operand::Value(Vec::new(), false),
        _ => Operand::Other,
    }
}

/// An `if`, `with`, `range`, `define` or `block` that is not closed yet.
struct Block {
    keyword: String,
    /// Labels that its condition asks for.
    guards: Vec<String>,
    /// What to go back to behind it: the dot, and how many variables there are.
    dot: Operand,
    variables: usize,
    /// The variables around a `define`, which sees none of them.
    hidden: Vec<(String, Operand)>,
}

struct Reader {
    found: Template,
    variables: Vec<(String, Operand)>,
    blocks: Vec<Block>,
    dot: Operand,
    place: Range<usize>,
    /// The names of the templates that it defines, and of those that it calls, with the place.
    defined: Vec<String>,
    called: Vec<(String, usize)>,
}

impl Default for Reader {
    fn default() -> Reader {
        Reader {
            found: Template::default(),
            variables: Vec::new(),
            blocks: Vec::new(),
            dot: Operand::Root,
            place: 0..0,
            defined: Vec::new(),
            called: Vec::new(),
        }
    }
}

type Read<T> = Result<T, TemplateError>;

impl Reader {
    /// A template sees those that its own text defines and no others.
    fn finish(mut self) -> Template {
        for (name, at) in self.called.into_iter().filter(|(name, _)| !self.defined.contains(name)) {
            self.found.failures.push(TemplateError { at, message: format!("there is no template `{name}`") });
        }
        self.found
    }

    fn error<T>(&self, message: impl Into<String>) -> Read<T> {
        Err(TemplateError { at: self.place.start, message: message.into() })
    }

    /// Runs an action and gives what it prints.
    fn action(&mut self, tokens: &[Token]) -> Read<Operand> {
        let Some(first) = tokens.first() else { return self.error("an empty action") };
        let keyword = match first {
            Token::Word(word) => word.as_str(),
            _ => "",
        };
        match keyword {
            "if" | "with" | "range" => self.open(keyword, &tokens[1..])?,
            "else" => self.otherwise(&tokens[1..])?,
            "end" => self.close()?,
            "define" | "block" => {
                self.push(keyword, Vec::new())?;
                if let Some(Token::Text(name)) = tokens.get(1) {
                    self.defined.push(name.clone());
                }
                let hidden = std::mem::take(&mut self.variables);
                if let Some(block) = self.blocks.last_mut() {
                    block.hidden = hidden;
                }
                self.dot = Operand::Other;
            }
            // What a template of its own prints is not followed.
            "template" => {
                if let Some(Token::Text(name)) = tokens.get(1) {
                    self.called.push((name.clone(), self.place.start));
                }
            }
            "break" | "continue" if self.blocks.iter().any(|block| block.keyword == "range") => {}
            _ => return self.pipeline(tokens),
        }
        Ok(Operand::Other)
    }

    fn push(&mut self, keyword: &str, guards: Vec<String>) -> Read<()> {
        if self.blocks.len() >= MAX_DEPTH {
            return self.error(format!("more than {MAX_DEPTH} nested blocks"));
        }
        let (dot, variables) = (self.dot.clone(), self.variables.len());
        self.blocks.push(Block { keyword: keyword.to_owned(), guards, dot, variables, hidden: Vec::new() });
        Ok(())
    }

    fn open(&mut self, keyword: &str, tokens: &[Token]) -> Read<()> {
        let before = self.variables.len();
        let (value, guards) = self.condition(tokens)?;
        self.push(keyword, guards)?;
        if let Some(block) = self.blocks.last_mut() {
            // A variable that the condition declares lives as long as the block.
            block.variables = before;
        }
        match keyword {
            "with" => self.dot = value,
            "range" => self.dot = Operand::Other,
            _ => {}
        }
        Ok(())
    }

    fn close(&mut self) -> Read<()> {
        let Some(block) = self.blocks.pop() else { return self.error("`end` closes nothing") };
        self.dot = block.dot;
        match block.keyword.as_str() {
            "define" | "block" => self.variables = block.hidden,
            _ => self.variables.truncate(block.variables),
        }
        Ok(())
    }

    /// `else`, `else if`, `else with`: the block goes on, and what the first condition asked for is still known.
    fn otherwise(&mut self, tokens: &[Token]) -> Read<()> {
        let Some(mut block) =
            self.blocks.pop().filter(|block| ["if", "with", "range"].contains(&block.keyword.as_str()))
        else {
            return self.error("`else` without `if`, `with` or `range`");
        };
        self.dot = block.dot.clone();
        if let [Token::Word(keyword), condition @ ..] = tokens {
            let (value, guards) = self.condition(condition)?;
            block.guards.extend(guards);
            if keyword == "with" {
                self.dot = value;
            }
        }
        self.blocks.push(block);
        Ok(())
    }

    /// The value of a condition and the labels that it asks for.
    fn condition(&mut self, tokens: &[Token]) -> Read<(Operand, Vec<String>)> {
        let before = self.found.labels.len();
        let value = self.pipeline(tokens)?;
        Ok((value, self.guard(before)))
    }

    /// Marks the uses from `before` on as guarded.
    fn guard(&mut self, before: usize) -> Vec<String> {
        let uses = self.found.labels[before..].iter_mut();
        uses.map(|found| {
            found.guarded = true;
            found.label.clone()
        })
        .collect()
    }

    fn pipeline(&mut self, tokens: &[Token]) -> Read<Operand> {
        let declared = tokens.iter().position(|token| matches!(token, Token::Declare | Token::Assign));
        let (names, commands) = match declared {
            Some(at) => (&tokens[..at], &tokens[at + 1..]),
            None => (&[] as &[Token], tokens),
        };
        let mut rest = commands;
        let value = self.commands(&mut rest, 0)?;
        if !rest.is_empty() {
            return self.error("a closing parenthesis without an opening one");
        }
        if names.is_empty() {
            return Ok(value);
        }
        let mut names = names.iter().filter_map(|token| match token {
            Token::Variable(name) => Some(name.clone()),
            _ => None,
        });
        // Of `$key, $value := range …` neither is followed.
        let (name, more) = (names.next(), names.next());
        if tokens.get(declared.unwrap_or_default()) == Some(&Token::Assign) {
            // Which assignment ran last is not followed.
            let same = |known: &&mut (String, Operand)| Some(&known.0) == name.as_ref();
            self.variables.iter_mut().filter(same).for_each(|(_, value)| *value = Operand::Other);
            self.variables.extend(name.map(|name| (name, Operand::Other)));
            return Ok(Operand::Other);
        }
        let value = if more.is_some() { Operand::Other } else { value };
        self.variables.extend(name.into_iter().chain(more).map(|name| (name, value.clone())));
        Ok(Operand::Other)
    }

    /// Commands up to the end or to a closing parenthesis, each with what the one before it gives as last argument.
    fn commands(&mut self, rest: &mut &[Token], depth: usize) -> Read<Operand> {
        if depth > MAX_DEPTH {
            return self.error(format!("more than {MAX_DEPTH} nested parentheses"));
        }
        let mut piped = None;
        loop {
            let value = self.command(rest, piped.take(), depth)?;
            match rest {
                // Go takes a pipe with nothing behind it.
                [Token::Pipe] | [Token::Pipe, Token::Close, ..] => {
                    *rest = &rest[1..];
                    return Ok(value);
                }
                [Token::Pipe, tail @ ..] => *rest = tail,
                _ => return Ok(value),
            }
            piped = Some(value);
        }
    }

    fn command(&mut self, rest: &mut &[Token], piped: Option<Operand>, depth: usize) -> Read<Operand> {
        let before = self.found.labels.len();
        let function = match rest.first() {
            Some(Token::Word(word)) if !CONSTANTS.contains(&word.as_str()) => {
                if !is_one_of(word, FUNCTIONS) {
                    return self.error(format!("there is no function `{word}`"));
                }
                *rest = &rest[1..];
                Some(word.clone())
            }
            _ => None,
        };
        let mut arguments = Vec::new();
        while !matches!(rest.first(), None | Some(Token::Pipe | Token::Close)) {
            arguments.push(self.operand(rest, depth)?);
        }
        if function.is_none() && arguments.is_empty() {
            return self.error("a command is missing");
        }
        arguments.extend(piped);
        if matches!(function.as_deref(), Some("or" | "and")) {
            self.guard(before);
        }
        Ok(match function {
            Some(function) => self.call(&function, arguments),
            None => arguments.into_iter().next().unwrap_or_default(),
        })
    }

    fn operand(&mut self, rest: &mut &[Token], depth: usize) -> Read<Operand> {
        let Some((first, tail)) = rest.split_first() else { return Ok(Operand::Other) };
        *rest = tail;
        let mut value = match first {
            Token::Dot => self.dot.clone(),
            Token::Field { name, .. } => self.field(&self.dot.clone(), name),
            Token::Variable(name) if name.is_empty() => Operand::Root,
            Token::Variable(name) => match self.variables.iter().rev().find(|(known, _)| known == name) {
                Some((_, value)) => value.clone(),
                None => return self.error(format!("there is no variable `${name}`")),
            },
            Token::Text(text) => Operand::Text(text.clone()),
            Token::Open => {
                let value = self.commands(rest, depth + 1)?;
                match rest.split_first() {
                    Some((Token::Close, tail)) => *rest = tail,
                    _ => return self.error("an opening parenthesis without a closing one"),
                }
                value
            }
            Token::Word(word) if !is_one_of(word, FUNCTIONS) && !CONSTANTS.contains(&word.as_str()) => {
                return self.error(format!("there is no function `{word}`"));
            }
            Token::Word(_) | Token::Constant => Operand::Other,
            Token::Close | Token::Pipe | Token::Declare | Token::Assign | Token::Comma => {
                return self.error("an operator where a value is expected");
            }
        };
        while let Some((Token::Field { name, spaced: false }, tail)) = rest.split_first() {
            *rest = tail;
            value = self.field(&value, name);
        }
        Ok(value)
    }

    fn field(&mut self, of: &Operand, name: &str) -> Operand {
        match of {
            Operand::Root => {
                if !["Labels", "Value", "ExternalLabels", "ExternalURL"].contains(&name) {
                    let message = format!("an alert has no field .{name}: it has .Labels, .Value and .ExternalLabels");
                    self.found.failures.push(TemplateError { at: self.place.start, message });
                }
                of_root(name)
            }
            Operand::Labels => {
                self.use_label(name);
                Operand::Word
            }
            Operand::Text(_) | Operand::Word | Operand::Value(..) => {
                let what = if matches!(of, Operand::Value(..)) { "the alert's value" } else { "a text" };
                let message = format!("{what} has no field .{name}");
                self.found.failures.push(TemplateError { at: self.place.start, message });
                Operand::Other
            }
            Operand::Other => Operand::Other,
        }
    }

    fn use_label(&mut self, label: &str) {
        let guarded = self.blocks.iter().any(|block| block.guards.iter().any(|guard| guard == label));
        self.found.labels.push(LabelUse { label: label.to_owned(), action: self.place.clone(), guarded });
    }

    fn call(&mut self, function: &str, arguments: Vec<Operand>) -> Operand {
        match (function, arguments.as_slice()) {
            ("index", [Operand::Labels, Operand::Text(label)]) => {
                self.use_label(label);
                return Operand::Word;
            }
            ("query", [Operand::Text(query)]) => {
                self.found.queries.push(query.clone());
                return Operand::Other;
            }
            _ => {}
        }
        // A percent sign that `printf` writes itself: `%.1f%%`.
        let literal =
            matches!(arguments.first(), Some(Operand::Text(format)) if function == "printf" && format.contains("%%"));
        let mut values = arguments.into_iter().filter_map(|argument| match argument {
            Operand::Value(functions, percent) => Some((functions, percent)),
            _ => None,
        });
        match values.next() {
            Some((mut functions, percent)) if is_one_of(function, FORMATTERS) => {
                functions.push(function.to_owned());
                Operand::Value(functions, percent || literal)
            }
            _ => Operand::Other,
        }
    }
}
