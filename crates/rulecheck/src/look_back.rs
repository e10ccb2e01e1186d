//! How far a query looks back: what it asks of the time for which samples are kept.

use promql_parser::parser::{Expr, Offset};

/// How far an expression looks back, in seconds.
pub fn look_back(expr: &Expr) -> f64 {
    let offset = |offset: &Option<Offset>| match offset {
        Some(Offset::Pos(back)) => back.as_secs_f64(),
        _ => 0.0,
    };
    match expr {
        Expr::VectorSelector(selector) => offset(&selector.offset),
        Expr::MatrixSelector(matrix) => offset(&matrix.vs.offset) + matrix.range.as_secs_f64(),
        Expr::Subquery(subquery) => offset(&subquery.offset) + subquery.range.as_secs_f64() + look_back(&subquery.expr),
        Expr::Paren(paren) => look_back(&paren.expr),
        Expr::Unary(unary) => look_back(&unary.expr),
        Expr::Binary(binary) => look_back(&binary.lhs).max(look_back(&binary.rhs)),
        Expr::Aggregate(aggregate) => {
            aggregate.param.as_ref().map_or(0.0, |param| look_back(param)).max(look_back(&aggregate.expr))
        }
        Expr::Call(call) => call.args.args.iter().map(|argument| look_back(argument)).fold(0.0, f64::max),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => 0.0,
    }
}

/// Seconds as Prometheus writes them: `90s`, `5m`, `1h`.
pub fn duration(seconds: f64) -> String {
    let units = [(86_400.0, "d"), (3600.0, "h"), (60.0, "m")];
    match units.iter().find(|(unit, _)| seconds > 0.0 && seconds % unit == 0.0) {
        Some((unit, name)) => format!("{}{name}", seconds / unit),
        None if seconds.fract() == 0.0 => format!("{seconds}s"),
        None => format!("{}ms", (seconds * 1000.0).round()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::parse_expr;

    #[test]
    fn ranges_and_offsets_add_up() {
        for (expr, days) in [
            ("a offset 2d", 2.0),
            ("max_over_time(rate(a[1d] offset 1d)[3d:1h] offset 1d)", 6.0),
            ("a / a offset -1d", 0.0),
            ("quantile(scalar(a offset 1d), b)", 1.0),
        ] {
            assert_eq!(look_back(&parse_expr(expr).unwrap()), days * 86_400.0, "{expr}");
        }
    }

    #[test]
    fn durations_are_short() {
        let texts = [90.0, 300.0, 7200.0, 1_296_000.0, 0.5].map(duration);
        assert_eq!(texts, ["90s", "5m", "2h", "15d", "500ms"]);
    }
}
