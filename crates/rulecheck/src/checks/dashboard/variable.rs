//! `dashboard/variable`: a variable that nobody defines or uses, that has no values, or that holds several where the
//! query compares with one.

use std::collections::{BTreeMap, BTreeSet};

use promql_parser::label::MatchOp;
use promql_parser::parser::Expr;

use super::undefined;
use super::{Purpose, Query};
use crate::dashboard::{Dashboard, Definition, Variable, references};
use crate::finding::Finding;
use crate::infer::{Carried, has_variable};
use crate::query::selectors;

pub(super) const CHECK: &str = "dashboard/variable";

pub(super) fn check(dashboard: &Dashboard, panels: &[Query<'_>], variables: &[Query<'_>]) -> Vec<Finding> {
    let mut findings = undefined::check(dashboard);
    findings.extend(variables.iter().filter_map(label));
    findings.extend(panels.iter().chain(variables).filter_map(|query| several(dashboard, query)));
    findings.extend(order(dashboard));
    let (unused, in_patterns) = (unused(dashboard), in_patterns(panels));
    let mut seen = BTreeSet::new();
    for variable in &dashboard.variables {
        let report = |message: String| about(dashboard, variable, message);
        if !seen.insert(variable.name.as_str()) {
            findings.push(report("a variable of this name is already defined".into()).help("rename one of the two"));
            continue;
        }
        if unused.contains(variable.name.as_str()) {
            let finding = report("nothing uses the variable".into()).warning();
            findings.push(finding.help("use it in a query, or take it out"));
            continue;
        }
        if variable.kind == "query" && variable.refresh == 0 {
            let message = "its values are never asked for, so they are those of the Grafana that it was saved in";
            let help = "set `refresh` to 2, on time range change, or to 1, on dashboard load";
            findings.push(report(message.into()).warning().help(help));
        }
        if !(variable.include_all && variable.kind == "query" && in_patterns.contains(variable.name.as_str())) {
            continue;
        }
        let narrowing = variable.uses.iter().find(|name| narrows(dashboard, variable, name));
        if let (Some(all), Some(narrowing)) = (&variable.all_value, narrowing) {
            let message = format!("`All` is `{all}` whatever ${narrowing} is, which no panel asks for itself");
            let help = format!("take `allValue` out, so that `All` lists what ${narrowing} leaves");
            findings.push(report(message).warning().help(help));
        }
        if variable.all_value.is_none() && narrowing.is_none() {
            let message =
                "`All` becomes a list of every value, and while there is none it selects only series without the label";
            findings.push(
                report(message.into())
                    .warning()
                    .help("set `allValue` to `.+`, or to `.*` where series may lack the label"),
            );
        }
    }
    findings.extend(no_datasource(dashboard));
    findings
}

fn about(dashboard: &Dashboard, variable: &Variable, message: String) -> Finding {
    Finding::error(&dashboard.path, variable.line, CHECK, message).about(variable.subject(dashboard))
}

/// `label_values` of a label that the series do not have. A hidden variable is for installations that have it: elsewhere its
/// value is empty, and what it is compared with has no such label either.
fn label(query: &Query<'_>) -> Option<Finding> {
    let Purpose::Variable(variable) = query.purpose else { return None };
    let Definition::LabelValues(_, label) = &variable.definition else { return None };
    let mut arms = query.node.alive().peekable();
    let first = *arms.peek()?;
    if variable.hidden
        || label == "__name__"
        || has_variable(label)
        || arms.any(|arm| arm.labels.carries(label) != Carried::Never)
    {
        return None;
    }
    let message = format!("the variable has no values: {}", first.labels.why_never(label));
    let there: Vec<&str> = first.labels.iter().map(|(name, _)| name.as_ref()).collect();
    let help = format!("ask for a label that is there: {}", there.join(", "));
    Some(query.error(CHECK, message).help(help))
}

