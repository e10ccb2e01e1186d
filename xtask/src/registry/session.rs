//! Requests to one repository with the login that its registry wants: a token where it challenges for one, a password
//! where it takes that, asked for anew when it has expired.

use std::cell::RefCell;
use std::fmt::Write as _;

use anyhow::{Context, Result, anyhow, bail};
use helmpack::oci::reference::Repository;
use ureq::http::{Method, StatusCode};

use super::challenge::{self, Challenge};
use super::login::{Credential, Login};
use super::secret::Secret;
use crate::failure::Usage;
use crate::http::{self, Answer, Failure, Request, location};

/// How much of a registry's own words is repeated.
const LONGEST_MESSAGE: usize = 300;

/// What a token is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Pull,
    Push,
}

/// A conversation about one repository.
pub struct Session {
    http: http::Client,
    origin: String,
    repository: Repository,
    login: Login,
    access: Access,
    /// The Authorization header that the registry took last.
    authorization: RefCell<Option<Secret>>,
}

impl Session {
    /// Nothing is sent yet.
    pub fn open(
        http: http::Client,
        repository: &Repository,
        login: Login,
        access: Access,
        plain: bool,
    ) -> Result<Session> {
        if plain && !repository.is_loopback() {
            bail!(Usage(format!(
                "--plain-http is for registries on this machine; {} would see the login and the chart unencrypted",
                repository.host
            )));
        }
        let scheme = if plain { "http" } else { "https" };
        let host = if repository.host == "docker.io" { "registry-1.docker.io" } else { &repository.host };
        let origin = format!("{scheme}://{host}");
        Ok(Session { http, origin, repository: repository.clone(), login, access, authorization: RefCell::default() })
    }

    /// Scheme and host of the registry.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Does something until it succeeds or there is no point in trying again.
    pub fn retrying<T>(&self, what: &str, attempt: impl FnMut() -> Result<T, Failure>) -> Result<T> {
        self.http.retrying(what, attempt).map_err(|error| match error.downcast_ref().and_then(http::tls) {
            Some(rustls::Error::InvalidCertificate(_)) => {
                anyhow!("{error:#}; --ca-file FILE trusts the authorities in FILE instead of the machine's")
            }
            Some(_) if self.repository.is_loopback() => {
                anyhow!("{error:#}; is TLS spoken there? a registry on this machine without it needs --plain-http")
            }
            _ => error,
        })
    }

