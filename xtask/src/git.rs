//! What Git says of the checkout.

use std::path::Path;

use anyhow::Result;
use xshell::{Shell, cmd};

/// The commit that is checked out.
pub struct Head {
    /// Its id.
    pub commit: String,
    /// Whether there are changes that it does not hold.
    pub dirty: bool,
}

/// The commit of the checkout at `root`; `None` where that is not a Git repository of its own, or Git is not there.
pub fn head(root: &Path) -> Result<Option<Head>> {
    let shell = Shell::new()?;
    let git = |arguments: &[&str]| cmd!(shell, "git -C {root} {arguments...}").quiet().ignore_stderr().read().ok();
    let ours = git(&["rev-parse", "--show-toplevel"]).is_some_and(|top| {
        let canonical = |path: &Path| path.canonicalize().ok();
        canonical(Path::new(&top)).is_some_and(|top| Some(top) == canonical(root))
    });
    let head = || Some((git(&["rev-parse", "HEAD"])?, git(&["status", "--porcelain"])?));
    Ok(ours.then(head).flatten().map(|(commit, changes)| Head { commit, dirty: !changes.is_empty() }))
}