/// `=` with a variable that can hold several values: it compares with all of them at once, as one text.
fn several(dashboard: &Dashboard, query: &Query<'_>) -> Option<Finding> {
    let repeats: &[String] = match query.purpose {
        Purpose::Panel(_, of_panel) => dashboard.target(of_panel).map_or(&[], |(panel, _)| &panel.repeats),
        _ => &[],
    };
    let matchers = selectors(query.node.expr).into_iter().flat_map(|selector| &selector.matchers.matchers);
    for matcher in matchers {
        let (operator, right) = match matcher.op {
            MatchOp::Equal => ("=", "=~"),
            MatchOp::NotEqual => ("!=", "!~"),
            _ => continue,
        };
        let used = references(&matcher.value).into_iter().find(|reference| {
            let many = dashboard.variable(reference.name).is_some_and(Variable::is_many);
            many && !repeats.iter().any(|repeat| repeat == reference.name)
        });
        if let Some(reference) = used {
            let (label, value) = (&matcher.name, &matcher.value);
            let message = format!(
                "`{label}{operator}\"{value}\"` compares with one value, and ${} can hold several or all",
                reference.name
            );
            return Some(query.error(CHECK, message).help(format!("write `{label}{right}\"{value}\"`")));
        }
    }
    None
}

/// Variables that wait for each other, and those that stand before what they depend on.
fn order(dashboard: &Dashboard) -> Vec<Finding> {
    let places: BTreeMap<&str, usize> =
        dashboard.variables.iter().enumerate().map(|(index, variable)| (variable.name.as_str(), index)).collect();
    let waiting = waiting(dashboard, &places);
    let mut findings = Vec::new();
    for (index, variable) in dashboard.variables.iter().enumerate() {
        let needs = || variable.uses.iter().filter_map(|name| places.get_key_value(name.as_str()));
        if waiting.contains(&index) {
            if let Some((name, _)) = needs().find(|(_, place)| waiting.contains(place)) {
                let message = format!("its values wait for those of ${name}, which wait for its own");
                findings.push(about(dashboard, variable, message).help("take one of the two out of the other's query"));
            }
        } else if let Some((name, _)) = needs().find(|(_, place)| **place > index) {
            let message = format!("it stands before ${name}, on which its values depend");
            findings.push(
                about(dashboard, variable, message).warning().help("people choose from left to right: put it behind"),
            );
        }
    }
    findings
}

/// The variables whose values depend on their own, directly or by others.
fn waiting(dashboard: &Dashboard, places: &BTreeMap<&str, usize>) -> BTreeSet<usize> {
    let variables = &dashboard.variables;
    let needs = |variable: &Variable| -> Vec<usize> {
        variable.uses.iter().filter_map(|name| places.get(name.as_str()).copied()).collect()
    };
    let mut users: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    let mut open: Vec<usize> = Vec::new();
    for (index, variable) in variables.iter().enumerate() {
        let needs = needs(variable);
        open.push(needs.len());
        needs.into_iter().for_each(|need| users.entry(need).or_default().push(index));
    }
    // What needs nothing is done; whatever needed only that is done next.
    let mut done: Vec<usize> = (0..variables.len()).filter(|index| open[*index] == 0).collect();
    while let Some(index) = done.pop() {
        for user in users.remove(&index).unwrap_or_default() {
            open[user] -= 1;
            if open[user] == 0 {
                done.push(user);
            }
        }
    }
    (0..variables.len()).filter(|index| open[*index] > 0).collect()
}

/// The variables that nothing here uses and nothing else can.
fn unused(dashboard: &Dashboard) -> BTreeSet<&str> {
    let mut links = dashboard.links.iter().chain(dashboard.panels.iter().flat_map(|panel| &panel.links));
    // A link may hand all of them on to where they are used.
    if links.any(|link| link.includes_variables) || dashboard.used.contains("__all_variables") {
        return BTreeSet::new();
    }
    // Beside panels that name a data source of their own, the remedy is there; filters work by themselves.
    let bypassed = dashboard.panels.iter().any(|panel| panel.datasource.fixed().is_some());
    let works = |variable: &&Variable| match variable.kind.as_str() {
        "adhoc" | "groupby" => true,
        "datasource" => bypassed,
        _ => false,
    };
    let names = dashboard.variables.iter().filter(|variable| !works(variable)).map(|variable| variable.name.as_str());
    names.filter(|name| !dashboard.used.contains(*name)).collect()
}

