//! What a selector's matchers ask for, against what its series can carry.
//!
//! `query/unknown-label`: a matcher on a label that no series of the metric has. `query/impossible-value`: a matcher
//! whose values the label never has; a warning where only a part of it is dead or where it excludes nothing.
//! `query/wrong-job`: a matcher on a job that does not expose the metric. `query/unknown-bucket`: a matcher on a bound
//! that the histogram has not, or that Prometheus 3 writes in another way.

use promql_parser::label::{MatchOp, Matcher};
use promql_parser::parser::VectorSelector;

use super::{Purpose, Query, Settings, regexp};
use crate::dashboard::references;
use crate::finding::Finding;
use crate::infer::{Carried, Domain, Kind, Labels, Miss, Node, Series, World, bucket_bound, has_variable, miss};
use crate::query::metric_name;

pub(super) fn check(world: &World<'_>, _: &Settings, query: &Query<'_>) -> Vec<Finding> {
    query.node.walk().into_iter().flat_map(|node| of_node(world, query, node)).collect()
}

/// A selector with what is known of its metric's series.
struct Selected<'n> {
    selector: &'n VectorSelector,
    name: &'n str,
    recorded: bool,
    /// Who says which values its labels have.
    says: &'static str,
    buckets: bool,
    /// The labels of each job's series, before any matcher.
    labels: Vec<&'n Labels>,
}

fn of_node(world: &World<'_>, query: &Query<'_>, node: &Node<'_>) -> Vec<Finding> {
    let Some((selector, name)) = node.selector().and_then(|selector| Some((selector, metric_name(selector)?))) else {
        return Vec::new();
    };
    let (recorded, says) = match world.series(name) {
        Series::Unknown => return Vec::new(),
        Series::Declared(..) => (false, "the contract declares"),
        Series::Recorded => (true, "its recording rule leaves"),
        Series::BuiltIn => (false, "Prometheus gives"),
    };
    let arms = world.arms(name);
    let buckets = arms.iter().any(|arm| matches!(arm.kind, Kind::Buckets | Kind::BucketRate | Kind::Quantile));
    let labels = arms.iter().filter(|arm| arm.is_alive()).map(|arm| &arm.labels).collect();
    let selected = Selected { selector, name, recorded, says, buckets, labels };
    let findings = selected.faults(query);
    // Each matcher alone may be right and no series meets them together.
    match node.arms.first().and_then(|arm| arm.dead.as_deref()) {
        Some(why) if findings.is_empty() && selected.is_to_judge() => {
            let message = format!("`{selector}` selects nothing: {why}");
            vec![query.error("query/impossible-value", message).help("take out one of the matchers")]
        }
        _ => findings,
    }
}

/// Whether people choose what the matcher of a panel asks for. What a variable that nobody sees holds is the dashboard's
/// own matter: it may be empty where there is no such label.
pub(super) fn is_chosen(query: &Query<'_>, matcher: &Matcher) -> bool {
    let Purpose::Panel(dashboard, _) = query.purpose else { return false };
    let is_seen = |name: &str| dashboard.variable(name).is_some_and(|variable| !variable.hidden);
    references(&matcher.value).iter().any(|used| is_seen(used.name))
}

