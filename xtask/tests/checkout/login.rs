//! Logins: every place that one is kept in, every way that a registry wants one, and that no secret shows.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Output, Stdio};

use crate::copy::{Checkout, stderr};
use crate::publish::{REPOSITORY, TAG, checkout, command, fails, publish, succeeds};
use crate::registry::{Auth, Place, Registry, State};

/// Any of these in what is printed would be a leak: a password, its header, a token bought with it, an identity token.
const SECRETS: [&str; 6] =
    ["s3cr3t-pass", "YWRhOnMzY3IzdC1wYXNz", "token-1", "1d3nt1ty", "s3cr3t-state", "secret%3Dstate"];

/// `ada:s3cr3t-pass`.
const LOGIN: &str = "YWRhOnMzY3IzdC1wYXNz";

/// Where a login comes from.
#[derive(Clone, Copy, Debug)]
enum Source {
    Nowhere,
    Stdin(&'static str),
    Environment,
    /// The content of Helm's store.
    Helm(&'static str),
    /// The content of Docker's configuration.
    Docker(&'static str),
}

#[test]
fn every_login_is_found_in_helms_order_and_no_secret_shows() {
    use Source::{Docker, Environment, Helm, Nowhere, Stdin};
    let checkout = checkout("publish-login");
    let basic = || Auth::Basic(LOGIN);
    let bearer = |uses| Auth::Bearer { login: LOGIN, uses };
    let identity = || Auth::Identity { token: "1d3nt1ty" };
    let entry = r#"{"auths": {"HOST": {"auth": "YWRhOnMzY3IzdC1wYXNz"}}}"#;
    let other_identity = r#"{"auths": {"HOST": {"auth": "YWRhOg==", "identitytoken": "other/1d3nt1ty+="}}}"#;
    for (auth, from, expected) in [
        (basic(), Stdin("s3cr3t-pass\n"), None),
        (basic(), Environment, None),
        (basic(), Helm(entry), None),
        (basic(), Docker(entry), None),
        (basic(), Docker(r#"{"credHelpers": {"HOST": "good"}}"#), None),
        (basic(), Docker(r#"{"auths": {"HOST": {"auth": "YWRhOm9sZA=="}}, "credsStore": "good"}"#), None),
        (
            basic(),
            Docker(r#"{"auths": {"http://HOST/v2/": {"auth": "YWRhOnMzY3IzdC1wYXNz"}, "h": {"auth": 5}}}"#),
            None,
        ),
        (bearer(usize::MAX), Stdin("s3cr3t-pass"), None),
        // It expires again and again.
        (bearer(5), Stdin("s3cr3t-pass"), None),
        (identity(), Helm(r#"{"auths": {"HOST": {"auth": "YWRhOg==", "identitytoken": "1d3nt1ty"}}}"#), None),
        (identity(), Docker(r#"{"credHelpers": {"HOST": "token"}}"#), None),
        (identity(), Helm(other_identity), Some("it does not take the login from")),
        (Auth::Either(LOGIN), Stdin("s3cr3t-pass"), None),
        // What is public needs no login, wherever one may be.
        (Auth::Nobody, Docker(r#"{"credsStore": "bad"}"#), None),
        (basic(), Nowhere, Some("nobody is logged in: run `helm registry login ")),
        (basic(), Helm("{}"), Some("nobody is logged in")),
        (basic(), Docker(r#"{"credsStore": "empty"}"#), Some("nobody is logged in")),
        (basic(), Stdin("other-s3cr3t-pass"), Some("it does not take the login from --username")),
        (bearer(9), Stdin("other-s3cr3t-pass"), Some("it does not take the login from --username")),
        (identity(), Stdin("s3cr3t-pass"), Some("it does not take the login from --username")),
        (basic(), Docker(r#"{"credHelpers": {"HOST": "bad"}}"#), Some("`docker-credential-bad get` failed")),
        (basic(), Docker(r#"{"credHelpers": {"HOST": "absent"}}"#), Some("cannot be run")),
        (basic(), Docker(r#"{"auths": s3cr3t-pass"#), Some("it is not the JSON of such a file")),
        (Auth::ReadOnly, Stdin("s3cr3t-pass"), Some("the login from --username may not write to oci://")),
        (Auth::Unknown, Stdin("s3cr3t-pass"), Some("wants a login of a kind that is not known here (negotiate;")),
        // A token that is good for nothing is not asked for for ever.
        (bearer(0), Stdin("s3cr3t-pass"), Some("it does not take the login from --username")),
    ] {
        let what = format!("{auth:?} with {from:?}");
        let registry = Registry::start(State { auth, place: Place::WithQuery, ..State::default() });
        let output = with_login(&checkout, &registry, from);
        match expected {
            None => {
                assert!(output.status.success(), "{what}: {}", stderr(&output));
                assert!(registry.state().tags.contains_key(&(REPOSITORY.to_owned(), TAG.clone())), "{what}");
            }
            Some(expected) => fails(&output, expected),
        }
        let printed = format!("{}{}", String::from_utf8_lossy(&output.stdout), stderr(&output));
        for secret in SECRETS {
            assert!(!printed.contains(secret), "{what} shows {secret}: {printed}");
        }
        assert!(!printed.contains('\u{202e}'), "{what} turns the direction of writing: {printed}");
    }
}

/// Publishes with a login from one place. The helpers lie on PATH.
fn with_login(checkout: &Checkout, registry: &Registry, from: Source) -> Output {
    let folder = checkout.path("target/logins");
    fs::create_dir_all(&folder).unwrap();
    for (name, script) in [
        ("good", r#"read host; echo "{\"Username\": \"ada\", \"Secret\": \"s3cr3t-pass\"}""#),
        ("token", r#"read host; echo '{"Username": "<token>", "Secret": "1d3nt1ty"}'"#),
        ("empty", "read host; echo credentials not found in native keychain; exit 1"),
        ("bad", "read host; echo s3cr3t-pass; echo s3cr3t-pass >&2; exit 1"),
    ] {
        let path = folder.join(format!("docker-credential-{name}"));
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut command = command(checkout, &registry.host, &["--plain-http"]);
    let path = std::env::var("PATH").unwrap();
    command.env("PATH", format!("{}:{path}", folder.display()));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let file = folder.join("config.json");
    let mut input = "";
    match from {
        Source::Nowhere => {}
        Source::Stdin(password) => {
            command.args(["--username", "ada", "--password-stdin"]);
            input = password;
        }
        Source::Environment => {
            command.env("GORAX_MONITORING_REGISTRY_USERNAME", "ada");
            command.env("GORAX_MONITORING_REGISTRY_PASSWORD", "s3cr3t-pass\n");
        }
        Source::Helm(text) => {
            fs::write(&file, text.replace("HOST", &registry.host)).unwrap();
            command.env("HELM_REGISTRY_CONFIG", &file);
        }
        Source::Docker(text) => {
            fs::write(&file, text.replace("HOST", &registry.host)).unwrap();
            command.env("DOCKER_CONFIG", &folder);
        }
    }
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn a_redirect_to_another_host_does_not_carry_the_login() {
    let checkout = checkout("publish-redirect");
    let store = Registry::start(State::default());
    succeeds(&publish(&checkout, &store, &[]));
    store.take_requests();
    let registry = Registry::start(State { auth: Auth::Basic(LOGIN), ..State::default() });
    {
        let (mut ours, theirs) = (registry.state(), store.state());
        (ours.blobs, ours.elsewhere) = (theirs.blobs.clone(), Some(store.host.clone()));
    }
    let output = with_login(&checkout, &registry, Source::Environment);
    assert!(output.status.success(), "{}", stderr(&output));
    let seen = store.state().requests.clone();
    assert!(!seen.is_empty() && seen.iter().all(|(_, authorization)| authorization.is_empty()), "{seen:?}");
    assert!(registry.state().requests.iter().any(|(_, authorization)| authorization.contains(LOGIN)));
}

#[test]
fn no_token_is_asked_for_where_the_login_would_go_to_somebody_else() {
    let checkout = checkout("publish-realm");
    let other = Registry::start(State::default());
    let registry = Registry::start(State { auth: Auth::Identity { token: "1d3nt1ty" }, ..State::default() });
    let stored = Source::Helm(r#"{"auths": {"HOST": {"auth": "YWRhOg==", "identitytoken": "1d3nt1ty"}}}"#);
    let elsewhere = (307, format!("http://{}/token", other.host));
    registry.state().scripted.insert("POST /token".to_owned(), elsewhere);
    fails(&with_login(&checkout, &registry, stored), "which must not see the login");
    registry.state().realm = Some("http://auth.example.org/token".to_owned());
    fails(&with_login(&checkout, &registry, stored), "where the login would not be encrypted");
    assert!(other.take_requests().is_empty());
}

#[test]
fn no_proxy_is_asked_for_this_machine() {
    let checkout = checkout("publish-proxy");
    let proxy = Registry::start(State::default());
    let registry = Registry::start(State::default());
    let mut command = command(&checkout, &registry.host, &["--plain-http"]);
    command.env_remove("NO_PROXY");
    for variable in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        command.env(variable, format!("http://{}", proxy.host));
    }
    succeeds(&command.output().unwrap());
    assert!(proxy.take_requests().is_empty());
}

#[test]
fn what_is_public_is_read_without_the_helper_that_is_broken() {
    let checkout = checkout("publish-public");
    let registry = Registry::start(State::default());
    succeeds(&publish(&checkout, &registry, &[]));
    registry.state().auth = Auth::Anyone;
    let folder = checkout.path("target/docker");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("config.json"), r#"{"credsStore": "absent"}"#).unwrap();
    let reference = format!("oci://{}/{REPOSITORY}:{}", registry.host, *TAG);
    let mut verify = checkout.command();
    verify
        .args(["verify", &reference, "--plain-http"])
        .env("HELM_REGISTRY_CONFIG", "none")
        .env("DOCKER_CONFIG", folder);
    let output = verify.output().unwrap();
    succeeds(&output);
    assert!(stderr(&output).contains("cannot be run") && stderr(&output).contains("going on without a login"));
}
