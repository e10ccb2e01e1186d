//! `dashboards import` on a copy of this checkout.

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
