//! `cargo xtask verify`: proves from the files, or from a registry, alone that they are what `package` wrote, and with `--rebuild`
//! that the recorded commit gives the same bytes.

pub mod archive;
pub mod folder;
pub mod published;
pub mod rebuild;
pub mod receipt;
mod same_build;
pub mod signature;

use std::fmt;
use std::fs::DirEntry;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use helmpack::archive::Files;

use crate::failure::{Reported, Usage, plural};
use crate::flags::{self, Edition};
use crate::package::{SUMS, UNPINNED};
use crate::publishable;
use crate::record::{self, Record};

/// Something that is not as it was packed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Defect {
    /// The file, by its path in the folder.
    pub file: String,
    /// What is wrong with it, and where in it.
    pub message: String,
}

impl Defect {
    /// A defect of `file`.
    pub fn new(file: &str, message: impl Into<String>) -> Defect {
        Defect { file: file.to_owned(), message: message.into() }
    }
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.message)
    }
}

impl flags::Verify {
    pub fn run(mut self, root: &Path) -> Result<()> {
        let target = self.target.clone().unwrap_or_else(|| root.join("dist"));
        let (files, mut defects) = if let Some(reference) = target.to_str().filter(|text| text.starts_with("oci://")) {
            self.registry.read_password()?;
            let (files, mut defects) = published::fetch(reference, &self.registry)?;
            for (name, archive) in files.iter().filter(|(name, _)| name.ends_with(".tgz")) {
                defects.extend(alone(name, archive, &files));
            }
            (files, defects)
        } else if target.is_dir() {
            let files = read(&target)?;
            let (_, defects) = folder::verify(&files);
            (files, defects)
        } else if target.is_file() {
            one(&target)?
        } else {
            return Err(Usage(format!("there is no {}; `cargo xtask package` makes dist/", target.display())).into());
        };
        if let Some(keyring) = &self.keyring {
            defects.extend(signatures(&files, keyring));
        }
        // What is broken already needs no comparing.
        if self.rebuild && defects.is_empty() {
            let record = files.get(record::FILE).context("there is no package.json, which names the commit")?;
            defects.extend(rebuild::rebuild(root, &Record::parse(record)?, &files)?);
        }
        defects.sort();
        defects.iter().for_each(|defect| say!("{defect}"));
        if !defects.is_empty() {
            say!("{} in {}", plural(defects.len(), "defect"), target.display());
            return Err(Reported.into());
        }
        let rebuilt = if self.rebuild { ", and its commit gives the same bytes" } else { "" };
        say!("{}: {} as packed{rebuilt}", target.display(), plural(files.len(), "file"));
        if let Some(Ok(record)) = files.get(record::FILE).map(|bytes| Record::parse(bytes)) {
            let changelog = std::fs::read_to_string(root.join("CHANGELOG.md")).context("reading CHANGELOG.md")?;
            let refusals =
                publishable::refusals(&record, &changelog, &publishable::tags(root, &record)?, &Edition::ALL);
            refusals.iter().for_each(|reason| say!("note   not to be published: {reason}"));
        }
        Ok(())
    }
}

/// An archive with what lies beside it.
fn one(path: &Path) -> Result<(Files, Vec<Defect>)> {
    let name = path.file_name().and_then(|name| name.to_str()).context("the archive's name is not UTF-8")?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut files = Files::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let entry = entry.with_context(|| format!("reading {}", folder.display()))?;
        let belongs = |file: &&str| file.starts_with(name) || [record::FILE, SUMS].contains(file);
        if let Some(file) = entry.file_name().to_str().filter(belongs)
            && !is_folder(&entry)?
        {
            files.insert(file.to_owned(), bytes(&entry)?);
        }
    }
    let archive = files.get(name).with_context(|| format!("there is no {}", path.display()))?;
    let mut defects = folder::summed(name, archive, &files);
    defects.extend(alone(name, archive, &files));
    Ok((files, defects))
}

/// What is wrong with an archive, and with those of the files that are about it.
fn alone(name: &str, archive: &[u8], files: &Files) -> Vec<Defect> {
    let mut defects = Vec::new();
    match archive::verify(name, archive, files) {
        Err(defect) => defects.push(defect),
        Ok((verified, found)) => {
            defects.extend(found);
            if let Some(unpinned) = verified.chart.annotations.get(UNPINNED) {
                say!("note   it says itself that it carries another {unpinned} than the pinned one");
            }
        }
    }
    defects
}

/// Every `.prov` file among the files has a good signature, and there is one for each archive.
fn signatures(files: &Files, keyring: &Path) -> Vec<Defect> {
    let archives = files.keys().filter(|name| name.ends_with(".tgz"));
    let check = |archive: &String| {
        let name = format!("{archive}.prov");
        let prov = files.get(&name).with_context(|| "the file is missing; `cargo xtask package --sign KEY` makes it");
        let result = prov.and_then(|prov| signature::verify(prov, keyring));
        result.err().map(|error| Defect::new(&name, format!("{error:#}")))
    };
    archives.filter_map(check).collect()
}

/// Every file below a folder by its path in it, with slashes.
pub fn read(folder: &Path) -> Result<Files> {
    let mut files = Files::new();
    read_into(folder, "", &mut files)?;
    Ok(files)
}

fn read_into(folder: &Path, below: &str, files: &mut Files) -> Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let entry = entry.with_context(|| format!("reading {}", folder.display()))?;
        let Ok(name) = entry.file_name().into_string() else {
            bail!("the name of {} is not UTF-8", entry.path().display());
        };
        if is_folder(&entry)? {
            read_into(&entry.path(), &format!("{below}{name}/"), files)?;
        } else if !(name.starts_with('.') && name.ends_with(".tmp")) {
            // What is passed over a command is writing, or left when it was killed: the next one takes it away.
            files.insert(format!("{below}{name}"), bytes(&entry)?);
        }
    }
    Ok(())
}

/// Whether an entry is a folder and not a file. Anything else is refused: a pipe may never end, and a link is another file on the
/// next machine.
fn is_folder(entry: &DirEntry) -> Result<bool> {
    let path = entry.path();
    let kind = entry.file_type().with_context(|| format!("reading {}", path.display()))?;
    ensure!(
        kind.is_dir() || kind.is_file(),
        "{} is {}, and `package` writes files alone; take it away",
        path.display(),
        if kind.is_symlink() { "a link" } else { "neither a file nor a folder" }
    );
    Ok(kind.is_dir())
}

fn bytes(entry: &DirEntry) -> Result<Vec<u8>> {
    std::fs::read(entry.path()).with_context(|| format!("reading {}", entry.path().display()))
}
