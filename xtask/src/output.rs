//! The right edge: everything that is written goes through here, to a temporary name first and then by a rename, so
//! that a command killed at any point leaves the old file or the new one.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Prints a line on stdout. Where nobody reads on, as behind `| head`, the work itself still goes on to its end;
/// `println!` would panic there.
macro_rules! say {
    ($($line:tt)*) => {
        {
            // When the reader is gone there is nobody to tell.
            let _ = std::io::Write::write_fmt(&mut std::io::stdout(), format_args!("{}\n", format_args!($($line)*)));
        }
    };
}

/// The same on stderr: progress and errors.
macro_rules! note {
    ($($line:tt)*) => {
        {
            let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("{}\n", format_args!($($line)*)));
        }
    };
}

/// Held while a command writes; two at once would take each other's temporary files.
pub struct Lock(#[allow(dead_code, reason = "the lock lasts as long as the file is open")] File);

impl Lock {
    /// Waits until no other command of this checkout writes.
    pub fn take(root: &Path) -> Result<Lock> {
        let path = root.join("target/xtask.lock");
        fs::create_dir_all(root.join("target")).context("creating target/")?;
        let file = File::create(&path).with_context(|| format!("creating {}", path.display()))?;
        if file.try_lock().is_err() {
            note!("waiting for another `cargo xtask` that is writing");
            file.lock().with_context(|| format!("locking {}", path.display()))?;
        }
        Ok(Lock(file))
    }
}

/// Files that are complete under their temporary names; [`Staged::commit`] renames them.
#[derive(Default)]
pub struct Staged {
    renames: Vec<(PathBuf, PathBuf)>,
    last: Option<(PathBuf, PathBuf)>,
}

/// The name under which a file is written before it has its own. It is fixed, so that what a killed command left is overwritten
/// or taken away by the next one.
pub fn temporary(path: &Path) -> Result<PathBuf> {
    let name = path.file_name().context("a file without a name")?.to_string_lossy();
    Ok(path.with_file_name(format!(".{name}.tmp")))
}

impl Staged {
    /// Writes `bytes` beside `path` under a temporary name. A file that has these bytes already is left alone.
    pub fn write(&mut self, path: &Path, bytes: &[u8]) -> Result<()> {
        self.renames.extend(stage(path, bytes)?);
        Ok(())
    }

    /// The same for the one file that gets its name after all others, in whatever order they are written.
    pub fn write_last(&mut self, path: &Path, bytes: &[u8]) -> Result<()> {
        self.last = stage(path, bytes)?;
        Ok(())
    }

    /// Gives every file its final name, in the order of the writes. Where that fails, the others keep their temporary names, as if
    /// the command had been killed there.
    pub fn commit(mut self) -> Result<()> {
        for (from, to) in std::mem::take(&mut self.renames).into_iter().chain(self.last.take()) {
            fs::rename(&from, &to).with_context(|| format!("writing {}", to.display()))?;
        }
        Ok(())
    }
}

impl Drop for Staged {
    /// What was not committed is taken away; a command that fails leaves nothing behind.
    fn drop(&mut self) {
        for (temporary, _) in self.renames.iter().chain(&self.last) {
            let _ = fs::remove_file(temporary);
        }
    }
}

/// Writes a file under its temporary name; gives that and its own, nothing if it has these bytes already.
fn stage(path: &Path, bytes: &[u8]) -> Result<Option<(PathBuf, PathBuf)>> {
    let folder = path.parent().context("a file without a folder")?;
    let temporary = temporary(path)?;
    if fs::read(path).is_ok_and(|old| old == bytes) {
        let _ = fs::remove_file(&temporary);
        return Ok(None);
    }
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        // Without it, a power loss after the rename could leave an empty file under the final name.
        file.sync_all()
    };
    if let Err(error) = write() {
        let _ = fs::remove_file(&temporary);
        return Err(error).with_context(|| format!("writing {}", path.display()));
    }
    Ok(Some((temporary, path.to_owned())))
}
