//! An OCI registry on loopback that keeps everything in memory and breaks as a test tells it.

mod auth;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use helmpack::oci::{self, Manifest};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

pub use auth::Auth;

/// What goes wrong with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nobody hears it.
    Unheard,
    /// The connection breaks after half of its body.
    HalfRead,
    /// It is done, and the answer never arrives.
    Unanswered,
    /// It is done, and half of the answer arrives.
    HalfAnswered,
    /// It is done, and the answer comes after this many milliseconds.
    Slow(u64),
    /// A status with a Retry-After header.
    Status(u16, &'static str),
}

/// Where a blob is to be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    #[default]
    Absolute,
    Relative,
    WithQuery,
    Missing,
}

/// The registry's content and its moods.
#[derive(Default)]
pub struct State {
    pub auth: Auth,
    pub place: Place,
    /// It has the referrers API.
    pub referrers: bool,
    /// The number of the request that the fault hits, from 1, and whether it is the last one that anyone hears.
    pub fault: Option<(usize, Fault)>,
    pub dies: bool,
    /// Claims another digest for all that it stores.
    pub lies: bool,
    /// Forgets this many blobs right before a manifest names them.
    pub forgets: usize,
    /// Someone else writes this under a tag, right before or right after we do.
    pub rival: Option<(When, &'static str, Vec<u8>)>,
    /// Redirects requests for blobs to this server.
    pub elsewhere: Option<String>,
    /// Where tokens are, if not here.
    pub realm: Option<String>,
    /// Gives this many referrers at once.
    pub page: Option<usize>,
    /// Answers to all requests of a method, or of a method for a path: a status and a Location.
    pub scripted: BTreeMap<String, (u16, String)>,
    pub dead: bool,
    pub blobs: BTreeMap<String, Vec<u8>>,
    /// By repository and digest.
    pub manifests: BTreeMap<(String, String), Vec<u8>>,
    /// By repository and tag.
    pub tags: BTreeMap<(String, String), String>,
    /// Method and path of each request, with its Authorization header.
    pub requests: Vec<(String, String)>,
    /// How many tokens were given away, and how often the last one was used.
    pub tokens: usize,
    pub used: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Before,
    After,
}

/// A request, read to its end.
struct Request {
    method: String,
    /// Without the query.
    path: String,
    query: String,
    authorization: String,
    accept: String,
    body: Vec<u8>,
}

struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

pub struct Registry {
    pub host: String,
    state: Arc<Mutex<State>>,
}

impl Registry {
    pub fn start(state: State) -> Registry {
        Registry::start_with(None, state)
    }

    /// One that speaks TLS, but for the addresses that it names.
    pub fn start_tls(tls: ServerConfig, state: State) -> Registry {
        Registry::start_with(Some(Arc::new(tls)), state)
    }

    fn start_with(tls: Option<Arc<ServerConfig>>, state: State) -> Registry {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let registry = Registry { host: host.clone(), state: Arc::new(Mutex::new(state)) };
        let state = registry.state.clone();
        // The threads end with the test's process; every request in them is bounded by the client.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (state, host, tls) = (state.clone(), host.clone(), tls.clone());
                std::thread::spawn(move || match tls.map(ServerConnection::new) {
                    Some(connection) => serve(StreamOwned::new(connection.unwrap(), stream), &state, &host),
                    None => serve(stream, &state, &host),
                });
            }
        });
        registry
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Hears again, without faults.
    pub fn mend(&self) {
        let mut state = self.state();
        (state.fault, state.dies, state.dead) = (None, false, false);
    }

    /// Method and path of each request so far, which are forgotten.
    pub fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut self.state().requests).into_iter().map(|(request, _)| request).collect()
    }
}

