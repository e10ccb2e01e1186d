//! The date of a release, from a changelog in the form of keepachangelog.com: `## [1.2.3] - 2026-01-31`.

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// Midnight UTC of the date beside `version`. `None` when the changelog does not have the version, or has it without a
/// date (`Unreleased`); an error with the line for a date that is none.
pub fn released(text: &str, version: &str) -> Result<Option<Timestamp>> {
    for (number, line) in (1..).zip(text.lines()) {
        let Some(heading) = line.strip_prefix("## ") else {
            continue;
        };
        let (name, date) = heading.split_once(" - ").unwrap_or((heading, "Unreleased"));
        if name.trim().trim_start_matches('[').trim_end_matches(']') != version {
            continue;
        }
        let date = date.trim();
        if date.eq_ignore_ascii_case("unreleased") {
            return Ok(None);
        }
        let Ok(date) = date.parse::<Date>() else {
            bail!("line {number}: `{date}` is not a date such as 2026-01-31");
        };
        let midnight = date.to_zoned(TimeZone::UTC).with_context(|| format!("line {number}: date out of range"))?;
        return Ok(Some(midnight.timestamp()));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_date_beside_the_version() {
        let text = "# Changelog\n\n## Unreleased\n\n## [1.1.0] - 2026-02-01\n\n## 1.0.0 - 1970-01-02\n";
        assert_eq!(released(text, "1.1.0").unwrap().unwrap().to_string(), "2026-02-01T00:00:00Z");
        assert_eq!(released(text, "1.0.0").unwrap().unwrap().as_second(), 86_400);
        assert!(released(text, "0.9.0").unwrap().is_none());
    }

    #[test]
    fn a_wrong_date_is_an_error_with_its_line() {
        let error = released("# C\n## 1.0.0 - 2026-02-30\n", "1.0.0").unwrap_err().to_string();
        assert!(error.starts_with("line 2:"), "{error}");
    }
}
