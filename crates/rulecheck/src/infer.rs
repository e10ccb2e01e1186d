//! Inference: what a query's result looks like, without a server. For every node of an expression, its arms with their
//! labels, kind, unit, interval and presence, and the step that caused each.
//!
//! The start is the metric contract; each operator, aggregation and function changes what is known as Prometheus would
//! change the series. Where something cannot be told, it is unknown, and an unknown accuses nobody.

mod aggregate;
mod alert;
mod arm;
mod binary;
mod function;
mod interval;
mod key;
mod labels;
mod part;
mod selector;
mod unit;
mod world;

use std::rc::Rc;
use std::time::Duration;

use promql_parser::parser::{Expr, VectorSelector};

pub use crate::query::has_variable;
pub use aggregate::aggregation;
pub use alert::alert_labels;
pub use arm::{Arm, Kind, Origin, Presence};
pub use binary::{fills, mirrored};
pub use interval::Interval;
pub use key::{Key, Mismatch};
pub use labels::{Carried, Domain, Label, Labels, Lack};
pub use part::{differing_matchers, is_part_of};
pub use selector::{Miss, bucket_bound, miss};
pub use unit::Unit;
pub use world::{Series, World};

/// More arms than any person writes. Of a longer `or`, the rest is not looked at, so that anything may be there.
const MAX_ARMS: usize = 32;

/// One node of an expression with what is known of its result. Parentheses have no node of their own.
#[derive(Debug)]
pub struct Node<'a> {
    /// The expression.
    pub expr: &'a Expr,
    /// Its operands in reading order: an aggregation's parameter and body, both sides of an operator, a call's arguments.
    pub children: Vec<Node<'a>>,
    /// What is known of the result; empty for a string.
    pub arms: Vec<Arm>,
    /// The range of a range selector or a subquery.
    pub range: Option<Duration>,
}

impl<'a> Node<'a> {
    /// The node and all below it, the node first.
    pub fn walk(&self) -> Vec<&Node<'a>> {
        let mut found = vec![self];
        let mut next = 0;
        while let Some(node) = found.get(next).copied() {
            found.extend(&node.children);
            next += 1;
        }
        found
    }

    /// The arms that can have a value.
    pub fn alive(&self) -> impl Iterator<Item = &Arm> {
        self.arms.iter().filter(|arm| arm.is_alive())
    }

    /// The selector that the node is, with a range or without.
    pub fn selector(&self) -> Option<&'a VectorSelector> {
        match self.expr {
            Expr::VectorSelector(selector) => Some(selector),
            Expr::MatrixSelector(matrix) => Some(&matrix.vs),
            _ => None,
        }
    }

    /// The plain number that the node is, the same at every evaluation.
    pub fn number(&self) -> Option<f64> {
        match self.arms.as_slice() {
            [arm] if arm.kind == Kind::Number => arm.interval.only(),
            _ => None,
        }
    }
}

/// Infers an expression's result.
pub fn infer<'a>(world: &World<'_>, expr: &'a Expr) -> Node<'a> {
    let node = |children: Vec<Node<'a>>, arms: Vec<Arm>| Node { expr, children, arms, range: None };
    let mut inferred = match expr {
        Expr::Paren(paren) => return infer(world, &paren.expr),
        Expr::NumberLiteral(number) => node(Vec::new(), vec![Arm::number(number.val)]),
        Expr::StringLiteral(_) | Expr::Extension(_) => node(Vec::new(), Vec::new()),
        Expr::VectorSelector(selector) => node(Vec::new(), selector::arms(world, selector)),
        Expr::MatrixSelector(matrix) => {
            let arms = selector::arms(world, &matrix.vs);
            Node { expr, children: Vec::new(), arms, range: Some(matrix.range) }
        }
        Expr::Subquery(subquery) => {
            let inner = infer(world, &subquery.expr);
            let arms = inner.arms.clone();
            Node { expr, children: vec![inner], arms, range: Some(subquery.range) }
        }
        Expr::Unary(unary) => {
            let inner = infer(world, &unary.expr);
            let arms = inner.arms.iter().map(|arm| negated(arm.clone())).collect();
            node(vec![inner], arms)
        }
        Expr::Aggregate(aggregate) => {
            let parameter = aggregate.param.as_ref().map(|parameter| infer(world, parameter));
            let body = infer(world, &aggregate.expr);
            let arms = aggregate::arms(aggregate, parameter.as_ref(), &body);
            node(parameter.into_iter().chain([body]).collect(), arms)
        }
        Expr::Binary(binary) => {
            let (left, right) = (infer(world, &binary.lhs), infer(world, &binary.rhs));
            let arms = binary::arms(binary, &left, &right);
            node(vec![left, right], arms)
        }
        Expr::Call(call) => {
            let arguments: Vec<Node<'a>> = call.args.args.iter().map(|argument| infer(world, argument)).collect();
            let arms = function::arms(call.func.name, &arguments);
            node(arguments, arms)
        }
    };
    if inferred.arms.len() > MAX_ARMS {
        inferred.arms.truncate(MAX_ARMS);
        inferred.arms.push(Arm::unknown(None));
    }
    inferred
}

