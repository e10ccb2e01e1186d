//! `route/unreachable`: no alert comes to a route, because its matchers match none or because earlier routes take those
//! that do; or alerts that look as if they had a route fall to the default receiver.

use std::collections::BTreeMap;

use super::{Alert, Context, names};
use crate::alertmanager::matcher::{self, Matcher, Operator};
use crate::alertmanager::{Certainty, Route};
use crate::finding::Finding;

const CHECK: &str = "route/unreachable";

pub(super) fn check(context: &Context<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    within(context, &[&context.config.root], &[], &mut findings);
    findings.extend(fallen(context));
    findings
}

/// Checks the routes within the last of `chain`, which leads there from the root. `earlier` are the routes on the way
/// that take alerts away before they come there. What is unreachable is not looked into.
fn within<'a>(context: &Context<'a>, chain: &[&'a Route], earlier: &[&'a Route], findings: &mut Vec<Finding>) {
    let mut earlier = earlier.to_vec();
    for route in chain.iter().last().into_iter().flat_map(|last| &last.routes) {
        let chain: Vec<&Route> = chain.iter().copied().chain([route]).collect();
        match unreachable(context, &chain, &earlier) {
            Some(finding) => findings.push(finding),
            None => within(context, &chain, &earlier, findings),
        }
        if !route.continues {
            earlier.push(route);
        }
    }
}

fn unreachable(context: &Context<'_>, chain: &[&Route], earlier: &[&Route]) -> Option<Finding> {
    let route = chain.last()?;
    let matchers: Vec<&Matcher> = chain.iter().flat_map(|route| &route.matchers).collect();
    let error = |message: String| context.error(route.line, CHECK, &route.path, message);
    let Some(any) = matcher::satisfying(matchers.iter().copied()) else {
        let message = format!("no alert can match {} at once", matcher::quote(&matchers));
        return Some(error(message).help("one of the matchers is too much, here or on a route around this one"));
    };
    let takes = |labels| earlier.iter().find(move |route| route.certainty(labels) == Certainty::Always).copied();
    if let Some(taker) = takes(&any) {
        let message = format!("every alert that matches here is taken before by {}", place(taker));
        return Some(error(message).help(way_out(&[taker])));
    }
    let is_reached = context.traffic.get(route.path.as_str()).is_some_and(|traffic| !traffic.entered.is_empty());
    if is_reached || context.alerts.is_empty() {
        return None;
    }
    let matching: Vec<&Alert<'_>> = context.alerts.iter().filter(|alert| alert.may_match(&matchers)).collect();
    if matching.is_empty() {
        let (why, help) = context.why_none(&matchers);
        return Some(error(why).warning().help(help));
    }
    let mut takers: Vec<&Route> = matching.iter().flat_map(|alert| &alert.sets).filter_map(takes).collect();
    takers.sort_by_key(|taker| taker.line);
    takers.dedup_by_key(|taker| &taker.path);
    let places: Vec<String> = takers.iter().map(|taker| place(taker)).collect();
    let (alerts, places) = (names(&matching), places.join(" and "));
    Some(error(format!("earlier routes take all that would match here, {alerts}: {places}")).help(way_out(&takers)))
}

/// `route.routes[1] (line 9)`
fn place(route: &Route) -> String {
    format!("{} (line {})", route.path, route.line)
}

fn way_out(takers: &[&Route]) -> String {
    let paths: Vec<&str> = takers.iter().map(|taker| taker.path.as_str()).collect();
    let first = paths.first().copied().unwrap_or_default();
    format!("move this route above {first}, or set `continue: true` on {}", paths.join(" and "))
}

