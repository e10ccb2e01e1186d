//! Joins: which side may have several series for one of the other.
//!
//! `match/many-to-many`: a side that must be unique has several series for one match, so that the query fails.
//! `match/group-label`: `group_left (x)` takes a label from a side that never has it, and so takes it away.

use std::rc::Rc;

use promql_parser::parser::VectorMatchCardinality;

use super::matching::{Operator, operators};
use super::{Query, Settings};
use crate::finding::Finding;
use crate::infer::{Arm, Carried, Key, Kind, Node, Origin, Presence, Series, World};

pub(super) fn check(world: &World<'_>, _: &Settings, query: &Query<'_>) -> Vec<Finding> {
    let operators = operators(&query.node);
    let joins = operators.iter().filter(|operator| !operator.is_set() && operator.mismatch().is_none());
    joins.flat_map(|operator| one(world, query, operator)).collect()
}

fn one(world: &World<'_>, query: &Query<'_>, operator: &Operator<'_, '_>) -> Vec<Finding> {
    let (left, right) = ((operator.left, "left"), (operator.right, "right"));
    let cardinality = operator.expr.modifier.as_ref().map(|modifier| &modifier.card);
    match cardinality {
        Some(VectorMatchCardinality::ManyToOne(copied)) => {
            joined(world, query, operator, right, &copied.labels, "group_left")
        }
        Some(VectorMatchCardinality::OneToMany(copied)) => {
            joined(world, query, operator, left, &copied.labels, "group_right")
        }
        _ => [left, right].into_iter().find_map(|side| several(world, query, operator, side)).into_iter().collect(),
    }
}

/// A side as messages name it.
type Side<'a, 'b> = (&'b Node<'a>, &'static str);

fn joined(
    world: &World<'_>,
    query: &Query<'_>,
    operator: &Operator<'_, '_>,
    one: Side<'_, '_>,
    copied: &[String],
    group: &str,
) -> Vec<Finding> {
    let missing = copied.iter().filter_map(|label| never_there(query, one, label, group));
    several(world, query, operator, one).into_iter().chain(missing).collect()
}

fn never_there(query: &Query<'_>, (node, side): Side<'_, '_>, label: &str, group: &str) -> Option<Finding> {
    // A name that is not there to be copied leaves no hole.
    if label == "__name__" || node.alive().any(|arm| arm.labels.carries(label) != Carried::Never) {
        return None;
    }
    let why = node.alive().next()?.labels.why_never(label);
    let message = format!("`{group} ({label})` takes {label} from the {side} side, where {why}: the result has none");
    let help = format!("take {label} out of `{group} ()`, or keep it on the {side} side");
    Some(query.error("match/group-label", message).help(help))
}

fn several(
    world: &World<'_>,
    query: &Query<'_>,
    operator: &Operator<'_, '_>,
    (node, side): Side<'_, '_>,
) -> Option<Finding> {
    let (label, count, certain) = node.alive().find_map(|arm| repeated(world, arm, &operator.key))?;
    let name = &operator.name;
    let message = format!(
        "`{name}` needs one series for each match on the {side} side, where {label} has {count} values and is no part \
         of the match: the query fails as soon as there are two"
    );
    let help = match side {
        "left" => format!("aggregate {label} away, or say that the left side is the many: `group_left ()`"),
        _ => format!("aggregate {label} away on the {side} side"),
    };
    let finding = query.error("match/many-to-many", message).help(help);
    Some(if certain { finding } else { finding.warning() })
}

/// A label outside of the match that has several values within it, how many, and whether that is certain.
fn repeated<'a>(world: &World<'_>, arm: &'a Arm, key: &Key) -> Option<(&'a str, u64, bool)> {
    // A condition may leave one of many: `phase == 1`.
    if arm.presence == Presence::Conditional || arm.is_picked() {
        return None;
    }
    let matches = matches_at_most(arm, key);
    let outside = arm.labels.iter().filter(|(name, label)| label.always && !key.has(name));
    let counted = outside.filter_map(|(name, label)| Some((name, label, label.count()?)));
    let mut repeated = counted.filter(|(_, _, count)| *count > 1).filter_map(|(name, label, count)| {
        if matches.is_some_and(|matches| matches < count) {
            return Some((&**name, count, true));
        }
        // Labels of a gauge may depend on each other, as a pod's node does. The classes that a counter counts do not
        // depend on its target, but one class may on another, as the type of a gRPC call does on its method.
        let classes = counts_events(arm.kind) && label.domain.known().is_some();
        classes.then(|| (&**name, count, !has_own_label(world, arm, key)))
    });
    repeated.next()
}

