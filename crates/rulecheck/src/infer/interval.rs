//! Between which numbers a value lies.

use std::fmt;

/// An interval of numbers. A bound that is excluded cannot be reached.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// The lower bound; minus infinity where nothing is known.
    pub low: f64,
    /// The upper bound; infinity where nothing is known.
    pub high: f64,
    /// Whether the lower bound itself is excluded.
    pub above_low: bool,
    /// Whether the upper bound itself is excluded.
    pub below_high: bool,
}

impl Interval {
    /// Any number.
    pub const ANY: Interval = Interval::between(f64::NEG_INFINITY, f64::INFINITY);
    /// What counts: 0 and more.
    pub const COUNT: Interval = Interval::between(0.0, f64::INFINITY);

    /// From `low` to `high`, both included.
    pub const fn between(low: f64, high: f64) -> Interval {
        Interval { low, high, above_low: false, below_high: false }
    }

    /// One number.
    pub const fn one(value: f64) -> Interval {
        Interval::between(value, value)
    }

    /// The number, where there is only one.
    pub fn only(self) -> Option<f64> {
        (self.low == self.high).then_some(self.low)
    }

    /// Whether the value can be `number`.
    pub fn contains(self, number: f64) -> bool {
        let above = self.low < number || self.low == number && !self.above_low;
        let below = number < self.high || self.high == number && !self.below_high;
        above && below
    }

    /// Whether no number is left.
    pub fn is_empty(self) -> bool {
        self.low > self.high || self.low == self.high && (self.above_low || self.below_high)
    }

    /// The numbers of either, and those between.
    #[must_use]
    pub fn union(self, other: Interval) -> Interval {
        let (low, above_low) = match self.low.total_cmp(&other.low) {
            std::cmp::Ordering::Less => (self.low, self.above_low),
            std::cmp::Ordering::Equal => (self.low, self.above_low && other.above_low),
            std::cmp::Ordering::Greater => (other.low, other.above_low),
        };
        let (high, below_high) = match self.high.total_cmp(&other.high) {
            std::cmp::Ordering::Greater => (self.high, self.below_high),
            std::cmp::Ordering::Equal => (self.high, self.below_high && other.below_high),
            std::cmp::Ordering::Less => (other.high, other.below_high),
        };
        Interval { low, high, above_low, below_high }
    }

    /// What is left of it where `value OPERATOR other` holds for some number of `other`. Empty means never.
    #[must_use]
    pub fn filter(self, operator: &str, other: Interval) -> Interval {
        let mut left = self;
        let cap = |left: &mut Interval, strict: bool| {
            let excluded = strict || other.below_high;
            if other.high < left.high || other.high == left.high && excluded {
                (left.high, left.below_high) = (other.high, excluded);
            }
        };
        let raise = |left: &mut Interval, strict: bool| {
            let excluded = strict || other.above_low;
            if other.low > left.low || other.low == left.low && excluded {
                (left.low, left.above_low) = (other.low, excluded);
            }
        };
        match operator {
            ">" => raise(&mut left, true),
            ">=" => raise(&mut left, false),
            "<" => cap(&mut left, true),
            "<=" => cap(&mut left, false),
            "==" => {
                raise(&mut left, false);
                cap(&mut left, false);
            }
            // Only a bound can be cut off an interval.
            "!=" => {
                if let Some(number) = other.only() {
                    left.above_low |= left.low == number;
                    left.below_high |= left.high == number;
                }
            }
            _ => {}
        }
        left
    }

    /// Whether `value OPERATOR other` holds for every value, whatever number of `other` it meets.
    pub fn always(self, operator: &str, other: Interval) -> bool {
        match operator {
            ">" => self.low > other.high || self.low == other.high && (self.above_low || other.below_high),
            ">=" => self.low >= other.high,
            "<" => self.high < other.low || self.high == other.low && (self.below_high || other.above_low),
            "<=" => self.high <= other.low,
            "==" => self.only().is_some() && self.only() == other.only(),
            "!=" => self.filter("==", other).is_empty(),
            _ => false,
        }
    }