impl<'n> Selected<'n> {
    fn matchers(&self) -> impl Iterator<Item = &'n Matcher> {
        let matchers = &self.selector.matchers.matchers;
        matchers.iter().filter(|matcher| matcher.name != "__name__" && !has_variable(&matcher.value))
    }

    /// A series whose recording rule is dead is reported there, and a label that a recording rule drops is the matter
    /// of `record/dropped-label`.
    fn is_to_judge(&self) -> bool {
        let dropped = |matcher: &Matcher| self.labels.iter().all(|l| l.carries(&matcher.name) == Carried::Never);
        let is_dropped = self.recorded && self.matchers().any(dropped);
        !self.labels.is_empty() && !is_dropped
    }

    /// What is wrong with single matchers. Those on the job are judged first, and the others against its series only.
    fn faults(&self, query: &Query<'_>) -> Vec<Finding> {
        if self.labels.is_empty() {
            return Vec::new();
        }
        let (on_job, others): (Vec<&Matcher>, Vec<&Matcher>) = self.matchers().partition(|m| m.name == "job");
        let of_jobs: Vec<&Labels> =
            self.labels.iter().copied().filter(|labels| on_job.iter().all(|m| miss(labels, m).is_none())).collect();
        let job_faults = on_job.iter().filter_map(|matcher| self.fault(query, matcher, &self.labels));
        let mut findings: Vec<Finding> = job_faults.collect();
        if !self.recorded {
            findings.extend(self.unknown_labels_of_variables(query));
        }
        if !of_jobs.is_empty() {
            findings.extend(others.iter().filter_map(|matcher| self.fault(query, matcher, &of_jobs)));
        }
        findings
    }

    fn fault(&self, query: &Query<'_>, matcher: &Matcher, series: &[&Labels]) -> Option<Finding> {
        let misses: Vec<Miss> = series.iter().filter_map(|labels| miss(labels, matcher)).collect();
        let without = series.iter().all(|labels| labels.carries(&matcher.name) == Carried::Never);
        if without {
            return if self.recorded { None } else { self.unknown_label(query, matcher, series, !misses.is_empty()) };
        }
        if misses.len() == series.len() && misses.iter().any(|miss| matches!(miss, Miss::AlwaysSet(_))) {
            let message = format!("`{matcher}` matches nothing: every series of {} has the label", self.name);
            return Some(query.error("query/impossible-value", message).help("take the matcher out"));
        }
        // A single value is alive as a whole or not at all.
        let of_bucket = self.buckets && matches!(matcher.name.as_str(), "le" | "quantile");
        if matcher.op == MatchOp::Equal && misses.len() < series.len() && !of_bucket {
            return None;
        }
        let domain = domain_of(series, &matcher.name);
        if of_bucket {
            return self.unknown_bucket(query, matcher, &domain);
        }
        if misses.len() == series.len() {
            return Some(self.impossible(query, matcher, &domain));
        }
        self.dead_part(query, matcher, &domain)
    }

    /// Matchers of a panel that compare a label that is not there with a variable.
    fn unknown_labels_of_variables(&self, query: &Query<'_>) -> Vec<Finding> {
        let unknown = |label: &str| self.labels.iter().all(|labels| labels.carries(label) == Carried::Never);
        let matchers = self.selector.matchers.matchers.iter().filter(|m| is_chosen(query, m) && unknown(&m.name));
        let findings = matchers.map(|matcher| {
            let (name, label) = (self.name, &matcher.name);
            let known: Vec<&str> = self.labels.iter().flat_map(|l| l.iter()).map(|(label, _)| label.as_ref()).collect();
            let message = format!("`{matcher}` matches nothing once a value is chosen: {name} has no label {label}");
            query.error("query/unknown-label", message).warning().help(help_of("label", label, &known))
        });
        findings.collect()
    }

    fn unknown_label(
        &self,
        query: &Query<'_>,
        matcher: &Matcher,
        series: &[&Labels],
        matches_nothing: bool,
    ) -> Option<Finding> {
        let (name, label) = (self.name, &matcher.name);
        let known: Vec<&str> =
            series.iter().flat_map(|labels| labels.iter()).map(|(label, _)| label.as_ref()).collect();
        let help = help_of("label", label, &known);
        if matches_nothing {
            let message = format!("`{matcher}` matches nothing: {name} has no label {label}");
            return Some(query.error("query/unknown-label", message).help(help));
        }
        // `x=""` and `x=~".*"` say that the label may be missing; `x!="a"` claims that there is something to exclude.
        let excludes = matches!(matcher.op, MatchOp::NotEqual | MatchOp::NotRe(_));
        let message = format!("`{matcher}` excludes nothing: {name} has no label {label}");
        excludes.then(|| query.error("query/unknown-label", message).warning().help(help))
    }

    fn impossible(&self, query: &Query<'_>, matcher: &Matcher, domain: &Domain) -> Finding {
        let (name, label) = (self.name, &matcher.name);
        let values: Vec<&str> = domain.known().into_iter().flatten().map(AsRef::as_ref).collect();
        let help = help_of("value", &matcher.value, &values);
        if label == "job" {
            let message = format!("`{matcher}` matches nothing: {name} comes from {domain}");
            return query.error("query/wrong-job", message).help(help);
        }
        let message = format!("`{matcher}` matches nothing: {}", self.declared(label, domain));
        query.error("query/impossible-value", message).help(help)
    }

    fn declared(&self, label: &str, domain: &Domain) -> String {
        format!("{} {label} of {} as {domain}", self.says, self.name)
    }

    /// A matcher that is alive as a whole: an alternative of it that no value meets, or an exclusion of nothing.
    fn dead_part(&self, query: &Query<'_>, matcher: &Matcher, domain: &Domain) -> Option<Finding> {
        // A list of jobs is often written for several installations.
        let of_job = matcher.name == "job";
        let declared = self.declared(&matcher.name, domain);
        let warning =
            |message: String, help: &str| Some(query.error("query/impossible-value", message).warning().help(help));
        match &matcher.op {
            MatchOp::Re(_) => {
                let all = regexp::alternatives(&matcher.value);
                let dead: Vec<&str> = all.iter().copied().filter(|one| regexp::is_dead(one, domain)).collect();
                if dead.len() == all.len() && !matcher.is_match("") {
                    return Some(self.impossible(query, matcher, domain));
                }
                if dead.is_empty() || of_job {
                    return None;
                }
                let message = format!("`{}` in `{matcher}` matches nothing: {declared}", dead.join("|"));
                warning(message, "take it out, or write the value that is meant")
            }
            _ if of_job => None,
            MatchOp::NotEqual if !matcher.value.is_empty() && !domain.allows(&matcher.value) => {
                warning(format!("`{matcher}` excludes nothing: {declared}"), "exclude a value that occurs")
            }
            MatchOp::NotRe(_) if domain.known().is_some_and(|v| v.iter().all(|value| matcher.is_match(value))) => {
                warning(format!("`{matcher}` excludes nothing: {declared}"), "exclude a value that occurs")
            }
            _ => None,
        }
    }

    /// Prometheus 3 writes every bound as a floating point number: `1.0`, not `1`.
    fn unknown_bucket(&self, query: &Query<'_>, matcher: &Matcher, domain: &Domain) -> Option<Finding> {
        let report = |message: String| query.error("query/unknown-bucket", message);
        let all = match &matcher.op {
            MatchOp::Equal => vec![matcher.value.as_str()],
            MatchOp::Re(_) => regexp::alternatives(&matcher.value),
            _ => return self.dead_part(query, matcher, domain),
        };
        let bound = |text: &str| text.parse::<f64>().ok().filter(|bound| !bound.is_nan());
        for one in all {
            let Some(bound) = bound(one) else { continue };
            let written = bucket_bound(bound);
            if written != one && domain.allows(&written) {
                // `1|1.0` is written for Prometheus 2 and 3.
                if matcher.is_match(&written) {
                    continue;
                }
                let message =
                    format!("`{matcher}` matches nothing: Prometheus 3 writes the bound {one} as `{written}`");
                return Some(report(message).help(format!("write `{written}`")));
            }
            if !domain.allows(&written) {
                let message = format!("`{matcher}` matches nothing: {} has no bucket with the bound {one}", self.name);
                return Some(report(message).help(nearest_bounds(domain, bound)));
            }
        }
        let dead = domain.known().is_some_and(|values| !values.iter().any(|value| matcher.is_match(value)));
        dead.then(|| {
            let message = format!("`{matcher}` matches nothing: the bounds of {} are {domain}", self.name);
            report(message).help("match one of the bounds")
        })
    }
}

