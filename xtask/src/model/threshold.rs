//! Numbers that operators may change: marked in the expression by a PromQL comment at the end of their line,
//! `> 0.1  # threshold` or `>= 20  # threshold: minimumRuns`.
//!
//! The chart's template (chart/templates/rules.yaml) replaces the number before the mark with a regular expression;
//! what is accepted here is what that expression matches.

use rulecheck::{Finding, Rule};

/// One marked number.
#[derive(Debug, Clone, PartialEq)]
pub struct Threshold {
    /// Empty for the plain mark, which `overrides.<Alert>.threshold` changes; else the name in `thresholds`.
    pub name: String,
    /// The default.
    pub value: f64,
}

/// The marked numbers of an expression, in order. A name may occur more than once.
pub fn thresholds(expr: &str) -> Result<Vec<Threshold>, String> {
    expr.lines().filter_map(mark).map(|(number, name)| read(number, name)).collect()
}

/// Every number that a marked one stands for, in order: itself and, where it is multiplied, as in
/// `> 14.4 * 0.01  # threshold`, what it is multiplied with and the product.
pub fn marked_numbers(expr: &str) -> Vec<f64> {
    let mut numbers = Vec::new();
    for (before, _) in expr.lines().filter_map(mark) {
        let compared = before.rsplit(['>', '<', '=']).next().unwrap_or_default();
        let factors: Vec<f64> = compared.split('*').filter_map(|factor| factor.trim().parse().ok()).collect();
        numbers.extend(&factors);
        numbers.extend((factors.len() > 1).then(|| factors.iter().product::<f64>()));
    }
    numbers
}

/// The text before a mark and the mark's name.
fn mark(line: &str) -> Option<(&str, &str)> {
    let (before, comment) = line.split_once('#')?;
    let rest = comment.trim_start().strip_prefix("threshold")?;
    let name = rest.strip_prefix(':').map_or("", str::trim);
    Some((before, if rest.starts_with(':') { name } else { rest.trim() }))
}

fn read(before: &str, name: &str) -> Result<Threshold, String> {
    if !name.chars().all(|c| c.is_ascii_alphanumeric()) {
        return Err(format!("the mark's name `{name}` is not letters and digits"));
    }
    let number = before.trim_end().rsplit([' ', '\t']).next().unwrap_or_default();
    let plain = number.chars().all(|c| c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | 'e' | 'E'));
    match number.parse() {
        Ok(value) if plain && before.trim_end().len() > number.len() => Ok(Threshold { name: name.to_owned(), value }),
        _ => Err(format!("the mark `# threshold` follows `{number}`, not a number with a space before it")),
    }
}

/// What keeps the template from finding a rule's marks.
pub fn check(file: &str, rule: &Rule) -> Vec<Finding> {
    let problem = |message: String, help: &str| {
        Finding::error(file, rule.expr_line, "file/syntax", message).about(rule.subject()).help(help)
    };
    let written =
        rule.source.lines().filter(|line| !line.trim_start().starts_with('#') && mark(line).is_some()).count();
    match thresholds(&rule.expr) {
        Err(message) => vec![problem(message, "write `> 0.1  # threshold` at the end of a line")],
        // A comment in a plain or folded scalar belongs to YAML, and is gone before anyone could override the number.
        Ok(found) if found.len() < written => vec![problem(
            "a threshold mark stands outside the expression's text".into(),
            "write the expression as a literal block, `expr: |`",
        )],
        Ok(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_found_with_their_names() {
        let found =
            thresholds("x > 0.1  # threshold\nand y >= 20 # threshold: minimumRuns\n# a comment\nz > 3\n").unwrap();
        let expected = [("", 0.1), ("minimumRuns", 20.0)];
        assert_eq!(found, expected.map(|(name, value)| Threshold { name: name.into(), value }));
    }

    #[test]
    fn a_marked_number_stands_for_its_product_too() {
        assert_eq!(marked_numbers("x > 0.1  # threshold\ny >= 20 # threshold: n\nz > 3\n"), [0.1, 20.0]);
        assert_eq!(marked_numbers("x{a=\"b\"} > 2 * 0.5  # threshold: budget"), [2.0, 0.5, 1.0]);
    }

    #[test]
    fn marks_that_the_template_would_not_find_are_errors() {
        for expr in [
            "x > y  # threshold",
            "x >0.1)  # threshold",
            "0.1  # threshold",
            "x > 1 # threshold: a b",
            "x>1 # thresholds",
        ] {
            assert!(thresholds(expr).is_err(), "{expr}");
        }
    }
}
