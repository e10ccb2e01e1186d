//! A client of one OCI registry, as the distribution specification has it. What is read is checked against its digest,
//! what is written can be written again.

mod challenge;
mod link;
mod login;
mod secret;
mod session;

use std::rc::Rc;

use anyhow::{Context, Result, anyhow, bail, ensure};
use helmpack::oci::reference::{self, Repository};
use helmpack::oci::{self, Blob, Descriptor, INDEX, MANIFEST, referrer};
use ureq::http::{Method, StatusCode};

use crate::flags;
use crate::http::{self, Answer, Failure, location};
use login::Finder;
pub use login::password;
pub use secret::Secret;
pub use session::Access;
use session::Session;

/// What a tag or a manifest's digest may lead to. A registry that has something of another type under a tag may answer that
/// there is nothing, so every type is named: what is there must be seen, whatever it is.
const ACCEPT: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
                      application/vnd.docker.distribution.manifest.v2+json, \
                      application/vnd.docker.distribution.manifest.list.v2+json, */*";

/// How often the list of referrers is written again when another writer's takes its place.
const LISTINGS: usize = 5;

/// Of a list of referrers, each with as many entries as its registry likes.
const MAX_PAGES: usize = 100;

/// One repository of a registry.
pub struct Client {
    session: Session,
    repository: Repository,
}

/// What became of a manifest.
enum Stored {
    /// It is there. A registry that has the API lists by itself what it refers to.
    Written { lists_referrers: bool },
    /// It is refused: the registry has lost a blob that it names.
    LacksBlob,
    /// Someone else has written the tag meanwhile.
    Overtaken,
}

impl Client {
    /// Clients of several repositories in one registry, with one login.
    pub fn open(repositories: &[Repository], flags: &flags::Registry, access: Access) -> Result<Vec<Client>> {
        let Some(first) = repositories.first() else { return Ok(Vec::new()) };
        let login = Rc::new(Finder::new(&first.host, flags)?);
        let client = |repository: &Repository| {
            let http = http::Client::new(flags.settings()?);
            let session = Session::open(http, repository, Rc::clone(&login), access, flags.plain_http)?;
            Ok(Client { session, repository: repository.clone() })
        };
        repositories.iter().map(client).collect()
    }

    /// The manifest of a tag or a digest, if there is one.
    pub fn manifest(&self, version: &str) -> Result<Option<Vec<u8>>> {
        let what = format!("asking for {version} of {}", self.repository);
        self.session.retrying(&what, || self.try_manifest(version))
    }

    fn try_manifest(&self, version: &str) -> Result<Option<Vec<u8>>, Failure> {
        let url = self.url(&format!("manifests/{version}"));
        let answer = self.session.send(&Method::GET, &url, &[("accept", ACCEPT)], None)?;
        match answer.status {
            StatusCode::OK => check_digest(&answer, version).map(|()| Some(answer.body)),
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(self.session.unexpected(&answer)),
        }
    }

    /// Whether the registry has a blob, whole.
    pub fn has_blob(&self, descriptor: &Descriptor) -> Result<bool> {
        let what = format!("asking for a blob of {}", self.repository);
        self.session.retrying(&what, || self.try_has_blob(descriptor))
    }

    fn try_has_blob(&self, descriptor: &Descriptor) -> Result<bool, Failure> {
        let url = self.url(&format!("blobs/{}", descriptor.digest));
        let answer = self.session.send(&Method::HEAD, &url, &[], None)?;
        let length = answer.headers.get("content-length").and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        match answer.status {
            StatusCode::OK if length.is_none_or(|length| length == descriptor.size) => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            // Some servers know no HEAD, and some proxies give its answer a length of 0: then the bytes tell.
            StatusCode::OK | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => {
                let answer = self.session.send(&Method::GET, &url, &[], None)?;
                match answer.status {
                    StatusCode::OK => Ok(oci::digest(&answer.body) == descriptor.digest),
                    StatusCode::NOT_FOUND => Ok(false),
                    _ => Err(self.session.unexpected(&answer)),
                }
            }
            _ => Err(self.session.unexpected(&answer)),
        }
    }

    /// A blob's bytes.
    pub fn blob(&self, digest: &str) -> Result<Vec<u8>> {
        reference::check_digest(digest)?;
        let url = self.url(&format!("blobs/{digest}"));
        self.session.retrying(&format!("fetching {digest} of {}", self.repository), || {
            let answer = self.session.send(&Method::GET, &url, &[], None)?;
            match answer.status {
                StatusCode::OK => check_digest(&answer, digest).map(|()| answer.body),
                _ => Err(self.session.unexpected(&answer)),
            }
        })
    }

    /// Sends a blob, unless the registry has it by then. After trouble everything begins anew: an upload that was begun
    /// belongs to the connection that broke, and its blob may have arrived all the same.
    pub fn upload(&self, blob: &Blob) -> Result<()> {
        let what = format!("sending a blob to {}", self.repository);
        let mut tried = false;
        self.session.retrying(&what, || {
            if std::mem::replace(&mut tried, true) && self.try_has_blob(&blob.descriptor)? {
                return Ok(());
            }
            self.try_upload(blob)
        })
    }

    fn try_upload(&self, blob: &Blob) -> Result<(), Failure> {
        let answer = self.session.send(&Method::POST, &self.url("blobs/uploads/"), &[], Some(&[]))?;
        if answer.status != StatusCode::ACCEPTED {
            return Err(self.session.unexpected(&answer));
        }
        let place = answer.headers.get("location").and_then(|value| value.to_str().ok());
        let place = place.context("the registry takes an upload and does not say where: its answer has no Location")?;
        let place = location::resolve(&answer.url, place)?;
        let digest = &blob.descriptor.digest;
        let url = location::with_parameter(&place, "digest", &location::encoded(digest));
        let kind = [("content-type", "application/octet-stream")];
        let answer = self.session.send(&Method::PUT, &url, &kind, Some(&blob.bytes))?;
        match answer.status {
            StatusCode::CREATED => Ok(said_digest(&answer, digest)?),
            // It has forgotten the upload, as after a restart.
            StatusCode::NOT_FOUND => Err(Failure::temporary(anyhow!("the registry has lost the upload"))),
            _ => Err(self.session.unexpected(&answer)),
        }
    }

    /// Writes a manifest under its digest, or under a tag that nobody has. A blob that the registry has lost since it was
    /// asked is sent again, once. That a tag was taken meanwhile is no error here: it is read back anyway.
    pub fn put(&self, version: &str, artifact: &oci::Artifact) -> Result<()> {
        if let Stored::LacksBlob = self.put_manifest(version, MANIFEST, &artifact.manifest, None)? {
            note!("the registry lacks a blob that it had; sending all of them again");
            artifact.blobs.iter().try_for_each(|blob| self.upload(blob))?;
            if let Stored::LacksBlob = self.put_manifest(version, MANIFEST, &artifact.manifest, None)? {
                bail!("the registry says that it lacks a blob of {version} which it has just taken; run it again");
            }
        }
        Ok(())
    }

    /// `before` is what was last seen under a tag. A second try looks first, since the one before may have been heard,
    /// and since in the pause someone else may have written.
    fn put_manifest(&self, version: &str, kind: &str, bytes: &[u8], before: Option<&[u8]>) -> Result<Stored> {
        let what = format!("writing {version} of {}", self.repository);
        let url = self.url(&format!("manifests/{version}"));
        let mut tried = false;
        self.session.retrying(&what, || {
            if std::mem::replace(&mut tried, true) && !version.starts_with("sha256:") {
                let now = self.try_manifest(version)?;
                if now.as_deref() != before && now.as_deref() != Some(bytes) {
                    return Ok(Stored::Overtaken);
                }
            }
            let answer = self.session.send(&Method::PUT, &url, &[("content-type", kind)], Some(bytes))?;
            let errors = session::errors(&answer.body);
            let lacks_blob = errors.iter().any(|(code, _)| code == "MANIFEST_BLOB_UNKNOWN" || code == "BLOB_UNKNOWN");
            match answer.status {
                StatusCode::CREATED => {
                    said_digest(&answer, &oci::digest(bytes))?;
                    Ok(Stored::Written { lists_referrers: answer.headers.contains_key("oci-subject") })
                }
                _ if lacks_blob => Ok(Stored::LacksBlob),
                _ => Err(self.session.unexpected(&answer)),
            }
        })
    }

    /// The manifests that refer to a digest: from the referrers API, else from the list that stands in for it.
    pub fn referrers(&self, digest: &str) -> Result<Vec<Descriptor>> {
        let what = format!("asking what refers to {digest} in {}", self.repository);
        let mut url = self.url(&format!("referrers/{digest}"));
        let mut entries = Vec::new();
        for _ in 0..MAX_PAGES {
            let Some(page) = self.session.retrying(&what, || self.try_page(&url))? else {
                let list = self.manifest(&referrer::fallback_tag(digest))?;
                entries.extend(
                    list.map_or(Ok(Vec::new()), |list| referrer::entries(&list)).with_context(|| what.clone())?,
                );
                return Ok(entries);
            };
            entries.extend(referrer::entries(&page.body).with_context(|| what.clone())?);
            let links = page.headers.get_all("link").iter().filter_map(|value| value.to_str().ok());
            let Some(next) = links.into_iter().find_map(link::next) else { return Ok(entries) };
            url = location::resolve(&page.url, next).with_context(|| what.clone())?;
            ensure!(
                location::same_origin(&url, self.session.origin()),
                "{what}: the list goes on at {}, which is another host",
                location::shown(&url)
            );
        }
        bail!("{what}: the list has more than {MAX_PAGES} pages")
    }

    /// A page of a list of referrers. Registries without the API answer in one of several ways.
    fn try_page(&self, url: &str) -> Result<Option<Answer>, Failure> {
        let answer = self.session.send(&Method::GET, url, &[("accept", INDEX)], None)?;
        match answer.status.as_u16() {
            200 => Ok(Some(answer)),
            400 | 404 | 405 | 501 => Ok(None),
            _ => Err(self.session.unexpected(&answer)),
        }
    }

    /// Puts a manifest beside the one that it refers to. Where the registry does not list it by itself, the list at the
    /// fallback tag is read, written with one more entry and read back: what others wrote into it stays, unless they
    /// write in the very moment between, which the next run mends.
    pub fn attach(&self, subject: &str, artifact: &oci::Artifact) -> Result<()> {
        for blob in &artifact.blobs {
            if !self.has_blob(&blob.descriptor)? {
                self.upload(blob)?;
            }
        }
        let digest = artifact.digest();
        match self.put_manifest(&digest, MANIFEST, &artifact.manifest, None)? {
            Stored::Written { lists_referrers: true } => return Ok(()),
            Stored::Written { lists_referrers: false } | Stored::Overtaken => {}
            Stored::LacksBlob => bail!("the registry lacks a blob of {digest} which it has just taken; run it again"),
        }
        let (tag, entry) = (referrer::fallback_tag(subject), referrer::entry(artifact)?);
        for _ in 0..=LISTINGS {
            let listed = self.manifest(&tag)?;
            let Some(index) = referrer::merge(listed.as_deref(), &entry)? else { return Ok(()) };
            self.put_manifest(&tag, INDEX, &index, listed.as_deref())?;
        }
        bail!("someone else keeps writing {tag} of {}; run it again when they are done", self.repository)
    }

    fn url(&self, rest: &str) -> String {
        format!("{}/v2/{}/{rest}", self.session.origin(), self.repository.path)
    }
}

/// What arrived must be what was asked for, whatever the registry says of it. Another body may be a cut one, so that
/// asking again may help.
fn check_digest(answer: &Answer, version: &str) -> Result<(), Failure> {
    let actual = oci::digest(&answer.body);
    if version.starts_with("sha256:") && actual != version {
        return Err(Failure::temporary(anyhow!("the registry sends other bytes than those of {version}: {actual}")));
    }
    Ok(said_digest(answer, &actual)?)
}

/// The digest that a registry names, if it does, must be that of the bytes.
fn said_digest(answer: &Answer, actual: &str) -> Result<()> {
    let said = answer.headers.get("docker-content-digest").and_then(|value| value.to_str().ok());
    let other = said.filter(|said| said.starts_with("sha256:") && *said != actual);
    ensure!(
        other.is_none(),
        "the registry calls these bytes {}, their digest is {actual}; something on the way changes them",
        other.unwrap_or_default()
    );
    Ok(())
}
