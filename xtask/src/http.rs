//! HTTP for the commands that fetch or send something: tried again after temporary trouble, with the machine's own
//! certificates and proxies, and a password for nobody but the one it was meant for.

pub mod location;
mod proxy;
mod retry;

use std::io::{IsTerminal as _, Read};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use rustls::RootCertStore;
use ureq::http::header::{AUTHORIZATION, HeaderMap, HeaderValue, LOCATION};
use ureq::http::{Method, StatusCode};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, AsSendBody, Body, http};

use proxy::Proxies;
pub use retry::Failure;

use crate::registry::Secret;

/// Connecting to a host that is there takes less.
const CONNECT_WITHIN: Duration = Duration::from_secs(20);

/// More than any index, chart archive or scrape has.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// A registry redirects once, to where it keeps its blobs.
const MAX_REDIRECTS: usize = 5;

/// How patient a client is, and whom it trusts.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Until the first byte of an answer.
    pub answer_within: Duration,
    /// Until its last one.
    pub finish_within: Duration,
    /// How often a request is tried again after temporary trouble.
    pub retries: u32,
    /// Trust these authorities instead of the machine's.
    pub authorities: Option<Vec<Certificate<'static>>>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            answer_within: Duration::from_secs(20),
            finish_within: Duration::from_secs(600),
            retries: 3,
            authorities: None,
        }
    }
}

/// One request. Its body is at hand, so that it can be sent again.
#[derive(Debug)]
pub struct Request<'a> {
    pub method: &'a Method,
    pub url: &'a str,
    pub headers: &'a [(&'static str, &'a str)],
    /// The Authorization header; a redirect to another host does not carry it there.
    pub authorization: Option<&'a Secret>,
    pub body: Option<&'a [u8]>,
    /// The body holds a secret too: it is not sent on to another host either.
    pub confidential: bool,
}

impl<'a> Request<'a> {
    /// Asks for what is at a URL, as nobody.
    pub fn get(url: &'a str) -> Request<'a> {
        Request { method: &Method::GET, url, headers: &[], authorization: None, body: None, confidential: false }
    }
}

/// What was answered, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    /// Who answered, after all redirects.
    pub url: String,
}

/// Keeps connections open between requests.
pub struct Client {
    agent: Agent,
    proxies: Proxies,
    settings: Settings,
}

impl Client {
    /// Proxies come from the usual variables (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY).
    pub fn new(settings: Settings) -> Client {
        let roots = match &settings.authorities {
            Some(authorities) => RootCerts::new_with_certs(authorities),
            None => RootCerts::PlatformVerifier,
        };
        let agent = Agent::config_builder()
            .tls_config(TlsConfig::builder().root_certs(roots).build())
            .http_status_as_error(false)
            // Each request gets its own.
            .proxy(None)
            // Redirects are followed here, where it is known what each host may see.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(CONNECT_WITHIN.min(settings.finish_within)))
            .timeout_recv_response(Some(settings.answer_within))
            .timeout_global(Some(settings.finish_within))
            .user_agent("gorax-monitoring")
            .build();
        Client { agent: agent.into(), proxies: Proxies::of_environment(), settings }
    }

    /// The body of a URL, tried again after connection errors, 429 and 5xx.
    pub fn get(&self, url: &str) -> Result<Vec<u8>> {
        self.retrying(url, || {
            let answer = self.send(&Request::get(url))?;
            match answer.status {
                StatusCode::OK => Ok(answer.body),
                status => Err(Failure::Final(anyhow!("the server answers {status}"))),
            }
        })
    }

    /// Does something until it succeeds, fails for good, or has failed too often.
    pub fn retrying<T>(&self, what: &str, attempt: impl FnMut() -> Result<T, Failure>) -> Result<T> {
        retry::retrying(what, self.settings.retries, std::thread::sleep, attempt)
    }

    /// Sends a request once and follows redirects. Every status but 408, 429 and 5xx is an answer.
    pub fn send(&self, request: &Request<'_>) -> Result<Answer, Failure> {
        let mut url = request.url.to_owned();
        for _ in 0..=MAX_REDIRECTS {
            let answer = self.send_to(&url, request)?;
            let status = answer.status.as_u16();
            let follows = match *request.method {
                Method::GET | Method::HEAD => matches!(status, 301 | 302 | 303 | 307 | 308),
                // Only these two say that the body is wanted there too.
                _ => matches!(status, 307 | 308),
            };
            match answer.headers.get(LOCATION).and_then(|value| value.to_str().ok()) {
                Some(location) if follows => url = next(&url, location, request)?,
                _ => return retry::temporary(&answer).map_or(Ok(answer), Err),
            }
        }
        let shown = location::shown(request.url);
        Err(Failure::Final(anyhow!("{shown} redirects more than {MAX_REDIRECTS} times")))
    }

