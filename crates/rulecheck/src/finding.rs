//! What a check reports, and how it is printed.

use std::borrow::Cow;
use std::fmt;

/// How bad a finding is. Errors fail a run, warnings do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The rule or panel does not do what it is for.
    Error,
    /// It works, but someone will be misled or surprised.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        })
    }
}

/// One finding. It orders by place, so that a sorted list reads like the files.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The file as the caller named it.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// How bad it is.
    pub severity: Severity,
    /// The check's stable name, such as `query/unknown-metric`.
    pub check: &'static str,
    /// What it is about: `alert NAME`, `record NAME`, `dashboard › panel › refId`, or empty for a whole file.
    pub subject: String,
    /// What is wrong: lower case, no full stop.
    pub message: String,
    /// What to do about it; may be empty.
    pub help: String,
}

impl Finding {
    /// An error about a file as a whole; say more with [`Finding::about`] and [`Finding::help`].
    pub fn error(file: &str, line: usize, check: &'static str, message: impl Into<String>) -> Finding {
        Finding {
            file: file.to_owned(),
            line: line.max(1),
            severity: Severity::Error,
            check,
            subject: String::new(),
            message: message.into(),
            help: String::new(),
        }
    }

    /// Names the rule or panel that the finding is about.
    #[must_use]
    pub fn about(mut self, subject: impl Into<String>) -> Finding {
        self.subject = subject.into();
        self
    }

    /// Makes it a warning.
    #[must_use]
    pub fn warning(mut self) -> Finding {
        self.severity = Severity::Warning;
        self
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Finding {
        self.help = help.into();
        self
    }
}

/// `file:line: severity: check: subject: message`, and a `help:` line under it.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding { file, line, severity, check, subject, message, help } = self;
        write!(f, "{}:{line}: {severity}: {check}: ", one_line(file))?;
        if !subject.is_empty() {
            write!(f, "{}: ", one_line(subject))?;
        }
        f.write_str(&one_line(message))?;
        if !help.is_empty() {
            write!(f, "\n  help: {}", one_line(help))?;
        }
        Ok(())
    }
}

/// Names and queries may hold line breaks, and so may what quotes them.
fn one_line(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let escaped = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    Cow::Owned(text.chars().map(escaped).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_one_line_whatever_it_quotes() {
        let finding = Finding::error("a.yaml", 1, "a/b", "unexpected character '\n'").about("alert A\r\nB").help("c");
        let expected = "a.yaml:1: error: a/b: alert A\\r\\nB: unexpected character '\\n'\n  help: c";
        assert_eq!(finding.to_string(), expected);
    }
}
