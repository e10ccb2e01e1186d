//! Helm's formats, read and written as Helm does: `Chart.yaml`, `Chart.lock`, `.helmignore`, the packaged chart and
//! its checksums.
//!
//! Bytes in, values out: nothing here touches a disk, a clock or a network, and nothing knows of Gorax.

pub mod archive;
pub mod changelog;
pub mod chart;
pub mod checksum;
pub mod ignore;
pub mod index;
pub mod lock;
pub mod provenance;
pub mod repository;
pub mod yaml;
