//! What a target answers to a scrape: the text format 0.0.4 of Prometheus and the text form of OpenMetrics 1.0, as far
//! as a metric contract goes. Time stamps and exemplars are passed over.
//!
//! Formats: prometheus.io/docs/instrumenting/exposition_formats and the OpenMetrics specification.

use std::collections::{BTreeMap, HashMap};

use crate::contract::Kind;

/// A whole answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Exposition {
    /// Its metrics, in order.
    pub families: Vec<Family>,
}

/// One metric with all its series.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// The base name as the metric contract has it: that of its series, without `_bucket`, `_sum` and `_count`.
    pub name: String,
    /// Its type; untyped without a line that says so.
    pub kind: Kind,
    /// What it means.
    pub help: String,
    /// Its unit, which only OpenMetrics tells.
    pub unit: String,
    /// Its samples, in order.
    pub samples: Vec<Sample>,
}

/// One line with a value.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The series' name, with its suffix.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

/// Why a text is no exposition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpositionError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub message: String,
}

impl Exposition {
    /// Reads a text of either format.
    pub fn parse(text: &str) -> Result<Exposition, ExpositionError> {
        let mut builder = Builder::default();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim_matches([' ', '\t']);
            let read = match line.strip_prefix('#') {
                Some(comment) => builder.comment(comment.trim_start()),
                None if line.is_empty() => Ok(()),
                None => sample(line).map(|sample| builder.add(sample)),
            };
            read.map_err(|message| ExpositionError { line: number, message })?;
        }
        Ok(builder.finish())
    }
}

/// What the series of a metric can add to its name.
const SUFFIXES: [&str; 6] = ["_bucket", "_sum", "_count", "_total", "_info", "_created"];

/// Families as they are announced, before their names are those of their series.
#[derive(Default)]
struct Builder {
    families: Vec<Family>,
    by_name: HashMap<String, usize>,
}

impl Builder {
    fn family(&mut self, name: &str) -> &mut Family {
        let index = *self.by_name.entry(name.to_owned()).or_insert_with(|| {
            let (name, kind) = (name.to_owned(), Kind::Untyped);
            self.families.push(Family { name, kind, help: String::new(), unit: String::new(), samples: Vec::new() });
            self.families.len() - 1
        });
        &mut self.families[index]
    }

    /// `TYPE`, `HELP`, `UNIT`, or a remark.
    fn comment(&mut self, comment: &str) -> Result<(), String> {
        let mut words = comment.splitn(3, [' ', '\t']);
        let (Some(what @ ("TYPE" | "HELP" | "UNIT")), Some(name)) = (words.next(), words.next()) else {
            return Ok(());
        };
        let family = self.family(name.trim_matches('"'));
        let rest = words.next().unwrap_or_default().trim();
        match what {
            "TYPE" => family.kind = kind(rest).ok_or_else(|| format!("`{rest}` is no type of a metric"))?,
            "UNIT" => rest.clone_into(&mut family.unit),
            _ => family.help = unescape(rest),
        }
        Ok(())
    }

    fn add(&mut self, sample: Sample) {
        // A name that was announced as it is belongs to itself.
        let known = self.by_name.contains_key(&sample.name);
        let suffixes: &[&str] = if known { &[] } else { &SUFFIXES };
        let base = suffixes.iter().find_map(|suffix| {
            let base = sample.name.strip_suffix(suffix)?;
            let family = &self.families[*self.by_name.get(base)?];
            belongs(family.kind, suffix).then(|| base.to_owned())
        });
        if base.is_some() && sample.name.ends_with("_created") {
            // When a series began says nothing about what it is.
            return;
        }
        let name = base.unwrap_or_else(|| sample.name.clone());
        self.family(&name).samples.push(sample);
    }

