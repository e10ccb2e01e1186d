//! Logins as `docker login` and `helm registry login` store them, read as Helm's own library, oras-go, reads them.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::helper;
use super::{Credential, Secret};

/// The file. An entry is read when it is the one that is wanted: one of another host may have any form.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Config {
    auths: Option<Map<String, Value>>,
    creds_store: Option<String>,
    cred_helpers: Option<BTreeMap<String, String>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    /// `user:password` in base64; it counts before the two below.
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

/// The login of a host in a file, or from the helper that the file names.
pub fn read(path: &Path, host: &str) -> Result<Option<Credential>> {
    let text = match std::fs::read(path) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
        text => text.context("it cannot be read")?,
    };
    // What is wrong with it is not repeated, since that may hold the secret.
    let config: Config = serde_json::from_slice(&text).ok().context("it is not the JSON of such a file")?;
    let server = match host {
        // Under its first address every tool keeps Docker Hub's login to this day.
        "docker.io" | "registry-1.docker.io" => "https://index.docker.io/v1/",
        host => host,
    };
    let named = |name: &String| !name.is_empty();
    let own = config.cred_helpers.as_ref().and_then(|helpers| helpers.get(server)).filter(|name| named(name));
    match own.or(config.creds_store.as_ref().filter(|name| named(name))) {
        Some(helper) => helper::ask(helper, server),
        None => match entry(&config.auths.unwrap_or_default(), server) {
            Some(entry) => login(entry).context("its entry cannot be read"),
            None => Ok(None),
        },
    }
}

/// The entry of a server. Old tools wrote a scheme before its name, or a path behind it.
fn entry<'a>(entries: &'a Map<String, Value>, server: &str) -> Option<&'a Value> {
    let host = |key: &str| {
        let rest = key.strip_prefix("https://").or(key.strip_prefix("http://")).unwrap_or(key);
        rest.split('/').next() == Some(server)
    };
    entries.get(server).or_else(|| Some(entries.iter().find(|(key, _)| host(key))?.1))
}

/// `None` where an entry is empty, as it is when a helper kept the login.
fn login(entry: &Value) -> Option<Option<Credential>> {
    let entry: Entry = Option::deserialize(entry).ok()?.unwrap_or_default();
    let (username, password) = match entry.auth.filter(|auth| !auth.is_empty()) {
        Some(auth) => {
            let decoded = String::from_utf8(STANDARD.decode(auth).ok()?).ok()?;
            let (username, password) = decoded.split_once(':')?;
            // Docker has written the end of a C string behind it.
            (username.to_owned(), password.trim_end_matches('\0').to_owned())
        }
        None => (entry.username.unwrap_or_default(), entry.password.unwrap_or_default()),
    };
    Some(match entry.identitytoken.filter(|token| !token.is_empty()) {
        Some(token) => Some(Credential::IdentityToken(Secret::new(token))),
        None if password.is_empty() => None,
        None => Some(Credential::Password { username, password: Secret::new(password) }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `user:password`, `token`, `-` for no login and `?` for an entry that cannot be read.
    fn found(auths: &str) -> String {
        let auths: Map<String, Value> = serde_json::from_str(auths).unwrap();
        match entry(&auths, "h:5000").map(login) {
            None | Some(Some(None)) => "-".to_owned(),
            Some(None) => "?".to_owned(),
            Some(Some(Some(Credential::Password { username, password }))) => {
                format!("{username}:{}", password.expose())
            }
            Some(Some(Some(Credential::IdentityToken(token)))) => token.expose().to_owned(),
            Some(Some(Some(Credential::Anonymous))) => panic!("nobody is no login"),
        }
    }

    #[test]
    fn an_entry_is_read_in_every_form_that_tools_write() {
        let auth = STANDARD.encode("ada:p:w");
        for (auths, expected) in [
            (r#"{"h:5000": {"auth": "AUTH"}}"#, "ada:p:w"),
            (r#"{"https://h:5000/v1/": {"auth": "AUTH"}}"#, "ada:p:w"),
            (r#"{"http://h:5000": {"auth": "AUTH"}}"#, "ada:p:w"),
            (r#"{"h:5000/": {"auth": "AUTH"}}"#, "ada:p:w"),
            (r#"{"h:5000/v2/": {"auth": "AUTH"}, "h:5000": {"username": "bo", "password": "x"}}"#, "bo:x"),
            (r#"{"h:5000": {"auth": "AUTH", "username": "bo", "password": "x"}}"#, "ada:p:w"),
            (r#"{"h:5000": {"auth": "", "username": "ada", "password": "x"}}"#, "ada:x"),
            (r#"{"h:5000": {"auth": "AUTH", "identitytoken": ""}}"#, "ada:p:w"),
            (r#"{"h:5000": {"auth": "YWRhOg==", "identitytoken": "token"}}"#, "token"),
            (r#"{"h:5000": {"auth": "AUTH", "email": 5}, "ghcr.io": {"auth": 5}}"#, "ada:p:w"),
            (r#"{"h:5000": {"auth": ""}}"#, "-"),
            (r#"{"h:5000": {}}"#, "-"),
            (r#"{"h:5000": null}"#, "-"),
            (r#"{"h": {"auth": "AUTH"}, "h:50000": {"auth": "AUTH"}}"#, "-"),
            (r#"{"h:5000": {"auth": 5}}"#, "?"),
            (r#"{"h:5000": {"auth": "?"}}"#, "?"),
            (r#"{"h:5000": {"auth": "YWRh"}}"#, "?"),
        ] {
            assert_eq!(found(&auths.replace("AUTH", &auth)), expected, "{auths}");
        }
    }
}
