//! Templates of annotations and labels: which labels they use, how they print the value, what they query.
//!
//! A subset of Go's `text/template`, followed as far as Prometheus' alerts go: what is not followed is unknown, and
//! accuses nobody. Source: prometheus/prometheus `template/template.go` and Go's `text/template/parse`.

mod lex;
pub mod notification;
mod read;

use std::ops::Range;

/// What a template does.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Template {
    /// Labels of the alert that it uses, in reading order.
    pub labels: Vec<LabelUse>,
    /// Places where it prints the alert's value.
    pub values: Vec<ValueUse>,
    /// The texts of its queries, where they are written out.
    pub queries: Vec<String>,
    /// What loads and goes wrong when the alert fires.
    pub failures: Vec<TemplateError>,
}

/// A use of a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelUse {
    /// The label.
    pub label: String,
    /// The place of the action, in bytes.
    pub action: Range<usize>,
    /// Whether the template itself asks if the label is there: `if`, `with`, `or`.
    pub guarded: bool,
}

/// A place where the value is printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueUse {
    /// The functions it went through, in that order: `humanizePercentage`.
    pub functions: Vec<String>,
    /// Whether a percent sign follows.
    pub percent: bool,
    /// The place of the action, in bytes.
    pub action: Range<usize>,
}

/// Why a template cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateError {
    /// The place, in bytes.
    pub at: usize,
    /// What is wrong.
    pub message: String,
}

