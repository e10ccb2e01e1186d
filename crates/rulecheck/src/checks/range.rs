//! How far a query looks back, against how often there are samples.
//!
//! `query/short-range`: a range that holds too few samples; a dashboard's `rate(…[$__interval])`; a subquery that steps
//! faster than its samples come. `rule/range-interval`: a range shorter than the time between two evaluations, so that
//! what happens between is never seen. `query/beyond-retention`: a query of samples that are deleted already.
//! `query/irate`: a rule that decides by two samples only.

use promql_parser::parser::{Expr, SubqueryExpr};

use super::{Purpose, Query, Settings};
use crate::finding::Finding;
use crate::infer::{Arm, Node, World, quote};
use crate::look_back::{duration, look_back};

/// A rate needs two samples, and four let it bear a scrape that failed.
const NEEDED: f64 = 2.0;
const WANTED: f64 = 4.0;

/// Functions that compare samples with one another; all others can do with one.
const OF_SEVERAL: [&str; 11] = [
    "rate",
    "irate",
    "increase",
    "delta",
    "idelta",
    "deriv",
    "predict_linear",
    "changes",
    "resets",
    "double_exponential_smoothing",
    "holt_winters",
];

pub(super) fn check(_: &World<'_>, settings: &Settings, query: &Query<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let ranges_are_written = match query.purpose {
        Purpose::Panel(_, panel) => {
            findings.extend(rate_of_interval(query, &panel.expr));
            // Grafana chooses what a variable stands for.
            !["[$", "[${", "[[["].iter().any(|variable| panel.expr.contains(variable))
        }
        Purpose::Rule(..) | Purpose::Document => true,
        Purpose::Variable(_) => false,
    };
    if ranges_are_written {
        of_node(settings, query, &query.node, None, &mut findings);
        findings.extend(beyond_retention(settings, query));
    }
    if matches!(query.purpose, Purpose::Rule(..) | Purpose::Document) {
        findings.extend(irate(query));
    }
    findings
}

/// `subquery` is the one around the node: it evaluates what is inside at its own steps.
fn of_node(
    settings: &Settings,
    query: &Query<'_>,
    node: &Node<'_>,
    subquery: Option<&SubqueryExpr>,
    findings: &mut Vec<Finding>,
) {
    if let Expr::Call(call) = node.expr {
        findings.extend(ranged(node).and_then(|range| short_range(query, call.func.name, range)));
        findings.extend(node.children.iter().find_map(|range| one_step(query, call.func.name, range)));
    }
    findings.extend(unseen(settings, query, node, subquery));
    let subquery = match node.expr {
        Expr::Subquery(subquery) => {
            findings.extend(fast_step(query, node, subquery));
            Some(subquery)
        }
        _ => subquery,
    };
    node.children.iter().for_each(|child| of_node(settings, query, child, subquery, findings));
}

fn ranged<'n, 'a>(call: &'n Node<'a>) -> Option<&'n Node<'a>> {
    call.children.iter().find(|argument| matches!(argument.expr, Expr::MatrixSelector(_)))
}

/// The arm whose samples come most seldom, and how often, in seconds.
fn slowest<'n>(node: &'n Node<'_>) -> Option<(&'n Arm, f64)> {
    let arms =
        node.alive().filter_map(|arm| Some((arm, arm.origins.iter().find_map(|origin| origin.sample_interval)?)));
    arms.max_by(|(_, one), (_, other)| one.total_cmp(other))
}

fn short_range(query: &Query<'_>, function: &str, selector: &Node<'_>) -> Option<Finding> {
    let range = selector.range?.as_secs_f64();
    let (arm, interval) = slowest(selector)?;
    let of_several = OF_SEVERAL.contains(&function);
    let (needed, wanted) = if of_several { (NEEDED, WANTED) } else { (1.0, 1.0) };
    if range >= wanted * interval {
        return None;
    }
    let from = match arm.labels.get("job").and_then(|job| job.domain.only()) {
        Some(job) => format!("{job} is scraped every {}", duration(interval)),
        None => format!("it has a sample every {}", duration(interval)),
    };
    let text = format!("`{function}({})`", quote(selector.expr));
    let message = match range {
        _ if range <= interval => format!("the range of {text} is too short for a value: {from}"),
        _ if range < needed * interval => format!("the range of {text} has a value now and then only: {from}"),
        _ => format!("one failed scrape leaves {text} without a value: {from}"),
    };
    let finding = query.error("query/short-range", message);
    let finding = if range < needed * interval { finding } else { finding.warning() };
    Some(finding.help(format!("take at least `[{}]`", duration(wanted * interval))))
}

