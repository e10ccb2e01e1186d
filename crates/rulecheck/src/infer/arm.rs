//! What is known of one arm of an expression's result. `or` makes several arms; a check that must hold for every result
//! must hold for every arm.

use std::fmt;
use std::rc::Rc;

use super::interval::Interval;
use super::labels::Labels;
use super::unit::Unit;
use crate::contract::{Emitted, Metric};

/// What kind of number a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A counter's total: only its growth means something.
    Counter,
    /// A sum of counters' totals. The resets of its parts cannot be seen any more.
    CounterSum,
    /// A value that goes up and down.
    Gauge,
    /// A classic histogram's buckets: totals by `le`, each with all smaller ones inside.
    Buckets,
    /// The growth of a histogram's buckets.
    BucketRate,
    /// A counter's growth, per second or per range.
    Rate,
    /// A quantile; a sum or a mean of quantiles is no quantile.
    Quantile,
    /// A number of series.
    Count,
    /// A plain number.
    Number,
    /// Nothing is known.
    Unknown,
}

/// When there is a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Presence {
    /// At every evaluation.
    Always,
    /// As long as a target is scraped.
    WithTarget,
    /// From an event on: before it there is nothing, not zero.
    AfterEvent,
    /// Only while a condition holds.
    Conditional,
}

/// A selector that a value came from.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The name in the query, with its suffix.
    pub series: Rc<str>,
    /// Whether it is really there; `None` for what no contract declares.
    pub emitted: Option<Emitted>,
    /// How often it gets a sample, in seconds: the scrape interval of its job, or the interval of the group that records
    /// it. `None` where nobody says.
    pub sample_interval: Option<f64>,
    /// The unit of the metric, for a histogram of what it observes.
    pub unit: Unit,
}

/// One arm.
#[derive(Debug, Clone)]
pub struct Arm {
    /// The labels.
    pub labels: Labels,
    /// The metric's name, as long as the value carries it.
    pub name: Option<Rc<str>>,
    /// What kind of number.
    pub kind: Kind,
    /// In what unit.
    pub unit: Unit,
    /// Between which numbers.
    pub interval: Interval,
    /// When there is one.
    pub presence: Presence,
    /// Where it came from, in reading order.
    pub origins: Vec<Rc<Origin>>,
    /// The steps so far, from the selector outwards, as a person wrote them.
    pub steps: Vec<Rc<str>>,
    /// Why there can be no value, where that is certain.
    pub dead: Option<Rc<str>>,
}

impl Arm {
    /// A plain number, the same at every evaluation.
    pub fn number(value: f64) -> Arm {
        Arm {
            labels: Labels::none("a number has no labels"),
            name: None,
            kind: Kind::Number,
            unit: Unit::RATIO,
            interval: Interval::one(value),
            presence: Presence::Always,
            origins: Vec::new(),
            steps: Vec::new(),
            dead: None,
        }
    }

    /// A series of which nothing is known.
    pub fn unknown(name: Option<Rc<str>>) -> Arm {
        Arm {
            labels: Labels::any(),
            name,
            kind: Kind::Unknown,
            unit: Unit::Unknown,
            interval: Interval::ANY,
            presence: Presence::Conditional,
            origins: Vec::new(),
            steps: Vec::new(),
            dead: None,
        }
    }

    /// Whether there can be a value.
    pub fn is_alive(&self) -> bool {
        self.dead.is_none()
    }

    /// Marks it as never having a value; the first reason stays.
    #[must_use]
    pub fn killed(mut self, why: impl Into<Rc<str>>) -> Arm {
        if self.dead.is_none() {
            self.dead = Some(why.into());
        }
        self
    }

    /// Notes a step.
    #[must_use]
    pub fn step(mut self, step: &Rc<str>) -> Arm {
        self.steps.push(step.clone());
        self
    }

    /// About how many series: what their labels can tell apart.
    pub fn series(&self) -> u64 {
        self.labels.series()
    }

    /// Whether few of its series are picked, by `topk` or its like, so that their labels do not tell how many there are.
    pub fn is_picked(&self) -> bool {
        let picks = |step: &Rc<str>| ["topk", "bottomk", "limitk"].iter().any(|operator| step.starts_with(operator));
        self.steps.iter().any(picks)
    }

    /// Whether a series of it rests on a metric that its program never records.
    pub fn is_dark(&self) -> bool {
        self.origins.iter().any(|origin| origin.emitted == Some(Emitted::Dark))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Counter => "a counter",
            Kind::CounterSum => "a sum of counters",
            Kind::Gauge => "a gauge",
            Kind::Buckets => "a histogram's buckets",
            Kind::BucketRate => "the growth of a histogram's buckets",
            Kind::Rate => "a counter's growth",
            Kind::Quantile => "a quantile",
            Kind::Count => "a number of series",
            Kind::Number => "a plain number",
            Kind::Unknown => "unknown",
        })
    }
}

impl fmt::Display for Presence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Presence::Always => "always",
            Presence::WithTarget => "while its target is scraped",
            Presence::AfterEvent => "from the first event on",
            Presence::Conditional => "only while a condition holds",
        })
    }
}

/// The presence of a metric that its contract declares.
pub(super) fn presence_of(metric: &Metric) -> Presence {
    match metric.presence {
        crate::contract::Presence::Always => Presence::WithTarget,
        crate::contract::Presence::AfterEvent => Presence::AfterEvent,
    }
}
