//! Addresses in a registry: `oci://HOST[:PORT]/PATH[:TAG][@DIGEST]`, in the grammar of the distribution specification.

use std::fmt;
use std::net::IpAddr;

use anyhow::{Context, Result, ensure};

/// One repository of a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// The host, with its port where one is given.
    pub host: String,
    /// The path below it; empty for the registry's root, which is no repository but may hold some.
    pub path: String,
}

/// One version in a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Where it is.
    pub repository: Repository,
    /// A tag or a digest, as the registry's API takes them.
    pub version: String,
}

impl Repository {
    /// Reads `oci://HOST/PATH`, where charts go: without a tag, since a chart brings its own.
    pub fn parse(text: &str) -> Result<Repository> {
        let (repository, version) = split(text)?;
        ensure!(
            version.is_none(),
            "`{text}` names a version; leave it out: name and version are those of the chart that is published"
        );
        Ok(repository)
    }

    /// A repository below this one.
    pub fn join(&self, name: &str) -> Repository {
        let path = if self.path.is_empty() { name.to_owned() } else { format!("{}/{name}", self.path) };
        Repository { host: self.host.clone(), path }
    }

    /// The version of a chart in this repository.
    pub fn version(&self, version: &str) -> Result<Reference> {
        Ok(Reference { repository: self.clone(), version: tag(version)? })
    }

    /// Whether the host is this machine.
    pub fn is_loopback(&self) -> bool {
        let name = self.host.rsplit_once(':').map_or(self.host.as_str(), |(name, port)| {
            if port.bytes().all(|b| b.is_ascii_digit()) { name } else { &self.host }
        });
        is_loopback(name)
    }
}

impl Reference {
    /// Reads `oci://HOST/PATH:TAG` or `oci://HOST/PATH@DIGEST`; of both, the digest counts.
    pub fn parse(text: &str) -> Result<Reference> {
        let (repository, version) = split(text)?;
        let version =
            version.with_context(|| format!("`{text}` has neither :VERSION nor @sha256:DIGEST at its end"))?;
        ensure!(!repository.path.is_empty(), "`{text}` names no repository");
        Ok(Reference { repository, version })
    }

    /// Whether it names one content for ever.
    pub fn is_digest(&self) -> bool {
        self.version.contains(':')
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "oci://{}", self.host)?;
        if self.path.is_empty() { Ok(()) } else { write!(f, "/{}", self.path) }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.is_digest() { '@' } else { ':' };
        write!(f, "{}{mark}{}", self.repository, self.version)
    }
}

/// Whether a host, without its port, is this machine.
pub fn is_loopback(host: &str) -> bool {
    let name = host.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// The tag of a chart's version: a tag cannot have a `+`, so that Helm writes `_` for it.
pub fn tag(version: &str) -> Result<String> {
    let tag = version.replace('+', "_");
    let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    ensure!(
        !tag.is_empty() && tag.len() <= 128 && tag.bytes().all(known) && !tag.starts_with(['.', '-']),
        "`{version}` cannot be a tag: letters, digits, `_`, `.` and `-`, 128 at the most, not beginning with `.` or `-`"
    );
    Ok(tag)
}

fn split(text: &str) -> Result<(Repository, Option<String>)> {
    let rest = text.strip_prefix("oci://").with_context(|| format!("`{text}` does not begin with oci://"))?;
    let (rest, digest) = rest.split_once('@').map_or((rest, None), |(rest, digest)| (rest, Some(digest)));
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (path, version) = path.split_once(':').map_or((path, None), |(path, version)| (path, Some(version)));
    let path = path.trim_end_matches('/');
    check_host(host).with_context(|| format!("reading `{text}`"))?;
    check_path(path).with_context(|| format!("reading `{text}`"))?;
    let version = match (digest, version) {
        (Some(digest), _) => Some(check_digest(digest)?.to_owned()),
        (None, Some(version)) => Some(tag(version)?),
        (None, None) => None,
    };
    Ok((Repository { host: host.to_owned(), path: path.to_owned() }, version))
}

fn check_host(host: &str) -> Result<()> {
    let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']');
    // A user or a password in an address would end up in logs.
    ensure!(!host.is_empty() && host.bytes().all(known), "`{host}` is no host such as ghcr.io or localhost:5000");
    Ok(())
}

