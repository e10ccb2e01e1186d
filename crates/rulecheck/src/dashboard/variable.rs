//! The variables that a dashboard defines (`templating.list`).

use promql_parser::parser::Expr;

use super::json::Json;
use super::query::Reader;
use super::reference::references;
use super::{Dashboard, Datasource};

/// One variable.
#[derive(Debug)]
pub struct Variable {
    /// Its name, without the dollar.
    pub name: String,
    /// Grafana's name of its kind: `query`, `datasource`, `custom`, `interval`, `textbox`, `constant`, `adhoc`.
    pub kind: String,
    /// Its query as written.
    pub query: String,
    /// What that query asks for.
    pub definition: Definition,
    /// Whether several values can be chosen at once.
    pub multi: bool,
    /// Whether all values can be chosen at once.
    pub include_all: bool,
    /// What stands for all values, where that is not a list of them.
    pub all_value: Option<String>,
    /// When its values are asked for: 0 never, 1 when the dashboard opens, 2 whenever the time range changes.
    pub refresh: u64,
    /// Whether nobody sees it.
    pub hidden: bool,
    /// The value that it has when the dashboard opens, where the file says so.
    pub value: Option<String>,
    /// The variables that its own definition uses.
    pub uses: Vec<String>,
    /// Where its values come from.
    pub datasource: Datasource,
    /// The line of its name.
    pub line: usize,
    /// The line of its query.
    pub query_line: usize,
}

/// What a variable's values are made of.
#[derive(Debug)]
pub enum Definition {
    /// `label_values(selector, label)`: the values of a label; of all series where no selector is given.
    LabelValues(Option<Expr>, String),
    /// `query_result(expression)`: the series of a result.
    QueryResult(Expr),
    /// Anything else.
    Other,
}

impl Variable {
    /// What findings about it call it.
    pub fn subject(&self, dashboard: &Dashboard) -> String {
        subject(&dashboard.title, &self.name)
    }

    /// Whether it can hold more than one value at a time.
    pub fn is_many(&self) -> bool {
        self.multi || self.include_all
    }
}

fn subject(dashboard: &str, name: &str) -> String {
    format!("{dashboard} › ${name}")
}

pub(super) fn read(reader: &mut Reader<'_>, list: &Json) -> Vec<Variable> {
    list.items().iter().map(|json| one(reader, json)).collect()
}

fn one(reader: &mut Reader<'_>, json: &Json) -> Variable {
    let text = |key: &str| json.get(key).text().unwrap_or_default().to_owned();
    let (name, kind) = (text("name"), text("type"));
    let query = query(json);
    let datasource = Datasource::read(json.get("datasource"));
    let definition = match query.text() {
        Some(text) if kind == "query" && datasource.is_prometheus() => define(reader, &name, text, query.line),
        _ => Definition::Other,
    };
    let mut uses: Vec<String> = Vec::new();
    for part in ["query", "definition", "regex", "datasource"] {
        let texts = json.get(part).texts();
        uses.extend(texts.into_iter().flat_map(references).map(|reference| reference.name.to_owned()));
    }
    uses.sort();
    uses.dedup();
    Variable {
        query: query.text().unwrap_or_default().to_owned(),
        definition,
        multi: json.get("multi").is_true(),
        include_all: json.get("includeAll").is_true(),
        all_value: json.get("allValue").text().filter(|value| !value.is_empty()).map(str::to_owned),
        refresh: json.get("refresh").number().map_or(0, |number| number as u64),
        hidden: json.get("hide").number() == Some(2.0),
        value: value(json, &kind),
        datasource,
        uses,
        line: if json.get("name").is_null() { json.line } else { json.get("name").line },
        query_line: query.line,
        name,
        kind,
    }
}

/// The query is a text, or an object around one.
fn query(json: &Json) -> &Json {
    let query = json.get("query");
    match query.text() {
        Some(_) => query,
        None if query.get("query").is_null() => json.get("definition"),
        None => query.get("query"),
    }
}

/// Source of the forms: grafana/grafana `packages/grafana-prometheus/src/metric_find_query.ts`.
fn define(reader: &mut Reader<'_>, name: &str, query: &str, line: usize) -> Definition {
    let subject = subject(&reader.title, name);
    let query = query.trim();
    if let Some(inside) = call(query, "label_values") {
        let (selector, label) = match inside.rsplit_once(',') {
            Some((selector, label)) => (Some(selector.trim()), label.trim()),
            None => (None, inside.trim()),
        };
        let ast = selector.and_then(|selector| reader.expression(selector, line, &subject));
        return if selector.is_some() && ast.is_none() {
            Definition::Other
        } else {
            Definition::LabelValues(ast, label.to_owned())
        };
    }
    if let Some(inside) = call(query, "query_result") {
        return reader.expression(inside, line, &subject).map_or(Definition::Other, Definition::QueryResult);
    }
    Definition::Other
}

fn call<'a>(query: &'a str, function: &str) -> Option<&'a str> {
    query.strip_prefix(function)?.trim_start().strip_prefix('(')?.strip_suffix(')')
}

/// The value with which the dashboard opens. `$__all` is no value.
pub(super) fn value(json: &Json, kind: &str) -> Option<String> {
    let current = json.get("current").get("value");
    let options = json.get("options").items().iter().map(|option| option.get("value"));
    let saved = [current].into_iter().chain(current.items()).chain(options).filter_map(Json::text);
    let listed = json.get("query").text().filter(|_| matches!(kind, "custom" | "interval" | "constant" | "textbox"));
    let listed = listed.and_then(|list| list.split(',').next()).map(|first| match first.split_once(" : ") {
        Some((_, value)) => value.trim(),
        None => first.trim(),
    });
    let mut values = saved.chain(listed);
    values.find(|value| !value.is_empty() && *value != "$__all").map(str::to_owned)
}
