//! A small HTTP server on loopback that answers as a test tells it.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// One answer. An answer may promise more bytes than it sends before it hangs up.
#[derive(Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    /// Send only so many bytes of the body.
    pub cut: Option<usize>,
}

impl Answer {
    pub fn ok(body: impl Into<Vec<u8>>) -> Answer {
        Answer { status: 200, headers: Vec::new(), body: body.into(), cut: None }
    }

    pub fn status(status: u16) -> Answer {
        Answer { status, ..Answer::ok("") }
    }
}

/// Answers by path, with the query (decoded) that is meant or for any; they are given one after the other, the last one for ever.
type Answers = BTreeMap<String, Vec<Answer>>;

pub struct Server {
    pub url: String,
    pub answers: Arc<Mutex<Answers>>,
    /// The path and the Authorization header of every request.
    pub requests: Arc<Mutex<Vec<(String, String)>>>,
}

impl Server {
    pub fn start() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Server {
            url: format!("http://{}", listener.local_addr().unwrap()),
            answers: Arc::default(),
            requests: Arc::default(),
        };
        let (answers, requests) = (server.answers.clone(), server.requests.clone());
        // The thread ends with the test's process; every request in it is bounded by the client.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = serve(stream, &answers, &requests);
            }
        });
        server
    }

    pub fn answer(&self, path: &str, answers: &[Answer]) {
        self.answers.lock().unwrap().insert(path.to_owned(), answers.to_vec());
    }

    pub fn requested(&self) -> Vec<String> {
        self.requests.lock().unwrap().iter().map(|(path, _)| path.clone()).collect()
    }
}

fn serve(
    mut stream: TcpStream,
    answers: &Mutex<Answers>,
    requests: &Mutex<Vec<(String, String)>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut method, mut path, mut authorization) = read_request(&mut reader)?;
    if method == "CONNECT" {
        // As a proxy it reaches every host, which is itself.
        requests.lock().unwrap().push((format!("CONNECT {path}"), authorization));
        write!(stream, "HTTP/1.1 200 OK\r\n\r\n")?;
        (method, path, authorization) = read_request(&mut reader)?;
    }
    assert_eq!(method, "GET");
    requests.lock().unwrap().push((path.clone(), authorization));
    let answer = {
        let mut answers = answers.lock().unwrap();
        let exact = decoded(&path);
        let known = if answers.contains_key(&exact) { &exact } else { path.split('?').next().unwrap_or_default() };
        match answers.get_mut(known) {
            Some(list) if list.len() > 1 => list.remove(0),
            Some(list) => list[0].clone(),
            None => Answer::status(404),
        }
    };
    let headers: String = answer.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = answer.body.len();
    write!(stream, "HTTP/1.1 {} X\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n", answer.status)?;
    stream.write_all(&answer.body[..answer.cut.unwrap_or(length)])?;
    stream.flush()
}

/// The method, the path and the Authorization header of a request.
fn read_request(reader: &mut BufReader<TcpStream>) -> std::io::Result<(String, String, String)> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split(' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut authorization = String::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        if header.trim().is_empty() {
            return Ok((method, path, authorization));
        }
        if let Some(value) = header.to_ascii_lowercase().strip_prefix("authorization:") {
            authorization = value.trim().to_owned();
        }
    }
}

/// A path with its query as it was before a client escaped it.
fn decoded(path: &str) -> String {
    let mut pieces = path.split('%');
    let mut bytes = pieces.next().unwrap_or_default().replace('+', " ").into_bytes();
    for piece in pieces {
        match piece.get(..2).map(|digits| u8::from_str_radix(digits, 16)) {
            Some(Ok(byte)) => {
                bytes.push(byte);
                bytes.extend(piece[2..].replace('+', " ").bytes());
            }
            _ => bytes.extend(format!("%{piece}").bytes()),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
