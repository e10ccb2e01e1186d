//! A dashboard's layout as a picture: each panel in its place of the grid, with title, kind, unit and mark. It shows no
//! data, so the same dashboard always gives the same bytes.

mod pictogram;

use std::fmt::Write as _;

use rulecheck::Dashboard;
use rulecheck::dashboard::{Grid, Panel};
use rulecheck::mark::Mark;

use crate::model::Model;
use pictogram::pictogram;

/// Pixels of a column, of which the grid has 24, and of a line of it.
const COLUMN: i64 = 44;
const LINE: i64 = 24;
const WIDTH: i64 = 24 * COLUMN;
/// Between the panels, and round the whole.
const GAP: i64 = 4;
const MARGIN: i64 = 16;
/// Above the panels, for title and legend.
const HEAD: i64 = 64;

/// The colours, for readers with a light page and with a dark one.
const STYLE: &str = "\
text { font: 13px system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif; fill: #1f2328 }
.page { fill: #f4f5f5 } .card { fill: #ffffff; stroke: #d0d7de } .row { fill: #e6e8eb }
.title { font-weight: 600 } .head { font-size: 18px; font-weight: 600 } .soft { font-size: 11px; fill: #59636e }
.ink { fill: none; stroke: #8c959f; stroke-width: 1.5 } .fill { fill: #d0d7de }
.live { fill: #1a7f37; stroke: #1a7f37 } .fallback { fill: #9a6700; stroke: #9a6700 } .dark { fill: #818b98; stroke: #818b98 }
circle.ring { fill: none; stroke-width: 1.5 } text.mark { font-size: 11px; stroke: none }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .page { fill: #0d1117 } .card { fill: #161b22; stroke: #30363d } .row { fill: #21262d }
.soft { fill: #9198a1 } .ink { stroke: #6e7681 } .fill { fill: #30363d }
.live { fill: #3fb950; stroke: #3fb950 } .fallback { fill: #d29922; stroke: #d29922 } .dark { fill: #9198a1; stroke: #9198a1 }
}";

/// The marks and what they mean.
pub(super) const LEGEND: [(Mark, &str); 3] = [
    (Mark::Live, "there with Gorax as it is"),
    (Mark::Fallback, "from another source, once that is installed"),
    (Mark::Dark, "not instrumented by Gorax yet"),
];

/// The name of a mark.
pub(super) fn name(mark: Mark) -> &'static str {
    match mark {
        Mark::Live => "live",
        Mark::Fallback => "fallback",
        Mark::Dark => "dark",
    }
}

/// The picture.
pub(super) fn render(model: &Model, dashboard: &Dashboard) -> String {
    let places = layout(dashboard);
    let bottom = places.iter().map(|place| place.y + place.height).max().unwrap_or(0);
    let (width, height) = (WIDTH + 2 * MARGIN, HEAD + bottom * LINE + MARGIN);
    let mut svg = Svg::default();
    svg.line(format_args!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">"#
    ));
    svg.line(format_args!("<!-- Made by `cargo xtask docs` from {}; edit that. -->", dashboard.path));
    svg.line(format_args!("<title>{}: the layout of its panels</title>", escaped(&dashboard.title)));
    svg.line(format_args!("<style>\n{STYLE}\n</style>"));
    svg.line(format_args!(r#"<rect class="page" width="{width}" height="{height}" rx="6"/>"#));
    svg.text("head", MARGIN, 28, &dashboard.title);
    legend(&mut svg);
    for (index, place) in places.iter().enumerate() {
        let panel = &dashboard.panels[place.panel];
        let (x, y) = (MARGIN + place.x * COLUMN, HEAD + place.y * LINE);
        let frame = Frame { x, y, width: place.width * COLUMN - GAP, height: place.height * LINE - GAP };
        if panel.kind.value == "row" {
            let is_closed = places.get(index + 1).is_some_and(|next| dashboard.panels[next.panel].collapsed);
            row(&mut svg, frame, panel, is_closed);
        } else {
            card(&mut svg, frame, panel, model.mark(dashboard, place.panel).map(|marked| marked.mark));
        }
    }
    svg.line(format_args!("</svg>"));
    svg.0
}

/// A panel's place, in columns and lines.
struct Place {
    panel: usize,
    x: i64,
    y: i64,
    width: i64,
    height: i64,
}

/// Where the panels lie, with every row open. As in Grafana, each moves up until it meets one above it.
fn layout(dashboard: &Dashboard) -> Vec<Place> {
    let grid = |index: usize| dashboard.panels[index].grid.as_ref().map_or(NOWHERE, |grid| grid.value);
    let by_place = |a: &usize, b: &usize| {
        let (a, b) = (grid(*a), grid(*b));
        a.y.total_cmp(&b.y).then(a.x.total_cmp(&b.x))
    };
    let is_inside = |index: &usize| dashboard.panels.get(*index).is_some_and(|panel| panel.collapsed);
    let mut outer: Vec<usize> = (0..dashboard.panels.len()).filter(|index| !is_inside(index)).collect();
    outer.sort_by(by_place);
    let order = outer.into_iter().flat_map(|index| {
        let mut inside: Vec<usize> = (index + 1..).take_while(is_inside).collect();
        inside.sort_by(by_place);
        [index].into_iter().chain(inside)
    });
    let mut bottom = [0; 24];
    let places = order.map(|index| {
        let Grid { x, width, height, .. } = grid(index);
        // A panel that does not fit is a finding of its own.
        let x = (x as i64).clamp(0, 23);
        let (width, height) = ((width as i64).clamp(1, 24 - x), (height as i64).clamp(1, 100));
        let columns = &mut bottom[x as usize..(x + width) as usize];
        let y = columns.iter().copied().max().unwrap_or(0);
        columns.fill(y + height);
        Place { panel: index, x, y, width, height }
    });
    places.collect()
}

/// The place of a panel that has none.
const NOWHERE: Grid = Grid { x: 0.0, y: 0.0, width: 12.0, height: 8.0 };

/// Where something is drawn, in pixels.
#[derive(Clone, Copy)]
struct Frame {
    x: i64,
    y: i64,
    width: i64,
    height: i64,
}

/// The text of a picture as it grows.
#[derive(Default)]
struct Svg(String);

impl Svg {
    fn line(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a String never fails.
        let _ = writeln!(self.0, "{text}");
    }

    fn text(&mut self, class: &str, x: i64, y: i64, text: &str) {
        self.line(format_args!(r#"<text class="{class}" x="{x}" y="{y}">{}</text>"#, escaped(text)));
    }
}

/// As XML has it; what XML has no room for is left out.
fn escaped(text: &str) -> String {
    let text: String = text.chars().filter(|c| !c.is_control()).collect();
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn legend(svg: &mut Svg) {
    let mut x = MARGIN;
    for (of, meaning) in LEGEND {
        mark(svg, x + 5, 48, of);
        let text = format!("{}: {meaning}", name(of));
        svg.text("soft", x + 16, 52, &text);
        x += 16 + text_width(&text, 11) + 28;
    }
}

/// A disc, half a disc or a ring, so that colours are not needed to tell them.
fn mark(svg: &mut Svg, x: i64, y: i64, mark: Mark) {
    let class = name(mark);
    let ring = |svg: &mut Svg| svg.line(format_args!(r#"<circle class="{class} ring" cx="{x}" cy="{y}" r="5"/>"#));
    match mark {
        Mark::Live => svg.line(format_args!(r#"<circle class="{class}" cx="{x}" cy="{y}" r="5"/>"#)),
        Mark::Fallback => {
            ring(svg);
            let (top, bottom) = (y - 5, y + 5);
            svg.line(format_args!(r#"<path class="{class}" d="M{x} {top} A5 5 0 0 0 {x} {bottom} Z"/>"#));
        }
        Mark::Dark => ring(svg),
    }
}

fn row(svg: &mut Svg, Frame { x, y, width, height }: Frame, panel: &Panel, is_closed: bool) {
    svg.line(format_args!(r#"<rect class="row" x="{x}" y="{y}" width="{width}" height="{height}" rx="3"/>"#));
    let (sign, closed) = if is_closed { ("▸", " (closed at first)") } else { ("▾", "") };
    svg.text("title", x + 8, y + 15, &format!("{sign} {}{}{closed}", panel.title, repeated(panel)));
}

fn repeated(panel: &Panel) -> String {
    panel.repeats.last().map(|variable| format!(", for each ${variable}")).unwrap_or_default()
}

fn card(svg: &mut Svg, frame: Frame, panel: &Panel, of: Option<Mark>) {
    let Frame { x, y, width, height } = frame;
    svg.line(format_args!(r#"<rect class="card" x="{x}.5" y="{y}.5" width="{width}" height="{height}" rx="3"/>"#));
    let mut right = x + width - 10;
    if let Some(of) = of {
        mark(svg, right - 3, y + 14, of);
        right -= 14;
    }
    // Bold letters are wider.
    svg.text("title", x + 10, y + 18, &fitted(&panel.title, 15, right - x - 14));
    let body = if height >= 2 * LINE {
        let unit = panel.unit.as_ref().map(|unit| format!(" · {}", unit_name(&unit.value))).unwrap_or_default();
        let says = format!("{}{unit}{}", kind_name(&panel.kind.value), repeated(panel));
        svg.text("soft", x + 10, y + 34, &fitted(&says, 11, width - 20));
        42
    } else {
        24
    };
    let inside = Frame { x: x + 10, y: y + body, width: width - 20, height: height - body - 10 };
    if inside.height >= 16 && inside.width >= 40 {
        pictogram(svg, inside, panel);
    }
}

/// About how wide a text is. Browsers choose the font, so this is on the safe side.
fn text_width(text: &str, size: i64) -> i64 {
    text.chars().count() as i64 * size * 11 / 20
}

/// A text, cut where it would be too wide.
fn fitted(text: &str, size: i64, width: i64) -> String {
    if text_width(text, size) <= width {
        return text.to_owned();
    }
    let most = usize::try_from(width * 20 / (size * 11)).unwrap_or(0).saturating_sub(1);
    let cut: String = text.chars().take(most).collect();
    format!("{}…", cut.trim_end())
}

/// A kind of panel as Grafana's menu calls it.
pub(super) fn kind_name(kind: &str) -> &str {
    match kind {
        "timeseries" => "time series",
        "bargauge" => "bar gauge",
        "barchart" => "bar chart",
        "piechart" => "pie chart",
        "alertlist" => "alert list",
        "dashlist" => "dashboard list",
        "state-timeline" => "state timeline",
        "status-history" => "status history",
        other => other,
    }
}

/// A unit as its axis reads. Source of the ids: grafana/grafana `packages/grafana-data/src/valueFormats/categories.ts`.
pub(super) fn unit_name(unit: &str) -> &str {
    match unit {
        "none" | "short" | "locale" => "number",
        "percentunit" | "percent" => "%",
        "s" | "dtdurations" => "seconds",
        "ms" => "milliseconds",
        "d" => "days",
        "ops" | "cps" => "per second",
        "opm" | "cpm" => "per minute",
        "reqps" => "requests per second",
        "decbytes" | "bytes" => "bytes",
        "Bps" | "binBps" => "bytes per second",
        "dateTimeAsIso" | "dateTimeFromNow" => "time",
        "bool_on_off" | "bool_yes_no" | "bool" => "yes or no",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOARD: &str = r#"{"title": "B & <C>", "panels": [
{"type": "stat", "title": "low", "gridPos": {"x": 0, "y": 3, "w": 6, "h": 4}},
{"type": "row", "title": "open", "gridPos": {"x": 0, "y": 0, "w": 24, "h": 1}, "panels": []},
{"type": "stat", "title": "high", "gridPos": {"x": 0, "y": 1, "w": 6, "h": 2}},
{"type": "row", "title": "closed", "collapsed": true, "gridPos": {"x": 0, "y": 7, "w": 24, "h": 1}, "panels": [
  {"type": "stat", "title": "right", "gridPos": {"x": 12, "y": 20, "w": 12, "h": 5}},
  {"type": "stat", "title": "left", "gridPos": {"x": 0, "y": 20, "w": 12, "h": 5}}]},
{"type": "row", "title": "last", "gridPos": {"x": 0, "y": 40, "w": 24, "h": 1}},
{"type": "stat", "title": "odd", "gridPos": {"x": 900, "y": 5e300, "w": 1e300, "h": 1e300}}]}"#;

    #[test]
    fn a_closed_row_is_shown_open_and_no_place_is_left_empty() {
        let board = Dashboard::parse("b.json", BOARD, &mut Vec::new()).unwrap();
        let places = layout(&board);
        let shown: Vec<_> = places.iter().map(|place| (board.panels[place.panel].title.as_str(), place.y)).collect();
        let expected =
            [("open", 0), ("high", 1), ("low", 3), ("closed", 7), ("left", 8), ("right", 8), ("last", 13), ("odd", 14)];
        assert_eq!(shown, expected);
        assert!(places.iter().all(|place| place.x + place.width <= 24));
    }

    #[test]
    fn a_text_is_cut_where_it_would_be_too_wide() {
        assert_eq!(fitted("short", 13, 200), "short");
        let cut = fitted("a rather long title of a panel", 13, 100);
        assert!(cut.ends_with('…') && text_width(&cut, 13) <= 100, "{cut}");
        assert_eq!(escaped("a<b & \"c\"\u{1}"), "a&lt;b &amp; &quot;c&quot;");
    }
}
