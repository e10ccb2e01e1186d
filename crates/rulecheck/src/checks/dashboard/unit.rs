//! `dashboard/unit`: the panel's unit is not the one of its values, so that people read a wrong number.

use super::{Shown, shows_legend};
use crate::finding::Finding;
use crate::infer::{Arm, Kind, Unit};

const CHECK: &str = "dashboard/unit";

/// Transformations that leave the values what they are.
const HARMLESS: [&str; 14] = [
    "organize",
    "sortBy",
    "merge",
    "filterFieldsByName",
    "filterByRefId",
    "filterByValue",
    "labelsToFields",
    "renameByRegex",
    "joinByField",
    "seriesToColumns",
    "limit",
    "concatenate",
    "partitionByValues",
    "timeSeriesTable",
];

/// Calculations whose result has another unit than the values.
const OTHER_UNIT: [&str; 6] = ["count", "countAll", "distinctCount", "changeCount", "diffperc", "variance"];

pub(super) fn check(shown: &Shown<'_>) -> Option<Finding> {
    let panel = shown.panel;
    let applies = (shows_legend(shown.kind()) || shown.kind() == "table")
        && shown.target.format != "heatmap"
        && panel.transformations.iter().all(|id| HARMLESS.contains(&id.value.as_str()))
        && !panel.calculations.iter().any(|name| OTHER_UNIT.contains(&name.as_str()));
    if !applies {
        return None;
    }
    let (id, line) = of_target(shown)?;
    let expected = Shows::of(id)?;
    let wrong = shown.query.node.alive().find(|arm| expected.contradicts(arm))?;
    let message = format!("the panel shows its values as `{id}`, which is {expected}; they are {}", wrong.unit);
    let help = match grafana_id(wrong.unit) {
        Some(right) => format!("set the unit to `{right}`, or change the query to give {expected}"),
        None => format!("change the query to give {expected}"),
    };
    let finding = shown.error(line, CHECK, message).help(help);
    // The digits are right where only "per second" is missing or too much.
    Some(if expected.is_per_second_of(wrong.unit) { finding.warning() } else { finding })
}

/// The unit of a target's values. An override that chooses its fields by name may mean them or not.
fn of_target<'a>(shown: &'a Shown<'_>) -> Option<(&'a str, usize)> {
    let overrides = &shown.panel.unit_overrides;
    let own = overrides.iter().find(|unit| unit.ref_id.as_deref() == Some(&shown.target.ref_id));
    if let Some(own) = own {
        return Some((&own.unit.value, own.unit.line));
    }
    if overrides.iter().any(|unit| unit.ref_id.is_none()) {
        return None;
    }
    shown.panel.unit.as_ref().map(|unit| (unit.value.as_str(), unit.line))
}

/// What a Grafana unit takes a value for. Source: grafana/grafana `packages/grafana-data/src/valueFormats/categories.ts`.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Shows {
    /// A duration; how many of the unit are a second.
    Duration(f64),
    /// A moment, in milliseconds since 1970.
    Moment,
    /// Data; how many of the unit are a byte.
    Data(f64),
    /// Data per second.
    DataRate(f64),
    /// Events per time; how many of the unit are one in a second.
    Events(f64),
    /// A part of a whole; the number that stands for all of it.
    Share(f64),
}

impl Shows {
    /// `None` for a unit that says nothing of what is counted or measured, or that is not known here.
    fn of(id: &str) -> Option<Shows> {
        let bits = |shows: fn(f64) -> Shows| Some(shows(8.0));
        Some(match id {
            "s" | "dtdurations" | "dtdhms" | "dthms" | "clocks" => Shows::Duration(1.0),
            "ms" | "dtdurationms" | "clockms" => Shows::Duration(1e3),
            "µs" | "us" => Shows::Duration(1e6),
            "ns" => Shows::Duration(1e9),
            "m" => Shows::Duration(1.0 / 60.0),
            "h" => Shows::Duration(1.0 / 3600.0),
            "d" => Shows::Duration(1.0 / 86_400.0),
            _ if id.starts_with("dateTime") || id.starts_with("time:") => Shows::Moment,
            "bytes" | "decbytes" => Shows::Data(1.0),
            "bits" | "decbits" => return bits(Shows::Data),
            "kbytes" => Shows::Data(1.0 / 1024.0),
            "deckbytes" => Shows::Data(1e-3),
            "mbytes" => Shows::Data(1.0 / 1_048_576.0),
            "decmbytes" => Shows::Data(1e-6),
            "gbytes" => Shows::Data(1.0 / 1_073_741_824.0),
            "decgbytes" => Shows::Data(1e-9),
            "Bps" | "binBps" => Shows::DataRate(1.0),
            "bps" | "binbps" => return bits(Shows::DataRate),
            "ops" | "reqps" | "rps" | "wps" | "iops" | "cps" | "eps" | "mps" | "recps" | "rowsps" | "pps" => {
                Shows::Events(1.0)
            }
            "opm" | "reqpm" | "rpm" | "wpm" | "cpm" | "epm" | "mpm" => Shows::Events(60.0),
            "percentunit" => Shows::Share(1.0),
            "percent" => Shows::Share(100.0),
            _ => return None,
        })
    }

