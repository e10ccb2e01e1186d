//! Bad input gives one error with its place, and changes no output.

use std::fs;

use crate::copy::{Checkout, stderr};

/// A bad input: its name, the edit that makes it, and how the one error begins, with `*` for the line's number: which
/// line it is, the readers' own tests say, and here it would change with every edit of the sources.
type BadInput = (&'static str, fn(&Checkout), &'static str);

const BAD_INPUTS: [BadInput; 33] = [
    (
        "a rule file that is no YAML",
        |c| c.edit("alerts/queue.yaml", |t| t + "  - ]["),
        "alerts/queue.yaml:*: error: file/syntax: ",
    ),
    (
        "a rule whose expression does not parse",
        |c| c.edit("alerts/queue.yaml", |t| t.replacen("> 1000 ", ">< 1000 ", 1)),
        "alerts/queue.yaml:*: error: file/syntax: alert QueueBacklog: the expression does not parse",
    ),
    (
        "a rule whose expression may be right and cannot be proved",
        |c| c.edit("alerts/queue.yaml", |t| t.replacen("> 1000 ", "+ rate(up[step()]) > 1000 ", 1)),
        "alerts/queue.yaml:*: error: file/syntax: alert QueueBacklog: the expression cannot be checked",
    ),
    (
        "an unknown field of a rule",
        |c| c.edit("alerts/queue.yaml", |t| t.replacen("        for:", "        fro:", 1)),
        "alerts/queue.yaml:*: error: file/syntax: groups[0].rules[0]: unknown field `fro`",
    ),
    (
        "a group that is declared twice in a file",
        |c| c.edit("alerts/queue.yaml", |t| t.clone() + t.split_once('\n').unwrap().1),
        "alerts/queue.yaml:*: error: file/syntax: group `gorax_queue` is declared twice",
    ),
    (
        "a group that another file declares",
        |c| c.copy("alerts/queue.yaml", "alerts/second.yaml"),
        "alerts/second.yaml:*: error: file/syntax: group `gorax_queue` is declared in alerts/queue.yaml too",
    ),
    (
        "an alert without tests",
        |c| {
            c.edit("alerts/tests/step-failures.yaml", |t| {
                t.replace("alertname: HTTPActionFailures", "alertname: HighStepFailureRate")
            });
        },
        "alerts/step-failures.yaml:*: error: alert/untested: alert HTTPActionFailures: no test shows",
    ),
    (
        "a test of an alert that there is not, which promtool passes",
        |c| {
            c.edit("alerts/tests/pods.yaml", |t| {
                t + "\n  - alert_rule_test: [{eval_time: 1m, alertname: GoraxPodRestarting, exp_alerts: []}]\n"
            });
        },
        "alerts/tests/pods.yaml:*: error: alert/untested: there is no alert `GoraxPodRestarting`",
    ),
    (
        "tests of rule files that no file matches, which promtool passes",
        |c| {
            c.edit("alerts/tests/pods.yaml", |t| {
                t.replacen("  - ../pods.yaml", "  - ../pods.yaml\n  - ../pod*.yml", 1)
            });
        },
        "alerts/tests/pods.yaml:*: error: alert/untested: there is no rule file `../pod*.yml`",
    ),
    (
        "situations that leave a rule file out",
        |c| c.edit("alerts/tests/situations.yaml", |t| t.replacen("  - ../redis.yaml\n", "", 1)),
        "alerts/tests/situations.yaml:*: error: alert/untested: the tests ask for all alerts, but those of `redis.yaml`",
    ),
    (
        "an alert without the annotation that leads to its dashboard",
        |c| {
            c.edit("alerts/monitoring.yaml", |t| {
                t.replacen("          dashboard_url: \"/d/gorax-monitoring-health\"\n", "", 1)
            });
        },
        "alerts/monitoring.yaml:*: error: alert/policy: alert GoraxWatchdog: the annotation `dashboard_url` is missing",
    ),
    (
        "an alert that does not say the value",
        |c| c.edit("alerts/queue.yaml", |t| t.replacen("{{ $value | humanizeDuration }}", "long", 1)),
        "alerts/queue.yaml:*: error: alert/policy: alert QueueWaitTooLong: the description leaves out the value",
    ),
    (
        "a runbook that asks for a metric that does not exist",
        |c| c.edit("docs/runbooks/GoraxAPIDown.md", |t| t.replacen("```promql\n", "```promql\ngorax_up == 0\n", 1)),
        "docs/runbooks/GoraxAPIDown.md:*: error: query/unknown-metric: no contract file declares gorax_up",
    ),
    (
        "a runbook without a section",
        |c| c.edit("docs/runbooks/GoraxAPIDown.md", |t| t.replacen("## Likely causes\n", "", 1)),
        "docs/runbooks/GoraxAPIDown.md:*: error: alert/policy: the sections are Confirm, What to do,",
    ),
    (
        "a metric that does not exist",
        |c| c.edit("alerts/infrastructure.yaml", |t| t.replace("(redis_up) == 0 and", "(redis_upp) == 0 and")),
        "alerts/infrastructure.yaml:*: error: query/unknown-metric: alert RedisConnectionFailure: no contract file declares redis_upp",
    ),
    (
        "a threshold mark where YAML takes it for its own comment",
        |c| {
            c.edit("alerts/queue.yaml", |t| {
                t.replacen("expr: |\n          namespace_", "expr:\n          namespace_", 1)
            });
        },
        "alerts/queue.yaml:*: error: file/syntax: alert QueueBacklog: a threshold mark stands outside",
    ),
    (
        "a rule file that nothing reads",
        |c| fs::write(c.path("alerts/more.yml"), "groups: []\n").unwrap(),
        "alerts/more.yml:*: error: file/unknown-kind: ",
    ),
    (
        "a rule file that is not UTF-8",
        |c| fs::write(c.path("alerts/queue.yaml"), b"groups:\n  - name: \xff\n").unwrap(),
        "alerts/queue.yaml:*: error: file/encoding: the file is not UTF-8",
    ),
    (
        "a dashboard that is no JSON",
        |c| c.edit("dashboards/gorax-overview.json", |t| t.replacen("\"tags\": [", "\"tags\": ", 1)),
        "dashboards/gorax-overview.json:*: error: file/syntax: ",
    ),
    (
        "a dashboard with the uid of another one",
        |c| c.copy("dashboards/gorax-overview.json", "dashboards/second.json"),
        "dashboards/second.json:*: error: dashboard/structure: dashboards/gorax-overview.json has the same uid",
    ),
    (
        "a dashboard in the form of Grafana's API",
        |c| c.edit("dashboards/gorax-overview.json", |t| format!("{{\"dashboard\": {t}}}")),
        "dashboards/gorax-overview.json:*: error: dashboard/structure: wrapped in",
    ),
    (
        "a dashboard that is not UTF-8",
        |c| fs::write(c.path("dashboards/gorax-overview.json"), b"{\n\"\xff").unwrap(),
        "dashboards/gorax-overview.json:*: error: file/encoding",
    ),
    (
        "the missing template of the chart's README",
        |c| fs::remove_file(c.path("docs/templates/chart-README.md.hbs")).unwrap(),
        "docs/templates/chart-README.md.hbs:*: error: file/syntax: the file is missing",
    ),
    (
        "a template with a name that is not there",
        |c| c.edit("docs/templates/chart-README.md.hbs", |t| t + "{{nothing}}\n"),
        "error: rendering docs/templates/chart-README.md.hbs: ",
    ),
    (
        "a missing template of the chart",
        |c| fs::remove_file(c.path("chart/templates/api-servicemonitor.yaml")).unwrap(),
        "chart/templates:*: error: file/syntax: no template holds `kind: ServiceMonitor`: nothing would scrape Gorax",
    ),
    (
        "a template of the chart that is not UTF-8",
        |c| fs::write(c.path("chart/templates/NOTES.txt"), b"\n\n\xff").unwrap(),
        "chart/templates/NOTES.txt:*: error: file/encoding",
    ),
    (
        "a value that is set twice",
        |c| c.edit("values/base/gorax.yaml", |t| t + "alerts: {}\n"),
        "values/base/gorax.yaml:*: error: file/syntax: `alerts` is set twice",
    ),
    (
        "a value that the schema does not know",
        |c| c.edit("values/base/gorax.yaml", |t| t.replacen("minSeverity:", "minSeverty:", 1)),
        "values/base/gorax.yaml:*: error: file/syntax: values/schema.yaml does not know the value `alerts.minSeverty`",
    ),
    (
        "an unknown field of Chart.yaml",
        |c| c.edit("chart/Chart.yaml", |t| t.replacen("\ntype:", "\ntpye:", 1)),
        "chart/Chart.yaml:*: error: file/syntax: unknown field `tpye`",
    ),
    (
        "a dependency without a pin",
        |c| c.edit("chart/Chart.yaml", |t| t.replacen("88.5.3", "88.5.4", 1)),
        "chart/dependencies.sha256:*: error: file/syntax: the dependency kube-prometheus-stack 88.5.4 has no content pin",
    ),
    (
        "a contract with an unknown field",
        |c| c.edit("metrics/gorax.yaml", |t| t.replacen("    unit: executions\n", "    units: executions\n", 1)),
        "metrics/gorax.yaml:*: error: file/syntax: metrics.gorax_workflow_executions_total: unknown field `units`",
    ),
    (
        "a changelog whose date is none",
        |c| c.edit("CHANGELOG.md", |t| t.replacen("] - 20", "] - 21th of 20", 1)),
        "CHANGELOG.md:*: error: file/syntax: ",
    ),
    (
        "an ignore rule that Helm turns round",
        |c| c.edit("chart/.helmignore", |t| t + "!keep.bak\n"),
        "chart/.helmignore:*: error: file/syntax: Helm takes the negated rule",
    ),
];

#[test]
fn bad_input_gives_one_error_with_its_place_and_changes_nothing() {
    let mut problems = Vec::new();
    for (index, (name, make, expected)) in BAD_INPUTS.iter().enumerate() {
        let checkout = Checkout::new(&format!("bad-{index}"), "checkout");
        checkout.package();
        make(&checkout);
        // After the edit, which itself may be in chart/.
        let before = checkout.outputs();
        let output = checkout.run(&["package"]);
        let errors = stderr(&output);
        let places = errors.lines().filter(|line| line.contains("error: ")).count();
        if output.status.code() != Some(1) || !errors.lines().any(|line| begins(line, expected)) || places != 1 {
            problems.push(format!("{name}: expected {expected}\n{errors}"));
        }
        if checkout.outputs() != before {
            problems.push(format!("{name} changed an output"));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

fn begins(text: &str, expected: &str) -> bool {
    let Some((file, rest)) = expected.split_once('*') else { return text.starts_with(expected) };
    let line = text.strip_prefix(file).map(|text| text.trim_start_matches(|c: char| c.is_ascii_digit()));
    line.is_some_and(|line| line.len() < text.len() - file.len() && line.starts_with(rest))
}
