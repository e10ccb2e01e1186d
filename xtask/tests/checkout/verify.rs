//! `cargo xtask verify`: what was packed is taken, and one flipped byte anywhere in dist/ is found, and where.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::copy::{Checkout, stderr};
use crate::publish;
use crate::registry::{Registry, State};

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A checkout with both editions packed.
fn packed(name: &str) -> Checkout {
    let checkout = Checkout::new(name, "checkout");
    checkout.vendor_stand_in();
    checkout.package();
    checkout
}

/// The files of dist/ by their paths in it.
fn dist(checkout: &Checkout) -> Vec<(String, PathBuf)> {
    let folder = checkout.path("dist");
    let below = checkout.outputs().into_keys().filter(|path| path.starts_with(&folder));
    below.map(|path| (path.strip_prefix(&folder).unwrap().to_str().unwrap().to_owned(), path.clone())).collect()
}

#[test]
fn what_was_packed_is_taken_as_a_folder_and_each_archive_by_itself() {
    let checkout = packed("verified");
    let output = checkout.run(&["verify"]);
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
    assert!(stdout(&output).contains(" files as packed\n"), "{}", stdout(&output));
    for (name, path) in dist(&checkout).into_iter().filter(|(name, _)| name.ends_with(".tgz")) {
        let output = checkout.run(&["verify", path.to_str().unwrap()]);
        assert!(output.status.success(), "{name}: {}", stdout(&output));
        let alone = checkout.path("alone").join(&name);
        fs::create_dir_all(alone.parent().unwrap()).unwrap();
        fs::copy(&path, &alone).unwrap();
        assert!(checkout.run(&["verify", alone.to_str().unwrap()]).status.success(), "{name} alone");
    }
    assert_eq!(checkout.run(&["verify", "nowhere"]).status.code(), Some(2), "bad usage");
}

/// Of every file the beginning, the end and places between; of an archive every byte of the gzip header.
#[test]
fn one_flipped_byte_in_any_file_is_found_and_its_file_named() {
    let checkout = packed("flipped");
    for (name, path) in dist(&checkout) {
        let whole = fs::read(&path).unwrap();
        let header = if name.ends_with(".tgz") { 10 } else { 1 };
        let between = (header..whole.len()).step_by(whole.len().div_ceil(6));
        for at in (0..header).chain(between).chain([whole.len() - 1]) {
            let mut broken = whole.clone();
            broken[at] ^= 1;
            fs::write(&path, &broken).unwrap();
            let output = checkout.run(&["verify"]);
            let text = stdout(&output);
            // Where the list of checksums itself is broken, the file is named that it then lists wrongly.
            let named = text.lines().any(|line| line.starts_with(&format!("{name}: "))) || name == "SHA256SUMS";
            assert!(output.status.code() == Some(1) && named, "byte {at} of {name}\n{text}");
        }
        fs::write(&path, whole).unwrap();
    }
    assert!(checkout.run(&["verify"]).status.success());
}

#[test]
fn a_file_too_many_or_too_few_is_found() {
    let checkout = packed("strays");
    let says = |expected: &str| {
        let output = checkout.run(&["verify"]);
        let text = stdout(&output);
        assert!(output.status.code() == Some(1) && text.contains(expected), "{expected}\n{text}");
    };
    let stray = checkout.path("dist/profiles/mine.yaml");
    fs::write(&stray, "a: 1\n").unwrap();
    says("profiles/mine.yaml: SHA256SUMS does not list the file");
    says("profiles/mine.yaml: the file belongs to no archive here");
    fs::remove_file(&stray).unwrap();
    for (name, path) in dist(&checkout) {
        let bytes = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        says(&format!("{name}: the file is missing"));
        fs::write(&path, bytes).unwrap();
    }
}