/// The arms that can have a value. Of several jobs that expose a metric, those count that a matcher or the other side of
/// an operator leaves; if none is left, one arm says why.
fn alive_or_first(mut arms: Vec<Arm>) -> Vec<Arm> {
    if arms.iter().any(Arm::is_alive) {
        arms.retain(Arm::is_alive);
    } else {
        arms.truncate(1);
    }
    arms
}

fn negated(mut arm: Arm) -> Arm {
    arm.name = None;
    arm.interval = Interval::one(0.0).arithmetic("-", arm.interval);
    arm.kind = Kind::Gauge;
    arm.step(&Rc::from("-"))
}

/// An expression as a message quotes it: on one line, and not too long.
pub fn quote(expr: &Expr) -> String {
    let text = expr.to_string();
    if text.chars().count() <= 100 { text } else { format!("{}…", text.chars().take(99).collect::<String>()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::parse_expr;
    use crate::{Contract, RuleFile};

    const CONTRACT: &str = r#"
jobs:
  api: {scrape_interval: 15s, target_labels: [namespace, pod]}
  db: {scrape_interval: 30s, target_labels: [namespace]}
metrics:
  runs_total:
    type: counter
    unit: runs
    jobs: [api]
    emitted: live
    presence: after_event
    labels: {status: {values: [success, failed]}, tenant: {pattern: "[0-9]+", cardinality: 50}}
  duration_seconds: {type: histogram, unit: seconds, jobs: [api], emitted: live, buckets: [0.5, 1, 300]}
  memory_bytes: {type: gauge, unit: bytes, jobs: [api], emitted: live}
  workers: {type: gauge, unit: workers, jobs: [api], emitted: constant, value: 0}
  info: {type: info, unit: ratio, jobs: [], emitted: live, labels: {namespace: {}, deployment: {optional: true}}}
"#;

    const RULES: &str = r#"
groups:
  - name: g
    rules:
      - {record: "namespace:runs:rate5m", expr: "sum by (namespace, status) (rate(runs_total[5m]))", labels: {team: core}}
      - {record: "a:circle", expr: "b:circle + 1"}
      - {record: "b:circle", expr: "a:circle + 1"}
      - {alert: A, expr: "up == 0"}
"#;

    /// The arms of an expression, each as `labels | kind | unit | interval | presence`, or why it has no value.
    fn arms(text: &str) -> Vec<String> {
        let contract = Contract::parse([("m.yaml", CONTRACT)], &mut Vec::new());
        let rules: Vec<RuleFile> = RuleFile::parse("r.yaml", RULES, &mut Vec::new()).into_iter().collect();
        assert!(!rules.is_empty() && !contract.metrics.is_empty());
        let world = World::new(&contract, &rules);
        let expr = parse_expr(text).unwrap();
        let node = infer(&world, &expr);
        node.arms.iter().map(shape).collect()
    }

    fn shape(arm: &Arm) -> String {
        match &arm.dead {
            Some(why) => why.to_string(),
            None => format!("{} | {} | {} | {} | {}", arm.labels, arm.kind, arm.unit, arm.interval, arm.presence),
        }
    }

    #[track_caller]
    fn one(text: &str, expected: &str) {
        assert_eq!(arms(text), [expected], "{text}");
    }

    #[test]
    fn selectors_start_from_the_contract_and_narrow_by_matchers() {
        let target = "job (api), namespace, pod, status (failed or success), tenant (what matches [0-9]+)";
        one("runs_total", &format!("{target} | a counter | a count | at least 0 | from the first event on"));
        one(
            "runs_total{status=~\"f.*|x\"}",
            &format!("{target} | a counter | a count | at least 0 | from the first event on")
                .replace("failed or success", "failed"),
        );
        one("runs_total{status=\"done\"}", "status=\"done\" matches nothing: status is failed or success");
        one("runs_total{queue=\"a\"}", "queue=\"a\" matches nothing: runs_total has no such label");
        one(
            "runs_total{queue!=\"a\"}",
            &format!("{target} | a counter | a count | at least 0 | from the first event on"),
        );
        one("runs_total{job=\"db\"}", "job=\"db\" matches nothing: job is api");
        one("up{job=\"db\"}", "job (db), namespace | a gauge | a ratio | 0 to 1 | while its target is scraped");
        one("up{job=\"db\", pod=\"x\"}", "pod=\"x\" matches nothing: up has no such label");
        one(
            "runs_total{status=\"$status\"}",
            &format!("{target} | a counter | a count | at least 0 | from the first event on"),
        );
        one("foreign{a!=\"\"}", "a, … | unknown | an unknown unit | any number | only while a condition holds");
        one("info{deployment!=\"\"}", "deployment, namespace | a gauge | a ratio | 1 | while its target is scraped");
        assert_eq!(arms("up").len(), 2);
    }

    /// kube-state-metrics brings the namespace of what it tells of, and is a target in a namespace of its own.
    #[test]
    fn a_target_may_have_the_labels_that_its_metrics_bring() {
        let text = "jobs:\n  ksm: {scrape_interval: 15s, target_labels: [service]}\nmetrics:\n  pods: {type: gauge, unit: pods, jobs: [ksm], emitted: live, labels: {namespace: {}, phase: {}}}\n";
        let contract = Contract::parse([("m.yaml", text)], &mut Vec::new());
        let world = World::new(&contract, &[]);
        let expr = parse_expr("up").unwrap();
        assert_eq!(infer(&world, &expr).arms[0].labels.to_string(), "job (ksm), namespace?, service");
    }

    /// Six jobs on both sides are 36 pairs, of which six can meet.
    #[test]
    fn a_metric_of_many_jobs_meets_itself_job_by_job() {
        let jobs: String = (0..6).map(|n| format!("  j{n}: {{scrape_interval: 15s}}\n")).collect();
        let text = format!(
            "jobs:\n{jobs}metrics:\n  m: {{type: gauge, unit: x, jobs: [j0, j1, j2, j3, j4, j5], emitted: live}}\n"
        );
        let contract = Contract::parse([("m.yaml", text.as_str())], &mut Vec::new());
        let world = World::new(&contract, &[]);
        let expr = parse_expr("sum by (job) (m) / sum by (job) (m) > 1").unwrap();
        let node = infer(&world, &expr);
        assert_eq!((node.arms.len(), node.alive().count()), (6, 6));
    }

    #[test]
    fn of_a_long_or_anything_may_be_the_rest() {
        let text = vec!["sum(memory_bytes)"; 40].join(" or ");
        assert!(arms(&text).last().is_some_and(|arm| arm.starts_with("… | unknown")));
    }

    #[test]
    fn aggregations_keep_what_they_name() {
        one(
            "sum by (namespace, x) (rate(runs_total[5m]))",
            "namespace | a counter's growth | a count per second | at least 0 | from the first event on",
        );
        one(
            "sum without (tenant, pod) (runs_total)",
            "job (api), namespace, status (failed or success) | a sum of counters | a count | at least 0 | from the first event on",
        );
        one("count(memory_bytes)", "none | a number of series | a count | at least 1 | while its target is scraped");
        one(
            "topk by (pod) (3, memory_bytes)",
            "job (api), namespace, pod | a gauge | bytes | any number | while its target is scraped",
        );
        one(
            "count_values(\"version\", memory_bytes)",
            "version | a number of series | a count | at least 1 | while its target is scraped",
        );
        one("max by (a) (foreign)", "a? | unknown | an unknown unit | any number | only while a condition holds");
    }

    #[test]
    fn functions_change_kind_unit_and_interval() {
        one(
            "histogram_quantile(0.9, sum by (le) (rate(duration_seconds_bucket[5m])))",
            "none | a quantile | seconds | 0.45 to 300 | while its target is scraped",
        );
        one(
            "rate(duration_seconds_sum[5m]) / rate(duration_seconds_count[5m])",
            "job (api), namespace, pod | a gauge | seconds | at least 0 | while its target is scraped",
        );
        one(
            "absent(up{job=\"api\", pod=~\"x\"})",
            "job (api) | a plain number | a ratio | 1 | only while a condition holds",
        );
        one("absent(up{job=\"api\"} == 1)", "none | a plain number | a ratio | 1 | only while a condition holds");
        one("vector(time())", "none | a plain number | seconds | at least 0 | always");
        one(
            "changes(memory_bytes[5m])",
            "job (api), namespace, pod | a number of series | a count | at least 0 | while its target is scraped",
        );
        one(
            "clamp_max(memory_bytes, 5)",
            "job (api), namespace, pod | a gauge | bytes | at most 5 | while its target is scraped",
        );
        one("day_of_week()", "none | a gauge | an unknown unit | 0 to 6 | always");
        one(
            "max_over_time((sum by (pod) (memory_bytes))[1h:5m])",
            "pod | a gauge | bytes | any number | while its target is scraped",
        );
    }

    #[test]
    fn the_labels_are_those_of_the_series_and_not_of_a_number_before_it() {
        one(
            "histogram_fraction(0, 0.2, rate(duration_seconds[5m]))",
            "job (api), namespace, pod | unknown | an unknown unit | any number | while its target is scraped",
        );
    }

    #[test]
    fn label_replace_by_nothing_takes_the_label_away() {
        one(
            "label_replace(memory_bytes, \"namespace\", \"\", \"namespace\", \".*\")",
            "job (api), pod | a gauge | bytes | any number | while its target is scraped",
        );
    }

    #[test]
    fn label_replace_knows_whether_it_matches() {
        one(
            "label_replace(info, \"a\", \"$1\", \"namespace\", \"(.+)\")",
            "a, deployment?, namespace | a gauge | a ratio | 1 | while its target is scraped",
        );
        one(
            "label_replace(info, \"a\", \"$1\", \"deployment\", \"(.+)\")",
            "a?, deployment?, namespace | a gauge | a ratio | 1 | while its target is scraped",
        );
        one(
            "label_replace(info, \"namespace\", \"$1\", \"gone\", \"(.+)\")",
            "deployment?, namespace | a gauge | a ratio | 1 | while its target is scraped",
        );
        one(
            "label_replace(info, \"a\", \"x\", \"\", \"\")",
            "a (x), deployment?, namespace | a gauge | a ratio | 1 | while its target is scraped",
        );
        one(
            "sum by (s) (label_replace(runs_total, \"s\", \"x-$1\", \"status\", \"(.*)\"))",
            "s (x-failed or x-success) | a sum of counters | a count | at least 0 | from the first event on",
        );
    }

    #[test]
    fn operators_match_and_join_labels() {
        one(
            "memory_bytes / on (pod) memory_bytes",
            "pod | a gauge | a ratio | any number | while its target is scraped",
        );
        one(
            "sum by (namespace) (memory_bytes) > 5",
            "namespace | a gauge | bytes | above 5 | only while a condition holds",
        );
        one(
            "memory_bytes * on (namespace) group_left (deployment) info",
            "deployment?, job (api), namespace, pod | a gauge | bytes | any number | while its target is scraped",
        );
        one(
            "memory_bytes * on (namespace) group_left (pod) info",
            "job (api), namespace | a gauge | bytes | any number | while its target is scraped",
        );
        one(
            "sum(runs_total) / sum by (namespace) (runs_total)",
            "only the right side has the label namespace; on the left side `sum` drops it",
        );
        one(
            "runs_total{status=\"failed\"} and runs_total{status=\"success\"}",
            "the label status is failed on the left side and success on the right side",
        );
        one(
            "sum(rate(runs_total{status=\"failed\"}[5m])) / sum(rate(runs_total[5m])) > 1",
            "the value is 0 to 1, never > 1",
        );
        one(
            "histogram_quantile(0.9, sum by (le) (rate(duration_seconds_bucket[5m]))) > 300",
            "the value is 0.45 to 300, never > 300",
        );
        one(
            "5 < memory_bytes unless on () up",
            "job (api), namespace, pod | a gauge | bytes | above 5 | only while a condition holds",
        );
        assert_eq!(arms("sum(runs_total) or vector(0)").len(), 2);
        assert_eq!(arms("vector(0) or on () sum(runs_total)")[1], "the left side is always there");
    }

    #[test]
    fn recorded_series_have_what_their_rule_leaves() {
        one(
            "namespace:runs:rate5m",
            "namespace, status (failed or success), team (core) | a counter's growth | a count per second | at least 0 | from the first event on",
        );
        one("a:circle", "… | unknown | an unknown unit | any number | only while a condition holds");
    }

    #[test]
    fn a_dashboards_variable_makes_nothing_certain() {
        let unknown = "… | a gauge | bytes | any number | while its target is scraped";
        for expr in [
            "max by (grafana_variable_by) (memory_bytes)",
            "max without (grafana_variable_by) (memory_bytes)",
            "memory_bytes + on (grafana_variable_by) memory_bytes",
            "memory_bytes * on (namespace) group_left (grafana_variable_by) info",
        ] {
            one(expr, unknown);
        }
        one(
            "memory_bytes{grafana_variable_by=\"x\"}",
            "job (api), namespace, pod | a gauge | bytes | any number | while its target is scraped",
        );
        one("grafana_variable_metric", "… | unknown | an unknown unit | any number | only while a condition holds");
    }

    #[test]
    fn constants_stay_what_they_are() {
        one("workers == 0", "job (api), namespace, pod | a gauge | a count | 0 | only while a condition holds");
        one("workers > 0", "the value is 0, never > 0");
        one("increase(workers[5m]) > 4", "the value is 0, never > 4");
        one("2 * 3 > bool 5", "none | a gauge | a ratio | 0 to 1 | always");
    }
}
