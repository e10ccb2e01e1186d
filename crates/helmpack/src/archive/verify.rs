//! Whether an archive is one that [`pack`](super::pack) writes: nothing in it but the files, in the one form that they have.

use std::io::Read as _;

use anyhow::{Context, Result, bail, ensure};
use flate2::bufread::GzDecoder;

use super::{Files, MAX_UNPACKED_BYTES, UNKNOWN_OS, untar, write_tar};

/// An archive, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// The root folder.
    pub root: String,
    /// The time of every entry, seconds since 1970.
    pub mtime: u64,
    /// The files by their path below the root folder.
    pub files: Files,
}

/// RFC 1952's header as `pack` writes it: deflate, no flags, no time, the best compression, no operating system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, UNKNOWN_OS];

const BLOCK: usize = 512;

/// Takes an archive apart and proves that it holds nothing else: one gzip member that ends where the file does, its checksum
/// right, and a tar stream equal to that which its files, root and time give. So there is no link, device or folder, no path
/// twice, absolute or climbing, no larger file than Helm takes, no owner, and no byte hidden in a header or in padding.
///
/// Only the compressed bytes themselves may be another compressor's; the archive's digest says whether they are ours.
pub fn verify(archive: &[u8]) -> Result<Packed> {
    for (at, expected) in HEADER.iter().enumerate() {
        match archive.get(at) {
            Some(found) if found == expected => {}
            Some(found) => bail!("byte {at}, in the gzip header, is {found:#04x}, expected {expected:#04x}"),
            None => bail!("the file ends after {at} bytes, in the gzip header"),
        }
    }
    let stream = decompress(archive)?;
    let (root, files) = untar(stream.as_slice())?;
    let mtime = time(&stream)?;
    let expected = write_tar(Vec::new(), &root, &files, mtime)?;
    let at = stream.iter().zip(&expected).take_while(|(found, expected)| found == expected).count();
    if at < stream.len().max(expected.len()) {
        bail!(
            "{}: its tar header or the padding behind it is not what is written here (byte {at} of the stream)",
            entry(&stream, at)
        );
    }
    Ok(Packed { root, mtime, files })
}

/// The tar stream of an archive that is one gzip member and nothing behind it.
fn decompress(archive: &[u8]) -> Result<Vec<u8>> {
    let mut gzip = GzDecoder::new(archive);
    let mut stream = Vec::new();
    let read = gzip.by_ref().take(MAX_UNPACKED_BYTES + 1).read_to_end(&mut stream);
    read.with_context(|| format!("the gzip stream breaks after {}", entry(&stream, stream.len())))?;
    ensure!(
        stream.len() as u64 <= MAX_UNPACKED_BYTES,
        "it unpacks to more than {} MiB",
        MAX_UNPACKED_BYTES / 1024 / 1024
    );
    let rest = gzip.into_inner().len();
    ensure!(rest == 0, "{rest} bytes stand behind the end of the gzip stream, at byte {}", archive.len() - rest);
    Ok(stream)
}

/// The time in the first header; the others are compared with it.
fn time(stream: &[u8]) -> Result<u64> {
    let header = stream.first_chunk::<BLOCK>().context("the archive is empty")?;
    tar::Header::from_byte_slice(header).mtime().context("the first entry's time cannot be read")
}

/// What stands at a place of a tar stream, for a message.
fn entry(stream: &[u8], place: usize) -> String {
    let mut at = 0;
    let mut name = "the beginning".to_owned();
    while let Some(header) = stream.get(at..at + BLOCK).filter(|header| at <= place && header[0] != 0) {
        let header = tar::Header::from_byte_slice(header);
        name = String::from_utf8_lossy(&header.path_bytes()).into_owned();
        let Ok(size) = header.entry_size().map(|size| usize::try_from(size).unwrap_or(usize::MAX)) else { break };
        at = at.saturating_add(BLOCK).saturating_add(size).div_ceil(BLOCK).saturating_mul(BLOCK);
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::pack;
    use flate2::{Compression, GzBuilder};
    use std::io::Write as _;

    fn files() -> Files {
        let paths = ["Chart.yaml", "templates/a.yaml", "values.yaml"];
        paths.map(|path| (path.to_owned(), format!("# {path}\n").repeat(9).into_bytes())).into()
    }

    fn stream() -> Vec<u8> {
        write_tar(Vec::new(), "demo", &files(), 7).unwrap()
    }

    /// Compresses a stream as `pack` does.
    fn gzip(stream: &[u8]) -> Vec<u8> {
        let mut gzip = GzBuilder::new().mtime(0).operating_system(UNKNOWN_OS).write(Vec::new(), Compression::best());
        gzip.write_all(stream).unwrap();
        gzip.finish().unwrap()
    }

    #[test]
    fn what_was_packed_is_taken() {
        let archive = pack("demo", &files(), 7).unwrap();
        assert_eq!(gzip(&stream()), archive);
        assert_eq!(verify(&archive).unwrap(), Packed { root: "demo".to_owned(), mtime: 7, files: files() });
    }

    /// A few bits of deflate may be either: the padding behind its end, the length of a code that is never used. The archive's
    /// digest tells those.
    #[test]
    fn every_flipped_bit_is_found_or_gives_the_same_stream() {
        let archive = pack("demo", &files(), 7).unwrap();
        let mut same = 0;
        for at in 0..archive.len() {
            for bit in 0..8 {
                let mut broken = archive.clone();
                broken[at] ^= 1 << bit;
                if verify(&broken).is_ok() {
                    assert_eq!(decompress(&broken).unwrap(), stream(), "byte {at}, bit {bit}");
                    same += 1;
                }
            }
        }
        assert!(same < 16, "{same} bits make no difference");
    }

    /// A stream with a right gzip checksum may still hold what an unpacker passes over.
    #[test]
    fn every_flipped_byte_of_the_tar_stream_is_found_or_is_in_a_file() {
        let stream = stream();
        for at in 0..stream.len() {
            let mut broken = stream.clone();
            broken[at] ^= 0x10;
            if let Ok(packed) = verify(&gzip(&broken)) {
                assert_ne!(packed.files, files(), "byte {at}");
            }
        }
    }

    #[test]
    fn what_stands_outside_the_stream_is_found() {
        let archive = pack("demo", &files(), 7).unwrap();
        let error = |bytes: &[u8]| format!("{:#}", verify(bytes).unwrap_err());
        let expected = format!("1 bytes stand behind the end of the gzip stream, at byte {}", archive.len());
        assert_eq!(error(&[&archive[..], b"x"].concat()), expected);
        assert!(error(&[&archive[..], &gzip(b"")].concat()).contains("behind the end of the gzip stream"));
        assert_eq!(error(&archive[..4]), "the file ends after 4 bytes, in the gzip header");
        assert!(error(&archive[..archive.len() - 9]).starts_with("the gzip stream breaks after demo/"));
        let longer = gzip(&[stream(), vec![0; BLOCK]].concat());
        assert!(error(&longer).contains("padding"), "{}", error(&longer));
    }
}
