//! `publish` against a registry that breaks: what is left behind, who is told what, and that no secret shows.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Output};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use helmpack::oci::{self, referrer};

use crate::copy::{Checkout, stderr};
use crate::registry::{Fault, Place, Registry, State, When};

pub const REPOSITORY: &str = "charts/gorax-monitoring-addon";

/// The tag of what is published: the chart's version.
pub static TAG: LazyLock<String> = LazyLock::new(|| Checkout::new("publish-tag", "checkout").version());

/// How many pushes run at once; they mostly wait.
const AT_ONCE: usize = 8;

/// A copy with the addon edition in dist/, from a clean commit.
pub fn checkout(name: &str) -> Checkout {
    let checkout = Checkout::new(name, "checkout");
    checkout.commit();
    checkout.package();
    checkout
}

/// The command without any login of this machine.
pub fn command(checkout: &Checkout, host: &str, arguments: &[&str]) -> Command {
    let mut command = checkout.command();
    command.args(["publish", &format!("oci://{host}/charts"), "--no-rebuild"]);
    command.args(arguments).env("HELM_REGISTRY_CONFIG", "none").env("DOCKER_CONFIG", "none").env("NO_PROXY", "*");
    for variable in ["GORAX_MONITORING_REGISTRY_USERNAME", "GORAX_MONITORING_REGISTRY_PASSWORD", "GITHUB_REF_TYPE"] {
        command.env_remove(variable);
    }
    command
}

pub fn publish(checkout: &Checkout, registry: &Registry, arguments: &[&str]) -> Output {
    command(checkout, &registry.host, arguments).arg("--plain-http").output().unwrap()
}

#[track_caller]
pub fn succeeds(output: &Output) -> String {
    assert!(output.status.success(), "{}", stderr(output));
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[track_caller]
pub fn fails(output: &Output, expected: &str) {
    assert_eq!(output.status.code(), Some(1), "{expected}: {}", stderr(output));
    assert!(stderr(output).contains(expected), "{expected}: {}", stderr(output));
}

/// Does something for each item, several at once.
fn for_all<T: Sync>(items: &[T], work: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    work(item);
                }
            });
        }
    });
}

/// What a registry holds: blobs, manifests and tags.
type Content = (Vec<String>, Vec<(String, String)>, BTreeMap<(String, String), String>);

fn content(registry: &Registry) -> Content {
    let state = registry.state();
    (state.blobs.keys().cloned().collect(), state.manifests.keys().cloned().collect(), state.tags.clone())
}

/// What a whole push leaves, and its requests.
fn whole(checkout: &Checkout) -> (Content, Vec<String>) {
    let registry = Registry::start(State::default());
    succeeds(&publish(checkout, &registry, &[]));
    (content(&registry), registry.take_requests())
}

fn sends(request: &str) -> bool {
    request.starts_with("PUT") || request.starts_with("POST")
}

#[test]
fn wherever_a_push_breaks_the_tag_is_absent_or_right_and_a_second_one_completes() {
    let checkout = checkout("publish-cut");
    let (expected, requests) = whole(&checkout);
    let version = (REPOSITORY.to_owned(), checkout.version());
    assert!(expected.2.contains_key(&version) && requests.len() > 25, "{requests:#?}");
    let mut cuts = Vec::new();
    for (at, request) in (1..).zip(&requests) {
        cuts.extend([Fault::Unheard, Fault::Unanswered, Fault::HalfAnswered].map(|fault| (at, fault)));
        cuts.extend(request.starts_with("PUT").then_some((at, Fault::HalfRead)));
    }
    let (absent, right) = (AtomicUsize::new(0), AtomicUsize::new(0));
    for_all(&cuts, |&(at, fault)| {
        let registry = Registry::start(State { fault: Some((at, fault)), dies: true, ..State::default() });
        let what = format!("{fault:?} at request {at}, {}", requests[at - 1]);
        let output = publish(&checkout, &registry, &["--retries", "0"]);
        assert_eq!(output.status.code(), Some(1), "{what}: {}", stderr(&output));
        let left = content(&registry);
        match left.2.get(&version) {
            None => absent.fetch_add(1, Ordering::Relaxed),
            Some(_) => {
                assert_eq!(left, expected, "{what}: there is a tag, and something lacks");
                right.fetch_add(1, Ordering::Relaxed)
            }
        };
        registry.mend();
        succeeds(&publish(&checkout, &registry, &[]));
        assert_eq!(content(&registry), expected, "{what}: the second push");
    });
    let (absent, right) = (absent.into_inner(), right.into_inner());
    eprintln!("{} cuts: {absent} left no tag, {right} the right one; each second push completed", cuts.len());
    assert!(absent > 0 && right > 0);
}

