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