/// The variables that matchers with a regular expression use.
fn in_patterns<'a>(panels: &'a [Query<'_>]) -> BTreeSet<&'a str> {
    let exprs = panels.iter().map(|query| query.node.expr);
    let matchers = exprs.flat_map(|expr: &Expr| selectors(expr)).flat_map(|selector| &selector.matchers.matchers);
    let patterns = matchers.filter(|matcher| matches!(matcher.op, MatchOp::Re(_)));
    patterns.flat_map(|matcher| references(&matcher.value)).map(|reference| reference.name).collect()
}

/// Whether a variable has an effect on the panels only by the values that it leaves to another one.
fn narrows(dashboard: &Dashboard, to: &Variable, name: &str) -> bool {
    let is_chosen = dashboard.variable(name).is_some_and(|variable| variable.kind != "datasource" && !variable.hidden);
    let mut asked = dashboard.queries.iter().flat_map(|query| references(&query.expr));
    is_chosen && name != to.name && !asked.any(|reference| reference.name == name)
}

/// Queries of whatever Prometheus happens to be Grafana's default.
fn no_datasource(dashboard: &Dashboard) -> Option<Finding> {
    let targets = || dashboard.panels.iter().flat_map(|panel| &panel.targets).filter(|target| target.expr.is_some());
    let has_variable = dashboard.variables.iter().any(|variable| variable.kind == "datasource");
    if has_variable || !targets().any(|target| target.datasource.is_default()) {
        return None;
    }
    let message = "no variable chooses the data source, so the queries go to whatever is Grafana's default";
    let help = "add a variable of type `datasource` with query `prometheus`, and `\"datasource\": {\"type\": \"prometheus\", \"uid\": \"${datasource}\"}` to the panels";
    Some(Finding::error(&dashboard.path, dashboard.title_line, CHECK, message).warning().help(help))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{board, found, panel};

    const NAMESPACE: &str = r#"{"name": "ns", "type": "query", "refresh": 2, "query": "label_values(up{job=\"api\"}, namespace)", "allValue": ".+", "includeAll": true, "multi": true}"#;

    /// What is found about these variables, with a panel that uses `$ns`.
    #[track_caller]
    fn variables(variables: &str, expected: &str) {
        let panel = panel("stat", "sum(up{namespace=~\"$ns\"})", "", "");
        let found = found(&board(variables, &panel));
        match expected {
            "" => assert_eq!(found, [""; 0], "{variables}"),
            _ => assert!(
                found.len() == 1 && found[0].starts_with(&format!("dashboard/variable: {expected}")),
                "{variables}\n{found:#?}"
            ),
        }
    }

    #[test]
    fn values_come_from_a_label_that_is_there() {
        variables(NAMESPACE, "");
        variables(&NAMESPACE.replace(", namespace)", ", tenant)"), "the variable has no values: up has no such label");
        variables(&NAMESPACE.replace("up{job=\\\"api\\\"}", "foreign"), "");
        // Kubernetes' own dashboards are written for one cluster and for many.
        variables(
            &NAMESPACE.replace(", namespace)", ", cluster)").replace("\"refresh\"", "\"hide\": 2, \"refresh\""),
            "",
        );
        variables(&NAMESPACE.replace("label_values(up{job=\\\"api\\\"}, namespace)", "label_values(namespace)"), "");
    }

    #[test]
    fn a_variable_has_values_whatever_is_chosen() {
        variables(&NAMESPACE.replace("\"refresh\": 2", "\"refresh\": 0"), "its values are never asked for");
        variables(&NAMESPACE.replace("\"allValue\": \".+\"", "\"allValue\": null"), "`All` becomes a list");
        let custom = r#"{"name": "ns", "type": "custom", "query": "a,b", "includeAll": true}"#;
        variables(custom, "");
    }

    /// `All` namespaces of a chosen environment are not all namespaces.
    #[test]
    fn what_another_variable_leaves_is_listed() {
        let environment = r#"{"name": "environment", "type": "query", "refresh": 2, "query": "label_values(up{job=\"api\"}, instance)", "allValue": ".+", "includeAll": true}"#;
        let narrowed = NAMESPACE.replace("{job=\\\"api\\\"}", "{job=\\\"api\\\", instance=~\\\"$environment\\\"}");
        let listed = narrowed.replace("\"allValue\": \".+\", ", "");
        variables(&format!("{environment},\n{narrowed}"), "`All` is `.+` whatever $environment is");
        variables(&format!("{environment},\n{listed}"), "");
        // What the panels ask for as well narrows them by itself.
        let both = panel("stat", "sum(up{namespace=~\"$ns\", instance=~\"$environment\"})", "", "");
        assert_eq!(found(&board(&format!("{environment},\n{narrowed}"), &both)), [""; 0]);
    }

    #[test]
    fn names_are_unique_and_used() {
        variables(&format!("{NAMESPACE},\n{NAMESPACE}"), "a variable of this name is already defined");
        let unused = r#"{"name": "x", "type": "custom", "query": "a,b"}"#;
        variables(&format!("{NAMESPACE},\n{unused}"), "nothing uses the variable");
        variables(&format!("{NAMESPACE},\n{}", unused.replace("custom", "adhoc")), "");
        let linked = board(&format!("{NAMESPACE},\n{unused}"), &panel("stat", "sum(up{namespace=~\"$ns\"})", "", ""));
        let linked =
            linked.replacen("\"panels\"", "\"links\": [{\"url\": \"/d/board\", \"includeVars\": true}], \"panels\"", 1);
        assert_eq!(found(&linked), [""; 0]);
    }

    #[test]
    fn variables_stand_behind_what_they_depend_on() {
        let pod = r#"{"name": "pod", "type": "query", "refresh": 2, "query": "label_values(up{job=\"api\", namespace=~\"$ns\"}, pod)"}"#;
        let uses = panel("stat", "sum(up{namespace=~\"$ns\", pod=\"$pod\"})", "", "");
        assert_eq!(found(&board(&format!("{NAMESPACE},\n{pod}"), &uses)), [""; 0]);
        let turned = found(&board(&format!("{pod},\n{NAMESPACE}"), &uses));
        assert_eq!(turned, ["dashboard/variable: it stands before $ns, on which its values depend"]);
        let circle = NAMESPACE.replace("{job=\\\"api\\\"}", "{pod=\\\"$pod\\\"}");
        let waiting = found(&board(&format!("{circle},\n{pod}"), &uses));
        assert!(
            waiting.len() == 2 && waiting.iter().all(|text| text.contains("its values wait for those of")),
            "{waiting:?}"
        );
    }

    #[test]
    fn several_values_need_a_regular_expression() {
        let of = |matcher: &str, members: &str| {
            found(&board(NAMESPACE, &panel("stat", &format!("sum(up{{{matcher}}})"), "", members)))
        };
        let expected =
            "dashboard/variable: `namespace=\"$ns\"` compares with one value, and $ns can hold several or all";
        assert_eq!(of("namespace=\"$ns\"", ""), [expected]);
        assert_eq!(of("namespace!=\"${ns}\"", "").len(), 1);
        assert_eq!(of("namespace=~\"${ns:regex}\"", ""), [""; 0]);
        assert_eq!(of("namespace=\"$ns\"", r#", "repeat": "ns""#), [""; 0]);
    }

    #[test]
    fn a_dashboard_chooses_its_data_source() {
        let panel = panel("stat", "sum(up)", "", "")
            .replace(r#""datasource": {"type": "prometheus", "uid": "${datasource}"}"#, "\"x\": 1");
        let board =
            board("", &panel).replace(r#"{"name": "datasource", "type": "datasource", "query": "prometheus"}"#, "");
        assert!(found(&board)[0].starts_with("dashboard/variable: no variable chooses the data source"));
    }
}
