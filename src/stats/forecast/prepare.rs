//! A series without gaps and outliers, on the scale of its errors.

use super::robust::{median, moving_mean, moving_median, scale};
use super::season::{Periods, Season};
use super::transform::Transform;
use super::trend::{Trend, trend};

/// Residuals beyond so many robust standard deviations are drawn back to there.
const OUTLIER: f64 = 4.0;

/// Robust standard deviations from the median, seasons and all, beyond which a value that stands alone is a fault of the
/// measurement and counts as missing: no step after it is as robust as that.
const ABSURD: f64 = 30.0;

/// Times the median size that a value may have: beyond that, sums of squares would lose the others.
const HUGE: f64 = 1e12;

/// What the methods work on.
pub(super) struct Prepared {
    pub values: Vec<f64>,
    /// The same with the outliers that there were: forecasts are judged by these.
    pub seen: Vec<f64>,
    pub transform: Transform,
    /// In the series' own unit; taken out of the values, which are at the last one's level.
    pub trend: Trend,
    /// No value is expected below it.
    pub least: f64,
}

/// `values` holds at least one finite value; what is not finite counts as missing.
pub(super) fn prepare(values: &[f64], periods: Periods) -> Prepared {
    let values = &without_absurd(values, periods)[..];
    let size = size(values);
    let least = values.iter().copied().filter(|value| value.is_finite()).fold(f64::INFINITY, f64::min);
    let linear = Transform::linear(size);
    let mut filled: Vec<f64> = values.iter().map(|value| linear.forth(*value).clamp(-HUGE, HUGE)).collect();
    fill(&mut filled, periods);
    let season = Season::learn(&filled, periods);
    let flat: Vec<f64> = filled.iter().enumerate().map(|(at, value)| value - season.at(at)).collect();
    // Whole days where there are enough of them.
    let block = periods.short.unwrap_or(usize::MAX).min(filled.len() / 10);
    let found = trend(&flat, block);
    let last = filled.len() - 1;
    filled.iter_mut().enumerate().for_each(|(at, value)| *value += found.slope * (last - at) as f64);
    let trend = Trend { slope: found.slope * size, error: found.error * size };
    let (fitted, residuals) = decomposed(&filled, periods);
    let least_left = filled.iter().copied().fold(f64::INFINITY, f64::min);
    let transform = Transform::chosen(size, least.min(least_left * size), &fitted, &residuals);
    for value in &mut filled {
        *value = transform.forth_of(*value);
    }
    let (fitted, mut residuals) = decomposed(&filled, periods);
    let seen = filled.clone();
    let bound = OUTLIER * scale(&mut residuals);
    if bound > 0.0 {
        filled.iter_mut().zip(fitted).for_each(|(value, fitted)| *value = value.clamp(fitted - bound, fitted + bound));
    }
    Prepared { values: filled, seen, transform, trend, least: if least < 0.0 { f64::MIN } else { 0.0 } }
}

/// The values without those that are absurd: far beyond all others, alone between neighbours that are not, and not seen at
/// that place of a season before or after. The last row stays, for it may be the first of many.
fn without_absurd(values: &[f64], periods: Periods) -> Vec<f64> {
    let known = || values.iter().copied().filter(|value| value.is_finite());
    let middle = median(&mut known().collect::<Vec<_>>());
    let bound = ABSURD * scale(&mut known().map(|value| value - middle).collect::<Vec<_>>());
    // Without any spread nothing is far.
    if bound <= 0.0 || !bound.is_finite() {
        return values.to_vec();
    }
    let far = |at: usize| values.get(at).is_some_and(|value| (value - middle).abs() > bound);
    let again = |at: usize, distance: usize| at.checked_sub(distance).is_some_and(far) || far(at + distance);
    let distances = [Some(1), periods.short, periods.long];
    let alone = |at: usize| !distances.into_iter().flatten().any(|distance| again(at, distance));
    let absurd = |at: usize| far(at) && at + 1 < values.len() && alone(at);
    values.iter().enumerate().map(|(at, value)| if absurd(at) { f64::NAN } else { *value }).collect()
}

/// Median size of the values, or of those that are not zero.
fn size(values: &[f64]) -> f64 {
    let sizes = || values.iter().filter(|value| value.is_finite()).map(|value| value.abs());
    let size = median(&mut sizes().collect::<Vec<_>>());
    let size = if size > 0.0 { size } else { median(&mut sizes().filter(|size| *size > 0.0).collect::<Vec<_>>()) };
    if size > 0.0 { size } else { 1.0 }
}

/// Missing rows: one long or short period before, or after, else between their neighbours.
fn fill(values: &mut [f64], periods: Periods) {
    let missing: Vec<usize> = (0..values.len()).filter(|at| !values[*at].is_finite()).collect();
    if missing.is_empty() {
        return;
    }
    let known: Vec<bool> = values.iter().map(|value| value.is_finite()).collect();
    for at in &missing {
        let near = [periods.long, periods.short].into_iter().flatten().flat_map(|period| {
            [at.checked_sub(period), Some(at + period).filter(|after| *after < values.len())].into_iter().flatten()
        });
        let found: Vec<usize> = near.filter(|at| known[*at]).collect();
        if let Some(source) = found.first() {
            values[*at] = values[*source];
        }
    }
    let mut before: Option<usize> = None;
    let mut at = 0;
    while at < values.len() {
        if values[at].is_finite() {
            before = Some(at);
            at += 1;
            continue;
        }
        let after = (at..values.len()).find(|at| values[*at].is_finite());
        let end = after.unwrap_or(values.len());
        for row in at..end {
            values[row] = match (before, after) {
                (Some(before), Some(after)) => {
                    let share = (row - before) as f64 / (after - before) as f64;
                    values[before] + share * (values[after] - values[before])
                }
                (Some(known), None) | (None, Some(known)) => values[known],
                (None, None) => 0.0,
            };
        }
        at = end;
    }
}

/// Robust decomposition: medians of each place in the period, round a local level that follows steps. Fitted values and
/// residuals.
fn decomposed(values: &[f64], periods: Periods) -> (Vec<f64>, Vec<f64>) {
    let mut season = vec![0.0; values.len()];
    if let Some(short) = periods.short {
        // The whole cycle, or every weekend would be an outlier.
        let period = periods.cycle();
        let level = moving_mean(values, short);
        let profile: Vec<f64> = (0..period)
            .map(|place| {
                median(&mut (place..values.len()).step_by(period).map(|at| values[at] - level[at]).collect::<Vec<_>>())
            })
            .collect();
        season.iter_mut().enumerate().for_each(|(at, season)| *season = profile[at % period]);
    }
    let rest: Vec<f64> = values.iter().zip(&season).map(|(value, season)| value - season).collect();
    let level = moving_median(&rest, periods.short.unwrap_or(12).min(60) / 2);
    let fitted: Vec<f64> = season.iter().zip(level).map(|(season, level)| season + level).collect();
    let residuals = values.iter().zip(&fitted).map(|(value, fitted)| value - fitted).collect();
    (fitted, residuals)
}
