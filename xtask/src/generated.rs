//! Generated files that are committed: written, or compared with what the sources give. One way for every command that
//! makes some.

use std::path::Path;

use anyhow::{Context, Result};
use helmpack::archive::Files;
use rulecheck::Finding;

use crate::output::Staged;

/// Where the files of one command lie.
pub struct Place {
    /// The command that makes them, as findings tell it.
    pub command: &'static str,
    /// The folder that their paths are relative to.
    pub folder: &'static str,
    /// Folders below it that hold nothing else; a file that no source makes is removed from them.
    pub owned: &'static [&'static str],
}

impl Place {
    /// A finding for every file that differs, is missing, or should not be there.
    pub fn stale(&self, root: &Path, files: &Files) -> Result<Vec<Finding>> {
        let at = |path: &str, line: usize, message: String| {
            let help = format!("run `{}`", self.command);
            Finding::error(&format!("{}/{path}", self.folder), line, "file/stale", message).help(help)
        };
        let mut findings = Vec::new();
        for (path, bytes) in files {
            let (line, message) = match std::fs::read(root.join(self.folder).join(path)) {
                Ok(old) if old == *bytes => continue,
                Ok(old) => {
                    let (line, old, new) = first_difference(&old, bytes);
                    (line, format!("stale: the line is `{old}`, the sources give `{new}`"))
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => (1, "the file is missing".to_owned()),
                Err(error) => return Err(error).with_context(|| format!("reading {}/{path}", self.folder)),
            };
            findings.push(at(path, line, message));
        }
        let strays = self.strays(root, files)?;
        findings.extend(strays.iter().map(|path| at(path, 1, "no source makes this file".to_owned())));
        Ok(findings)
    }

    /// Writes what differs and removes strays; returns how many files changed.
    pub fn write(&self, root: &Path, files: &Files) -> Result<usize> {
        let changed = self.stale(root, files)?.len();
        let folder = root.join(self.folder);
        let mut staged = Staged::default();
        for (path, bytes) in files {
            staged.write(&folder.join(path), bytes)?;
        }
        staged.commit()?;
        for path in self.strays(root, files)? {
            std::fs::remove_file(folder.join(&path)).with_context(|| format!("removing {}/{path}", self.folder))?;
        }
        Ok(changed)
    }

    /// Files in owned folders that no source makes.
    fn strays(&self, root: &Path, files: &Files) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for owned in self.owned {
            self.list(root, owned, &mut found)?;
        }
        found.retain(|path| !files.contains_key(path));
        found.sort();
        Ok(found)
    }

    fn list(&self, root: &Path, below: &str, found: &mut Vec<String>) -> Result<()> {
        let reading = || format!("reading {}/{below}", self.folder);
        let entries = match std::fs::read_dir(root.join(self.folder).join(below)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            entries => entries.with_context(reading)?,
        };
        for entry in entries {
            let entry = entry.with_context(reading)?;
            let path = format!("{below}/{}", entry.file_name().to_string_lossy());
            if entry.file_type().with_context(|| format!("reading {}/{path}", self.folder))?.is_dir() {
                self.list(root, &path, found)?;
            } else {
                found.push(path);
            }
        }
        Ok(())
    }
}

/// The number of the first line that differs, and what stands there in both.
pub fn first_difference(old: &[u8], new: &[u8]) -> (usize, String, String) {
    let (old, new) = (String::from_utf8_lossy(old), String::from_utf8_lossy(new));
    let index = old.lines().zip(new.lines()).take_while(|(old, new)| old == new).count();
    let (old, new) = (old.lines().nth(index), new.lines().nth(index));
    // A long line is shown from shortly before the difference.
    let equal =
        old.unwrap_or_default().chars().zip(new.unwrap_or_default().chars()).take_while(|(a, b)| a == b).count();
    let show = |line: Option<&str>| {
        let Some(line) = line else { return "(end of file)".to_owned() };
        let skip = if equal > 40 { equal - 20 } else { 0 };
        let shown: String = line.chars().skip(skip).take(80).collect();
        if skip > 0 { format!("…{shown}") } else { shown }
    };
    (index + 1, show(old), show(new))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_has_its_line() {
        assert_eq!(first_difference(b"a\nb\nc\n", b"a\nx\nc\n"), (2, "b".into(), "x".into()));
        assert_eq!(first_difference(b"a\n", b"a\nb\n"), (2, "(end of file)".into(), "b".into()));
        let long = "x".repeat(100);
        let (_, old, new) = first_difference(format!("{long}a").as_bytes(), format!("{long}b").as_bytes());
        assert_eq!((old, new), (format!("…{}a", "x".repeat(20)), format!("…{}b", "x".repeat(20))));
    }

    #[test]
    fn what_was_written_is_not_stale_and_strays_are_gone() {
        let folder = xshell::Shell::new().unwrap().create_temp_dir().unwrap();
        let root = folder.path();
        let place = Place { command: "make", folder: "out", owned: &["own"] };
        let files = Files::from([("own/a/b.md".to_owned(), b"b\n".to_vec()), ("c.md".to_owned(), b"c\n".to_vec())]);
        assert_eq!(place.write(root, &files).unwrap(), 2);
        for (path, text) in [("own/stray.md", ""), ("d.md", ""), ("c.md", "x\n")] {
            std::fs::write(root.join("out").join(path), text).unwrap();
        }
        let found: Vec<String> = place.stale(root, &files).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "out/c.md:1: error: file/stale: stale: the line is `x`, the sources give `c`\n  help: run `make`",
                "out/own/stray.md:1: error: file/stale: no source makes this file\n  help: run `make`",
            ]
        );
        assert_eq!(place.write(root, &files).unwrap(), 2);
        assert_eq!(place.stale(root, &files).unwrap(), []);
        assert!(root.join("out/d.md").is_file(), "a folder that is not owned keeps what others put there");
    }
}
