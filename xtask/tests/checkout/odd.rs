//! `publish` and `verify` against registries that are right and unusual, beside others' things, and on a disk that is not
//! written to.

use std::fs;
use std::process::Output;

use helmpack::oci;
use serde_json::{Value, json};

use crate::copy::{Checkout, stderr};
use crate::publish::{REPOSITORY, TAG, checkout, fails, publish, succeeds};
use crate::registry::{Place, Registry, State};

fn verify(checkout: &Checkout, registry: &Registry) -> Output {
    let reference = format!("oci://{}/{REPOSITORY}:{}", registry.host, *TAG);
    let mut command = checkout.command();
    command.args(["verify", &reference, "--plain-http", "--retries", "0"]);
    command.env("HELM_REGISTRY_CONFIG", "none").env("DOCKER_CONFIG", "none").output().unwrap()
}

fn store(registry: &Registry, manifest: &Value) -> String {
    let bytes = manifest.to_string().into_bytes();
    let digest = oci::digest(&bytes);
    registry.state().manifests.insert((REPOSITORY.to_owned(), digest.clone()), bytes);
    digest
}

fn sent(registry: &Registry) -> Vec<String> {
    let requests = registry.take_requests().into_iter();
    requests.filter(|request| request.starts_with("PUT") || request.starts_with("POST")).collect()
}

#[test]
fn whatever_is_under_the_tag_is_never_replaced() {
    let checkout = checkout("publish-other-types");
    for kind in [
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.oci.image.index.v1+json",
    ] {
        let registry = Registry::start(State::default());
        let digest = store(&registry, &json!({"schemaVersion": 2, "mediaType": kind, "manifests": []}));
        registry.state().tags.insert((REPOSITORY.to_owned(), TAG.clone()), digest.clone());
        fails(&publish(&checkout, &registry, &[]), &format!("it is no chart at all: there {digest}"));
        assert!(sent(&registry).is_empty());
    }
}

#[test]
fn a_list_of_referrers_is_read_to_its_last_page() {
    let checkout = checkout("publish-pages");
    let registry = Registry::start(State { referrers: true, page: Some(1), ..State::default() });
    succeeds(&publish(&checkout, &registry, &[]));
    assert!(!sent(&registry).is_empty());
    succeeds(&publish(&checkout, &registry, &[]));
    assert!(sent(&registry).is_empty());
    succeeds(&verify(&checkout, &registry));
}

#[test]
fn what_others_attach_is_theirs_and_ours_is_still_proved() {
    let checkout = checkout("publish-others");
    let registry = Registry::start(State { referrers: true, ..State::default() });
    succeeds(&publish(&checkout, &registry, &[]));
    let digest = registry.state().tags[&(REPOSITORY.to_owned(), TAG.clone())].clone();
    let subject = json!({"mediaType": oci::MANIFEST, "digest": digest, "size": 1});
    let config = json!({"mediaType": "application/vnd.oci.empty.v1+json", "digest": oci::digest(b"{}"), "size": 2});
    let sbom = "application/vnd.cyclonedx+json";
    let attached = |kind: &str, mut manifest: Value| {
        manifest["schemaVersion"] = json!(2);
        manifest["mediaType"] = json!(kind);
        manifest["artifactType"] = json!(sbom);
        manifest["subject"] = subject.clone();
        manifest
    };
    let mut layer = json!({"mediaType": sbom, "digest": oci::digest(b"{}"), "size": 2});
    let others = [
        attached(oci::INDEX, json!({"manifests": []})),
        attached(oci::MANIFEST, json!({"config": config, "layers": [layer]})),
        attached(oci::MANIFEST, json!({"config": config, "layers": []})),
    ];
    let ours = registry.state().manifests.clone();
    others.iter().for_each(|other| drop(store(&registry, other)));
    succeeds(&verify(&checkout, &registry));
    registry.take_requests();
    succeeds(&publish(&checkout, &registry, &[]));
    assert!(sent(&registry).is_empty());
    for (key, bytes) in ours {
        let mut flipped = bytes.clone();
        flipped[bytes.len() / 2] ^= 1;
        registry.state().manifests.insert(key.clone(), flipped);
        assert!(!verify(&checkout, &registry).status.success(), "manifest {}", key.1);
        registry.state().manifests.insert(key, bytes);
    }
    // Under our name, and not what we write.
    let title = format!("gorax-monitoring-addon-{}.tgz.cdx.json", *TAG);
    registry.state().manifests.retain(|_, bytes| !String::from_utf8_lossy(bytes).contains(&title));
    layer["annotations"] = json!({"org.opencontainers.image.title": title});
    store(&registry, &attached(oci::MANIFEST, json!({"config": config, "layers": [layer]})));
    let output = verify(&checkout, &registry);
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(printed.contains("0 files of the type application/vnd.cyclonedx+json"), "{printed}");
    assert!(printed.contains(".cdx.json is attached as sha256:"), "{printed}");
}

