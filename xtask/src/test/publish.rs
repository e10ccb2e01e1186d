//! What is published, in a real registry: the same bytes as Helm's own push, and good for both Helm majors.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, bail, ensure};
use helmpack::archive::{self, Files};
use helmpack::checksum::sha256;
use helmpack::oci::reference::Repository;
use helmpack::oci::{Manifest, referrer};
use xshell::cmd;

use super::prometheus::run;
use super::{Case, Context};
use crate::flags::{self, Edition};
use crate::publish::release::{self, Release};
use crate::publish::{look, plan, send};
use crate::record::{Packed, Record};
use crate::registry::{Access, Client, Secret};
use crate::tools::{HELM3, HELM4, REGISTRY, Tool};

/// A chart with all that JSON, Go and Helm treat in a way of their own.
const ODD: &str = "apiVersion: v2
name: odd
version: 1.2.3-rc.1+build.5
type: application
description: \"a <b> & 'c' \\\"d\\\"\\n\\te\\u0301\\u200b\\u2028 \\U0001F600\"
home: https://example.org/?a=b&c
icon: ''
sources: [https://example.org/source, https://example.org/other]
keywords: [a, 'b c']
maintainers: [{name: Ada, email: ada@example.org}, {name: Bo, url: https://example.org}]
appVersion: '1.0'
deprecated: false
kubeVersion: '>=1.25.0-0'
annotations:
  z: \"last\\nline\"
  a: <first>
  org.opencontainers.image.title: other
  org.opencontainers.image.url: https://example.org/other
";

/// `ada` with the password below, as htpasswd writes it.
const HTPASSWD: &str = "ada:$2a$04$SY5DGeLucBFDi4IdVgPIB.g9kSxrGhyKpPpoZTZImct.ILJlg1EVG\n";
const PASSWORD: &str = "s3cr3t-pass";

pub(super) fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = [HELM3, HELM4]
        .into_iter()
        .flat_map(|helm| {
            [
                Case::new(
                    format!("{} publish: its push writes the bytes that ours writes", helm.name),
                    &[helm, REGISTRY],
                    move |context| same_as_push(context, helm),
                ),
                Case::new(
                    format!("{} publish: what was pushed is pulled, byte for byte", helm.name),
                    &[helm, REGISTRY],
                    move |context| pulled(context, helm),
                ),
            ]
        })
        .collect();
    cases.push(Case::new("publish: twice is once, and other content is refused", &[REGISTRY], twice));
    cases.push(Case::new("publish: a registry with a password takes it and nothing else", &[REGISTRY], with_password));
    cases
}

/// A real registry on loopback, empty, as long as a case.
struct Running {
    host: String,
    process: Child,
}

impl Running {
    fn start(context: &Context, name: &str, password: bool) -> Result<Running> {
        let folder = context.temporary.path().join("registry").join(name);
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let host = format!("127.0.0.1:{port}");
        let auth = if password {
            let file = folder.join("htpasswd");
            context.shell.write_file(&file, HTPASSWD)?;
            format!("auth: {{htpasswd: {{realm: 'a, b', path: '{}'}}}}\n", file.display())
        } else {
            String::new()
        };
        let storage = folder.join("storage");
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: '{}'}}}}\nhttp: {{addr: '{host}'}}\n{auth}",
            storage.display()
        );
        context.shell.write_file(folder.join("config.yaml"), text)?;
        let mut command = Command::new(context.tool(REGISTRY)?);
        command.arg("serve").arg(folder.join("config.yaml")).env("OTEL_TRACES_EXPORTER", "none");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let running = Running { host, process: command.spawn().context("starting the registry")? };
        let started = Instant::now();
        while std::net::TcpStream::connect(&running.host).is_err() {
            ensure!(started.elapsed() < Duration::from_secs(20), "the registry does not come up");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(running)
    }

    fn target(&self) -> Result<Repository> {
        Repository::parse(&format!("oci://{}/acme/charts", self.host))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn plain() -> flags::Registry {
    flags::Registry { plain_http: true, ..flags::Registry::default() }
}

/// Charts as they go into a registry, each an edition of one build, with `signature` beside each archive.
fn releases(archives: &[Vec<u8>], signature: Option<&str>, target: &Repository) -> Result<Vec<Release>> {
    let mut files = Files::new();
    let mut record = Record {
        name: "gorax-monitoring".to_owned(),
        version: String::new(),
        commit: Some("c0".repeat(20)),
        dirty: Some(false),
        cargo_lock: None,
        source_date_epoch: 0,
        archives: BTreeMap::new(),
        dependencies: Vec::new(),
    };
    let (mut editions, mut charts) = (Vec::new(), BTreeMap::new());
    for bytes in archives {
        let packed = archive::verify(bytes)?;
        let chart = String::from_utf8_lossy(packed.files.get("Chart.yaml").context("no Chart.yaml")?).into_owned();
        let chart = helmpack::chart::Chart::parse(&chart)?;
        let (file, edition) = (chart.archive_name(), Edition::of(&chart));
        record.source_date_epoch = packed.mtime;
        record.version = chart.version.clone();
        record.archives.insert(edition.name().to_owned(), Packed { file: file.clone(), sha256: sha256(bytes) });
        files.insert(format!("{file}.cdx.json"), format!("{{\"of\": \"{file}\"}}").into_bytes());
        files.extend(signature.map(|text| (format!("{file}.prov"), text.as_bytes().to_vec())));
        files.insert(file.clone(), bytes.clone());
        charts.insert(file, chart);
        editions.push(edition);
    }
    let charts = charts.iter().map(|(file, chart)| (file.as_str(), chart.clone())).collect();
    // What they carry is no matter here, and the statement would name it.
    release::read(&files, &charts, &record, &editions, target)
}

/// Publishes one chart; gives how many things were sent.
fn push(client: &Client, release: &Release) -> Result<usize> {
    let seen = look(client, release)?;
    let steps = plan::steps(release, &seen)?;
    send(client, release, &steps)?;
    Ok(steps.len())
}

fn client(release: &Release, flags: &flags::Registry) -> Result<Client> {
    let repositories = [release.reference.repository.clone()];
    Client::open(&repositories, flags, Access::Push)?.pop().context("there is no client")
}

/// The archives that cases publish: the addon edition, the full one with the stand-in, and with the real stack where it is here.
fn archives(context: &Context) -> Result<Vec<Vec<u8>>> {
    let full = context.full.last().map(|subject| &subject.archive);
    [Some(&context.archive), full].into_iter().flatten().map(|path| Ok(std::fs::read(path)?)).collect()
}

fn odd() -> Result<Vec<u8>> {
    archive::pack("odd", &Files::from([("Chart.yaml".to_owned(), ODD.as_bytes().to_vec())]), 1_700_000_000)
}

/// Helm takes `created` from the file's time, in the local zone; with that set, its bytes are ours.
fn same_as_push(context: &Context, helm: Tool) -> Result<()> {
    let registry = Running::start(context, &format!("same-{}", helm.name), false)?;
    let program = context.tool(helm)?;
    let target = registry.target()?;
    let mut all = archives(context)?;
    all.push(odd()?);
    for (bytes, signature) in all.iter().flat_map(|bytes| [(bytes, None), (bytes, Some("signed\n"))]) {
        let mtime = archive::verify(bytes)?.mtime;
        let [release] = &releases(std::slice::from_ref(bytes), signature, &target)?[..] else { bail!("no release") };
        let path = context.temporary.path().join("push").join(helm.name).join(&release.archive);
        context.shell.write_file(&path, bytes)?;
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(mtime);
        std::fs::File::options().write(true).open(&path)?.set_modified(time)?;
        let signed = PathBuf::from(format!("{}.prov", path.display()));
        match signature {
            Some(text) => context.shell.write_file(&signed, text)?,
            None => context.shell.remove_path(&signed)?,
        }
        let url = target.to_string();
        run(cmd!(context.shell, "{program} push {path} {url} --plain-http").env("TZ", "UTC"))?;
        let client = client(release, &plain())?;
        let theirs = client.manifest(&release.reference.version)?.context("Helm's push is not there")?;
        let ours = &release.chart.manifest;
        let [ours, theirs] = [ours, &theirs].map(|bytes| String::from_utf8_lossy(bytes));
        ensure!(ours == theirs, "{}: ours\n{ours}\nHelm's\n{theirs}", release.archive);
        let config = &release.chart.blobs[0];
        ensure!(client.blob(&config.descriptor.digest)? == config.bytes, "the configuration differs");
    }
    Ok(())
}

fn pulled(context: &Context, helm: Tool) -> Result<()> {
    let registry = Running::start(context, &format!("pull-{}", helm.name), false)?;
    let program = context.tool(helm)?;
    let mut all = archives(context)?;
    all.push(odd()?);
    for bytes in &all {
        for release in releases(std::slice::from_ref(bytes), Some("signed\n"), &registry.target()?)? {
            push(&client(&release, &plain())?, &release)?;
            let folder = context.temporary.path().join("pulled").join(helm.name);
            let (url, version) = (release.reference.repository.to_string(), &release.version);
            // Without a key Helm fetches the signature and does not look into it.
            context.shell.create_dir(&folder)?;
            run(cmd!(
                context.shell,
                "{program} pull {url} --version {version} --prov --plain-http --destination {folder}"
            ))?;
            let found = std::fs::read(folder.join(&release.archive))?;
            ensure!(found == *bytes, "{} is pulled with other bytes", release.archive);
            let signature = std::fs::read(folder.join(format!("{}.prov", release.archive)))?;
            ensure!(signature == b"signed\n", "{} is pulled with another signature", release.archive);
            if helm == HELM4 && release.archive.starts_with("gorax") {
                installs(context, program, &url, version)?;
            }
        }
    }
    Ok(())
}

/// Only Helm 4 tries an installation without a cluster.
fn installs(context: &Context, helm: &Path, url: &str, version: &str) -> Result<()> {
    let arguments = ["--dry-run=client", "--plain-http", "--namespace", "monitoring"];
    let install = cmd!(context.shell, "{helm} install gorax-monitoring {url} --version {version} {arguments...}");
    let output = install.quiet().ignore_status().output()?;
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    ensure!(text.contains("kind: PrometheusRule"), "{text}");
    Ok(())
}

fn twice(context: &Context) -> Result<()> {
    let registry = Running::start(context, "twice", false)?;
    let all = releases(&archives(context)?, None, &registry.target()?)?;
    ensure!(!all.is_empty(), "there is nothing to publish");
    for release in &all {
        let client = client(release, &plain())?;
        ensure!(push(&client, release)? == 6, "two blobs, a manifest, two referrers and a tag are sent first");
        ensure!(push(&client, release)? == 0, "a second push sends something");
        let digest = release.chart.digest();
        for referrer in &release.referrers {
            let listed = client.referrers(&digest)?;
            ensure!(listed.iter().any(|entry| entry.digest == referrer.artifact.digest()), "it is not listed");
            let manifest = client.manifest(&referrer.artifact.digest())?.context("a referrer is not there")?;
            let subject = Manifest::parse(&manifest)?.subject.context("a referrer without a subject")?;
            ensure!(subject.digest == digest, "{} refers to {}", referrer.file, subject.digest);
        }
        let list = client.manifest(&referrer::fallback_tag(&digest))?;
        ensure!(list.is_some(), "this registry has no API for referrers, and there is no list in its place");
    }
    let signed = releases(&archives(context)?, Some("signed\n"), &registry.target()?)?;
    for (other, release) in signed.iter().zip(&all) {
        let client = client(other, &plain())?;
        let error = push(&client, other).err().context("other content was taken")?.to_string();
        ensure!(error.contains(&release.chart.digest()) && error.contains(&other.chart.digest()), "{error}");
        let there = client.manifest(&release.reference.version)?;
        ensure!(there.as_deref() == Some(&release.chart.manifest), "the tag has changed");
    }
    Ok(())
}

fn with_password(context: &Context) -> Result<()> {
    let registry = Running::start(context, "password", true)?;
    let addon = [std::fs::read(&context.archive)?];
    let [release] = &releases(&addon, None, &registry.target()?)?[..] else { bail!("no release") };
    let with = |password: &str| flags::Registry {
        username: Some("ada".to_owned()),
        password: Some(Secret::new(password)),
        ..plain()
    };
    let error = push(&client(release, &with("wrong-s3cr3t"))?, release).err().context("any password is taken")?;
    let error = format!("{error:#} {error:?}");
    ensure!(error.contains("does not take the login from --username") && !error.contains("s3cr3t"), "{error}");
    ensure!(push(&client(release, &with(PASSWORD))?, release)? == 6, "the right password sends nothing");
    Ok(())
}
