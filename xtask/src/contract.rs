//! `cargo xtask contract`: what a target exposes against the metric contract, or as the start of one.

use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use rulecheck::contract::{differences, draft};
use rulecheck::exposition::Exposition;
use rulecheck::{Contract, document};

use crate::failure::{Findings, Reported, Usage, on_errors, plural};
use crate::flags;
use crate::http;
use crate::model;
use crate::sources::Sources;

impl flags::Contract {
    pub fn run(self, root: &Path) -> Result<()> {
        let source = &self.source;
        let bytes = read(source)?;
        let text = document::text(source, &bytes).map_err(|finding| Findings(vec![finding]))?;
        let exposition = Exposition::parse(text)
            .map_err(|error| anyhow!("{source}:{}: {}; is it the text of a scrape?", error.line, error.message))?;
        let mut findings = Vec::new();
        let contract = model::read_contract(&Sources::read(root)?, &mut findings);
        on_errors(findings)?;
        let job = self.job.clone().unwrap_or_else(|| name_of(source));
        if contract.jobs.contains_key(&job) {
            compare(&contract, &job, &exposition, source)
        } else {
            if self.job.is_some() {
                let known: Vec<&str> = contract.jobs.keys().map(String::as_str).collect();
                note!("the contract has no job {job}, so here is a start of one; it has {}", known.join(", "));
            }
            say!("{}", draft(&job, &exposition).trim_end());
            Ok(())
        }
    }
}

fn compare(contract: &Contract, job: &str, exposition: &Exposition, source: &str) -> Result<()> {
    let differences = differences(contract, job, exposition);
    differences.iter().for_each(|difference| say!("{difference}"));
    let metrics = plural(exposition.families.len(), "metric");
    if differences.is_empty() {
        say!("no differences between {source}, {metrics}, and the contract of {job}");
        return Ok(());
    }
    say!("{} between {source}, {metrics}, and the contract of {job}", plural(differences.len(), "difference"));
    Err(Reported.into())
}

fn read(source: &str) -> Result<Vec<u8>> {
    if source.starts_with("http://") || source.starts_with("https://") {
        return http::Client::new(http::Settings::default()).get(source);
    }
    if source == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes).context("reading stdin")?;
        return Ok(bytes);
    }
    match std::fs::read(source) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(Usage(format!("reading {source}: {error}; a URL begins with http:// or https://")).into())
        }
        read => read.with_context(|| format!("reading {source}")),
    }
}

/// A name for the job of a source: the host's, or the file's without its end.
fn name_of(source: &str) -> String {
    if let Some((_, rest)) = source.split_once("://") {
        return rest.split(['/', ':']).next().unwrap_or(rest).to_owned();
    }
    match Path::new(source).file_stem() {
        Some(stem) if source != "-" => stem.to_string_lossy().into_owned(),
        _ => "stdin".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rulecheck::contract::{Difference, Emitted};

    use super::*;

    const JOB: &str = "gorax-api";

    fn contract_and(capture: &str) -> (Contract, Exposition) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut findings = Vec::new();
        let contract = model::read_contract(&Sources::read(root).unwrap(), &mut findings);
        assert!(findings.is_empty(), "{findings:?}");
        let text = std::fs::read_to_string(root.join("metrics/captures").join(capture)).unwrap();
        (contract, Exposition::parse(&text).unwrap())
    }

    #[test]
    fn the_contract_agrees_with_what_a_running_gorax_exposed() {
        for state in ["fresh", "after-runs", "db-outage", "idle-6min"] {
            let (contract, exposition) = contract_and(&format!("gorax-api-{state}.txt"));
            assert_eq!(differences(&contract, JOB, &exposition), [], "{state}");
            assert!(exposition.families.len() >= 4, "{state}");
        }
    }

    #[test]
    fn the_lit_capture_has_every_metric_and_lights_the_dark_ones() {
        let (contract, exposition) = contract_and("gorax-api-lit.txt");
        let of_gorax = contract.metrics.iter().filter(|(_, metric)| metric.jobs.iter().any(|job| job == JOB));
        let declared: BTreeSet<&str> = of_gorax.clone().map(|(name, _)| name.as_str()).collect();
        let exposed: BTreeSet<&str> = exposition.families.iter().map(|family| family.name.as_str()).collect();
        assert_eq!((declared.len(), exposed), (18, declared));
        let dark: BTreeSet<&str> =
            of_gorax.filter(|(_, metric)| metric.emitted == Emitted::Dark).map(|(name, _)| name.as_str()).collect();
        let differences = differences(&contract, JOB, &exposition);
        let lit = |difference: &Difference| difference.message == "declared as dark, but recorded";
        assert!(differences.iter().all(lit), "{differences:?}");
        assert_eq!(differences.iter().map(|difference| difference.metric.as_str()).collect::<BTreeSet<_>>(), dark);
        assert_eq!(dark.len(), 11);
    }

    #[test]
    fn a_job_without_a_name_is_named_after_its_source() {
        let names =
            ["dir/node-exporter.txt", "http://localhost:8080/metrics", "https://a.b.example/x", "-"].map(name_of);
        assert_eq!(names, ["node-exporter", "localhost", "a.b.example", "stdin"]);
    }
}
