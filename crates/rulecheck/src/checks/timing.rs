//! `rule/timing`: waiting times that do not fit how often the rule is evaluated, its targets are scraped, or how long a
//! sample counts.

use promql_parser::parser::Expr;

use super::condition::conditions;
use super::{Query, Settings};
use crate::finding::Finding;
use crate::infer::{Node, World};
use crate::look_back::duration;
use crate::query::{metric_name, seconds};

/// For how long an instant query takes the last sample, as long as nothing newer is there. Prometheus' default.
const LOOKBACK: f64 = 300.0;

pub(super) fn check(_: &World<'_>, settings: &Settings, query: &Query<'_>) -> Vec<Finding> {
    match (query.alert(), query.record()) {
        (Some((rule, group)), _) => {
            let interval = settings.interval_of(group);
            let hold = rule.hold.as_deref().and_then(seconds).unwrap_or(0.0);
            let keep = rule.keep_firing_for.as_deref().and_then(seconds).unwrap_or(0.0);
            let intervals = interval.into_iter().flat_map(|interval| of_alert(query, interval, hold, keep));
            intervals.chain(one_scrape(query, hold)).collect()
        }
        (None, Some((_, group))) => {
            let interval = settings.interval_of(group);
            interval.and_then(|interval| recorded_too_seldom(query, interval)).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

fn warning(query: &Query<'_>, message: String, help: String) -> Option<Finding> {
    Some(query.error("rule/timing", message).warning().help(help))
}

fn of_alert(query: &Query<'_>, interval: f64, hold: f64, keep: f64) -> Vec<Finding> {
    let every = duration(interval);
    let next = duration((hold / interval).ceil() * interval);
    let hold = (hold > 0.0 && hold % interval != 0.0).then(|| {
        let message = format!("`for: {}` is {next} in truth: the group is evaluated every {every}", duration(hold));
        warning(query, message, format!("write `for: {next}`, or give the group an interval that divides it"))
    });
    let keep = (keep > 0.0 && keep < interval).then(|| {
        let message = format!("`keep_firing_for: {}` ends before the next evaluation, {every} later", duration(keep));
        warning(query, message, format!("write at least `keep_firing_for: {every}`"))
    });
    [hold, keep].into_iter().flatten().flatten().collect()
}

/// A target that is down for one scrape, or a series that is absent for one, is no incident.
fn one_scrape(query: &Query<'_>, hold: f64) -> Option<Finding> {
    let of_up = |node: &Node<'_>| {
        let is_up = node.selector().and_then(metric_name) == Some("up");
        is_up.then(|| node.alive().filter_map(|arm| arm.origins.first()?.sample_interval).fold(0.0, f64::max))
    };
    let down = conditions(&query.node).into_iter().filter(|condition| condition.comparison.asks_for_little());
    let down = down.filter_map(|condition| of_up(condition.comparison.value));
    let absent = absences(&query.node).into_iter().filter_map(of_up);
    let scrape = down.chain(absent).fold(0.0, f64::max);
    if hold >= 2.0 * scrape {
        return None;
    }
    let message = format!("one failed scrape fires the alert: its targets are scraped every {}", duration(scrape));
    warning(query, message, format!("write at least `for: {}`", duration(2.0 * scrape)))
}

/// The arguments of `absent` that decide.
fn absences<'n, 'a>(node: &'n Node<'a>) -> Vec<&'n Node<'a>> {
    match node.expr {
        Expr::Call(call) if call.func.name == "absent" => node.children.first().into_iter().collect(),
        Expr::Binary(binary) if matches!(binary.op.to_string().as_str(), "or" | "and") => {
            node.children.iter().flat_map(absences).collect()
        }
        _ => Vec::new(),
    }
}

fn recorded_too_seldom(query: &Query<'_>, interval: f64) -> Option<Finding> {
    (interval > LOOKBACK).then(|| {
        let message = format!(
            "the series is missing for a part of every {}: a sample counts for {} only",
            duration(interval),
            duration(LOOKBACK)
        );
        query.error("rule/timing", message).help(format!("evaluate the group at least every {}", duration(LOOKBACK)))
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::of_file;

    fn found(interval: &str, rule: &str) -> Vec<String> {
        let text = format!(
            "groups:\n  - name: g\n    interval: {interval}\n    rules:\n      - {{{rule}, labels: {{severity: info}}}}\n"
        );
        let found = of_file(&text).into_iter().filter(|finding| finding.check == "rule/timing");
        found.map(|finding| finding.message).collect()
    }

    #[test]
    fn waiting_fits_the_evaluations() {
        let alert = |timing: &str| format!("alert: A, expr: memory_bytes > 5{timing}");
        assert_eq!(found("30s", &alert(", for: 45s")), ["`for: 45s` is 1m in truth: the group is evaluated every 30s"]);
        assert_eq!(
            found("1m", &alert(", for: 5m, keep_firing_for: 30s")),
            ["`keep_firing_for: 30s` ends before the next evaluation, 1m later"]
        );
        for timing in ["", ", for: 0s", ", for: 1m", ", for: 5m, keep_firing_for: 10m"] {
            assert_eq!(found("30s", &alert(timing)), [""; 0], "{timing}");
        }
    }

    #[test]
    fn one_failed_scrape_is_no_incident() {
        for expr in ["up{job='api'} == 0", "absent(up{job='api'})", "up{job='api'} < 1 or absent(up)"] {
            assert_eq!(found("15s", &format!("alert: A, expr: \"{expr}\"")).len(), 1, "{expr}");
            assert_eq!(found("15s", &format!("alert: A, expr: \"{expr}\", for: 1m")), [""; 0], "{expr}");
        }
        for expr in ["absent(environment_info)", "memory_bytes > 5 and on (pod) up == 1", "avg_over_time(up[5m]) < 0.5"]
        {
            assert_eq!(found("15s", &format!("alert: A, expr: \"{expr}\"")), [""; 0], "{expr}");
        }
    }

    #[test]
    fn recorded_series_do_not_go_stale_between_evaluations() {
        let record = "record: \"namespace:memory_bytes:max\", expr: max by (namespace) (memory_bytes)";
        assert_eq!(found("10m", record).len(), 1);
        assert_eq!(found("5m", record), [""; 0]);
        assert_eq!(found("10m", "alert: A, expr: memory_bytes > 5"), [""; 0]);
    }
}
