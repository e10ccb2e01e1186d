//! Helm's provenance file, `<archive>.prov`: Chart.yaml and the archive's digest as one clearsigned OpenPGP message, as
//! helm/helm `pkg/provenance/sign.go` writes and reads it. Here is its text; signing and checking the signature is gpg's.

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::chart::Chart;

const BEGIN: &str = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n";
const SIGNATURE: &str = "\n-----BEGIN PGP SIGNATURE-----\n\n";
const END: &str = "\n-----END PGP SIGNATURE-----";

/// The text that is signed: the metadata, a YAML document's end, and the archive's sha256 (hex) under its file name.
pub fn message(chart: &Chart, sha256: &str) -> Result<String> {
    let files = serde_json::json!({"files": {(chart.archive_name()): format!("sha256:{sha256}")}});
    Ok(format!("{}\n...\n{}", chart.to_yaml()?, crate::yaml::write(&files)))
}

/// The text in a clearsigned message. Nothing may stand before or behind the message, and its digest algorithm must be SHA-512,
/// which Helm itself uses. The armour of the signature must be whole; whether the signature is good is not asked.
pub fn cleartext(prov: &[u8]) -> Result<String> {
    let text = std::str::from_utf8(prov).context("it is not text")?;
    let body = text.strip_prefix(BEGIN).context("it does not begin as a message that is signed with SHA-512")?;
    let (body, signature) = body.split_once(SIGNATURE).context("it holds no signature")?;
    let (armour, rest) = signature.split_once(END).context("its signature has no end")?;
    ensure!(rest.trim_end_matches('\n').is_empty(), "there is more behind the signature");
    dearmour(armour).context("the armour of its signature")?;
    // RFC 9580 7.2: a line that begins with a dash is written behind `- `.
    Ok(body.split_inclusive('\n').map(|line| line.strip_prefix("- ").unwrap_or(line)).collect::<String>() + "\n")
}

/// The bytes in an armour without headers, which neither gpg nor Helm writes. Of its checksum, which writers may leave out, RFC
/// 9580 6.1 says how it is made: where it is there, any other character of the armour is found.
fn dearmour(armour: &str) -> Result<Vec<u8>> {
    let (lines, sum) = match armour.rsplit_once("\n=") {
        Some((lines, sum)) => (lines, Some(sum)),
        None => (armour, None),
    };
    let bytes = STANDARD.decode(lines.replace('\n', "")).context("it is not base64")?;
    if let Some(sum) = sum {
        let expected = STANDARD.encode(&crc24(&bytes).to_be_bytes()[1..]);
        if sum != expected {
            bail!("its checksum is `{sum}`, its content gives `{expected}`");
        }
    }
    Ok(bytes)
}

fn crc24(bytes: &[u8]) -> u32 {
    let shift = |crc: u32| if crc & 0x80_0000 == 0 { crc << 1 } else { crc << 1 ^ 0x186_4CFB };
    bytes.iter().fold(0xB7_04CE, |crc, byte| (0..8).fold(crc ^ u32::from(*byte) << 16, |crc, _| shift(crc)))
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

    fn signed(body: &str, armour: &str) -> Vec<u8> {
        format!("{BEGIN}{body}{SIGNATURE}{armour}{END}\n").into_bytes()
    }

    #[test]
    fn the_text_is_read_as_it_was_before_it_was_signed() {
        assert_eq!(cleartext(&signed("a\n- - b\n...", "iQ==")).unwrap(), "a\n- b\n...\n");
        let whole = signed("a", "iQ==");
        let cut = |at: usize| cleartext(&whole[..at]).unwrap_err().to_string();
        assert!(cut(5).contains("does not begin"));
        assert!(cut(BEGIN.len() + 1).contains("no signature"));
        assert!(cut(whole.len() - 3).contains("no end"));
        assert!(cleartext(&[&whole[..], b"x"].concat()).unwrap_err().to_string().contains("more behind"));
    }

    /// Sixteen bytes in two lines, with the checksum that gpg gives them.
    #[test]
    fn one_flipped_byte_in_the_armour_is_found() {
        let whole = signed("a", "AAECAwQFBgcI\nCQoLDA0ODw==\n=H6Ay");
        cleartext(&whole).unwrap();
        let start = whole.len() - 31 - END.len() - 1;
        for (at, bit) in (start..whole.len() - 1).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut broken = whole.clone();
            broken[at] ^= 1 << bit;
            assert!(cleartext(&broken).is_err(), "{}", String::from_utf8_lossy(&broken));
        }
    }
}