impl Template {
    /// Reads a template. What Prometheus would refuse to load is an error.
    pub fn parse(text: &str) -> Result<Template, TemplateError> {
        read::template(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Labels, each with a question mark where guarded.
    fn labels(text: &str) -> Vec<String> {
        let found = Template::parse(text).unwrap().labels;
        found.iter().map(|found| format!("{}{}", found.label, if found.guarded { "?" } else { "" })).collect()
    }

    fn value(text: &str) -> (String, bool) {
        let found = Template::parse(text).unwrap().values;
        assert_eq!(found.len(), 1, "{text}");
        (found[0].functions.join(" "), found[0].percent)
    }

    #[test]
    fn labels_are_found_in_every_spelling() {
        assert_eq!(labels("{{ $labels.a }} {{.Labels.b}} {{ $.Labels.c | title }}"), ["a", "b", "c"]);
        assert_eq!(labels("{{ printf \"%s-%s\" $labels.a (index $labels \"b\") }}"), ["a", "b"]);
        assert_eq!(labels("{{ with $labels }}{{ .a }}{{ end }}{{ $l := .Labels }}{{ $l.b }}"), ["a", "b"]);
        assert_eq!(labels("{{ range $k, $v := $labels }}{{ $k }}{{ end }}{{ $externalLabels.x }}"), [""; 0]);
        assert_eq!(labels("{{ range query \"up\" }}{{ .Labels.instance }}{{ end }}"), [""; 0]);
        let uses = Template::parse("in {{ $labels.a }}").unwrap().labels;
        assert_eq!(uses[0].action, 3..18);
    }

    #[test]
    fn a_label_that_the_template_asks_for_is_guarded() {
        assert_eq!(
            labels("{{ if $labels.a }}{{ $labels.a }}{{ $labels.b }}{{ end }}{{ $labels.a }}"),
            ["a?", "a?", "b", "a"]
        );
        assert_eq!(labels("{{ with $labels.a }}{{ . }}{{ else }}{{ $labels.b }}{{ end }}"), ["a?", "b"]);
        assert_eq!(labels("{{ or $labels.a $labels.b }}"), ["a?", "b?"]);
        assert_eq!(labels("{{ if $labels.a }}x{{ else if $labels.b }}{{ $labels.b }}{{ end }}"), ["a?", "b?", "b?"]);
    }

    #[test]
    fn the_value_is_followed_to_where_it_is_printed() {
        assert_eq!(value("{{ $value | humanizePercentage }} of"), ("humanizePercentage".into(), false));
        assert_eq!(value("{{ printf \"%.2f\" .Value }}%"), ("printf".into(), true));
        assert_eq!(value("{{ $value | printf \"%.1f%%\" }}"), ("printf".into(), true));
        assert_eq!(value("{{ $v := humanize $value }}{{ $v }} %"), ("humanize".into(), true));
        assert_eq!(Template::parse("{{ if gt $value 1.0 }}x{{ end }}").unwrap().values, []);
    }

    #[test]
    fn queries_are_found_where_they_are_written_out() {
        let found = Template::parse("{{ with query \"up == 0\" }}{{ . | first | value | humanize }}{{ end }}").unwrap();
        assert_eq!((found.queries, found.values), (vec!["up == 0".to_owned()], vec![]));
        assert_eq!(Template::parse("{{ printf \"up{a='%s'}\" .Labels.a | query }}").unwrap().queries, [""; 0]);
    }

    #[test]
    fn what_prometheus_refuses_is_an_error() {
        for bad in [
            "{{ $labels.a",
            "{{ if $value }}",
            "{{ end }}",
            "{{ else }}",
            "{{ humanise $value }}",
            "{{ $lables.a }}",
            "{{ ( $value }}",
            "{{ $value ) }}",
            "{{ }}",
            "{{ | humanize }}",
            "{{ break }}",
        ] {
            assert!(Template::parse(bad).is_err(), "{bad}");
        }
        for good in [
            "{{ ($value | ) }}",
            "{{ $value | }}",
            "{{ $x = 1 }}{{ $x }}",
            "{{ 'c' }}",
            "{{ -1.5 }}",
            "{{ (printf `a`).b }}",
        ] {
            assert!(Template::parse(good).is_ok(), "{good}");
        }
        let failures = Template::parse("{{ .Annotations.x }}").unwrap().failures;
        assert!(failures[0].message.starts_with("an alert has no field .Annotations"));
    }

    #[test]
    fn what_goes_wrong_when_the_alert_fires_is_a_failure() {
        let failures = |text: &str| -> Vec<String> {
            Template::parse(text).unwrap().failures.into_iter().map(|failure| failure.message).collect()
        };
        assert_eq!(failures("{{ template \"nope\" . }}"), ["there is no template `nope`"]);
        assert_eq!(failures("{{ template \"x\" }}{{ define \"x\" }}a{{ end }}{{ block \"y\" . }}{{ end }}"), [""; 0]);
        for text in ["{{ $labels.pod.x }}", "{{ with .Labels.pod }}{{ .x }}{{ end }}", "{{ (index $labels \"a\").x }}"]
        {
            assert_eq!(failures(text), ["a text has no field .x"], "{text}");
        }
        assert_eq!(failures("{{ $value.x }}"), ["the alert's value has no field .x"]);
        assert_eq!(
            failures("{{ (query \"up\" | first).Labels.x.y }}{{ range $l := $labels }}{{ $l.x }}{{ end }}"),
            [""; 0]
        );
    }

    const SAMPLE: &str =
        "{{- if and $labels.a (gt $value 1.0) -}}{{ printf `%s` $labels.b }}{{ else with .Labels }}{{ .c }}%{{ end }}";

    proptest! {
        #[test]
        fn no_text_panics(text in "(\\{\\{|\\}\\}|[ -~äß\n]){0,30}") {
            let _ = Template::parse(&text);
        }

        #[test]
        fn no_mutation_panics(at in 0..SAMPLE.len(), with in "[ -~]{0,3}", length in 0_usize..10) {
            let mut text = SAMPLE.to_owned();
            let end = (at + length).min(text.len());
            text.replace_range(at..end, &with);
            let _ = Template::parse(&text);
        }
    }

    #[test]
    fn deep_nesting_is_an_error() {
        assert!(Template::parse(&format!("{{{{ {} }}}}", "(".repeat(100_000))).is_err());
    }
}
