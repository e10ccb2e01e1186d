//! The packaged chart: a gzip-compressed tar with one root folder, the same bytes for the same entries.
//!
//! The tar stream is what helm/helm `pkg/chart/v2/util/save.go` writes: plain ustar, files only, mode 0644, no owner,
//! one time for all. Helm itself packs subcharts in random order and stamps file times, so it cannot repeat an archive.

mod verify;

use std::collections::BTreeMap;
use std::io::{Read, Write};

use anyhow::{Context, Result, ensure};
use flate2::read::GzDecoder;
use flate2::{Compression, GzBuilder};

pub use verify::{Packed, verify};

/// Paths (slashes, relative to the chart's root) and their bytes.
pub type Files = BTreeMap<String, Vec<u8>>;

/// More than any chart holds, and little enough for any machine: what an archive may unpack to.
pub const MAX_UNPACKED_BYTES: u64 = 200 * 1024 * 1024;

/// Helm refuses a chart with a larger file.
pub const MAX_FILE_BYTES: usize = 5 * 1024 * 1024;

/// The latest time that eleven octal digits of a ustar header can hold, seconds since 1970.
pub const MAX_MTIME: u64 = 0o77_777_777_777;

/// The octet that RFC 1952 gives to "unknown operating system"; any other would name the machine that packed.
const UNKNOWN_OS: u8 = 255;

/// Packs `files` under the folder `root`, every entry with `mtime` (seconds since 1970).
///
/// Fails on a path that is absolute, climbs, or does not fit a ustar header, on a file that Helm would refuse for its
/// size, and on a time out of range.
pub fn pack(root: &str, files: &Files, mtime: u64) -> Result<Vec<u8>> {
    let gzip = GzBuilder::new().mtime(0).operating_system(UNKNOWN_OS).write(Vec::new(), Compression::best());
    Ok(write_tar(gzip, root, files, mtime)?.finish()?)
}

/// The tar stream inside, into `writer`.
fn write_tar<W: Write>(writer: W, root: &str, files: &Files, mtime: u64) -> Result<W> {
    ensure!(mtime <= MAX_MTIME, "time {mtime} does not fit a tar header; the latest is {MAX_MTIME}");
    let mut tar = tar::Builder::new(writer);
    for path in ordered(files) {
        let bytes = &files[path];
        check_path(path)?;
        ensure!(
            bytes.len() <= MAX_FILE_BYTES,
            "{path} has {} bytes, Helm takes {MAX_FILE_BYTES} at the most",
            bytes.len()
        );
        let mut header = tar::Header::new_ustar();
        header.set_path(format!("{root}/{path}")).with_context(|| format!("{path} does not fit a tar header"))?;
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_device_major(0)?;
        header.set_device_minor(0)?;
        header.set_mtime(mtime);
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        tar.append(&header, bytes.as_slice()).with_context(|| format!("packing {path}"))?;
    }
    Ok(tar.into_inner()?)
}

/// Helm's order: metadata, values, templates, then the rest, each by name.
fn ordered(files: &Files) -> Vec<&str> {
    let rank = |path: &str| match path {
        "Chart.yaml" => 0,
        "Chart.lock" => 1,
        "values.yaml" => 2,
        "values.schema.json" => 3,
        _ if path.starts_with("templates/") => 4,
        _ => 5,
    };
    let mut paths: Vec<&str> = files.keys().map(String::as_str).collect();
    paths.sort_by_key(|path| rank(path));
    paths
}

/// Reads an archive back: the root folder's name and the files below it.
///
/// Fails on a second root, a path twice, a link, an unsafe path, and on more than [`MAX_UNPACKED_BYTES`]. Entries for
/// folders, which other packers write, are passed over. The gzip trailer covers everything up to the end.
pub fn unpack(archive: &[u8]) -> Result<(String, Files)> {
    // One byte more than the limit is enough to see that it is passed.
    untar(GzDecoder::new(archive).take(MAX_UNPACKED_BYTES + 1))
}

/// The same of a tar stream.
fn untar(stream: impl Read) -> Result<(String, Files)> {
    let mut files = Files::new();
    let mut root: Option<String> = None;
    let mut left = MAX_UNPACKED_BYTES;
    let mut tar = tar::Archive::new(stream);
    for entry in tar.entries().context("reading the archive")? {
        let mut entry = entry.context("reading the archive")?;
        let kind = entry.header().entry_type();
        if kind.is_dir() || kind.is_pax_global_extensions() {
            continue;
        }
        let path = String::from_utf8(entry.path_bytes().into_owned()).context("an entry's name is not UTF-8")?;
        ensure!(kind.is_file(), "{path} is not a regular file");
        let (folder, path) = path.split_once('/').with_context(|| format!("{path} is not in a folder"))?;
        check_path(folder)?;
        check_path(path)?;
        ensure!(*root.get_or_insert_with(|| folder.to_owned()) == folder, "{folder}/ is a second root folder");
        ensure!(entry.size() <= left, "it unpacks to more than {} MiB", MAX_UNPACKED_BYTES / 1024 / 1024);
        left -= entry.size();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).with_context(|| format!("reading {path}"))?;
        ensure!(bytes.len() as u64 == entry.size(), "{path} is cut off");
        ensure!(files.insert(path.to_owned(), bytes).is_none(), "{path} is in the archive twice");
    }
    let mut rest = Vec::new();
    tar.into_inner().read_to_end(&mut rest).context("reading the end of the archive")?;
    ensure!(rest.iter().all(|&byte| byte == 0), "there is data behind the last entry");
    Ok((root.context("the archive is empty")?, files))
}

