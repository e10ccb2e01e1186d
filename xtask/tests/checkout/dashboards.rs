//! `dashboards import` on a copy of this checkout, and what `check` wants of this repository's dashboards.

use std::fs;

use crate::copy::{Checkout, stderr};

const OVERVIEW: &str = "dashboards/gorax-overview.json";

#[test]
fn an_export_gives_back_the_file_that_it_came_from() {
    let checkout = Checkout::new("import", "checkout");
    let before = fs::read_to_string(checkout.path(OVERVIEW)).unwrap();
    // As Grafana's HTTP API gives it: in a wrapper, keys by the alphabet, with what belongs to one instance.
    let mut board: serde_json::Value = serde_json::from_str(&before).unwrap();
    let members = board.as_object_mut().unwrap();
    members.sort_keys();
    members.insert("id".into(), 12.into());
    members.insert("version".into(), 3.into());
    let export = serde_json::json!({"meta": {"slug": "gorax-overview"}, "dashboard": board});
    let path = checkout.path("export.json");
    let text = export.to_string().replace("${datasource}\"}", "P1809F7CD0C75ACF3\"}");
    fs::write(&path, text).unwrap();
    for _ in 0..2 {
        let output = checkout.run(&["dashboards", "import", path.to_str().unwrap()]);
        assert!(output.status.success(), "{}", stderr(&output));
        assert_eq!(fs::read_to_string(checkout.path(OVERVIEW)).unwrap(), before);
    }
}

