//! Where a dashboard and its panels lead.

use super::json::Json;

/// A link of a dashboard, of a panel or of its values.
#[derive(Debug)]
pub struct Link {
    /// Its address; empty for a list of dashboards.
    pub url: String,
    /// The tags of the dashboards that it lists; empty for an address.
    pub tags: Vec<String>,
    /// Whether it hands the variables' values on.
    pub includes_variables: bool,
    /// Its line.
    pub line: usize,
}

/// The links above a dashboard.
pub(super) fn of_dashboard(json: &Json) -> Vec<Link> {
    json.get("links").items().iter().map(one).collect()
}

/// The links of a panel's title, of its values and of its rows in a table.
pub(super) fn of_panel(json: &Json) -> Vec<Link> {
    let config = json.get("fieldConfig");
    let properties = config.get("overrides").items().iter().flat_map(|json| json.get("properties").items());
    let of_values = properties.filter(|property| property.get("id").text() == Some("links"));
    let lists = [json.get("links"), config.get("defaults").get("links"), json.get("options").get("dataLinks")];
    let lists = lists.into_iter().chain(of_values.map(|property| property.get("value")));
    lists.flat_map(Json::items).map(one).collect()
}

fn one(json: &Json) -> Link {
    let text = |key: &str| json.get(key).text().unwrap_or_default().to_owned();
    let lists = json.get("type").text() == Some("dashboards");
    let tags = json.get("tags").items().iter().filter_map(Json::text).map(str::to_owned);
    let url = if lists { String::new() } else { text("url") };
    Link {
        line: if url.is_empty() { json.line } else { json.get("url").line },
        url,
        tags: if lists { tags.collect() } else { Vec::new() },
        includes_variables: json.get("includeVars").is_true(),
    }
}
