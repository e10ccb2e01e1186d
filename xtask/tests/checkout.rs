//! The binary on copies of this checkout: bad input, a killed command, and the same bytes wherever it runs.
#![allow(clippy::unwrap_used, reason = "in a test a failed unwrap is the report")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime};

/// A copy of the sources in a temporary folder, removed at the end.
struct Checkout {
    folder: PathBuf,
    root: PathBuf,
}

impl Checkout {
    /// Copies the sources to `path` below a folder of this test's own.
    fn new(name: &str, path: &str) -> Checkout {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        let root = folder.join(path);
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for part in ["alerts", "dashboards", "metrics", "values", "chart", "docs"] {
            copy(&source.join(part), &root.join(part));
        }
        fs::copy(source.join("CHANGELOG.md"), root.join("CHANGELOG.md")).unwrap();
        Checkout { folder, root }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.env("CARGO_MANIFEST_DIR", self.root.join("xtask")).env_remove("SOURCE_DATE_EPOCH");
        command.stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().unwrap()
    }

    fn package(&self) {
        let output = self.run(&["package"]);
        assert!(output.status.success(), "{}", stderr(&output));
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    fn edit(&self, path: &str, change: impl FnOnce(String) -> String) {
        let text = fs::read_to_string(self.path(path)).unwrap();
        let changed = change(text.clone());
        assert_ne!(text, changed, "the edit of {path} changes nothing");
        fs::write(self.path(path), changed).unwrap();
    }

    fn copy(&self, from: &str, to: &str) {
        fs::copy(self.path(from), self.path(to)).unwrap();
    }

    /// Every file below chart/ and dist/ with its bytes.
    fn outputs(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        for folder in ["chart", "dist"] {
            list(&self.path(folder), &mut files);
        }
        files
    }

    fn archive(&self) -> Vec<u8> {
        let mut archives: Vec<PathBuf> = fs::read_dir(self.path("dist")).unwrap().map(|e| e.unwrap().path()).collect();
        archives.retain(|path| path.extension().is_some_and(|extension| extension == "tgz"));
        assert_eq!(archives.len(), 1, "{archives:?}");
        fs::read(&archives[0]).unwrap()
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn list(folder: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            list(&path, files);
        } else {
            files.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A bad input: its name, the edit that makes it, and how the one error begins.
type BadInput = (&'static str, fn(&Checkout), &'static str);

const BAD_INPUTS: [BadInput; 25] = [
    (
        "a rule file that is no YAML",
        |c| c.edit("alerts/queue.yaml", |t| t + "  - ]["),
        "alerts/queue.yaml:69: error: file/syntax: ",
    ),
    (
        "a rule whose expression does not parse",
        |c| c.edit("alerts/queue.yaml", |t| t.replacen("> 1000 ", ">< 1000 ", 1)),
        "alerts/queue.yaml:7: error: file/syntax: alert QueueBacklog: the expression does not parse",
    ),
    (
        "an unknown field of a rule",
        |c| c.edit("alerts/queue.yaml", |t| t.replacen("        for:", "        fro:", 1)),
        "alerts/queue.yaml:9: error: file/syntax: groups[0].rules[0]: unknown field `fro`",
    ),
    (
        "a group that is declared twice in a file",
        |c| c.edit("alerts/queue.yaml", |t| t.clone() + t.split_once('\n').unwrap().1),
        "alerts/queue.yaml:69: error: file/syntax: group `gorax_queue` is declared twice",
    ),
    (
        "a group that another file declares",
        |c| c.copy("alerts/queue.yaml", "alerts/second.yaml"),
        "alerts/second.yaml:5: error: file/syntax: group `gorax_queue` is declared in alerts/queue.yaml too",
    ),
    (
        "an alert without tests",
        |c| fs::remove_file(c.path("alerts/tests/environments.yaml")).unwrap(),
        "alerts/environments.yaml:6: error: alert/untested: alert GoraxNotFound: no test shows",
    ),
    (
        "a metric that does not exist",
        |c| c.edit("alerts/infrastructure.yaml", |t| t.replacen("(redis_up)", "(redis_upp)", 1)),
        "alerts/infrastructure.yaml:34: error: query/unknown-metric: alert RedisConnectionFailure: no contract file declares redis_upp",
    ),
    (
        "a threshold mark where YAML takes it for its own comment",
        |c| c.edit("alerts/queue.yaml", |t| t.replacen("expr: |\n          max", "expr:\n          max", 1)),
        "alerts/queue.yaml:7: error: file/syntax: alert QueueBacklog: a threshold mark stands outside",
    ),
    (
        "a rule file that nothing reads",
        |c| fs::write(c.path("alerts/more.yml"), "groups: []\n").unwrap(),
        "alerts/more.yml:1: error: file/unknown-kind: ",
    ),
    (
        "a rule file that is not UTF-8",
        |c| fs::write(c.path("alerts/queue.yaml"), b"groups:\n  - name: \xff\n").unwrap(),
        "alerts/queue.yaml:2: error: file/encoding: the file is not UTF-8",
    ),
    (
        "a dashboard that is no JSON",
        |c| c.edit("dashboards/gorax-overview.json", |t| t.replacen("\"tags\": [", "\"tags\": ", 1)),
        "dashboards/gorax-overview.json:",
    ),
    (
        "a dashboard with the uid of another one",
        |c| c.copy("dashboards/gorax-overview.json", "dashboards/second.json"),
        "dashboards/second.json:1: error: dashboard/structure: dashboards/gorax-overview.json has the same uid",
    ),
    (
        "a dashboard in the form of Grafana's API",
        |c| c.edit("dashboards/gorax-overview.json", |t| format!("{{\"dashboard\": {t}}}")),
        "dashboards/gorax-overview.json:1: error: dashboard/structure: wrapped in",
    ),
    (
        "a dashboard that is not UTF-8",
        |c| fs::write(c.path("dashboards/gorax-overview.json"), b"{\n\"\xff").unwrap(),
        "dashboards/gorax-overview.json:2: error: file/encoding",
    ),
    (
        "the missing template of the chart's README",
        |c| fs::remove_file(c.path("docs/templates/chart-README.md.hbs")).unwrap(),
        "docs/templates/chart-README.md.hbs:1: error: file/syntax: the file is missing",
    ),
    (
        "a template with a name that is not there",
        |c| c.edit("docs/templates/chart-README.md.hbs", |t| t + "{{nothing}}\n"),
        "error: rendering docs/templates/chart-README.md.hbs: ",
    ),
    (
        "a missing template of the chart",
        |c| fs::remove_file(c.path("chart/templates/api-servicemonitor.yaml")).unwrap(),
        "chart/templates:1: error: file/syntax: no template holds `kind: ServiceMonitor`: nothing would scrape Gorax",
    ),
    (
        "a template of the chart that is not UTF-8",
        |c| fs::write(c.path("chart/templates/NOTES.txt"), b"\n\n\xff").unwrap(),
        "chart/templates/NOTES.txt:3: error: file/encoding",
    ),
    (
        "a value that is set twice",
        |c| c.edit("values/base/gorax.yaml", |t| t + "alerts: {}\n"),
        "values/base/gorax.yaml:44: error: file/syntax: `alerts` is set twice",
    ),
    (
        "a value that the schema does not know",
        |c| c.edit("values/base/gorax.yaml", |t| t.replacen("minSeverity:", "minSeverty:", 1)),
        "values/base/gorax.yaml:18: error: file/syntax: values/schema.yaml does not know the value `alerts.minSeverty`",
    ),
    (
        "an unknown field of Chart.yaml",
        |c| c.edit("chart/Chart.yaml", |t| t.replacen("\ntype:", "\ntpye:", 1)),
        "chart/Chart.yaml:5: error: file/syntax: unknown field `tpye`",
    ),
    (
        "a dependency without a pin",
        |c| c.edit("chart/Chart.yaml", |t| t.replacen("88.5.3", "88.5.4", 1)),
        "chart/dependencies.sha256:1: error: file/syntax: the dependency kube-prometheus-stack 88.5.4 has no content pin",
    ),
    (
        "a contract with an unknown field",
        |c| c.edit("metrics/gorax.yaml", |t| t.replacen("    unit: executions\n", "    units: executions\n", 1)),
        "metrics/gorax.yaml:11: error: file/syntax: metrics.gorax_workflow_executions_total: unknown field `units`",
    ),
    (
        "a changelog whose date is none",
        |c| c.edit("CHANGELOG.md", |t| t.replacen("[0.1.0] - 20", "[0.1.0] - 21th of 20", 1)),
        "CHANGELOG.md:6: error: file/syntax: ",
    ),
    (
        "an ignore rule that Helm turns round",
        |c| c.edit("chart/.helmignore", |t| t + "!keep.bak\n"),
        "chart/.helmignore:11: error: file/syntax: Helm takes the negated rule",
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
        if output.status.code() != Some(1) || !errors.starts_with(expected) || places != 1 {
            problems.push(format!("{name}: expected {expected}\n{errors}"));
        }
        if checkout.outputs() != before {
            problems.push(format!("{name} changed an output"));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn twenty_packages_in_varied_environments_are_one_archive() {
    let mut archives = BTreeMap::new();
    for index in 0..20_u64 {
        let depth = "some folder/ü".repeat(usize::try_from(index % 4).unwrap()) + &format!("copy-{index}");
        let checkout = Checkout::new(&format!("twenty-{index}"), &depth);
        shuffle_times(&checkout.root, &mut (index + 1));
        let umask = ["022", "077", "002", "000"][usize::try_from(index % 4).unwrap()];
        let output = Command::new("sh")
            .args(["-c", &format!("umask {umask}; exec \"$0\" package"), env!("CARGO_BIN_EXE_xtask")])
            .current_dir("/")
            .env("CARGO_MANIFEST_DIR", checkout.path("xtask"))
            .env_remove("SOURCE_DATE_EPOCH")
            .env("TZ", ["UTC", "Asia/Tokyo", "America/St_Johns", ""][usize::try_from(index % 4).unwrap()])
            .env("LANG", ["C", "de_DE.UTF-8", "tr_TR.UTF-8"][usize::try_from(index % 3).unwrap()])
            .env("LC_ALL", ["C", "de_DE.UTF-8", "tr_TR.UTF-8"][usize::try_from(index % 3).unwrap()])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        *archives.entry(checkout.archive()).or_insert(0) += 1;
    }
    assert_eq!(archives.into_values().collect::<Vec<_>>(), [20]);
}

/// Sets every file's time to another one, the same for the same seed.
fn shuffle_times(folder: &Path, seed: &mut u64) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            shuffle_times(&path, seed);
        } else {
            *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(*seed >> 34);
            fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        }
    }
}

#[test]
fn the_time_of_the_files_can_be_set() {
    let checkout = Checkout::new("epoch", "checkout");
    checkout.package();
    let plain = checkout.archive();
    let chart = checkout.outputs();
    let output = checkout.command().arg("package").env("SOURCE_DATE_EPOCH", "1000000000").output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_ne!(checkout.archive(), plain);
    // The committed files do not follow it, or a rebuild would make them stale.
    let after = checkout.outputs();
    assert!(
        chart
            .iter()
            .filter(|(path, _)| path.starts_with(checkout.path("chart")))
            .all(|(path, bytes)| after[path] == *bytes)
    );
    let output = checkout.command().arg("package").env("SOURCE_DATE_EPOCH", "soon").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).starts_with("error: SOURCE_DATE_EPOCH is `soon`"), "{}", stderr(&output));
}

#[test]
fn a_killed_command_leaves_whole_files_and_the_next_one_completes() {
    let checkout = Checkout::new("killed", "checkout");
    checkout.package();
    let old = checkout.outputs();
    checkout.edit("alerts/queue.yaml", |text| text.replacen("> 1000 ", "> 2000 ", 1));
    checkout.edit("alerts/tests/queue.yaml", |text| text.replace("1200x60", "2200x60").replace("1.2k", "2.2k"));
    let reference = Checkout::new("killed-reference", "checkout");
    for part in ["alerts/queue.yaml", "alerts/tests/queue.yaml"] {
        fs::copy(checkout.path(part), reference.path(part)).unwrap();
    }
    reference.package();
    let new = reference.outputs();
    let relative = |path: &Path, root: &Path| path.strip_prefix(root).unwrap().to_owned();
    let new: BTreeMap<PathBuf, Vec<u8>> = new.iter().map(|(p, b)| (relative(p, &reference.root), b.clone())).collect();
    for delay in (0..120).step_by(3) {
        for (path, bytes) in &old {
            fs::write(path, bytes).unwrap();
        }
        let mut child = checkout.command().arg("package").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(delay));
        let _ = child.kill();
        child.wait().unwrap();
        for (path, bytes) in checkout.outputs() {
            let is_temporary = path.file_name().unwrap().to_string_lossy().ends_with(".tmp");
            let name = relative(&path, &checkout.root);
            assert!(
                is_temporary || old.get(&path) == Some(&bytes) || new.get(&name) == Some(&bytes),
                "{} after {delay} ms",
                name.display()
            );
        }
    }
    checkout.package();
    let left: BTreeMap<PathBuf, Vec<u8>> =
        checkout.outputs().iter().map(|(p, b)| (relative(p, &checkout.root), b.clone())).collect();
    assert_eq!(left.keys().collect::<Vec<_>>(), new.keys().collect::<Vec<_>>(), "nothing is left behind");
    assert_eq!(left, new);
}

#[test]
fn stale_files_are_named_with_their_first_difference() {
    let checkout = Checkout::new("stale", "checkout");
    checkout.package();
    assert!(checkout.run(&["assemble", "--check"]).status.success());
    checkout.edit("chart/values.yaml", |text| text.replacen("layout: auto", "layout: kustomize", 1));
    fs::remove_file(checkout.path("chart/Chart.lock")).unwrap();
    fs::write(checkout.path("chart/files/rules/old.yaml"), "groups: []\n").unwrap();
    let output = checkout.run(&["assemble", "--check"]);
    let errors = stderr(&output);
    assert_eq!(output.status.code(), Some(1));
    for expected in [
        "chart/Chart.lock:1: error: file/stale: the file is missing",
        "chart/files/rules/old.yaml:1: error: file/stale: no source makes this file",
        "chart/values.yaml:5: error: file/stale: stale: the line is `  layout: kustomize`, the sources give `  layout: auto`\n  help: run `cargo xtask assemble`",
        "3 errors",
    ] {
        assert!(errors.contains(expected), "{expected}\n{errors}");
    }
    assert!(checkout.run(&["assemble"]).status.success());
    assert!(checkout.run(&["assemble", "--check"]).status.success());
}

#[test]
fn editions_that_cannot_be_built_are_a_warning_or_with_require_all_an_error() {
    let checkout = Checkout::new("editions", "checkout");
    let output = checkout.run(&["package"]);
    assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("full   not built: "));
    for arguments in [&["package", "--require-all"][..], &["package", "--edition", "full"]] {
        let output = checkout.run(arguments);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).starts_with("error: the full edition cannot be built: "), "{}", stderr(&output));
    }
    assert!(checkout.run(&["package", "--edition", "addon", "--require-all"]).status.success());
    assert_eq!(checkout.run(&["package", "--edition", "half"]).status.code(), Some(2), "bad usage");
}

#[test]
fn what_an_earlier_run_built_is_taken_away() {
    let checkout = Checkout::new("version", "checkout");
    checkout.package();
    fs::write(checkout.path("dist/mine.txt"), "not ours\n").unwrap();
    checkout.edit("chart/Chart.yaml", |text| text.replacen("version: 0.1.0", "version: 0.1.1", 1));
    checkout.package();
    let mut names: Vec<String> =
        fs::read_dir(checkout.path("dist")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let archive = "gorax-monitoring-addon-0.1.1.tgz";
    assert_eq!(names, ["SHA256SUMS", archive, &format!("{archive}.contents.sha256"), "mine.txt"]);
}