#[test]
fn a_server_without_head_is_asked_for_the_bytes() {
    let checkout = checkout("publish-no-head");
    // It knows no HEAD, or says of everything that it has no bytes.
    for status in [405, 200] {
        let registry = Registry::start(State::default());
        registry.state().scripted.insert("HEAD".to_owned(), (status, String::new()));
        succeeds(&publish(&checkout, &registry, &[]));
        assert!(!sent(&registry).is_empty());
        succeeds(&publish(&checkout, &registry, &[]));
        assert!(sent(&registry).is_empty(), "{status}");
    }
}

#[test]
fn an_uploads_address_shows_nowhere() {
    let checkout = checkout("publish-upload-address");
    for (place, status) in
        [("/s3cr3t?s3cr3t", 400), ("http://u:s3cr3t@HOST/s3cr3t", 400), ("ftp://u:s3cr3t@HOST/s3cr3t", 201)]
    {
        let registry = Registry::start(State { place: Place::Relative, ..State::default() });
        let place = place.replace("HOST", &registry.host);
        registry
            .state()
            .scripted
            .extend([("POST".to_owned(), (202, place)), ("PUT".to_owned(), (status, String::new()))]);
        let output = publish(&checkout, &registry, &["--retries", "0"]);
        fails(&output, "sending a blob to oci://");
        assert!(!stderr(&output).contains("s3cr3t"), "{}", stderr(&output));
    }
}

#[test]
fn who_cannot_write_the_receipt_publishes_nothing() {
    let checkout = checkout("publish-read-only");
    let registry = Registry::start(State::default());
    // Where a file is to be written stands a folder.
    for path in ["dist/.publish.json.tmp", "target/xtask.lock"] {
        let _ = fs::remove_file(checkout.path(path));
        fs::create_dir_all(checkout.path(path)).unwrap();
        fails(&publish(&checkout, &registry, &[]), "Is a directory");
        assert!(sent(&registry).is_empty(), "{path}");
        fs::remove_dir(checkout.path(path)).unwrap();
    }
    succeeds(&publish(&checkout, &registry, &[]));
}

#[test]
fn the_receipt_of_one_edition_keeps_that_of_the_other() {
    let checkout = Checkout::new("publish-editions", "checkout");
    checkout.vendor_stand_in();
    checkout.commit();
    checkout.package();
    let registry = Registry::start(State::default());
    let editions = || {
        let receipt: Value = serde_json::from_slice(&fs::read(checkout.path("dist/publish.json")).unwrap()).unwrap();
        receipt.as_object().unwrap().keys().cloned().collect::<Vec<_>>()
    };
    succeeds(&publish(&checkout, &registry, &["--edition", "addon"]));
    assert_eq!(editions(), ["addon"]);
    succeeds(&publish(&checkout, &registry, &["--edition", "full"]));
    assert_eq!(editions(), ["full", "addon"]);
    let both = fs::read(checkout.path("dist/publish.json")).unwrap();
    succeeds(&publish(&checkout, &registry, &[]));
    assert_eq!(fs::read(checkout.path("dist/publish.json")).unwrap(), both);
    // What is there of another archive is no receipt any more.
    let output = checkout.command().arg("package").env("SOURCE_DATE_EPOCH", "1700000000").output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let other = Registry::start(State::default());
    succeeds(&publish(&checkout, &other, &["--edition", "addon"]));
    assert_eq!(editions(), ["addon"]);
}
