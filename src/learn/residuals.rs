//! Standardised residuals of a series, without what looks like an incident.

use std::collections::BTreeMap;

use super::calendar::{absolute_hour, hour_of_week};
use super::estimate::Estimate;
use super::tails::Tails;
use super::{OUTLIER_SHARE, OUTLIER_SIGMAS, Sample};

/// Greatest share of the days on which outliers of an incident lie. Values that far out on more days than that belong
/// to the series: a heavy tail shows on many days, an incident on one or two of a fortnight.
const INCIDENT_DAYS: f64 = 0.2;
/// Sigmas beyond which samples of one stretch of time are counted.
const HIGH: f32 = 2.0;

/// Learns the tails of a series about its estimate.
pub(super) fn tails<'a>(
    samples: impl Iterator<Item = &'a Sample>,
    estimate: &Estimate,
    removal: bool,
    whole: bool,
) -> Tails {
    let mut residuals = Vec::new();
    let mut days: BTreeMap<i64, u32> = BTreeMap::new();
    let (mut high, mut stretches, mut was_high) = (0_u32, 0_u32, false);
    let mut day = (i64::MIN, 0);
    for sample in samples {
        let hour = hour_of_week(sample.at);
        let (centre, scale) = (estimate.centre[hour], estimate.scale[hour]);
        let value = f64::from(sample.value) + if whole { dither(residuals.len()) } else { 0.0 };
        let residual = ((value - centre) / scale) as f32;
        residuals.push(residual);
        let today = absolute_hour(sample.at).div_euclid(24);
        if today != day.0 {
            *days.entry(day.0).or_default() += day.1;
            day = (today, 0);
        }
        day.1 += u32::from(f64::from(residual.abs()) > OUTLIER_SIGMAS);
        let is_high = residual.abs() > HIGH;
        high += u32::from(is_high);
        stretches += u32::from(is_high && !was_high);
        was_high = is_high;
    }
    *days.entry(day.0).or_default() += day.1;
    let outliers: u32 = days.values().sum();
    let hit = days.values().filter(|outliers| **outliers > 0).count() as f64;
    let incidents =
        hit <= INCIDENT_DAYS * (days.len() - 1) as f64 && f64::from(outliers) <= OUTLIER_SHARE * residuals.len() as f64;
    if removal && outliers > 0 && incidents {
        residuals.retain(|residual| f64::from(residual.abs()) <= OUTLIER_SIGMAS);
    }
    Tails::learn(&mut residuals, f64::from(stretches) / f64::from(high.max(1)))
}

/// Spreads whole numbers evenly over their step, the same way each time (a Weyl sequence): a tail of counts is then as
/// smooth as that of any other series, and half of those that equal a value count as beyond it (mid-p).
fn dither(index: usize) -> f64 {
    ((index as f64 * 0.618_033_988_749_894_9) % 1.0) - 0.5
}
