//! Grafana dashboards in classic JSON: panels, variables, links, and the PromQL of all of them.
//!
//! Only the classic form is safe with file provisioning; Grafana refuses the others there, mostly in silence. Reading
//! goes on as far as it can, so that everything about a dashboard is reported at once; what is wrong with what was read
//! is the checks' business.

mod canonical;
mod json;
mod link;
mod panel;
mod query;
mod reference;
mod variable;

use std::collections::{BTreeMap, BTreeSet};

use crate::exception::Exception;
use crate::finding::Finding;
pub use canonical::canonical;
use json::Json;
pub use link::Link;
pub use panel::{Grid, Panel, Step, Target, UnitOverride};
pub use query::Query;
use query::Reader;
pub use reference::{Reference, interpolate, references};
pub use variable::{Definition, Variable};

/// One dashboard.
#[derive(Debug)]
pub struct Dashboard {
    /// The path as the caller named it.
    pub path: String,
    /// Its stable id, which links use.
    pub uid: String,
    /// Its title.
    pub title: String,
    /// What it says of itself, which may be empty.
    pub description: String,
    /// The queries of its panels and annotations, in reading order.
    pub queries: Vec<Query>,
    /// Findings that `<name>.allow.yaml` beside it allows.
    pub exceptions: Vec<Exception>,
    /// The form of the file.
    pub form: Form,
    /// The version of its schema.
    pub schema_version: Located<Option<u64>>,
    /// How often it is asked for anew, a duration such as `30s`; empty for never.
    pub refresh: Located<String>,
    /// The tags by which it is listed.
    pub tags: Vec<String>,
    /// Its panels and rows, those inside of rows too.
    pub panels: Vec<Panel>,
    /// The variables that it defines.
    pub variables: Vec<Variable>,
    /// The links above it.
    pub links: Vec<Link>,
    /// The names of all variables that are used anywhere but in their own definition.
    pub used: BTreeSet<String>,
    /// The line of its uid.
    pub uid_line: usize,
    /// The line of its title.
    pub title_line: usize,
    /// The first variable of each name, by its place in the list.
    by_name: BTreeMap<String, usize>,
}

/// In what a dashboard is wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// In nothing: the form that provisioning reads.
    Classic,
    /// In `{"dashboard": …}`, as Grafana's HTTP API has it.
    Api,
    /// In a Kubernetes resource.
    Resource,
    /// In nothing, but with `__inputs` that only the import dialogue fills in.
    Shared,
}

/// A value and its line.
#[derive(Debug, Clone)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// The line, from 1.
    pub line: usize,
}

impl Located<String> {
    fn text(json: &Json) -> Option<Located<String>> {
        Some(Located { value: json.text()?.to_owned(), line: json.line })
    }
}

/// The plugins that send a query to Prometheus as it is. VictoriaMetrics' own has a language of its own.
const PROMETHEUS: [&str; 3] =
    ["prometheus", "grafana-amazonprometheus-datasource", "grafana-azureprometheus-datasource"];

/// Where data comes from, as a panel, a target or a variable says it.
#[derive(Debug, Clone)]
pub struct Datasource {
    /// The plugin, where it is named.
    pub kind: Option<String>,
    /// The uid, or the name in old files; a variable mostly. Empty for Grafana's default.
    pub id: String,
    /// Its line.
    pub line: usize,
}

impl Datasource {
    fn read(json: &Json) -> Datasource {
        let kind = json.get("type").text().map(str::to_owned);
        let id = json.text().or_else(|| json.get("uid").text()).unwrap_or_default().to_owned();
        Datasource { kind, id, line: json.line }
    }

    /// Whether nothing is said, so that the next outer one or Grafana's default counts.
    pub fn is_default(&self) -> bool {
        self.kind.is_none() && self.id.is_empty()
    }

    /// The name of a source that is the same one wherever the dashboard is installed. Grafana's own and variables are
    /// none.
    pub fn fixed(&self) -> Option<&str> {
        let own = self.id.starts_with("-- ") || matches!(self.id.as_str(), "grafana" | "__expr__");
        (!self.id.is_empty() && !own && references(&self.id).is_empty()).then_some(&self.id)
    }