fn serve(mut stream: impl Read + Write, state: &Mutex<State>, host: &str) {
    let lock = || state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let fault = {
        let state = lock();
        if state.dead {
            return;
        }
        state.fault.filter(|(at, _)| *at == state.requests.len() + 1).map(|(_, fault)| fault)
    };
    let Some(request) = read_request(&mut BufReader::new(&mut stream), fault) else {
        let mut state = lock();
        state.requests.push(("cut off".to_owned(), String::new()));
        state.dead = state.dies;
        return;
    };
    let answer = {
        let mut state = lock();
        let line = format!("{} {}", request.method, request.path);
        state.requests.push((line, request.authorization.clone()));
        state.dead = state.dies && fault.is_some();
        match fault {
            Some(Fault::Unheard) => return,
            Some(Fault::Status(status, after)) => {
                Answer { status, headers: vec![("retry-after", after.to_owned())], body: Vec::new() }
            }
            _ => state.answer(&request, host),
        }
    };
    if let Some(Fault::Slow(milliseconds)) = fault {
        std::thread::sleep(Duration::from_millis(milliseconds));
    }
    let headers: String = answer.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let (status, length) = (answer.status, answer.body.len());
    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n");
    let mut text = head.into_bytes();
    if request.method != "HEAD" {
        text.extend(&answer.body);
    }
    match fault {
        Some(Fault::Unanswered) => text.clear(),
        Some(Fault::HalfAnswered) => text.truncate(text.len() / 2),
        _ => {}
    }
    let _ = stream.write_all(&text);
    let _ = stream.flush();
}

fn read_request(reader: &mut BufReader<impl Read>, fault: Option<Fault>) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split(' ').map(str::to_owned);
    let (method, target) = (words.next()?, words.next()?);
    let (mut authorization, mut accept, mut length) = (String::new(), String::new(), 0);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim().split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "authorization" => authorization = value.trim().to_owned(),
            "accept" => accept = value.trim().to_owned(),
            "content-length" => length = value.trim().parse().ok()?,
            _ => {}
        }
    }
    let mut body = vec![0; if fault == Some(Fault::HalfRead) { length / 2 } else { length }];
    reader.read_exact(&mut body).ok()?;
    if fault == Some(Fault::HalfRead) {
        return None;
    }
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    Some(Request { method, path: path.to_owned(), query: query.replace("%3A", ":"), authorization, accept, body })
}

impl Answer {
    fn empty(status: u16) -> Answer {
        Answer { status, headers: Vec::new(), body: Vec::new() }
    }

    fn error(status: u16, code: &str, message: &str) -> Answer {
        let body = format!("{{\"errors\":[{{\"code\":\"{code}\",\"message\":\"{message}\"}}]}}");
        Answer { body: body.into_bytes(), ..Answer::empty(status) }
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Answer {
        self.headers.push((name, value.into()));
        self
    }
}

impl State {
    fn answer(&mut self, request: &Request, host: &str) -> Answer {
        let scripted = [format!("{} {}", request.method, request.path), request.method.clone()];
        if let Some((status, location)) = scripted.iter().find_map(|key| self.scripted.get(key)) {
            return Answer::empty(*status).with("location", location);
        }
        if request.path == "/token" {
            return self.token(request);
        }
        if let Some(refusal) = self.refusal(request, host) {
            return refusal;
        }
        let Some(path) = request.path.strip_prefix("/v2/") else { return Answer::empty(404) };
        for (kind, mark) in [("uploads", "/blobs/uploads/"), ("blobs", "/blobs/"), ("manifests", "/manifests/")] {
            if let Some((repository, rest)) = path.split_once(mark) {
                return match kind {
                    "uploads" => self.upload(request, repository, host),
                    "blobs" => self.blob(&request.path, rest),
                    _ => self.manifest(request, repository, rest),
                };
            }
        }
        match path.split_once("/referrers/") {
            Some((repository, digest)) if self.referrers => self.listed(request, repository, digest),
            _ => Answer::error(404, "NOT_FOUND", "page not found"),
        }
    }

    fn blob(&self, path: &str, digest: &str) -> Answer {
        match (self.blobs.get(digest), &self.elsewhere) {
            (None, _) => Answer::error(404, "BLOB_UNKNOWN", "blob unknown"),
            (Some(_), Some(server)) => Answer::empty(307).with("location", format!("http://{server}{path}")),
            (Some(bytes), None) => Answer { body: bytes.clone(), ..Answer::empty(200) },
        }
    }

    fn upload(&mut self, request: &Request, repository: &str, host: &str) -> Answer {
        if request.method == "POST" {
            let path = format!("/v2/{repository}/blobs/uploads/1");
            let answer = Answer::empty(202);
            return match self.place {
                Place::Absolute => answer.with("location", format!("http://{host}{path}")),
                Place::Relative => answer.with("location", path),
                Place::WithQuery => answer.with("location", format!("{path}-s3cr3t-state?_state=secret%3Dstate")),
                Place::Missing => answer,
            };
        }
        let digest = request.query.split('&').find_map(|pair| pair.strip_prefix("digest=")).unwrap_or_default();
        if self.place == Place::WithQuery && !request.query.starts_with("_state=secret%3Dstate&") {
            return Answer::error(404, "BLOB_UPLOAD_UNKNOWN", "unknown upload");
        }
        if oci::digest(&request.body) != digest {
            return Answer::error(400, "DIGEST_INVALID", "digest invalid");
        }
        self.blobs.insert(digest.to_owned(), request.body.clone());
        Answer::empty(201).with("docker-content-digest", self.claimed(digest))
    }

