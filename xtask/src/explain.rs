//! `cargo xtask explain EXPR`: what the metric contract and the recording rules say of an expression's result.

use std::path::Path;

use anyhow::{Result, anyhow};
use rulecheck::explain::explain;
use rulecheck::infer::World;
use rulecheck::query::parse_expr;

use crate::flags;
use crate::model::Model;
use crate::sources::Sources;

impl flags::Explain {
    pub fn run(self, root: &Path) -> Result<()> {
        let sources = Sources::read(root)?;
        let model = Model::parse(&sources)?;
        let alert = model.alerts().find(|(_, _, rule)| rule.name == self.expr);
        let text = alert.map_or(self.expr.as_str(), |(_, _, rule)| rule.expr.as_str());
        let expr = parse_expr(text).map_err(|unread| anyhow!("the expression {unread}"))?;
        let world = World::new(&model.contract, &model.rules);
        say!("{}", explain(&world, &expr).trim_end());
        Ok(())
    }
}