#[test]
fn what_is_neither_file_nor_folder_is_refused_and_a_folder_never_passed_over() {
    let checkout = packed("kinds");
    let [stray, folder] = ["dist/profiles/stray", "dist/.a.tmp"].map(|path| checkout.path(path));
    let refused = |expected: &str| {
        for command in ["verify", "package"] {
            let output = checkout.run(&[command]);
            let text = stderr(&output);
            assert!(output.status.code() == Some(1) && text.contains(expected), "{command}: {text}");
        }
        fs::remove_file(&stray).unwrap();
    };
    assert!(Command::new("mkfifo").arg(&stray).status().unwrap().success());
    refused("dist/profiles/stray is neither a file nor a folder");
    for target in ["SHA256SUMS", "profiles", "nowhere"] {
        symlink(checkout.path("dist").join(target), &stray).unwrap();
        refused("dist/profiles/stray is a link");
    }
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("mine"), "").unwrap();
    let output = checkout.run(&["verify"]);
    assert!(stdout(&output).contains(".a.tmp/mine: SHA256SUMS does not list the file"), "{}", stdout(&output));
    fs::remove_dir_all(&folder).unwrap();
    fs::write(&folder, "what a killed command left").unwrap();
    assert!(checkout.run(&["verify"]).status.success());
}

/// Of what `publish` notes, all but the registry's name follows from the files.
#[test]
fn the_record_of_a_publication_is_about_these_archives_or_found_and_taken_away() {
    let checkout = publish::checkout("published");
    let registry = Registry::start(State::default());
    publish::succeeds(&publish::publish(&checkout, &registry, &[]));
    let path = checkout.path("dist/publish.json");
    let whole = fs::read_to_string(&path).unwrap();
    let verify = || checkout.run(&["verify"]);
    assert!(verify().status.success(), "{}", stdout(&verify()));
    checkout.package();
    assert_eq!(fs::read_to_string(&path).unwrap(), whole, "it is still about these archives");
    let repository = whole.find(&registry.host).unwrap()..whole.find("/gorax-monitoring-addon:").unwrap();
    for at in (0..whole.len()).filter(|at| !repository.contains(at)).step_by(41) {
        let mut broken = whole.clone().into_bytes();
        broken[at] ^= 1;
        fs::write(&path, broken).unwrap();
        let output = verify();
        assert!(
            output.status.code() == Some(1) && stdout(&output).starts_with("publish.json: "),
            "{at}: {}",
            stdout(&output)
        );
    }
    for (text, expected) in [("garbage", "it is no record of a publication"), ("{}\n", "it names no edition")] {
        fs::write(&path, text).unwrap();
        assert!(stdout(&verify()).starts_with(&format!("publish.json: {expected}")), "{}", stdout(&verify()));
    }
    fs::write(&path, whole).unwrap();
    checkout.edit("chart/templates/NOTES.txt", |text| text + "\n");
    checkout.package();
    assert!(!path.exists(), "what was published is another archive");
    assert!(verify().status.success());
}

/// Whoever makes the checksums anew as well is found out by what belongs together.
#[test]
fn a_change_that_is_checksummed_is_still_found() {
    let checkout = packed("consistent");
    for (name, from, to, expected) in [
        ("gorax-monitoring-0.1.0.tgz.images.txt", "docker.io/", "evil.io/", "images.txt: line"),
        ("gorax-monitoring-0.1.0.tgz.cdx.json", "docker.io", "evil.io", "cdx.json: line"),
        ("gorax-monitoring-0.1.0.tgz.contents.sha256", "  README.md", "  README.txt", "contents.sha256: line"),
        ("profiles/full/ha.yaml", "replicas: 2", "replicas: 1", "profiles/full/ha.yaml: line"),
        ("index.yaml", "name: gorax-monitoring\n", "name: another\n", "index.yaml: `name` of gorax-monitoring"),
        ("package.json", "\"sourceDateEpoch\": 1", "\"sourceDateEpoch\": 2", "package.json: the entries of"),
        ("package.json", "\"pinned\": true", "\"pinned\": false", "package.json: charts/kube-prometheus-stack"),
    ] {
        let path = checkout.path("dist").join(name.replace("0.1.0", &checkout.version()));
        let whole = fs::read_to_string(&path).unwrap();
        let changed = whole.replace(from, to);
        assert_ne!(whole, changed, "{name}");
        fs::write(&path, changed).unwrap();
        let sums = fs::read(checkout.path("dist/SHA256SUMS")).unwrap();
        sum_anew(&checkout.path("dist"));
        let output = checkout.run(&["verify"]);
        let text = stdout(&output);
        assert!(output.status.code() == Some(1) && text.contains(expected), "{name}: {text}");
        assert!(!text.contains("SHA256SUMS"), "{text}");
        fs::write(&path, whole).unwrap();
        fs::write(checkout.path("dist/SHA256SUMS"), sums).unwrap();
    }
}

