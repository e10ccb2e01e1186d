//! Recording rules.
//!
//! `record/name`: the name says something else than the rule does: a level whose labels the result does not have, a
//! range that it does not use, or no level at all. `record/dropped-label`: a query asks a recorded series for a label
//! that its rule dropped. Both follow <https://prometheus.io/docs/practices/rules/>: level:metric:operations.

use std::collections::BTreeSet;
use std::time::Duration;

use promql_parser::parser::{Expr, LabelModifier};
use promql_parser::util::display_duration;

use super::selector::is_chosen;
use super::{Query, Settings};
use crate::finding::Finding;
use crate::infer::{Arm, Carried, Lack, Node, Series, World, has_variable};
use crate::query::{metric_name, seconds, selectors};
use crate::rules::{Group, Rule, is_metric_name};

pub(super) fn check(world: &World<'_>, _: &Settings, query: &Query<'_>) -> Vec<Finding> {
    let mut findings = dropped(world, query);
    if let Some((rule, group)) = query.record() {
        findings.extend(form(query, rule).or_else(|| level(query, rule, group)));
        findings.extend(range(query, rule));
    }
    findings
}

fn form(query: &Query<'_>, rule: &Rule) -> Option<Finding> {
    let message = if !is_metric_name(&rule.name) {
        format!("the name can only be asked for in quotes, `{{\"{}\"}}`", rule.name)
    } else if !rule.name.contains(':') {
        "the name has no colon, and reads like a metric that is scraped".to_owned()
    } else {
        return None;
    };
    let help = "name it level:metric:operations, like `namespace:requests:rate5m`";
    Some(query.error("record/name", message).help(help).warning())
}

/// The name begins with the labels by which the series differ.
fn level(query: &Query<'_>, rule: &Rule, group: &Group) -> Option<Finding> {
    let (level, _) = rule.name.split_once(':').filter(|(_, rest)| rest.contains(':'))?;
    let set = |label: &str| rule.labels.contains_key(label) || group.labels.contains_key(label);
    let dropped: BTreeSet<&str> = query.node.alive().flat_map(|arm| arm.labels.dropped()).collect();
    let never = |label: &str| query.node.alive().all(|arm| arm.labels.carries(label) == Carried::Never);
    if let Some(label) = named(level, &dropped).into_iter().find(|label| never(label) && !set(label)) {
        let why = query.node.alive().next()?.labels.why_never(label);
        let message = format!("the level `{level}` names {label}, which the result never has: {why}");
        return Some(query.error("record/name", message).help(format!("take {label} out of the name")).warning());
    }
    // Only `by` says which labels are meant; what else remains is whatever the targets have.
    if !is_closed_by(query.node.expr) {
        return None;
    }
    let differs = |label: &str| {
        let in_arm =
            |arm: &Arm| arm.labels.get(label).is_some_and(|label| label.always && label.domain.only().is_none());
        !set(label) && query.node.alive().all(in_arm)
    };
    let of_first = query.node.alive().next()?.labels.iter().map(|(name, _)| name.as_ref());
    let labels: BTreeSet<&str> = of_first.filter(|label| differs(label)).collect();
    let named = named(level, &labels);
    let missing: Vec<&str> =
        labels.into_iter().filter(|label| !named.contains(label) && *label != "job" && *label != "le").collect();
    let (first, _) = missing.split_first()?;
    let message = format!("the level `{level}` does not name {first}, by which the result's series differ");
    Some(query.error("record/name", message).help(format!("begin the name with {}", missing.join("_"))).warning())
}

/// The labels of `known` that a level names: `namespace_deployment`.
fn named<'a>(level: &str, known: &BTreeSet<&'a str>) -> Vec<&'a str> {
    let words: Vec<&str> = level.split('_').collect();
    let in_level = |label: &str| {
        let label: Vec<&str> = label.split('_').collect();
        words.windows(label.len()).any(|window| window == label)
    };
    known.iter().copied().filter(|label| in_level(label)).collect()
}

