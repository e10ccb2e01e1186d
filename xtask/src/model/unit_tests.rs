//! The unit tests of the rules, in promtool's format. Promtool runs them; here is read what they prove.

use rulecheck::{Finding, yaml};
use serde::Deserialize;
use serde_json::Value;

use crate::sources::Sources;

/// One file of `alerts/tests/`: the part of promtool's format that coverage is read from, and the page of all alerts.
#[derive(Debug, Deserialize)]
pub struct TestFile {
    /// Its path.
    #[serde(skip)]
    pub path: String,
    /// The rule files that it loads, as seen from its folder.
    #[serde(default)]
    pub rule_files: Vec<String>,
    /// The situations.
    #[serde(default)]
    pub tests: Vec<Test>,
}

/// One situation.
#[derive(Debug, Deserialize)]
pub struct Test {
    /// What it is called.
    #[serde(default)]
    pub name: String,
    /// What is asked of single alerts.
    #[serde(default)]
    pub alert_rule_test: Vec<AlertTest>,
    /// What is asked in PromQL.
    #[serde(default)]
    pub promql_expr_test: Vec<ExprTest>,
}

impl Test {
    /// The samples of all alerts, where a situation asks for them.
    pub fn of_all_alerts(&self) -> Option<&ExprTest> {
        self.promql_expr_test.iter().find(|test| test.expr.contains("ALERTS{"))
    }
}

/// A query and its result.
#[derive(Debug, Deserialize)]
pub struct ExprTest {
    expr: String,
    /// The series that it must return, no more and no less.
    #[serde(default)]
    pub exp_samples: Option<Vec<Sample>>,
}

/// A series.
#[derive(Debug, Deserialize)]
pub struct Sample {
    /// As PromQL writes it, such as `{alertname="A"}`.
    pub labels: String,
}

/// Whether an alert fires at a time.
#[derive(Debug, Deserialize)]
pub struct AlertTest {
    /// The alert.
    pub alertname: String,
    #[serde(default)]
    exp_alerts: Option<Vec<Value>>,
}

impl AlertTest {
    /// Whether it does.
    pub fn fires(&self) -> bool {
        self.exp_alerts.as_ref().is_some_and(|alerts| !alerts.is_empty())
    }
}

/// Reads all test files.
pub fn read(sources: &Sources, findings: &mut Vec<Finding>) -> Vec<TestFile> {
    let mut files = Vec::new();
    for path in sources.below("alerts/tests") {
        match sources.text(path).map(yaml::parse::<TestFile>) {
            Ok(Ok(file)) => files.push(TestFile { path: path.to_owned(), ..file }),
            Ok(Err(error)) => findings.push(Finding::error(path, error.line, "file/syntax", error.message)),
            Err(finding) => findings.push(finding),
        }
    }
    files
}
