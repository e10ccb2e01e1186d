//! Every query of every panel, asked of a real Prometheus as Grafana asks it: of one that scrapes today's Gorax and nothing
//! else, and of one where Gorax records everything and every source is there. None is refused; what the documents mark
//! as live has data in the first; and every panel has data in one of them.

mod server;
mod target;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail, ensure};
use regex::{Captures, Regex};
use rulecheck::dashboard::{Definition, Query, Variable, interpolate, references};
use rulecheck::mark::Mark;
use rulecheck::{Dashboard, contract};
use serde_json::Value;
use xshell::cmd;

use super::prometheus::run;
use super::rendered::Rendered;
use super::{Case, Context};
use crate::failure::Findings;
use crate::model::Model;
use crate::tools::{HELM4, PROMETHEUS, PROMTOOL};
use server::Server;
use target::Scrapes;

/// What Grafana says of time where a dashboard shows its last 5 minutes, with a scrape a second.
const TIMES: [(&str, &str); 7] = [
    ("__rate_interval", "15s"),
    ("__interval", "5s"),
    ("__interval_ms", "5000"),
    ("__range", "300s"),
    ("__range_s", "300"),
    ("__range_ms", "300000"),
    ("datasource", "prometheus"),
];

/// Data is there some scrapes and evaluations after the start, later on a busy machine.
const DATA_WITHIN: Duration = Duration::from_secs(90);

/// The target's own labels, where a scrape does not say otherwise.
const LABELS: [(&str, &str); 5] = [
    ("namespace", "gorax-prod"),
    ("pod", "gorax-api-7d9f8b6c5d-bcdfg"),
    ("container", "api"),
    ("service", "gorax-api"),
    ("endpoint", "http"),
];

/// A query that is longer makes Prometheus compile patterns for seconds, and proxies refuse its URL.
const MAX_LENGTH: usize = 4096;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("dashboards: a query stays short with all of 50 tenants and 2000 workflows", &[], |context| {
            of_many_values(&context.model)
        }),
        Case::new("dashboards: a real Prometheus answers every panel", &[PROMETHEUS, PROMTOOL, HELM4], answers),
    ]
}

/// `All` of a variable without a value for it is the list of all its values.
fn of_many_values(model: &Model) -> Result<()> {
    let many = |variable: &Variable| {
        let values: Vec<String> = match &variable.definition {
            Definition::LabelValues(_, label) if label == "workflow_id" => (0..2000).map(uuid).collect(),
            Definition::LabelValues(_, label) if label == "tenant_id" => (0..50).map(uuid).collect(),
            _ => (0..10).map(|n| format!("environment-{n}")).collect(),
        };
        variable.all_value.clone().unwrap_or_else(|| format!("({})", values.join("|")))
    };
    for dashboard in &model.dashboards {
        for query in &dashboard.queries {
            let value_of = |name: &str| dashboard.variable(name).filter(|variable| variable.include_all).map(many);
            let length = interpolate(&query.expr, &value_of).len();
            ensure!(length <= MAX_LENGTH, "{} is {length} bytes long with all values", query.subject);
        }
    }
    Ok(())
}

fn uuid(n: u32) -> String {
    format!("00000000-0000-4000-8000-{n:012}")
}

fn answers(context: &Context) -> Result<()> {
    let installations = [
        Installation::new(context, "today", "", today(context)?)?,
        Installation::new(context, "lit", EVERY_SOURCE, lit(context))?,
    ];
    // Both at once: most of the time is waiting.
    let [today, lit] = &installations;
    let before = (today.start("before")?, lit.start("before")?);
    let (of_today, of_lit) = (history(&before.0)?, history(&before.1)?);
    drop(before);
    today.write(&of_today)?;
    lit.write(&of_lit)?;
    let (today, lit) = (today.start("after")?, lit.start("after")?);
    let until = Instant::now() + DATA_WITHIN;
    loop {
        let (today, lit) = (ask(&context.model, &today)?, ask(&context.model, &lit)?);
        let missing = missing(&context.model, &today, &lit);
        if missing.is_empty() {
            report(context, &today, &lit);
            return Ok(());
        }
        ensure!(Instant::now() < until, "{}", missing.join("\n"));
        std::thread::sleep(Duration::from_secs(1));
    }
}

