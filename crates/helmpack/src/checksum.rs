//! SHA-256 and the lists that `sha256sum -c` reads.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// The SHA-256 of `bytes` in lower-case hex.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut hex, byte| {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// One line per file, `<sha256>  <name>`, sorted by name.
pub fn sums<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> String {
    list(files.into_iter().map(|(name, bytes)| (name, sha256(bytes))))
}

/// The same of files whose hashes are known, as (name, hash).
pub fn list<'a>(files: impl IntoIterator<Item = (&'a str, impl AsRef<str>)>) -> String {
    let files: BTreeMap<_, _> = files.into_iter().collect();
    files.iter().fold(String::new(), |text, (name, hash)| text + hash.as_ref() + "  " + name + "\n")
}

/// Reads such a list into (hash, name) pairs. A line of another form is an error that gives its number.
pub fn parse(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut pairs = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let (hash, name) = line.split_once("  ").ok_or_else(|| format!("line {number}: expected `sha256  name`"))?;
        if hash.len() != 64 || !hash.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            return Err(format!("line {number}: `{hash}` is not a sha256 in lower-case hex"));
        }
        pairs.push((hash.to_owned(), name.to_owned()));
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sorted_and_read_back() {
        let text = sums([("b", b"".as_slice()), ("a", b"abc".as_slice())]);
        let pairs = parse(&text).unwrap();
        assert_eq!(pairs[0].1, "a");
        assert_eq!(pairs[0].0, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(pairs[1].1, "b");
    }

    #[test]
    fn a_broken_line_is_named() {
        assert!(parse("abc  x\n").unwrap_err().contains("line 1"));
    }
}