/// A path that every extractor takes alike: relative, no empty or climbing step, no backslash or drive letter.
fn check_path(path: &str) -> Result<()> {
    let safe = !path.is_empty()
        && path.split('/').all(|step| !matches!(step, "" | "." | ".."))
        && !path.contains(['\\', ':', '\0']);
    ensure!(safe, "`{path}` is not a safe path");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum::sha256;

    fn files() -> Files {
        ["templates/a.yaml", "Chart.yaml", "README.md", "values.yaml", "files/rules/a.yaml"]
            .into_iter()
            .map(|path| (path.to_owned(), format!("# {path}\n").repeat(40).into_bytes()))
            .collect()
    }

    #[test]
    fn unpacks_what_it_packed_in_helms_order() {
        let archive = pack("demo", &files(), 1_700_000_000).unwrap();
        assert_eq!(unpack(&archive).unwrap(), ("demo".to_owned(), files()));
        let mut tar = tar::Archive::new(GzDecoder::new(archive.as_slice()));
        let entries: Vec<_> = tar.entries().unwrap().map(Result::unwrap).collect();
        let paths: Vec<_> = entries.iter().map(|e| e.path().unwrap().display().to_string()).collect();
        assert_eq!(paths[..3], ["demo/Chart.yaml", "demo/values.yaml", "demo/templates/a.yaml"]);
        assert!(
            entries.iter().all(|e| e.header().mode().unwrap() == 0o644 && e.header().mtime().unwrap() == 1_700_000_000)
        );
    }

    /// A changed digest means that published archives can no longer be rebuilt: the compressor or its features changed
    /// in Cargo.lock. Change it only with a line in the changelog.
    #[test]
    fn bytes_are_those_of_every_machine() {
        let archive = pack("demo", &files(), 1_700_000_000).unwrap();
        assert_eq!(sha256(&archive), "9f7f2dfe3c782ee5d5a3845d131e4d83daa63fcfdc36cca4eb257d1843e323b1");
    }

    #[test]
    fn unsafe_paths_and_times_are_refused() {
        for path in ["../x", "/x", "a//b", "a\\b", "C:x", "a/./b", ""] {
            let files = Files::from([(path.to_owned(), Vec::new())]);
            assert!(pack("demo", &files, 0).is_err(), "{path}");
        }
        assert!(pack("demo", &files(), MAX_MTIME + 1).is_err());
    }

    /// Packs entries as another packer may, whatever their paths and kinds.
    fn foreign(entries: &[(&str, tar::EntryType, &[u8])]) -> Vec<u8> {
        let mut tar = tar::Builder::new(GzBuilder::new().write(Vec::new(), Compression::fast()));
        for (path, kind, bytes) in entries {
            let mut header = tar::Header::new_ustar();
            // Set by hand, since the library itself refuses some of these.
            header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
            header.set_entry_type(*kind);
            header.set_mode(0o644);
            header.set_size(bytes.len() as u64);
            header.set_cksum();
            tar.append(&header, *bytes).unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap()
    }

    #[test]
    fn what_no_chart_holds_is_refused() {
        use tar::EntryType::{Directory, Regular, Symlink};
        for (entries, expected) in [
            (&[("/etc/passwd", Regular, &b"x"[..])][..], "not a safe path"),
            (&[("demo/../x", Regular, b"x")], "not a safe path"),
            (&[("../x", Regular, b"x")], "not a safe path"),
            (&[("demo/link", Symlink, b"")], "not a regular file"),
            (&[("demo/x", Regular, b"x"), ("other/x", Regular, b"x")], "second root folder"),
            (&[("demo/x", Regular, b"x"), ("demo/x", Regular, b"y")], "twice"),
            (&[("Chart.yaml", Regular, b"x")], "not in a folder"),
            (&[], "the archive is empty"),
        ] {
            let error = unpack(&foreign(entries)).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let folders = foreign(&[("demo/", Directory, b""), ("demo/x", Regular, b"x")]);
        assert_eq!(unpack(&folders).unwrap().1.len(), 1, "folders are passed over");
    }

    #[test]
    fn an_archive_that_unpacks_to_too_much_is_refused() {
        let zeros = vec![0; 60 * 1024 * 1024];
        let paths = ["demo/a", "demo/b", "demo/c", "demo/d"];
        let bomb = foreign(&paths.map(|path| (path, tar::EntryType::Regular, zeros.as_slice())));
        assert!(bomb.len() < 2 * 1024 * 1024);
        assert!(unpack(&bomb).unwrap_err().to_string().contains("more than 200 MiB"));
    }

    #[test]
    fn one_flipped_byte_is_found() {
        let archive = pack("demo", &files(), 0).unwrap();
        // The gzip header's flags, time, extra flags and system (bytes 3 to 9) are outside gzip's own checksum.
        for at in (10..archive.len()).step_by(7) {
            let mut broken = archive.clone();
            broken[at] ^= 1;
            assert!(unpack(&broken).is_err(), "byte {at}");
        }
        assert!(unpack(&archive[..archive.len() - 9]).is_err());
    }
}
