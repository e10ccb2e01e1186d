//! `cargo xtask release`: one commit, or nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::copy::{Checkout, stderr};

/// A repository in which something is unreleased.
fn unreleased(name: &str) -> Checkout {
    let checkout = Checkout::new(name, "checkout");
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("README.md");
    fs::copy(readme, checkout.path("README.md")).unwrap();
    let log =
        format!("# Changelog\n\n## [Unreleased]\n\n- New.\n\n## [{}] - 2026-01-01\n\n- Old.\n", checkout.version());
    fs::write(checkout.path("CHANGELOG.md"), log).unwrap();
    assert!(checkout.run(&["assemble"]).status.success());
    checkout.commit();
    checkout
}

#[test]
fn a_release_is_one_commit_from_which_the_version_is_packed() {
    let checkout = unreleased("released");
    let output = checkout.as_tester(&["release", "99.0.0", "--date", "2026-02-01"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(checkout.git(&["log", "--format=%s"]), "Release 99.0.0\nAll\n");
    assert_eq!(checkout.git(&["status", "--porcelain"]), "");
    let changed = checkout.git(&["diff", "--name-only", "HEAD~1"]);
    assert_eq!(changed, "CHANGELOG.md\nREADME.md\nchart/Chart.lock\nchart/Chart.yaml\nchart/README.md\n");
    assert!(checkout.run(&["assemble", "--check"]).status.success());
    checkout.package();
    assert!(checkout.run(&["verify", "--rebuild"]).status.success());
    assert!(checkout.path("dist/gorax-monitoring-addon-99.0.0.tgz").exists());
    let index = fs::read_to_string(checkout.path("dist/index.yaml")).unwrap();
    assert!(index.contains("created: \"2026-02-01T00:00:00Z\""), "{index}");
}

#[test]
fn a_release_that_cannot_be_changes_nothing() {
    let checkout = unreleased("unreleasable");
    let refused = |arguments: &[&str], code: i32, expected: &str| {
        let (status, files) = (checkout.git(&["status", "--porcelain"]), checkout.outputs());
        let output = checkout.as_tester(arguments);
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
        assert!(stderr(&output).contains(expected), "{}", stderr(&output));
        assert_eq!(checkout.git(&["log", "--format=%s"]), "All\n");
        assert_eq!((checkout.git(&["status", "--porcelain"]), checkout.outputs()), (status, files), "{arguments:?}");
    };
    refused(&["release", "one"], 2, "`one` is not a semantic version");
    refused(&["release", "99.0.0", "--date", "soon"], 2, "--date `soon` is not a date");
    refused(&["release", &checkout.version()], 1, "is not above");
    refused(&["release", "99.0.0", "--date", "2025-12-31"], 1, "2025-12-31 is before 2026-01-01");
    let hook = checkout.path(".git/hooks/pre-commit");
    fs::create_dir_all(hook.parent().unwrap()).unwrap();
    fs::write(&hook, "#!/bin/sh\nexit 1\n").unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    refused(&["release", "99.0.0", "--date", "2026-02-01"], 1, "every file is as it was");
    fs::write(checkout.path("mine.txt"), "mine\n").unwrap();
    refused(&["release", "99.0.0"], 1, "there are changes that no commit has");
}

#[test]
fn a_release_that_was_killed_is_taken_back_as_the_next_one_says() {
    let checkout = unreleased("half-released");
    let release = || checkout.as_tester(&["release", "99.0.0", "--date", "2026-02-01"]);
    assert!(release().status.success());
    let written = checkout.git(&["diff", "--name-only", "HEAD~1"]);
    let written: Vec<(&str, Vec<u8>)> =
        written.lines().map(|path| (path, fs::read(checkout.path(path)).unwrap())).collect();
    for renamed in 1..=written.len() {
        checkout.git(&["reset", "--hard", "--quiet", "HEAD~1"]);
        for (path, bytes) in &written[..renamed] {
            fs::write(checkout.path(path), bytes).unwrap();
        }
        let names: Vec<&str> = written[..renamed].iter().map(|(path, _)| *path).collect();
        let restore = ["restore", "--staged", "--worktree"].into_iter().chain(names).collect::<Vec<_>>();
        let refused = release();
        let expected = format!(
            "the release of 99.0.0 was begun and has no commit; take back what is written of it with `git {}`",
            restore.join(" ")
        );
        assert!(stderr(&refused).contains(&expected), "{}", stderr(&refused));
        checkout.git(&restore);
        assert!(release().status.success(), "after {renamed}");
    }
}
