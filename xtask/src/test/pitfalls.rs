//! docs/wiring.md: every way in which the stock manifests go wrong has a case here that shows it cannot happen with ours.

use anyhow::{Context as _, Result, ensure};

use super::{Case, Context};

/// The page.
pub(super) const PAGE: &str = "docs/wiring.md";

/// The case that holds the page to the names of all others.
pub(super) fn case(others: &[Case]) -> Case {
    let names: Vec<String> = others.iter().map(|case| case.name.clone()).collect();
    Case::new("every row of docs/wiring.md names cases that there are", &[], move |context| check(context, &names))
}

fn check(context: &Context, names: &[String]) -> Result<()> {
    let page = std::fs::read_to_string(context.root.join(PAGE)).with_context(|| format!("reading {PAGE}"))?;
    let problems = problems(&page, names);
    ensure!(problems.is_empty(), "{}", problems.join("\n"));
    Ok(())
}

/// What is wrong with the table: a row is `| W1 | … | `case`, `case` |`. Of a case that runs with several tools or charts
/// it has the name's end.
fn problems(page: &str, names: &[String]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut rows = 0;
    for (line, row) in (1..).zip(page.lines()).filter(|(_, line)| line.starts_with("| W")) {
        rows += 1;
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        if cells.first() != Some(&format!("W{rows}").as_str()) {
            problems.push(format!("{PAGE}:{line}: row {rows} is not W{rows}"));
        }
        let cases: Vec<&str> = cells.last().unwrap_or(&"").split('`').skip(1).step_by(2).collect();
        if cases.is_empty() {
            problems.push(format!("{PAGE}:{line}: no case shows that this cannot happen"));
        }
        for case in cases {
            if !names.iter().any(|name| name.ends_with(case)) {
                problems.push(format!("{PAGE}:{line}: there is no case `{case}`"));
            }
        }
    }
    if rows == 0 {
        problems.push(format!("{PAGE}: the table has no rows"));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_needs_its_number_and_cases_that_there_are() {
        let names = ["helm3 targets: found".to_owned(), "other".to_owned()];
        assert!(problems("| W1 | x | `targets: found`, `other` |\n", &names).is_empty());
        for (page, expected) in [
            ("", "the table has no rows"),
            ("| W2 | x | `other` |", ":1: row 1 is not W1"),
            ("| W1 | x | nothing |", ":1: no case shows"),
            ("| W1 | x | `other`, `gone` |", ":1: there is no case `gone`"),
        ] {
            let found = problems(page, &names);
            assert!(found.len() == 1 && found[0].contains(expected), "{found:?}");
        }
    }
}