    /// Whether an arm's values are certainly something else.
    fn contradicts(self, arm: &Arm) -> bool {
        let Unit::Known { seconds, bytes, count, factor } = arm.unit else { return false };
        // A plain number is what its author takes it for; buckets are drawn over their bounds.
        if matches!(arm.kind, Kind::Number | Kind::Unknown | Kind::Buckets | Kind::BucketRate) {
            return false;
        }
        let (expected, usual) = match self {
            Shows::Duration(usual) => ((1, 0), usual),
            Shows::Moment => ((1, 0), 1e3),
            Shows::Data(usual) => ((0, 1), usual),
            Shows::DataRate(usual) => ((-1, 1), usual),
            Shows::Events(usual) => ((-1, 0), usual),
            Shows::Share(usual) => ((0, 0), usual),
        };
        let is_count = (seconds, bytes) == (0, 0) && count > 0;
        match self {
            // A gauge's word may hide a rate or a share: a mean of ones and zeroes is one.
            Shows::Events(_) | Shows::Share(_) if is_count && arm.kind == Kind::Gauge => false,
            Shows::Share(_) if is_count => true,
            // Seconds in each second: a share of time, which many rather read as a time.
            Shows::Duration(_) if (seconds, bytes, count) == (0, 0, 0) && is_of_time(arm) => factor != usual,
            _ => (seconds, bytes) != expected || (factor / usual - 1.0).abs() > 1e-6,
        }
    }

    /// Whether it is data and the unit the same data per second, or the other way round.
    fn is_per_second_of(self, unit: Unit) -> bool {
        let Unit::Known { seconds, bytes, factor, .. } = unit else { return false };
        match self {
            Shows::Data(usual) => (seconds, bytes) == (-1, 1) && factor == usual,
            Shows::DataRate(usual) => (seconds, bytes) == (0, 1) && factor == usual,
            _ => false,
        }
    }
}

fn is_of_time(arm: &Arm) -> bool {
    arm.origins.iter().any(|origin| matches!(origin.unit, Unit::Known { seconds: 1, bytes: 0, .. }))
}

impl std::fmt::Display for Shows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (text, factor) = match *self {
            Shows::Duration(factor) => ("seconds", factor),
            Shows::Moment => ("seconds since 1970", 1e3),
            Shows::Data(factor) => ("bytes", factor),
            Shows::DataRate(factor) => ("bytes per second", factor),
            Shows::Events(factor) => ("a count per second", factor),
            Shows::Share(100.0) => ("percent, 0 to 100", 1.0),
            Shows::Share(_) => ("a ratio, 0 to 1", 1.0),
        };
        if factor == 1.0 { f.write_str(text) } else { write!(f, "{factor} × {text}") }
    }
}

