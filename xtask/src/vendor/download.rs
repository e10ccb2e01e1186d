//! Fetches a dependency over HTTP, from a chart repository or an OCI registry. What arrives is only as good as its
//! digest, which the caller compares.

use anyhow::{Context, Result, bail, ensure};
use helmpack::chart::Dependency;
use helmpack::oci::reference::Repository;
use helmpack::repository;

use crate::flags;
use crate::http;
use crate::registry::{Access, Client};

/// How long a whole archive may take.
const SECONDS: u64 = 600;

/// The archive of a dependency, from its repository. `pin` is its expected sha256 in hex.
pub fn archive(dependency: &Dependency, pin: &str) -> Result<Vec<u8>> {
    let (name, repository) = (&dependency.name, &dependency.repository);
    if repository.starts_with("oci://") {
        return blob(&Repository::parse(repository)?.join(name), pin);
    }
    ensure!(repository.starts_with("http"), "the repository `{repository}` is neither http(s):// nor oci://");
    let client = http::Client::new(http::Settings::default());
    let index = client.get(&format!("{}/index.yaml", repository.trim_end_matches('/')))?;
    let index = String::from_utf8(index).context("the repository's index.yaml is not UTF-8")?;
    let release = repository::find(&index, repository, name, &dependency.version)?;
    if let Some(digest) = release.digest.as_deref().filter(|digest| *digest != pin) {
        bail!("{repository} lists another archive under this version: its sha256 is {digest}, the pin is {pin}");
    }
    let url = release.urls.first().context("the repository lists no URL for it")?;
    client.get(url)
}

/// A chart's layer is its archive, so the archive's own digest is enough to ask for it.
fn blob(repository: &Repository, pin: &str) -> Result<Vec<u8>> {
    let flags =
        flags::Registry { plain_http: repository.is_loopback(), timeout: SECONDS, ..flags::Registry::default() };
    let clients = Client::open(std::slice::from_ref(repository), &flags, Access::Pull)?;
    let client = clients.first().context("there is no client")?;
    client.blob(&format!("sha256:{pin}"))
}
