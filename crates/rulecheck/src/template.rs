//! Go templates as Prometheus and Alertmanager use them: followed as far as checks need it. What is not followed is
//! unknown, and accuses nobody.

mod lex;
pub mod notification;

/// Why a template cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateError {
    /// The place, in bytes.
    pub at: usize,
    /// What is wrong.
    pub message: String,
}
