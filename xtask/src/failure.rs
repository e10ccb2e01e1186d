//! How a command fails: with findings, which name their place, or with an error that says what was being done.

use std::fmt;
use std::process::ExitCode;

use rulecheck::{Finding, Severity};

/// Findings that end a command. They are printed in file order with a count below.
#[derive(Debug)]
pub struct Findings(pub Vec<Finding>);

impl std::error::Error for Findings {}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.0 {
            writeln!(f, "{finding}")?;
        }
        f.write_str(&count(&self.0))
    }
}

/// Ends a command that has said on stdout all there is to say.
#[derive(Debug)]
pub struct Reported;

impl std::error::Error for Reported {}

impl fmt::Display for Reported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("reported above")
    }
}

/// Ends a command that was called with something that is not there.
#[derive(Debug)]
pub struct Usage(pub String);

impl std::error::Error for Usage {}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Ends a command if there is an error among the findings; warnings alone pass.
pub fn on_errors(mut findings: Vec<Finding>) -> Result<Vec<Finding>, Findings> {
    findings.sort();
    if findings.iter().any(|finding| finding.severity == Severity::Error) {
        Err(Findings(findings))
    } else {
        Ok(findings)
    }
}

/// `3 errors`, `1 error`.
pub fn plural(number: usize, word: &str) -> String {
    format!("{number} {word}{}", if number == 1 { "" } else { "s" })
}

/// `2 errors, 1 warning`; `no problems`.
pub fn count(findings: &[Finding]) -> String {
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    let warnings = findings.len() - errors;
    match (errors, warnings) {
        (0, 0) => "no problems".to_owned(),
        (0, _) => plural(warnings, "warning"),
        (_, 0) => plural(errors, "error"),
        _ => format!("{}, {}", plural(errors, "error"), plural(warnings, "warning")),
    }
}

/// Prints why a command failed, on stderr, and gives its exit status: 2 for bad usage, as clap does, else 1.
pub fn report(error: &anyhow::Error) -> ExitCode {
    if let Some(findings) = error.downcast_ref::<Findings>() {
        note!("{findings}");
    } else if !error.is::<Reported>() {
        note!("error: {error:#}");
    }
    if error.is::<Usage>() { ExitCode::from(2) } else { ExitCode::FAILURE }
}
