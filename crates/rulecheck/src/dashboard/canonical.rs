//! The one form in which a dashboard is kept, so that a diff shows only what a person changed.
//!
//! What Grafana adds when it saves or exports is taken out: wrappers, ids and versions of one instance, its data sources,
//! the values that variables had there, and how the query editor was set. Keys come in one order. A number keeps its
//! text, since a text is all that is certain to be exact.

mod node;

use std::collections::{BTreeMap, BTreeSet};

use super::Datasource;
use super::reference::references;
use node::Node;

/// Members of a dashboard that belong to one Grafana.
const OF_INSTANCE: [&str; 9] =
    ["__elements", "__inputs", "__requires", "gnetId", "id", "iteration", "slug", "url", "version"];

/// Members of panels and targets that say with what they were edited, not what they show.
const OF_EDITOR: [&str; 6] =
    ["disableTextWrap", "editorMode", "fullMetaSearch", "includeNullMetadata", "pluginVersion", "useBackend"];

/// The variable by which all data sources are chosen.
const VARIABLE: &str = "datasource";

/// The text of a dashboard in its canonical form, from an export or from a file that somebody edited.
///
/// # Errors
/// The text is not JSON, or no object; the message says what is wrong.
pub fn canonical(text: &str) -> Result<String, String> {
    let problem = |error: serde_json::Error| error.to_string();
    let mut board = unwrapped(Node::parse(text).map_err(problem)?);
    if !matches!(board, Node::Map(_)) {
        return Err("a JSON object is expected".to_owned());
    }
    let known = Known::of(&board);
    OF_INSTANCE.iter().for_each(|key| board.remove(key));
    board.each(&mut |node| {
        OF_EDITOR.iter().for_each(|key| node.remove(key));
        known.choose(node);
    });
    if let Some(annotations) = board.list(&["annotations", "list"]) {
        annotations.retain(|annotation| annotation.literal("builtIn") != Some("1"));
    }
    board.list(&["templating", "list"]).into_iter().flatten().for_each(forget);
    let mut ids = BTreeSet::new();
    board.list(&["panels"]).into_iter().flatten().for_each(|panel| keep_id(panel, &mut ids));
    board.list(&["panels"]).into_iter().flatten().for_each(|panel| complete(panel, &mut ids));
    if board.uses(VARIABLE) && !known.variables.contains(VARIABLE) {
        define_variable(&mut board);
    }
    serde_json::to_string_pretty(&board).map(|text| text + "\n").map_err(problem)
}

/// What is inside of the form of Grafana's HTTP API, or of a Kubernetes resource, whose name is the uid.
fn unwrapped(mut node: Node) -> Node {
    loop {
        if let Some(inner) = node.take_map("dashboard") {
            node = inner;
        } else if node.get("apiVersion").is_some()
            && let Some(mut inner) = node.take_map("spec")
        {
            let name = node.get("metadata").and_then(|metadata| metadata.text("name"));
            if let (None, Some(name)) = (inner.get("uid"), name) {
                inner.set("uid", Node::Text(name.to_owned()));
            }
            node = inner;
        } else {
            return node;
        }
    }
}

/// What a dashboard says of data sources.
struct Known {
    /// The plugins behind the placeholders that only the import dialogue fills in.
    inputs: BTreeMap<String, String>,
    /// The names of the variables.
    variables: BTreeSet<String>,
}

impl Known {
    fn of(board: &Node) -> Known {
        let inputs = board.get("__inputs").map_or(&[][..], Node::items).iter();
        let list = board.get("templating").and_then(|templating| templating.get("list"));
        let variables = list.map_or(&[][..], Node::items).iter();
        Known {
            inputs: inputs
                .filter_map(|input| Some((input.text("name")?.to_owned(), input.text("pluginId")?.to_owned())))
                .collect(),
            variables: variables.filter_map(|variable| Some(variable.text("name")?.to_owned())).collect(),
        }
    }

    /// Lets the data source of a panel, a target, a variable or an annotation be chosen by the dashboard's variable, where
    /// it is one of Prometheus that only one Grafana has.
    fn choose(&self, node: &mut Node) {
        let Some(datasource) = node.get("datasource") else { return };
        let id = match datasource {
            Node::Text(id) => id.as_str(),
            Node::Map(_) => datasource.text("uid").unwrap_or_default(),
            // Grafana's default, which `complete` names where it matters.
            _ => return node.remove("datasource"),
        };
        let used = references(id).first().map(|reference| reference.name);
        let input = used.and_then(|name| self.inputs.get(name));
        let kind = datasource.text("type").or(input.map(String::as_str)).map(str::to_owned);
        let read = Datasource { kind, id: id.to_owned(), line: 1 };
        if used.is_some_and(|name| name != VARIABLE && self.variables.contains(name)) {
            return;
        }
        if read.is_prometheus() && (used.is_some() || read.is_default() || read.fixed().is_some()) {
            node.set("datasource", chosen());
        } else if let (Some(plugin), Some(_)) = (&read.kind, input) {
            // The placeholder alone does not tell the plugin once the inputs are gone.
            let named = Node::map([("type", plugin), ("uid", &read.id)]);
            node.set("datasource", named);
        }
    }
}

fn chosen() -> Node {
    Node::map([("type", "prometheus"), ("uid", &format!("${{{VARIABLE}}}"))])
}

fn define_variable(board: &mut Node) {
    let variable =
        Node::map([("name", VARIABLE), ("label", "Data source"), ("type", "datasource"), ("query", "prometheus")]);
    match board.list(&["templating", "list"]) {
        Some(list) => list.insert(0, variable),
        None => board.set("templating", Node::Map(BTreeMap::from([("list".to_owned(), Node::List(vec![variable]))]))),
    }
}

