//! `cargo xtask`: assembles, proves, packages, checksums, signs and publishes the gorax-monitoring chart.
//!
//! The data's way, one module a stage, none imports one to its right:
//! [`sources`] → [`model`] → [`check`] → [`assemble`] → [`package`] → [`publish`]. [`vendor`] brings the dependencies that
//! the full edition carries, [`verify`] proves what was made from the files alone, [`registry`] talks to where it goes,
//! [`inputs`] reads files that a caller names, [`output`] is the only one that writes, [`test`] proves the whole,
//! [`explain`] shows what the checks see, [`docs`] writes the pages that the sources give.

// Before the others, since they print with its macros.
#[macro_use]
mod output;

mod assemble;
mod check;
mod contract;
mod dashboards;
mod dependency;
mod docs;
mod explain;
mod failure;
mod flags;
mod generated;
mod git;
mod http;
mod inputs;
mod model;
mod package;
mod provenance;
mod publish;
mod publishable;
mod record;
mod registry;
mod release;
mod report;
mod sources;
mod test;
mod tools;
mod vendor;
mod verify;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser as _;

use crate::flags::{Command, Flags};

fn main() -> ExitCode {
    let root = root();
    let result = match Flags::parse().command {
        Some(Command::Assemble(flags)) => flags.run(&root),
        Some(Command::Check(flags)) => flags.run(&root),
        Some(Command::Contract(flags)) => flags.run(&root),
        Some(Command::Dashboards(flags)) => flags.run(&root),
        Some(Command::Docs(flags)) => flags.run(&root),
        Some(Command::Explain(flags)) => flags.run(&root),
        Some(Command::Package(flags)) => flags.run(&root),
        Some(Command::Publish(flags)) => flags.run(&root),
        Some(Command::Release(flags)) => flags.run(&root),
        Some(Command::Test(flags)) => flags.run(&root),
        Some(Command::Vendor(flags)) => flags.run(&root),
        Some(Command::Verify(flags)) => flags.run(&root),
        None => flags::overview(&root),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure::report(&error),
    }
}

/// The repository: the folder above this crate. Cargo tells where that is at run time, so that a moved or copied
/// checkout works with the same binary.
fn root() -> PathBuf {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let manifest = manifest.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    manifest.parent().map_or(manifest.clone(), Path::to_path_buf)
}
