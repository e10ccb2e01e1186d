//! Targets for a real Prometheus to scrape: texts of scrapes on loopback, whose counters grow from one to the next.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result};

/// How much a counter grows from scrape to scrape, as a share of what it was at first.
const GROWTH: f64 = 0.1;

/// The texts of scrapes, one for each target, by job.
pub(super) type Scrapes = BTreeMap<String, Vec<String>>;

/// Where a text of a job is served.
pub(super) fn path(job: &str, number: usize) -> String {
    format!("/{job}/{number}")
}

/// Serves each text for as long as the process lives.
pub(super) fn serve(scrapes: Scrapes) -> Result<SocketAddr> {
    let of_job = |(job, texts): (String, Vec<String>)| {
        texts.into_iter().enumerate().map(move |(number, text)| (path(&job, number), text))
    };
    let texts: BTreeMap<String, String> = scrapes.into_iter().flat_map(of_job).collect();
    let listener = TcpListener::bind("127.0.0.1:0").context("listening on loopback")?;
    let address = listener.local_addr().context("asking for the port")?;
    let scrapes = AtomicU32::new(0);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that hangs up gets its answer at the next scrape.
            let _ = answer(stream, &texts, &scrapes);
        }
    });
    Ok(address)
}

fn answer(mut stream: TcpStream, texts: &BTreeMap<String, String>, scrapes: &AtomicU32) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    while lines.next().transpose()?.is_some_and(|header| !header.is_empty()) {}
    let scrape = f64::from(scrapes.fetch_add(1, Ordering::Relaxed));
    let (status, text) = match request.split(' ').nth(1).and_then(|path| texts.get(path)) {
        Some(text) => ("200 OK", grown(text, 1.0 + GROWTH * scrape)),
        None => ("404 Not Found", String::new()),
    };
    let length = text.len();
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {length}\r\n");
    write!(stream, "{head}Connection: close\r\n\r\n{text}")
}

/// The text with every counter, and everything of a histogram, times `factor`: buckets stay in proportion.
fn grown(text: &str, factor: f64) -> String {
    let mut counts = false;
    let mut grown = String::with_capacity(text.len());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            counts = matches!(rest.split(' ').nth(1), Some("counter" | "histogram"));
        }
        let sample = line.rsplit_once(' ').filter(|_| counts && !line.starts_with('#'));
        match sample.and_then(|(series, value)| Some((series, value.parse::<f64>().ok()?))) {
            Some((series, value)) => grown += &format!("{series} {}\n", value * factor),
            None => grown += &format!("{line}\n"),
        }
    }
    grown
}

#[cfg(test)]
mod tests {
    use super::grown;

    #[test]
    fn counters_grow_and_gauges_do_not() {
        let text = "# TYPE c counter\nc{x=\"a b\"} 2\n# TYPE g gauge\ng 2\n# TYPE h histogram\nh_bucket{le=\"1\"} 4\n";
        let expected =
            "# TYPE c counter\nc{x=\"a b\"} 3\n# TYPE g gauge\ng 2\n# TYPE h histogram\nh_bucket{le=\"1\"} 6\n";
        assert_eq!(grown(text, 1.5), expected);
    }
}
