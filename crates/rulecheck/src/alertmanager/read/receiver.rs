//! Receivers: their names, their integrations and the texts of those.

use serde_yaml::{Mapping, Value};

use super::Reader;
use crate::alertmanager::raw::Scalar;
use crate::alertmanager::{Receiver, Text};

/// The integrations of a receiver, each a list under `<name>_configs`.
const INTEGRATIONS: [&str; 18] = [
    "discord",
    "email",
    "incidentio",
    "jira",
    "mattermost",
    "msteams",
    "msteamsv2",
    "opsgenie",
    "pagerduty",
    "pushover",
    "rocketchat",
    "slack",
    "sns",
    "telegram",
    "victorops",
    "webex",
    "webhook",
    "wechat",
];

impl Reader<'_> {
    pub(super) fn receivers(&mut self, receivers: Vec<Mapping>) -> Vec<Receiver> {
        (0..).zip(receivers).map(|(index, receiver)| self.receiver(index, &receiver)).collect()
    }

    fn receiver(&mut self, index: usize, fields: &Mapping) -> Receiver {
        let path = format!("receivers[{index}]");
        let name = fields.get("name").and_then(text_of).unwrap_or_default();
        if name.is_empty() {
            self.problem(&path, "a receiver without a name; one called null needs quotes: `name: \"null\"`");
        } else if !self.receivers.insert(name.clone()) {
            self.problem(&path, format!("there are two receivers `{name}`"));
        }
        let line = self.outline.line_of(&path);
        let mut receiver = Receiver { line, path, name, integrations: 0, templates: Vec::new() };
        for (key, value) in fields {
            let key = key.as_str().unwrap_or_default();
            let at = format!("{}.{key}", receiver.path);
            match (key.strip_suffix("_configs"), value) {
                _ if ["name", "labels"].contains(&key) => {}
                (Some(integration), Value::Sequence(configs)) if INTEGRATIONS.contains(&integration) => {
                    receiver.integrations += configs.len();
                    self.texts(&receiver.path, &at, value, &mut receiver.templates);
                }
                (Some(integration), Value::Null) if INTEGRATIONS.contains(&integration) => {}
                (Some(integration), _) if INTEGRATIONS.contains(&integration) => {
                    self.problem(&at, format!("`{key}` is not a list"));
                }
                _ => self.problem(&at, format!("a receiver has no field `{key}`")),
            }
        }
        receiver
    }

    /// Collects the templates of an integration.
    fn texts(&self, receiver: &str, at: &str, value: &Value, found: &mut Vec<Text>) {
        match value {
            Value::String(text) if text.contains("{{") => {
                let field = at[receiver.len() + 1..].to_owned();
                found.push(Text { field, line: self.outline.text_line_of(at), text: text.clone() });
            }
            Value::Sequence(items) => {
                (0..).zip(items).for_each(|(index, item)| self.texts(receiver, &format!("{at}[{index}]"), item, found));
            }
            Value::Mapping(fields) => {
                for (key, value) in fields {
                    let key = key.as_str().unwrap_or_default();
                    self.texts(receiver, &format!("{at}.{key}"), value, found);
                }
            }
            _ => {}
        }
    }
}

fn text_of(value: &Value) -> Option<String> {
    serde_yaml::from_value(value.clone()).ok().map(|Scalar(text)| text)
}
