//! `dashboard/format`: every file of dashboards/ has the canonical form, so that a diff shows only what a person changed.

use rulecheck::dashboard::{Form, canonical};
use rulecheck::{Dashboard, Finding};

use crate::generated::first_difference;
use crate::sources::Sources;

pub(super) fn check(sources: &Sources, dashboard: &Dashboard) -> Option<Finding> {
    let path = dashboard.path.as_str();
    // A wrapper is a finding of its own.
    if dashboard.form != Form::Classic {
        return None;
    }
    let text = sources.text(path).ok()?;
    let canonical = canonical(text).ok()?;
    if canonical == text {
        return None;
    }
    let (line, is, wanted) = first_difference(text.as_bytes(), canonical.as_bytes());
    let message = format!("not in its canonical form: the line is `{}`, expected `{}`", is.trim(), wanted.trim());
    let help = format!("run `cargo xtask dashboards import {path}`");
    Some(Finding::error(path, line, "dashboard/format", message).help(help))
}