/// A rule sees what its range covers at each evaluation, and nothing between.
fn unseen(settings: &Settings, query: &Query<'_>, node: &Node<'_>, subquery: Option<&SubqueryExpr>) -> Option<Finding> {
    let range = node.range.filter(|_| matches!(node.expr, Expr::MatrixSelector(_)))?.as_secs_f64();
    let Purpose::Rule(_, group) = query.purpose else { return None };
    let (step, evaluated) = match subquery {
        Some(subquery) => (subquery.step?.as_secs_f64(), "the subquery evaluates it"),
        None => (settings.interval_of(group)?, "its group is evaluated"),
    };
    (range < step).then(|| {
        let message = format!(
            "`{}` covers {}, and {evaluated} every {}: what happens between is never seen",
            quote(node.expr),
            duration(range),
            duration(step)
        );
        query.error("rule/range-interval", message).help(format!(
            "take at least `[{0}]`, or evaluate at least every {1}",
            duration(step),
            duration(range)
        ))
    })
}

/// `rate(x[5m:5m])`: a range is open on its left side, so there are as many steps in it as fit in whole.
fn one_step(query: &Query<'_>, function: &str, node: &Node<'_>) -> Option<Finding> {
    let Expr::Subquery(subquery) = node.expr else { return None };
    let (range, step) = (subquery.range.as_secs_f64(), subquery.step?.as_secs_f64());
    (OF_SEVERAL.contains(&function) && range < NEEDED * step).then(|| {
        let message = format!("`{}` has one step at the most, and `{function}` needs two", quote(node.expr));
        query.error("query/short-range", message).help("step more often, or take a longer range")
    })
}

fn fast_step(query: &Query<'_>, node: &Node<'_>, subquery: &SubqueryExpr) -> Option<Finding> {
    let step = subquery.step?.as_secs_f64();
    let inner = node.children.first()?;
    let (_, interval) = slowest(inner)?;
    (step < interval).then(|| {
        let message = format!(
            "`{}` steps every {}, and there is a sample every {}: the same samples are evaluated again and again",
            quote(node.expr),
            duration(step),
            duration(interval)
        );
        query.error("query/short-range", message).warning().help(format!("step every {} or more", duration(interval)))
    })
}

/// `$__interval` follows the width of the panel down to less than a scrape; `$__rate_interval` keeps four of them.
fn rate_of_interval(query: &Query<'_>, expr: &str) -> Option<Finding> {
    let places = ["[$__interval", "[${__interval"].iter().flat_map(|variable| expr.match_indices(variable));
    let mut functions = places.filter_map(|(at, _)| {
        let call = expr[..at].rfind('(')?;
        let begin = expr[..call].rfind(|c: char| !c.is_ascii_alphanumeric() && c != '_').map_or(0, |before| before + 1);
        Some(&expr[begin..call])
    });
    let function = functions.find(|function| matches!(*function, "rate" | "irate" | "deriv"))?;
    let message = format!("`{function}` over `$__interval` has no value as soon as that is shorter than two scrapes");
    Some(query.error("query/short-range", message).warning().help("write `[$__rate_interval]`"))
}

fn beyond_retention(settings: &Settings, query: &Query<'_>) -> Option<Finding> {
    let retention = settings.retention?;
    let farthest = look_back(query.node.expr);
    (farthest > retention).then(|| {
        let message =
            format!("the query looks {} back, and samples are kept for {}", duration(farthest), duration(retention));
        query
            .error("query/beyond-retention", message)
            .help("look back less far, record the value in time, or keep samples longer")
    })
}