    fn claimed(&self, digest: &str) -> String {
        if self.lies { oci::digest(b"other") } else { digest.to_owned() }
    }

    fn manifest(&mut self, request: &Request, repository: &str, reference: &str) -> Answer {
        let key = |version: &str| (repository.to_owned(), version.to_owned());
        if request.method == "PUT" {
            return self.put(request, repository, reference);
        }
        let digest = self.tags.get(&key(reference)).map_or(reference, String::as_str);
        match self.manifests.get(&key(digest)) {
            // As the distribution registry does: there is nothing where the type is not wanted.
            Some(bytes) if kind(bytes).is_none_or(|kind| request.accept.contains(&kind)) => {
                Answer { body: bytes.clone(), ..Answer::empty(200) }.with("docker-content-digest", self.claimed(digest))
            }
            _ => Answer::error(404, "MANIFEST_UNKNOWN", "manifest unknown"),
        }
    }

    fn put(&mut self, request: &Request, repository: &str, reference: &str) -> Answer {
        let digest = oci::digest(&request.body);
        let manifest = Manifest::parse(&request.body).ok();
        if self.forgets > 0 && manifest.is_some() {
            self.forgets -= 1;
            self.blobs.clear();
        }
        // An index names manifests, a manifest blobs; what is named must be there.
        let named: BTreeSet<&String> =
            manifest.iter().flat_map(|m| m.layers.iter().chain([&m.config])).map(|d| &d.digest).collect();
        if named.iter().any(|digest| !self.blobs.contains_key(*digest)) {
            return Answer::error(404, "MANIFEST_BLOB_UNKNOWN", "blob unknown to registry");
        }
        self.manifests.insert((repository.to_owned(), digest.clone()), request.body.clone());
        if !reference.starts_with("sha256:") {
            self.tags.insert((repository.to_owned(), reference.to_owned()), digest.clone());
        }
        let now = |when: When, tag: &str| (when == When::After) == (tag == reference);
        if let Some((_, tag, theirs)) = self.rival.clone().filter(|(when, tag, _)| now(*when, tag)) {
            let digest = oci::digest(&theirs);
            self.manifests.insert((repository.to_owned(), digest.clone()), theirs);
            self.tags.insert((repository.to_owned(), tag.to_owned()), digest);
        }
        let answer = Answer::empty(201).with("docker-content-digest", self.claimed(&digest));
        match manifest.and_then(|manifest| manifest.subject) {
            Some(subject) if self.referrers => answer.with("oci-subject", subject.digest),
            _ => answer,
        }
    }

    fn listed(&self, request: &Request, repository: &str, digest: &str) -> Answer {
        let entry = |bytes: &Vec<u8>| {
            let manifest: Value = serde_json::from_slice(bytes).ok()?;
            let mut named = json!({"digest": oci::digest(bytes), "size": bytes.len()});
            for field in ["mediaType", "artifactType"] {
                named[field] = manifest[field].clone();
            }
            (manifest["subject"]["digest"] == digest).then_some(named)
        };
        let here = self.manifests.iter().filter(|((place, _), _)| place == repository).map(|(_, bytes)| bytes);
        let entries: Vec<Value> = here.filter_map(entry).collect();
        let (from, size) = (request.query.parse().unwrap_or(0), self.page.unwrap_or(usize::MAX));
        let page: Vec<&Value> = entries.iter().skip(from).take(size).collect();
        let (more, next) = (from + page.len() < entries.len(), from + page.len());
        let body = json!({"schemaVersion": 2, "manifests": page}).to_string().into_bytes();
        let answer = Answer { body, ..Answer::empty(200) };
        if more { answer.with("link", format!("<{}?{next}>; rel=\"next\"", request.path)) } else { answer }
    }
}

fn kind(manifest: &[u8]) -> Option<String> {
    let manifest: Value = serde_json::from_slice(manifest).ok()?;
    Some(manifest["mediaType"].as_str()?.to_owned())
}
