//! Rates as people write them: `10%/hour`, `5ms/day`.

use super::units::limit_in_unit;
use super::{FieldError, MetricSet};
use crate::api::Decimal;

/// How much in how long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// How much.
    pub amount: Amount,
    /// In how long, in ms.
    pub per: Per,
}

/// An amount of a metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Amount {
    /// A share of a level: 0.1 is 10 %.
    Share(f64),
    /// In the metric's unit.
    Unit(f64),
}

impl Amount {
    /// The amount in the metric's unit, of a level.
    pub fn of(self, level: f64) -> f64 {
        match self {
            Self::Share(share) => share * level.abs(),
            Self::Unit(amount) => amount,
        }
    }
}

/// A span of time that a rate is counted in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Per {
    Second,
    Minute,
    Hour,
    Day,
    Week,
}

impl Per {
    fn of(name: &str) -> Option<Self> {
        match name {
            "s" | "second" => Some(Self::Second),
            "m" | "minute" => Some(Self::Minute),
            "h" | "hour" => Some(Self::Hour),
            "d" | "day" => Some(Self::Day),
            "w" | "week" => Some(Self::Week),
            _ => None,
        }
    }

    /// In ms.
    pub fn milliseconds(self) -> f64 {
        match self {
            Self::Second => 1e3,
            Self::Minute => 6e4,
            Self::Hour => 3.6e6,
            Self::Day => 8.64e7,
            Self::Week => 6.048e8,
        }
    }

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
        }
    }
}

/// Reads a rate of a metric.
pub(super) fn rate(field: &str, text: &str, metric: usize, metrics: &MetricSet) -> Result<Rate, FieldError> {
    let unit = metrics.get(metric).map_or("", |descriptor| descriptor.unit.as_str());
    let slash = if unit.is_empty() { String::new() } else { format!(" or {unit}") };
    let error = || {
        let allowed = format!(
            "a number greater than 0 in %{slash}, per second, minute, hour, day or week, such as 10%/hour or 5{unit}/day"
        );
        FieldError::new(field, &text, allowed)
    };
    let (amount, per) = text.trim().rsplit_once('/').ok_or_else(error)?;
    let per = Per::of(per.trim()).ok_or_else(error)?;
    let amount = amount_of(field, &Decimal::Text(amount.trim().to_owned()), metric, metrics).map_err(|_| error())?;
    Ok(Rate { amount, per })
}

/// Reads an amount of a metric that is greater than 0: percent is a share of a level, whatever the metric's unit.
pub(super) fn amount_of(
    field: &str,
    decimal: &Decimal,
    metric: usize,
    metrics: &MetricSet,
) -> Result<Amount, FieldError> {
    let unit = metrics.get(metric).map_or("", |descriptor| descriptor.unit.as_str());
    let error = || {
        let allowed = format!("a number greater than 0 in %, such as 30%, or in the metric's unit ({unit})");
        FieldError::new(field, decimal, allowed)
    };
    let amount = match decimal.resolve() {
        Ok((percent, "%")) => Amount::Share(percent / 100.0),
        Ok(_) => Amount::Unit(limit_in_unit(field, decimal, metric, metrics)?.1),
        Err(_) => return Err(error()),
    };
    let (Amount::Share(size) | Amount::Unit(size)) = amount;
    if size > 0.0 && size.is_finite() { Ok(amount) } else { Err(error()) }
}
