//! What a value counts or measures, as exponents: bytes per second is bytes¹ · seconds⁻¹.

use std::fmt;

/// The unit of a value, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Unit {
    /// Nothing is known.
    Unknown,
    /// A product of powers, times a factor: 100 for a ratio in percent, 1/1024 for KiB.
    Known {
        /// The exponent of seconds.
        seconds: i8,
        /// The exponent of bytes.
        bytes: i8,
        /// The exponent of anything that is counted: executions, requests, pods.
        count: i8,
        /// What the value was multiplied with.
        factor: f64,
    },
}

impl Unit {
    /// A part of a whole, 0 to 1, or any number without a unit.
    pub const RATIO: Unit = Unit::known(0, 0, 0);
    /// A number of things.
    pub const COUNT: Unit = Unit::known(0, 0, 1);
    /// Seconds, as a duration or a time.
    pub const SECONDS: Unit = Unit::known(1, 0, 0);

    const fn known(seconds: i8, bytes: i8, count: i8) -> Unit {
        Unit::Known { seconds, bytes, count, factor: 1.0 }
    }

    const fn times_factor(seconds: i8, bytes: i8, factor: f64) -> Unit {
        Unit::Known { seconds, bytes, count: 0, factor }
    }

    /// The unit of a contract's word. `mixed` is for a metric whose unit depends on a label.
    pub fn of_word(word: &str) -> Unit {
        match word {
            "seconds" => Unit::SECONDS,
            "milliseconds" => Unit::times_factor(1, 0, 1e3),
            "microseconds" => Unit::times_factor(1, 0, 1e6),
            "nanoseconds" => Unit::times_factor(1, 0, 1e9),
            "minutes" => Unit::times_factor(1, 0, 1.0 / 60.0),
            "hours" => Unit::times_factor(1, 0, 1.0 / 3600.0),
            "days" => Unit::times_factor(1, 0, 1.0 / 86_400.0),
            "bytes" => Unit::known(0, 1, 0),
            "bits" => Unit::times_factor(0, 1, 8.0),
            "ratio" => Unit::RATIO,
            "percent" => Unit::Known { seconds: 0, bytes: 0, count: 0, factor: 100.0 },
            "mixed" | "" => Unit::Unknown,
            // These are no amounts: they can be negative, and their sums mean nothing.
            "celsius" | "fahrenheit" | "kelvin" => Unit::Unknown,
            _ => Unit::COUNT,
        }
    }

    fn combine(self, other: Unit, sign: i8) -> Unit {
        match (self, other) {
            (
                Unit::Known { seconds, bytes, count, factor },
                Unit::Known { seconds: s, bytes: b, count: c, factor: f },
            ) => Unit::Known {
                seconds: seconds.saturating_add(sign.saturating_mul(s)),
                bytes: bytes.saturating_add(sign.saturating_mul(b)),
                count: count.saturating_add(sign.saturating_mul(c)),
                factor: if sign > 0 { factor * f } else { factor / f },
            },
            _ => Unit::Unknown,
        }
    }

    /// The unit of a product. A count may be one of a series that only carries labels and is always 1, so the product
    /// with one keeps the other side's unit where that is more than a number.
    #[must_use]
    pub fn times(self, other: Unit) -> Unit {
        match (self, other) {
            (Unit::COUNT, Unit::COUNT | Unit::RATIO) | (Unit::RATIO, Unit::COUNT) => Unit::Unknown,
            (Unit::COUNT, unit) | (unit, Unit::COUNT) => unit,
            _ => self.combine(other, 1),
        }
    }

    /// The unit of a quotient.
    #[must_use]
    pub fn per(self, other: Unit) -> Unit {
        self.combine(other, -1)
    }

    /// The unit after a multiplication with a plain number. Only steps between a unit's usual multiples are followed; a
    /// number such as 300 may itself be seconds, and then nothing is known.
    #[must_use]
    pub fn scaled(self, by: f64) -> Unit {
        let steps = [100.0, 1000.0, 1024.0, 1e6, 1e9, 1_048_576.0, 1_073_741_824.0, 60.0, 3600.0, 86_400.0];
        match self {
            Unit::Known { seconds, bytes, count, factor }
                if by == 0.0 || by == 1.0 || steps.iter().any(|step| by == *step || by == 1.0 / step) =>
            {
                // Nothing of something is in its unit still.
                Unit::Known { seconds, bytes, count, factor: if by == 0.0 { factor } else { factor * by } }
            }
            _ => Unit::Unknown,
        }
    }

