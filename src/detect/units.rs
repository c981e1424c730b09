//! Limits as people write them, in the metric's unit.

use super::{FieldError, MetricSet};
use crate::api::Decimal;

/// Units of time, in ms.
const TIME: &[(&str, f64)] = &[("ms", 1.0), ("s", 1e3), ("m", 6e4)];

/// Units of size, in bytes.
const SIZE: &[(&str, f64)] = &[
    ("B", 1.0),
    ("kB", 1e3),
    ("MB", 1e6),
    ("GB", 1e9),
    ("KiB", 1024.0),
    ("MiB", 1_048_576.0),
    ("GiB", 1_073_741_824.0),
    ("TiB", 1_099_511_627_776.0),
];

/// The finite number of a decimal without a unit.
pub(super) fn plain_number(decimal: &Decimal) -> Option<f64> {
    decimal.resolve().ok().and_then(|(number, unit)| (unit.is_empty() && number.is_finite()).then_some(number))
}

/// Limits below and above, at least one of them, in the unit of the metric that they judge: `metric`, or its share of the
/// maximum when they are in percent of that. `field`: that of the detector.
///
/// # Errors
/// [`FieldError`] for no limit, limits of different kinds, limits that every value would breach, and as [`limit_in_unit`].
pub(super) fn limits_in_unit(
    field: &str,
    (below, above): (Option<&Decimal>, Option<&Decimal>),
    metric: usize,
    metrics: &MetricSet,
) -> Result<(usize, Option<f64>, Option<f64>), FieldError> {
    let side = |name: &str, side: Option<&Decimal>| {
        side.map(|decimal| limit_in_unit(&format!("{field}.{name}"), decimal, metric, metrics)).transpose()
    };
    match (side("below", below)?, side("above", above)?) {
        (None, None) => Err(FieldError::new(field, &"neither above nor below", "at least one of them")),
        (Some((below, _)), Some((above, _))) if below != above => {
            let allowed = "both in percent of the maximum or both in the metric's unit";
            Err(FieldError::new(field, &"above and below of different kinds", allowed))
        }
        (Some((_, below)), Some((_, above))) if below >= above => {
            let found = format!("below {below}, above {above}");
            Err(FieldError::new(field, &found, "below less than above: all values would breach"))
        }
        (Some((judged, below)), above) => Ok((judged, Some(below), above.map(|(_, above)| above))),
        (None, Some((judged, above))) => Ok((judged, None, Some(above))),
    }
}

/// The metric that a limit judges, and the limit in that metric's unit.
///
/// Percent on a metric that is no percentage itself means its share of the maximum, which is a metric of its own.
pub(super) fn limit_in_unit(
    field: &str,
    decimal: &Decimal,
    metric: usize,
    metrics: &MetricSet,
) -> Result<(usize, f64), FieldError> {
    let Some(descriptor) = metrics.get(metric) else {
        return Err(FieldError::new("detect.metric", &metric, "a metric of the Baseline"));
    };
    let unit_of_metric = descriptor.unit.as_str();
    let name = descriptor.name.as_str();
    let share = descriptor.share.as_deref().map(|share| (share, metrics.index(share)));
    let or_percent = match share {
        Some((_, Some(_))) => ", or % of the maximum".to_owned(),
        Some((share, None)) => format!(", or % of the maximum where {share} is measured too, which it is not here"),
        None => String::new(),
    };
    let error = || FieldError::new(field, decimal, format!("{}{or_percent}", allowed(name, unit_of_metric)));
    let (number, unit) = decimal.resolve().map_err(|_| error())?;
    if !number.is_finite() {
        return Err(error());
    }
    if unit == "%" && unit_of_metric != "%" {
        return share.and_then(|(_, share)| share).map(|share| (share, number)).ok_or_else(error);
    }
    if unit.is_empty() || unit == unit_of_metric {
        return Ok((metric, number));
    }
    factor(unit, unit_of_metric).map(|factor| (metric, number * factor)).ok_or_else(error)
}

/// What one of `unit` is in the metric's unit.
fn factor(unit: &str, unit_of_metric: &str) -> Option<f64> {
    let of = |table: &[(&str, f64)], name: &str| table.iter().find(|(known, _)| *known == name).map(|(_, size)| *size);
    match unit_of_metric {
        "ms" | "s" => Some(of(TIME, unit)? / of(TIME, unit_of_metric)?),
        "B" => of(SIZE, unit),
        "B/s" => of(SIZE, unit.strip_suffix("/s")?),
        _ => None,
    }
}

fn allowed(name: &str, unit: &str) -> String {
    let names = |table: &[(&str, f64)], suffix: &str| {
        table.iter().map(|(name, _)| format!("{name}{suffix}")).collect::<Vec<_>>().join(", ")
    };
    let units = match unit {
        "ms" | "s" => format!(" of {}", names(TIME, "")),
        "B" => format!(" of {}", names(SIZE, "")),
        "B/s" => format!(" of {}", names(SIZE, "/s")),
        "" => return format!("a number without a unit: {name} has none"),
        unit => format!(" {unit}"),
    };
    format!("a number, alone (in {unit}) or with the unit{units}")
}