    /// A family that is only announced has no series, and none is made of it.
    fn finish(self) -> Exposition {
        let mut families = self.families;
        families.retain(|family| !family.samples.is_empty());
        for family in &mut families {
            if matches!(family.kind, Kind::Counter | Kind::Info) {
                // OpenMetrics announces `x` and exposes `x_total`; Prometheus knows the latter only.
                family.name.clone_from(&family.samples[0].name);
            }
        }
        Exposition { families }
    }
}

/// Whether a series with this suffix is part of a metric of this type.
fn belongs(kind: Kind, suffix: &str) -> bool {
    match kind {
        Kind::Histogram => matches!(suffix, "_bucket" | "_sum" | "_count" | "_created"),
        Kind::Summary => matches!(suffix, "_sum" | "_count" | "_created"),
        Kind::Counter => matches!(suffix, "_total" | "_created"),
        Kind::Info => suffix == "_info",
        Kind::Gauge | Kind::Untyped => false,
    }
}

fn kind(word: &str) -> Option<Kind> {
    match word {
        "counter" => Some(Kind::Counter),
        // A state set is a gauge for each state, a gauge histogram's suffixes are its own.
        "gauge" | "stateset" => Some(Kind::Gauge),
        "histogram" => Some(Kind::Histogram),
        "summary" => Some(Kind::Summary),
        "info" => Some(Kind::Info),
        "untyped" | "unknown" | "gaugehistogram" => Some(Kind::Untyped),
        _ => None,
    }
}

/// `name{label="value",…} value`, or `{"name",label="value",…} value`; a time stamp or an exemplar may follow.
fn sample(line: &str) -> Result<Sample, String> {
    let end = line.find(['{', ' ', '\t']).ok_or_else(|| format!("`{}` is no sample", shorten(line)))?;
    let (mut name, rest) = (line[..end].to_owned(), line[end..].trim_start());
    let mut labels = BTreeMap::new();
    let mut rest = rest;
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside.trim_start();
        while !rest.starts_with('}') {
            let (label, behind) = label_name(rest)?;
            match behind.strip_prefix('=') {
                Some(value) => {
                    let (value, behind) = quoted(value.trim_start())?;
                    labels.insert(label, value);
                    rest = behind.trim_start();
                }
                // Names that are not of the classic form stand in quotes among the labels.
                None => (name, rest) = (label, behind),
            }
            match rest.strip_prefix(',') {
                Some(behind) => rest = behind.trim_start(),
                None if rest.starts_with('}') => {}
                None => return Err(format!("a comma or a closing brace is missing before `{}`", shorten(rest))),
            }
        }
        rest = rest[1..].trim_start();
    }
    if name.is_empty() || name.contains(|c: char| "<>=\"'();,".contains(c)) {
        return Err(format!("`{}` is no sample", shorten(line)));
    }
    let value = rest.split([' ', '\t']).next().unwrap_or_default();
    let value = value.parse().map_err(|_| format!("`{}` is no value of {name}", shorten(value)))?;
    Ok(Sample { name, labels, value })
}

/// A label's name, in quotes or not, and what stands behind it.
fn label_name(text: &str) -> Result<(String, &str), String> {
    if text.starts_with('"') {
        let (name, behind) = quoted(text)?;
        return Ok((name, behind.trim_start()));
    }
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    let behind = text[end..].trim_start();
    if end == 0 || !behind.starts_with('=') {
        return Err(format!("`{}` is no label", shorten(text)));
    }
    Ok((text[..end].to_owned(), behind))
}

/// A string in double quotes, and what stands behind it.
fn quoted(text: &str) -> Result<(String, &str), String> {
    let missing = || format!("a quote is missing in `{}`", shorten(text));
    let inside = text.strip_prefix('"').ok_or_else(missing)?;
    let mut escaped = false;
    let end = inside.find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    let end = end.ok_or_else(missing)?;
    Ok((unescape(&inside[..end]), &inside[end + 1..]))
}

