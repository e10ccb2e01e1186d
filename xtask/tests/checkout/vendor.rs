//! `vendor`: from a repository, a registry or a file; refusals that leave everything as it was.

use std::fs;

use helmpack::checksum::sha256;

use crate::copy::{Checkout, stand_in, stderr};
use crate::server::{Answer, Server};

const ARCHIVE: &str = "chart/charts/kube-prometheus-stack-88.5.3.tgz";

/// A copy whose dependency comes from `repository` and is pinned to the stand-in.
fn checkout(name: &str, repository: &str) -> Checkout {
    let checkout = Checkout::new(name, "checkout");
    checkout.edit("chart/Chart.yaml", |text| {
        text.replace("https://prometheus-community.github.io/helm-charts", repository)
    });
    let pin = format!("{}  charts/kube-prometheus-stack-88.5.3.tgz\n", sha256(&stand_in("88.5.3")));
    fs::write(checkout.path("chart/dependencies.sha256"), pin).unwrap();
    checkout
}

fn index(digest: &str) -> Answer {
    Answer::ok(format!(
        "apiVersion: v1\nentries:\n  kube-prometheus-stack:\n    - version: 88.5.3\n      urls: [files/stack.tgz]\n      digest: \"{digest}\"\n"
    ))
}

fn repository(index_answers: &[Answer], archive_answers: &[Answer]) -> Server {
    let server = Server::start();
    server.answer("/charts/index.yaml", index_answers);
    server.answer("/charts/files/stack.tgz", archive_answers);
    server
}

