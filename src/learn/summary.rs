//! The figures that people read.

use super::estimate::Estimate;
use super::profile::{Statistics, within};
use super::series::Series;
use super::tails::{Stretch, Tail, Tails};
use super::{OUTLIER_SHARE, Options};
use crate::stats;

/// Sigmas of the band that is shown in a Baseline's status unless another share of normal life is asked for.
const SHOWN_SIGMAS: f64 = 3.0;

/// `sides`: how long sigmas to each side are, and how often the series goes how far in them.
pub(super) fn summarise(
    series: &Series,
    estimate: &Estimate,
    sides: (Stretch, Tails),
    options: &Options,
) -> Statistics {
    let mut values = series.values().to_vec();
    let mut outliers = 0;
    if options.outlier_removal {
        let near = without_outliers(series, estimate);
        let far = values.len() - near.len();
        if far as f64 <= OUTLIER_SHARE * values.len() as f64 {
            (values, outliers) = (near, far as u64);
        }
    }
    let count = values.len().max(1) as f64;
    let mean = sum(&values, |value| value) / count;
    let squares = sum(&values, |value| (value - mean) * (value - mean));
    let (minimum, maximum) = values
        .iter()
        .fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), value| (low.min(*value), high.max(*value)));
    let [median, p95, p99] = stats::quantiles(&mut values, [0.5, 0.95, 0.99]).unwrap_or_default();
    // What is shown is what was seen.
    let bands = || estimate.centre.iter().zip(&estimate.scale).zip(&estimate.is_own).filter(|(_, own)| **own);
    let bands = || bands().map(|(band, _)| band);
    let (stretch, tails) = sides;
    let sigmas = |tail: Tail| match options.confidence {
        // As much is left out on either side.
        Some(confidence) => tail.distance((1.0 - confidence) / 2.0),
        None => SHOWN_SIGMAS,
    };
    let below = sigmas(tails.below) * f64::from(stretch.below);
    let above = sigmas(tails.above) * f64::from(stretch.above);
    let lowest = bands().map(|(centre, scale)| centre - below * scale).fold(f64::INFINITY, f64::min);
    let highest = bands().map(|(centre, scale)| centre + above * scale).fold(f64::NEG_INFINITY, f64::max);
    Statistics {
        samples: values.len() as u64,
        outliers,
        mean,
        median,
        standard_deviation: (squares / (count - 1.0).max(1.0)).sqrt(),
        p95,
        p99,
        minimum: f64::from(minimum),
        maximum: f64::from(maximum),
        lower: within(lowest, options.minimum, options.maximum),
        upper: within(highest, options.minimum, options.maximum),
    }
}

fn without_outliers(series: &Series, estimate: &Estimate) -> Vec<f32> {
    let mut near = Vec::with_capacity(series.values().len());
    for (index, block) in series.blocks.iter().enumerate() {
        near.extend(series.of(block).iter().copied().filter(|value| !estimate.is_outlier(index, block.hour, *value)));
    }
    near
}

/// Sum over all values, in eight lanes: one addition need not wait for the other.
fn sum(values: &[f32], of: impl Fn(f64) -> f64) -> f64 {
    let (chunks, rest) = values.as_chunks::<8>();
    let mut lanes = [0.0; 8];
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += of(f64::from(*value));
        }
    }
    lanes.iter().sum::<f64>() + rest.iter().map(|value| of(f64::from(*value))).sum::<f64>()
}
