//! Exceptions: a finding that someone looked at and allowed, with a reason. An exception that allows nothing is itself
//! a finding, so that none outlives its cause.
//!
//! In a rule file it is a comment on the lines of the rule, `# rulecheck: allow CHECK: reason`. For a dashboard it is an
//! entry in the file `<name>.allow.yaml` beside it.

use serde::Deserialize;

use crate::finding::Finding;
use crate::yaml;

/// One allowed finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exception {
    /// The line it stands on, from 1.
    pub line: usize,
    /// The check it allows.
    pub check: String,
    /// What it covers: the subject of a rule, or the beginning of a dashboard's subject. Empty covers the whole file.
    pub subject: String,
}

/// The exceptions on `lines` of a rule file (numbered from `first`), all about `subject`.
pub fn in_comments<'a>(
    file: &str,
    subject: &str,
    first: usize,
    lines: impl Iterator<Item = &'a str>,
    findings: &mut Vec<Finding>,
) -> Vec<Exception> {
    let mut exceptions = Vec::new();
    for (line, text) in (first..).zip(lines) {
        let Some((_, comment)) = text.split_once("# rulecheck:") else {
            continue;
        };
        let allowed = comment.trim().strip_prefix("allow ").and_then(|rest| rest.split_once(": "));
        match allowed {
            Some((check, reason)) if !reason.trim().is_empty() => {
                exceptions.push(Exception { line, check: check.trim().to_owned(), subject: subject.to_owned() });
            }
            _ => findings.push(
                Finding::error(file, line, "file/syntax", "an exception without a check or a reason")
                    .about(subject)
                    .help("write `# rulecheck: allow CHECK: reason`"),
            ),
        }
    }
    exceptions
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    check: String,
    #[serde(default)]
    subject: String,
    reason: String,
}

/// Reads `<dashboard>.allow.yaml`: a list of `{check, subject, reason}`, where `subject` may be the beginning of the
/// finding's, such as `Dashboard › Panel`.
pub fn in_file(file: &str, text: &str) -> Result<Vec<Exception>, Finding> {
    let entries: Vec<Entry> =
        yaml::parse(text).map_err(|error| Finding::error(file, error.line, "file/syntax", error.message))?;
    let mut exceptions = Vec::new();
    let mut lines = (1..).zip(text.lines()).filter(|(_, line)| line.starts_with('-'));
    for entry in entries {
        let line = lines.next().map_or(1, |(number, _)| number);
        if entry.reason.trim().is_empty() {
            return Err(Finding::error(file, line, "file/syntax", "an exception without a reason"));
        }
        exceptions.push(Exception { line, check: entry.check, subject: entry.subject });
    }
    Ok(exceptions)
}

/// Takes the allowed findings out of `findings` and adds one for each exception of `file` that allowed nothing.
pub fn apply(file: &str, exceptions: &[Exception], findings: Vec<Finding>) -> Vec<Finding> {
    let mut used = vec![false; exceptions.len()];
    let mut left: Vec<Finding> = findings
        .into_iter()
        .filter(|finding| {
            let mut allowed = false;
            for (exception, used) in exceptions.iter().zip(&mut used) {
                if exception.check == finding.check && finding.subject.starts_with(&exception.subject) {
                    *used = true;
                    allowed = true;
                }
            }
            !allowed
        })
        .collect();
    for (exception, _) in exceptions.iter().zip(&used).filter(|(_, used)| !**used) {
        left.push(
            Finding::error(
                file,
                exception.line,
                "exception/unused",
                format!("nothing here needs `{}` allowed", exception.check),
            )
            .about(exception.subject.as_str())
            .help("take the exception out"),
        );
    }
    left
}