/// Whether the match names a label that the metric itself brings, not its target. Who writes `ignoring (x)` knows that x
/// has other values on each side.
fn has_own_label(world: &World<'_>, arm: &Arm, key: &Key) -> bool {
    if matches!(key, Key::Ignoring(_)) {
        return false;
    }
    let own = |origin: &Rc<Origin>| match world.series(&origin.series) {
        Series::Declared(metric, _) => {
            metric.labels.keys().any(|label| key.has(label) && arm.labels.get(label).is_some())
        }
        _ => false,
    };
    arm.origins.iter().any(own)
}

fn counts_events(kind: Kind) -> bool {
    matches!(kind, Kind::Counter | Kind::CounterSum | Kind::Rate | Kind::Buckets | Kind::BucketRate | Kind::Quantile)
}

/// How many different matches there can be, where that is known.
fn matches_at_most(arm: &Arm, key: &Key) -> Option<u64> {
    if arm.labels.is_open() {
        return None;
    }
    let mut inside = arm.labels.iter().filter(|(name, _)| key.has(name));
    inside.try_fold(1_u64, |product, (_, label)| Some(product.saturating_mul(label.count()?.max(1))))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{finds, of_alert, of_rules};
    use crate::finding::Severity;

    #[test]
    fn classes_of_a_counter_do_not_fit_one_match() {
        finds(
            "sum by (namespace, status) (rate(runs_total[5m])) / on (namespace) sum by (namespace) (rate(runs_total[5m])) > 0.5",
            &["match/many-to-many"],
        );
        finds(
            "sum by (namespace, status) (rate(runs_total[5m])) / on (namespace) group_left () sum by (namespace) (rate(runs_total[5m])) > 0.5",
            &[],
        );
        finds(
            "memory_bytes * on (namespace, pod) group_left (status) sum by (namespace, pod, status) (rate(runs_total[5m])) > 5",
            &["match/many-to-many"],
        );
        finds("active_runs > on () pool_open", &["match/many-to-many"]);
    }

    /// The type of a gRPC call is that of its method.
    #[test]
    fn a_label_may_depend_on_another_one_of_its_metric() {
        let rules = "      - alert: A\n        expr: sum by (tenant) (rate(runs_total[5m])) / on (tenant) sum by (tenant, status) (rate(runs_total[5m])) > 0.5\n        labels: {severity: info}\n";
        let found = of_rules(rules);
        let found: Vec<_> = found.iter().map(|finding| (finding.check, finding.severity)).collect();
        assert_eq!(found, [("match/many-to-many", Severity::Warning)]);
    }

    #[test]
    fn labels_of_a_gauge_may_depend_on_each_other() {
        finds(
            "memory_bytes * on (namespace) group_left (deployment) max by (namespace, deployment) (kube_pods) > 5",
            &[],
        );
        finds("memory_bytes * on (namespace) group_left (phase) (kube_pods == 1) > 5", &[]);
        finds("memory_bytes / on (namespace) group_left () topk by (namespace) (1, rate(runs_total[5m])) > 5", &[]);
    }

    #[test]
    fn a_group_label_must_be_there() {
        let join = |label: &str| format!("memory_bytes * on (namespace) group_left ({label}) environment_info > 5");
        finds(&join("version"), &["match/group-label"]);
        finds(&join("deployment"), &[]);
        finds(&join("__name__"), &[]);
        assert!(of_alert(&join("version"))[0].contains("environment_info has no such label"));
        finds("environment_info * on (namespace) group_right (deployment) memory_bytes > 5", &[]);
    }
}
