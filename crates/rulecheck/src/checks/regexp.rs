//! The alternatives of a matcher's regular expression, judged one by one.

use regex::Regex;

use crate::infer::Domain;

/// `4..|5..` as `4..` and `5..`; anchors and one group around all of them are taken off first. Empty ones are left out:
/// they stand for a label that is not there.
pub(super) fn alternatives(pattern: &str) -> Vec<&str> {
    let pattern = pattern.strip_prefix('^').unwrap_or(pattern);
    let pattern = pattern.strip_suffix('$').filter(|rest| !rest.ends_with('\\')).unwrap_or(pattern);
    let parts = split(pattern);
    match (parts.as_slice(), inside_of_group(pattern)) {
        ([_], Some(inside)) => alternatives(inside),
        _ => parts.into_iter().filter(|part| !part.is_empty()).collect(),
    }
}

/// What stands in the group that is the whole pattern.
fn inside_of_group(pattern: &str) -> Option<&str> {
    let inside = pattern.strip_prefix('(')?.strip_suffix(')').filter(|rest| !rest.ends_with('\\'))?;
    let inside = inside.strip_prefix("?:").unwrap_or(inside);
    // `(a)(b)` begins and ends with a bracket too.
    let mut depth = 0_i32;
    for character in inside.chars() {
        depth += i32::from(character == '(') - i32::from(character == ')');
        if depth < 0 || character == '[' || character == '\\' {
            return None;
        }
    }
    (!inside.starts_with('?')).then_some(inside)
}

/// Splits at each `|` outside of brackets.
fn split(pattern: &str) -> Vec<&str> {
    let (mut parts, mut begin, mut depth, mut in_class, mut escaped) = (Vec::new(), 0, 0_u32, false, false);
    for (at, character) in pattern.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '[' => in_class = true,
            ']' => in_class = false,
            '(' if !in_class => depth += 1,
            ')' if !in_class => depth = depth.saturating_sub(1),
            '|' if !in_class && depth == 0 => {
                parts.push(&pattern[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&pattern[begin..]);
    parts
}

/// Whether certainly no value of the domain meets the alternative.
pub(super) fn is_dead(alternative: &str, domain: &Domain) -> bool {
    let is_literal = alternative.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '/' | ':' | ' '));
    if is_literal {
        return !domain.allows(alternative);
    }
    let Some(values) = domain.known() else { return false };
    Regex::new(&format!("^(?:{alternative})$")).is_ok_and(|regex| !values.iter().any(|value| regex.is_match(value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn alternatives_are_split_where_prometheus_would() {
        for (pattern, expected) in [
            ("4..|5..", &["4..", "5.."] as &[&str]),
            ("^(a|b)$", &["a", "b"]),
            ("(?:a|b|)", &["a", "b"]),
            ("x(a|b)", &["x(a|b)"]),
            ("(a|b)|c", &["(a|b)", "c"]),
            ("(a)(b)", &["(a)(b)"]),
            ("[a|b]|c\\|d", &["[a|b]", "c\\|d"]),
            ("(?i:a|b)", &["(?i:a|b)"]),
            ("a\\$", &["a\\$"]),
        ] {
            assert_eq!(alternatives(pattern), expected, "{pattern}");
        }
    }

    #[test]
    fn what_cannot_be_told_is_alive() {
        let values = Domain::values(["401", "503"]);
        assert!(is_dead("2..", &values) && !is_dead("4..", &values) && !is_dead("5(", &values));
        assert!(is_dead("done", &values) && !is_dead("done", &Domain::Any) && !is_dead("d.*", &Domain::Any));
    }

    proptest! {
        #[test]
        fn no_pattern_panics(pattern in "[a-c()|\\\\\\[\\]?:^$.]{0,12}") {
            for alternative in alternatives(&pattern) {
                is_dead(alternative, &Domain::one("a"));
            }
        }
    }
}
