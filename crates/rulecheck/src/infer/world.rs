//! What exists: the contract's metrics, the series that Prometheus makes by itself, and those that recording rules make.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use regex::Regex;

use super::alert::set_by_rule;
use super::arm::{Arm, Kind, Origin, Presence, presence_of};
use super::interval::Interval;
use super::labels::{Domain, Label, Labels};
use super::selector::bucket_bound;
use super::unit::Unit;
use super::{Node, infer};
use crate::contract::{self, Contract, Metric};
use crate::query::{metric_name, seconds, selectors};
use crate::rules::{Group, Rule, RuleFile};

/// The recording rules of each name.
type Recorders<'a> = BTreeMap<&'a str, Vec<(&'a Rule, &'a Group)>>;

/// A series that a query can ask for, before any matcher.
#[derive(Debug)]
pub enum Series<'a> {
    /// A contract declares it; with the suffix that its type allows, if it has one.
    Declared(&'a Metric, &'static str),
    /// Prometheus makes it for every target or alert.
    BuiltIn,
    /// Recording rules make it.
    Recorded,
    /// Nobody knows it.
    Unknown,
}

/// The contract and the recording rules among the files that are checked together.
pub struct World<'a> {
    /// What the sources expose.
    pub contract: &'a Contract,
    recorded: BTreeMap<&'a str, Vec<Arm>>,
    alerts: BTreeSet<&'a str>,
    patterns: RefCell<HashMap<String, Option<Rc<Regex>>>>,
    declared: RefCell<HashMap<String, Rc<Vec<Arm>>>>,
}

