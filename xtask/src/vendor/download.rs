//! Fetches a dependency over HTTP, from a chart repository or an OCI registry. What arrives is only as good as its
//! digest, which the caller compares.

use anyhow::{Context, Result, bail, ensure};
use helmpack::chart::Dependency;
use helmpack::repository;

use crate::http;

/// The archive of a dependency, from its repository. `pin` is its expected sha256 in hex.
pub fn archive(dependency: &Dependency, pin: &str) -> Result<Vec<u8>> {
    let agent = http::agent();
    let (name, repository) = (&dependency.name, &dependency.repository);
    if let Some(url) = repository::blob_url(repository, name, pin) {
        return http::get(&agent, &url);
    }
    ensure!(repository.starts_with("http"), "the repository `{repository}` is neither http(s):// nor oci://");
    let index = http::get(&agent, &format!("{}/index.yaml", repository.trim_end_matches('/')))?;
    let index = String::from_utf8(index).context("the repository's index.yaml is not UTF-8")?;
    let release = repository::find(&index, repository, name, &dependency.version)?;
    if let Some(digest) = release.digest.as_deref().filter(|digest| *digest != pin) {
        bail!("{repository} lists another archive under this version: its sha256 is {digest}, the pin is {pin}");
    }
    let url = release.urls.first().context("the repository lists no URL for it")?;
    http::get(&agent, url)
}
