//! Signatures: what gpg signs for us, both Helm majors verify, and we verify it too.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use helmpack::archive::Files;
use xshell::cmd;

use super::{Case, Context};
use crate::package::{Built, Tree, epoch, sign};
use crate::tools::{GPG, HELM3, HELM4, Tool};
use crate::verify::signature;

pub(super) fn cases() -> Vec<Case> {
    let both = [HELM3, HELM4];
    let mut cases: Vec<Case> = both
        .map(|helm| {
            let name = format!("{} verify: a signed archive is taken, a changed one refused", helm.name);
            Case::new(name, &[helm, GPG], move |context| helm_verifies(context, helm))
        })
        .into();
    cases.push(Case::new("sign: a good signature is kept, and demanded by verify", &[GPG], kept_and_demanded));
    cases.push(Case::new(
        "sign: a key that Helm refuses is refused, and nothing it signed is kept",
        &[HELM3, HELM4, GPG],
        refused,
    ));
    cases.push(Case::new("sign: a key that older Helms cannot read is warned of", &[HELM3, HELM4, GPG], ed25519));
    cases
}

/// A key that lives as long as a case.
struct Key<'a> {
    context: &'a Context,
    home: xshell::TempDir,
}

impl Key<'_> {
    const PASSPHRASE: &'static str = "correct horse";
    const USER: &'static str = "tester@example.org";

    fn new<'a>(context: &'a Context, algorithm: &str) -> Result<Key<'a>> {
        let key = Key { context, home: context.shell.create_temp_dir()? };
        let (home, file) = (key.home.path(), key.passphrase());
        context.shell.write_file(&file, Key::PASSPHRASE)?;
        cmd!(context.shell, "chmod 700 {home}").quiet().run()?;
        key.gpg(&["--quick-gen-key", Key::USER, algorithm, "sign", "never"], "")?;
        Ok(key)
    }

    /// Runs gpg with this key at hand; gives what it prints.
    fn gpg(&self, arguments: &[&str], input: &str) -> Result<String> {
        let (home, file) = (self.home.path(), self.passphrase());
        let gpg = cmd!(
            self.context.shell,
            "gpg --homedir {home} --batch --yes --pinentry-mode loopback --passphrase-file {file} {arguments...}"
        );
        Ok(gpg.quiet().stdin(input).ignore_stderr().read()?)
    }

    fn fingerprint(&self) -> Result<String> {
        let listed = self.gpg(&["--with-colons", "--list-keys"], "")?;
        let line = listed.lines().find(|line| line.starts_with("fpr:")).context("gpg lists no key")?;
        Ok(line.trim_matches(':').rsplit(':').next().unwrap_or_default().to_owned())
    }

    /// Imports the revocation that gpg made together with the key.
    fn revoke(&self) -> Result<()> {
        let file = self.home.path().join(format!("openpgp-revocs.d/{}.rev", self.fingerprint()?));
        // gpg keeps it from being imported by accident with a colon in front of the armour.
        let revocation = self.context.shell.read_file(file)?.replace(":-----BEGIN", "-----BEGIN");
        self.gpg(&["--import"], &revocation)?;
        Ok(())
    }

    /// Makes the key one that expires in a second from now, and waits for that.
    fn expire(&self) -> Result<()> {
        self.gpg(&["--quick-set-expire", &self.fingerprint()?, "seconds=1"], "")?;
        std::thread::sleep(std::time::Duration::from_secs(2));
        Ok(())
    }

    fn signer<'a>(&'a self, passphrase: &'a Path) -> sign::Signer<'a> {
        sign::Signer { key: Key::USER, passphrase: Some(passphrase), home: Some(self.home.path()) }
    }

    fn passphrase(&self) -> std::path::PathBuf {
        self.home.path().join("passphrase")
    }

    /// Signs the addon edition into a folder of its own; gives the archive's path there, and the keyring's.
    fn sign(&self, folder: &str) -> Result<Signed> {
        let context = self.context;
        let built = [addon(context)?];
        let passphrase = self.passphrase();
        let signer = self.signer(&passphrase);
        let files = signer.sign_all(&built, &Default::default())?;
        let again = signer.sign_all(&built, &files)?;
        ensure!(again == files, "a good signature was made anew");
        let folder = context.temporary.path().join("signed").join(folder);
        let (archive, keyring) = (folder.join(&built[0].archive), folder.join("pubring.gpg"));
        context.shell.write_file(&archive, &built[0].bytes)?;
        context.shell.write_file(&keyring, signer.public_keys()?)?;
        let prov = files.into_values().next().context("there is no provenance file")?;
        context.shell.write_file(folder.join(format!("{}.prov", built[0].archive)), &prov)?;
        Ok(Signed { archive, keyring, prov, warning: signer.warning()? })
    }
}