    /// Whether it may speak PromQL. Where the plugin is not named, the name of the source or of the variable tells some
    /// that do not.
    pub fn is_prometheus(&self) -> bool {
        const OTHERS: [&str; 6] = ["loki", "tempo", "elastic", "opensearch", "influx", "graphite"];
        match &self.kind {
            Some(kind) => PROMETHEUS.contains(&kind.as_str()) || !references(kind).is_empty(),
            None => {
                let id = self.id.to_lowercase();
                !OTHERS.iter().any(|other| id.contains(other))
            }
        }
    }
}

impl Dashboard {
    /// Reads a dashboard. What cannot be read, and every query that does not parse, is a finding.
    pub fn parse(path: &str, text: &str, findings: &mut Vec<Finding>) -> Option<Dashboard> {
        let json = match Json::parse(text) {
            Ok(json) => json,
            Err((line, message)) => {
                findings.push(Finding::error(path, line, "file/syntax", message));
                return None;
            }
        };
        let (json, form) = match unwrapped(&json) {
            Ok(unwrapped) => unwrapped,
            Err((message, help)) => {
                findings.push(Finding::error(path, 1, "dashboard/structure", message).help(help));
                return None;
            }
        };
        let text_of = |key: &str| json.get(key).text().unwrap_or_default().to_owned();
        let list = json.get("templating").get("list");
        let values = list.items().iter().filter_map(|variable| {
            let text = |key: &str| variable.get(key).text().unwrap_or_default();
            Some((text("name").to_owned(), variable::value(variable, text("type"))?))
        });
        let mut reader = Reader { path, title: text_of("title"), values: values.collect(), findings };
        let panels = panel::read(json);
        let variables = variable::read(&mut reader, list);
        let queries = reader.queries(&panels, json.get("annotations").get("list"));
        let schema_version = json.get("schemaVersion");
        let refresh = json.get("refresh");
        Some(Dashboard {
            path: path.to_owned(),
            uid: text_of("uid"),
            description: text_of("description"),
            title: reader.title,
            queries,
            exceptions: Vec::new(),
            form,
            schema_version: Located {
                value: schema_version.number().map(|number| number as u64),
                line: schema_version.line,
            },
            refresh: Located { value: text_of("refresh"), line: refresh.line },
            tags: json.get("tags").items().iter().filter_map(Json::text).map(str::to_owned).collect(),
            used: used(json, &panels, &variables),
            by_name: variables
                .iter()
                .enumerate()
                .rev()
                .map(|(index, variable)| (variable.name.clone(), index))
                .collect(),
            panels,
            variables,
            links: link::of_dashboard(json),
            uid_line: json.get("uid").line,
            title_line: json.get("title").line,
        })
    }

    /// The file beside the dashboard that holds its exceptions.
    pub fn allow_path(&self) -> String {
        format!("{}.allow.yaml", self.path.strip_suffix(".json").unwrap_or(&self.path))
    }

    /// The panel and the target of a query; `None` for an annotation's.
    pub fn target(&self, query: &Query) -> Option<(&Panel, &Target)> {
        let (panel, target) = query.target?;
        let panel = self.panels.get(panel)?;
        Some((panel, panel.targets.get(target)?))
    }

    /// The variable of this name, the first where several have it.
    pub fn variable(&self, name: &str) -> Option<&Variable> {
        self.variables.get(*self.by_name.get(name)?)
    }

    /// What findings about a panel call it.
    pub fn subject(&self, panel: &Panel) -> String {
        subject(&self.title, panel)
    }
}

fn subject(dashboard: &str, panel: &Panel) -> String {
    let title = if panel.title.is_empty() { "(untitled)" } else { &panel.title };
    format!("{dashboard} › {title}")
}

/// The classic dashboard inside of what was read, or why there is none and what to do.
fn unwrapped(json: &Json) -> Result<(&Json, Form), (&'static str, &'static str)> {
    if !json.is_map() {
        return Err(("not a dashboard: a JSON object is expected", "export the dashboard as classic JSON"));
    }
    let (inner, form) = match () {
        () if json.get("dashboard").is_map() => (json.get("dashboard"), Form::Api),
        () if !json.get("apiVersion").is_null() && json.get("spec").is_map() => (json.get("spec"), Form::Resource),
        () if !json.get("__inputs").is_null() => (json, Form::Shared),
        () => (json, Form::Classic),
    };
    if inner.get("elements").is_map() || inner.get("layout").is_map() {
        return Err((
            "a v2 dashboard, which file provisioning refuses",
            "export it as classic JSON: in Grafana's export, choose the model `Classic`",
        ));
    }
    Ok((inner, form))
}

