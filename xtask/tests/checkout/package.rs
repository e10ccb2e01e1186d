//! `package` and `assemble`: the same bytes wherever they run, whole files whenever they are killed.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use crate::copy::{Checkout, stderr};

#[test]
fn twenty_packages_in_varied_environments_are_one_archive() {
    let mut archives = BTreeMap::new();
    for index in 0..20_u64 {
        let depth = "some folder/ü".repeat(usize::try_from(index % 4).unwrap()) + &format!("copy-{index}");
        let checkout = Checkout::new(&format!("twenty-{index}"), &depth);
        checkout.vendor_stand_in();
        shuffle_times(&checkout.root, &mut (index + 1));
        let umask = ["022", "077", "002", "000"][usize::try_from(index % 4).unwrap()];
        let output = Command::new("sh")
            .args(["-c", &format!("umask {umask}; exec \"$0\" package"), env!("CARGO_BIN_EXE_xtask")])
            .current_dir("/")
            .env("CARGO_MANIFEST_DIR", checkout.path("xtask"))
            .env("GORAX_MONITORING_CACHE", checkout.cache())
            .env_remove("SOURCE_DATE_EPOCH")
            .env("TZ", ["UTC", "Asia/Tokyo", "America/St_Johns", ""][usize::try_from(index % 4).unwrap()])
            .env("LANG", ["C", "de_DE.UTF-8", "tr_TR.UTF-8"][usize::try_from(index % 3).unwrap()])
            .env("LC_ALL", ["C", "de_DE.UTF-8", "tr_TR.UTF-8"][usize::try_from(index % 3).unwrap()])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        let both = checkout.archives();
        assert_eq!(both.len(), 2, "the addon and the full edition");
        *archives.entry(both).or_insert(0) += 1;
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
    let plain = checkout.addon();
    let chart = checkout.outputs();
    let output = checkout.command().arg("package").env("SOURCE_DATE_EPOCH", "1000000000").output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_ne!(checkout.addon(), plain);
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
    checkout.edit("alerts/postgres.yaml", |text| text.replacen("[15m]))) > 5 ", "[15m]))) > 4 ", 1));
    let reference = Checkout::new("killed-reference", "checkout");
    fs::copy(checkout.path("alerts/postgres.yaml"), reference.path("alerts/postgres.yaml")).unwrap();
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
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success());
    assert!(text.contains("full   not built: ") && text.contains("`cargo xtask vendor --from PATH`"), "{text}");
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
    let version = format!("version: {}\n", checkout.version());
    checkout.edit("chart/Chart.yaml", |text| text.replacen(&version, "version: 99.0.0\n", 1));
    checkout.package();
    let mut names: Vec<String> =
        fs::read_dir(checkout.path("dist")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let archive = "gorax-monitoring-addon-99.0.0.tgz";
    let [bill, contents, images] =
        ["cdx.json", "contents.sha256", "images.txt"].map(|suffix| format!("{archive}.{suffix}"));
    assert_eq!(
        names,
        ["SHA256SUMS", archive, &bill, &contents, &images, "index.yaml", "mine.txt", "package.json", "profiles"]
    );
}

#[test]
fn an_index_keeps_what_it_lists_and_refuses_a_version_with_other_content() {
    let checkout = Checkout::new("index", "checkout");
    checkout.package();
    let index = || fs::read_to_string(checkout.path("dist/index.yaml")).unwrap();
    let merge = || checkout.run(&["package", "--index", checkout.path("index.yaml").to_str().unwrap()]);
    let older = index().replace(&format!("version: \"{}\"", checkout.version()), "version: \"0.0.1\"");
    fs::write(checkout.path("index.yaml"), &older).unwrap();
    assert!(merge().status.success());
    let versions = |text: &str| helmpack::index::parse(text).unwrap()["gorax-monitoring-addon"].len();
    assert_eq!((versions(&older), versions(&index())), (1, 2));
    assert!(checkout.run(&["verify"]).status.success(), "an index may list more than what is here");
    let whole = index();
    fs::write(checkout.path("index.yaml"), &whole).unwrap();
    checkout.edit("chart/templates/NOTES.txt", |text| text + "\n");
    let output = merge();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("a version that is out is never changed"), "{}", stderr(&output));
    assert_eq!(index(), whole, "nothing is written");
}