impl<'a> World<'a> {
    /// Infers every recording rule first, each after those that it reads. Rules that read each other in a circle are
    /// unknown to one another.
    pub fn new(contract: &'a Contract, files: &'a [RuleFile]) -> World<'a> {
        let mut rules = Recorders::new();
        let mut alerts = BTreeSet::new();
        for group in files.iter().flat_map(|file| &file.groups) {
            for rule in &group.rules {
                match rule.record() {
                    Some(name) => rules.entry(name).or_default().push((rule, group)),
                    None => {
                        alerts.insert(rule.name.as_str());
                    }
                }
            }
        }
        let mut world = World {
            contract,
            recorded: BTreeMap::new(),
            alerts,
            patterns: RefCell::default(),
            declared: RefCell::default(),
        };
        for name in in_order(&rules) {
            let arms = rules[name].iter().flat_map(|(rule, group)| {
                let node = infer(&world, &rule.ast);
                recorded_arms(&node, rule, group)
            });
            let arms: Vec<Arm> = arms.collect();
            world.recorded.insert(name, arms);
        }
        world
    }

    /// What a series of this name is.
    pub fn series(&self, name: &str) -> Series<'a> {
        if self.recorded.contains_key(name) {
            return Series::Recorded;
        }
        if let Some((metric, suffix)) = self.contract.metric(name) {
            return Series::Declared(metric, suffix);
        }
        if Contract::is_built_in(name) { Series::BuiltIn } else { Series::Unknown }
    }

    /// The names of all recorded series.
    pub fn recorded(&self) -> impl Iterator<Item = &'a str> {
        self.recorded.keys().copied()
    }

    /// The arms of a series of this name, before any matcher: one for each job that exposes it, so that each has the
    /// labels of its own targets, or those of its recording rules.
    pub(crate) fn arms(&self, name: &str) -> Rc<Vec<Arm>> {
        if let Some(arms) = self.recorded.get(name) {
            return Rc::new(arms.clone());
        }
        if let Some(arms) = self.declared.borrow().get(name) {
            return arms.clone();
        }
        let arms = Rc::new(match self.series(name) {
            Series::Declared(metric, suffix) => self.declared_arms(name, metric, suffix),
            Series::BuiltIn => self.built_in_arms(name),
            Series::Recorded | Series::Unknown => vec![Arm::unknown(Some(name.into()))],
        });
        self.declared.borrow_mut().insert(name.to_owned(), arms.clone());
        arms
    }

    fn declared_arms(&self, name: &str, metric: &Metric, suffix: &'static str) -> Vec<Arm> {
        let mut labels = Labels::none(format!("{name} has no such label"));
        for (label, values) in &metric.labels {
            let domain = self.domain(values);
            let cardinality = values.cardinality;
            labels.set(label.as_str(), Label { always: !values.optional, domain, cardinality });
        }
        let mut arm = Arm {
            labels,
            name: Some(name.into()),
            kind: kind_of(metric, suffix),
            unit: unit_of(metric, suffix),
            interval: interval_of(metric),
            presence: presence_of(metric),
            origins: Vec::new(),
            steps: Vec::new(),
            dead: None,
        };
        match suffix {
            "_bucket" => {
                let bounds = metric.buckets.iter().map(|bound| bucket_bound(*bound)).chain(["+Inf".to_owned()]);
                let bounds: Vec<String> = bounds.collect();
                arm.labels.set("le", Label::always(Domain::values(bounds.iter().map(String::as_str))));
            }
            "" if metric.kind == contract::Kind::Summary => {
                arm.labels.set("quantile", Label::always(Domain::Any));
            }
            _ => {}
        }
        if metric.jobs.is_empty() {
            return vec![with_origin(arm, name, Some(metric), None)];
        }
        metric.jobs.iter().map(|job| self.with_target(arm.clone(), name, Some(metric), job)).collect()
    }

    /// Adds what scraping adds: `job` and the labels of the job's targets. A label of the metric's own wins only where
    /// the job's monitor honours labels, which the contract says by not listing it among the target's.
    fn with_target(&self, mut arm: Arm, name: &str, metric: Option<&Metric>, job: &str) -> Arm {
        let declared = self.contract.jobs.get(job);
        arm.labels.set("job", Label::always(Domain::one(job)));
        for label in declared.iter().flat_map(|job| &job.target_labels) {
            arm.labels.set(label.as_str(), Label::always(Domain::Any));
        }
        with_origin(arm, name, metric, declared.and_then(|job| seconds(&job.scrape_interval)))
    }

    fn built_in_arms(&self, name: &str) -> Vec<Arm> {
        let mut arm = Arm::unknown(Some(name.into()));
        arm.kind = Kind::Gauge;
        arm.interval = Interval::COUNT;
        arm.presence = Presence::WithTarget;
        if name.starts_with("ALERTS") {
            arm.presence = Presence::Conditional;
            arm.labels.set("alertname", Label::always(Domain::Any));
            if name == "ALERTS" {
                arm.interval = Interval::one(1.0);
                arm.labels.set("alertstate", Label::always(Domain::values(["firing", "pending"])));
            }
            return vec![arm];
        }
        arm.unit = match name {
            "scrape_duration_seconds" | "scrape_timeout_seconds" => Unit::SECONDS,
            "scrape_body_size_bytes" => Unit::of_word("bytes"),
            "up" => Unit::RATIO,
            _ => Unit::COUNT,
        };
        if name == "up" {
            arm.interval = Interval::between(0.0, 1.0);
        }
        if self.contract.jobs.is_empty() {
            return vec![arm];
        }
        arm.labels = Labels::none(format!("{name} has no such label"));
        let honoured = self.honoured();
        let of_job = |job: &String| {
            let mut arm = arm.clone();
            for label in honoured.get(job.as_str()).into_iter().flatten() {
                arm.labels.set(*label, Label::default());
            }
            self.with_target(arm, name, None, job)
        };
        self.contract.jobs.keys().map(of_job).collect()
    }

    /// The labels of targets in Kubernetes that metrics of a job bring themselves. Where the job's monitor honours them, the
    /// contract does not list them among the target's, but what Prometheus makes for the target may have them.
    fn honoured(&self) -> BTreeMap<&'a str, BTreeSet<&'static str>> {
        const OF_TARGETS: [&str; 6] = ["namespace", "pod", "container", "service", "endpoint", "node"];
        let mut honoured: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for metric in self.contract.metrics.values() {
            for label in OF_TARGETS.into_iter().filter(|label| metric.labels.contains_key(*label)) {
                for job in &metric.jobs {
                    honoured.entry(job.as_str()).or_default().insert(label);
                }
            }
        }
        honoured
    }

    /// The names of the alerts among the checked files.
    pub fn alerts(&self) -> &BTreeSet<&'a str> {
        &self.alerts
    }

    fn domain(&self, values: &contract::LabelValues) -> Domain {
        match (&values.values, &values.pattern) {
            (Some(values), _) => Domain::values(values.iter().map(String::as_str)),
            (None, Some(pattern)) => self.pattern(pattern).map_or(Domain::Any, Domain::Pattern),
            (None, None) => Domain::Any,
        }
    }

    /// A contract's pattern, compiled once however many labels have it.
    fn pattern(&self, text: &str) -> Option<Rc<Regex>> {
        let mut patterns = self.patterns.borrow_mut();
        let compiled = patterns.entry(text.to_owned());
        compiled.or_insert_with(|| Regex::new(&format!("^(?:{text})$")).ok().map(Rc::new)).clone()
    }
}

