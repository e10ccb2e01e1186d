//! The mistakes: each one that people make, as a pattern and what stands in its place.

use promql_parser::parser::value::ValueType;
use promql_parser::parser::{BinaryExpr, Expr, LabelModifier};
use rulecheck::query::parse_expr;

/// One kind of mistake. Every place where the pattern matches makes a mutant.
pub struct Mutator {
    pub name: &'static str,
    pub part: Part,
    pub pattern: &'static str,
    pub replacement: &'static str,
    /// What must not stand before the place: there the change would leave the rule right.
    pub not_after: Option<&'static str>,
    /// The changed queries of which it is a mistake at all.
    pub applies: fn(&str) -> bool,
    /// Whether it is made in all places at once.
    pub everywhere: bool,
}

/// What is changed: a part of a rule, or the text of a dashboard.
#[derive(Clone, Copy, PartialEq)]
pub enum Part {
    Expr,
    Annotations,
    Severity,
    /// A label `namespace` is added.
    Namespace,
    Hold,
    /// The name of a recorded series.
    Record,
    Board,
}

const fn mutator(part: Part, name: &'static str, pattern: &'static str, replacement: &'static str) -> Mutator {
    Mutator { name, part, pattern, replacement, not_after: None, applies: |_| true, everywhere: false }
}

const fn expr(name: &'static str, pattern: &'static str, replacement: &'static str) -> Mutator {
    mutator(Part::Expr, name, pattern, replacement)
}

const fn text(name: &'static str, pattern: &'static str, replacement: &'static str) -> Mutator {
    mutator(Part::Annotations, name, pattern, replacement)
}

const fn board(name: &'static str, pattern: &'static str, replacement: &'static str) -> Mutator {
    mutator(Part::Board, name, pattern, replacement)
}

impl Mutator {
    const fn not_after(self, pattern: &'static str) -> Mutator {
        Mutator { not_after: Some(pattern), ..self }
    }

    const fn only(self, applies: fn(&str) -> bool) -> Mutator {
        Mutator { applies, ..self }
    }

    const fn everywhere(self) -> Mutator {
        Mutator { everywhere: true, ..self }
    }
}

