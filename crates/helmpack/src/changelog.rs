//! A changelog in the form of keepachangelog.com: the date of a release, `## [1.2.3] - 2026-01-31`, and what becomes one,
//! `## [Unreleased]`.

use anyhow::{Context, Result, bail, ensure};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// Midnight UTC of the date beside `version`. `None` when the changelog does not have the version, or has it without a
/// date (`Unreleased`); an error with the line for a date that is none.
pub fn released(text: &str, version: &str) -> Result<Option<Timestamp>> {
    let Some((number, _, date)) = headings(text).find(|(_, name, _)| *name == version) else { return Ok(None) };
    if date.eq_ignore_ascii_case(UNRELEASED) {
        return Ok(None);
    }
    let Ok(date) = date.parse::<Date>() else {
        bail!("line {number}: `{date}` is not a date such as 2026-01-31");
    };
    let midnight = date.to_zoned(TimeZone::UTC).with_context(|| format!("line {number}: date out of range"))?;
    Ok(Some(midnight.timestamp()))
}

/// The newest release, the first heading with a date: its version and the date.
pub fn latest(text: &str) -> Option<(&str, Date)> {
    headings(text).find_map(|(_, name, date)| Some((name, date.parse().ok()?)))
}

/// The changelog with what is unreleased made `version` of `date`, below an empty section for what comes next. Fails where nothing
/// is unreleased, where the version has a heading already, and where a release is of a later date.
pub fn release(text: &str, version: &str, date: Date) -> Result<String> {
    if let Some((number, ..)) = headings(text).find(|(_, name, _)| *name == version) {
        bail!("line {number}: version {version} has a heading already");
    }
    if let Some((last, then)) = latest(text).filter(|(_, then)| date < *then) {
        bail!("{date} is before {then}, the date of {last}; a release is not older than the one before it");
    }
    let unreleased = headings(text).find(|(_, name, _)| name.eq_ignore_ascii_case(UNRELEASED));
    let (number, ..) = unreleased.context("there is no section `## [Unreleased]` to release")?;
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let (before, section) = lines.split_at(number);
    let says = |line: &&&str| !line.trim().is_empty() && !line.starts_with('#');
    let changes = section.iter().take_while(|line| !line.starts_with("## ")).filter(says).count();
    ensure!(changes > 0, "line {number}: nothing is unreleased; a release says what is new in it");
    Ok(format!("{}\n## [{version}] - {date}\n{}", before.concat(), section.concat()))
}

const UNRELEASED: &str = "unreleased";

/// The headings of versions: the number of the line, the name without brackets, and the date, `Unreleased` where there is none.
fn headings(text: &str) -> impl Iterator<Item = (usize, &str, &str)> {
    (1..).zip(text.lines()).filter_map(|(number, line)| {
        let heading = line.strip_prefix("## ")?;
        let (name, date) = heading.split_once(" - ").unwrap_or((heading, UNRELEASED));
        Some((number, name.trim().trim_start_matches('[').trim_end_matches(']'), date.trim()))
    })
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
    #[test]
    fn what_is_unreleased_becomes_a_version() {
        let text = "# Changelog\n\n## [Unreleased]\n\n### Added\n\n- A.\n\n## [1.0.0] - 2026-01-01\n\n- B.\n";
        let expected = "# Changelog\n\n## [Unreleased]\n\n## [1.1.0] - 2026-02-01\n\n### Added\n\n- A.\n\n## [1.0.0] - 2026-01-01\n\n- B.\n";
        let date = "2026-02-01".parse().unwrap();
        assert_eq!(release(text, "1.1.0", date).unwrap(), expected);
        assert_eq!(released(expected, "1.1.0").unwrap().unwrap().to_string(), "2026-02-01T00:00:00Z");
        assert_eq!(latest(text), Some(("1.0.0", "2026-01-01".parse().unwrap())));
        let early = release(text, "1.1.0", "2025-12-31".parse().unwrap()).unwrap_err().to_string();
        assert!(early.starts_with("2025-12-31 is before 2026-01-01, the date of 1.0.0;"), "{early}");
        assert!(release(text, "1.1.0", "2026-01-01".parse().unwrap()).is_ok(), "two on one day");
        for (text, version, error) in [
            (text, "1.0.0", "line 9: version 1.0.0 has a heading already"),
            (expected, "1.2.0", "line 3: nothing is unreleased; a release says what is new in it"),
            ("# Changelog\n", "1.2.0", "there is no section `## [Unreleased]` to release"),
        ] {
            assert_eq!(release(text, version, date).unwrap_err().to_string(), error);
        }
    }
}
