//! A folder as `package` leaves it: every file accounted for, by the checksums and by what the archives give.

use std::collections::{BTreeMap, BTreeSet};

use helmpack::archive::Files;
use helmpack::checksum::{self, sha256};
use helmpack::index;
use serde_json::Value;

use super::archive::{self, Verified, difference};
use super::{Defect, receipt};
use crate::package::{INDEX, SUMS};
use crate::record::{self, Record};

/// Proves a folder, given by its files with their paths in it: its archives by their names, and what is wrong.
pub fn verify(files: &Files) -> (BTreeMap<&str, Verified>, Vec<Defect>) {
    let mut defects = sums(files);
    let mut verified = BTreeMap::new();
    for (name, bytes) in files.iter().filter(|(name, _)| is_archive(name)) {
        match archive::verify(name, bytes, files) {
            Err(defect) => defects.push(defect),
            Ok((archive, found)) => {
                defects.extend(found);
                verified.insert(name.as_str(), archive);
            }
        }
    }
    if !files.keys().any(|name| is_archive(name)) {
        defects.push(Defect::new(SUMS, "there is no archive here; make them with `cargo xtask package`"));
    }
    let archives: Vec<(&str, &Verified)> = verified.iter().map(|(name, archive)| (*name, archive)).collect();
    defects.extend(expected(files, &archives));
    defects.extend(record(files, &archives));
    defects.extend(listed(files, &archives));
    // What was published of broken files would differ in every digest.
    if defects.is_empty() && files.contains_key(receipt::FILE) {
        let charts = archives.iter().map(|(name, archive)| (*name, archive.chart.clone())).collect();
        defects.extend(receipt::verify(files, &charts));
    }
    (verified, defects)
}

fn is_archive(name: &str) -> bool {
    name.ends_with(".tgz") && !name.contains('/')
}

/// What publishing adds, and signing: they come after the checksums.
fn is_later(name: &str) -> bool {
    name == receipt::FILE || name.ends_with(".prov")
}

/// SHA256SUMS lists every file, and nothing else.
fn sums(files: &Files) -> Vec<Defect> {
    let of = |message: String| Defect::new(SUMS, message);
    let Some(text) = files.get(SUMS) else { return vec![of("the file is missing".to_owned())] };
    let pairs = match checksum::parse(&String::from_utf8_lossy(text)) {
        Ok(pairs) => pairs,
        Err(error) => return vec![of(error)],
    };
    let mut defects = Vec::new();
    for (digest, name) in &pairs {
        match files.get(name) {
            None => defects.push(Defect::new(name, format!("the file is missing; {SUMS} lists it"))),
            Some(bytes) => defects.extend(mismatch(name, bytes, digest)),
        }
    }
    let names: BTreeSet<&String> = pairs.iter().map(|(_, name)| name).collect();
    let covered = |name: &&String| *name != SUMS && !is_later(name);
    let unlisted = files.keys().filter(covered).filter(|name| !names.contains(name));
    defects.extend(unlisted.map(|name| Defect::new(name, format!("{SUMS} does not list the file"))));
    if defects.is_empty() {
        let whole = checksum::list(
            pairs.iter().filter(|(_, name)| covered(&name)).map(|(digest, name)| (name.as_str(), digest)),
        );
        if text != whole.as_bytes() {
            defects.push(of(difference(text, whole.as_bytes(), "the folder")));
        }
    }
    defects
}

fn mismatch(name: &str, bytes: &[u8], digest: &str) -> Option<Defect> {
    let found = sha256(bytes);
    (found != digest).then(|| Defect::new(name, format!("its sha256 is {found}, {SUMS} has {digest}")))
}

/// One file against the checksums beside it, where they are and list it.
pub fn summed(name: &str, bytes: &[u8], beside: &Files) -> Vec<Defect> {
    let text = beside.get(SUMS).map(|text| String::from_utf8_lossy(text).into_owned()).unwrap_or_default();
    let pairs = checksum::parse(&text).unwrap_or_default();
    pairs.iter().filter(|(_, listed)| listed == name).filter_map(|(digest, _)| mismatch(name, bytes, digest)).collect()
}

/// Every file belongs to an archive or to the folder, and every one that belongs is there.
fn expected(files: &Files, archives: &[(&str, &Verified)]) -> Vec<Defect> {
    let mut expected: BTreeSet<String> = [SUMS, INDEX, record::FILE, receipt::FILE].map(str::to_owned).into();
    let mut defects = Vec::new();
    for (name, archive) in archives {
        expected.extend([(*name).to_owned(), format!("{name}.prov")]);
        for companion in archive.companions.keys() {
            if !files.contains_key(companion) {
                defects.push(Defect::new(companion, format!("the file is missing; it belongs to {name}")));
            }
            expected.insert(companion.clone());
        }
    }
    // Of a broken archive it is not known what belongs to it.
    if archives.len() == files.keys().filter(|name| is_archive(name)).count() {
        let strays = files.keys().filter(|name| !expected.contains(*name));
        defects.extend(strays.map(|name| Defect::new(name, "the file belongs to no archive here")));
    }
    defects
}

fn record(files: &Files, archives: &[(&str, &Verified)]) -> Vec<Defect> {
    let of = |message: String| vec![Defect::new(record::FILE, message)];
    let Some(bytes) = files.get(record::FILE) else { return of("the file is missing".to_owned()) };
    match Record::parse(bytes).and_then(|record| Ok((record.to_bytes()?, record))) {
        Err(error) => of(format!("{error:#}")),
        Ok((written, _)) if written != *bytes => of(difference(bytes, &written, "its own content")),
        Ok((_, record)) => super::same_build::compare(record::FILE, &record, archives),
    }
}

/// index.yaml has every archive, and says of it what its Chart.yaml does. It may have older versions too.
fn listed(files: &Files, archives: &[(&str, &Verified)]) -> Vec<Defect> {
    let of = |message: String| Defect::new(INDEX, message);
    let Some(bytes) = files.get(INDEX) else { return vec![of("the file is missing".to_owned())] };
    let charts = match index::parse(&String::from_utf8_lossy(bytes)) {
        Ok(charts) => charts,
        Err(error) => return vec![of(format!("{error:#}"))],
    };
    let mut defects = Vec::new();
    for (name, archive) in archives {
        let Ok(expected) = index::entry(&archive.chart, &archive.sha256, "") else { continue };
        let mut entries = charts.get(&archive.chart.name).into_iter().flatten();
        match entries.find(|entry| entry["version"] == expected["version"]) {
            None => defects.push(of(format!("it does not list {name}"))),
            Some(entry) => {
                let fields = expected.as_object().into_iter().flatten();
                // An older index may have the archive at another place, and since another time.
                let wrong = fields.filter(|(key, value)| {
                    !matches!(key.as_str(), "created" | "urls") && entry.get(key.as_str()) != Some(*value)
                });
                defects.extend(wrong.map(|(key, value)| {
                    let found = entry.get(key.as_str()).unwrap_or(&Value::Null);
                    of(format!("`{key}` of {name} is {found}, the archive gives {value}"))
                }));
            }
        }
    }
    defects
}