    /// Whether the two may be added or compared; `true` where that cannot be told.
    pub fn fits(self, other: Unit) -> bool {
        match (self, other) {
            (Unit::Known { seconds, bytes, .. }, Unit::Known { seconds: s, bytes: b, .. }) => {
                // Counts of one thing and of another are not told apart, and a count fits a plain number.
                (seconds, bytes) == (s, b)
            }
            _ => true,
        }
    }

    /// Whether the value is certainly not a plain ratio from 0 to 1.
    pub fn is_not_ratio(self) -> bool {
        !matches!(self, Unit::Unknown | Unit::Known { seconds: 0, bytes: 0, count: 0, factor: 1.0 })
    }

    /// Whether the value is a ratio in percent.
    pub fn is_percent(self) -> bool {
        self == Unit::Known { seconds: 0, bytes: 0, count: 0, factor: 100.0 }
    }

    /// Whether the value is certainly not in seconds. Seconds per thing are seconds.
    pub fn is_not_seconds(self) -> bool {
        !matches!(self, Unit::Unknown | Unit::Known { seconds: 1, bytes: 0, factor: 1.0, .. })
    }

    /// Whether the value is an amount of things or of bytes.
    pub fn is_amount(self) -> bool {
        matches!(
            self,
            Unit::Known { seconds: 0, bytes: 1, count: 0, .. } | Unit::Known { seconds: 0, bytes: 0, count: 1, .. }
        )
    }

    /// Whether the value is certainly not in bytes.
    pub fn is_not_bytes(self) -> bool {
        !matches!(self, Unit::Unknown | Unit::Known { seconds: 0, bytes: 1, factor: 1.0, .. })
    }
}

/// `seconds`, `bytes per second`, `a ratio`, `a count per second`, `percent`.
impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Unit::Known { seconds, bytes, count, factor } = *self else {
            return f.write_str("an unknown unit");
        };
        if self.is_percent() {
            return f.write_str("percent");
        }
        let text = match (seconds, bytes, count) {
            (0, 0, 0) => "a ratio".to_owned(),
            (1, 0, 0 | -1) => "seconds".to_owned(),
            (0, 1, 0) => "bytes".to_owned(),
            (-1, 1, 0) => "bytes per second".to_owned(),
            (0, 0, 1) => "a count".to_owned(),
            (-1, 0, 1) => "a count per second".to_owned(),
            _ => {
                let powers = [("seconds", seconds), ("bytes", bytes), ("count", count)];
                let powers = powers.into_iter().filter(|(_, power)| *power != 0);
                powers.map(|(word, power)| format!("{word}^{power}")).collect::<Vec<_>>().join(" · ")
            }
        };
        if factor == 1.0 { f.write_str(&text) } else { write!(f, "{factor} × {text}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_follow_the_arithmetic() {
        let (seconds, count) = (Unit::SECONDS, Unit::COUNT);
        let rate = |unit: Unit| unit.per(Unit::SECONDS);
        assert_eq!(rate(seconds), Unit::RATIO);
        assert_eq!(rate(count).per(rate(count)), Unit::RATIO);
        assert!(!rate(seconds).per(rate(count)).is_not_seconds());
        assert!(rate(count).is_not_ratio() && rate(count).is_not_seconds());
        assert!(Unit::RATIO.scaled(100.0).is_percent());
        assert_eq!(rate(count).scaled(300.0), Unit::Unknown);
        assert_eq!(Unit::of_word("bytes").scaled(1.0 / 1024.0).to_string(), "0.0009765625 × bytes");
    }

    /// `kubelet_running_pods * on (instance) group_left (node) kubelet_node_name` is no number of pods squared.
    #[test]
    fn a_join_with_a_series_that_is_always_1_keeps_the_unit() {
        assert_eq!(Unit::COUNT.times(Unit::COUNT).per(Unit::COUNT), Unit::Unknown);
        assert_eq!(Unit::of_word("bytes").times(Unit::COUNT), Unit::of_word("bytes"));
        assert_eq!(Unit::RATIO.times(Unit::COUNT), Unit::Unknown);
        assert_eq!(Unit::RATIO.times(Unit::SECONDS), Unit::SECONDS);
    }

    #[test]
    fn what_is_not_known_accuses_nobody() {
        let unknown = Unit::Unknown;
        assert!(!unknown.is_not_ratio() && !unknown.is_not_seconds() && unknown.fits(Unit::SECONDS));
        assert!(!Unit::SECONDS.fits(Unit::of_word("bytes")));
    }
}
