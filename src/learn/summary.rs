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
    let moments: Moments = values.iter().copied().map(f64::from).collect();
    let mut quantile = |share| stats::quantile(&mut values, share).unwrap_or(0.0);
    let bands = || estimate.centre.iter().zip(&estimate.scale);
    let lowest = bands().map(|(centre, scale)| centre - SHOWN_SIGMAS * scale).fold(f64::INFINITY, f64::min);
    let highest = bands().map(|(centre, scale)| centre + SHOWN_SIGMAS * scale).fold(f64::NEG_INFINITY, f64::max);
    Statistics {
        samples: moments.count(),
        outliers,
        mean: moments.mean(),
        median: quantile(0.5),
        standard_deviation: moments.standard_deviation(),
        p95: quantile(0.95),
        p99: quantile(0.99),
        minimum: quantile(0.0),
        maximum: quantile(1.0),
        lower: within(lowest, options.minimum, options.maximum),
        upper: within(highest, options.minimum, options.maximum),
    }
}
