//! The panels of a dashboard and what they ask for.

use super::json::Json;
use super::link::{self, Link};
use super::{Datasource, Located};

/// One panel, or one row.
#[derive(Debug)]
pub struct Panel {
    /// The number that links to it use.
    pub id: Option<Located<u64>>,
    /// The plugin that draws it: `timeseries`, `stat`, `row`, ….
    pub kind: Located<String>,
    /// Its title, which may be empty.
    pub title: String,
    /// What it says of itself, which may be empty.
    pub description: String,
    /// What it shows where there is nothing to show; empty for Grafana's own words.
    pub no_value: String,
    /// The limits from which its values change colour, those of overrides too.
    pub steps: Vec<Step>,
    /// The unit of its values, unless an override says otherwise.
    pub unit: Option<Located<String>>,
    /// Units that overrides give.
    pub unit_overrides: Vec<UnitOverride>,
    /// Whether its fields get names other than those of their legends.
    pub renames: bool,
    /// Where it lies.
    pub grid: Option<Located<Grid>>,
    /// The transformations of its data, by name.
    pub transformations: Vec<Located<String>>,
    /// How series become single values, by the names of the calculations.
    pub calculations: Vec<String>,
    /// Whether every value of a series is shown, rather than one.
    pub all_values: bool,
    /// The variables for whose values it is drawn again, its row's too.
    pub repeats: Vec<String>,
    /// Whether it is inside a collapsed row, so that it asks for nothing when the dashboard opens.
    pub collapsed: bool,
    /// Where its data comes from, unless a target says otherwise.
    pub datasource: Datasource,
    /// What it asks for.
    pub targets: Vec<Target>,
    /// Where it leads.
    pub links: Vec<Link>,
    /// Its line.
    pub line: usize,
}

/// A unit that an override gives to some fields.
#[derive(Debug)]
pub struct UnitOverride {
    /// The target whose fields are meant; `None` where fields are chosen in another way.
    pub ref_id: Option<String>,
    /// The unit.
    pub unit: Located<String>,
}

/// A limit from which a panel's values have another colour.
#[derive(Debug, Clone)]
pub struct Step {
    /// The least value; `None` for the lowest colour, which needs none.
    pub value: Option<f64>,
    /// The colour, by Grafana's name or as `#rrggbb`.
    pub color: String,
    /// Its line.
    pub line: usize,
}

/// A place in the grid of 24 columns.
#[derive(Debug, Clone, Copy)]
pub struct Grid {
    /// The leftmost column, from 0.
    pub x: f64,
    /// The uppermost line, from 0.
    pub y: f64,
    /// How many columns it takes.
    pub width: f64,
    /// How many lines it takes.
    pub height: f64,
}

/// One query of a panel, in whatever language.
#[derive(Debug)]
pub struct Target {
    /// Its letter.
    pub ref_id: String,
    /// Where its data comes from.
    pub datasource: Datasource,
    /// The expression, where it has one.
    pub expr: Option<Located<String>>,
    /// The legend, which may be empty.
    pub legend: Located<String>,
    /// Whether the value at one moment is asked for.
    pub instant: bool,
    /// Whether the values over the time range are asked for.
    pub range: bool,
    /// `time_series`, `table` or `heatmap`.
    pub format: String,
    /// Whether it is switched off.
    pub hidden: bool,
    /// Its line.
    pub line: usize,
}

/// The panels in the order of the file, those inside of rows behind their row.
pub(super) fn read(json: &Json) -> Vec<Panel> {
    let mut panels = Vec::new();
    // Panels lay in rows up to schema version 15.
    for row in json.get("rows").items() {
        for inner in row.get("panels").items() {
            panels.push(one(inner, repeat(row), row.get("collapse").is_true()));
        }
    }
    let mut of_row = None;
    for panel in json.get("panels").items() {
        if panel.get("type").text() == Some("row") {
            of_row = repeat(panel);
            panels.push(one(panel, None, false));
            for inner in panel.get("panels").items() {
                panels.push(one(inner, repeat(panel), panel.get("collapsed").is_true()));
            }
        } else {
            panels.push(one(panel, of_row.clone(), false));
        }
    }
    panels
}

fn repeat(json: &Json) -> Option<String> {
    json.get("repeat").text().filter(|name| !name.is_empty()).map(str::to_owned)
}

