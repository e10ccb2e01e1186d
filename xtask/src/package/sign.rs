//! Helm's provenance files, signed by gpg. The secret key stays with gpg; its passphrase comes from gpg's agent or from a file.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use helmpack::archive::Files;
use helmpack::checksum::sha256;
use helmpack::provenance;
use xshell::{Shell, cmd};

use super::Built;
use crate::verify::signature;

/// RSA among the algorithms of RFC 9580 9.1, which every Helm reads.
const RSA: &str = "1";

/// A key of gpg's.
pub struct Signer<'a> {
    /// What gpg knows it by: a fingerprint, an id, an address.
    pub key: &'a str,
    /// The file with its passphrase; without one, gpg's agent asks.
    pub passphrase: Option<&'a Path>,
    /// gpg's folder, where it is not the user's.
    pub home: Option<&'a Path>,
}

impl Signer<'_> {
    /// The provenance files of archives. One in `before` that this key has signed already, over the same text, stays as it is: a
    /// new signature of the same archive would be another artifact to a registry.
    pub fn sign_all(&self, built: &[Built], before: &Files) -> Result<Files> {
        let shell = Shell::new()?;
        let folder = shell.create_temp_dir()?;
        let keyring = folder.path().join("pubring.gpg");
        shell.write_file(&keyring, self.public_keys()?)?;
        let mut files = Files::new();
        for built in built {
            let name = format!("{}.prov", built.archive);
            let message = message(built)?;
            let kept =
                before.get(&name).filter(|prov| fits(prov, &message) && signature::verify(prov, &keyring).is_ok());
            let prov = match kept {
                Some(prov) => prov.clone(),
                None => self.clearsign(&message).with_context(|| format!("signing {}", built.archive))?,
            };
            files.insert(name, prov);
        }
        Ok(files)
    }

    /// The key's public half as a binary keyring, the one form that both Helm majors read.
    pub fn public_keys(&self) -> Result<Vec<u8>> {
        let keyring = self.run(&["--export", self.key], "")?;
        ensure!(
            !keyring.is_empty(),
            "gpg knows no key `{}`; `gpg --list-secret-keys` shows those that it has",
            self.key
        );
        Ok(keyring)
    }

    /// What the users of some Helm should know of this key.
    pub fn warning(&self) -> Result<Option<String>> {
        let listed = self.run(&["--with-colons", "--list-keys", self.key], "")?;
        let listed = String::from_utf8_lossy(&listed).into_owned();
        // doc/DETAILS of GnuPG: the fourth field of a line is the algorithm.
        let mut keys = listed.lines().filter(|line| line.starts_with("pub:") || line.starts_with("sub:"));
        let other = keys.any(|line| line.split(':').nth(3) != Some(RSA));
        Ok(other.then(|| {
            format!(
                "the key `{}` is not RSA: older Helms (3.18 is known to) take neither its signatures nor any keyring with it \
                 inside; the newest of both majors do",
                self.key
            )
        }))
    }

    fn clearsign(&self, message: &str) -> Result<Vec<u8>> {
        let mut arguments = vec!["--digest-algo", "SHA512", "--local-user", self.key];
        let file = self.passphrase.map(|path| path.to_str().context("the path of the passphrase file is not UTF-8"));
        let file = file.transpose()?;
        if let Some(file) = file {
            arguments.extend(["--pinentry-mode", "loopback", "--passphrase-file", file]);
        }
        arguments.push("--clearsign");
        let prov = self.run(&arguments, message)?;
        ensure!(fits(&prov, message), "gpg signed another text than it was given");
        Ok(prov)
    }

    /// Runs gpg; `input` is its standard input.
    fn run(&self, arguments: &[&str], input: &str) -> Result<Vec<u8>> {
        let shell = Shell::new()?;
        let mut gpg = cmd!(shell, "gpg --batch --no-options {arguments...}").quiet().ignore_status().stdin(input);
        if let Some(home) = self.home {
            gpg = gpg.env("GNUPGHOME", home);
        }
        let output = gpg.output().context("running gpg, which the system's package gnupg has")?;
        let text = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "gpg failed: {}", text.trim().replace('\n', "; "));
        Ok(output.stdout)
    }
}

/// The provenance files among `before` that still are about the archives; the others would be refused by everyone.
pub fn fitting(built: &[Built], before: &Files) -> Result<Files> {
    let mut files = Files::new();
    for built in built {
        let name = format!("{}.prov", built.archive);
        let message = message(built)?;
        if let Some(prov) = before.get(&name).filter(|prov| fits(prov, &message)) {
            files.insert(name, prov.clone());
        }
    }
    Ok(files)
}

fn message(built: &Built) -> Result<String> {
    provenance::message(&built.chart, &sha256(&built.bytes))
}

fn fits(prov: &[u8], message: &str) -> bool {
    provenance::cleartext(prov).is_ok_and(|text| text == message)
}
