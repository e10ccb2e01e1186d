//! Helm's formats, read and written as Helm does: `Chart.yaml`, `Chart.lock`, `.helmignore`, the packaged chart and
//! its checksums, and what of it lies in an OCI registry.
//!
//! Bytes in, values out: nothing here touches a disk, a clock or a network, and nothing knows of Gorax.

pub mod archive;
pub mod changelog;
pub mod chart;
pub mod checksum;
mod go_json;
pub mod ignore;
pub mod index;
pub mod lock;
pub mod oci;
pub mod provenance;
pub mod repository;
pub mod yaml;