    /// The interval of an arithmetic operator's results.
    #[must_use]
    pub fn arithmetic(self, operator: &str, other: Interval) -> Interval {
        let corners = |of: fn(f64, f64) -> f64| {
            let all = [(self.low, other.low), (self.low, other.high), (self.high, other.low), (self.high, other.high)];
            // Zero times infinity is no number; as a bound it is zero.
            let all = all.map(|(a, b)| of(a, b)).map(|number| if number.is_nan() { 0.0 } else { number });
            let low = all.iter().copied().fold(f64::INFINITY, f64::min);
            let high = all.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            Interval::between(low, high)
        };
        match operator {
            // Or no number, where both are 0.
            "/" if self.only() == Some(0.0) => self,
            "+" => Interval {
                above_low: self.above_low || other.above_low,
                below_high: self.below_high || other.below_high,
                ..Interval::between(self.low + other.low, self.high + other.high)
            },
            "-" => Interval::between(self.low - other.high, self.high - other.low),
            "*" => corners(|a, b| a * b),
            "/" if other.low >= 0.0 && self.low >= 0.0 => {
                let low = if other.high.is_infinite() { 0.0 } else { self.low / other.high };
                let high = if other.low == 0.0 { f64::INFINITY } else { self.high / other.low };
                Interval::between(
                    if low.is_nan() { 0.0 } else { low },
                    if high.is_nan() { f64::INFINITY } else { high },
                )
            }
            "/" if !other.contains(0.0) && other.low > 0.0 || other.high < 0.0 => corners(|a, b| a / b),
            "%" if other.low > 0.0 && self.low >= 0.0 => {
                Interval { below_high: true, ..Interval::between(0.0, other.high) }
            }
            _ => Interval::ANY,
        }
    }
}

/// `0 to 300`, `above 0`, `any number`.
impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.low, self.high) {
            _ if self.is_empty() => f.write_str("no number"),
            (low, high) if low == high => f.write_str(&number(low)),
            (f64::NEG_INFINITY, f64::INFINITY) => f.write_str("any number"),
            (low, f64::INFINITY) => write!(f, "{}{}", if self.above_low { "above " } else { "at least " }, number(low)),
            (f64::NEG_INFINITY, high) => {
                write!(f, "{}{}", if self.below_high { "below " } else { "at most " }, number(high))
            }
            (low, high) => write!(f, "{} to {}", number(low), number(high)),
        }
    }
}

/// A number without what a calculation with fractions adds far behind the point.
fn number(exact: f64) -> String {
    const PARTS: f64 = 1e9;
    let rounded = (exact * PARTS).round() / PARTS;
    if rounded.is_finite() && rounded != 0.0 { rounded.to_string() } else { exact.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_that_cannot_be_reached_is_excluded() {
        let quantile = Interval::between(0.0, 5.0);
        assert!(quantile.filter(">", Interval::one(5.0)).is_empty());
        assert!(!quantile.filter(">=", Interval::one(5.0)).is_empty());
        assert!(Interval::COUNT.filter("<", Interval::one(0.0)).is_empty());
        assert!(!Interval::COUNT.filter(">", Interval::one(0.0)).contains(0.0));
        assert!(Interval::one(0.0).filter("!=", Interval::one(0.0)).is_empty());
    }

    #[test]
    fn always_and_never_are_told_apart() {
        assert!(Interval::COUNT.always(">=", Interval::one(0.0)));
        assert!(!Interval::COUNT.always(">", Interval::one(0.0)));
        assert!(Interval::one(0.0).always("==", Interval::one(0.0)));
        assert!(!Interval::ANY.always("==", Interval::one(0.0)));
    }

    #[test]
    fn arithmetic_stays_on_the_safe_side() {
        let (count, part) = (Interval::COUNT, Interval::between(0.0, 1.0));
        assert_eq!(count.arithmetic("*", Interval::one(0.0)), Interval::one(0.0));
        assert_eq!(count.arithmetic("/", count), count);
        assert_eq!(part.arithmetic("*", Interval::one(100.0)), Interval::between(0.0, 100.0));
        assert_eq!(Interval::one(1.0).arithmetic("-", part), part);
        assert_eq!(part.arithmetic("^", part), Interval::ANY);
        assert_eq!(part.union(Interval::one(7.0)), Interval::between(0.0, 7.0));
    }
}
