//! The binary on copies of this checkout.
#![allow(clippy::unwrap_used, reason = "in a test a failed unwrap is the report")]

mod bad_input;
mod copy;
mod dashboards;
mod foreign;
mod helm_test;
mod login;
mod odd;
mod package;
mod publish;
mod registry;
mod release;
mod server;
mod tls;
mod vendor;
mod verify;