const ENVIRONMENT: &str = "gorax.environments.production.namespace=gorax-prod";

const EVERY_SOURCE: &str = ",sources.redis.a.environment=production,sources.redis.a.address=h:1,\
sources.postgres.a.environment=production,sources.postgres.a.address=h:1,\
sources.sql.a.environment=production,sources.sql.a.address=h:1,\
sources.ingressNginx.a.environment=production,sources.ingressNginx.a.address=h:1";

/// One environment that Prometheus watches with the chart's rules.
struct Installation<'a> {
    context: &'a Context,
    name: &'static str,
    /// The texts of the scrapes by job.
    scrapes: Scrapes,
    /// The chart's groups of rules.
    groups: Vec<serde_yaml::Value>,
}

impl Installation<'_> {
    /// Every group is evaluated each second, and alerts fire at once, as nobody would wait for them.
    fn new<'a>(context: &'a Context, name: &'static str, sources: &str, scrapes: Scrapes) -> Result<Installation<'a>> {
        let rendered = Rendered::template(context, HELM4, &["--set", &format!("{ENVIRONMENT}{sources}")])?;
        let mut groups = Vec::new();
        for object in rendered.of_kind("PrometheusRule") {
            groups.extend(object["spec"]["groups"].as_sequence().into_iter().flatten().cloned());
        }
        for group in &mut groups {
            group["interval"] = "1s".into();
            for rule in group["rules"].as_sequence_mut().into_iter().flatten() {
                rule.as_mapping_mut().map(|rule| rule.remove("for"));
            }
        }
        Ok(Installation { context, name, scrapes, groups })
    }

    fn folder(&self, when: &str) -> PathBuf {
        self.context.temporary.path().join(format!("prometheus-{}-{when}", self.name))
    }

    fn start(&self, when: &str) -> Result<Server> {
        let program = self.context.tool(PROMETHEUS)?;
        Server::start(program, &self.folder(when), &self.scrapes, &BTreeMap::from(LABELS), &self.groups)
    }

    /// Lets the next one that starts have had the samples of `history`.
    fn write(&self, history: &str) -> Result<()> {
        let (promtool, folder) = (self.context.tool(PROMTOOL)?, self.folder("after"));
        let (text, data) = (folder.join("history"), folder.join("data"));
        self.context.shell.write_file(&text, history)?;
        let import = ["tsdb", "create-blocks-from", "--quiet", "--max-block-duration=1440h", "openmetrics"];
        run(cmd!(self.context.shell, "{promtool} {import...} {text} {data}"))
    }
}

/// The recorded series as they are, for every hour of 15 days, in OpenMetrics' format: some panels look back so far.
fn history(server: &Server) -> Result<String> {
    let recorded = settled(server)?;
    let mut series: BTreeMap<&str, Vec<(String, &str)>> = BTreeMap::new();
    for one in recorded.as_array().into_iter().flatten() {
        let labels = one["metric"].as_object().into_iter().flatten().filter(|(name, _)| *name != "__name__");
        let labels: Vec<String> = labels.map(|(name, value)| format!("{name}={value}")).collect();
        let name = one["metric"]["__name__"].as_str().unwrap_or_default();
        let value = one["value"][1].as_str().unwrap_or_default();
        series.entry(name).or_default().push((format!("{name}{{{}}}", labels.join(",")), value));
    }
    let this_hour = now()? / 3600;
    let mut text = String::new();
    for (name, series) in series {
        text += &format!("# TYPE {name} gauge\n");
        for (series, value) in series {
            (this_hour - 15 * 24..this_hour).for_each(|hour| text += &format!("{series} {value} {}\n", hour * 3600));
        }
    }
    Ok(text + "# EOF\n")
}

