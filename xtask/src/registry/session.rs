//! Requests to one repository with the login that its registry wants: a token where it challenges for one, a password
//! where it takes that, asked for anew when it has expired.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::rc::Rc;

use anyhow::{Context, Result, anyhow, bail, ensure};
use helmpack::oci::chart::is_printable;
use helmpack::oci::reference::Repository;
use ureq::http::{Method, StatusCode};

use super::challenge::{self, Challenge};
use super::login::{Credential, Finder, Login};
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
    login: Rc<Finder>,
    access: Access,
    /// The Authorization header that the registry took last.
    authorization: RefCell<Option<Secret>>,
}

impl Session {
    /// Nothing is sent yet.
    pub fn open(
        http: http::Client,
        repository: &Repository,
        login: Rc<Finder>,
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

    /// The login, for a challenge.
    fn login(&self) -> Result<&Login> {
        match self.login.find() {
            // Registries challenge for what is public too.
            Err(error) if self.access == Access::Pull => {
                note!("{error:#}; going on without a login");
                Ok(self.login.nobody())
            }
            found => found,
        }
    }

    /// Answers a challenge. False if there is nothing to answer it with.
    fn log_in(&self, answer: &Answer) -> Result<bool, Failure> {
        let headers = answer.headers.get_all("www-authenticate").iter();
        let header = headers.filter_map(|value| value.to_str().ok()).collect::<Vec<_>>().join(", ");
        let challenges = challenge::parse(&header);
        let of = |scheme: &str| challenges.iter().find(|challenge| challenge.scheme == scheme);
        let bearer = of("bearer").map(|challenge| (challenge, self.realm(challenge)));
        let authorization = match (bearer, of("basic")) {
            (Some((challenge, Ok(realm))), _) => self.token(&realm, challenge)?,
            (_, Some(_)) => match &self.login()?.credential {
                Credential::Password { username, password } => Secret::basic(username, password),
                _ => return Ok(false),
            },
            (Some((_, Err(error))), None) => return Err(error.into()),
            (None, None) => {
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

    /// Where the challenge says that tokens are. A login goes there only where it goes to the registry too: encrypted, or
    /// with --plain-http on this machine.
    fn realm(&self, challenge: &Challenge) -> Result<String> {
        let realm = challenge.parameters.get("realm").map(String::as_str).unwrap_or_default();
        let url = location::parse(realm)
            .with_context(|| format!("{} wants a token and does not say where to ask for it", self.repository.host))?;
        let plain = self.origin.starts_with("http:");
        ensure!(
            location::is_private(&url) && (plain || url.scheme_str() == Some("https")),
            "the registry sends its users to {} for a token, where the login would not be encrypted",
            location::shown(realm)
        );
        Ok(url.to_string())
    }

    /// Buys a token at a realm.
    fn token(&self, realm: &str, challenge: &Challenge) -> Result<Secret, Failure> {
        let shown = location::shown(realm);
        let asking = || format!("asking {shown} for a token");
        let answer = self.ask_for_token(realm, challenge).map_err(|failure| failure.context(asking()))?;
        if answer.status != StatusCode::OK {
            return Err(self.unexpected(&answer).context(asking()));
        }
        Ok(bought(&answer.body).with_context(asking)?)
    }

    /// In a query each scope is a parameter, in a form one holds them all.
    fn ask_for_token(&self, realm: &str, challenge: &Challenge) -> Result<Answer, Failure> {
        let of = |name: &str| challenge.parameters.get(name).map(String::as_str).unwrap_or_default();
        let actions = if self.access == Access::Push { "pull,push" } else { "pull" };
        let wanted = format!("repository:{}:{actions}", self.repository.path);
        let scopes = challenge::merged_scopes(of("scope"), &wanted);
        let service = Some(("service", of("service"))).filter(|(_, service)| !service.is_empty());
        let basic = match &self.login()?.credential {
            Credential::IdentityToken(token) => {
                let scope = scopes.join(" ");
                let mut fields = vec![("grant_type", "refresh_token"), ("client_id", "gorax-monitoring")];
                fields.extend(service);
                fields.extend([("scope", scope.as_str()), ("refresh_token", token.expose())]);
                let form = fields.iter().map(|(name, value)| format!("{name}={}", location::encoded(value)));
                return self.http.send(&Request {
                    method: &Method::POST,
                    headers: &[("content-type", "application/x-www-form-urlencoded")],
                    body: Some(form.collect::<Vec<_>>().join("&").as_bytes()),
                    confidential: true,
                    ..Request::get(realm)
                });
            }
            Credential::Password { username, password } => Some(Secret::basic(username, password)),
            Credential::Anonymous => None,
        };
        let parameters = service.into_iter().chain(scopes.iter().map(|scope| ("scope", scope.as_str())));
        let url = parameters.fold(realm.to_owned(), |url, (name, value)| {
            location::with_parameter(&url, name, &location::encoded(value))
        });
        self.http.send(&Request { authorization: basic.as_ref(), ..Request::get(&url) })
    }

    /// The failure that an answer is when nobody expected its status: what the registry says, and what to do.
    pub fn unexpected(&self, answer: &Answer) -> Failure {
        let status = answer.status;
        let mut text = format!("{} answers {status}", location::shown(&answer.url));
        for (code, message) in errors(&answer.body) {
            let _ = write!(text, "; {code}: {message}");
        }
        let text = self.without_secrets(&text);
        // Neither lines nor colours nor the direction of writing are a server's to set.
        let text: String = text.chars().filter(|c| is_printable(*c)).take(LONGEST_MESSAGE).collect();
        let host = &self.repository.host;
        let login = if matches!(status.as_u16(), 401 | 403) { self.login.find().ok() } else { self.login.found() };
        let login = login.filter(|login| login.credential != Credential::Anonymous);
        let do_next = match (status.as_u16(), login) {
            (401 | 403, None) => format!(
                "; nobody is logged in: run `helm registry login {host}`, or give --username NAME --password-stdin"
            ),
            (401, Some(login)) => format!("; it does not take the login from {}", login.source),
            (403, Some(login)) if self.access == Access::Push => {
                format!("; the login from {} may not write to {}", login.source, self.repository)
            }
            (403, Some(login)) => format!("; the login from {} may not read {}", login.source, self.repository),
            (404, _) => format!("; some registries want {} to be created first", self.repository),
            (413, _) => "; a proxy before the registry limits the size of uploads".to_owned(),
            _ => String::new(),
        };
        Failure::Final(anyhow!("{text}{do_next}"))
    }

    /// A server may repeat what it was sent.
    fn without_secrets(&self, text: &str) -> String {
        let text = self.login.found().map_or_else(|| text.to_owned(), |login| login.removed_from(text));
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

fn bought(body: &[u8]) -> Result<Secret> {
    let answer: serde_json::Value = serde_json::from_slice(body).context("the answer is no JSON")?;
    let mut named = ["token", "access_token"].iter().filter_map(|name| answer[name].as_str());
    let token = named.find(|token| !token.is_empty());
    Ok(Secret::bearer(token.context("the answer holds no token")?))
}