fn one(json: &Json, of_row: Option<String>, collapsed: bool) -> Panel {
    let datasource = Datasource::read(json.get("datasource"));
    let id = json.get("id");
    let reduce = json.get("options").get("reduceOptions");
    let text = |json: &Json| json.text().map(str::to_owned);
    let named = |list: &Json, key: &str| -> Vec<Located<String>> {
        list.items().iter().filter_map(|item| Located::text(item.get(key))).collect()
    };
    Panel {
        id: id.number().map(|number| Located { value: number as u64, line: id.line }),
        kind: Located::text(json.get("type")).unwrap_or(Located { value: String::new(), line: json.line }),
        title: text(json.get("title")).unwrap_or_default(),
        description: text(json.get("description")).unwrap_or_default(),
        no_value: text(json.get("fieldConfig").get("defaults").get("noValue")).unwrap_or_default(),
        steps: steps(json.get("fieldConfig")),
        unit: unit(json),
        unit_overrides: unit_overrides(json.get("fieldConfig")),
        renames: renames(json.get("fieldConfig")),
        grid: grid(json.get("gridPos")),
        transformations: named(json.get("transformations"), "id"),
        calculations: reduce.get("calcs").items().iter().filter_map(text).collect(),
        all_values: reduce.get("values").is_true(),
        repeats: of_row.into_iter().chain(repeat(json)).collect(),
        collapsed,
        targets: json.get("targets").items().iter().map(|json| target(json, &datasource)).collect(),
        datasource,
        links: link::of_panel(json),
        line: json.line,
    }
}

/// Old graphs keep the unit with their axis, old single values beside the type.
fn unit(json: &Json) -> Option<Located<String>> {
    let current = Located::text(json.get("fieldConfig").get("defaults").get("unit"));
    let of_axis = || Located::text(json.get("yaxes").items().first()?.get("format"));
    current.or_else(of_axis).or_else(|| Located::text(json.get("format"))).filter(|unit| !unit.value.is_empty())
}

fn unit_overrides(field_config: &Json) -> Vec<UnitOverride> {
    let mut overrides = Vec::new();
    for json in field_config.get("overrides").items() {
        let matcher = json.get("matcher");
        let by_ref_id = matcher.get("id").text() == Some("byFrameRefID");
        let ref_id = matcher.get("options").text().filter(|_| by_ref_id);
        let properties = json.get("properties").items().iter();
        for property in properties.filter(|property| property.get("id").text() == Some("unit")) {
            let unit = Located::text(property.get("value"));
            overrides.extend(unit.map(|unit| UnitOverride { ref_id: ref_id.map(str::to_owned), unit }));
        }
    }
    overrides
}

fn steps(field_config: &Json) -> Vec<Step> {
    let of_all = field_config.get("defaults").get("thresholds");
    let overrides = field_config.get("overrides").items().iter().flat_map(|json| json.get("properties").items());
    let of_some = overrides.filter(|property| property.get("id").text() == Some("thresholds"));
    let all = [of_all].into_iter().chain(of_some.map(|property| property.get("value")));
    // A share of the range from min to max is no limit of a value.
    let absolute = all.filter(|thresholds| thresholds.get("mode").text() != Some("percentage"));
    let steps = absolute.flat_map(|thresholds| thresholds.get("steps").items()).map(|step| Step {
        value: step.get("value").number(),
        color: step.get("color").text().unwrap_or_default().to_owned(),
        line: if step.get("value").is_null() { step.line } else { step.get("value").line },
    });
    steps.collect()
}

fn renames(field_config: &Json) -> bool {
    let overrides = field_config.get("overrides").items().iter().flat_map(|json| json.get("properties").items());
    let mut names = overrides.filter(|property| property.get("id").text() == Some("displayName"));
    field_config.get("defaults").get("displayName").text().is_some_and(|name| !name.is_empty())
        || names.next().is_some()
}

fn grid(json: &Json) -> Option<Located<Grid>> {
    let number = |key: &str| json.get(key).number();
    let grid = Grid {
        x: number("x").unwrap_or(0.0),
        y: number("y").unwrap_or(0.0),
        width: number("w")?,
        height: number("h")?,
    };
    Some(Located { value: grid, line: json.line })
}

fn target(json: &Json, of_panel: &Datasource) -> Target {
    let text = |key: &str| json.get(key).text().unwrap_or_default().to_owned();
    let instant = json.get("instant").is_true();
    let own = Datasource::read(json.get("datasource"));
    Target {
        ref_id: text("refId"),
        datasource: if own.is_default() { of_panel.clone() } else { own },
        expr: Located::text(json.get("expr")),
        legend: Located::text(json.get("legendFormat")).unwrap_or(Located { value: String::new(), line: json.line }),
        instant,
        range: json.get("range").is_true() || !instant,
        format: text("format"),
        hidden: json.get("hide").is_true(),
        line: json.line,
    }
}