/// Whether the result has just the labels that the expression lists.
fn is_closed_by(expr: &Expr) -> bool {
    match expr {
        Expr::Paren(paren) => is_closed_by(&paren.expr),
        Expr::Aggregate(aggregate) => {
            let picks = matches!(aggregate.op.to_string().as_str(), "topk" | "bottomk" | "limitk" | "limit_ratio");
            !picks && !matches!(aggregate.modifier, Some(LabelModifier::Exclude(_)))
        }
        Expr::Binary(binary) => match binary.op.to_string().as_str() {
            "and" | "unless" => is_closed_by(&binary.lhs),
            _ => [&binary.lhs, &binary.rhs]
                .iter()
                .all(|side| matches!(side.as_ref(), Expr::NumberLiteral(_)) || is_closed_by(side)),
        },
        Expr::Call(call) => call.args.args.iter().any(|argument| is_closed_by(argument)),
        _ => false,
    }
}

/// `:rate5m` is of five minutes.
fn range(query: &Query<'_>, rule: &Rule) -> Option<Finding> {
    let operations = rule.name.rsplit(':').next()?;
    let named = trailing_duration(operations)?;
    let ranges: BTreeSet<Duration> = query.node.walk().iter().filter_map(|node| node.range).collect();
    let said = seconds(named)?;
    if ranges.is_empty() || ranges.iter().any(|range| range.as_secs_f64() == said) {
        return None;
    }
    let used = ranges.iter().map(display_duration).collect::<Vec<String>>().join(" and ");
    let message = format!("the name says {named}, the expression looks at {used}");
    Some(query.error("record/name", message).help("give both the same range"))
}

/// `5m` of `rate5m`.
fn trailing_duration(operations: &str) -> Option<&str> {
    let starts = operations.char_indices().filter(|(index, c)| {
        c.is_ascii_digit() && !operations[..*index].ends_with(|before: char| before.is_ascii_digit())
    });
    starts.map(|(index, _)| &operations[index..]).find(|text| *text != "0" && seconds(text).is_some())
}

/// Labels that a query asks recorded series for, and that their rule does not leave.
fn dropped(world: &World<'_>, query: &Query<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for selector in selectors(query.node.expr) {
        let Some(name) = metric_name(selector).filter(|name| matches!(world.series(name), Series::Recorded)) else {
            continue;
        };
        let arms = world.arms(name);
        for matcher in selector.matchers.matchers.iter().filter(|matcher| matcher.name != "__name__") {
            let label = matcher.name.as_str();
            if arms.is_empty() || arms.iter().any(|arm| arm.labels.carries(label) != Carried::Never) {
                continue;
            }
            let lack = arms.first().and_then(|arm| arm.labels.lack(label));
            let is_empty = has_variable(&matcher.value) && !is_chosen(query, matcher);
            if is_empty && matches!(lack, Some(Lack::Source(_))) {
                continue;
            }
            let why = match lack {
                Some(lack @ Lack::Recorded { .. }) => lack.to_string(),
                Some(lack) => format!("{name} is recorded without {label}, {lack}"),
                None => format!("{name} is recorded without {label}"),
            };
            let nothing = !has_variable(&matcher.value) && !matcher.is_match("");
            let effect = if nothing { "matches nothing" } else { "does not filter" };
            let message = format!("`{matcher}` {effect}: {why}");
            let finding = query
                .error("record/dropped-label", message)
                .help(format!("keep {label} in the rule that records {name}, or take the matcher out"));
            findings.push(if nothing { finding } else { finding.warning() });
        }
    }
    let aggregations = query.node.walk();
    findings.extend(aggregations.into_iter().filter_map(|node| grouped(query, node)));
    findings
}

/// `sum by (status) (x)` where the rule that records x dropped the status.
fn grouped(query: &Query<'_>, node: &Node<'_>) -> Option<Finding> {
    let Expr::Aggregate(aggregate) = node.expr else { return None };
    let Some(LabelModifier::Include(by)) = &aggregate.modifier else { return None };
    let body = node.children.last()?;
    let lost = |label: &String| {
        let mut lacks = body.alive().map(|arm| arm.labels.lack(label));
        match lacks.next()?? {
            Lack::Recorded { record, step } if lacks.all(|lack| matches!(lack, Some(Lack::Recorded { .. }))) => {
                Some((label.clone(), record.clone(), step.clone()))
            }
            _ => None,
        }
    };
    let (label, record, step) = by.labels.iter().find_map(lost)?;
    let message = format!("`by ({label})` groups by nothing: {record} is recorded without {label}, `{step}` drops it");
    Some(
        query
            .error("record/dropped-label", message)
            .help(format!("keep {label} in the rule that records {record}, or take it out of `by ()`")),
    )
}

#[cfg(test)]
mod tests {
    use super::super::testing::of_rules;