#[test]
fn trouble_that_passes_is_sat_out() {
    let checkout = checkout("publish-retry");
    let (expected, requests) = whole(&checkout);
    let cuts = [Fault::Unheard, Fault::HalfRead, Fault::Unanswered, Fault::HalfAnswered];
    let mut faults = Vec::new();
    for at in 1..=requests.len() {
        faults.extend([(at, cuts[at % 4]), (at, Fault::Status(503, "0"))]);
    }
    faults.push((requests.len(), Fault::Status(429, "Sun, 06 Nov 1994 08:49:37 GMT")));
    for_all(&faults, |&(at, fault)| {
        let registry = Registry::start(State { fault: Some((at, fault)), ..State::default() });
        let output = publish(&checkout, &registry, &[]);
        assert!(output.status.success(), "{fault:?} at request {at}, {}: {}", requests[at - 1], stderr(&output));
        assert!(stderr(&output).contains("trying again in"), "{fault:?} at request {at}: nothing was said");
        assert_eq!(content(&registry), expected, "{fault:?} at request {at}");
    });
}

#[test]
fn what_is_there_is_not_sent_again_and_never_replaced() {
    let checkout = checkout("publish-twice");
    let registry = Registry::start(State::default());
    let dry = succeeds(&publish(&checkout, &registry, &["--dry-run"]));
    assert!(dry.contains("would send the archive") && dry.ends_with("Nothing was sent.\n"), "{dry}");
    assert!(!registry.take_requests().iter().any(|request| sends(request)));
    assert!(!checkout.path("dist/publish.json").exists());
    succeeds(&publish(&checkout, &registry, &[]));
    registry.take_requests();
    let (before, record) = (content(&registry), fs::read(checkout.path("dist/publish.json")).unwrap());
    let again = succeeds(&publish(&checkout, &registry, &[]));
    assert!(again.contains("all of it was there, nothing was sent"), "{again}");
    assert!(!registry.take_requests().iter().any(|request| sends(request)));
    assert_eq!(fs::read(checkout.path("dist/publish.json")).unwrap(), record);
    assert!(checkout.run(&["verify"]).status.success(), "publish.json is no stranger in dist/");
    // A blob or a manifest that the registry lost is sent again.
    let lost = registry.state().blobs.pop_last();
    succeeds(&publish(&checkout, &registry, &[]));
    assert_eq!(content(&registry), before, "{lost:?}");
    for key in &before.1 {
        let lost = registry.state().manifests.remove(key).unwrap();
        succeeds(&publish(&checkout, &registry, &[]));
        // A list is not the same again: it gets its entries one after the other.
        let is_list = referrer::entries(&lost).is_ok();
        assert!(is_list || content(&registry) == before, "{}", key.1);
        registry.state().manifests.insert(key.clone(), lost);
    }
    // The same version with other content.
    let output = checkout.command().arg("package").env("SOURCE_DATE_EPOCH", "1700000000").output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    registry.take_requests();
    let output = publish(&checkout, &registry, &[]);
    fails(&output, "published already, and it is another archive: there sha256:");
    let there = &before.2[&(REPOSITORY.to_owned(), checkout.version())];
    assert!(stderr(&output).contains(there) && stderr(&output).contains("release a new one"), "{}", stderr(&output));
    assert!(!registry.take_requests().iter().any(|request| sends(request)));
    assert_eq!(content(&registry), before);
}