#[test]
fn a_dashboard_overwrites_none_but_itself() {
    let checkout = Checkout::new("import-refused", "checkout");
    fs::rename(checkout.path(OVERVIEW), checkout.path("dashboards/other.json")).unwrap();
    let before = fs::read(checkout.path("dashboards/other.json")).unwrap();
    let board = checkout.path("export.json");
    for (uid, expected) in [
        ("gorax-overview", "dashboards/other.json has the uid `gorax-overview` already"),
        ("other", "dashboards/other.json holds the dashboard `gorax-overview`"),
        ("fdW1_Abc", "the uid `fdW1_Abc` is to be the file's name"),
    ] {
        fs::write(&board, format!("{{\"uid\": \"{uid}\", \"title\": \"T\"}}")).unwrap();
        let output = checkout.run(&["dashboards", "import", board.to_str().unwrap()]);
        assert!(output.status.code() == Some(1) && stderr(&output).contains(expected), "{}", stderr(&output));
    }
    assert_eq!(fs::read(checkout.path("dashboards/other.json")).unwrap(), before);
    let output = checkout.run(&["dashboards", "import", "nowhere.json"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
}

#[test]
fn check_names_the_first_line_that_is_not_canonical() {
    let checkout = Checkout::new("import-format", "checkout");
    checkout.edit(OVERVIEW, |text| text.replacen("  \"editable\": true,\n", "  \"editable\":  true,\n", 1));
    let output = checkout.run(&["check"]);
    let found = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(found.contains(&format!("{OVERVIEW}:")) && found.contains("error: dashboard/format: "), "{found}");
    assert!(found.contains(&format!("help: run `cargo xtask dashboards import {OVERVIEW}`")), "{found}");
    let board = checkout.path(OVERVIEW);
    let output = checkout.run(&["dashboards", "import", board.to_str().unwrap()]);
    assert!(output.status.success(), "{}", stderr(&output));
    let output = checkout.run(&["check"]);
    assert!(!String::from_utf8_lossy(&output.stdout).contains("dashboard/format"));
}

/// A dashboard without a fault: its panel names an alert and draws its number.
const BOARD: &str = r#"{"uid": "board", "title": "Board", "description": "D", "schemaVersion": 41, "refresh": "30s",
"templating": {"list": [{"name": "datasource", "type": "datasource", "query": "prometheus"}]},
"panels": [{"id": 1, "title": "P", "type": "timeseries", "description": "As HighWorkflowFailureRate.",
"gridPos": {"x": 0, "y": 0, "w": 24, "h": 8}, "datasource": {"type": "prometheus", "uid": "${datasource}"},
"targets": [{"refId": "A", "expr": "1 - gorax:workflow_success_rate:5m", "legendFormat": "{{namespace}}"}],
"fieldConfig": {"defaults": {"unit": "percentunit", "noValue": "none",
"thresholds": {"steps": [{"color": "green", "value": null}, {"color": "orange", "value": 0.1}]}}}}]}"#;

/// A change of the board, and what is found then; nothing where it is empty.
const CHANGES: [(&str, &str, &str); 16] = [
    ("", "", ""),
    ("0.1}", "0.9}", ""),
    ("0.1}", "0.2}", "dashboard/threshold: Board › P: the step at 0.2 is no number"),
    ("0.1}", "0.2}", "dashboard/threshold: Board › P: the description names HighWorkflowFailureRate, and no step"),
    (" HighWorkflowFailureRate", "", "dashboard/threshold: Board › P: the step at 0.1 is no number"),
    ("0.1}", "0.1}, {\"color\": \"red\", \"value\": 1}", ""),
    ("\"value\": 0.1", "\"value\": 10", "dashboard/threshold: Board › P: the step at 10 is no number"),
    ("\"As HighWorkflowFailureRate.\"", "\"\"", "dashboard/policy: Board › P: the panel has no description"),
    ("\"D\"", "\"\"", "dashboard/policy: Board: the dashboard has no description"),
    ("\"30s\"", "\"15s\"", "dashboard/policy: Board: it refreshes every `15s`"),
    ("\"30s\"", "\"\"", "dashboard/policy: Board: it refreshes every ``"),
    ("\"unit\": \"percentunit\", ", "", "dashboard/policy: Board › P: the panel has no unit"),
    ("\"noValue\": \"none\",", "", ""),
    ("\"none\"", "\"\", \"max\": 1", ""),
    (
        "\"Board\"",
        "\"Kubernetes / API server\"",
        "dashboard/policy: a dashboard of the bundled stack has the title `Kubernetes / API server` too",
    ),
    ("\"targets\": [", "\"targets\": [MANY", "dashboard/policy: Board: opening it asks 21 queries, more than 20"),
];

#[test]
fn what_this_house_wants_of_a_dashboard_is_found() {
    let checkout = Checkout::new("dashboard-policy", "checkout");
    let path = checkout.path("dashboards/board.json");
    let many: String = (0..20).map(|n| format!("{{\"refId\": \"A{n}\", \"expr\": \"up\"}}, ")).collect();
    for (from, to, expected) in CHANGES {
        assert!(BOARD.contains(from), "{from}");
        fs::write(&path, BOARD.replacen(from, &to.replace("MANY", &many), 1)).unwrap();
        let found = check(&checkout);
        let ours =
            found.lines().filter(|line| line.contains("dashboard/policy") || line.contains("dashboard/threshold"));
        let ours: Vec<&str> = ours.collect();
        let fits = if expected.is_empty() { ours.is_empty() } else { ours.iter().any(|line| line.contains(expected)) };
        assert!(fits, "{from} → {to}\n{expected}\n{ours:#?}");
    }
}

#[test]
fn a_panel_that_waits_says_for_what() {
    let checkout = Checkout::new("dashboard-waits", "checkout");
    let path = checkout.path("dashboards/board.json");
    let dark = BOARD.replace("1 - gorax:workflow_success_rate:5m", "kube_deployment_spec_replicas");
    fs::write(&path, dark.replace("\"noValue\": \"none\",", "")).unwrap();
    let waits = "dashboard/policy: Board › P: the panel is empty until a source is installed";
    assert!(check(&checkout).contains(waits));
    fs::write(&path, dark).unwrap();
    assert!(!check(&checkout).contains(waits));
}

#[test]
fn an_exception_beside_a_dashboard_covers_the_rules_of_this_house() {
    let checkout = Checkout::new("dashboard-allow", "checkout");
    fs::write(checkout.path("dashboards/board.json"), BOARD.replace("\"30s\"", "\"15s\"")).unwrap();
    let allow = "- {check: dashboard/policy, subject: Board, reason: because}\n";
    fs::write(checkout.path("dashboards/board.allow.yaml"), allow).unwrap();
    let found = check(&checkout);
    assert!(!found.contains("dashboard/policy") && !found.contains("exception/unused"), "{found}");
    fs::write(checkout.path("dashboards/board.json"), BOARD).unwrap();
    assert!(check(&checkout).contains("exception/unused"));
}

fn check(checkout: &Checkout) -> String {
    String::from_utf8_lossy(&checkout.run(&["check"]).stdout).into_owned()
}
