//! What a detector shows for its verdict.

use std::borrow::Cow;
use std::fmt;

/// Something that a person can check: a name and what was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    /// What was looked at, in words: `slope`, `peers' median`, `days to limit`.
    pub name: Cow<'static, str>,
    /// What was found.
    pub found: Found,
}

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// An amount and its unit (empty for a plain number).
    Number(f64, Cow<'static, str>),
    /// An instant, milliseconds since the Unix epoch.
    Time(i64),
    /// A time span in ms.
    Duration(i64),
    /// Words.
    Text(String),
}

impl Evidence {
    /// An amount with its unit; a plain number has the unit `""`.
    pub fn number(name: impl Into<Cow<'static, str>>, value: f64, unit: impl Into<Cow<'static, str>>) -> Self {
        Self { name: name.into(), found: Found::Number(value, unit.into()) }
    }

    /// An instant, milliseconds since the Unix epoch.
    pub fn time(name: impl Into<Cow<'static, str>>, at: i64) -> Self {
        Self { name: name.into(), found: Found::Time(at) }
    }

    /// A time span in ms.
    pub fn duration(name: impl Into<Cow<'static, str>>, milliseconds: i64) -> Self {
        Self { name: name.into(), found: Found::Duration(milliseconds) }
    }

    /// A probability as how many samples of normal life there are to one like this; `None` where it is 0.
    pub fn rarity(probability: f64) -> Option<Self> {
        let words = || match 1.0 / probability {
            // Beyond that nobody has the samples to check it.
            samples if samples >= 1e9 => "less than one sample in 1e9".to_owned(),
            samples => format!("one sample in {samples:.0}"),
        };
        (probability > 0.0).then(|| Self::text("rarity", words()))
    }

    /// Words.
    pub fn text(name: impl Into<Cow<'static, str>>, text: impl Into<String>) -> Self {
        Self { name: name.into(), found: Found::Text(text.into()) }
    }
}

/// For people: four significant digits, times in RFC 3339, spans in the unit in which they read best.
impl fmt::Display for Found {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(value, unit) if unit.is_empty() => formatter.write_str(&significant(*value)),
            Self::Number(value, unit) => {
                let gap = if unit.starts_with('%') { "" } else { " " };
                write!(formatter, "{}{gap}{unit}", significant(*value))
            }
            Self::Time(at) => match jiff::Timestamp::from_millisecond(*at) {
                Ok(time) => write!(formatter, "{time:.0}"),
                Err(_) => formatter.write_str("beyond any calendar"),
            },
            Self::Duration(milliseconds) => {
                let seconds = *milliseconds as f64 / 1e3;
                let (amount, unit) = match seconds.abs() {
                    size if size >= 2.0 * 86_400.0 => (seconds / 86_400.0, "days"),
                    size if size >= 2.0 * 3_600.0 => (seconds / 3_600.0, "hours"),
                    size if size >= 120.0 => (seconds / 60.0, "minutes"),
                    _ => (seconds, "s"),
                };
                write!(formatter, "{} {unit}", significant(amount))
            }
            Self::Text(text) => formatter.write_str(text),
        }
    }
}

/// Four significant digits, without trailing zeros; powers of ten beyond 1e15 and below 1e-6.
fn significant(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-6..1e15).contains(&size) {
        return format!("{value:.3e}");
    }
    let magnitude = if size > 0.0 { size.log10().floor() as i32 } else { 0 };
    let decimals = usize::try_from(3 - magnitude).unwrap_or(0);
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_probability_reads_as_so_many_samples_and_none_at_all_as_nothing() {
        let read = |probability| Evidence::rarity(probability).map(|one| one.found.to_string());
        assert_eq!(read(0.001).as_deref(), Some("one sample in 1000"));
        assert_eq!(read(1e-30).as_deref(), Some("less than one sample in 1e9"));
        assert_eq!(read(0.0), None);
    }

    #[test]
    fn what_was_found_reads_for_people() {
        let table = [
            (Evidence::number("a", 12.345_67, "ms"), "12.35 ms"),
            (Evidence::number("a", 0.000_123_46, ""), "0.0001235"),
            (Evidence::number("a", 85.0, "%"), "85%"),
            (Evidence::number("a", -3.5, "%/day"), "-3.5%/day"),
            (Evidence::number("a", 123_456.7, "B"), "123457 B"),
            (Evidence::number("a", 1e20, "B"), "1.000e20 B"),
            (Evidence::number("a", 0.0, ""), "0"),
            (Evidence::number("a", f64::NAN, ""), "NaN"),
            (Evidence::number("a", f64::INFINITY, ""), "inf"),
            (Evidence::time("a", 1_772_409_600_000), "2026-03-02T00:00:00Z"),
            (Evidence::time("a", i64::MAX), "beyond any calendar"),
            (Evidence::duration("a", 90_000), "90 s"),
            (Evidence::duration("a", 3_600_000), "60 minutes"),
            (Evidence::duration("a", 86_400_000), "24 hours"),
            (Evidence::duration("a", 11 * 86_400_000), "11 days"),
            (Evidence::text("a", "level"), "level"),
        ];
        for (evidence, expected) in table {
            assert_eq!(evidence.found.to_string(), expected);
        }
    }

    proptest! {
        #[test]
        fn every_number_reads_as_itself_in_four_digits(value in prop::num::f64::ANY) {
            let text = significant(value);
            if value.is_finite() {
                let read: f64 = text.parse().unwrap();
                prop_assert!((read - value).abs() <= value.abs() * 1e-3, "{text}");
            }
            prop_assert!(text.len() <= 20, "{text}");
        }
    }
}
