//! `check` on files from anywhere, and `contract`: paths, formats, exits.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::copy::stderr;
use crate::server::{Answer, Server};

/// An empty folder of this test's own, removed at the end.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn write(&self, path: &str, bytes: impl AsRef<[u8]>) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// Runs the binary in this folder, with this checkout's contract.
    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.current_dir(&self.0).args(arguments).stdin(Stdio::null()).output().unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn rule(name: &str, expr: &str) -> String {
    format!(
        "groups:\n- name: g\n  rules:\n  - alert: {name}\n    expr: {expr}\n    for: 5m\n    labels: {{severity: info}}\n"
    )
}

#[test]
fn folders_are_searched_and_paths_stay_as_given() {
    let folder = Folder::new("foreign-paths");
    folder.write("rules/z.yml", rule("Z", "nothing_z > 0"));
    folder.write("rules/b/a.yaml", rule("A", "my:record > 0 and nothing_a"));
    folder.write("rules/b/.hidden/c.yaml", "][");
    folder.write("rules/b/notes.txt", "][");
    folder.write("rules/b/deployment.yaml", "kind: Deployment\n");
    folder
        .write("records.json", r#"{"groups": [{"name": "r", "rules": [{"record": "my:record", "expr": "sum(up)"}]}]}"#);
    let output = folder.run(&["check", "rules/", "./records.json"]);
    let expected = [
        "rules/b/a.yaml:5: error: query/unknown-metric: alert A: no contract file declares nothing_a",
        "rules/z.yml:5: error: query/unknown-metric: alert Z: no contract file declares nothing_z",
        "2 errors in 2 alerts and 1 recording rule",
    ];
    let lines: Vec<String> = stdout(&output).lines().filter(|line| !line.starts_with(' ')).map(str::to_owned).collect();
    assert_eq!((lines, output.status.code()), (expected.map(str::to_owned).to_vec(), Some(1)));
}

#[test]
fn exits_say_error_clean_or_bad_usage() {
    let folder = Folder::new("foreign-exits");
    folder.write("good.yaml", rule("A", "up == 0"));
    folder.write("bad.yaml", rule("A", "up == "));
    folder.write("deployment.yaml", "kind: Deployment\n");
    folder.write("contract/m.yaml", "metrics:\n  mine: {type: gauge, unit: x, jobs: [], emitted: live}\n");
    folder.write("broken/m.yaml", "metrics:\n  mine: {type: guage}\n");
    folder.write("mine.yaml", rule("A", "mine > 0"));
    folder.write("empty/x.txt", "");
    for (arguments, code, expected) in [
        (&["good.yaml"][..], 0, "no problems in 1 alert"),
        (&["good.yaml", "deployment.yaml"], 0, "no problems in 1 alert"),
        (&["bad.yaml"], 1, "bad.yaml:5: error: file/syntax: alert A: the expression does not parse"),
        (
            &["deployment.yaml"],
            1,
            "deployment.yaml:1: error: file/unknown-kind: nothing here is checked: kind Deployment",
        ),
        (&["empty"], 1, "empty:1: error: file/unknown-kind"),
        (&["good.yaml", "missing.yaml"], 2, "error: reading missing.yaml: "),
        (&["mine.yaml"], 1, "no contract file declares mine"),
        (&["mine.yaml", "--metrics", "contract"], 0, "no problems in 1 alert"),
        (&["mine.yaml", "--metrics", "broken"], 1, "broken/m.yaml:2: error: file/syntax: metrics.mine.type"),
        (&["mine.yaml", "--metrics", "missing"], 2, "error: reading missing: "),
        (&["mine.yaml", "--metrics", "empty"], 2, "error: --metrics: the folder holds no contract file"),
        (&["good.yaml", "--format", "xml"], 2, "invalid value 'xml'"),
    ] {
        let output = folder.run(&[&["check"], arguments].concat());
        let text = stdout(&output) + &stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
        assert!(text.contains(expected), "{arguments:?}: {text}");
        assert!(text.matches("error: ").count() <= 1, "{arguments:?} says it once: {text}");
    }
}

#[test]
fn json_is_one_array_and_nothing_else() {
    let folder = Folder::new("foreign-json");
    folder.write("good.yaml", rule("A", "up == 0"));
    folder.write("bad.yaml", rule("A", "nothing"));
    let output = folder.run(&["check", "good.yaml", "--format", "json"]);
    assert_eq!((stdout(&output).trim(), output.status.code()), ("[]", Some(0)));
    let output = folder.run(&["check", ".", "--format", "json"]);
    let findings: Value = serde_json::from_slice(&output.stdout).unwrap();
    let expected = serde_json::json!([{
        "file": "./bad.yaml", "line": 5, "severity": "error", "check": "query/unknown-metric", "subject": "alert A",
        "message": "no contract file declares nothing",
        "help": "declare it in the metric contract, in the file of the source that exposes it",
    }]);
    assert_eq!((findings, output.status.code()), (expected, Some(1)));
    assert!(stderr(&output).contains("1 error in 2 alerts"));
    let output = folder.run(&["check", "bad.yaml", "--format", "github"]);
    assert!(
        stdout(&output).starts_with("::error file=bad.yaml,line=5,title=query/unknown-metric::alert A: no contract")
    );
}

#[test]
fn a_dashboard_given_alone_has_the_exceptions_beside_it() {
    let folder = Folder::new("foreign-allow");
    let board = r#"{"uid": "b", "title": "B", "schemaVersion": 41,
        "templating": {"list": [{"name": "datasource", "type": "datasource", "query": "prometheus"}]},
        "panels": [{"id": 1, "type": "timeseries", "title": "P", "datasource": {"type": "prometheus", "uid": "${datasource}"}, "targets": [{"refId": "A", "expr": "nothing"}]}]}"#;
    folder.write("b.json", board);
    let unknown = "b.json:3: error: query/unknown-metric: B › P › A: no contract file declares nothing";
    assert!(stdout(&folder.run(&["check", "b.json"])).starts_with(unknown));
    folder.write(
        "b.allow.yaml",
        "- {check: query/unknown-metric, subject: B › P, reason: comes with the next version}\n",
    );
    for paths in [&["b.json"][..], &["."], &["b.json", "b.allow.yaml"]] {
        let output = folder.run(&[&["check"], paths].concat());
        assert_eq!(stdout(&output).trim(), "no problems in 1 dashboard", "{paths:?}");
    }
}

