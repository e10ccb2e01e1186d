//! `dashboard/instant`: a panel asks for a range of time and shows one moment, or the other way round.

use promql_parser::parser::Expr;

use super::Shown;
use crate::finding::Finding;

const CHECK: &str = "dashboard/instant";

/// Transformations that make one row of a series, or that need its points in time.
const REDUCING: [&str; 10] = [
    "reduce",
    "groupBy",
    "groupToNestedTable",
    "groupingToMatrix",
    "timeSeriesTable",
    "seriesToRows",
    "rowsToFields",
    "histogram",
    "prepareTimeSeries",
    "limit",
];

pub(super) fn check(shown: &Shown<'_>) -> Option<Finding> {
    let report = |message: &str| shown.error(shown.query.line, CHECK, message);
    let range_only = shown.target.range && !shown.target.instant;
    let instant_only = shown.target.instant && !shown.target.range;
    match shown.kind() {
        "timeseries" | "graph" | "state-timeline" | "status-history" | "heatmap" if instant_only => Some(
            report("the query is instant, so the panel draws a single point")
                .help("set `instant` to false and `range` to true"),
        ),
        "stat" | "gauge" | "bargauge" | "piechart" | "singlestat" if range_only && shown.panel.all_values => Some(
            report("the panel shows all values of a range query: one for every moment, not one for every series")
                .help("set `instant` to true, or `reduceOptions.values` to false"),
        ),
        "table" if range_only => of_table(shown),
        "timeseries" | "graph" => in_range(shown),
        _ => None,
    }
}

/// A table of a range query has a row for every moment.
fn of_table(shown: &Shown<'_>) -> Option<Finding> {
    let reduces = shown.panel.transformations.iter().any(|id| REDUCING.contains(&id.value.as_str()));
    if reduces {
        return None;
    }
    let help = "set `instant` to true and `range` to false";
    let report = |message: &str| shown.error(shown.query.line, CHECK, message).help(help);
    match outermost(shown.query.node.expr) {
        Some(function @ ("topk" | "bottomk")) => {
            let message = format!("the table has the `{function}` of every moment in its time range, not of now");
            Some(report(&message))
        }
        // A table of a range is also a log of what was when.
        _ => Some(report("the table has a row for every series at every moment of its time range").warning()),
    }
}

/// What is chosen or sorted at every step anew gives lines that come and go.
fn in_range(shown: &Shown<'_>) -> Option<Finding> {
    let report = |message: String| shown.error(shown.query.line, CHECK, message).warning();
    match outermost(shown.query.node.expr)? {
        function @ ("topk" | "bottomk") => Some(
            report(format!("`{function}` chooses anew at every step, so the panel shows more lines than it chooses"))
                .help("show an instant query as a table or bar gauge, or choose by the whole range: `x and topk(5, avg_over_time(x[$__range] @ end()))`"),
        ),
        function @ ("sort" | "sort_desc" | "sort_by_label" | "sort_by_label_desc") => Some(
            report(format!("`{function}` has no effect on a range query")).help("sort in the panel's legend"),
        ),
        _ => None,
    }
}

/// The outermost aggregation or function of an expression.
fn outermost(expr: &Expr) -> Option<&'static str> {
    let name = match expr {
        Expr::Paren(paren) => return outermost(&paren.expr),
        Expr::Aggregate(aggregate) => aggregate.op.to_string(),
        Expr::Call(call) => call.func.name.to_owned(),
        _ => return None,
    };
    ["topk", "bottomk", "sort", "sort_desc", "sort_by_label", "sort_by_label_desc"]
        .into_iter()
        .find(|known| *known == name)
}

#[cfg(test)]
mod tests {
    use super::super::testing::shows;

    const INSTANT: &str = r#", "instant": true, "range": false"#;
    const TOP: &str = "topk(5, sum by (tenant) (increase(runs_total[1h])))";

    #[test]
    fn a_table_asks_for_one_moment() {
        shows(
            "table",
            TOP,
            r#", "format": "table""#,
            "",
            "dashboard/instant: the table has the `topk` of every moment",
        );
        shows(
            "table",
            "memory_bytes",
            r#", "format": "table""#,
            "",
            "dashboard/instant: the table has a row for every series",
        );
        shows("table", TOP, r#", "format": "table", "instant": true"#, "", "");
        shows("table", "memory_bytes", "", r#", "transformations": [{"id": "reduce"}]"#, "");
    }

    #[test]
    fn one_value_is_made_of_a_series_or_asked_for() {
        shows(
            "stat",
            "memory_bytes",
            "",
            r#", "options": {"reduceOptions": {"values": true}}"#,
            "dashboard/instant: the panel shows all values",
        );
        shows(
            "stat",
            "memory_bytes",
            "",
            r#", "options": {"reduceOptions": {"calcs": ["lastNotNull"], "values": false}}"#,
            "",
        );
        shows("bargauge", TOP, INSTANT, r#", "options": {"reduceOptions": {"values": true}}"#, "");
        shows("gauge", "memory_bytes", "", "", "");
    }

    #[test]
    fn a_graph_asks_for_a_range() {
        shows("timeseries", "memory_bytes", INSTANT, "", "dashboard/instant: the query is instant");
        shows("timeseries", "memory_bytes", r#", "instant": true, "range": true"#, "", "");
        shows("barchart", "memory_bytes", INSTANT, "", "");
        shows("timeseries", TOP, "", "", "dashboard/instant: `topk` chooses anew");
        shows("timeseries", "sort_desc(memory_bytes)", "", "", "dashboard/instant: `sort_desc` has no effect");
        shows("timeseries", "memory_bytes and topk(5, avg_over_time(memory_bytes[1h] @ end()))", "", "", "");
    }
}