/// The values that the label has in any of the series.
fn domain_of(series: &[&Labels], name: &str) -> Domain {
    let mut domains = series.iter().filter_map(|labels| match labels.get(name) {
        Some(label) => Some(label.domain.clone()),
        None => (labels.carries(name) == Carried::Perhaps).then_some(Domain::Any),
    });
    let first = domains.next().unwrap_or_default();
    domains.fold(first, |all, domain| all.union(&domain))
}

fn nearest_bounds(domain: &Domain, wanted: f64) -> String {
    let values = domain.known().into_iter().flatten().filter_map(|value| value.parse().ok());
    let bounds: Vec<f64> = values.collect();
    let below = bounds.iter().copied().filter(|bound| *bound < wanted).fold(f64::NEG_INFINITY, f64::max);
    let above = bounds.iter().copied().filter(|bound| *bound > wanted).fold(f64::INFINITY, f64::min);
    let written = |bound: f64| format!("`{}`", bucket_bound(bound));
    match below.is_finite() {
        true => format!("the nearest bounds are {} and {}", written(below), written(above)),
        false => format!("the lowest bound is {}", written(above)),
    }
}

/// `did you mean …?` where one is near, else all there are.
fn help_of(what: &str, wanted: &str, known: &[&str]) -> String {
    let mut known: Vec<&str> = known.to_vec();
    known.sort_unstable();
    known.dedup();
    let near = known.iter().map(|one| (strsim::levenshtein(one, wanted), *one)).min();
    match near {
        Some((distance, near)) if distance <= wanted.len() / 3 => format!("did you mean `{near}`?"),
        Some(_) if known.len() <= 15 => format!("the {what}s are {}", known.join(", ")),
        _ => format!("the metric contract says which {what}s there are"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{finds, of_alert, of_dashboard, of_rules};

    #[track_caller]
    fn says(expr: &str, message: &str) {
        assert_eq!(of_alert(expr), [message], "{expr}");
    }

    #[test]
    fn a_label_that_no_series_has_is_named() {
        says(
            "rate(runs_total{queue=\"a\"}[5m]) > 1",
            "query/unknown-label: `queue=\"a\"` matches nothing: runs_total has no label queue",
        );
        says(
            "rate(runs_total{queue!=\"a\"}[5m]) > 1",
            "query/unknown-label: `queue!=\"a\"` excludes nothing: runs_total has no label queue",
        );
        finds("rate(runs_total{queue=\"\", zone=~\".*\"}[5m]) > 1", &[]);
        finds("up{job=\"kube-state-metrics\", pod=\"a\"} == 0", &["query/unknown-label"]);
        finds("up{pod=\"a\"} == 0", &[]);
        finds("rate(runs_total{namespace=~\"$namespace\"}[5m]) > 1", &[]);
    }

    /// A hidden variable is for installations that have the label: Kubernetes' own dashboards ask for `$cluster` so.
    #[test]
    fn a_label_that_is_compared_with_a_variable_must_be_there() {
        let found = |label: &str, hide: u8| {
            let board = format!(
                r#"{{"uid": "b", "title": "B", "schemaVersion": 41,
                "templating": {{"list": [{{"name": "x", "type": "custom", "query": "a,b", "hide": {hide}}}]}},
                "panels": [{{"id": 1, "type": "stat", "title": "P", "targets": [{{"refId": "A", "expr": "sum(up{{{label}=\"$x\"}})"}}]}}]}}"#
            );
            let found = of_dashboard(&board).into_iter();
            found.map(|finding| finding.check).filter(|check| check.starts_with("query/")).collect::<Vec<_>>()
        };
        assert_eq!(found("instances", 0), ["query/unknown-label"]);
        assert_eq!(found("instance", 0), [""; 0]);
        assert_eq!(found("cluster", 2), [""; 0]);
    }

    #[test]
    fn gorax_g3_a_value_that_is_never_emitted_is_named() {
        says(
            "sum(rate(runs_total{status=\"completed\"}[5m])) > 1",
            "query/impossible-value: `status=\"completed\"` matches nothing: the contract declares status of runs_total as error, failed or success",
        );
        says(
            "sum(rate(requests_total{code=~\"600|7[0]{2}0\"}[5m])) > 1",
            "query/impossible-value: `600` in `code=~\"600|7[0]{2}0\"` matches nothing: the contract declares code of requests_total as what matches [1-5][0-9][0-9]",
        );
        finds("sum(rate(requests_total{code=~\"600|700\"}[5m])) > 1", &["query/impossible-value"]);
        finds("sum(rate(requests_total{code=~\"4..|5..\"}[5m])) > 1", &[]);
        finds("rate(runs_total{status=\"failed\", status=\"error\"}[5m]) > 1", &["query/impossible-value"]);
        finds("rate(runs_total{status=\"\"}[5m]) > 1", &["query/impossible-value"]);
        finds("environment_info{deployment=~\"\"} > 1", &["query/constant-result"]);
    }

    #[test]
    fn a_dead_part_is_a_warning() {
        says(
            "sum(rate(runs_total{status=~\"^(failed|done)$\"}[5m])) > 1",
            "query/impossible-value: `done` in `status=~\"^(failed|done)$\"` matches nothing: the contract declares status of runs_total as error, failed or success",
        );
        for expr in ["status!=\"done\"", "status!~\"done|lost\"", "tenant!=\"a\""] {
            finds(&format!("sum(rate(runs_total{{{expr}}}[5m])) > 1"), &["query/impossible-value"]);
        }
        for expr in
            ["status!=\"\"", "status=~\".+\"", "status!~\"success|done\"", "status=~\"failed|\"", "tenant=~\"a.*|1\""]
        {
            finds(&format!("sum(rate(runs_total{{{expr}}}[5m])) > 1"), &[]);
        }
    }

    #[test]
    fn gorax_g7_a_job_that_does_not_expose_the_metric_is_named() {
        says(
            "rate(runs_total{job=\"worker\"}[5m]) > 1",
            "query/wrong-job: `job=\"worker\"` matches nothing: runs_total comes from api",
        );
        finds("up{job=~\"worker|api\"} == 0", &[]);
        finds("up{job=~\"worker.*\"} == 0", &["query/wrong-job"]);
        finds("up{job!=\"api\"} == 0", &[]);
        finds("memory_bytes{job!~\"worker|queue\"} > 5", &[]);
    }

    #[test]
    fn a_bound_is_one_of_the_histogram_as_prometheus_3_writes_it() {
        says(
            "sum(rate(duration_seconds_bucket{le=\"1\"}[5m])) > 1",
            "query/unknown-bucket: `le=\"1\"` matches nothing: Prometheus 3 writes the bound 1 as `1.0`",
        );
        says(
            "sum(rate(duration_seconds_bucket{le=\"0.3\"}[5m])) > 1",
            "query/unknown-bucket: `le=\"0.3\"` matches nothing: duration_seconds_bucket has no bucket with the bound 0.3",
        );
        finds("sum(rate(duration_seconds_bucket{le=\"1.0\"}[5m])) > 1", &[]);
        finds("sum(rate(duration_seconds_bucket{le=~\"1|1.0\"}[5m])) > 1", &[]);
        finds("sum(rate(duration_seconds_bucket{le=\"+Inf\"}[5m])) > 1", &[]);
        finds("max(latency_seconds{quantile=\"1\"}) > 1", &["query/unknown-bucket"]);
        finds("max(latency_seconds{quantile=\"0.99\"}) > 1", &[]);
    }

    #[test]
    fn a_label_that_a_recording_rule_drops_is_not_reported_here() {
        let record = "      - {record: \"job:runs:rate5m\", expr: \"sum by (job, status) (rate(runs_total[5m]))\"}\n";
        let found = |matcher: &str| {
            let alert =
                format!("      - {{alert: A, expr: 'job:runs:rate5m{{{matcher}}} > 1', labels: {{severity: info}}}}\n");
            let found = of_rules(&format!("{record}{alert}"));
            found.iter().map(|finding| finding.check).filter(|check| check.starts_with("query/")).collect::<Vec<_>>()
        };
        assert_eq!(found("pod=\"a\""), [""; 0]);
        assert_eq!(found("status=\"done\""), ["query/impossible-value"]);
        assert_eq!(found("job=\"worker\""), ["query/wrong-job"]);
    }
}
