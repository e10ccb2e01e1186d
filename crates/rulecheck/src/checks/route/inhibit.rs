//! `route/inhibit`: an inhibition rule that silences nothing, because no alert is its source or its target or because
//! both never agree in a label of `equal`; or one that silences too much, because nothing ties both together.

mod sides;

use std::collections::BTreeSet;

use super::{Alert, Context, names};
use crate::alertmanager::InhibitRule;
use crate::alertmanager::matcher::{self, Certainty, Matcher, Operator};
use crate::finding::Finding;
use crate::infer::Carried;
use sides::{Side, Sides};

const CHECK: &str = "route/inhibit";

/// What is wrong, and what to do about it.
type Problem = (String, String);

pub(super) fn check(context: &Context<'_>) -> Vec<Finding> {
    context.config.inhibit_rules.iter().filter_map(|rule| one(context, rule)).collect()
}

fn one(context: &Context<'_>, rule: &InhibitRule) -> Option<Finding> {
    let error = |(message, help): Problem| context.error(rule.line, CHECK, &rule.path, message).help(help);
    if covers(&rule.source, &rule.target) && covers(&rule.target, &rule.source) {
        return Some(error(both_sides()));
    }
    if context.alerts.is_empty() {
        return None;
    }
    for (side, matchers) in [("source", &rule.source), ("target", &rule.target)] {
        let matchers: Vec<&Matcher> = matchers.iter().collect();
        if !context.alerts.iter().any(|alert| alert.may_match(&matchers)) {
            let (why, help) = context.why_none(&matchers);
            return Some(error((format!("it silences nothing, for want of a {side}: {why}"), help)).warning());
        }
    }
    let sides = Sides::new(rule, context.alerts);
    if !sides.can_meet() {
        return Some(error(both_sides()));
    }
    let outcome = sides.outcome();
    let lacking = outcome.lacking.iter().max_by_key(|(_, lack)| lack.targets.len());
    if !outcome.some_agree {
        let finding = match lacking {
            Some((label, lack)) => error(on_one_side(&sides, "it silences nothing", label, lack)),
            None => no_agreement(&sides, error),
        };
        return Some(finding);
    }
    let partly = lacking.map(|(label, lack)| {
        let what = format!("it never silences {}", names(&lack.targets));
        on_one_side(&sides, &what, label, lack)
    });
    too_broad(context, &sides).or(partly).map(|problem| error(problem).warning())
}

/// Whether everything that matches the first matches the second.
fn covers(from: &[Matcher], to: &[Matcher]) -> bool {
    matcher::satisfying(from).is_some_and(|labels| matcher::certainty(to, &labels) == Certainty::Always)
}

fn both_sides() -> Problem {
    let message = "it silences nothing: all its sources are targets, too, and Alertmanager does not let alerts that \
                   are both silence each other";
    (message.to_owned(), "give the source and the target different matchers, such as two severities".to_owned())
}

/// Targets and sources of which only one side has a label of `equal`.
fn on_one_side(sides: &Sides<'_>, what: &str, label: &str, lack: &sides::Lack<'_>) -> Problem {
    let (having, lacking) = match lack.is_on_source {
        true => (lack.source, lack.target),
        false => (lack.target, lack.source),
    };
    let message = format!(
        "{what}: `{label}` of `equal` is on {} and not on {}, where {}",
        having.alert.name,
        lacking.alert.name,
        lacking.labels.why_never(label)
    );
    let help = match shared(sides) {
        Some(shared) => format!("compare by labels that both have, such as {shared}"),
        None => format!("keep `{label}` in the expression of {}", lacking.alert.name),
    };
    (message, help)
}

/// No source and target have the same values in the labels of `equal`.
fn no_agreement(sides: &Sides<'_>, error: impl Fn(Problem) -> Finding) -> Finding {
    let rule = sides.rule;
    let Some(label) = rule.equal.iter().find(|label| !sides.can_agree_in(label)) else {
        let labels: Vec<String> = rule.equal.iter().map(|label| format!("`{label}`")).collect();
        let message = format!("it silences nothing: no source and target agree in {} at once", labels.join(", "));
        return error((message, "compare by fewer labels".to_owned()));
    };
    let example = |sides: &[Side<'_>]| {
        let values: BTreeSet<&str> = sides.iter().filter_map(|side| side.value_of(label)).collect();
        let first: Vec<&str> = values.iter().take(2).copied().collect();
        let more = if values.len() > 2 { format!(" and {} more", values.len() - 2) } else { String::new() };
        format!("{}{more}", first.join(", "))
    };
    let message = format!(
        "it silences nothing: no source agrees with any target in `{label}` of `equal`: sources have {}, targets {}",
        example(&sides.sources),
        example(&sides.targets)
    );
    let others: Vec<String> = rule.equal.iter().filter(|other| *other != label).map(|it| format!("`{it}`")).collect();
    let help = match (others.is_empty(), shared(sides)) {
        (false, _) => format!("take `{label}` out, so that {} decides", others.join(" and ")),
        (true, Some(shared)) => format!("compare by labels that both have, such as {shared}"),
        (true, None) => format!("give both alerts a label with the same value, and compare by it instead of `{label}`"),
    };
    // A rule for severities of one name is right before the first pair of them is there.
    if label == "alertname" { error((message, help)).warning() } else { error((message, help)) }
}

