//! dist/: what a run writes, and what it takes away of earlier ones.

use std::collections::BTreeSet;
use std::path::{Component, Path};

use anyhow::Result;
use helmpack::archive::Files;
use helmpack::checksum;

use super::SUMS;
use crate::output::{Staged, temporary};
use crate::record;
use crate::verify::receipt;

/// Writes the artifacts, and what is `later` than their checksums, and takes away what earlier runs made and this one does not; of
/// `before`, what the folder held, nothing else.
///
/// What is ours is known from the list of checksums. The new one is complete under its temporary name before anything is changed,
/// and gets its own name after everything is: in between the two lists tell what is to go and what is to come, so that whatever
/// run comes after one that was killed can put the folder in order.
pub fn write(output: &Path, artifacts: &Files, later: &Files, before: &Files) -> Result<()> {
    let listed = names(before.get(SUMS).map(Vec::as_slice).unwrap_or_default());
    let begun = names(&std::fs::read(temporary(&output.join(SUMS))?).unwrap_or_default());
    // A run that was killed had begun to make these, and this run's list is about to be written over the one that says so.
    sweep(output, begun.difference(&listed), |name| later.contains_key(name));
    let mut staged = Staged::default();
    staged.write_last(&output.join(SUMS), &sums(artifacts))?;
    for (name, bytes) in artifacts.iter().chain(later) {
        staged.write(&output.join(name), bytes)?;
    }
    sweep(output, &listed, |name| artifacts.contains_key(name) || later.contains_key(name));
    if !listed.is_empty() && !later.contains_key(receipt::FILE) {
        let _ = std::fs::remove_file(output.join(receipt::FILE));
    }
    staged.commit()
}

fn sums(artifacts: &Files) -> Vec<u8> {
    checksum::sums(artifacts.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()))).into_bytes()
}

/// The files that a list of checksums of ours names. A list without the record is another's, and so are the files on it; a line
/// without its end is one of a list that was never complete.
fn names(list: &[u8]) -> BTreeSet<String> {
    let text = String::from_utf8_lossy(list);
    let pairs = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')?.split_once("  "));
    let names: BTreeSet<String> = pairs.map(|(_, name)| name.to_owned()).collect();
    if names.contains(record::FILE) { names } else { BTreeSet::new() }
}

/// Takes away these files and their signatures, also where they are unfinished, but for what is kept.
fn sweep<'a>(output: &Path, names: impl IntoIterator<Item = &'a String>, kept: impl Fn(&str) -> bool) {
    // Whatever a list says, nothing outside the folder is ever removed.
    let inside = |name: &&String| Path::new(name).components().all(|step| matches!(step, Component::Normal(_)));
    for name in names.into_iter().filter(inside) {
        for name in [format!("{name}.prov"), name.clone()].iter().filter(|name| !kept(name)) {
            let path = output.join(name);
            let _ = std::fs::remove_file(&path);
            let _ = temporary(&path).map(std::fs::remove_file);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::verify;

    /// What a run makes: files by their names, with a content that tells the run.
    fn artifacts(run: &str, names: &[&str]) -> Files {
        let file = |name: &&str| ((*name).to_owned(), format!("{name} {run}").into_bytes());
        names.iter().chain(&["a/shared", record::FILE]).map(file).collect()
    }

    fn run(output: &Path, artifacts: &Files) -> Result<()> {
        write(output, artifacts, &Files::new(), &verify::read(output)?)
    }

    /// A run that stops at any of its renames, and then any run: only that one's files are there, and the user's.
    #[test]
    fn whatever_run_follows_one_that_was_stopped_puts_the_folder_in_order() {
        let [old, stopped] = [artifacts("1", &["old", "both"]), artifacts("2", &["both", "z/new"])];
        for following in [&old, &stopped, &artifacts("3", &["other"])] {
            for at in stopped.keys().map(String::as_str).chain([SUMS]) {
                let folder = xshell::Shell::new().unwrap().create_temp_dir().unwrap();
                let output = folder.path();
                fs::write(output.join("mine"), "mine").unwrap();
                run(output, &old).unwrap();
                let before = verify::read(output).unwrap();
                // Nothing can be renamed to a folder that is not empty.
                let obstacle = output.join(at);
                let _ = fs::remove_file(&obstacle);
                fs::create_dir_all(obstacle.join("obstacle")).unwrap();
                assert!(write(output, &stopped, &Files::new(), &before).is_err());
                fs::remove_dir_all(&obstacle).unwrap();
                if at == SUMS {
                    fs::write(&obstacle, &before[SUMS]).unwrap();
                }
                run(output, following).unwrap();
                let mut expected = following.clone();
                expected.extend([(SUMS.to_owned(), sums(following)), ("mine".to_owned(), b"mine".to_vec())]);
                assert_eq!(verify::read(output).unwrap(), expected, "{at}");
                let names =
                    fs::read_dir(output).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
                assert_eq!(names.filter(|name| name.ends_with(".tmp")).count(), 0, "{at}");
            }
        }
    }

    #[test]
    fn what_another_list_names_or_lies_elsewhere_is_not_taken_away() {
        let folder = xshell::Shell::new().unwrap().create_temp_dir().unwrap();
        let output = folder.path().join("dist");
        fs::create_dir(&output).unwrap();
        let hash = "0".repeat(64);
        for (list, kept) in [
            (format!("{hash}  mine\n"), output.join("mine")),
            (format!("{hash}  ../mine\n{hash}  package.json\n"), folder.path().join("mine")),
        ] {
            fs::write(&kept, "mine").unwrap();
            fs::write(output.join(SUMS), list).unwrap();
            run(&output, &artifacts("1", &[])).unwrap();
            assert!(kept.exists(), "{}", kept.display());
        }
    }
}