fn with_origin(mut arm: Arm, name: &str, metric: Option<&Metric>, sample_interval: Option<f64>) -> Arm {
    let unit = metric.map_or(arm.unit, |metric| Unit::of_word(&metric.unit));
    let emitted = metric.map(|metric| metric.emitted);
    arm.origins = vec![Rc::new(Origin { series: name.into(), emitted, sample_interval, unit })];
    arm
}

fn kind_of(metric: &Metric, suffix: &str) -> Kind {
    match (metric.kind, suffix) {
        (contract::Kind::Counter, _) | (_, "_sum" | "_count") => Kind::Counter,
        (contract::Kind::Histogram, "_bucket") => Kind::Buckets,
        // The name without a suffix is a native histogram, whose value is no number.
        (contract::Kind::Histogram | contract::Kind::Untyped, _) => Kind::Unknown,
        (contract::Kind::Summary, _) => Kind::Quantile,
        (contract::Kind::Gauge | contract::Kind::Info, _) => Kind::Gauge,
    }
}

fn unit_of(metric: &Metric, suffix: &str) -> Unit {
    match suffix {
        "_bucket" | "_count" => Unit::COUNT,
        _ => Unit::of_word(&metric.unit),
    }
}

fn interval_of(metric: &Metric) -> Interval {
    match (metric.value, metric.kind) {
        (Some(value), _) => Interval::one(value),
        (None, contract::Kind::Info) => Interval::one(1.0),
        (None, contract::Kind::Counter | contract::Kind::Histogram) => Interval::COUNT,
        _ => Interval::ANY,
    }
}

/// A recorded series: the rule's own and its group's labels, under the rule's name. Its samples come as often as the
/// group is evaluated.
fn recorded_arms(node: &Node<'_>, rule: &Rule, group: &Group) -> Vec<Arm> {
    let name: Rc<str> = rule.name.as_str().into();
    let step: Rc<str> = rule.subject().into();
    let sample_interval = group.interval.as_deref().and_then(seconds);
    let arms = node.arms.iter().cloned().map(|mut arm| {
        arm.name = Some(name.clone());
        let origins = arm.origins.iter().map(|origin| Rc::new(Origin { sample_interval, ..Origin::clone(origin) }));
        arm.origins = origins.collect();
        arm.steps.push(step.clone());
        arm.labels.recorded_as(&name);
        set_by_rule(&mut arm.labels, rule, group);
        arm
    });
    arms.collect()
}

/// The names of the recording rules, each after those it reads.
fn in_order<'a>(rules: &Recorders<'a>) -> Vec<&'a str> {
    let reads = |name: &str| -> Vec<&'a str> {
        let of_rules = rules[name].iter().flat_map(|(rule, _)| selectors(&rule.ast)).filter_map(metric_name);
        of_rules.filter_map(|read| rules.get_key_value(read).map(|(name, _)| *name)).collect()
    };
    let mut order = Vec::with_capacity(rules.len());
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    for &start in rules.keys() {
        // A stack of our own: a chain of ten thousand rules must not be one of ten thousand calls.
        let mut stack = vec![(start, false)];
        while let Some((name, done)) = stack.pop() {
            if done {
                order.push(name);
            } else if seen.insert(name) {
                stack.push((name, true));
                stack.extend(reads(name).into_iter().filter(|read| !seen.contains(read)).map(|read| (read, false)));
            }
        }
    }
    order
}