/// Labels that every source and target has, and that no matcher of the rule asks for.
fn shared(sides: &Sides<'_>) -> Option<String> {
    let all = || sides.sources.iter().chain(&sides.targets);
    let asked: BTreeSet<&str> =
        sides.rule.source.iter().chain(&sides.rule.target).map(|matcher| matcher.name.as_str()).collect();
    let first = all().next()?;
    let names = first.labels.iter().map(|(name, _)| name.as_ref());
    let usable = names.filter(|name| {
        let is_new = !asked.contains(name)
            && !["alertname", "severity"].contains(name)
            && !sides.rule.equal.iter().any(|it| it == name);
        is_new && all().all(|side| side.labels.carries(name) == Carried::Always) && sides.can_agree_in(name)
    });
    let usable: Vec<String> = usable.map(|name| format!("`{name}`")).take(2).collect();
    (!usable.is_empty()).then(|| usable.join(" and "))
}

/// Sources that silence targets which they have nothing to do with.
fn too_broad(context: &Context<'_>, sides: &Sides<'_>) -> Option<Problem> {
    let rule = sides.rule;
    let names_alerts = |matcher: &Matcher| {
        matcher.name == "alertname" && matches!(matcher.operator, Operator::Equal | Operator::Matches)
    };
    // Where the target is named, or alerts silence those of their own name, the rule says itself what it means.
    if rule.target.iter().any(names_alerts) || rule.equal.iter().any(|label| label == "alertname") {
        return None;
    }
    if rule.equal.is_empty() {
        if rule.source.is_empty() || rule.target.is_empty() {
            return None;
        }
        let has_namespace = |side: &&Side<'_>| side.labels.carries("namespace") == Carried::Always;
        let source = sides.sources.iter().find(has_namespace)?;
        let target = sides.targets.iter().find(|target| has_namespace(target) && !source.is_kept_from(target))?;
        let message = format!(
            "without `equal`, {} in one namespace silences {} in every other",
            source.alert.name, target.alert.name
        );
        return Some((message, "add `equal: [namespace]`".to_owned()));
    }
    let lacks = |side: &Side<'_>, label: &str| side.labels.carries(label) == Carried::Never;
    let nowhere = |label: &&String| sides.sources.iter().chain(&sides.targets).all(|side| lacks(side, label));
    if let Some(label) = rule.equal.iter().find(nowhere) {
        let known = context.alerts.iter().flat_map(|alert| &alert.sets).flat_map(|labels| labels.iter());
        let message =
            format!("no source and no target carries `{label}` of `equal`, and what both lack counts as equal");
        return Some((message, super::did_you_mean(label, known.map(|(name, _)| name.as_ref()))));
    }
    let bare = |side: &&Side<'_>| rule.equal.iter().all(|label| lacks(side, label));
    let source = sides.sources.iter().find(bare)?;
    let differs = |target: &Side<'_>| !std::ptr::eq::<Alert<'_>>(target.alert, source.alert);
    let target = sides.targets.iter().find(|target| bare(target) && differs(target) && !source.is_kept_from(target))?;
    let labels: Vec<String> = rule.equal.iter().map(|label| format!("`{label}`")).collect();
    let message = format!(
        "any {} silences every {}: both lack {}, and what both lack counts as equal",
        source.alert.name,
        target.alert.name,
        labels.join(" and ")
    );
    let help = "compare by a label that all of them have, or ask for the label in the matchers, `label!=\"\"`";
    Some((message, help.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{findings, of_rules};

    /// The findings about one inhibition rule and these alerts, each as `severity: message (help)`.
    fn of(rule: &str, alerts: &[(&str, &str)]) -> Vec<String> {
        let config = format!("route: {{receiver: a}}\nreceivers: [{{name: a}}]\ninhibit_rules:\n  - {rule}\n");
        texts(findings(&config, alerts))
    }

    fn texts(findings: Vec<crate::Finding>) -> Vec<String> {
        let texts = findings.into_iter().map(|it| {
            assert_eq!((it.check, it.subject.as_str(), it.line), ("route/inhibit", "route inhibit_rules[0]", 4));
            format!("{}: {} ({})", it.severity, it.message, it.help)
        });
        texts.collect()
    }

    #[track_caller]
    fn is(rule: &str, alerts: &[(&str, &str)], expected: &[&str]) {
        let found = of(rule, alerts);
        let agree = found.len() == expected.len() && found.iter().zip(expected).all(|(a, b)| a.starts_with(b));
        assert!(agree, "{rule}\n{found:#?}\n{expected:#?}");
    }

    const BY_SEVERITY: &str =
        "{source_matchers: [severity=critical], target_matchers: [severity=warning], equal: [EQUAL]}";

    fn by_severity(equal: &str) -> String {
        BY_SEVERITY.replace("EQUAL", equal)
    }

    const PAIR: &[(&str, &str)] =
        &[("A", "severity: critical, component: api"), ("B", "severity: warning, component: api")];

    #[test]
    fn alerts_of_different_names_never_agree_in_alertname() {
        is(
            &by_severity("component, alertname"),
            PAIR,
            &[
                "warning: it silences nothing: no source agrees with any target in `alertname` of `equal`: sources have A, \
               targets B (take `alertname` out, so that `component` decides)",
            ],
        );
        is(&by_severity("component"), PAIR, &[]);
        is(&by_severity("alertname"), &[("A", "severity: critical"), ("A", "severity: warning")], &[]);
    }

    #[test]
    fn a_label_that_only_one_side_has_is_found() {
        let alerts = &[("A", "severity: critical, team: a, pod: x"), ("B", "severity: warning, team: a")];
        is(
            &by_severity("pod"),
            alerts,
            &[
                "error: it silences nothing: `pod` of `equal` is on A and not on B, where `sum` drops it (compare by labels \
               that both have, such as `team`)",
            ],
        );
        let more = [alerts.as_slice(), &[("C", "severity: warning, pod: x")]].concat();
        is(&by_severity("pod"), &more, &["warning: it never silences B: `pod` of `equal` is on A and not on B, where"]);
        is(&by_severity("team"), alerts, &[]);
        is(&by_severity("team, cluster"), alerts, &[]);
    }

    #[test]
    fn a_rule_without_sources_or_targets_says_why() {
        is(
            "{source_match: {severity: page}, target_match: {severity: warning}}",
            PAIR,
            &[
                "warning: it silences nothing, for want of a source: `severity=\"page\"` matches no alert: severity is critical or \
               warning ()",
            ],
        );
        is(
            "{source_match: {severity: critical}, target_match: {compnent: api}, equal: [component]}",
            PAIR,
            &[
                "warning: it silences nothing, for want of a target: `compnent=\"api\"` matches no alert: none carries the \
               label `compnent` (did you mean `component`?)",
            ],
        );
    }

    #[test]
    fn alerts_on_both_sides_do_not_silence_each_other() {
        for rule in [
            "{source_match: {a: b}, target_match: {a: b}}",
            "{source_match_re: {a: b|c}, target_matchers: [a=~b|c]}",
            "{}",
        ] {
            is(rule, &[], &["error: it silences nothing: all its sources are targets, too"]);
        }
        let alerts = &[("A", "severity: warning, team: a")];
        is(
            "{source_match: {severity: warning}, target_match: {team: a}}",
            alerts,
            &["error: it silences nothing: all its"],
        );
        is(
            "{source_match_re: {severity: critical|warning}, target_match: {severity: warning}, equal: [component]}",
            PAIR,
            &[],
        );
    }

    #[test]
    fn what_both_sides_lack_counts_as_equal() {
        is(
            &by_severity("componnt"),
            PAIR,
            &[
                "warning: no source and no target carries `componnt` of `equal`, and what both lack counts as equal (did you \
               mean `component`?)",
            ],
        );
        let alerts = &[("A", "severity: critical"), ("B", "severity: warning"), ("C", "severity: critical, pod: x")];
        is(
            &by_severity("pod"),
            alerts,
            &["warning: any A silences every B: both lack `pod`, and what both lack counts"],
        );
        is("{source_match: {severity: critical}, target_match: {alertname: B}, equal: [pod]}", &alerts[..2], &[]);
    }

    #[test]
    fn without_equal_other_namespaces_are_silenced_too() {
        let rules = "      - {alert: A, expr: 'up == 0', labels: {severity: critical}}
      - {alert: B, expr: 'memory_bytes > 1', labels: {severity: warning}}
";
        let config = |equal: &str| {
            let rule = BY_SEVERITY.replace(", equal: [EQUAL]", equal);
            format!("route: {{receiver: a}}\nreceivers: [{{name: a}}]\ninhibit_rules:\n  - {rule}\n")
        };
        assert_eq!(
            texts(of_rules(&config(""), rules)),
            ["warning: without `equal`, A in one namespace silences B in every other (add `equal: [namespace]`)"]
        );
        assert_eq!(texts(of_rules(&config(", equal: [namespace]"), rules)), [""; 0]);
    }

    #[test]
    fn the_rules_of_every_prometheus_stack_pass() {
        let alerts = &[
            ("KubeVolumeFull", "severity: critical, namespace: x"),
            ("KubeVolumeFull", "severity: warning, namespace: x"),
            ("Other", "severity: info, namespace: x"),
            ("Other", "severity: warning, namespace: x"),
            ("Node", "severity: critical"),
        ];
        for rule in [
            "source_matchers: ['severity = critical'], target_matchers: ['severity =~ warning|info'], equal: [namespace, alertname]",
            "source_matchers: ['severity = warning'], target_matchers: ['severity = info'], equal: [namespace, alertname]",
            "source_matchers: ['alertname = InfoInhibitor'], target_matchers: ['severity = info'], equal: [namespace]",
            "target_matchers: ['alertname = InfoInhibitor']",
        ] {
            is(&format!("{{{rule}}}"), alerts, &[]);
        }
    }
}