#[test]
fn who_writes_the_same_tag_at_the_same_time_is_noticed() {
    let checkout = checkout("publish-race");
    let theirs = br#"{"schemaVersion":2,"config":{"mediaType":"c","digest":"d","size":1},"layers":[]}"#.to_vec();
    for (when, expected) in
        [(When::Before, "published already, and it is no chart at all"), (When::After, "wrote oci://")]
    {
        let registry = Registry::start(State { rival: Some((when, &TAG, theirs.clone())), ..State::default() });
        fails(&publish(&checkout, &registry, &[]), expected);
        assert!(!checkout.path("dist/publish.json").exists());
    }
}

#[test]
fn what_must_not_be_published_is_refused_before_anybody_is_asked() {
    let checkout = checkout("publish-refuse");
    let registry = Registry::start(State::default());
    let archive = &format!("dist/gorax-monitoring-addon-{}.tgz", *TAG);
    let bytes = fs::read(checkout.path(archive)).unwrap();
    let mut flipped = bytes.clone();
    flipped[1000] ^= 1;
    fs::write(checkout.path(archive), flipped).unwrap();
    fails(&publish(&checkout, &registry, &[]), "does not verify");
    fs::write(checkout.path(archive), bytes).unwrap();
    fails(&publish(&checkout, &registry, &["--edition", "full"]), "this edition was not packaged");
    checkout.git(&["tag", "v9.9.9"]);
    fails(&publish(&checkout, &registry, &[]), "v9.9.9");
    checkout.git(&["tag", "--delete", "v9.9.9"]);
    checkout.edit("values/base/gorax.yaml", |text| text + "# changed\n");
    checkout.package();
    fails(&publish(&checkout, &registry, &[]), "changes that no commit has");
    assert!(registry.take_requests().is_empty());
}

#[test]
fn plain_http_is_for_this_machine_only() {
    let checkout = checkout("publish-plain");
    let output = command(&checkout, "registry.example.org", &["--plain-http"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--plain-http is for registries on this machine"), "{}", stderr(&output));
}

#[test]
fn registries_differ_and_some_lie() {
    let checkout = checkout("publish-kinds");
    let (expected, _) = whole(&checkout);
    for place in [Place::Relative, Place::WithQuery] {
        let registry = Registry::start(State { place, ..State::default() });
        succeeds(&publish(&checkout, &registry, &[]));
        assert_eq!(content(&registry), expected, "{place:?}");
    }
    let forgetful = Registry::start(State { forgets: 1, ..State::default() });
    let output = publish(&checkout, &forgetful, &[]);
    succeeds(&output);
    assert!(stderr(&output).contains("lacks a blob that it had; sending all of them again"), "{}", stderr(&output));
    assert_eq!(content(&forgetful), expected);
    // The manifest's write is the first that names blobs, the second is the same one again.
    for (state, arguments, wanted) in [
        (State { forgets: 2, ..State::default() }, &[][..], "which it has just taken"),
        (State { place: Place::Missing, ..State::default() }, &[], "no Location"),
        (State { lies: true, ..State::default() }, &[], "the registry calls these bytes sha256:"),
        (
            State { fault: Some((3, Fault::Slow(3000))), ..State::default() },
            &["--timeout", "1", "--retries", "0"],
            "too slow: no whole answer within 1 s",
        ),
        (
            State { fault: Some((3, Fault::Status(429, "3600"))), ..State::default() },
            &[],
            "asks to be left alone for 3600 s",
        ),
    ] {
        let registry = Registry::start(state);
        fails(&publish(&checkout, &registry, arguments), wanted);
        assert!(!registry.state().tags.contains_key(&(REPOSITORY.to_owned(), TAG.clone())), "{wanted}");
    }
}

#[test]
fn referrers_are_listed_by_the_registry_or_in_its_place() {
    let checkout = checkout("publish-referrers");
    let (expected, _) = whole(&checkout);
    let modern = Registry::start(State { referrers: true, ..State::default() });
    succeeds(&publish(&checkout, &modern, &[]));
    assert_eq!(modern.state().tags.len(), 1, "it has no need of the list");
    modern.take_requests();
    succeeds(&publish(&checkout, &modern, &[]));
    assert!(!modern.take_requests().iter().any(|request| sends(request)));
    // What others have listed stays.
    let version = (REPOSITORY.to_owned(), checkout.version());
    let list = referrer::fallback_tag(&expected.2[&version]);
    let digest = oci::digest(b"theirs");
    let theirs =
        format!(r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"m","digest":"{digest}","size":1}}]}}"#).into_bytes();
    let old = Registry::start(State::default());
    {
        let mut state = old.state();
        let digest = oci::digest(&theirs);
        state.manifests.insert((REPOSITORY.to_owned(), digest.clone()), theirs);
        state.tags.insert((REPOSITORY.to_owned(), list.clone()), digest);
    }
    succeeds(&publish(&checkout, &old, &[]));
    let state = old.state();
    let index = &state.manifests[&(REPOSITORY.to_owned(), state.tags[&(REPOSITORY.to_owned(), list)].clone())];
    let kinds: Vec<_> = referrer::entries(index).unwrap().into_iter().map(|entry| entry.artifact_type).collect();
    let ours = ["application/vnd.cyclonedx+json", "application/vnd.in-toto+json"].map(|kind| Some(kind.to_owned()));
    assert_eq!(kinds, [None, ours[0].clone(), ours[1].clone()]);
}