/// Alerts that surely fall to the default receiver, where that looks like an oversight: it notifies nobody, or the
/// routes go by the values of a label and leave out the alert's.
fn fallen(context: &Context<'_>) -> Vec<Finding> {
    let root = &context.config.root;
    let surely = context.traffic.get(root.path.as_str()).map_or(&[] as &[&Alert<'_>], |traffic| &traffic.surely);
    if root.routes.is_empty() || surely.is_empty() {
        return Vec::new();
    }
    let default = &root.receiver;
    let is_silent = context.config.receiver(default).is_some_and(|receiver| receiver.integrations == 0);
    let warning = |message: String| context.error(root.line, CHECK, &root.path, message).warning();
    if is_silent {
        // That nobody is told of these is what they are for.
        let quiet = |alert: &&&Alert<'_>| !matches!(alert.value_of("severity"), Some("none" | "info"));
        let unheard: Vec<&Alert<'_>> = surely.iter().filter(quiet).copied().collect();
        if unheard.is_empty() {
            return Vec::new();
        }
        let message = format!("no route takes {}: the default receiver `{default}` notifies nobody", names(&unheard));
        return vec![warning(message).help("add a route that takes them, or give the default receiver an integration")];
    }
    let left_out = left_out(&root.routes, surely);
    let findings = left_out.into_iter().map(|((label, value), alerts)| {
        let message = format!(
            "routes go by {label}, and none takes `{label}={value:?}`: {} fall to the default receiver `{default}`",
            names(&alerts)
        );
        warning(message).help(format!("add a route with `{label}={value:?}`, also if it leads to `{default}`"))
    });
    findings.collect()
}

/// The alerts whose value of a label no route names, where routes name several others; by label and value. Of several
/// such labels the first counts.
fn left_out<'a>(routes: &'a [Route], alerts: &[&'a Alert<'a>]) -> BTreeMap<(&'a str, &'a str), Vec<&'a Alert<'a>>> {
    let mut named: Vec<(&str, Vec<&str>)> = Vec::new();
    for matcher in routes.iter().flat_map(|route| &route.matchers) {
        let is_positive = matches!(matcher.operator, Operator::Equal | Operator::Matches);
        // Single alerts get routes of their own, which says nothing of the others.
        if !is_positive || matcher.name == "alertname" {
            continue;
        }
        // An expression may be meant to take any value.
        let values = matcher.named().unwrap_or_default();
        match named.iter_mut().find(|(label, _)| *label == matcher.name) {
            Some((_, known)) => known.extend(values),
            None => named.push((&matcher.name, values)),
        }
    }
    named.iter_mut().for_each(|(_, values)| {
        values.sort_unstable();
        values.dedup();
    });
    let mut left_out: BTreeMap<(&str, &str), Vec<&Alert<'_>>> = BTreeMap::new();
    for alert in alerts {
        let found = named.iter().find_map(|(label, values)| {
            let value = alert.value_of(label)?;
            (values.len() > 1 && value != "none" && !values.contains(&value)).then_some((*label, value))
        });
        if let Some(found) = found {
            left_out.entry(found).or_default().push(alert);
        }
    }
    left_out
}

#[cfg(test)]
mod tests {
    use super::super::testing::{findings, finds};

    /// Alerts that only differ in their labels.
    const ALERTS: &[(&str, &str)] = &[
        ("A", "severity: critical, component: api"),
        ("B", "severity: warning, component: database"),
        ("C", "severity: warning, team: core"),
    ];

    fn config(routes: &str) -> String {
        format!(
            "route:
  receiver: default
  routes:
{routes}
receivers:
  - {{name: default, webhook_configs: [{{url: 'http://x'}}]}}
  - {{name: none}}
"
        )
    }

    #[test]
    fn a_route_behind_those_that_take_its_alerts_is_found() {
        let routes = "    - matchers: [severity=critical]
    - matchers: [severity=warning]
    - matchers: [component=database]";
        let found = findings(&config(routes), ALERTS);
        assert_eq!(found.len(), 1, "{found:#?}");
        assert_eq!(
            found[0].to_string(),
            "a.yml:6: error: route/unreachable: route route.routes[2]: earlier routes take all that would match here, B: \
             route.routes[1] (line 5)\n  help: move this route above route.routes[1], or set `continue: true` on \
             route.routes[1]"
        );
        finds(&config(&routes.replace("warning]", "warning]\n      continue: true")), ALERTS, &[]);
    }

    #[test]
    fn a_route_behind_a_wider_one_is_found_without_any_alert() {
        let routes = "    - matchers: [severity=~critical|warning]
    - matchers: [severity=warning, component=database]";
        finds(
            &config(routes),
            &[],
            &["route/unreachable: every alert that matches here is taken before by route.routes[0] (line 4)"],
        );
        finds(&config("    - {}\n    - matchers: [a=b]"), &[], &["route/unreachable: every alert"]);
        finds(&config("    - continue: true\n    - matchers: [a=b]"), &[], &[]);
        finds(&config("    - matchers: [a=b, c=d]\n    - matchers: [a=b]"), &[], &[]);
    }

    #[test]
    fn what_a_route_around_takes_away_does_not_come_in() {
        let routes = "    - matchers: [severity=warning]
    - matchers: [component=~.+]
      routes:
        - matchers: [severity=critical]
        - matchers: [severity=warning]
          routes:
            - matchers: [team=core]";
        let expected = "route/unreachable: every alert that matches here is taken before by route.routes[0] (line 4)";
        finds(&config(routes), ALERTS, &[expected]);
        let routes = "    - matchers: [severity=warning]
      routes:
        - matchers: [severity=critical]";
        finds(
            &config(routes),
            &[],
            &["route/unreachable: no alert can match `severity=\"warning\"` and `severity=\"critical\"` at once"],
        );
    }

    #[test]
    fn matchers_that_match_no_alert_say_why() {
        for (matchers, why, help) in [
            ("tem=core", "`tem=\"core\"` matches no alert: none carries the label `tem`", "did you mean `team`?"),
            (
                "severity=critcal",
                "`severity=\"critcal\"` matches no alert: severity is critical or warning",
                "did you mean `critical`?",
            ),
            (
                "severity=critical, team=core",
                "no alert matches `severity=\"critical\"` and `team=\"core\"` at once",
                "",
            ),
        ] {
            let found = findings(&config(&format!("    - matchers: [\"{matchers}\"]")), ALERTS);
            assert_eq!(found.len(), 1, "{found:#?}");
            assert_eq!((found[0].message.as_str(), found[0].help.as_str()), (why, help));
            assert_eq!(found[0].severity, crate::Severity::Warning);
        }
    }

    #[test]
    fn labels_that_prometheus_may_add_and_alerts_of_the_stack_reach_their_routes() {
        finds(
            &config("    - matchers: [cluster=eu]\n    - matchers: [alertname=Watchdog]\n      receiver: none"),
            ALERTS,
            &[],
        );
        finds(&config("    - matchers: [alertname=InfoInhibitor]\n    - matchers: [severity!=critical]"), ALERTS, &[]);
    }

    #[test]
    fn a_severity_without_a_route_falls_to_the_default() {
        let routes =
            "    - matchers: [severity=critical]\n    - matchers: [severity=error]\n    - matchers: [severity=page]";
        let found = findings(&config(routes), ALERTS);
        assert_eq!(
            found[0].message,
            "routes go by severity, and none takes `severity=\"warning\"`: B and C fall to the default receiver `default`"
        );
        // One value apart and a default for the rest is how a default is meant.
        finds(&config("    - matchers: [severity=critical]"), ALERTS, &[]);
        finds(&config("    - matchers: [severity=critical]\n    - matchers: [severity=~warn.*]"), ALERTS, &[]);
    }

    #[test]
    fn a_default_that_notifies_nobody_is_no_place_for_warnings() {
        let silent = |routes: &str| config(routes).replace("receiver: default", "receiver: none");
        let found = findings(&silent("    - matchers: [severity=critical]\n      receiver: default"), ALERTS);
        assert_eq!(found[0].message, "no route takes B and C: the default receiver `none` notifies nobody");
        let quiet = &[("A", "severity: info"), ("B", "severity: none"), ("C", "severity: critical")];
        finds(&silent("    - matchers: [severity=critical]\n      receiver: default"), quiet, &[]);
        // Led there by a route, they are meant to go there.
        finds(&silent("    - matchers: [severity=~.+]\n      receiver: none"), ALERTS, &[]);
    }

    #[test]
    fn an_exception_is_about_its_own_route() {
        let routes = "    # rulecheck: allow route/unreachable: their alerts come next year
    - matchers: [a=b]
    # rulecheck: allow route/unreachable: nothing
    - matchers: [severity=critical]";
        let found = findings(&config(routes), ALERTS);
        assert_eq!(found.iter().map(|it| (it.line, it.check)).collect::<Vec<_>>(), [(6, "exception/unused")]);
    }
}