fn check_path(path: &str) -> Result<()> {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let step = |step: &str| {
        let inner = step.bytes().all(|b| word(b) || matches!(b, b'.' | b'_' | b'-'));
        inner && step.bytes().next().is_some_and(word) && step.bytes().last().is_some_and(word)
    };
    ensure!(
        path.is_empty() || path.split('/').all(step),
        "`{path}` is no repository: registries take lower-case letters, digits, and `.`, `_`, `-` between them"
    );
    Ok(())
}

/// Gives back a digest that is `sha256:` and 64 digits of lower-case hex.
pub fn check_digest(digest: &str) -> Result<&str> {
    let hex = digest.strip_prefix("sha256:").unwrap_or_default();
    ensure!(
        hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)),
        "`{digest}` is no digest such as sha256:<64 digits of hex>"
    );
    Ok(digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_chart_brings_its_name_and_version() {
        for (text, expected) in [
            ("oci://ghcr.io/acme/charts", "oci://ghcr.io/acme/charts/demo:1.0.0_build"),
            ("oci://ghcr.io/acme/charts/", "oci://ghcr.io/acme/charts/demo:1.0.0_build"),
            ("oci://localhost:5000", "oci://localhost:5000/demo:1.0.0_build"),
            ("oci://[::1]:5000/a", "oci://[::1]:5000/a/demo:1.0.0_build"),
        ] {
            let repository = Repository::parse(text).unwrap().join("demo");
            assert_eq!(repository.version("1.0.0+build").unwrap().to_string(), expected);
        }
    }

    #[test]
    fn what_no_registry_takes_is_refused() {
        for (text, expected) in [
            ("ghcr.io/acme", "does not begin with oci://"),
            ("oci://", "no host"),
            ("oci://user:password@ghcr.io/acme", "no digest"),
            ("oci://ghcr.io/Acme", "lower-case"),
            ("oci://ghcr.io/a//b", "lower-case"),
            ("oci://ghcr.io/../b", "lower-case"),
            ("oci://ghcr.io/a:1.0.0", "names a version"),
            ("oci://ghcr.io/a:-x", "cannot be a tag"),
            ("oci://ghcr.io/a@sha256:ab", "no digest"),
        ] {
            let error = format!("{:#}", Repository::parse(text).unwrap_err());
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains("password@") || text.contains("password"), "{error}");
        }
    }

    #[test]
    fn only_this_machine_is_loopback() {
        for (host, expected) in [
            ("localhost", true),
            ("localhost:5000", true),
            ("127.0.0.1:5000", true),
            ("127.9.9.9", true),
            ("[::1]:5000", true),
            ("[::1]", true),
            ("localhost.example.org", false),
            ("127.0.0.1.example.org:80", false),
            ("example.org", false),
            ("10.0.0.1:5000", false),
        ] {
            let repository = Repository { host: host.to_owned(), path: String::new() };
            assert_eq!(repository.is_loopback(), expected, "{host}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_alike(host in "[a-z]{1,5}(:[0-9]{1,5})?", path in "[a-z0-9]{1,4}(/[a-z0-9]{1,4}){0,2}",
                                         version in "(:[A-Za-z0-9_][A-Za-z0-9._-]{0,8})|(@sha256:[0-9a-f]{64})") {
            let text = format!("oci://{host}/{path}{version}");
            prop_assert_eq!(Reference::parse(&text).unwrap().to_string(), text);
        }

        #[test]
        fn nothing_panics(text in "(oci://)?.{0,40}") {
            let _ = (Reference::parse(&text), Repository::parse(&text));
        }
    }
}