#[test]
fn a_signature_goes_when_its_archive_changes() {
    let checkout = Checkout::new("unsigned", "checkout");
    checkout.package();
    let prov = checkout.path(&format!("dist/gorax-monitoring-addon-{}.tgz.prov", checkout.version()));
    fs::write(&prov, "of another archive").unwrap();
    let output = checkout.run(&["verify"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains(".tgz.prov: it does not begin as a message"), "{text}");
    checkout.package();
    assert!(!prov.exists());
    assert!(checkout.run(&["verify"]).status.success());
}

/// Both have read the sources and wait; whichever writes last must see what the other one wrote.
#[test]
fn two_at_once_leave_the_folder_of_one() {
    let checkout = Checkout::new("two", "checkout");
    checkout.vendor_stand_in();
    for round in 0..2 {
        let lock = fs::File::create(checkout.path("target/xtask.lock")).unwrap();
        lock.lock().unwrap();
        let start = |arguments: &[&str]| {
            let mut command = checkout.command();
            command.arg("package").args(arguments).stdout(Stdio::null()).stderr(Stdio::piped());
            let mut child = command.spawn().unwrap();
            let mut line = String::new();
            BufReader::new(child.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
            assert!(line.starts_with("waiting for another"), "{line}");
            child
        };
        let children = [start(&["--require-all"]), start(&["--edition", "addon"])];
        drop(lock);
        for mut child in children {
            assert!(child.wait().unwrap().success());
        }
        let output = checkout.run(&["verify"]);
        assert!(output.status.success(), "{round}: {}", String::from_utf8_lossy(&output.stdout));
    }
}

/// Whatever somebody's own settings hide from `git status`, an archive with a source that no commit has is dirty.
#[test]
fn a_source_that_git_is_told_to_ignore_is_a_change_all_the_same() {
    let checkout = Checkout::new("ignored", "checkout");
    checkout.commit();
    let dirty = || {
        checkout.package();
        fs::read_to_string(checkout.path("dist/package.json")).unwrap().contains("\"dirty\": true")
    };
    assert!(!dirty());
    fs::write(checkout.path("chart/templates/extra.yaml"), "# mine\n").unwrap();
    assert!(dirty());
    checkout.git(&["config", "status.showUntrackedFiles", "no"]);
    assert!(dirty(), "not shown");
    fs::write(checkout.path(".git/info/exclude"), "extra.yaml\n").unwrap();
    assert!(dirty(), "excluded here");
    fs::write(checkout.path(".git/info/exclude"), "").unwrap();
    fs::write(checkout.path(".git/everywhere"), "extra.yaml\n.idea\n").unwrap();
    checkout.git(&["config", "core.excludesFile", checkout.path(".git/everywhere").to_str().unwrap()]);
    assert!(dirty(), "ignored everywhere");
    let output = checkout.as_tester(&["release", "99.0.0"]);
    assert!(stderr(&output).contains("changes that no commit has"), "{}", stderr(&output));
    fs::remove_file(checkout.path("chart/templates/extra.yaml")).unwrap();
    fs::write(checkout.path(".idea"), "").unwrap();
    assert!(!dirty(), "what is ignored and not packed is nobody's business");
}

#[test]
fn a_reader_that_goes_away_does_not_stop_the_work() {
    let checkout = Checkout::new("pipe", "checkout");
    let mut child = checkout.command().arg("package").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    drop(child.stderr.take());
    assert!(child.wait().unwrap().success());
    assert!(checkout.path("dist/SHA256SUMS").exists());
}
