//! `cargo xtask publish`: dist/ → an OCI registry. Everything that is there is asked for first, then what lacks is sent,
//! the version's tag last.

pub mod plan;
pub mod release;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use helmpack::archive::Files;
use helmpack::chart::Chart;
use helmpack::oci::reference::Repository;
use helmpack::oci::{self, Blob};

use crate::failure::Usage;
use crate::flags::{self, Edition};
use crate::output::{Lock, Staged};
use crate::publishable;
use crate::record::{self, Record};
use crate::registry::{Access, Client};
use crate::verify::{self, receipt};
use plan::{Conflict, Seen, Step};
use release::{Referrer, Release};

impl flags::Publish {
    pub fn run(mut self, root: &Path) -> Result<()> {
        let folder = match &self.input {
            Some(folder) => {
                std::path::absolute(folder).with_context(|| format!("resolving --input {}", folder.display()))?
            }
            None => root.join("dist"),
        };
        let target = Repository::parse(&self.target)?;
        let files = read(&folder)?;
        let charts = verified(&folder, &files)?;
        let record = files.get(record::FILE).context("there is no package.json")?;
        let record = Record::parse(record).context("reading package.json")?;
        let wanted = |edition: &Edition| self.edition.is_none_or(|only| only == *edition);
        let editions: Vec<Edition> =
            Edition::ALL.into_iter().filter(wanted).filter(|e| record.archive(*e).is_some()).collect();
        may_go(root, &record, &editions)?;
        let releases = release::read(&files, &charts, &record, &editions, &target)?;
        // An edition that was published before, and is not now, stays on record.
        let mut others = receipt::releases(&files, &charts)?;
        others.retain(|before| !editions.contains(&before.edition));
        let repositories: Vec<Repository> =
            releases.iter().map(|release| release.reference.repository.clone()).collect();
        let access = if self.dry_run { Access::Pull } else { Access::Push };
        self.registry.read_password()?;
        let clients = Client::open(&repositories, &self.registry, access)?;
        let mut plans = Vec::new();
        for (release, client) in releases.iter().zip(&clients) {
            plans.push(plan::steps(release, &look(client, release)?));
        }
        // One that cannot go keeps the others back: editions of a version belong together.
        let refused: Vec<String> = plans.iter().filter_map(|plan| Some(plan.as_ref().err()?.to_string())).collect();
        if self.dry_run {
            releases.iter().zip(&plans).for_each(|(release, plan)| show(release, plan));
        }
        if !refused.is_empty() {
            bail!("{}", refused.join("\n"));
        }
        if self.dry_run {
            say!("Nothing was sent.");
            return Ok(());
        }
        let plans: Vec<Vec<Step<'_>>> = plans.into_iter().flatten().collect();
        if !self.no_rebuild && plans.iter().any(|steps| !steps.is_empty()) {
            let mut files = files;
            files.retain(|name, _| !name.ends_with(".tgz") || releases.iter().any(|release| release.archive == *name));
            same_again(root, &record, &files)?;
        }
        // Whoever cannot write down what was published is told so before it is.
        let _lock = Lock::take(root)?;
        let mut staged = Staged::default();
        staged.write(&folder.join(receipt::FILE), &receipt::write(releases.iter().chain(&others))?)?;
        for ((release, client), steps) in releases.iter().zip(&clients).zip(&plans) {
            send(client, release, steps).with_context(|| format!("publishing {}", release.reference))?;
            summary(release, steps);
        }
        staged.commit()?;
        say!("record {}", folder.join(receipt::FILE).display());
        Ok(())
    }
}

fn read(folder: &Path) -> Result<Files> {
    if !folder.is_dir() {
        bail!(Usage(format!("there is no {}; `cargo xtask package` makes dist/", folder.display())));
    }
    verify::read(folder)
}

/// The charts of a folder by the names of their archives, if its files are what `package` wrote.
fn verified<'a>(folder: &Path, files: &'a Files) -> Result<BTreeMap<&'a str, Chart>> {
    let (archives, defects) = verify::folder::verify(files);
    if !defects.is_empty() {
        bail!("{} does not verify; make it anew with `cargo xtask package`{}", folder.display(), lines(&defects));
    }
    Ok(archives.into_iter().map(|(name, archive)| (name, archive.chart)).collect())
}

/// The release discipline: what is published can be traced and made again.
fn may_go(root: &Path, record: &Record, editions: &[Edition]) -> Result<()> {
    let changelog = std::fs::read_to_string(root.join("CHANGELOG.md")).context("reading CHANGELOG.md")?;
    let refusals = publishable::refusals(record, &changelog, &publishable::tags(root, record)?, editions);
    ensure!(refusals.is_empty(), "this build must not be published:{}", lines(&refusals));
    Ok(())
}