fn irate(query: &Query<'_>) -> Option<Finding> {
    let nodes = query.node.walk();
    let call = nodes.into_iter().find(|node| matches!(node.expr, Expr::Call(call) if call.func.name == "irate"))?;
    let message = format!("`{}` looks at the last two samples only, so one of them decides", quote(call.expr));
    Some(query.error("query/irate", message).warning().help("use `rate`; `irate` is for looking closely at a graph"))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{finds, of_alert, of_board, of_file};

    #[test]
    fn a_range_holds_enough_samples() {
        assert_eq!(
            of_alert("rate(requests_total[20s]) > 1")[0],
            "query/short-range: the range of `rate(requests_total[20s])` has a value now and then only: api is scraped every 15s"
        );
        assert_eq!(
            of_alert("rate(requests_total[15s]) > 1")[0],
            "query/short-range: the range of `rate(requests_total[15s])` is too short for a value: api is scraped every 15s"
        );
        finds("rate(requests_total[45s]) > 1", &["query/short-range"]);
        finds("changes(up[1m]) > 1", &["query/short-range"]);
        finds("rate(requests_total[1m]) > 1", &[]);
        finds("max_over_time(memory_bytes[30s]) > 1", &[]);
        finds("max_over_time(kube_pods[30s]) > 1", &[]);
        finds("max_over_time((memory_bytes > 5)[1h:5s]) > 1", &["query/short-range"]);
        finds("max_over_time((memory_bytes > 5)[1h:1m]) > 1", &[]);
    }

    #[test]
    fn a_subquery_holds_enough_steps() {
        finds("deriv((sum by (pod) (memory_bytes))[5m:5m]) > 1", &["query/short-range"]);
        finds("deriv((sum by (pod) (memory_bytes))[10m:5m]) > 1", &[]);
        finds("max_over_time((sum by (pod) (memory_bytes))[5m:5m]) > 1", &[]);
    }

    #[test]
    fn a_recorded_series_has_a_sample_for_each_evaluation() {
        let file = |range: &str| {
            format!(
                "groups:\n  - name: g\n    interval: 1m\n    rules:\n      - {{record: \"namespace:memory_bytes:max\", expr: \"max by (namespace) (memory_bytes)\"}}\n      - {{alert: A, expr: \"deriv(namespace:memory_bytes:max[{range}]) > 1\", labels: {{severity: info}}}}\n"
            )
        };
        assert_eq!(
            of_file(&file("2m"))[0].message,
            "one failed scrape leaves `deriv(namespace:memory_bytes:max[2m])` without a value: it has a sample every 1m"
        );
        assert_eq!(of_file(&file("4m")), []);
    }

    #[test]
    fn what_happens_between_evaluations_is_seen() {
        let file = |interval: &str, expr: &str| {
            let text = format!(
                "groups:\n  - name: g\n    interval: {interval}\n    rules:\n      - {{alert: A, expr: \"{expr}\", labels: {{severity: info}}}}\n"
            );
            of_file(&text).into_iter().map(|finding| finding.check).collect::<Vec<_>>()
        };
        assert_eq!(file("5m", "increase(requests_total[1m]) > 1"), ["rule/range-interval"]);
        assert_eq!(file("1m", "increase(requests_total[1m]) > 1"), [""; 0]);
        assert_eq!(file("5m", "max_over_time(rate(requests_total[5m])[1h:1m]) > 1"), [""; 0]);
        assert_eq!(file("1m", "max_over_time(rate(requests_total[5m])[1h:10m]) > 1"), ["rule/range-interval"]);
    }

    #[test]
    fn a_rule_does_not_decide_by_two_samples() {
        finds("irate(requests_total[5m]) > 1", &["query/irate"]);
        assert_eq!(of_board("irate(requests_total[$__rate_interval])"), [""; 0]);
    }

    #[test]
    fn a_panel_takes_the_interval_for_rates() {
        assert_eq!(of_board("sum(rate(requests_total[$__interval]))"), ["query/short-range"]);
        assert_eq!(of_board("sum(irate(requests_total{code=\\\"200\\\"}[${__interval}]))"), ["query/short-range"]);
        assert_eq!(of_board("sum(increase(requests_total[$__interval]))"), [""; 0]);
        assert_eq!(of_board("sum(rate(requests_total[$__rate_interval]))"), [""; 0]);
        assert_eq!(of_board("sum(rate(requests_total[30s]))"), ["query/short-range"]);
    }

    #[test]
    fn samples_that_are_deleted_are_not_asked_for() {
        finds("requests_total offset 60d > 0", &["query/beyond-retention"]);
        finds("requests_total offset 14d > 0", &[]);
    }
}