/// The Grafana unit for values of a unit, where there is a usual one.
fn grafana_id(unit: Unit) -> Option<&'static str> {
    let Unit::Known { seconds, bytes, count, factor } = unit else { return None };
    let id = match (seconds, bytes) {
        (0, 0) if factor == 100.0 && count == 0 => "percent",
        (1, 0) if factor == 1e3 => "ms",
        _ if factor != 1.0 => return None,
        (1, 0) => "s",
        (0, 1) => "bytes",
        (-1, 1) => "binBps",
        (-1, 0) => "ops",
        (0, 0) if count == 0 => "percentunit",
        (0, 0) => "short",
        _ => return None,
    };
    Some(id)
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::of_dashboard;
    use super::super::testing::{board, panel, shows};
    use crate::Severity;

    #[track_caller]
    fn unit(expr: &str, unit: &str, expected: &str) {
        let members = format!(r#", "fieldConfig": {{"defaults": {{"unit": "{unit}"}}}}"#);
        shows("stat", expr, "", &members, expected);
    }

    const P95: &str = "histogram_quantile(0.95, sum by (le) (rate(duration_seconds_bucket[5m])))";
    const SHARE: &str = "sum(rate(runs_total{status=\"failed\"}[5m])) / sum(rate(runs_total[5m]))";

    #[test]
    fn a_wrong_dimension_or_scale_is_found() {
        unit(
            P95,
            "ms",
            "dashboard/unit: the panel shows its values as `ms`, which is 1000 × seconds; they are seconds",
        );
        unit(
            SHARE,
            "percent",
            "dashboard/unit: the panel shows its values as `percent`, which is percent, 0 to 100; they are a ratio",
        );
        unit(&format!("100 * {SHARE}"), "percentunit", "dashboard/unit: the panel shows its values as `percentunit`");
        unit(
            "sum(increase(runs_total[1h]))",
            "reqps",
            "dashboard/unit: the panel shows its values as `reqps`, which is a count per second; they are a count",
        );
        unit("sum(rate(runs_total[5m]))", "percentunit", "dashboard/unit:");
        unit("memory_bytes", "s", "dashboard/unit:");
        unit("memory_bytes", "bits", "dashboard/unit:");
        unit("pool_open", "bytes", "dashboard/unit:");
        unit("memory_bytes or vector(0)", "s", "dashboard/unit:");
    }

    #[test]
    fn the_right_units_pass() {
        for (expr, id) in [
            (P95, "s"),
            (&format!("1000 * {P95}"), "ms"),
            (SHARE, "percentunit"),
            (&format!("100 * {SHARE}"), "percent"),
            ("sum(rate(runs_total[5m]))", "reqps"),
            ("60 * sum(rate(runs_total[5m]))", "opm"),
            ("memory_bytes", "decbytes"),
            ("8 * deriv(memory_bytes[5m])", "bps"),
            ("rate(duration_seconds_sum[5m]) / rate(duration_seconds_count[5m])", "s"),
            ("sum(rate(duration_seconds_sum[5m]))", "percentunit"),
            ("1000 * sum(rate(duration_seconds_sum[5m]))", "ms"),
            ("avg(kube_pods)", "percentunit"),
            ("sum(up) / count(up)", "percentunit"),
            ("vector(0)", "s"),
        ] {
            unit(expr, id, "");
        }
    }

    #[test]
    fn a_missing_per_second_is_only_a_warning() {
        let members = r#", "fieldConfig": {"defaults": {"unit": "bytes"}}"#;
        let found = of_dashboard(&board("", &panel("stat", "sum(deriv(memory_bytes[5m]))", "", members)));
        assert_eq!(found.iter().map(|finding| finding.severity).collect::<Vec<_>>(), [Severity::Warning]);
        unit("memory_bytes", "Bps", "dashboard/unit: the panel shows its values as `Bps`, which is bytes per second");
    }

    #[test]
    fn what_is_not_known_accuses_nobody() {
        for (expr, id) in
            [(P95, "short"), (P95, "none"), (P95, "celsius"), ("foreign", "s"), ("8.3 * memory_bytes", "s")]
        {
            unit(expr, id, "");
        }
        let by_name = r#", "fieldConfig": {"defaults": {"unit": "s"}, "overrides": [{"matcher": {"id": "byName", "options": "x"}, "properties": [{"id": "unit", "value": "bytes"}]}]}"#;
        shows("stat", "memory_bytes", "", by_name, "");
        let by_target = by_name.replace("byName", "byFrameRefID").replace("\"x\"", "\"A\"");
        shows("stat", "memory_bytes", "", &by_target, "");
        shows("stat", P95, "", &by_target, "dashboard/unit: the panel shows its values as `bytes`");
        let counted =
            r#", "fieldConfig": {"defaults": {"unit": "s"}}, "options": {"reduceOptions": {"calcs": ["count"]}}"#;
        shows("stat", "memory_bytes", "", counted, "");
    }
}
