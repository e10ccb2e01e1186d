//! The script that `helm test` runs, against a Prometheus and a Grafana that answer as a test tells them. It needs curl,
//! which nothing else here does; on a machine without it these tests say so and prove nothing.

use std::process::{Command, Output};

use crate::server::{Answer, Server};

const TARGETS: &str = r#"up{job="gorax-api",namespace="gorax-prod"}"#;
const ENVIRONMENT: &str = r#"gorax:environment:info{namespace="gorax-prod"}"#;
const OWN: &str = "obs-gorax-monitoring";
const OTHER: &str = "prod-gorax-monitoring";
const PASSWORD: &str = r#"p"a\ss"#;
const DASHBOARD: &str = "/api/dashboards/uid/gorax-overview";

/// A Prometheus and a Grafana where everything is as it should be.
fn healthy() -> Server {
    let server = Server::start();
    server.answer("/api/v1/query", &[Answer::ok(r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#)]);
    counts(&server, TARGETS, &[3]);
    counts(&server, &format!("{TARGETS} == 1"), &[3]);
    counts(&server, ENVIRONMENT, &[1]);
    server.answer("/api/v1/rules", &[rules(&[(OWN, r#""health":"ok","lastError":"""#)])]);
    server.answer(DASHBOARD, &[Answer::ok("{}")]);
    server
}

/// How many series an expression has, one time after the other.
fn counts(server: &Server, expr: &str, numbers: &[u32]) {
    let answers: Vec<Answer> =
        numbers.iter().map(|n| series(&format!(r#"{{"metric":{{}},"value":[1.5,"{n}"]}}"#))).collect();
    server.answer(&query(&format!("count({expr}) or vector(0)")), &answers);
}

fn series(result: &str) -> Answer {
    Answer::ok(format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{result}]}}}}"#))
}

/// The group gorax_api of each release, by how the names of its objects begin, with the health of its rule.
fn rules(releases: &[(&str, &str)]) -> Answer {
    let group = |(fullname, health): &(&str, &str)| {
        let file = format!("/etc/prometheus/rules/rulefiles-0/monitoring-{fullname}-rules-api-9a0b5149.yaml");
        format!(r#"{{"name":"gorax_api","file":"{file}","rules":[{{"name":"HighHTTPErrorRate",{health}}}]}}"#)
    };
    let groups: Vec<String> = releases.iter().map(group).collect();
    Answer::ok(format!(r#"{{"status":"success","data":{{"groups":[{}]}}}}"#, groups.join(",")))
}

/// The path of an instant query.
fn query(expr: &str) -> String {
    format!("/api/v1/query?query={expr}")
}

/// Runs the script against a server, with other variables than usual; nothing where curl is missing.
fn run(server: &Server, variables: &[(&str, &str)]) -> Option<(bool, String)> {
    if Command::new("curl").arg("--version").output().is_err() {
        eprintln!("skipped: there is no curl");
        return None;
    }
    let mut command = Command::new("sh");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../chart/scripts/test.sh")).env("no_proxy", "*");
    command.envs([
        ("PROMETHEUS_URL", server.url.as_str()),
        ("GRAFANA_URL", &server.url),
        ("DASHBOARDS", "gorax-overview"),
    ]);
    command.envs([("GRAFANA_SECRET", "login"), ("GRAFANA_USER", "admin"), ("GRAFANA_PASSWORD", PASSWORD)]);
    command.envs([("NAMESPACES", "gorax-prod"), ("GROUPS_OF_RULES", "gorax_api"), ("WAIT_SECONDS", "0")]);
    command.envs([("RELEASE", "obs"), ("RELEASE_NAMESPACE", "monitoring"), ("FULLNAME", OWN)]);
    command.envs(variables.iter().copied());
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&stderr), "", "the script must not stumble");
    let text = String::from_utf8(stdout).unwrap();
    assert!(!text.contains(PASSWORD), "the password is printed: {text}");
    Some((status.success(), text))
}

/// Runs it and expects that it fails with nothing but this.
fn fails(server: &Server, variables: &[(&str, &str)], expected: &[&str]) {
    let Some((succeeded, text)) = run(server, variables) else { return };
    assert!(!succeeded && text.ends_with("checks that failed: 1\n"), "{text}");
    for line in expected {
        assert!(text.contains(line), "{line:?} is not in:\n{text}");
    }
}

#[test]
fn a_healthy_installation_passes_every_check() {
    let server = healthy();
    let Some((succeeded, text)) = run(&server, &[]) else { return };
    let checks: Vec<&str> = text.lines().skip(1).collect();
    assert!(succeeded, "{text}");
    assert_eq!(
        checks,
        [
            &format!("ok    Prometheus answers at {}", server.url),
            "ok    3 targets with the job gorax-api in namespace gorax-prod, all up",
            "ok    Prometheus knows the environment in namespace gorax-prod",
            "ok    the rules of the group gorax_api are loaded and evaluated",
            "ok    Grafana has the dashboard gorax-overview",
        ]
    );
    let requests = server.requests.lock().unwrap();
    let login = requests.iter().find(|(path, _)| path == DASHBOARD).map(|(_, login)| login.as_str());
    // Every character of admin:p"a\ss arrives; the server gives headers in lower case.
    assert_eq!(login, Some("basic ywrtaw46ccjhxhnz"));
}

#[test]
fn with_discovery_targets_count_wherever_they_are_and_without_grafana_it_is_not_asked() {
    let server = healthy();
    counts(&server, r#"up{job="gorax-api"}"#, &[2]);
    counts(&server, r#"up{job="gorax-api"} == 1"#, &[2]);
    let Some((succeeded, text)) = run(&server, &[("NAMESPACES", ""), ("GRAFANA_URL", "")]) else { return };
    assert!(succeeded && text.contains("2 targets with the job gorax-api in any namespace"), "{text}");
    assert!(!text.contains("Grafana"), "{text}");
}

#[test]
fn each_failure_says_what_is_wrong_and_where_to_look() {
    let server = healthy();
    let nowhere = [("PROMETHEUS_URL", "http://127.0.0.1:1"), ("GRAFANA_URL", "")];
    fails(&server, &nowhere, &["FAIL  Prometheus does not answer at http://127.0.0.1:1", "set tests.prometheusUrl"]);

    counts(&server, TARGETS, &[0]);
    let none = "FAIL  Prometheus has no target with the job gorax-api in namespace gorax-prod";
    fails(&server, &[], &[none, "helm get notes obs --namespace monitoring", "kubectl get servicemonitors"]);

    let server = healthy();
    counts(&server, &format!("{TARGETS} == 1"), &[1]);
    let down = r#"{"metric":{"pod":"api-b"},"value":[1,"0"]},{"metric":{"pod":"api-a"},"value":[1,"0"]}"#;
    server.answer(&query(&format!("{TARGETS} == 0")), &[series(down)]);
    fails(&server, &[], &["FAIL  1 of 3 targets", "down: api-a api-b", "/targets", "NetworkPolicy"]);

    let server = healthy();
    counts(&server, ENVIRONMENT, &[0]);
    fails(&server, &[], &["FAIL  Prometheus does not know the environment in namespace gorax-prod", "prometheusrules"]);
}

#[test]
fn rules_must_be_loaded_evaluated_and_healthy() {
    let server = healthy();
    server.answer("/api/v1/rules", &[rules(&[(OWN, r#""health":"err","lastError":"label \"x\": many-to-many\n""#)])]);
    fails(&server, &[], &["FAIL  rules of the group gorax_api cannot be evaluated", r#"label \"x\": many-to-many\n""#]);
    server.answer("/api/v1/rules", &[rules(&[(OWN, r#""health":"unknown""#)])]);
    fails(&server, &[], &["FAIL  rules of the group gorax_api have not been evaluated yet"]);
    server.answer("/api/v1/rules", &[Answer::ok(r#"{"status":"success","data":{"groups":[]}}"#)]);
    fails(
        &server,
        &[],
        &["FAIL  Prometheus has not loaded these groups of this release's rules: gorax_api", "kubectl get events"],
    );
    let groups = [("GROUPS_OF_RULES", "gorax_api gorax_queue")];
    fails(&server, &groups, &["release's rules: gorax_api gorax_queue\n"]);
    server.answer("/api/v1/rules", &[Answer::status(503)]);
    fails(&server, &[], &["FAIL  Prometheus does not tell of its group gorax_api: curl: (22)"]);
}

#[test]
fn the_groups_of_another_release_are_not_taken_for_our_own() {
    let server = healthy();
    server.answer("/api/v1/rules", &[rules(&[(OTHER, r#""health":"ok""#)])]);
    fails(&server, &[], &["FAIL  Prometheus has not loaded these groups of this release's rules: gorax_api"]);
    let broken = (OTHER, r#""health":"err","lastError":"theirs""#);
    for both in [[broken, (OWN, r#""health":"ok""#)], [(OWN, r#""health":"ok""#), broken]] {
        server.answer("/api/v1/rules", &[rules(&both)]);
        let Some((succeeded, text)) = run(&server, &[]) else { return };
        assert!(succeeded && !text.contains("theirs"), "{text}");
    }
    // Of releases that are called gorax-monitoring and gorax-monitoring-two, one name begins with the other.
    server.answer("/api/v1/rules", &[rules(&[("gorax-monitoring-two", r#""health":"ok""#)])]);
    let variables = [("FULLNAME", "gorax-monitoring")];
    fails(&server, &variables, &["FAIL  Prometheus has not loaded these groups of this release's rules: gorax_api"]);
}

#[test]
fn grafana_must_let_its_user_in_and_have_the_dashboards() {
    let server = healthy();
    for (status, expected) in [
        (401, ["FAIL  Grafana does not let the user of the Secret login in (status 401)", "at its first start only"]),
        (404, ["FAIL  Grafana has no dashboard gorax-overview", "kubectl get configmaps"]),
        (502, ["FAIL  Grafana answers with status 502", "kubectl logs"]),
    ] {
        server.answer(DASHBOARD, &[Answer::status(status)]);
        fails(&server, &[], &expected);
    }
    fails(&server, &[("GRAFANA_URL", "http://127.0.0.1:1")], &["FAIL  Grafana does not answer at http://127.0.0.1:1"]);
    fails(&server, &[("GRAFANA_PASSWORD", "")], &["FAIL  the Secret login does not hold Grafana's user and password"]);
}

#[test]
fn what_is_not_there_yet_is_waited_for() {
    let server = healthy();
    counts(&server, TARGETS, &[0, 3]);
    let Some((succeeded, text)) = run(&server, &[("WAIT_SECONDS", "60")]) else { return };
    assert!(succeeded && !text.contains("FAIL"), "{text}");
}
