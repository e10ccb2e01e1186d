//! What a kind of panel looks like, in a few strokes, with its limits in their colours.

use rulecheck::dashboard::Panel;

use super::{Frame, Svg, fitted};

/// Heights of a made-up line, in hundredths.
const WAVE: [i64; 13] = [62, 50, 58, 38, 46, 30, 42, 24, 36, 44, 28, 34, 20];

pub(super) fn pictogram(svg: &mut Svg, frame: Frame, panel: &Panel) {
    match panel.kind.value.as_str() {
        "timeseries" | "trend" => {
            lines(svg, frame);
            limits(svg, frame, panel);
        }
        "stat" | "gauge" => {
            let colours = scale(svg, frame, panel);
            number(svg, Frame { height: frame.height - colours, ..frame }, panel.kind.value == "gauge");
        }
        "bargauge" | "piechart" | "barchart" => {
            let colours = scale(svg, frame, panel);
            bars(svg, Frame { height: frame.height - colours, ..frame });
        }
        "heatmap" | "histogram" => cells(svg, frame),
        "state-timeline" | "status-history" => bands(svg, frame),
        _ => rules(svg, frame),
    }
}

fn lines(svg: &mut Svg, Frame { x, y, width, height }: Frame) {
    let (right, bottom) = (x + width, y + height);
    svg.line(format_args!(r#"<path class="ink" d="M{x} {y} V{bottom} H{right}"/>"#));
    let steps = WAVE.len() as i64 - 1;
    let points = (0..).zip(WAVE).map(|(n, high)| format!("{} {}", x + width * n / steps, y + height * high / 100));
    let points: Vec<String> = points.collect();
    svg.line(format_args!(r#"<path class="ink" d="M{}"/>"#, points.join(" L")));
}

/// Dashed lines above the series, the highest limit on top, whatever the distances between them.
fn limits(svg: &mut Svg, Frame { x, y, width, .. }: Frame, panel: &Panel) {
    let steps = panel.steps.iter().rev().filter_map(|step| Some((step.value?, colour(&step.color))));
    let right = x + width;
    for (at, (value, colour)) in (y + 4..).step_by(16).zip(steps) {
        svg.line(format_args!(
            r#"<path d="M{x} {at} H{right}" stroke="{colour}" stroke-width="1.5" stroke-dasharray="5 4"/>"#
        ));
        svg.text("soft", x + 5, at + 12, &shown(panel, value));
    }
}

/// The colours of the limits with the value that each begins at; returns how high they are.
fn scale(svg: &mut Svg, Frame { x, y, width, height }: Frame, panel: &Panel) -> i64 {
    let steps = &panel.steps;
    if steps.len() < 2 || height < 36 {
        return 0;
    }
    let (top, each) = (y + height - 14, width / steps.len() as i64);
    for (n, step) in (0..).zip(steps) {
        let (left, colour) = (x + n * each, colour(&step.color));
        svg.line(format_args!(
            r#"<rect x="{left}" y="{}" width="{}" height="4" rx="2" fill="{colour}"/>"#,
            top + 12,
            each - 3
        ));
        if let Some(value) = step.value {
            svg.text("soft", left, top + 8, &fitted(&format!("≥ {}", shown(panel, value)), 11, each));
        }
    }
    22
}

/// A limit as the panel shows its values.
fn shown(panel: &Panel, value: f64) -> String {
    match panel.unit.as_ref().map(|unit| unit.value.as_str()) {
        // Shares have few digits; multiplied they would have what binary fractions add.
        Some("percentunit") => format!("{} %", (value * 1e6).round() / 1e4),
        Some("percent") => format!("{value} %"),
        _ => value.to_string(),
    }
}

fn number(svg: &mut Svg, Frame { x, y, width, height }: Frame, is_gauge: bool) {
    let (middle, base) = (x + width / 2, y + height * 3 / 4);
    if is_gauge {
        let radius = (height * 2 / 3).min(width / 3).max(6);
        let (left, right) = (middle - radius, middle + radius);
        svg.line(format_args!(r#"<path class="ink" d="M{left} {base} A{radius} {radius} 0 0 1 {right} {base}"/>"#));
        return;
    }
    let size = (height / 2).clamp(12, 40);
    svg.line(format_args!(
        r#"<text class="soft" x="{middle}" y="{base}" text-anchor="middle" style="font-size: {size}px">123</text>"#
    ));
}

fn bars(svg: &mut Svg, Frame { x, y, width, height }: Frame) {
    for (n, share) in (0..height / 16).zip([90, 70, 55, 40, 30, 20, 12].into_iter().cycle()) {
        let (top, wide) = (y + n * 16, width * share / 100);
        svg.line(format_args!(r#"<rect class="fill" x="{x}" y="{top}" width="{wide}" height="10" rx="2"/>"#));
    }
}

fn cells(svg: &mut Svg, Frame { x, y, width, height }: Frame) {
    for (n, high) in (0..).zip(WAVE).take(12) {
        let (left, top) = (x + n * width / 12, y + height * high / 100);
        let (wide, tall) = (width / 12 - 2, y + height - top);
        svg.line(format_args!(r#"<rect class="fill" x="{left}" y="{top}" width="{wide}" height="{tall}"/>"#));
    }
}

fn bands(svg: &mut Svg, Frame { x, y, width, height }: Frame) {
    for n in 0..height / 18 {
        let (top, cut) = (y + n * 18, width * (35 + 17 * (n % 3)) / 100);
        svg.line(format_args!(r#"<rect class="fill" x="{x}" y="{top}" width="{cut}" height="12" rx="2"/>"#));
        let (left, wide) = (x + cut + 3, width - cut - 3);
        svg.line(format_args!(r#"<rect class="fill" x="{left}" y="{top}" width="{wide}" height="12" rx="2"/>"#));
    }
}

fn rules(svg: &mut Svg, Frame { x, y, width, height }: Frame) {
    let right = x + width;
    for n in 0..=height / 20 {
        let at = y + n * 20;
        svg.line(format_args!(r#"<path class="ink" d="M{x} {at} H{right}" opacity="0.5"/>"#));
    }
}

/// A colour of Grafana's as CSS has it: its names are a hue, with a shade before it mostly. Source: grafana/grafana
/// `packages/grafana-data/src/themes/createVisualizationColors.ts`.
fn colour(name: &str) -> &str {
    let is_hex = name.strip_prefix('#').is_some_and(|digits| digits.chars().all(|c| c.is_ascii_hexdigit()));
    match name.rsplit('-').next().unwrap_or_default() {
        _ if is_hex => name,
        "green" => "#56a64b",
        "red" if name.contains("dark") => "#ad0317",
        "red" => "#e02f44",
        "orange" => "#ff780a",
        "yellow" => "#e0b400",
        "blue" => "#3274d9",
        "purple" => "#a352cc",
        _ => "#8c959f",
    }
}

#[cfg(test)]
mod tests {
    use super::colour;

    #[test]
    fn nothing_but_a_colour_comes_out() {
        for (name, expected) in [
            ("green", "#56a64b"),
            ("semi-dark-orange", "#ff780a"),
            ("#ff0000", "#ff0000"),
            ("#\"/><script>", "#8c959f"),
            ("transparent", "#8c959f"),
        ] {
            assert_eq!(colour(name), expected);
        }
    }
}