    fn send_to(&self, url: &str, request: &Request<'_>) -> Result<Answer, Failure> {
        let mut message = http::Request::builder().method(request.method.clone()).uri(url);
        for (name, value) in request.headers {
            message = message.header(*name, *value);
        }
        if let Some(secret) = request.authorization
            && location::same_origin(url, request.url)
        {
            let value = HeaderValue::from_str(secret.expose());
            let mut value = value.map_err(|_| Failure::Final(anyhow!("the login holds what no header can")))?;
            value.set_sensitive(true);
            message = message.header(AUTHORIZATION, value);
        }
        let shown = location::shown(url);
        let wrong = |error| Failure::Final(anyhow::Error::new(error).context(format!("{shown} is no URL")));
        let mut response = match request.body {
            Some(body) => self.run(message.body(body).map_err(wrong)?)?,
            None => self.run(message.body(()).map_err(wrong)?)?,
        };
        let body = match *request.method {
            Method::HEAD => Vec::new(),
            _ => read(&shown, &mut response).map_err(Failure::temporary)?,
        };
        let (parts, _) = response.into_parts();
        Ok(Answer { status: parts.status, headers: parts.headers, body, url: url.to_owned() })
    }

    /// Sends a message directly, or through the proxy for its host.
    fn run(&self, message: http::Request<impl AsSendBody>) -> Result<http::Response<Body>, Failure> {
        let proxy = self.proxies.of(message.uri())?;
        let (variable, proxy) = proxy.map_or((None, None), |(variable, proxy)| (Some(variable), Some(proxy)));
        let message = self.agent.configure_request(message).proxy(proxy).build();
        self.agent.run(message).map_err(|error| match (self.failure(error), variable) {
            (failure, Some(variable)) => failure.context(format!("through the proxy that {variable} names")),
            (failure, None) => failure,
        })
    }

    /// Most of what goes wrong below HTTP may go right the next time.
    fn failure(&self, error: ureq::Error) -> Failure {
        match error {
            ureq::Error::Timeout(_) => {
                let seconds = self.settings.answer_within.min(self.settings.finish_within).as_secs_f32();
                Failure::temporary(anyhow!("the server is too slow: no whole answer within {seconds} s"))
            }
            error @ (ureq::Error::BadUri(_) | ureq::Error::Rustls(_) | ureq::Error::Tls(_)) => {
                Failure::Final(error.into())
            }
            error if tls(&error).is_some() => Failure::Final(error.into()),
            error => Failure::temporary(error.into()),
        }
    }
}

/// Where a redirect leads, if the request may go there.
fn next(url: &str, location: &str, request: &Request<'_>) -> Result<String> {
    let next = location::resolve(url, location)?;
    ensure!(
        !request.confidential || location::same_origin(&next, request.url),
        "{} sends its users on to {}, which must not see the login",
        location::shown(url),
        location::shown(&next)
    );
    Ok(next)
}

/// Why no encrypted connection came about, where that is the trouble.
pub fn tls(error: &ureq::Error) -> Option<&rustls::Error> {
    match error {
        ureq::Error::Rustls(error) => Some(error),
        ureq::Error::Io(error) => error.get_ref()?.downcast_ref(),
        _ => None,
    }
}

/// The certificates of a PEM file.
pub fn authorities(path: &Path) -> Result<Vec<Certificate<'static>>> {
    let reading = || format!("reading {}", path.display());
    let text = std::fs::read(path).with_context(reading)?;
    let (mut certificates, mut readable) = (Vec::new(), RootCertStore::empty());
    for item in parse_pem(&text) {
        if let PemItem::Certificate(certificate) = item.with_context(reading)? {
            // The client would pass over what it cannot read, and then trust nobody.
            readable.add(certificate.der().to_vec().into()).with_context(reading)?;
            certificates.push(certificate);
        }
    }
    ensure!(!certificates.is_empty(), "{} holds no certificate in PEM format", path.display());
    Ok(certificates)
}

/// Reads a body to its announced end, with the bytes counted where a person looks on and it takes over a second.
fn read(url: &str, response: &mut http::Response<Body>) -> Result<Vec<u8>> {
    let announced = response.body().content_length();
    let mut reader = response.body_mut().as_reader().take(MAX_BYTES + 1);
    let (started, mut shown) = (Instant::now(), Instant::now());
    let mut bytes = Vec::new();
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let length = reader.read(&mut chunk).with_context(|| format!("reading {url}"))?;
        if length == 0 {
            break;
        }
        bytes.extend_from_slice(&chunk[..length]);
        if started.elapsed().as_secs() >= 1 && shown.elapsed().as_millis() >= 200 && std::io::stderr().is_terminal() {
            shown = Instant::now();
            let of = announced.map(|all| format!(" of {} kB", all / 1000)).unwrap_or_default();
            eprint!("\r{} kB{of} ", bytes.len() / 1000);
        }
    }
    if started.elapsed().as_secs() >= 1 && std::io::stderr().is_terminal() {
        eprint!("\r");
    }
    ensure!(bytes.len() as u64 <= MAX_BYTES, "{url} has more than {} MB", MAX_BYTES / 1_000_000);
    ensure!(announced.is_none_or(|all| all == bytes.len() as u64), "{url} ended after {} bytes", bytes.len());
    Ok(bytes)
}