#[test]
fn a_dependency_comes_from_its_repository_once_and_then_from_the_cache() {
    let archive = stand_in("88.5.3");
    let server = repository(&[index(&sha256(&archive))], &[Answer::ok(archive.clone())]);
    let checkout = checkout("vendor-fetch", &format!("{}/charts/", server.url));
    let output = checkout.run(&["vendor"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(fs::read(checkout.path(ARCHIVE)).unwrap(), archive);
    assert_eq!(fs::read(checkout.cache().join(format!("{}.tgz", sha256(&archive)))).unwrap(), archive);
    assert_eq!(server.requested(), ["/charts/index.yaml", "/charts/files/stack.tgz"]);
    fs::remove_file(checkout.path(ARCHIVE)).unwrap();
    assert!(checkout.run(&["vendor"]).status.success());
    assert_eq!(server.requested().len(), 2, "the second run asks nobody");
    // Package needs no vendor where the cache has it.
    fs::remove_file(checkout.path(ARCHIVE)).unwrap();
    checkout.package();
    let full = checkout.full();
    let (_, files) = helmpack::archive::unpack(&full).unwrap();
    assert_eq!(files["charts/kube-prometheus-stack-88.5.3.tgz"], archive, "it travels unchanged");
    assert_eq!(files["Chart.yaml"], fs::read(checkout.path("chart/Chart.yaml")).unwrap());
}

#[test]
fn trouble_on_the_way_is_tried_again() {
    let archive = stand_in("88.5.3");
    let cut = Answer { cut: Some(1000), ..Answer::ok(archive.clone()) };
    let server = repository(&[Answer::status(503), index(&sha256(&archive))], &[cut, Answer::ok(archive.clone())]);
    let checkout = checkout("vendor-retry", &format!("{}/charts", server.url));
    let output = checkout.run(&["vendor"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("the server answers 503") && stderr(&output).contains("trying again in 0.5 s"));
    assert_eq!(fs::read(checkout.path(ARCHIVE)).unwrap(), archive);
}

#[test]
fn an_oci_registry_is_asked_for_the_pinned_blob() {
    let archive = stand_in("88.5.3");
    let server = Server::start();
    let blob = format!("/v2/charts/kube-prometheus-stack/blobs/sha256:{}", sha256(&archive));
    let scope = "repository:charts/kube-prometheus-stack:pull";
    let challenge = format!("Bearer realm=\"{}/token\",service=\"reg\",scope=\"{scope}\"", server.url);
    let unauthorized = Answer { headers: vec![("www-authenticate", challenge)], ..Answer::status(401) };
    server.answer(&blob, &[unauthorized, Answer::ok(archive.clone())]);
    server.answer("/token", &[Answer::ok("{\"token\": \"abc\"}")]);
    let host = server.url.trim_start_matches("http://");
    let checkout = checkout("vendor-oci", &format!("oci://{host}/charts"));
    let output = checkout.run(&["vendor"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(fs::read(checkout.path(ARCHIVE)).unwrap(), archive);
    let requests = server.requests.lock().unwrap().clone();
    assert!(requests[1].0.starts_with("/token?service=reg&scope=repository"), "{requests:?}");
    assert_eq!(requests[2].1, "bearer abc");
}

#[test]
fn a_download_that_fails_says_why_and_keeps_nothing() {
    let archive = stand_in("88.5.3");
    let (right, other) = (sha256(&archive), stand_in("88.5.4"));
    let unreachable = "http://127.0.0.1:9/charts".to_owned();
    let cases = [
        ("no index", Some((vec![Answer::status(404)], vec![])), "index.yaml: the server answers 404"),
        (
            "no version",
            Some((vec![Answer::ok("entries: {}")], vec![])),
            "the repository has no chart kube-prometheus-stack",
        ),
        ("no archive", Some((vec![index(&right)], vec![Answer::status(404)])), "stack.tgz: the server answers 404"),
        ("another listed", Some((vec![index("ab")], vec![])), "its sha256 is ab, the pin is"),
        ("another sent", Some((vec![index(&right)], vec![Answer::ok(other)])), "nothing of it is kept"),
        ("unreachable", None, "failed 4 times"),
    ];
    for (number, (name, answers, expected)) in cases.into_iter().enumerate() {
        let server = answers.map(|(index, archive)| {
            let none = vec![Answer::status(404)];
            repository(&index, if archive.is_empty() { &none } else { &archive })
        });
        let url = server.as_ref().map_or(unreachable.clone(), |server| format!("{}/charts", server.url));
        let checkout = checkout(&format!("vendor-fails-{number}"), &url);
        let before = checkout.outputs();
        let output = checkout.run(&["vendor"]);
        let errors = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{name}");
        assert!(errors.contains("error: ") && errors.contains(expected), "{name}: {errors}");
        assert_eq!(checkout.outputs(), before, "{name} left something behind");
    }
}

/// An archive with one more entry than the stand-in has, written as it is.
fn with_entry(path: &str, kind: tar::EntryType) -> Vec<u8> {
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    let mut append = |path: &str, kind: tar::EntryType, bytes: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(kind);
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        tar.append(&header, bytes).unwrap();
    };
    let chart = b"name: kube-prometheus-stack\nversion: 88.5.3\n";
    append("kube-prometheus-stack/Chart.yaml", tar::EntryType::Regular, chart);
    append(path, kind, b"");
    tar.into_inner().unwrap().finish().unwrap()
}

#[test]
fn an_archive_that_is_no_such_chart_is_refused() {
    let whole = stand_in("88.5.3");
    let renamed = {
        let (root, mut files) = helmpack::archive::unpack(&whole).unwrap();
        files.insert("Chart.yaml".into(), b"name: other\nversion: 88.5.3\n".to_vec());
        helmpack::archive::pack(&root, &files, 0).unwrap()
    };
    let cases = [
        ("truncated", whole[..whole.len() / 2].to_vec(), "the archive is refused"),
        ("not an archive", b"<html>".to_vec(), "the archive is refused"),
        ("another version", stand_in("88.5.4"), "the archive is kube-prometheus-stack 88.5.4, wanted is"),
        ("another chart", renamed, "the archive is other 88.5.3"),
        ("a climbing path", with_entry("kube-prometheus-stack/../x", tar::EntryType::Regular), "not a safe path"),
        ("an absolute path", with_entry("/x", tar::EntryType::Regular), "not a safe path"),
        ("a link", with_entry("kube-prometheus-stack/link", tar::EntryType::Symlink), "not a regular file"),
        (
            "another digest",
            with_entry("kube-prometheus-stack/x", tar::EntryType::Regular),
            "--pin makes it the pinned one",
        ),
    ];
    for (number, (name, bytes, expected)) in cases.into_iter().enumerate() {
        let checkout = checkout(&format!("vendor-refuses-{number}"), "https://example.invalid");
        checkout.package();
        let path = checkout.path("archive.tgz");
        fs::write(&path, &bytes).unwrap();
        let before = checkout.outputs();
        let allowed = ["vendor", "--from", path.to_str().unwrap(), "--allow-unpinned"];
        let arguments = if name == "another digest" { &allowed[..3] } else { &allowed[..] };
        let output = checkout.run(arguments);
        assert_eq!(output.status.code(), Some(1), "{name}");
        assert!(stderr(&output).contains(expected), "{name}: {}", stderr(&output));
        assert_eq!(checkout.outputs(), before, "{name} left something behind");
    }
}

#[test]
fn an_archive_that_is_not_the_pinned_one_is_marked_in_what_is_built() {
    let checkout = Checkout::new("vendor-unpinned", "checkout");
    let path = checkout.path("archive.tgz");
    fs::write(&path, stand_in("88.5.3")).unwrap();
    let from = ["vendor", "--from", path.to_str().unwrap(), "--allow-unpinned"];
    assert!(checkout.run(&from).status.success());
    checkout.package();
    let full = checkout.full();
    let (_, files) = helmpack::archive::unpack(&full).unwrap();
    let chart = String::from_utf8(files["Chart.yaml"].clone()).unwrap();
    assert!(chart.contains("gorax-monitoring/unpinned-dependencies: kube-prometheus-stack 88.5.3"), "{chart}");
    let record = fs::read_to_string(checkout.path("dist/package.json")).unwrap();
    assert!(record.contains("\"pinned\": false"), "{record}");
    // Pinned, the same archive is not marked any more.
    checkout.vendor_stand_in();
    checkout.package();
    assert!(fs::read_to_string(checkout.path("dist/package.json")).unwrap().contains("\"pinned\": true"));
    assert!(!checkout.path("chart/charts/.unpinned.sha256").exists());
}

#[test]
fn a_vendored_archive_that_was_changed_since_is_refused() {
    let checkout = Checkout::new("vendor-tampered", "checkout");
    checkout.vendor_stand_in();
    let mut bytes = fs::read(checkout.path(ARCHIVE)).unwrap();
    bytes[20] ^= 1;
    fs::write(checkout.path(ARCHIVE), bytes).unwrap();
    let output = checkout.run(&["package"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("is not the pinned archive: its sha256 is"), "{}", stderr(&output));
    // A broken file in the cache is no archive at all.
    fs::remove_file(checkout.path(ARCHIVE)).unwrap();
    for entry in fs::read_dir(checkout.cache()).unwrap() {
        fs::write(entry.unwrap().path(), "broken").unwrap();
    }
    let output = checkout.run(&["package"]);
    assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("full   not built"));
}

#[test]
fn the_usual_variables_name_the_proxy() {
    let archive = stand_in("88.5.3");
    let proxy = Server::start();
    proxy.answer("/charts/index.yaml", &[index(&sha256(&archive))]);
    proxy.answer("/charts/files/stack.tgz", &[Answer::ok(archive)]);
    let checkout = checkout("vendor-proxy", "http://charts.example.invalid/charts");
    let output =
        checkout.command().arg("vendor").env("HTTP_PROXY", &proxy.url).env_remove("NO_PROXY").output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(proxy.requested()[0], "CONNECT charts.example.invalid:80");
}