fn same_again(root: &Path, record: &Record, files: &Files) -> Result<()> {
    let defects = verify::rebuild::rebuild(root, record, files)?;
    ensure!(defects.is_empty(), "the recorded commit does not give what is to be published:{}", lines(&defects));
    Ok(())
}

fn lines(reasons: &[impl Display]) -> String {
    reasons.iter().map(|reason| format!("\n  {reason}")).collect()
}

/// Asks what the registry has of a release.
pub fn look(client: &Client, release: &Release) -> Result<Seen> {
    let mut seen = Seen { tag: client.manifest(&release.reference.version)?, ..Seen::default() };
    let digest = release.chart.digest();
    seen.manifest = seen.tag.as_deref() == Some(&release.chart.manifest) || client.manifest(&digest)?.is_some();
    look_for(client, &release.chart.blobs, &mut seen.blobs)?;
    let listed = client.referrers(&digest)?;
    for Referrer { artifact, .. } in &release.referrers {
        let digest = artifact.digest();
        if !listed.iter().any(|entry| entry.digest == digest) || client.manifest(&digest)?.is_none() {
            continue;
        }
        look_for(client, &artifact.blobs, &mut seen.blobs)?;
        if artifact.blobs.iter().all(|blob| seen.blobs.contains(&blob.descriptor.digest)) {
            seen.referrers.insert(digest);
        }
    }
    Ok(seen)
}

/// Asks which blobs are there, each once: several artifacts may share one.
fn look_for(client: &Client, blobs: &[Blob], seen: &mut BTreeSet<String>) -> Result<()> {
    for Blob { descriptor, .. } in blobs {
        if !seen.contains(&descriptor.digest) && client.has_blob(descriptor)? {
            seen.insert(descriptor.digest.clone());
        }
    }
    Ok(())
}

/// Sends what lacks.
pub fn send(client: &Client, release: &Release, steps: &[Step<'_>]) -> Result<()> {
    for step in steps {
        match step {
            Step::Blob(blob) => client.upload(blob)?,
            Step::Manifest => client.put(&release.chart.digest(), &release.chart)?,
            Step::Referrer(referrer) => client.attach(&release.chart.digest(), &referrer.artifact)?,
            Step::Tag => write_tag(client, release)?,
        }
    }
    Ok(())
}

/// Registries have no "write if nobody has": so look once more right before, and read back right after.
fn write_tag(client: &Client, release: &Release) -> Result<()> {
    let (tag, ours) = (&release.reference.version, &release.chart);
    if let Some(theirs) = client.manifest(tag)?.filter(|theirs| *theirs != ours.manifest) {
        return Err(Conflict::new(release, &theirs).into());
    }
    client.put(tag, ours)?;
    match client.manifest(tag)? {
        Some(bytes) if bytes == ours.manifest => Ok(()),
        Some(theirs) => bail!(
            "someone else wrote {} at the same moment: it is {} now, ours is {}; agree on one, and publish the other under a new version",
            release.reference,
            oci::digest(&theirs),
            ours.digest()
        ),
        None => bail!("the registry took {} and does not show it; run it again", release.reference),
    }
}

/// The plan of one edition, for --dry-run.
fn show(release: &Release, plan: &Result<Vec<Step<'_>>, Conflict>) {
    say!("{:<6} {}", release.edition.name(), release.reference);
    say!("       manifest {}", release.chart.digest());
    match plan {
        Err(_) => say!("       refused: it is there with other content"),
        Ok(steps) if steps.is_empty() => say!("       all of it is there"),
        Ok(steps) => steps.iter().for_each(|step| say!("       would send {step}")),
    }
}

fn summary(release: &Release, steps: &[Step<'_>]) {
    let digest = release.chart.digest();
    say!("{:<6} {}", release.edition.name(), release.reference);
    match steps {
        [] => say!("       all of it was there, nothing was sent; manifest {digest}"),
        steps => {
            say!("       sent {:.1} kB; manifest {digest}", plan::bytes(release, steps) as f64 / 1000.0);
        }
    }
    let repository = &release.reference.repository;
    let chart = repository.path.rsplit('/').next().unwrap_or_default();
    say!("       helm install {chart} {repository} --version {}", release.version);
    say!("       cosign sign {}/{}@{digest}", repository.host, repository.path);
}
