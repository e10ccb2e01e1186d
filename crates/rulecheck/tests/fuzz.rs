//! The whole way from bytes to findings, with input that nobody would write: nothing panics, and every finding can be
//! printed on one line with a place that exists. `PROPTEST_CASES=100000 cargo test --release --test fuzz` looks longer.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use rulecheck::document::Documents;
use rulecheck::exposition::Exposition;
use rulecheck::{Contract, Finding, Settings, checks, contract};

/// The contract of the examples.
static CONTRACT: LazyLock<Contract> = LazyLock::new(|| contract_of(&text("docs/checks/contract.yaml")));

/// Files that are right, to be made wrong: this repository's own, and the examples of the checks' pages.
static FILES: LazyLock<Vec<(String, String)>> = LazyLock::new(|| {
    let mut files = Vec::new();
    for (folder, extension) in [("alerts", "yaml"), ("dashboards", "json"), ("xtask/tests/defects", "")] {
        files.extend(texts(folder).into_iter().filter(|(name, _)| name.ends_with(extension)));
    }
    for (name, page) in texts("docs/checks").into_iter().filter(|(name, _)| name.ends_with(".md")) {
        for (kind, block) in page.split("```").skip(1).step_by(2).filter_map(|block| block.split_once('\n')) {
            files.push((format!("{name}.{kind}"), block.to_owned()));
        }
    }
    files
});

/// What may stand where something else should: words of the formats, and what parsers trip over.
const PIECES: &str = r#"a é - ? : &a *a <<:*a !!binary | >- --- ... # " ' ` { } [ ] ( ) , {{ }} {{$labels.x}} {{end}}
    {{template"x".}} |humanizePercentage $value \ \u12 \x $ $__rate_interval ${x:regex} [[x]] 0 -1 1e309 1e-309 NaN Inf
    5m 1y2w 9999999999999y 0x1F =~ !~ != == >= ^ by without on() ignoring(status) group_left(tenant) offset @start()
    bool and unless or rate histogram_quantile label_replace absent vector time() [5m:1m] null true _bucket groups: le"#;
/// The same, with blanks and what is not to be seen.
const BLANKS: [&str; 9] = ["\u{0}", "\u{feff}", "\r\n", "\n", "\t", "  ", "\u{2028}", "\n- ", ": "];
/// Pieces of Go templates.
const TEMPLATES: [&str; 18] = [
    "{{",
    "}}",
    "{{- ",
    " -}}",
    "{{ $labels.x }}",
    "{{ $value | humanize }}",
    "{{ .Labels.pod }}",
    "{{ $x := 1 }}",
    "{{ if ",
    "{{ else }}",
    "{{ end }}",
    "{{ range ",
    "{{ with query \"up\" }}",
    "{{ template \"x\" . }}",
    "{{/*",
    "*/}}",
    "%",
    " | printf \"%.2f\"",
];

/// A change of a text: some characters after a place are replaced.
#[derive(Debug, Clone)]
struct Edit {
    at: Index,
    length: usize,
    with: String,
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let pieces: Vec<&str> = PIECES.split_whitespace().chain(BLANKS).chain(TEMPLATES).collect();
    let piece = prop_oneof![4 => select(pieces).prop_map(str::to_owned), 1 => ".{0,6}", 2 => Just(String::new())];
    let length = prop_oneof![4 => 0_usize..4, 2 => 0_usize..40, 1 => 0_usize..2_000];
    prop::collection::vec(
        (any::<Index>(), length, piece).prop_map(|(at, length, with)| Edit { at, length, with }),
        1..6,
    )
}

fn edited(text: &str, edits: &[Edit]) -> String {
    let mut text: Vec<char> = text.chars().collect();
    for Edit { at, length, with } in edits {
        let start = at.index(text.len() + 1);
        let end = (start + length).min(text.len());
        text.splice(start..end, with.chars());
    }
    text.into_iter().collect()
}

