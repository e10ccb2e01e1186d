//! Reads every input file once, sorted, before anything else happens. Nothing else reads the sources.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use rulecheck::{Finding, document};

/// Folders that hold sources, with everything below them.
const FOLDERS: [&str; 9] = [
    "alerts",
    "dashboards",
    "metrics",
    "values",
    "chart/scripts",
    "chart/templates",
    "docs/runbooks",
    "docs/templates",
    "upstream",
];

/// Single source files outside those folders.
const FILES: [&str; 5] =
    ["CHANGELOG.md", "chart/.helmignore", "chart/Chart.yaml", "chart/dependencies.sha256", "chart/notifications.yaml"];

/// Every source by its path in the repository, with slashes.
#[derive(Debug, Default, Clone)]
pub struct Sources {
    files: BTreeMap<String, Vec<u8>>,
}

impl Sources {
    /// Reads the sources below `root`. Hidden files and editors' backups are passed over; a link is refused, because
    /// it would be followed on one machine and broken on another.
    pub fn read(root: &Path) -> Result<Sources> {
        let mut sources = Sources::default();
        for path in FILES {
            let bytes = std::fs::read(root.join(path)).with_context(|| format!("reading {path}"))?;
            sources.files.insert(path.to_owned(), bytes);
        }
        for folder in FOLDERS {
            sources.read_folder(root, folder)?;
        }
        Ok(sources)
    }

    fn read_folder(&mut self, root: &Path, folder: &str) -> Result<()> {
        for entry in std::fs::read_dir(root.join(folder)).with_context(|| format!("reading {folder}/"))? {
            let entry = entry.with_context(|| format!("reading {folder}/"))?;
            let Ok(name) = entry.file_name().into_string() else {
                bail!("{folder}/ holds a file whose name is not UTF-8: {}", entry.path().display());
            };
            if name.starts_with('.') && name != ".helmignore" || name.ends_with('~') {
                continue;
            }
            let path = format!("{folder}/{name}");
            let kind = entry.file_type().with_context(|| format!("reading {path}"))?;
            if kind.is_dir() {
                self.read_folder(root, &path)?;
            } else if kind.is_file() {
                let bytes = std::fs::read(entry.path()).with_context(|| format!("reading {path}"))?;
                self.files.insert(path, bytes);
            } else {
                bail!("{path} is neither a file nor a folder; sources may not be links");
            }
        }
        Ok(())
    }

    /// The bytes of one file.
    pub fn bytes(&self, path: &str) -> Option<&[u8]> {
        self.files.get(path).map(Vec::as_slice)
    }

    /// The text of one file, which must be there and be UTF-8.
    pub fn text(&self, path: &str) -> Result<&str, Finding> {
        let Some(bytes) = self.files.get(path) else {
            return Err(Finding::error(path, 1, "file/syntax", "the file is missing"));
        };
        document::text(path, bytes)
    }

    /// All paths, sorted.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// The paths below `folder`, sorted.
    pub fn below<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = &'a str> {
        let files = self.files.range(format!("{folder}/")..);
        files
            .map(|(path, _)| path.as_str())
            .take_while(move |path| path.strip_prefix(folder).is_some_and(|p| p.starts_with('/')))
    }

    /// Sets one file, here and not on the disk.
    pub fn set(&mut self, path: &str, text: impl AsRef<[u8]>) {
        self.files.insert(path.to_owned(), text.as_ref().to_vec());
    }
}
