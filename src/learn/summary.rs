//! The figures that people read.

use super::Options;
use super::estimate::Estimate;
use super::grouped::Grouped;
use super::profile::{Statistics, within};
use crate::stats::{self, Moments};

/// Sigmas of the band that is shown in a Baseline's status.
const SHOWN_SIGMAS: f64 = 3.0;

pub(super) fn summarise(grouped: &Grouped, estimate: &Estimate, outliers: u64, options: &Options) -> Statistics {
    let mut values = grouped.values().to_vec();
    let all = || grouped.values().iter().copied().map(f64::from);
    let moments: Moments = all().collect();
    let [median, p95, p99] = stats::quantiles(&mut values, [0.5, 0.95, 0.99]).unwrap_or_default();
    let bands = || estimate.centre.iter().zip(&estimate.scale);
    let lowest = bands().map(|(centre, scale)| centre - SHOWN_SIGMAS * scale).fold(f64::INFINITY, f64::min);
    let highest = bands().map(|(centre, scale)| centre + SHOWN_SIGMAS * scale).fold(f64::NEG_INFINITY, f64::max);
    Statistics {
        samples: moments.count(),
        outliers,
        mean: moments.mean(),
        median,
        standard_deviation: moments.standard_deviation(),
        p95,
        p99,
        minimum: all().fold(f64::INFINITY, f64::min),
        maximum: all().fold(f64::NEG_INFINITY, f64::max),
        lower: within(lowest, options.minimum, options.maximum),
        upper: within(highest, options.minimum, options.maximum),
    }
}
