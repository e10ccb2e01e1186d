//! The PromQL of a dashboard, read with its variables filled in.

use std::collections::BTreeMap;

use promql_parser::parser::Expr;

use super::json::Json;
use super::reference::{Style, fill};
use super::{Datasource, Located, Panel, subject};
use crate::finding::Finding;
use crate::query::parse_expr;

/// One PromQL query of a panel or of an annotation.
#[derive(Debug)]
pub struct Query {
    /// `dashboard › panel › refId`.
    pub subject: String,
    /// The expression as written.
    pub expr: String,
    /// The expression with Grafana's variables filled in, parsed.
    pub ast: Expr,
    /// The line of the expression, from 1.
    pub line: usize,
    /// Its panel and its target there, by their places in the lists; `None` for an annotation's.
    pub target: Option<(usize, usize)>,
}

/// What reading needs to know everywhere.
pub(super) struct Reader<'a> {
    pub(super) path: &'a str,
    pub(super) title: String,
    /// The values of the variables when the dashboard opens.
    pub(super) values: BTreeMap<String, String>,
    pub(super) findings: &'a mut Vec<Finding>,
}

impl Reader<'_> {
    pub(super) fn queries(&mut self, panels: &[Panel], annotations: &Json) -> Vec<Query> {
        let mut queries = Vec::new();
        for (panel_index, panel) in panels.iter().enumerate() {
            let targets = panel.targets.iter().enumerate().filter(|(_, target)| target.datasource.is_prometheus());
            for (index, target) in targets {
                let Some(expr) = &target.expr else { continue };
                let ref_id = if target.ref_id.is_empty() { "?" } else { &target.ref_id };
                let subject = format!("{} › {ref_id}", subject(&self.title, panel));
                queries.extend(self.query(expr, subject, Some((panel_index, index))));
            }
        }
        for annotation in annotations.items() {
            let expr =
                Located::text(annotation.get("expr")).or_else(|| Located::text(annotation.get("target").get("expr")));
            let Some(expr) = expr.filter(|_| Datasource::read(annotation.get("datasource")).is_prometheus()) else {
                continue;
            };
            let subject = format!("{} › annotation {}", self.title, annotation.get("name").text().unwrap_or("?"));
            queries.extend(self.query(&expr, subject, None));
        }
        queries
    }

    fn query(&mut self, expr: &Located<String>, subject: String, target: Option<(usize, usize)>) -> Option<Query> {
        // A target that somebody added and left empty asks for nothing.
        if expr.value.trim().is_empty() {
            return None;
        }
        let ast = self.expression(&expr.value, expr.line, &subject)?;
        Some(Query { subject, expr: expr.value.clone(), ast, line: expr.line, target })
    }

    /// Parses an expression as soon as one way to fill in its variables makes it PromQL. Where none does, the variables
    /// may be the reason, and that is only a warning.
    pub(super) fn expression(&mut self, expr: &str, line: usize, subject: &str) -> Option<Expr> {
        let filled = |style| fill(expr, style, &|name| self.values.get(name).cloned());
        let first = filled(Style::Name);
        let unread = match parse_expr(&first) {
            Ok(ast) => return Some(ast),
            Err(unread) => unread,
        };
        let others = [Style::Number, Style::Value].map(filled);
        if let Some(ast) = others.iter().find_map(|filled| parse_expr(filled).ok()) {
            return Some(ast);
        }
        let message = format!("the query {unread}");
        let finding = unread.weigh(Finding::error(self.path, line, "file/syntax", message).about(subject));
        self.findings.push(match first == others[0] {
            true => finding,
            false => finding.warning().help("if the variables make it PromQL, give them a value that does"),
        });
        None
    }
}