fn sum_anew(dist: &Path) {
    let text = fs::read_to_string(dist.join("SHA256SUMS")).unwrap();
    let names: Vec<&str> = text.lines().map(|line| line.split_once("  ").unwrap().1).collect();
    let files: Vec<(&str, Vec<u8>)> = names.iter().map(|name| (*name, fs::read(dist.join(name)).unwrap())).collect();
    let sums = helmpack::checksum::sums(files.iter().map(|(name, bytes)| (*name, bytes.as_slice())));
    fs::write(dist.join("SHA256SUMS"), sums).unwrap();
}

/// Makes the copy a repository with one commit, and packs that.
fn committed(name: &str) -> Checkout {
    let checkout = Checkout::new(name, "checkout");
    checkout.vendor_stand_in();
    checkout.commit();
    checkout.package();
    checkout
}

#[test]
fn the_recorded_commit_gives_the_same_bytes_whatever_was_changed_since() {
    let checkout = committed("rebuilt");
    let output = checkout.run(&["verify", "--rebuild"]);
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
    checkout.edit("alerts/queue.yaml", |text| text.replacen("> 1000 ", "> 2000 ", 1));
    fs::remove_dir_all(checkout.path("chart/charts")).unwrap();
    fs::remove_dir_all(checkout.cache()).unwrap();
    let output = checkout.run(&["verify", "--rebuild"]);
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
    assert!(!checkout.path("target/rebuild").exists(), "what was exported is taken away");
    // Another time than the release's is rebuilt too.
    let packed = |epoch: &str| checkout.command().arg("package").env("SOURCE_DATE_EPOCH", epoch).output().unwrap();
    checkout.edit("alerts/queue.yaml", |text| text.replacen("> 2000 ", "> 1000 ", 1));
    assert!(packed("1000000000").status.success());
    assert!(checkout.run(&["verify", "--rebuild"]).status.success());
}

#[test]
fn an_archive_that_its_commit_does_not_give_is_found_with_the_entry() {
    let checkout = committed("forged");
    let path = checkout.path("dist").join(format!("gorax-monitoring-addon-{}.tgz", checkout.version()));
    // Well made in every respect, but from other sources: alone, nothing tells.
    let packed = helmpack::archive::verify(&fs::read(&path).unwrap()).unwrap();
    let mut files = packed.files;
    let rules = files.get_mut("files/rules/queue.yaml").unwrap();
    *rules = String::from_utf8(rules.clone()).unwrap().replacen("> 1000 ", "> 9000 ", 1).into_bytes();
    let forged = checkout.path("forged").join(path.file_name().unwrap());
    fs::create_dir_all(checkout.path("forged")).unwrap();
    fs::write(&forged, helmpack::archive::pack(&packed.root, &files, packed.mtime).unwrap()).unwrap();
    let archive = forged.to_str().unwrap();
    assert!(checkout.run(&["verify", archive]).status.success());
    checkout.copy("dist/package.json", "forged/package.json");
    let output = checkout.run(&["verify", "--rebuild", archive]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains(".tgz: files/rules/queue.yaml: line "), "{text}");
}

#[test]
fn what_no_commit_holds_cannot_be_rebuilt() {
    let checkout = committed("dirty");
    checkout.edit("alerts/queue.yaml", |text| text + "# more\n");
    checkout.package();
    let output = checkout.run(&["verify", "--rebuild"]);
    assert!(stderr(&output).starts_with("error: package.json records no commit that holds all"), "{}", stderr(&output));
}