/// Takes `\\`, `\"` and `\n` for what they stand for; another backslash is itself.
fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        plain.push_str(&rest[..at]);
        let (taken, length) = match rest[at + 1..].bytes().next() {
            Some(b'n') => ('\n', 2),
            Some(b'"') => ('"', 2),
            Some(b'\\') => ('\\', 2),
            _ => ('\\', 1),
        };
        plain.push(taken);
        rest = &rest[at + length..];
    }
    plain + rest
}

/// Enough of a text to find it.
fn shorten(text: &str) -> String {
    text.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CLASSIC: &str = r#"# HELP a_total Counts \\ things.\nOf two lines.
# TYPE a_total counter
a_total{x="1",y="a \"b\" \\ \n c",} 3 1700000000000
a_total{ x = "2" } 4e3

# a remark
# TYPE h histogram
h_bucket{le="0.1"} 1
h_bucket{le="+Inf"} 2
h_sum 0.5
h_count 2
	other   NaN
# TYPE s summary
s{quantile="0.5"} +Inf
s_count 1
{"a.b", z="1"} -1
"#;

    const OPEN: &str = r#"# TYPE a counter
# UNIT a seconds
# HELP a Counts.
a_total{x="1"} 3 # {trace_id="abc"} 1 1700000000.0
a_created{x="1"} 1700000000.0
# TYPE b info
b_info{v="1"} 1
# TYPE empty gauge
# EOF
"#;

    fn families(text: &str) -> Vec<(String, Kind, usize)> {
        let exposition = Exposition::parse(text).unwrap();
        exposition.families.into_iter().map(|family| (family.name, family.kind, family.samples.len())).collect()
    }

    #[test]
    fn the_classic_format_is_read() {
        let expected = [
            ("a_total", Kind::Counter, 2),
            ("h", Kind::Histogram, 4),
            ("other", Kind::Untyped, 1),
            ("s", Kind::Summary, 2),
            ("a.b", Kind::Untyped, 1),
        ];
        assert_eq!(families(CLASSIC), expected.map(|(name, kind, count)| (name.to_owned(), kind, count)));
        let family = &Exposition::parse(CLASSIC).unwrap().families[0];
        assert_eq!(family.help, "Counts \\ things.\nOf two lines.");
        assert_eq!(family.samples[0].labels["y"], "a \"b\" \\ \n c");
        assert_eq!((family.samples[0].value, family.samples[1].value), (3.0, 4000.0));
    }

    #[test]
    fn openmetrics_is_read_under_the_names_of_its_series() {
        let expected = [("a_total", Kind::Counter, 1), ("b_info", Kind::Info, 1)];
        assert_eq!(families(OPEN), expected.map(|(name, kind, count)| (name.to_owned(), kind, count)));
        assert_eq!(Exposition::parse(OPEN).unwrap().families[0].unit, "seconds");
    }

    #[test]
    fn what_is_no_exposition_is_told_with_its_line() {
        for (text, line, expected) in [
            ("a 1\n<!DOCTYPE html>\n", 2, "is no sample"),
            ("{\"status\":\"success\",\"data\":[]}", 1, "a comma or a closing brace is missing"),
            ("a{b=\"c} 1", 1, "a quote is missing"),
            ("a{b=\"c\" d=\"e\"} 1", 1, "a comma or a closing brace"),
            ("a{b} 1", 1, "is no label"),
            ("a one", 1, "`one` is no value of a"),
            ("a", 1, "is no sample"),
            ("# TYPE a number", 1, "`number` is no type"),
        ] {
            let error = Exposition::parse(text).unwrap_err();
            assert!(error.line == line && error.message.contains(expected), "{text}: {error:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "([#{}\"=, \\\\naé_1]|TYPE |counter|\n){0,40}") {
            let _ = Exposition::parse(&text);
        }

        #[test]
        fn no_mutation_panics(at in 0..CLASSIC.len(), with in "[ -~\n\t]{0,4}", length in 0_usize..20) {
            let mut text = CLASSIC.to_owned();
            let end = (at + length).min(text.len());
            text.replace_range(at..end, &with);
            let _ = Exposition::parse(&text);
        }
    }
}