/// A pipe among the files of a folder used to be waited for, for ever.
#[test]
#[cfg(unix)]
fn a_pipe_in_a_folder_is_passed_over_and_one_that_is_named_is_read() {
    let folder = Folder::new("foreign-pipe");
    folder.write("rules/good.yaml", rule("A", "up == 0"));
    for pipe in ["rules/pipe.yaml", "named.yaml"] {
        assert!(Command::new("mkfifo").arg(folder.0.join(pipe)).status().unwrap().success());
    }
    std::os::unix::fs::symlink("pipe.yaml", folder.0.join("rules/link.yaml")).unwrap();
    assert_eq!(stdout(&folder.run(&["check", "rules"])).trim(), "no problems in 1 alert");
    let path = folder.0.join("named.yaml");
    let writer = std::thread::spawn(move || fs::write(path, rule("B", "up == 1")));
    assert_eq!(stdout(&folder.run(&["check", "named.yaml", "rules"])).trim(), "no problems in 2 alerts");
    writer.join().unwrap().unwrap();
}

/// Towers and files of ten megabytes take seconds, and no more than one finding.
#[test]
fn a_huge_file_is_read_in_seconds() {
    let folder = Folder::new("foreign-huge");
    let rules: String = (0..60_000)
        .map(|number| format!("  - alert: A{number}\n    expr: |\n      sum by (namespace) (rate(gorax_workflow_executions_total{{status=\"failed\"}}[5m])) > 0.1\n    labels: {{severity: info}}\n"))
        .collect();
    folder.write("rules.yaml", format!("groups:\n- name: g\n  rules:\n{rules}"));
    let panels: Vec<String> = (0..60_000)
        .map(|number| format!("{{\"title\": \"{number}\", \"targets\": [{{\"refId\": \"A\", \"expr\": \"sum(up) \\u003e {number}\"}}],\n\"gridPos\": {{\"h\": 1, \"w\": 1, \"x\": 0, \"y\": {number}}}}}"))
        .collect();
    folder.write(
        "board.json",
        format!("{{\"uid\": \"b\", \"title\": \"B\", \"schemaVersion\": 41, \"panels\": [{}]}}", panels.join(",")),
    );
    folder.write("tower.yaml", "{a: ".repeat(2_500_000));
    let started = std::time::Instant::now();
    let output = folder.run(&["check", "."]);
    assert!(stdout(&output).contains("./tower.yaml:1: error: file/syntax: more than 1000 open brackets"));
    assert!(started.elapsed().as_secs() < 120, "{:?}", started.elapsed());
}

#[test]
fn the_contract_is_compared_with_a_scrape() {
    let folder = Folder::new("contract-compare");
    let captures = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("metrics/captures");
    let fresh = fs::read_to_string(captures.join("gorax-api-fresh.txt")).unwrap();
    folder.write("fresh.txt", &fresh);
    let output = folder.run(&["contract", "fresh.txt", "--job", "gorax-api"]);
    assert_eq!(stdout(&output).trim(), "no differences between fresh.txt, 4 metrics, and the contract of gorax-api");
    assert_eq!(output.status.code(), Some(0));
    folder.write("other.txt", fresh.replace("pool=\"main\"", "pool=\"other\""));
    let output = folder.run(&["contract", "other.txt", "--job", "gorax-api"]);
    assert!(
        stdout(&output)
            .contains("gorax_db_connections_idle: the label `pool` has the values \"other\"; declared are \"main\"")
    );
    assert!(stdout(&output).ends_with("3 differences between other.txt, 4 metrics, and the contract of gorax-api\n"));
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_contract_starts_from_a_scrape() {
    let folder = Folder::new("contract-start");
    let server = Server::start();
    server.answer("/metrics", &[Answer::ok("# TYPE mine_total counter\nmine_total{a=\"b\"} 1\n")]);
    let output = folder.run(&["contract", &format!("{}/metrics", server.url), "--job", "mine"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("the contract has no job mine"));
    folder.write("metrics/mine.yaml", &output.stdout);
    folder.write("rules.yaml", rule("A", "rate(mine_total[5m]) > 0"));
    let output = folder.run(&["check", "rules.yaml", "--metrics", "metrics"]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    for (arguments, code, expected) in [
        (["contract", "missing.txt"], 2, "error: reading missing.txt: "),
        (["contract", "rules.yaml"], 1, "error: rules.yaml:1: `groups:` is no sample; is it the text of a scrape?"),
    ] {
        let output = folder.run(&arguments);
        assert!(stderr(&output).starts_with(expected), "{}", stderr(&output));
        assert_eq!(output.status.code(), Some(code));
    }
}