    /// What is found about a recording rule, and an alert that uses it.
    fn found(record: &str, expr: &str, alert: &str) -> Vec<(&'static str, String)> {
        let rules = format!(
            "      - {{record: \"{record}\", expr: '{expr}'}}\n      - {{alert: A, expr: '{alert} > 5', for: 5m, labels: {{severity: info}}}}\n"
        );
        let found = of_rules(&rules).into_iter();
        found.map(|finding| (finding.check, finding.message)).collect()
    }

    #[track_caller]
    fn name(record: &str, expr: &str, checks: &[&str]) {
        let found = found(record, expr, record);
        let names: Vec<&str> = found.iter().map(|(check, _)| *check).collect();
        assert_eq!(names, checks, "{record}\n{expr}\n{found:#?}");
    }

    #[test]
    fn a_name_says_which_labels_remain() {
        let expr = "sum by (namespace, status) (rate(runs_total[5m]))";
        name("namespace_status:runs:rate5m", expr, &[]);
        name("status_namespace:runs:rate5m", expr, &[]);
        name("namespace:runs:rate5m", expr, &["record/name"]);
        name("namespace_status_tenant:runs:rate5m", expr, &["record/name"]);
        name("namespace_status:runs", expr, &[]);
        name("runs_rate", expr, &["record/name"]);
    }

    #[test]
    fn a_name_that_needs_quotes_is_a_warning() {
        let found =
            found("namespace:runs.rate", "sum by (namespace) (rate(runs_total[5m]))", "{\"namespace:runs.rate\"}");
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].0 == "record/name" && found[0].1.contains("in quotes"), "{found:?}");
    }

    #[test]
    fn labels_that_nobody_listed_need_no_name() {
        name("status:runs:rate5m", "sum without (pod, instance) (rate(runs_total{tenant=\"1\"}[5m]))", &[]);
        name("cluster:runs:rate5m", "sum(rate(runs_total[5m]))", &[]);
        name(":memory_bytes:sum", "sum(memory_bytes)", &[]);
        name(
            "namespace:duration_seconds_bucket:rate5m",
            "sum by (namespace, le) (rate(duration_seconds_bucket[5m]))",
            &[],
        );
        name(
            "namespace:memory:share",
            "sum by (namespace) (memory_bytes) / on (namespace) sum by (namespace) (memory_bytes offset 1h) > 0",
            &[],
        );
    }

    #[test]
    fn a_name_says_which_range_is_used() {
        name("namespace:runs:rate5m", "sum by (namespace) (rate(runs_total[1h]))", &["record/name"]);
        name("namespace:runs:increase1d", "sum by (namespace) (increase(runs_total[24h]))", &[]);
        name("namespace:runs:p99_1m30s", "max by (namespace) (max_over_time(active_runs[90s]))", &[]);
        name("namespace:memory:p99", "max by (namespace) (max_over_time(memory_bytes[90s]))", &[]);
    }

    #[test]
    fn a_label_that_the_rule_dropped_cannot_be_asked_for() {
        let record = "namespace:runs:rate5m";
        let expr = "sum by (namespace) (rate(runs_total[5m]))";
        let of = |alert: &str| found(record, expr, alert);
        assert_eq!(of("namespace:runs:rate5m{namespace=\"a\"}"), []);
        let matched = of("namespace:runs:rate5m{status=\"failed\"}");
        assert_eq!(matched[0].0, "record/dropped-label");
        assert!(
            matched[0]
                .1
                .ends_with("matches nothing: `sum by (namespace)` drops it before namespace:runs:rate5m is recorded"),
            "{matched:?}"
        );
        assert_eq!(of("namespace:runs:rate5m{status=\"$status\"}")[0].0, "record/dropped-label");
        assert_eq!(of("namespace:runs:rate5m{cluster=\"$cluster\"}"), []);
        assert_eq!(of("sum by (status) (namespace:runs:rate5m)")[0].0, "record/dropped-label");
        assert_eq!(
            of("namespace:runs:rate5m / on (status) group_left () sum by (status) (rate(runs_total[5m]))")[0].0,
            "record/dropped-label"
        );
    }

    #[test]
    fn a_label_that_no_source_has_is_no_dropped_one() {
        assert_eq!(
            found(
                "namespace:memory:sum",
                "sum by (namespace, cluster) (memory_bytes)",
                "sum by (cluster) (namespace:memory:sum)"
            ),
            []
        );
    }
}
