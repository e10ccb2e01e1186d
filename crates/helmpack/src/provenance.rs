//! Helm's provenance file, `<archive>.prov`: Chart.yaml and the archive's digest as one clearsigned OpenPGP message, as
//! helm/helm `pkg/provenance/sign.go` writes and reads it. Here is its text; signing and checking the signature is gpg's.

use anyhow::{Context, Result, ensure};

use crate::chart::Chart;

const BEGIN: &str = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n";
const SIGNATURE: &str = "\n-----BEGIN PGP SIGNATURE-----\n";
const END: &str = "\n-----END PGP SIGNATURE-----";

/// The text that is signed: the metadata, a YAML document's end, and the archive's sha256 (hex) under its file name.
pub fn message(chart: &Chart, sha256: &str) -> Result<String> {
    let files = serde_json::json!({"files": {(chart.archive_name()): format!("sha256:{sha256}")}});
    Ok(format!("{}\n...\n{}", chart.to_yaml()?, crate::yaml::write(&files)))
}

/// The text in a clearsigned message. Nothing may stand before or behind the message, and its digest algorithm must be SHA-512,
/// which Helm itself uses. Whether the signature is good is not asked.
pub fn cleartext(prov: &[u8]) -> Result<String> {
    let text = std::str::from_utf8(prov).context("it is not text")?;
    let body = text.strip_prefix(BEGIN).context("it does not begin as a message that is signed with SHA-512")?;
    let (body, signature) = body.split_once(SIGNATURE).context("it holds no signature")?;
    let (_, rest) = signature.split_once(END).context("its signature has no end")?;
    ensure!(rest.trim_end_matches('\n').is_empty(), "there is more behind the signature");
    // RFC 9580 7.2: a line that begins with a dash is written behind `- `.
    Ok(body.split_inclusive('\n').map(|line| line.strip_prefix("- ").unwrap_or(line)).collect::<String>() + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart() -> Chart {
        Chart::parse("apiVersion: v2\nname: demo\nversion: 1.0.0\nkeywords: [a]\n").unwrap()
    }

    #[test]
    fn the_message_is_metadata_and_digest() {
        let expected = "apiVersion: v2\nkeywords:\n  - a\nname: demo\nversion: \"1.0.0\"\n\n...\n\
                        files:\n  demo-1.0.0.tgz: \"sha256:ab\"\n";
        assert_eq!(message(&chart(), "ab").unwrap(), expected);
    }

    #[test]
    fn the_text_is_read_as_it_was_before_it_was_signed() {
        let of = |body: &str| format!("{BEGIN}{body}{SIGNATURE}\niQ==\n=ab{END}\n").into_bytes();
        assert_eq!(cleartext(&of("a\n- - b\n...")).unwrap(), "a\n- b\n...\n");
        let whole = of("a");
        let cut = |at: usize| cleartext(&whole[..at]).unwrap_err().to_string();
        assert!(cut(5).contains("does not begin"));
        assert!(cut(BEGIN.len() + 1).contains("no signature"));
        assert!(cut(whole.len() - 3).contains("no end"));
        assert!(cleartext(&[&whole[..], b"x"].concat()).unwrap_err().to_string().contains("more behind"));
    }
}