impl Drop for Key<'_> {
    /// Ends the agent that gpg started for this key's folder.
    fn drop(&mut self) {
        let home = self.home.path();
        let _ = cmd!(self.context.shell, "gpgconf --homedir {home} --kill gpg-agent").quiet().ignore_stderr().run();
    }
}

struct Signed {
    archive: std::path::PathBuf,
    keyring: std::path::PathBuf,
    prov: Vec<u8>,
    warning: Option<String>,
}

fn addon(context: &Context) -> Result<Built> {
    let epoch = epoch(None, &context.model)?;
    Tree { sources: &context.sources, model: &context.model, generated: &context.generated, epoch }.addon()
}

/// Whether `helm verify` takes an archive.
fn taken(context: &Context, helm: Tool, keyring: &Path, archive: &Path) -> Result<bool> {
    let helm = context.tool(helm)?;
    let command = cmd!(context.shell, "{helm} verify --keyring {keyring} {archive}");
    Ok(command.quiet().ignore_status().output()?.status.success())
}

fn helm_verifies(context: &Context, helm: Tool) -> Result<()> {
    let signed = Key::new(context, "rsa2048")?.sign(helm.name)?;
    ensure!(signed.warning.is_none(), "warned of an RSA key: {:?}", signed.warning);
    let Signed { archive, keyring, .. } = &signed;
    ensure!(taken(context, helm, keyring, archive)?, "helm verify refuses the archive");
    let mut bytes = std::fs::read(archive)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    context.shell.write_file(archive, bytes)?;
    ensure!(!taken(context, helm, keyring, archive)?, "helm verify takes a changed archive");
    Ok(())
}

fn kept_and_demanded(context: &Context) -> Result<()> {
    let signed = Key::new(context, "rsa2048")?.sign("own")?;
    let other = Key::new(context, "rsa2048")?.sign("other")?;
    signature::verify(&signed.prov, &signed.keyring)?;
    let error = signature::verify(&signed.prov, &other.keyring).err().context("a foreign key's signature is taken")?;
    ensure!(error.to_string().contains("No public key"), "{error:#}");
    // In the armour every character counts; before it, the text is compared with what the archive gives.
    let armour = signed.prov.windows(3).position(|window| window == b"\n\ni").context("there is no armour")? + 2;
    for at in (armour..signed.prov.len() - 40).step_by(29) {
        let mut broken = signed.prov.clone();
        broken[at] ^= 1;
        ensure!(signature::verify(&broken, &signed.keyring).is_err(), "a flipped byte {at} is not found");
    }
    Ok(())
}

/// Revoked and expired keys, though they signed before they were: neither Helm takes it, and so `package` does not keep it.
fn refused(context: &Context) -> Result<()> {
    refused_once(context, "revoked", |key| key.revoke())?;
    refused_once(context, "expired", |key| key.expire())
}

fn refused_once(context: &Context, what: &str, make: impl Fn(&Key<'_>) -> Result<()>) -> Result<()> {
    let key = Key::new(context, "rsa2048")?;
    let Signed { archive, keyring, prov, .. } = key.sign(what)?;
    signature::verify(&prov, &keyring)?;
    make(&key)?;
    let passphrase = key.passphrase();
    let signer = key.signer(&passphrase);
    context.shell.write_file(&keyring, signer.public_keys()?)?;
    for helm in [HELM3, HELM4] {
        ensure!(!taken(context, helm, &keyring, &archive)?, "{} takes a key that is {what}", helm.name);
    }
    let error = signature::verify(&prov, &keyring).err().with_context(|| format!("a key that is {what} is taken"))?;
    let error = format!("{error:#}");
    ensure!(error.contains(what) && !error.contains("permissions"), "{error}");
    let built = [addon(context)?];
    let before = Files::from([(format!("{}.prov", built[0].archive), prov)]);
    ensure!(signer.sign_all(&built, &before).is_err(), "a signature by a key that is {what} is kept");
    Ok(())
}

fn ed25519(context: &Context) -> Result<()> {
    let Signed { archive, keyring, warning, .. } = Key::new(context, "ed25519")?.sign("ed25519")?;
    ensure!(warning.is_some_and(|text| text.contains("is not RSA")), "nobody is warned");
    for helm in [HELM3, HELM4] {
        ensure!(taken(context, helm, &keyring, &archive)?, "{} refuses it", helm.name);
    }
    Ok(())
}
