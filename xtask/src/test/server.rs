//! A folder over HTTP on loopback, for programs that read a chart repository.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};

use anyhow::Result;

pub(super) struct Server {
    pub url: String,
}

impl Server {
    /// Serves the files of a folder until the process ends.
    pub fn start(folder: PathBuf) -> Result<Server> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("http://{}", listener.local_addr()?);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that goes away is the client's business.
                let _ = serve(stream, &folder);
            }
        });
        Ok(Server { url })
    }
}

fn serve(mut stream: TcpStream, folder: &Path) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let name = request.split(' ').nth(1).unwrap_or_default().trim_start_matches('/');
    // Only the folder's own files: a name that leads elsewhere is not found.
    let bytes = if name.contains("..") { None } else { std::fs::read(folder.join(name)).ok() };
    let status = if bytes.is_some() { "200 OK" } else { "404 Not Found" };
    let bytes = bytes.unwrap_or_default();
    write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", bytes.len())?;
    stream.write_all(&bytes)
}