/// The recorded series, once there are no more for some evaluations: rules that read others' series follow them.
fn settled(server: &Server) -> Result<Value> {
    let series =
        |query: &str| -> Result<Value> { Ok(server.ask("query", &[("query", query.to_owned())])?["result"].take()) };
    let (mut before, mut equal) = (0, 0);
    for _ in 0..60 {
        std::thread::sleep(Duration::from_secs(1));
        let recorded = series("{__name__=~\".+:.+\"}")?;
        let found = recorded.as_array().map_or(0, Vec::len);
        // The first scrapes come seconds after the first evaluations.
        let is_scraped = series("up{job=\"gorax-api\"}")?.as_array().is_some_and(|up| !up.is_empty());
        equal = if is_scraped && found == before { equal + 1 } else { 0 };
        before = found;
        if equal == 5 {
            return Ok(recorded);
        }
    }
    bail!("there are more recorded series every second")
}

/// Seconds since 1970.
fn now() -> Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?.as_secs())
}

/// What a running Gorax exposed, one pod in good days and one in bad ones.
fn today(context: &Context) -> Result<Scrapes> {
    let of = |state: &str| context.sources.text(&format!("metrics/captures/gorax-api-{state}.txt")).map(str::to_owned);
    let texts: Result<Vec<String>, _> = ["after-runs", "db-outage"].into_iter().map(of).collect();
    Ok(BTreeMap::from([("gorax-api".to_owned(), texts.map_err(|finding| Findings(vec![finding]))?)]))
}

/// Every job of the contract with everything that it declares, about one API and one worker.
fn lit(context: &Context) -> Scrapes {
    let contract = &context.model.contract;
    let jobs = contract.jobs.keys().filter(|job| *job != "prometheus");
    jobs.map(|job| (job.clone(), vec![of_cluster(&contract::sample(contract, job))])).collect()
}

/// Labels whose values belong together, and those of each of two series: of the API's and of a worker's.
const OF_POD: [(&str, [&str; 2]); 3] = [
    ("pod", ["gorax-api-7d9f8b6c5d-bcdfg", "gorax-worker-6c5d7d9f8b-hjklm"]),
    ("deployment", ["gorax-api", "gorax-worker"]),
    ("container", ["api", "worker"]),
];

/// The same of what else queries choose by.
const CHOSEN: [(&str, [&str; 2]); 7] = [
    ("resource", ["memory", "cpu"]),
    ("status", ["200", "500"]),
    ("persistentvolumeclaim", ["prometheus-db", "alertmanager-db"]),
    ("namespace", ["gorax-prod"; 2]),
    ("exported_namespace", ["gorax-prod"; 2]),
    ("service", ["gorax-api"; 2]),
    ("exported_service", ["gorax-api"; 2]),
];