#[test]
fn what_was_published_is_proved_from_the_registry_alone() {
    let checkout = checkout("publish-verify");
    let registry = Registry::start(State::default());
    succeeds(&publish(&checkout, &registry, &[]));
    let reference = format!("oci://{}/{REPOSITORY}:{}", registry.host, *TAG);
    let verify = |reference: &str| {
        let mut command = checkout.command();
        command.args(["verify", reference, "--plain-http", "--retries", "0"]).env("NO_PROXY", "*");
        command.env("HELM_REGISTRY_CONFIG", "none").env("DOCKER_CONFIG", "none").output().unwrap()
    };
    assert!(succeeds(&verify(&reference)).contains("4 files as packed"));
    let digest = registry.state().tags[&(REPOSITORY.to_owned(), TAG.clone())].clone();
    succeeds(&verify(&format!("oci://{}/{REPOSITORY}@{digest}", registry.host)));
    fails(&verify(&format!("{reference}-other")), "there is no oci://");
    // One flipped byte in anything that the registry holds.
    let blobs = registry.state().blobs.clone();
    let manifests = registry.state().manifests.clone();
    for (digest, bytes) in &blobs {
        // What refers has a configuration that says nothing, and nobody reads it.
        let mut flipped = bytes.clone();
        flipped[bytes.len() / 2] ^= 1;
        registry.state().blobs.insert(digest.clone(), flipped);
        let output = verify(&reference);
        assert_eq!(output.status.success(), bytes == b"{}", "{digest}: {}", stderr(&output));
        registry.state().blobs.insert(digest.clone(), bytes.clone());
    }
    let listed = registry.state().tags[&(REPOSITORY.to_owned(), referrer::fallback_tag(&digest))].clone();
    let superseded = |key: &(String, String)| {
        let is_list = referrer::entries(&manifests[key]).is_ok();
        is_list && key.1 != listed
    };
    for (key, bytes) in manifests.iter().filter(|(key, _)| !superseded(key)) {
        let mut flipped = bytes.clone();
        flipped[bytes.len() / 2] ^= 1;
        registry.state().manifests.insert(key.clone(), flipped);
        assert!(!verify(&reference).status.success(), "manifest {}", key.1);
        registry.state().manifests.insert(key.clone(), bytes.clone());
    }
    // Something else under the tag: what somebody attached twice, or pushed with another tool.
    let other = registry.state().manifests.keys().map(|(_, digest)| digest.clone()).find(|other| *other != digest);
    let tag = (REPOSITORY.to_owned(), TAG.clone());
    registry.state().tags.insert(tag.clone(), other.unwrap());
    assert!(!verify(&reference).status.success());
    registry.state().tags.insert(tag, digest.clone());
    registry.state().tags.remove(&(REPOSITORY.to_owned(), referrer::fallback_tag(&digest)));
    let output = verify(&reference);
    assert!(String::from_utf8_lossy(&output.stdout).contains("0 files of the type application/vnd.in-toto+json"));
    succeeds(&publish(&checkout, &registry, &[]));
    succeeds(&verify(&reference));
}