/// All variables that are used somewhere, other than by themselves.
fn used(json: &Json, panels: &[Panel], variables: &[Variable]) -> BTreeSet<String> {
    let parts = json.members().iter().filter(|(key, _)| key != "templating");
    let texts = parts.flat_map(|(_, json)| json.texts());
    let named = texts.flat_map(references).map(|reference| reference.name.to_owned());
    let repeated = panels.iter().flat_map(|panel| &panel.repeats).cloned();
    let by_others = variables.iter().flat_map(|variable| variable.uses.iter().filter(|name| **name != variable.name));
    named.chain(repeated).chain(by_others.cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BOARD: &str = r#"{
  "uid": "board",
  "title": "Board",
  "schemaVersion": 41,
  "templating": {"list": [
    {"name": "job", "type": "query", "multi": true,
     "query": {"query": "label_values(up{x=\"$x\"}, job)"}, "current": {"value": ["$__all"]}},
    {"name": "n", "type": "custom", "query": "five : 5, ten : 10"},
    {"name": "by", "type": "query", "query": "query_result(topk($n, up))"}]},
  "annotations": {"list": [{"name": "restarts", "expr": "changes(up[5m]) > 0"}]},
  "panels": [
    {"type": "row", "repeat": "job", "collapsed": true, "panels": [
      {"title": "P", "type": "stat", "targets": [
        {"refId": "A",
         "expr": "rate(up{job=~\"$job\"}[$__rate_interval])"}]}]},
    {"id": 3, "type": "timeseries", "fieldConfig": {"defaults": {"unit": "s"}}, "links": [{"url": "/d/x?var-a=${a}"}],
     "targets": [{"datasource": {"type": "loki"}, "expr": "{a=\"b\"} |= \"c\""}, {"expr": ""},
       {"datasource": "${loki}", "expr": "{a=\"b\"} |= \"c\""},
       {"refId": "B", "instant": true, "expr": "sum by ($by) (topk($n, $metric))"}]}
  ]
}
"#;

    fn board() -> Dashboard {
        let mut findings = Vec::new();
        let board = Dashboard::parse("b.json", BOARD, &mut findings).unwrap();
        assert_eq!(findings, []);
        board
    }

    fn findings(text: &str) -> Vec<String> {
        let mut findings = Vec::new();
        Dashboard::parse("b.json", text, &mut findings);
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn queries_know_their_panel_and_line() {
        let board = board();
        let places = board.queries.iter().map(|query| (query.subject.as_str(), query.line));
        let expected = [("Board › P › A", 15), ("Board › (untitled) › B", 19), ("Board › annotation restarts", 10)];
        assert_eq!(places.collect::<Vec<_>>(), expected);
        let (panel, target) = board.target(&board.queries[1]).unwrap();
        assert!(panel.id.as_ref().unwrap().value == 3 && panel.line == 16 && !panel.collapsed);
        assert!(target.instant && !target.range && panel.unit.as_ref().unwrap().value == "s");
        let (panel, target) = board.target(&board.queries[0]).unwrap();
        assert!(panel.collapsed && panel.repeats == ["job"] && target.range);
    }

    #[test]
    fn only_plugins_that_speak_promql_have_their_queries_read() {
        let queries = |datasource: &str| {
            let text = format!(
                r#"{{"uid": "u", "title": "T", "panels": [{{"datasource": {datasource}, "targets": [{{"expr": "up"}}]}}]}}"#
            );
            Dashboard::parse("b.json", &text, &mut Vec::new()).unwrap().queries.len()
        };
        for kind in
            ["prometheus", "grafana-amazonprometheus-datasource", "grafana-azureprometheus-datasource", "${kind}"]
        {
            assert_eq!(queries(&format!(r#"{{"type": "{kind}", "uid": "x"}}"#)), 1, "{kind}");
        }
        for kind in ["victoriametrics-metrics-datasource", "victoriametrics-logs-datasource", "loki", "datasource"] {
            assert_eq!(queries(&format!(r#"{{"type": "{kind}", "uid": "x"}}"#)), 0, "{kind}");
        }
        assert_eq!((queries("null"), queries("\"Prometheus\""), queries("\"${loki}\"")), (1, 1, 0));
    }

    #[test]
    fn panels_know_their_limits() {
        let limits = r#""fieldConfig": {"defaults": {"noValue": "none",
      "thresholds": {"steps": [{"color": "green", "value": null}, {"color": "red", "value": 0.5}]}, "unit": "s"},
      "overrides": [{"properties": [{"id": "thresholds", "value": {"steps": [{"color": "red", "value": 7}]}},
        {"id": "thresholds", "value": {"mode": "percentage", "steps": [{"color": "red", "value": 80}]}}]}]}"#;
        let text = BOARD.replace(r#""fieldConfig": {"defaults": {"unit": "s"}}"#, limits);
        let board = Dashboard::parse("b.json", &text, &mut Vec::new()).unwrap();
        let panel = board.panels.iter().find(|panel| !panel.steps.is_empty()).unwrap();
        let steps: Vec<_> = panel.steps.iter().map(|step| (step.value, step.color.as_str(), step.line)).collect();
        assert_eq!(steps, [(None, "green", 17), (Some(0.5), "red", 17), (Some(7.0), "red", 18)]);
        assert_eq!(panel.no_value, "none");
    }

    #[test]
    fn variables_know_what_they_are_made_of() {
        let board = board();
        let [job, n, by] = &board.variables[..] else { panic!("{:?}", board.variables) };
        assert!(matches!(&job.definition, Definition::LabelValues(Some(_), label) if label == "job"));
        assert!(matches!(&by.definition, Definition::QueryResult(_)));
        assert_eq!((job.line, job.query_line, job.uses.as_slice()), (6, 7, &["x".to_owned()][..]));
        assert_eq!((job.value.as_deref(), n.value.as_deref()), (None, Some("5")));
        assert_eq!(
            board.used.iter().map(String::as_str).collect::<Vec<_>>(),
            ["__rate_interval", "a", "by", "job", "loki", "metric", "n", "x"]
        );
    }

    #[test]
    fn what_cannot_be_read_is_found() {
        for (from, to, expected) in [
            ("rate(", "rate((", "b.json:15: error: file/syntax: Board › P › A: the query does not parse"),
            (
                "by ($by)",
                "by $by)",
                "b.json:19: warning: file/syntax: Board › (untitled) › B: the query does not parse",
            ),
            ("up{x=", "up{x", "b.json:7: error: file/syntax: Board › $job: the query does not parse"),
            ("\"panels\": [\n", "\"panels\": [\n,", "b.json:12: error: file/syntax:"),
            ("\"uid\"", "\"elements\": {}, \"uid\"", "b.json:1: error: dashboard/structure: a v2 dashboard"),
        ] {
            let found = findings(&BOARD.replacen(from, to, 1));
            assert!(found.len() == 1 && found[0].starts_with(expected), "{expected}\n{found:?}");
        }
        assert!(findings("[]")[0].contains("not a dashboard"));
    }

    #[test]
    fn a_wrapped_dashboard_is_read_all_the_same() {
        for (text, form) in [
            (format!("{{\"dashboard\": {BOARD}}}"), Form::Api),
            (format!("{{\"apiVersion\": \"dashboard.grafana.app/v1\", \"spec\": {BOARD}}}"), Form::Resource),
            (BOARD.replacen("\"uid\"", "\"__inputs\": [], \"uid\"", 1), Form::Shared),
        ] {
            let board = Dashboard::parse("b.json", &text, &mut Vec::new()).unwrap();
            assert_eq!((board.form, board.queries.len()), (form, 3));
        }
    }

    proptest! {
        #[test]
        fn no_mutation_panics(at in 0..BOARD.len(), with in "[ -~]{0,3}", length in 0_usize..20) {
            let mut text = BOARD.to_owned();
            let end = (at + length).min(text.len());
            text.replace_range(at..end, &with);
            Dashboard::parse("b.json", &text, &mut Vec::new());
        }
    }
}
