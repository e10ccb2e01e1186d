//! The mistakes that Gorax's own rules, dashboards and routes were found to have, each in a rule, panel or route of
//! `tests/defects/`: each is reported under the name of its check.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// What must be reported: the file, the subject and the check.
type Defect = (&'static str, &'static str, &'static str);

const DEFECTS: [Defect; 17] = [
    ("rules.yaml", "alert FailedRunsDividedByThemselves", "match/self"),
    ("rules.yaml", "alert QuantileBeyondItsBuckets", "query/bucket-bound"),
    ("performance.json", "Defects › Runs that never complete › A", "query/impossible-value"),
    ("rules.yaml", "alert NobodySetsTheGauge", "query/constant-result"),
    ("rules.yaml", "alert MetricIsDark", "query/dark-metric"),
    ("rules.yaml", "alert CollectorIsNotRegistered", "query/unknown-metric"),
    ("PrometheusRule.yaml", "alert NobodyScrapesTheWorker", "query/wrong-job"),
    ("PrometheusRule.yaml", "alert TypeIsCalledOtherwise", "query/impossible-value"),
    ("PrometheusRule.yaml", "alert ShareOfOpenConnections", "query/zero-division"),
    ("PrometheusRule.yaml", "alert EveryIdleWorkflow", "alert/too-many"),
    ("PrometheusRule.yaml", "alert EveryIdleWorkflow", "query/vanishing"),
    ("alertmanager.yml", "route inhibit_rules[0]", "route/inhibit"),
    ("alertmanager.yml", "route inhibit_rules[1]", "route/inhibit"),
    ("alertmanager.yml", "route route.routes[2]", "route/unreachable"),
    ("overview.json", "", "dashboard/structure"),
    ("performance.json", "", "dashboard/structure"),
    ("performance.json", "Defects › Lines of one name › A", "dashboard/legend"),
];

#[test]
fn every_known_defect_is_reported_and_nothing_else_is_an_error() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/defects");
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["check", ".", "--format", "json"])
        .current_dir(&folder)
        .output()
        .expect("the binary runs");
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let findings: Vec<Value> = serde_json::from_slice(&output.stdout).expect("the output is one array");
    let named = |finding: &Value| -> [String; 3] {
        let part = |key: &str| finding[key].as_str().unwrap_or_default().to_owned();
        [part("file").trim_start_matches("./").to_owned(), part("subject"), part("check")]
    };
    let expected: BTreeSet<[String; 3]> =
        DEFECTS.iter().map(|(file, subject, check)| [file, subject, check].map(|part| (*part).to_owned())).collect();
    let found: BTreeSet<[String; 3]> = findings.iter().map(named).collect();
    let missing: Vec<_> = expected.difference(&found).collect();
    assert!(missing.is_empty(), "not reported: {missing:#?}\nfound: {findings:#?}");
    let errors = findings.iter().filter(|finding| finding["severity"] == "error");
    let others: Vec<&Value> = errors.filter(|finding| !expected.contains(&named(finding))).collect();
    assert!(others.is_empty(), "errors that are no known defect: {others:#?}");
}
