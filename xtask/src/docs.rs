//! `cargo xtask docs`: the pages of docs/ that the sources give, made in memory, then written or compared. A page is a
//! file of docs/ in this module, and a line in [`generate`].

mod alerts;
mod dashboards;
mod preview;

use std::path::Path;

use anyhow::Result;
use helmpack::archive::Files;

use crate::check;
use crate::failure::Findings;
use crate::flags;
use crate::generated::Place;
use crate::model::Model;
use crate::output::Lock;

/// The generated pages.
pub const PAGES: Place = Place { command: "cargo xtask docs", folder: "docs", owned: &["dashboards"] };

impl flags::Docs {
    pub fn run(self, root: &Path) -> Result<()> {
        let (_, model, _) = check::checked(root)?;
        let pages = generate(&model)?;
        if self.check {
            let stale = PAGES.stale(root, &pages)?;
            if !stale.is_empty() {
                return Err(Findings(stale).into());
            }
            say!("{} generated pages of docs/ are up to date", pages.len());
        } else {
            let _lock = Lock::take(root)?;
            say!("wrote {} of {} generated pages of docs/", PAGES.write(root, &pages)?, pages.len());
        }
        Ok(())
    }
}

/// Every generated page, by its path below docs/.
pub fn generate(model: &Model) -> Result<Files> {
    let mut pages = dashboards::render(model);
    pages.insert("alerts.md".to_owned(), alerts::render(model)?.into_bytes());
    Ok(pages)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stale page fails `cargo test` too, not only `cargo xtask test`.
    #[test]
    fn the_committed_pages_are_up_to_date() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let (_, model, _) = check::checked(root).unwrap();
        let stale = PAGES.stale(root, &generate(&model).unwrap()).unwrap();
        assert!(stale.is_empty(), "{}", Findings(stale));
    }
}