/// The words of a text, one of them.
fn word(words: &'static str) -> impl Strategy<Value = &'static str> {
    select(words.split_whitespace().collect::<Vec<_>>())
}

/// The lines of a text, one of them.
fn line(lines: &'static str) -> impl Strategy<Value = &'static str> {
    select(lines.lines().map(str::trim).collect::<Vec<_>>())
}

/// A query that parses, mostly: of the contract's metrics, some that nobody knows, and everything that PromQL has.
fn query() -> impl Strategy<Value = String> {
    let name = word(
        "runs_total requests_total duration_seconds_bucket duration_seconds_sum duration_seconds_count memory_bytes pool_open
        workers dark_total latency_seconds kube_pods environment_info up ALERTS nobody_knows a:b",
    );
    let matchers = line(
        r#"
        {status="failed"}
        {status!~"x|failed"}
        {job="api",status=~"f.*|done"}
        {le="1"}
        {le=~"0.5|[+]Inf"}
        {namespace="",status="$status"}
        {code=~"5.."}
        {a="b" or c="d"}
        {phase=~"",quantile="0.9"}"#,
    );
    let selector = (name, matchers, select(vec!["", " offset 5m", " offset -1y", " @ end()"]))
        .prop_map(|(name, matchers, shift)| format!("{name}{matchers}{shift}"));
    let number = word("0 1 -1 0.95 5 1e9 NaN Inf time() vector(0) vector(1) scalar(up)").prop_map(str::to_owned);
    prop_oneof![4 => selector, 1 => number].prop_recursive(5, 24, 3, |inner| {
        let over = word(
            "rate irate increase delta deriv changes resets avg_over_time max_over_time last_over_time count_over_time
            absent_over_time quantile_over_time",
        );
        let call = line(
            "absent(#)
            scalar(#)
            vector(#)
            timestamp(#)
            clamp_min(#, 1)
            histogram_quantile(0.9, #)
            histogram_quantile(95, #)
            label_replace(#, \"a\", \"$1\", \"status\", \"(.*)\")
            label_replace(#, \"a\", \"\", \"(\", \"(\")
            label_join(#, \"a\", \"-\", \"status\", \"code\")
            sort(#)
            -#
            day_of_week(#)
            # > 5
            # == bool 0
            sum(#)
            sum by (namespace) (#)
            sum by (namespace, le) (#)
            avg without (status) (#)
            count by (status) (#)
            topk(3, #)
            quantile(0.5, #)
            count_values(\"x\", #)
            max by () (#)
            group by (job, nobody) (#)
            limitk(2, #)",
        );
        let operator = line(
            "+
            -
            *
            /
            %
            ^
            ==
            !=
            >
            <
            > bool
            and
            or
            unless
            and on (namespace)
            / on (namespace, status) group_left (code)
            * ignoring (status) group_right ()
            unless on ()
            or on (pod)
            atan2
            > on (namespace) group_left (x)",
        );
        prop_oneof![
            (inner.clone(), word("[5m] [1m] [1s] [30d] [10m:1m] [1h:]"), over)
                .prop_map(|(inner, range, over)| format!("{over}({inner}{range})")),
            (inner.clone(), call).prop_map(|(inner, call)| call.replace('#', &inner)),
            (inner.clone(), operator, inner)
                .prop_map(|(left, operator, right)| format!("({left}) {operator} ({right})")),
        ]
    })
}

/// The text of an annotation.
fn template() -> impl Strategy<Value = String> {
    prop::collection::vec(select(&TEMPLATES[..]), 0..8).prop_map(|pieces| pieces.concat())
}

/// Checks the files and looks at what is said of them.
fn check(files: &[(&str, &[u8])], contract: &Contract) {
    let mut findings = Vec::new();
    let documents = Documents::read(files.iter().copied(), &mut findings);
    let settings = Settings { evaluation_interval: Some(60.0), retention: Some(15.0 * 86_400.0) };
    findings.extend(checks::run(
        &documents.rules,
        &documents.dashboards,
        &documents.alertmanagers,
        contract,
        &settings,
    ));
    for finding in findings {
        is_sound(&finding, files);
    }
}

fn is_sound(finding: &Finding, files: &[(&str, &[u8])]) {
    let Finding { file, line, check, message, help, .. } = finding;
    let printed = 1 + usize::from(!help.is_empty());
    let (_, bytes) = files.iter().find(|(path, _)| path == file).expect("a finding is about a file that was given");
    let lines = bytes.iter().filter(|&&byte| byte == b'\n' || byte == b'\r').count() + 1;
    assert!((1..=lines).contains(line), "{file} has {lines} lines: {finding:?}");
    assert!(!message.is_empty() && finding.to_string().lines().count() == printed, "{finding:?}");
    assert!(check.split_once('/').is_some_and(|(family, name)| !family.is_empty() && !name.is_empty()), "{finding:?}");
}

/// A rule file with a recorded series and an alert.
fn rules(record: &str, alert: &str, hold: &str, label: &str, summary: &str) -> String {
    let [record, alert, label, summary] = [record, alert, label, summary].map(quoted);
    format!(
        "groups:
- name: g
  interval: 30s
  rules:
  - record: a:b
    expr: {record}
  - alert: A
    expr: {alert}
    for: {hold}
    labels: {{severity: warning, x: {label}}}
    annotations: {{summary: {summary}}}
"
    )
}

/// A dashboard with one panel.
fn board(expr: &str, legend: &str) -> String {
    let [expr, legend] = [expr, legend].map(quoted);
    format!(
        r#"{{"uid": "b", "title": "B", "schemaVersion": 41, "panels": [
  {{"id": 1, "type": "stat", "title": "P", "targets": [{{"refId": "A", "expr": {expr}, "legendFormat": {legend}}}]}}
]}}"#
    )
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

proptest! {
    // What is found becomes a test of its own, where the cause is.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bytes(bytes in prop::collection::vec(any::<u8>(), 0..200), name in word("a.yaml a.json a.allow.yaml")) {
        check(&[(name, &bytes)], &CONTRACT);
    }

    #[test]
    fn files_with_mistakes(files in prop::collection::vec((any::<Index>(), edits()), 1..4)) {
        let texts: Vec<(String, String)> = (0..).zip(&files).map(|(number, (file, edits)): (usize, _)| {
            let (path, text) = file.get(&FILES);
            (format!("{number}-{path}"), edited(text, edits))
        }).collect();
        let files: Vec<(&str, &[u8])> = texts.iter().map(|(path, text)| (path.as_str(), text.as_bytes())).collect();
        check(&files, &CONTRACT);
    }

    #[test]
    fn queries(
        alert in query(), record in query(), summary in template(), label in template(), hold in word("0s 1s 5m 1y"),
    ) {
        let rules = rules(&record, &alert, hold, &label, &summary);
        check(&[("r.yaml", rules.as_bytes()), ("b.json", board(&alert, &summary).as_bytes())], &CONTRACT);
    }

    #[test]
    fn contracts_with_mistakes(edits in edits(), file in any::<Index>()) {
        let mut findings = Vec::new();
        let text = edited(&text("docs/checks/contract.yaml"), &edits);
        let contract = Contract::parse([("contract.yaml", text.as_str())], &mut findings);
        findings.iter().for_each(|finding| is_sound(finding, &[("contract.yaml", text.as_bytes())]));
        let (path, text) = file.get(&FILES);
        check(&[(path, text.as_bytes())], &contract);
    }

    #[test]
    fn expositions_with_mistakes(edits in edits()) {
        let text = edited(&text("metrics/captures/gorax-api-fresh.txt"), &edits);
        if let Ok(exposition) = Exposition::parse(&text) {
            let drafted = contract::draft("api", &exposition);
            contract::differences(&contract_of(&drafted), "api", &exposition);
            contract::differences(&CONTRACT, "api", &exposition);
        }
    }
}

fn contract_of(text: &str) -> Contract {
    let mut findings = Vec::new();
    let contract = Contract::parse([("contract.yaml", text)], &mut findings);
    assert_eq!(findings, [], "{text}");
    contract
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).expect("the file is there")
}

/// The files right in a folder, sorted, by their names.
fn texts(folder: &str) -> Vec<(String, String)> {
    let entries = fs::read_dir(root().join(folder)).expect("the folder is there");
    let entries = entries.map(|entry| entry.expect("the entry is readable")).filter(|entry| entry.path().is_file());
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut files: Vec<(String, String)> =
        names.map(|name| (name.clone(), text(&format!("{folder}/{name}")))).collect();
    files.sort();
    files
}

fn root() -> &'static Path {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().and_then(Path::parent);
    repository.expect("the crate lies in the repository")
}
