//! An AlertmanagerConfig read as what it becomes in Alertmanager's configuration.

use anyhow::{Context as _, Result, ensure};
use serde_yaml::{Mapping, Value};

use super::SECRET;
use crate::test::rendered::text_at;

/// Fails where the AlertmanagerConfig's `spec` says something else than the configuration does.
pub(super) fn compare(spec: &Value, config: &Value) -> Result<()> {
    let routes = list(&config["route"]["routes"]);
    // Those that only the bundled stack has: the route of its own two alerts, and the rules for its alerts.
    let routes: Vec<Value> = routes.iter().skip(1).cloned().collect();
    let ours: Result<Vec<Value>> = list(&spec["route"]["routes"]).iter().map(route).collect();
    ensure!(ours? == routes, "routes differ: {}", serde_yaml::to_string(&spec["route"])?);
    for (ours, theirs) in [("groupBy", "group_by"), ("groupWait", "group_wait"), ("groupInterval", "group_interval")] {
        ensure!(spec["route"].get(ours) == config["route"].get(theirs), "{ours}");
    }
    let top = matchers(&spec["route"]["matchers"])?;
    ensure!(top == ["family!=\"\""], "it must take our alerts and nobody else's, not {top:?}");

    let rules: Result<Vec<Value>> = list(&spec["inhibitRules"]).iter().map(inhibition).collect();
    let (rules, theirs) = (rules?, list(&config["inhibit_rules"]));
    ensure!(rules.len() + 3 == theirs.len() && rules == theirs[..rules.len()], "inhibitions differ: {rules:#?}");

    let (ours, theirs) = (list(&spec["receivers"]), list(&config["receivers"]));
    ensure!(ours.len() == theirs.len(), "receivers differ");
    for (ours, theirs) in ours.iter().zip(theirs) {
        let ours = receiver(ours)?;
        ensure!(ours == *theirs, "{}\nis not\n{}", serde_yaml::to_string(&ours)?, serde_yaml::to_string(theirs)?);
    }
    let names = |list: &[Value]| list.iter().map(|it| text_at(it, "name").to_owned()).collect::<Vec<_>>();
    ensure!(names(list(&spec["muteTimeIntervals"])) == names(list(&config["time_intervals"])), "times differ");
    for (ours, theirs) in list(&spec["muteTimeIntervals"]).iter().zip(list(&config["time_intervals"])) {
        let spans: Vec<Value> = list(&ours["timeIntervals"]).iter().map(span).collect();
        ensure!(spans == list(&theirs["time_intervals"]), "times differ: {spans:#?}");
    }
    Ok(())
}

fn list(value: &Value) -> &[Value] {
    value.as_sequence().map_or(&[], Vec::as_slice)
}

/// `[{name, matchType, value}]` as `name="value"`.
fn matchers(value: &Value) -> Result<Vec<String>> {
    let one = |it: &Value| {
        let of = |key: &str| it.get(key).and_then(Value::as_str).with_context(|| format!("a matcher without {key}"));
        Ok(format!("{}{}{:?}", of("name")?, of("matchType")?, of("value")?))
    };
    list(value).iter().map(one).collect()
}

/// The object with other names of its keys, and its matchers as texts.
fn renamed(value: &Value, names: &[(&str, &str)]) -> Result<Mapping> {
    let mut map = Mapping::new();
    for (key, value) in value.as_mapping().into_iter().flatten() {
        let key = key.as_str().unwrap_or_default();
        let name = names.iter().find(|(ours, _)| *ours == key).map_or(key, |(_, theirs)| theirs);
        let value = if name.ends_with("matchers") { matchers(value)?.into() } else { value.clone() };
        map.insert(name.into(), value);
    }
    Ok(map)
}

fn route(value: &Value) -> Result<Value> {
    let names = [
        ("groupWait", "group_wait"),
        ("groupInterval", "group_interval"),
        ("repeatInterval", "repeat_interval"),
        ("muteTimeIntervals", "mute_time_intervals"),
        ("activeTimeIntervals", "active_time_intervals"),
    ];
    Ok(renamed(value, &names)?.into())
}

fn inhibition(value: &Value) -> Result<Value> {
    Ok(renamed(value, &[("sourceMatch", "source_matchers"), ("targetMatch", "target_matchers")])?.into())
}

/// A receiver, its credential as the file that the full edition has.
fn receiver(value: &Value) -> Result<Value> {
    let kinds =
        ["pagerduty", "slack", "email", "webhook"].map(|kind| (format!("{kind}Configs"), format!("{kind}_configs")));
    let mut map = Mapping::new();
    for (key, value) in value.as_mapping().into_iter().flatten() {
        let Some((_, kind)) = kinds.iter().find(|(ours, _)| key == ours) else {
            map.insert(key.clone(), value.clone());
            continue;
        };
        let integrations: Result<Vec<Value>> = list(value).iter().map(integration).collect();
        map.insert(kind.as_str().into(), integrations?.into());
    }
    Ok(map.into())
}

fn integration(value: &Value) -> Result<Value> {
    let names = [
        ("sendResolved", "send_resolved"),
        ("routingKey", "routing_key_file"),
        ("apiURL", "api_url_file"),
        ("authPassword", "auth_password_file"),
        ("urlSecret", "url_file"),
        ("authUsername", "auth_username"),
        ("requireTLS", "require_tls"),
        ("pagerDutyLinkConfigs", "links"),
    ];
    let mut map = renamed(value, &names)?;
    for (key, value) in &mut map {
        let key = key.as_str().unwrap_or_default();
        if key.ends_with("_file") {
            ensure!(text_at(value, "name") == SECRET, "{key}: {value:?}");
            *value = format!("/etc/alertmanager/secrets/{SECRET}/{}", text_at(value, "key")).into();
        } else if key == "links" {
            let links: Result<Vec<Value>> =
                list(value).iter().map(|it| Ok(renamed(it, &[("alt", "text")])?.into())).collect();
            *value = links?.into();
        } else if value.is_sequence() {
            let pairs = list(value).iter().map(|pair| (pair["key"].clone(), pair["value"].clone()));
            *value = pairs.collect::<Mapping>().into();
        }
    }
    Ok(map.into())
}

fn span(value: &Value) -> Value {
    let mut map = Mapping::new();
    for (key, value) in value.as_mapping().into_iter().flatten() {
        let (key, value) = match key.as_str().unwrap_or_default() {
            "daysOfMonth" => ("days_of_month", list(value).iter().map(days).collect::<Vec<Value>>().into()),
            "times" => ("times", list(value).iter().map(time).collect::<Vec<Value>>().into()),
            key => (key, value.clone()),
        };
        map.insert(key.into(), value);
    }
    map.into()
}

fn days(value: &Value) -> Value {
    let of = |key: &str| value[key].as_i64().unwrap_or_default();
    if of("start") == of("end") {
        of("start").to_string().into()
    } else {
        format!("{}:{}", of("start"), of("end")).into()
    }
}

fn time(value: &Value) -> Value {
    let times = [("start_time", &value["startTime"]), ("end_time", &value["endTime"])];
    times.into_iter().map(|(key, value)| (Value::from(key), value.clone())).collect::<Mapping>().into()
}
