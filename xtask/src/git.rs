//! What Git says of the checkout.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};
use xshell::{Shell, cmd};

use crate::sources::Sources;

/// The commit that is checked out.
pub struct Head {
    /// Its id.
    pub commit: String,
    /// Whether there are changes that it does not hold.
    pub dirty: bool,
}

/// The commit of the checkout at `root`; `None` where that is not a Git repository of its own, or Git is not there.
///
/// It is dirty, too, where it does not hold one of the sources: Git says nothing of a file that somebody's own settings ignore.
pub fn head(root: &Path, sources: &Sources) -> Result<Option<Head>> {
    let shell = Shell::new()?;
    let git = |arguments: &[&str]| cmd!(shell, "git -C {root} {arguments...}").quiet().ignore_stderr().read().ok();
    let ours = git(&["rev-parse", "--show-toplevel"]).is_some_and(|top| {
        let canonical = |path: &Path| path.canonicalize().ok();
        canonical(Path::new(&top)).is_some_and(|top| Some(top) == canonical(root))
    });
    let head = || {
        let changes = git(&["status", "--porcelain", "--untracked-files=all"])?;
        let tracked = git(&["ls-files", "-z"])?;
        let tracked: BTreeSet<&str> = tracked.split('\0').collect();
        let dirty = !changes.is_empty() || sources.paths().any(|path| !tracked.contains(path));
        Some(Head { commit: git(&["rev-parse", "HEAD"])?, dirty })
    };
    Ok(ours.then(head).flatten())
}

/// The tracked files that are not as the commit that is checked out has them.
pub fn changed(root: &Path) -> Result<Vec<String>> {
    let shell = Shell::new()?;
    let changed = cmd!(shell, "git -C {root} diff --name-only -z HEAD").quiet().read().context("comparing with Git")?;
    Ok(changed.split_terminator('\0').map(str::to_owned).collect())
}

/// A file as the commit that is checked out has it.
pub fn committed(root: &Path, path: &str) -> Result<String> {
    let (shell, object) = (Shell::new()?, format!("HEAD:{path}"));
    cmd!(shell, "git -C {root} show {object}")
        .quiet()
        .read()
        .with_context(|| format!("reading {path} of the last commit"))
}

/// The tags of a commit.
pub fn tags(root: &Path, commit: &str) -> Result<Vec<String>> {
    let shell = Shell::new()?;
    let tags = cmd!(shell, "git -C {root} tag --points-at {commit}").quiet().ignore_stderr().read();
    Ok(tags.unwrap_or_default().lines().map(str::to_owned).collect())
}

/// Commits these files as they are.
pub fn commit(root: &Path, paths: &[&str], message: &str) -> Result<()> {
    let shell = Shell::new()?;
    cmd!(shell, "git -C {root} add -- {paths...}").quiet().run().context("adding the files to the commit")?;
    cmd!(shell, "git -C {root} commit --quiet --message {message}").quiet().run().context("committing")
}

/// Takes files out of the next commit again.
pub fn unstage(root: &Path, paths: &[&str]) -> Result<()> {
    let shell = Shell::new()?;
    cmd!(shell, "git -C {root} reset --quiet -- {paths...}").quiet().run().context("taking the files back")
}

/// Whether the repository has a commit, given by its id.
pub fn has(root: &Path, commit: &str) -> Result<bool> {
    let (shell, object) = (Shell::new()?, format!("{commit}^{{commit}}"));
    // An id comes out of a file: it must not be an option, nor a branch's name.
    let is_id = commit.len() >= 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    Ok(is_id && cmd!(shell, "git -C {root} cat-file -e {object}").quiet().ignore_stderr().run().is_ok())
}

/// Whether files and folders are here as a commit has them.
pub fn same(root: &Path, commit: &str, paths: &[&str]) -> Result<bool> {
    let shell = Shell::new()?;
    let output = cmd!(shell, "git -C {root} diff --name-only {commit} -- {paths...}").quiet().read();
    Ok(output.context("comparing with Git")?.is_empty())
}

/// Writes the files of a commit below `folder`, which is made; nothing else in the repository changes.
pub fn export(root: &Path, commit: &str, folder: &Path) -> Result<()> {
    let shell = Shell::new()?;
    std::fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    // An index of its own: the checkout's stays as it is.
    let index = folder.join(".index");
    let prefix = format!("--prefix={}/", folder.display());
    let git = |arguments: &[&str]| {
        cmd!(shell, "git -C {root} {arguments...}")
            .quiet()
            .env("GIT_INDEX_FILE", &index)
            .run()
            .context("exporting with Git")
    };
    git(&["read-tree", commit])?;
    git(&["checkout-index", "--all", &prefix])
}
