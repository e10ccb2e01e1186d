//! URLs as a registry hands them out: absolute or relative, with a query or without.

use anyhow::{Context, Result, ensure};
use helmpack::oci::reference::is_loopback;
use ureq::http::Uri;

/// Where `location` leads from `base`, without a fragment. Never from https to plain http: on the same host that is a proxy's
/// slip, which is mended; to another host it is refused. Nor from this machine to another one without encryption.
pub fn resolve(base: &str, location: &str) -> Result<String> {
    let from = shown(base);
    ensure!(!location.is_empty(), "{from} answers with an empty Location");
    let base = parse(base).with_context(|| format!("{from} is no URL"))?;
    let url =
        parse(&joined(&base, location)).with_context(|| format!("{from} answers with a Location that is no URL"))?;
    let to = shown(&url.to_string());
    ensure!(is_http(&url) || is_https(&url), "{from} leads to {to}, which is neither http:// nor https://");
    if is_https(&base) && !is_https(&url) {
        let mended = format!("https{}", url.to_string().trim_start_matches("http"));
        ensure!(same_origin(&mended, &base.to_string()), "{from} leads to {to}, which is not encrypted");
        return Ok(mended);
    }
    ensure!(is_private(&url) || !is_private(&base), "{from} leads to {to}, on another machine and not encrypted");
    Ok(url.to_string())
}

/// A URL with a host, and with a port that is one, where it has any.
pub fn parse(url: &str) -> Option<Uri> {
    let url: Uri = url.parse().ok()?;
    let port = url.authority()?.as_str().rsplit('@').next()?.strip_prefix(url.host()?)?;
    (port.is_empty() || url.port().is_some()).then_some(url)
}

/// Every form of a reference but those with `.` and `..`, which are the server's to read.
fn joined(base: &Uri, location: &str) -> String {
    let scheme = base.scheme_str().unwrap_or_default();
    let authority = base.authority().map(|authority| authority.as_str()).unwrap_or_default();
    let path = base.path();
    match location {
        absolute if is_absolute(absolute) => absolute.to_owned(),
        host if host.starts_with("//") => format!("{scheme}:{host}"),
        root if root.starts_with('/') => format!("{scheme}://{authority}{root}"),
        query if query.starts_with('?') => format!("{scheme}://{authority}{path}{query}"),
        relative => format!("{scheme}://{authority}{}{relative}", &path[..path.rfind('/').map_or(0, |at| at + 1)]),
    }
}

fn is_absolute(location: &str) -> bool {
    location.split_once("://").is_some_and(|(scheme, _)| scheme.bytes().all(|b| b.is_ascii_alphabetic()))
}

fn is_http(url: &Uri) -> bool {
    url.scheme_str() == Some("http")
}

fn is_https(url: &Uri) -> bool {
    url.scheme_str() == Some("https")
}

/// Whether nobody on the way can read what is sent there: it is encrypted, or does not leave this machine.
pub fn is_private(url: &Uri) -> bool {
    is_https(url) || (is_http(url) && url.host().is_some_and(is_loopback))
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

/// Whether two URLs are of one server, which may see the same password.
pub fn same_origin(one: &str, other: &str) -> bool {
    let origin = |url: &str| {
        let url = parse(url)?;
        Some((url.scheme_str()?.to_owned(), url.host()?.to_ascii_lowercase(), port(&url)))
    };
    origin(one).is_some_and(|one| Some(one) == origin(other))
}

/// The port that a URL names or its scheme stands for.
pub fn port(url: &Uri) -> u16 {
    url.port_u16().unwrap_or(if is_https(url) { 443 } else { 80 })
}

/// A URL for people: its scheme, host and port. Signatures and upload states stand in the query and in the path, and before
/// the host a password may.
pub fn shown(url: &str) -> String {
    let url = parse(url);
    let parts = url.as_ref().and_then(|url| Some((url.scheme_str()?, url.authority()?.as_str())));
    let Some((scheme, authority)) = parts else { return "an address that is no URL".to_owned() };
    format!("{scheme}://{}", authority.rsplit('@').next().unwrap_or_default())
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
            ("HTTP://R.example.org/x", "https://R.example.org/x"),
            ("HTTPS://s3.example.org/x", "https://s3.example.org/x"),
        ] {
            assert_eq!(resolve(base, location).unwrap(), expected, "{location}");
        }
        assert_eq!(resolve("http://h", "x").unwrap(), "http://h/x");
        assert_eq!(resolve("http://h/a", "http://i/b").unwrap(), "http://i/b");
        assert_eq!(resolve("http://127.0.0.1:5000/a", "http://[::1]:5001/b").unwrap(), "http://[::1]:5001/b");
        for (base, location, expected) in [
            (base, "", "empty Location"),
            (base, "http://s3.example.org/x?secret=1", "not encrypted"),
            (base, "HTTP://u:secret@s3.example.org/secret", "leads to http://s3.example.org, which is not encrypted"),
            (base, "ftp://s3.example.org/secret", "neither http"),
            (base, "https://s3.example.org:99999/secret", "no URL"),
            (base, "secret state", "no URL"),
            ("http://localhost:5000/a", "http://s3.example.org/secret", "another machine"),
        ] {
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
        assert!(!same_origin("https://r.example.org\\@evil", "https://r.example.org"));
        for (url, expected) in [
            ("https://h/x?token=secret", "https://h"),
            ("HTTP://u:secret@h:1/secret", "http://h:1"),
            ("secret", "an address that is no URL"),
        ] {
            assert_eq!(shown(url), expected);
        }
    }
}
