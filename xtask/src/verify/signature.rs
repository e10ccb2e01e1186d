//! The signature of Helm's provenance file, checked by gpg against a keyring and nothing else.

use std::path::Path;

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use xshell::{Shell, cmd};

/// Why gpg finds a signature and it still counts for nothing, by the keyword of the status line: gpg ends well of most of these.
const REFUSED: [(&str, &str); 5] = [
    ("REVKEYSIG", "the key that signed is revoked"),
    ("EXPKEYSIG", "the key that signed has expired"),
    ("EXPSIG", "the signature has expired"),
    ("BADSIG", "the signature is not of this text"),
    ("ERRSIG", "the signature cannot be checked"),
];

/// Checks the signature of a `.prov` file, given by its bytes, with the keys in `keyring`, a file as `gpg --export` writes it. No
/// key, setting or trust of the user's own gpg takes part. What Helm refuses is refused: a key that is revoked or has expired
/// since, and a signature that has, or is of a time to come.
pub fn verify(prov: &[u8], keyring: &Path) -> Result<()> {
    let keyring = std::path::absolute(keyring).with_context(|| format!("resolving {}", keyring.display()))?;
    if !keyring.is_file() {
        bail!("there is no keyring {}", keyring.display());
    }
    let shell = Shell::new()?;
    let home = shell.create_temp_dir()?;
    let (home, file) = (home.path(), home.path().join("prov"));
    shell.write_file(&file, prov)?;
    // There is no secret in this home, so who may read it is no matter.
    let gpg = cmd!(
        shell,
        "gpg --homedir {home} --no-permission-warning --no-options --batch --no-autostart --trust-model always --no-default-keyring --keyring {keyring} --status-fd 1 --verify {file}"
    );
    let output = gpg.quiet().ignore_status().output().context("running gpg, which the system's package gnupg has")?;
    let refusal = refusal(&String::from_utf8_lossy(&output.stdout), Timestamp::now().as_second());
    if output.status.success() && refusal.is_none() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let mut said: Vec<&str> = refusal.into_iter().collect();
    said.extend(text.lines().filter_map(|line| line.strip_prefix("gpg: ")).map(str::trim));
    bail!("the signature is not good by the keys of {}: {}", keyring.display(), said.join("; "));
}

/// Why a signature is not good at the time `now`, by gpg's status lines (doc/DETAILS of GnuPG).
fn refusal(status: &str, now: i64) -> Option<&'static str> {
    let lines = || status.lines().filter_map(|line| line.strip_prefix("[GNUPG:] ")).map(|line| line.split(' '));
    let has = |keyword: &str| lines().any(|mut fields| fields.next() == Some(keyword));
    if let Some((_, reason)) = REFUSED.into_iter().find(|(keyword, _)| has(keyword)) {
        return Some(reason);
    }
    let mut valid = lines().filter_map(|mut fields| (fields.next() == Some("VALIDSIG")).then(|| fields.nth(2)));
    match valid.next().flatten().map(str::parse::<i64>) {
        Some(Ok(signed)) if signed > now => Some("the signature is of a time to come"),
        Some(Ok(_)) if has("GOODSIG") => None,
        _ => Some("gpg finds no good signature"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_good_only_where_gpg_says_so_of_signature_and_key() {
        let valid = "[GNUPG:] VALIDSIG AB 2026-01-31 1000 0 4 0 1 10 01 AB\n";
        let good = format!("[GNUPG:] NEWSIG\n[GNUPG:] GOODSIG 12 Ada <BADSIG>\n{valid}");
        assert_eq!(refusal(&good, 1000), None);
        assert_eq!(refusal(&good, 999), Some("the signature is of a time to come"));
        for (keyword, reason) in REFUSED {
            assert_eq!(refusal(&format!("[GNUPG:] {keyword} 12 Ada\n{valid}"), 1000), Some(reason));
            assert_eq!(refusal(&format!("{good}[GNUPG:] {keyword} 12 Ada\n"), 1000), Some(reason), "one of two");
        }
        for nothing in ["", valid, "[GNUPG:] GOODSIG 12 Ada\n", "GOODSIG\nVALIDSIG AB 2026-01-31 1000\n"] {
            assert_eq!(refusal(nothing, 1000), Some("gpg finds no good signature"), "{nothing}");
        }
    }
}
