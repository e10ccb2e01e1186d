//! Whether a query returns something today: from what its program records as it is, only with another source installed,
//! or not before the program records more. Told from the contract, through recording rules.

use std::collections::BTreeSet;

use promql_parser::parser::Expr;

use crate::contract::{Contract, Emitted};
use crate::needs::{Alternative, Need, needs};
use crate::rules::RuleFile;

/// What a query, or a panel of several, shows today. The better comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// Every series of one alternative is recorded by its program as it is.
    Live,
    /// One alternative is there once its sources are installed.
    Fallback,
    /// Every alternative needs a series that its program never records.
    Dark,
}

/// A mark and why it is no better.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marked {
    /// The mark.
    pub mark: Mark,
    /// The jobs of the sources that would do.
    pub sources: BTreeSet<String>,
    /// The series that would have to be recorded.
    pub dark: BTreeSet<String>,
}

/// Marks the query `expr`.
///
/// # Errors
/// There are too many alternatives to tell.
pub fn mark(expr: &Expr, rules: &[RuleFile], contract: &Contract) -> Result<Marked, String> {
    let all = needs(expr, rules)?;
    let worst = |alternative: &Alternative| alternative.iter().map(|need| of_need(need, contract)).max();
    let of = |alternative: &Alternative| worst(alternative).unwrap_or(Mark::Live);
    let mark = all.iter().map(of).min().unwrap_or(Mark::Dark);
    let mut marked = Marked { mark, sources: BTreeSet::new(), dark: BTreeSet::new() };
    if mark == Mark::Live {
        return Ok(marked);
    }
    for need in all.iter().flatten() {
        match of_need(need, contract) {
            Mark::Live => {}
            Mark::Fallback => marked.sources.extend(jobs(need, contract)),
            Mark::Dark => drop(marked.dark.insert(need.series.clone())),
        }
    }
    Ok(marked)
}

fn of_need(need: &Need, contract: &Contract) -> Mark {
    match contract.metric(&need.series).map(|(metric, _)| metric.emitted) {
        Some(Emitted::Live | Emitted::Constant) => Mark::Live,
        Some(Emitted::Optional) => Mark::Fallback,
        Some(Emitted::Dark) => Mark::Dark,
        // Prometheus makes it for whatever target there is.
        None if Contract::is_built_in(&need.series) => match &need.job {
            Some(job) if is_optional(job, contract) => Mark::Fallback,
            _ => Mark::Live,
        },
        None => Mark::Dark,
    }
}

/// Whether all that a job exposes is optional, and so the job.
fn is_optional(job: &str, contract: &Contract) -> bool {
    let mut metrics = contract.metrics.values().filter(|metric| metric.jobs.iter().any(|of| of == job)).peekable();
    metrics.peek().is_some() && metrics.all(|metric| metric.emitted == Emitted::Optional)
}

fn jobs(need: &Need, contract: &Contract) -> Vec<String> {
    match &need.job {
        Some(job) => vec![job.clone()],
        None => contract.metric(&need.series).map(|(metric, _)| metric.jobs.clone()).unwrap_or_default(),
    }
}

impl Marked {
    /// The mark of a panel with both queries: it shows something as soon as one of them does.
    #[must_use]
    pub fn and(mut self, other: Marked) -> Marked {
        self.mark = self.mark.min(other.mark);
        self.sources.extend(other.sources);
        self.dark.extend(other.dark);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::parse_expr;

    const CONTRACT: &str = "
jobs:
  program: {scrape_interval: 15s}
  exporter: {scrape_interval: 15s}
metrics:
  live: {type: gauge, unit: things, jobs: [program], emitted: live}
  dark: {type: histogram, unit: seconds, jobs: [program], emitted: dark, buckets: [1]}
  optional: {type: gauge, unit: things, jobs: [exporter], emitted: optional}
";

    const RULES: &str = "groups: [{name: g, rules: [{record: 'r:either', expr: 'dark_count or optional'}]}]";

    fn marked(expr: &str) -> Marked {
        let contract = Contract::parse([("m.yaml", CONTRACT)], &mut Vec::new());
        let rules: Vec<RuleFile> = RuleFile::parse("r.yaml", RULES, &mut Vec::new()).into_iter().collect();
        mark(&parse_expr(expr).unwrap(), &rules, &contract).unwrap()
    }

    #[test]
    fn the_best_alternative_counts_and_its_worst_series() {
        for (expr, expected) in [
            ("sum(live)", Mark::Live),
            ("dark_count or live", Mark::Live),
            ("live / live > 1", Mark::Live),
            ("vector(1)", Mark::Live),
            ("live * optional", Mark::Fallback),
            ("dark_bucket or optional", Mark::Fallback),
            ("r:either", Mark::Fallback),
            ("dark_bucket", Mark::Dark),
            ("dark_sum and live", Mark::Dark),
            ("nobody_knows", Mark::Dark),
            ("up{job=\"program\"}", Mark::Live),
            ("up{job=\"exporter\"}", Mark::Fallback),
            ("up", Mark::Live),
        ] {
            assert_eq!(marked(expr).mark, expected, "{expr}");
        }
    }

    #[test]
    fn a_mark_knows_what_would_better_it() {
        let either = marked("r:either");
        assert_eq!(either.sources, BTreeSet::from(["exporter".to_owned()]));
        assert_eq!(either.dark, BTreeSet::from(["dark_count".to_owned()]));
        let panel = either.and(marked("live"));
        assert_eq!((panel.mark, panel.sources.len()), (Mark::Live, 1));
    }
}
