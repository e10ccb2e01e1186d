//! How findings are printed: for a person, for a program, or as GitHub's annotations.

use rulecheck::{Finding, Severity};

use crate::failure::count;
use crate::flags::Format;

/// Prints findings on stdout, with the count and what it is about as the last line. With JSON, stdout is one array and
/// nothing else.
pub fn print(format: Format, findings: &[Finding], looked_at: &str) {
    let last = format!("{} in {looked_at}", count(findings));
    match format {
        Format::Text => {
            findings.iter().for_each(|finding| say!("{finding}"));
            say!("{last}");
        }
        Format::Github => {
            findings.iter().for_each(|finding| say!("{}", annotation(finding)));
            say!("{last}");
        }
        Format::Json => {
            say!("{}", json(findings));
            note!("{last}");
        }
    }
}

fn json(findings: &[Finding]) -> String {
    let objects: Vec<serde_json::Value> = findings
        .iter()
        .map(|Finding { file, line, severity, check, subject, message, help }| {
            serde_json::json!({
                "file": file, "line": line, "severity": severity.to_string(), "check": check,
                "subject": subject, "message": message, "help": help,
            })
        })
        .collect();
    format!("{:#}", serde_json::Value::from(objects))
}

/// A workflow command of GitHub Actions, which shows the finding beside its line. Escapes are those of its toolkit,
/// actions/toolkit packages/core/src/command.ts.
fn annotation(finding: &Finding) -> String {
    let Finding { file, line, severity, check, subject, message, help } = finding;
    let command = match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let about = if subject.is_empty() { String::new() } else { format!("{subject}: ") };
    let help = if help.is_empty() { String::new() } else { format!("\nhelp: {help}") };
    let text = escape(&format!("{about}{message}{help}"));
    format!("::{command} file={},line={line},title={}::{text}", property(file), property(check))
}

fn escape(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    escape(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding() -> Finding {
        Finding::error("a,b:c.yaml", 3, "query/unknown-metric", "100% of\r\nx: y, z").about("alert A").help("do it")
    }

    #[test]
    fn annotations_are_escaped_as_github_reads_them() {
        let expected = "::error file=a%2Cb%3Ac.yaml,line=3,title=query/unknown-metric::alert A: 100%25 of%0D%0Ax: y, z%0Ahelp: do it";
        assert_eq!(annotation(&finding()), expected);
        let bare = Finding::error("a", 1, "c/d", "m").warning();
        assert_eq!(annotation(&bare), "::warning file=a,line=1,title=c/d::m");
    }

    #[test]
    fn json_has_every_field() {
        let read: serde_json::Value = serde_json::from_str(&json(&[finding().warning()])).unwrap();
        let expected = serde_json::json!([{
            "file": "a,b:c.yaml", "line": 3, "severity": "warning", "check": "query/unknown-metric",
            "subject": "alert A", "message": "100% of\r\nx: y, z", "help": "do it",
        }]);
        assert_eq!(read, expected);
        assert_eq!(json(&[]), "[]");
    }
}