    /// Sends a request, logs in if that is wanted, and once more if the login has expired.
    pub fn send(
        &self,
        method: &Method,
        url: &str,
        headers: &[(&'static str, &str)],
        body: Option<&[u8]>,
    ) -> Result<Answer, Failure> {
        let ours = location::same_origin(url, &self.origin);
        let once = || {
            let authorization = self.authorization.borrow().clone().filter(|_| ours);
            let authorization = authorization.as_ref();
            self.http.send(&Request { method, headers, authorization, body, ..Request::get(url) })
        };
        let answer = once()?;
        let asks = answer.status == StatusCode::UNAUTHORIZED && location::same_origin(&answer.url, &self.origin);
        if asks && self.log_in(&answer)? { once() } else { Ok(answer) }
    }

    /// Answers a challenge. False if there is nothing to answer it with.
    fn log_in(&self, answer: &Answer) -> Result<bool, Failure> {
        let headers = answer.headers.get_all("www-authenticate").iter();
        let header = headers.filter_map(|value| value.to_str().ok()).collect::<Vec<_>>().join(", ");
        let challenges = challenge::parse(&header);
        let of = |scheme: &str| challenges.iter().find(|challenge| challenge.scheme == scheme);
        let authorization = match (of("bearer"), of("basic"), &self.login.credential) {
            (Some(challenge), _, _) => self.token(challenge)?,
            (None, Some(_), Credential::Password { username, password }) => Secret::basic(username, password),
            (None, Some(_), _) => return Ok(false),
            (None, None, _) => {
                let known: Vec<&str> = challenges.iter().map(|challenge| challenge.scheme.as_str()).collect();
                let said = if known.is_empty() { "nothing".to_owned() } else { known.join(", ") };
                return Err(Failure::Final(anyhow!(
                    "{} wants a login of a kind that is not known here ({said}; known are Bearer and Basic)",
                    self.repository.host
                )));
            }
        };
        *self.authorization.borrow_mut() = Some(authorization);
        Ok(true)
    }

    /// Buys a token at the address that the challenge names.
    fn token(&self, challenge: &Challenge) -> Result<Secret, Failure> {
        let of = |name: &str| challenge.parameters.get(name).map(String::as_str).unwrap_or_default();
        let realm = of("realm");
        let plain = realm.starts_with("http://") && self.origin.starts_with("http://");
        if !realm.starts_with("https://") && !plain {
            let shown = location::shown(realm);
            return Err(Failure::Final(anyhow!(
                "the registry sends its users to `{shown}` for a token, where the login would not be encrypted"
            )));
        }
        let actions = if self.access == Access::Push { "pull,push" } else { "pull" };
        let wanted = format!("repository:{}:{actions}", self.repository.path);
        let scope = challenge::merged_scope(of("scope"), &wanted);
        let mut parameters = vec![("service", of("service")), ("scope", &scope)];
        parameters.retain(|(_, value)| !value.is_empty());
        let answer = match &self.login.credential {
            Credential::IdentityToken(token) => {
                parameters.extend([("client_id", "gorax-monitoring"), ("grant_type", "refresh_token")]);
                parameters.push(("refresh_token", token.expose()));
                self.http.send(&Request {
                    method: &Method::POST,
                    headers: &[("content-type", "application/x-www-form-urlencoded")],
                    body: Some(form(&parameters).as_bytes()),
                    confidential: true,
                    ..Request::get(realm)
                })
            }
            credential => {
                let basic = match credential {
                    Credential::Password { username, password } => Some(Secret::basic(username, password)),
                    _ => None,
                };
                let mark = if realm.contains('?') { '&' } else { '?' };
                let url = format!("{realm}{mark}{}", form(&parameters));
                self.http.send(&Request { authorization: basic.as_ref(), ..Request::get(&url) })
            }
        };
        let shown = location::shown(realm);
        let asking = || format!("asking {shown} for a token");
        let answer = answer.map_err(|failure| failure.context(asking()))?;
        if answer.status != StatusCode::OK {
            return Err(self.unexpected(&answer).context(asking()));
        }
        Ok(bought(&answer.body).with_context(asking)?)
    }

    /// The failure that an answer is when nobody expected its status: what the registry says, and what to do.
    pub fn unexpected(&self, answer: &Answer) -> Failure {
        let status = answer.status;
        let mut text = format!("{} answers {status}", location::shown(&answer.url));
        for (code, message) in errors(&answer.body) {
            let _ = write!(text, "; {code}: {message}");
        }
        let text = self.without_secrets(&text);
        let text: String = text.chars().filter(|c| !c.is_control()).take(LONGEST_MESSAGE).collect();
        let host = &self.repository.host;
        let do_next = match (status.as_u16(), &self.login.credential) {
            (401, Credential::Anonymous) | (403, Credential::Anonymous) => format!(
                "; nobody is logged in: run `helm registry login {host}`, or give --username NAME --password-stdin"
            ),
            (401, _) => format!("; it does not take the login from {}", self.login.source),
            (403, _) if self.access == Access::Push => {
                format!("; the login from {} may not write to {}", self.login.source, self.repository)
            }
            (403, _) => format!("; the login from {} may not read {}", self.login.source, self.repository),
            (404, _) => format!("; some registries want {} to be created first", self.repository),
            (413, _) => "; a proxy before the registry limits the size of uploads".to_owned(),
            _ => String::new(),
        };
        Failure::Final(anyhow!("{text}{do_next}"))
    }

    /// A server may repeat what it was sent.
    fn without_secrets(&self, text: &str) -> String {
        let text = self.login.removed_from(text);
        self.authorization.borrow().as_ref().map_or(text.clone(), |secret| secret.removed_from(&text))
    }
}

/// The code and message of each error in a registry's answer.
pub fn errors(body: &[u8]) -> Vec<(String, String)> {
    let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let errors = body["errors"].as_array().into_iter().flatten();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    errors.map(|error| (text(&error["code"]), text(&error["message"]))).collect()
}

fn form(parameters: &[(&str, &str)]) -> String {
    let pairs = parameters.iter().map(|(name, value)| format!("{name}={}", location::encoded(value)));
    pairs.collect::<Vec<_>>().join("&")
}

fn bought(body: &[u8]) -> Result<Secret> {
    let answer: serde_json::Value = serde_json::from_slice(body).context("the answer is no JSON")?;
    let token = answer["token"].as_str().or(answer["access_token"].as_str());
    Ok(Secret::bearer(token.context("the answer holds no token")?))
}
