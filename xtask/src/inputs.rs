//! Reads files that a caller names, which may lie anywhere. Paths stay as they were given, for findings to repeat them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rulecheck::Finding;

use crate::failure::Usage;

/// The ends of names that a folder is searched for.
const DOCUMENTS: [&str; 3] = [".yaml", ".yml", ".json"];

/// What was read.
#[derive(Debug, Default)]
pub struct Inputs {
    /// Each file's path and bytes, in the order of the arguments, a folder's files sorted.
    pub files: Vec<(String, Vec<u8>)>,
    /// One for each file that is there and cannot be read.
    pub findings: Vec<Finding>,
}

/// Reads files, and the documents below folders. A path that is not there is bad usage.
pub fn read(paths: &[PathBuf]) -> Result<Inputs> {
    let mut found = Vec::new();
    for path in paths {
        let metadata = fs::metadata(path).map_err(|error| Usage(format!("reading {}: {error}", path.display())))?;
        if metadata.is_dir() {
            list(path, &mut found).with_context(|| format!("reading {}", path.display()))?;
        } else {
            found.push(path.clone());
            let beside = path.with_extension("allow.yaml");
            if path.extension().is_some_and(|extension| extension == "json") && beside.is_file() {
                found.push(beside);
            }
        }
    }
    // Named twice, a file is still one.
    let mut seen = BTreeSet::new();
    found.retain(|path| seen.insert(path.clone()));
    let mut inputs = Inputs::default();
    for path in found {
        let name = path.to_string_lossy().into_owned();
        match fs::read(&path) {
            Ok(bytes) => inputs.files.push((name, bytes)),
            Err(error) => {
                let message = format!("the file cannot be read: {error}");
                inputs.findings.push(Finding::error(&name, 1, "file/syntax", message));
            }
        }
    }
    Ok(inputs)
}

/// The documents below a folder, sorted by path. Hidden files are passed over, and links to folders, which may lead
/// round in a circle. So is what is no file, since reading a pipe waits for someone who writes; one that the caller names
/// is read to its end.
fn list(folder: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_folder = entry.file_type()?.is_dir();
        if !name.starts_with('.') && (is_folder || DOCUMENTS.iter().any(|end| name.ends_with(end))) {
            paths.push((entry.path(), is_folder));
        }
    }
    paths.sort();
    for (path, is_folder) in paths {
        match is_folder {
            true => list(&path, found)?,
            false if fs::metadata(&path).is_ok_and(|metadata| !metadata.is_file()) => {}
            false => found.push(path),
        }
    }
    Ok(())
}
