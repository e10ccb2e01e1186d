//! An expression's inference as text, arm by arm, for a person who asks why a check says what it says.

use std::fmt::Write as _;

use promql_parser::parser::Expr;

use crate::infer::{Arm, Origin, World, infer};

/// Explains what is known of an expression's result.
pub fn explain(world: &World<'_>, expr: &Expr) -> String {
    let node = infer(world, expr);
    let mut text = String::new();
    for (number, arm) in (1..).zip(&node.arms) {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "arm {number} of {}", node.arms.len());
        let _ = write!(text, "{}", of_arm(arm));
    }
    if node.arms.is_empty() {
        text.push_str("a string\n");
    }
    text
}

fn of_arm(arm: &Arm) -> String {
    let mut text = String::new();
    let mut line = |key: &str, value: &dyn std::fmt::Display| {
        let _ = writeln!(text, "  {key:<9}{value}");
    };
    if let Some(why) = &arm.dead {
        line("never", why);
    }
    line("labels", &arm.labels);
    if let Some(name) = &arm.name {
        line("name", name);
    }
    line("value", &format_args!("{}, {}, in {}", arm.kind, arm.interval, arm.unit));
    line("present", &arm.presence);
    let mut origins: Vec<&Origin> = arm.origins.iter().map(AsRef::as_ref).collect();
    origins.sort_by(|a, b| a.series.cmp(&b.series));
    origins.dedup_by(|a, b| a.series == b.series);
    for origin in origins {
        let emitted = match origin.emitted {
            Some(emitted) => emitted.to_string(),
            None => "known to no contract".to_owned(),
        };
        line("from", &format_args!("{} ({emitted})", origin.series));
    }
    if !arm.steps.is_empty() {
        line("steps", &arm.steps.join(" → "));
    }
    text
}
