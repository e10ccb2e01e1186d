//! The record of a build against the archives that it is about.

use super::Defect;
use super::archive::Verified;
use crate::dependency;
use crate::flags::Edition;
use crate::package::UNPINNED;
use crate::record::Record;

/// What a record, in the file of that name, says otherwise than the archives. It must know each of them, and each of its own must
/// be among them.
pub fn compare(file: &str, record: &Record, archives: &[(&str, &Verified)]) -> Vec<Defect> {
    let mut wrong = Vec::new();
    for (edition, packed) in &record.archives {
        let Some((_, verified)) = archives.iter().find(|(name, _)| **name == packed.file) else {
            wrong.push(format!("it names {}, which is not here", packed.file));
            continue;
        };
        if packed.sha256 != verified.sha256 {
            wrong.push(format!("{} has the sha256 {}, recorded is {}", packed.file, verified.sha256, packed.sha256));
        }
        if Edition::named(edition) != Some(Edition::of(&verified.chart)) {
            wrong.push(format!("{} is recorded as the {edition} edition", packed.file));
        }
    }
    for (name, verified) in archives {
        if !record.archives.values().any(|packed| packed.file == *name) {
            wrong.push(format!("it does not name {name}"));
        }
        wrong.extend(same_build(name, record, verified));
    }
    wrong.into_iter().map(|message| Defect::new(file, message)).collect()
}

/// Version, time and dependencies.
fn same_build(name: &str, record: &Record, verified: &Verified) -> Vec<String> {
    let mut wrong = Vec::new();
    let Verified { chart, packed, carried, .. } = verified;
    if chart.version != record.version {
        wrong.push(format!("{name} is of version {}, recorded is {}", chart.version, record.version));
    }
    if packed.mtime != record.source_date_epoch {
        let (found, recorded) = (packed.mtime, record.source_date_epoch);
        wrong.push(format!("the entries of {name} have the time {found}, recorded is {recorded}"));
    }
    if !chart.dependencies.is_empty() && chart.name != record.name {
        wrong.push(format!("{name} is the chart {}, recorded is {}", chart.name, record.name));
    }
    for declared in &chart.dependencies {
        let path = dependency::path_in_chart(&declared.name, &declared.version);
        let found = carried.iter().find(|archive| archive.path() == path).map(|archive| &archive.sha256);
        let mut recorded = record.dependencies.iter();
        match recorded.find(|recorded| recorded.name == declared.name && recorded.version == declared.version) {
            None => wrong.push(format!("it does not name {path}, which {name} carries")),
            Some(recorded) if Some(&recorded.sha256) != found => {
                wrong.push(format!("{path} in {name} is another one than the recorded, {}", recorded.sha256));
            }
            Some(recorded) if recorded.pinned == chart.annotations.contains_key(UNPINNED) => {
                wrong.push(format!(
                    "{path} is recorded as {}, {name} says otherwise",
                    if recorded.pinned { "pinned" } else { "not pinned" }
                ));
            }
            Some(_) => {}
        }
    }
    wrong
}
