//! URLs as a registry hands them out: absolute or relative, with a query or without.

use anyhow::{Result, bail, ensure};

/// Where `location` leads from `base`. Never from https to plain http: on the same host that is a proxy's slip, which is
/// mended; to another host it is refused.
pub fn resolve(base: &str, location: &str) -> Result<String> {
    let location = location.split('#').next().unwrap_or_default();
    let (scheme, _) = base.split_once("://").unwrap_or(("", base));
    let path = base.split(['?', '#']).next().unwrap_or_default();
    let folder =
        path.rfind('/').filter(|at| *at > scheme.len() + 2).map_or(format!("{path}/"), |at| path[..=at].to_owned());
    let url = match location {
        "" => bail!("{} answers with an empty Location", shown(base)),
        absolute if is_absolute(absolute) => absolute.to_owned(),
        host if host.starts_with("//") => format!("{scheme}:{host}"),
        root if root.starts_with('/') => format!("{}{root}", origin(base)),
        query if query.starts_with('?') => format!("{path}{query}"),
        relative => format!("{folder}{relative}"),
    };
    if base.starts_with("https://") && url.starts_with("http://") {
        let mended = url.replacen("http", "https", 1);
        ensure!(same_origin(&mended, base), "{} leads to {}, which is not encrypted", shown(base), shown(&url));
        return Ok(mended);
    }
    Ok(url)
}

fn is_absolute(location: &str) -> bool {
    location.split_once("://").is_some_and(|(scheme, _)| scheme.bytes().all(|b| b.is_ascii_alphabetic()))
}

/// A URL with one more parameter, whether it has some or not. The value goes in as it is.
pub fn with_parameter(url: &str, name: &str, value: &str) -> String {
    let mark = if !url.contains('?') {
        "?"
    } else if url.ends_with(['?', '&']) {
        ""
    } else {
        "&"
    };
    format!("{url}{mark}{name}={value}")
}

/// A value as a query or a form carries it.
pub fn encoded(value: &str) -> String {
    let byte = |b: u8| match b {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(b).to_string(),
        b => format!("%{b:02X}"),
    };
    value.bytes().map(byte).collect()
}

/// Scheme, host and port.
fn origin(url: &str) -> &str {
    let start = url.find("://").map_or(0, |at| at + 3);
    let end = url[start..].find(['/', '?', '#']).map_or(url.len(), |at| start + at);
    &url[..end]
}

/// Whether two URLs are of one server, which may see the same password.
pub fn same_origin(one: &str, other: &str) -> bool {
    let normal = |url: &str| {
        let origin = origin(url).to_ascii_lowercase();
        let default = if origin.starts_with("https:") { ":443" } else { ":80" };
        origin.strip_suffix(default).map(str::to_owned).unwrap_or(origin)
    };
    normal(one) == normal(other)
}

/// A URL for people: without its query, in which signatures and upload states stand.
pub fn shown(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_location_leads_somewhere() {
        let base = "https://r.example.org/v2/a/blobs/uploads/";
        for (location, expected) in [
            ("https://s3.example.org/x?sig=1#f", "https://s3.example.org/x?sig=1"),
            ("//s3.example.org/x", "https://s3.example.org/x"),
            ("/v2/a/blobs/uploads/1?state=2", "https://r.example.org/v2/a/blobs/uploads/1?state=2"),
            ("1?state=a://b", "https://r.example.org/v2/a/blobs/uploads/1?state=a://b"),
            ("?x=1", "https://r.example.org/v2/a/blobs/uploads/?x=1"),
            ("http://r.example.org/x", "https://r.example.org/x"),
        ] {
            assert_eq!(resolve(base, location).unwrap(), expected, "{location}");
        }
        assert_eq!(resolve("http://h", "x").unwrap(), "http://h/x");
        for (location, expected) in [("", "empty Location"), ("http://s3.example.org/x?secret=1", "not encrypted")] {
            let error = resolve(base, location).unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_parameter_joins_those_that_are_there() {
        for (url, expected) in [
            ("h/x", "h/x?digest=d"),
            ("h/x?a=1", "h/x?a=1&digest=d"),
            ("h/x?", "h/x?digest=d"),
            ("h/x?a&", "h/x?a&digest=d"),
        ] {
            assert_eq!(with_parameter(url, "digest", "d"), expected);
        }
        assert_eq!(encoded("a:b/c ä~"), "a%3Ab%2Fc%20%C3%A4~");
    }

    #[test]
    fn one_server_is_told_from_another() {
        assert!(same_origin("https://R.example.org/a", "https://r.example.org:443?x"));
        for other in ["http://r.example.org/", "https://r.example.org:5000/", "https://r.example.org.evil/"] {
            assert!(!same_origin("https://r.example.org/", other), "{other}");
        }
        assert_eq!(shown("https://h/x?token=secret"), "https://h/x");
    }
}