/// Takes out of a variable what it held in one Grafana. All values are no value of one.
fn forget(variable: &mut Node) {
    if !matches!(variable.text("type"), Some("query" | "datasource")) {
        return;
    }
    variable.remove("options");
    let all = |value: &Node| match value {
        Node::Text(text) => text == "$__all",
        list => matches!(list.items(), [Node::Text(text)] if text == "$__all"),
    };
    if !variable.get("current").and_then(|current| current.get("value")).is_some_and(all) {
        variable.remove("current");
    }
}

/// Keeps a panel's id, which links use, unless another one has it.
fn keep_id(panel: &mut Node, ids: &mut BTreeSet<u64>) {
    let is_free = panel.literal("id").and_then(|id| id.parse().ok()).is_some_and(|id| ids.insert(id));
    if !is_free {
        panel.remove("id");
    }
    panel.list(&["panels"]).into_iter().flatten().for_each(|panel| keep_id(panel, ids));
}

/// Gives a panel the first free id where it has none, and a data source where it asks for PromQL.
fn complete(panel: &mut Node, ids: &mut BTreeSet<u64>) {
    if panel.get("id").is_none() {
        let free = (1..).find(|id| ids.insert(*id)).unwrap_or_default();
        panel.set("id", Node::Literal(free.to_string()));
    }
    let asks = panel.list(&["targets"]).into_iter().flatten().any(|target| target.text("expr").is_some());
    if asks && panel.get("datasource").is_none() {
        panel.set("datasource", chosen());
    }
    panel.list(&["panels"]).into_iter().flatten().for_each(|panel| complete(panel, ids));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As Grafana's HTTP API gives it, after somebody has saved it in the user interface.
    const EXPORT: &str = include_str!("canonical/export.json");

    const CANONICAL: &str = include_str!("canonical/canonical.json");

    #[test]
    fn an_export_loses_what_belongs_to_one_grafana() {
        assert_eq!(canonical(EXPORT).unwrap(), CANONICAL);
    }

    #[test]
    fn a_resource_gives_its_name_as_uid() {
        let text = r#"{"apiVersion": "dashboard.grafana.app/v1", "metadata": {"name": "b"}, "spec": {"title": "B"}}"#;
        assert_eq!(canonical(text).unwrap(), "{\n  \"uid\": \"b\",\n  \"title\": \"B\"\n}\n");
    }

    #[test]
    fn a_data_source_that_is_chosen_otherwise_stays() {
        let text = r#"{"templating": {"list": [{"name": "ds", "type": "datasource"}]}, "panels": [{"id": 1, "datasource": "$ds"}]}"#;
        assert!(canonical(text).unwrap().contains("\"datasource\": \"$ds\""));
    }

    #[test]
    fn a_placeholder_for_another_plugin_keeps_the_plugin() {
        let input = r#""__inputs": [{"name": "DS_X", "pluginId": "loki"}]"#;
        let once = canonical(&format!(r#"{{{input}, "panels": [{{"datasource": "${{DS_X}}"}}]}}"#)).unwrap();
        assert!(once.contains("\"type\": \"loki\",\n        \"uid\": \"${DS_X}\""), "{once}");
        assert_eq!(canonical(&once).unwrap(), once);
    }

    #[test]
    fn what_is_no_object_is_refused() {
        let deep = "[".repeat(100_000);
        for (text, expected) in
            [("[1]", "a JSON object is expected"), ("{\"a\": }", "expected value"), (&deep, "recursion limit")]
        {
            assert!(canonical(text).unwrap_err().contains(expected), "{expected}");
        }
    }

    /// JSON with the keys that mean something here.
    fn json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            prop::sample::select(vec!["null", "true", "1", "1.50", "-3e5", "123456789012345678901234567890"]),
            prop::sample::select(vec![
                "\"${datasource}\"",
                "\"${DS_X}\"",
                "\"prometheus\"",
                "\"query\"",
                "\"-- Mixed --\"",
                "\"$__all\"",
                "\"a\\u00e4\\n\"",
            ]),
        ];
        let leaf = leaf.prop_map(str::to_owned);
        leaf.prop_recursive(6, 60, 6, |inner| {
            let key = prop::sample::select(vec![
                "dashboard",
                "apiVersion",
                "spec",
                "metadata",
                "name",
                "uid",
                "id",
                "type",
                "datasource",
                "templating",
                "annotations",
                "list",
                "panels",
                "targets",
                "expr",
                "current",
                "value",
                "options",
                "builtIn",
                "__inputs",
                "pluginId",
            ]);
            let member = (key, inner.clone()).prop_map(|(key, value)| format!("\"{key}\": {value}"));
            prop_oneof![
                prop::collection::vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(", "))),
                prop::collection::vec(member, 0..8).prop_map(|members| format!("{{{}}}", members.join(", "))),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_canonical_stays(text in json()) {
            if let Ok(once) = canonical(&text) {
                prop_assert_eq!(canonical(&once).unwrap(), once);
            }
        }

        #[test]
        fn no_mutation_panics(at in 0..EXPORT.len(), with in "[ -~]{0,3}", length in 0_usize..20) {
            let mut text = EXPORT.to_owned();
            let end = (at + length).min(text.len());
            text.replace_range(at..end, &with);
            if let Ok(once) = canonical(&text) {
                prop_assert_eq!(canonical(&once).unwrap(), once);
            }
        }
    }
}
