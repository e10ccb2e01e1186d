//! `dashboard/cost`: a query draws more lines than anyone can read or reads series by the ten thousand, or opening the
//! dashboard asks too many queries at once. Estimated from the contract's cardinalities; what nobody counted is free.

use promql_parser::label::{MatchOp, Matcher};
use promql_parser::parser::Expr;

use super::{Shown, shows_legend};
use crate::dashboard::Dashboard;
use crate::finding::Finding;
use crate::infer::{Arm, Node};
use crate::query::metric_name;

const CHECK: &str = "dashboard/cost";

/// More lines than a graph can tell apart.
const MAX_LINES: u64 = 100;

/// More series than a panel should read at every refresh.
const MAX_SERIES: u64 = 10_000;

/// More queries than Prometheus should get whenever somebody opens the dashboard. A browser sends about six at a time.
const MAX_QUERIES: usize = 30;

pub(super) fn check(shown: &Shown<'_>) -> Option<Finding> {
    lines(shown).or_else(|| series(shown))
}

/// More lines in a graph than anyone reads.
fn lines(shown: &Shown<'_>) -> Option<Finding> {
    if !shows_legend(shown.kind()) {
        return None;
    }
    let emitted = shown.query.node.alive().filter(|arm| !arm.is_dark());
    let most = emitted.max_by_key(|arm| arm.series())?;
    if most.series() <= MAX_LINES || is_limited(shown.query.node.expr) {
        return None;
    }
    let message = format!("the panel draws up to {} series: they differ in {}", most.series(), varying(most));
    let help = "aggregate labels away, or show an instant `topk` of it in a table";
    Some(shown.error(shown.query.line, CHECK, message).warning().help(help))
}

fn varying(arm: &Arm) -> String {
    let counted = arm.labels.iter().filter_map(|(name, label)| Some((name, label.count().filter(|count| *count > 1)?)));
    counted.map(|(name, count)| format!("{name} ({count})")).collect::<Vec<_>>().join(", ")
}

fn is_limited(expr: &Expr) -> bool {
    match expr {
        Expr::Paren(paren) => is_limited(&paren.expr),
        Expr::Aggregate(aggregate) => {
            matches!(aggregate.op.to_string().as_str(), "topk" | "bottomk" | "limitk" | "limit_ratio")
        }
        _ => false,
    }
}

/// A selector without any filter on a metric of very many series.
pub(super) fn series(shown: &Shown<'_>) -> Option<Finding> {
    let nodes = shown.query.node.walk().into_iter();
    let (name, count) = nodes.filter_map(unfiltered).find(|(_, count)| *count > MAX_SERIES)?;
    let message = format!("every refresh reads all of {name}, up to {count} series");
    let help = "filter it by a variable, or record what the panel shows as a series of its own";
    Some(shown.error(shown.query.line, CHECK, message).warning().help(help))
}

/// The metric of a selector that leaves nothing out, and about how many series it has.
fn unfiltered<'a>(node: &Node<'a>) -> Option<(&'a str, u64)> {
    let selector = match node.expr {
        Expr::VectorSelector(selector) => selector,
        Expr::MatrixSelector(matrix) => &matrix.vs,
        _ => return None,
    };
    let all = !selector.matchers.matchers.iter().any(filters);
    metric_name(selector).filter(|_| all).zip(node.alive().filter(|arm| !arm.is_dark()).map(Arm::series).max())
}

/// Whether a matcher leaves anything out.
fn filters(matcher: &Matcher) -> bool {
    !matches!((&matcher.op, matcher.value.as_str()), (MatchOp::Re(_), ".*" | ".+") | (MatchOp::NotEqual, ""))
}

/// How many queries opening the dashboard asks.
pub(super) fn opening(dashboard: &Dashboard) -> Option<Finding> {
    let visible = dashboard.panels.iter().filter(|panel| !panel.collapsed);
    let count =
        visible.flat_map(|panel| &panel.targets).filter(|target| !target.hidden && target.expr.is_some()).count();
    let message = format!("opening the dashboard asks {count} queries at once, more than {MAX_QUERIES}");
    let help = "put panels that are rarely needed into collapsed rows";
    let finding = || Finding::error(&dashboard.path, dashboard.title_line, CHECK, message).warning().help(help);
    (count > MAX_QUERIES).then(finding)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{board, found, panel, shows};

    #[test]
    fn more_lines_than_anyone_reads_are_found() {
        let expected = "dashboard/cost: the panel draws up to 500 series: they differ in customer (500)";
        shows(
            "timeseries",
            "sum by (customer) (rate(deliveries_total[5m]))",
            r#", "legendFormat": "{{customer}}""#,
            "",
            expected,
        );
        // What the legend's check reports already, aggregating mends as well.
        shows(
            "timeseries",
            "sum by (customer) (rate(deliveries_total[5m]))",
            r#", "legendFormat": "runs""#,
            "",
            "dashboard/legend:",
        );
        shows("timeseries", "sum by (tenant) (rate(runs_total[5m]))", "", "", "");
        shows("timeseries", "sum by (customer) (rate(deliveries_total[5m]))", "", "", expected);
        shows("table", "sum by (customer) (rate(deliveries_total[5m]))", r#", "instant": true"#, "", "");
        shows("bargauge", "topk(5, sum by (customer) (rate(deliveries_total[5m])))", r#", "instant": true"#, "", "");
    }

    #[test]
    fn reading_everything_at_every_refresh_is_found() {
        let expected = "dashboard/cost: every refresh reads all of steps_total, up to 100000 series";
        shows("timeseries", "sum(rate(steps_total[5m]))", "", "", expected);
        shows("timeseries", "sum(rate(steps_total{tenant=~\".+\"}[5m]))", "", "", expected);
        shows("timeseries", "sum(rate(steps_total{tenant=\"1\"}[5m]))", "", "", "");
    }

    #[test]
    fn opening_a_dashboard_asks_a_few_queries() {
        let panels = |count: usize, members: &str| {
            let one = |index: usize| {
                panel("stat", "memory_bytes", members, "")
                    .replace("\"y\": 0", &format!("\"y\": {}", 8 * index))
                    .replace("\"id\": 1", &format!("\"id\": {index}"))
            };
            (1..=count).map(one).collect::<Vec<_>>().join(",\n")
        };
        let message = "dashboard/cost: opening the dashboard asks 31 queries at once, more than 30";
        assert_eq!(found(&board("", &panels(31, ""))), [message]);
        assert_eq!(found(&board("", &panels(30, ""))), [""; 0]);
        assert_eq!(found(&board("", &panels(31, r#", "hide": true"#))), [""; 0]);
        let row = format!(
            r#"{{"type": "row", "collapsed": true, "title": "R", "gridPos": {{"x": 0, "y": 0, "w": 24, "h": 1}}, "panels": [{}]}}"#,
            panels(31, "")
        );
        assert_eq!(found(&board("", &row)), [""; 0]);
    }
}
