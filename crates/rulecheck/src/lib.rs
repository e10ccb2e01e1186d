//! PromQL in rule files and dashboards, and the routes that alerts take, checked against a metric contract, without a
//! server.
//!
//! The data's way: text → [`rules`], [`dashboard`], [`alertmanager`] and [`contract`] (typed, with line numbers;
//! [`document`] tells files apart that nobody has sorted) → [`checks`] → [`finding`]s. Bytes in, values out: nothing here
//! touches a disk, and nothing knows of Gorax.

pub mod alertmanager;
pub mod checks;
pub mod contract;
pub mod dashboard;
pub mod document;
pub mod exception;
pub mod explain;
pub mod exposition;
pub mod finding;
pub mod infer;
mod lines;
pub mod look_back;
pub mod mark;
pub mod needs;
mod outline;
pub mod query;
pub mod rules;
pub mod template;
pub mod yaml;

pub use alertmanager::Alertmanager;
pub use checks::Settings;
pub use contract::Contract;
pub use dashboard::Dashboard;
pub use finding::{Finding, Severity};
pub use rules::{Rule, RuleFile};
