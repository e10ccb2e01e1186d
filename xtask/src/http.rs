//! HTTP for the commands that fetch something: tried again after temporary trouble, with the machine's own certificates.

use std::io::{IsTerminal as _, Read};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body, http};

/// How often a request is tried, and the pause before the second time; each pause after that is twice as long.
const TRIES: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// Connecting and the first byte; a whole download.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
const FINISH_WITHIN: Duration = Duration::from_secs(600);

/// More than any index, chart archive or scrape has.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Proxies come from the usual variables (HTTPS_PROXY, HTTP_PROXY, NO_PROXY), certificates from the machine.
pub fn agent() -> Agent {
    let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
    Agent::config_builder()
        .tls_config(tls)
        .http_status_as_error(false)
        .timeout_connect(Some(ANSWER_WITHIN))
        .timeout_recv_response(Some(ANSWER_WITHIN))
        .timeout_global(Some(FINISH_WITHIN))
        .user_agent("gorax-monitoring")
        .build()
        .into()
}

/// Why one try failed, and whether another one may help.
enum Failure {
    Temporary(anyhow::Error),
    Final(anyhow::Error),
}

/// The body of a URL, tried again after connection errors, 429 and 5xx.
pub fn get(agent: &Agent, url: &str) -> Result<Vec<u8>> {
    let mut pause = FIRST_PAUSE;
    for tried in 1.. {
        match try_get(agent, url) {
            Ok(bytes) => return Ok(bytes),
            Err(Failure::Final(error)) => return Err(error),
            Err(Failure::Temporary(error)) if tried == TRIES => {
                return Err(error.context(format!("{url} failed {TRIES} times")));
            }
            Err(Failure::Temporary(error)) => {
                note!("{url}: {error:#}; trying again in {:.1} s", pause.as_secs_f32());
                std::thread::sleep(pause);
                pause *= 2;
            }
        }
    }
    bail!("{url} was never tried")
}

fn try_get(agent: &Agent, url: &str) -> Result<Vec<u8>, Failure> {
    let send = |token: Option<&str>| {
        let request = agent.get(url);
        let request = match token {
            Some(token) => request.header("Authorization", format!("Bearer {token}")),
            None => request,
        };
        request.call().map_err(|error| Failure::Temporary(error.into()))
    };
    let mut response = send(None)?;
    if response.status() == 401
        && let Some(token) = anonymous_token(agent, &response).map_err(Failure::Final)?
    {
        response = send(Some(&token))?;
    }
    let status = response.status();
    match status.as_u16() {
        200 => read(url, response).map_err(Failure::Temporary),
        429 | 500..=599 => Err(Failure::Temporary(anyhow::anyhow!("the server answers {status}"))),
        _ => Err(Failure::Final(anyhow::anyhow!("{url}: the server answers {status}"))),
    }
}

/// The token that a registry gives to anyone who asks, at the address that its challenge names.
fn anonymous_token(agent: &Agent, response: &http::Response<Body>) -> Result<Option<String>> {
    let challenge =
        response.headers().get("www-authenticate").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let Some(parameters) = challenge.strip_prefix("Bearer ") else { return Ok(None) };
    let of = |name: &str| {
        let (_, rest) = parameters.split_once(&format!("{name}=\""))?;
        Some(rest.split_once('"')?.0.to_owned())
    };
    let realm = of("realm").context("the registry's challenge names no realm")?;
    let mut request = agent.get(&realm);
    for name in ["service", "scope"] {
        if let Some(value) = of(name) {
            request = request.query(name, value);
        }
    }
    let text = request.call().with_context(|| format!("asking {realm} for a token"))?.body_mut().read_to_string()?;
    let answer: serde_json::Value = serde_json::from_str(&text).context("the registry's token is no JSON")?;
    let token = answer["token"].as_str().or(answer["access_token"].as_str());
    Ok(Some(token.context("the registry gives no token to anonymous users")?.to_owned()))
}

/// Reads a body to its announced end, with the bytes counted where a person looks on and it takes over a second.
fn read(url: &str, mut response: http::Response<Body>) -> Result<Vec<u8>> {
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
