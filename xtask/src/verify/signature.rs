//! The signature of Helm's provenance file, checked by gpg against a keyring and nothing else.

use std::path::Path;

use anyhow::{Context, Result, bail};
use xshell::{Shell, cmd};

/// Checks the signature of a `.prov` file, given by its bytes, with the keys in `keyring`, a file as `gpg --export` writes it. No
/// key, setting or trust of the user's own gpg takes part.
pub fn verify(prov: &[u8], keyring: &Path) -> Result<()> {
    let keyring = std::path::absolute(keyring).with_context(|| format!("resolving {}", keyring.display()))?;
    if !keyring.is_file() {
        bail!("there is no keyring {}", keyring.display());
    }
    let shell = Shell::new()?;
    let home = shell.create_temp_dir()?;
    let (home, file) = (home.path(), home.path().join("prov"));
    shell.write_file(&file, prov)?;
    let gpg = cmd!(
        shell,
        "gpg --homedir {home} --no-options --batch --no-autostart --trust-model always --no-default-keyring --keyring {keyring} --verify {file}"
    );
    let output = gpg.quiet().ignore_status().output().context("running gpg")?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        let said: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("gpg: ")).collect();
        bail!("gpg does not take the signature with the keys of {}: {}", keyring.display(), said.join("; "));
    }
    Ok(())
}