/// The sample with names in place of its examples, so that series of several sources meet.
fn of_cluster(sample: &str) -> String {
    let example = Regex::new(r#"([{,])(\w+)="(?:example|100)""#).expect("a regular expression");
    let mut text = String::new();
    for line in sample.lines() {
        let mut seen = BTreeSet::new();
        for (pod, chosen) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let value = |name: &str| {
                let of = |known: &[(&str, [&'static str; 2])], which: usize| {
                    known.iter().find(|(label, _)| *label == name).map(|(_, values)| values[which])
                };
                of(&OF_POD, pod).or_else(|| of(&CHOSEN, chosen)).unwrap_or("example")
            };
            let named = example.replace_all(line, |found: &Captures<'_>| {
                format!("{}{}=\"{}\"", &found[1], &found[2], value(&found[2]))
            });
            if !seen.contains(named.as_ref()) {
                text += &format!("{named}\n");
                seen.insert(named.into_owned());
            }
        }
    }
    text
}

/// How many series each panel's queries gave, by dashboard and panel.
type Answers = BTreeMap<(usize, usize), usize>;

/// Asks every query that a panel shows. An error is one that Prometheus refuses.
fn ask(model: &Model, server: &Server) -> Result<Answers> {
    let mut answers = Answers::new();
    for (index, dashboard) in model.dashboards.iter().enumerate() {
        let ways = [choose(dashboard, server, true)?, choose(dashboard, server, false)?];
        for query in shown(dashboard) {
            let panel = query.target.map_or(0, |(panel, _)| panel);
            for chosen in &ways {
                *answers.entry((index, panel)).or_default() += series(dashboard, query, chosen, server)?;
            }
        }
    }
    Ok(answers)
}

/// The queries of panels that are not switched off.
fn shown(dashboard: &Dashboard) -> impl Iterator<Item = &Query> {
    dashboard.queries.iter().filter(|query| dashboard.target(query).is_some_and(|(_, target)| !target.hidden))
}

fn series(dashboard: &Dashboard, query: &Query, chosen: &BTreeMap<String, String>, server: &Server) -> Result<usize> {
    let expr = filled(&query.expr, chosen);
    ensure!(references(&expr).is_empty(), "{}: a variable is left in {expr}", query.subject);
    let is_instant = dashboard.target(query).is_some_and(|(_, target)| target.instant);
    let now = now()?;
    let data = if is_instant {
        server.ask("query", &[("query", expr)])
    } else {
        let times = [("start", now - 300), ("end", now), ("step", 5)].map(|(name, value)| (name, value.to_string()));
        server.ask("query_range", &[[("query", expr)].as_slice(), &times].concat())
    };
    let data = data.map_err(|error| error.context(query.subject.clone()))?;
    Ok(data["result"].as_array().map_or(0, Vec::len))
}

fn filled(text: &str, chosen: &BTreeMap<String, String>) -> String {
    let time = |name: &str| TIMES.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    interpolate(text, &|name| time(name).or_else(|| chosen.get(name).cloned()))
}

/// What Grafana puts in place of each variable: all its values, or the first two that can be chosen.
fn choose(dashboard: &Dashboard, server: &Server, all: bool) -> Result<BTreeMap<String, String>> {
    let mut chosen = BTreeMap::new();
    for variable in &dashboard.variables {
        let mut values = values(variable, &chosen, server)?;
        values.truncate(if all { usize::MAX } else { 2 });
        let value = match (&variable.all_value, &variable.value) {
            (Some(value), _) if variable.include_all && all => value.clone(),
            (_, Some(value)) => value.clone(),
            _ => values.join("|"),
        };
        chosen.insert(variable.name.clone(), if variable.is_many() { format!("({value})") } else { value });
    }
    Ok(chosen)
}

/// The values of a variable of the form `label_values(selector, label)`.
fn values(variable: &Variable, chosen: &BTreeMap<String, String>, server: &Server) -> Result<Vec<String>> {
    let Definition::LabelValues(_, label) = &variable.definition else { return Ok(Vec::new()) };
    let query = filled(&variable.query, chosen);
    let selector = query.trim_start_matches("label_values(").rsplit_once(',').map_or("", |(selector, _)| selector);
    let found = server.ask(&format!("label/{label}/values"), &[("match[]", selector.to_owned())])?;
    Ok(found.as_array().into_iter().flatten().filter_map(|value| Some(value.as_str()?.to_owned())).collect())
}

/// Panels that lack the data that they should have.
fn missing(model: &Model, today: &Answers, lit: &Answers) -> Vec<String> {
    let mut missing = Vec::new();
    for (&(board, panel), &found) in today {
        let dashboard = &model.dashboards[board];
        let subject = dashboard.subject(&dashboard.panels[panel]);
        let is_live = model.mark(dashboard, panel).is_some_and(|marked| marked.mark == Mark::Live);
        let lit = lit.get(&(board, panel)).copied().unwrap_or_default();
        if found == 0 && lit == 0 {
            missing.push(format!("{subject}: no data, though everything is recorded and every source is there"));
        } else if found == 0 && is_live {
            missing.push(format!("{subject}: marked live, and no data of today's Gorax"));
        }
    }
    missing
}

/// The sizes: a ConfigMap holds a dashboard, and is 1 MiB at most.
fn report(context: &Context, today: &Answers, lit: &Answers) {
    for (index, dashboard) in context.model.dashboards.iter().enumerate() {
        let with_data =
            |answers: &Answers| answers.iter().filter(|((board, _), found)| *board == index && **found > 0).count();
        let panels: BTreeSet<usize> =
            today.keys().filter(|(board, _)| *board == index).map(|(_, panel)| *panel).collect();
        say!(
            "      {}: {} bytes, {} panels, {} queries answered, {} panels with data today, {} lit",
            dashboard.uid,
            context.sources.bytes(&dashboard.path).map_or(0, <[u8]>::len),
            panels.len(),
            shown(dashboard).count(),
            with_data(today),
            with_data(lit),
        );
    }
}
