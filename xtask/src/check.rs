//! `cargo xtask check`: what rulecheck finds in the sources, and the rules of this repository.

mod alerts;
mod chart;
mod coverage;
mod dashboards;
mod values;

use std::path::Path;

use anyhow::Result;
use rulecheck::{Finding, Settings, checks};

use crate::failure::{Findings, Reported, count, on_errors};
use crate::flags;
use crate::model::Model;
use crate::sources::Sources;

impl flags::Check {
    pub fn run(self, root: &Path) -> Result<()> {
        let sources = Sources::read(root)?;
        let (findings, looked_at) = match Model::parse(&sources) {
            Ok(model) => {
                let (alerts, dashboards) = (model.alerts().count(), model.dashboards.len());
                (findings(&sources, &model), format!("{alerts} alerts and {dashboards} dashboards"))
            }
            Err(Findings(findings)) => (findings, "the sources, which cannot be read".to_owned()),
        };
        findings.iter().for_each(|finding| say!("{finding}"));
        say!("{} in {looked_at}", count(&findings));
        on_errors(findings).map(|_| ()).map_err(|_| Reported.into())
    }
}

/// Everything that is wrong with sources that could be parsed.
pub fn findings(sources: &Sources, model: &Model) -> Vec<Finding> {
    let mut findings = checks::run(&model.rules, &model.dashboards, &[], &model.contract, &Settings::default());
    findings.extend(alerts::check(sources, model));
    findings.extend(coverage::check(sources, model));
    findings.extend(dashboards::check(model));
    findings.extend(chart::check(sources, model));
    findings.extend(values::check(model));
    findings.sort();
    findings
}

/// The stages up to here, for those that go on: sources in, checked model out, and what was found but did not stop them.
pub fn checked(root: &Path) -> Result<(Sources, Model, Vec<Finding>)> {
    let sources = Sources::read(root)?;
    let model = Model::parse(&sources)?;
    let warnings = on_errors(findings(&sources, &model))?;
    Ok((sources, model, warnings))
}