pub const MUTATORS: [Mutator; 51] = [
    // Names and values.
    expr("a metric's name misspelt", r"\b([a-z]+_[a-z_]+?)(_total|_bucket|_count|_bytes|_replicas)\b", "${1}s$2"),
    expr("a label misspelt in a matcher", r#"([{,]\s*[a-z_]+)(=~?"[^"$]+")"#, "${1}s$2"),
    expr("a value that is never there", r#"((?:status|step_type|phase|code)=~?")([^"$]+")"#, "${1}no-$2"),
    expr("the job of another program", r#"job="[a-z-]+""#, r#"job="node""#),
    // Counters, histograms, ranges.
    expr("delta for rate", r"\brate\(", "delta("),
    expr("deriv for rate", r"\brate\(", "deriv("),
    expr("increase left out", r"\bincrease\(([a-z_:]+(?:\{[^}]*\})?)\[[0-9a-z]+\]\)", "$1").not_after(NOTHING_OF),
    expr("rate left out", r"\brate\(([a-z_:]+(?:\{[^}]*\})?)\[[0-9a-z]+\]\)", "$1").not_after(NOTHING_OF),
    expr("le left out", r"by \(([a-z_, ]*), le\)", "by ($1)"),
    expr("a quantile in percent", r"histogram_quantile\(0\.9[0-9]*,", "histogram_quantile(95,"),
    expr("a quantile of sums", r"_bucket\b", "_sum"),
    expr("a threshold beyond the last bucket", r"(histogram_quantile\([^#]*?\)\)?\s*>)\s*[0-9.]+", "$1 4000"),
    expr("a range shorter than two scrapes", r"\[[0-9]+m\]", "[10s]"),
    expr("a range beyond what is kept", r"\[[0-9]+[smhd]\]", "[40d]"),
    expr("irate for rate", r"\brate\(", "irate("),
    // Two sides. One side alone asks another question, which is no mistake.
    expr(
        "aggregation left out on one side",
        r"sum by \([a-z_, ]+\) (\((?:rate|increase)\([a-z_:]+(?:\{[^}]*\})?\[[0-9a-z]+\]\)\))",
        "$1",
    )
    .only(has_two_sides),
    expr("everything added up on one side", r"\b(sum|max|min) by \([a-z_, ]+\)", "$1").only(has_two_sides),
    expr("another label on one side", r"\b(sum|max|min) by \([a-z_, ]+\)", "$1 by (pod)").only(has_two_sides),
    expr("a join on a label of one side", r"\bon \(namespace(?:, [a-z]+)?\)", "on (tenant_id)"),
    // Between sides with the same labels it changes nothing: that is where the next one has to look.
    expr("a set operator without on", r"\b(and|unless) on \([a-z_, ]+\)", "$1").only(sides_differ),
    expr("the label that differs kept on both sides", r"\bby \(namespace\)", "by (namespace, status)")
        .only(|text| text.contains("{status") && has_division(text))
        .everywhere(),
    expr("group_left left out", r"group_(left|right) \([a-z_, ]*\)\s", ""),
    expr("group_left of a label that is not there", r"group_(left|right) \([a-z_, ]*\)", "group_$1 (nobody)"),
    // Conditions.
    expr("a ratio that cannot be reached", r"> 0\.[0-9]+", "> 1.1").only(has_division),
    expr("a comparison that always holds", r"(increase|rate)(\([^()]*\)\)?) > 0($|[\s)])", "$1$2 >= 0$3"),
    // Texts.
    text("a label that was aggregated away", r"\$labels\.[a-z_]+", "$$labels.instance"),
    text(
        "a percentage of what is no ratio",
        r"\$value \| (humanizeDuration|humanize\b)",
        "$$value | humanizePercentage",
    ),
    text("a duration of what is no time", r"\$value \| humanizePercentage", "$$value | humanizeDuration"),
    text("a function that templates do not have", r"\| humanize", "| humanise"),
    text("a variable that templates do not have", r"\$labels\.", "$$label."),
    text("a brace left out of a text", r"\}\}", "}"),
    // The rest of a rule.
    mutator(Part::Severity, "a severity that nobody routes", r"^(warning|critical|info)$", "page"),
    mutator(Part::Namespace, "the namespace overwritten", "", "gorax").only(keeps_namespace),
    mutator(Part::Hold, "a condition shorter than a scrape", r"^[0-9]+m$", "5s"),
    mutator(Part::Record, "another range in a record's name", r"(rate|increase)[0-9]+[mh]$", "${1}7m"),
    mutator(Part::Record, "another level in a record's name", r"^[a-z_]+:", "nobody:"),
    // Dashboards.
    board("a panel's metric misspelt", r"([a-z]+_[a-z_]+?)(_total|_bucket|_count|_bytes)\b", "${1}s$2"),
    board("a panel's label misspelt", r#"\{([a-z]+)(=~?\\")"#, "{${1}s$2"),
    board("a legend's label misspelt", r#"("legendFormat": "[^"]*\{\{\s*[a-z_]+)"#, "${1}s"),
    board("a legend that is the same for all", r#""legendFormat": "[^"{]*\{\{[^"]*""#, r#""legendFormat": "all""#),
    board("a ratio shown in seconds", r#""unit": "percentunit""#, r#""unit": "s""#),
    board("seconds shown as bytes", r#""unit": "s""#, r#""unit": "bytes""#),
    board("a rate shown in seconds", r#""unit": "(ops|reqps|Bps|binBps)""#, r#""unit": "s""#),
    board("a variable that nobody defines", r#"(=~?\\"\$)([a-z]+)"#, "${1}no_$2"),
    board("one value where there can be several", r#"=~(\\"\$)"#, "=$1"),
    board("two queries of one letter", r#""refId": "[B-Z]""#, r#""refId": "A""#),
    board("the data source of one Grafana", r#""uid": "\$\{[a-z]+\}""#, r#""uid": "P1809F7CD0C75ACF3""#),
    board("a panel type that is gone", r#""type": "timeseries""#, r#""type": "graph""#),
    board("a panel beside the dashboard", r#""w": [0-9]+"#, r#""w": 25"#),
    board("a uid that links cannot hold", r#""uid": "[a-z-]+""#, r#""uid": "my dashboard""#)
        .not_after("prometheus\", $"),
    board("a bracket left out of a query", r#"("expr": "[^"]*?)\)"#, "$1"),
];

/// `0 * rate(x)` stands for nothing, and so does `0 * x`.
const NOTHING_OF: &str = r"0 \* (sum|max|min) by \([a-z_, ]*\) \($";

fn has_two_sides(text: &str) -> bool {
    any_operator(text, &|binary| is_vector(&binary.lhs) && is_vector(&binary.rhs))
}

fn has_division(text: &str) -> bool {
    any_operator(text, &|binary| binary.op.to_string() == "/")
}

fn is_vector(expr: &Expr) -> bool {
    expr.value_type() == ValueType::Vector
}

/// Whether a set operator without `on` has sides that keep other labels, as far as the text says.
fn sides_differ(text: &str) -> bool {
    any_operator(text, &|binary| {
        let is_bare = binary.op.is_set_operator()
            && binary.op.to_string() != "or"
            && binary.modifier.as_ref().is_none_or(|modifier| modifier.matching.is_none());
        is_bare && (kept(&binary.lhs).is_none() || kept(&binary.lhs) != kept(&binary.rhs))
    })
}

/// Whether the result certainly has a namespace to be overwritten.
fn keeps_namespace(text: &str) -> bool {
    parse_expr(text).is_ok_and(|expr| kept(&expr).is_some_and(|labels| labels.contains("namespace")))
}

/// The labels that a result keeps, as they are written: in `by ()`, or as the level of a recorded series.
fn kept(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Paren(paren) => kept(&paren.expr),
        Expr::Aggregate(aggregate) => match aggregate.modifier.as_ref()? {
            LabelModifier::Include(labels) => Some(labels.labels.join("_")),
            LabelModifier::Exclude(_) => None,
        },
        Expr::Binary(binary) if kept(&binary.lhs).is_some() => kept(&binary.lhs),
        Expr::Binary(binary) => kept(&binary.rhs),
        Expr::VectorSelector(selector) => Some(selector.name.as_ref()?.split_once(':')?.0.to_owned()),
        Expr::Call(call) => call.args.args.iter().find_map(|argument| kept(argument)),
        _ => None,
    }
}

/// Whether an operator of the query meets the condition.
fn any_operator(text: &str, condition: &dyn Fn(&BinaryExpr) -> bool) -> bool {
    parse_expr(text).is_ok_and(|expr| any_within(&expr, condition))
}

fn any_within(expr: &Expr, condition: &dyn Fn(&BinaryExpr) -> bool) -> bool {
    let within = |expr: &Expr| any_within(expr, condition);
    match expr {
        Expr::Binary(binary) => condition(binary) || within(&binary.lhs) || within(&binary.rhs),
        Expr::Paren(paren) => within(&paren.expr),
        Expr::Unary(unary) => within(&unary.expr),
        Expr::Aggregate(aggregate) => within(&aggregate.expr),
        Expr::Call(call) => call.args.args.iter().any(|argument| within(argument)),
        Expr::Subquery(subquery) => within(&subquery.expr),
        _ => false,
    }
}
