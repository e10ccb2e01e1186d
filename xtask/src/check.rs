//! `cargo xtask check`: what rulecheck finds in the sources, and the rules of this repository; or in files from anywhere.

mod alerts;
mod chart;
pub mod coverage;
mod dashboards;
mod foreign;
pub mod retention;
mod runbooks;
mod values;

use std::path::{Path, PathBuf};

use anyhow::Result;
use rulecheck::query::seconds;
use rulecheck::{Finding, Settings, checks};
use serde_json::Value;

use crate::failure::{Findings, Reported, on_errors, plural};
use crate::flags;
use crate::model::Model;
use crate::report;
use crate::sources::Sources;

impl flags::Check {
    pub fn run(self, root: &Path) -> Result<()> {
        let (findings, looked_at) =
            if self.paths.is_empty() { own(root, &self.metrics)? } else { foreign::check(root, &self)? };
        report::print(self.format, &findings, &looked_at);
        on_errors(findings).map(|_| ()).map_err(|_| Reported.into())
    }
}

/// What is wrong with the sources of this repository, and what they are.
fn own(root: &Path, metrics: &[PathBuf]) -> Result<(Vec<Finding>, String)> {
    let sources = Sources::read(root)?;
    let mut model = match Model::parse(&sources) {
        Ok(model) => model,
        Err(Findings(findings)) => return Ok((findings, "the sources, which cannot be read".to_owned())),
    };
    let mut findings = Vec::new();
    if !metrics.is_empty() {
        model.contract = foreign::contract(metrics, &mut findings)?;
    }
    findings.extend(self::findings(&sources, &model));
    findings.sort();
    let (alerts, dashboards) = (model.alerts().count(), model.dashboards.len());
    Ok((findings, format!("{} and {}", plural(alerts, "alert"), plural(dashboards, "dashboard"))))
}

/// Everything that is wrong with sources that could be parsed.
pub fn findings(sources: &Sources, model: &Model) -> Vec<Finding> {
    let profiles = model.values.profiles.values().flatten().map(|fragment| &fragment.values);
    let settings = settings(&model.values.with(&[]), profiles);
    // The two take about as long, and neither needs the other.
    let mut findings = std::thread::scope(|scope| {
        let house = scope.spawn(|| {
            [
                alerts::check(sources, model),
                chart::check(sources, model),
                coverage::check(sources, model),
                dashboards::check(sources, model),
                retention::check(model),
                runbooks::check(sources, model, &settings),
                values::check(model),
            ]
            .concat()
        });
        // Those that a dashboard's exceptions cover too.
        let beside = dashboards::of_this_house(model);
        let mut findings = checks::run_beside(&model.rules, &model.dashboards, &[], &model.contract, &settings, beside);
        findings.extend(house.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        findings
    });
    findings.sort();
    findings
}

/// What the chart's values say of the Prometheus that will run the rules: the slowest evaluation of all profiles, and the
/// base's retention. A profile that keeps samples for less must do without the rules that look back further.
fn settings<'a>(base: &'a Value, profiles: impl Iterator<Item = &'a Value>) -> Settings {
    let spec = |values: &'a Value| &values["kube-prometheus-stack"]["prometheus"]["prometheusSpec"];
    let of = |values: &'a Value, key: &str| seconds(spec(values)[key].as_str()?);
    Settings {
        evaluation_interval: profiles
            .chain([base])
            .filter_map(|values| of(values, "evaluationInterval"))
            .reduce(f64::max),
        retention: of(base, "retention"),
    }
}

/// The stages up to here, for those that go on: sources in, checked model out, and what was found but did not stop them.
pub fn checked(root: &Path) -> Result<(Sources, Model, Vec<Finding>)> {
    let sources = Sources::read(root)?;
    let model = Model::parse(&sources)?;
    let warnings = on_errors(findings(&sources, &model))?;
    Ok((sources, model, warnings))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_slowest_evaluation_and_the_base_s_retention_count() {
        let of = |spec: Value| json!({"kube-prometheus-stack": {"prometheus": {"prometheusSpec": spec}}});
        let base = of(json!({"retention": "15d", "evaluationInterval": "15s"}));
        let profiles = [of(json!({"retention": "2d", "evaluationInterval": "30s"})), json!({})];
        let settings = settings(&base, profiles.iter());
        assert_eq!((settings.evaluation_interval, settings.retention), (Some(30.0), Some(15.0 * 86_400.0)));
    }
}
