//! Standardised residuals of a series about what the other days foretell, without what looks like an incident.

use super::estimate::{Estimate, INCIDENT_DAYS};
use super::series::Series;
use super::tails::Tails;
use super::{OUTLIER_SHARE, OUTLIER_SIGMAS};

/// Learns the tails of a series about its estimate.
pub(super) fn tails(series: &Series, estimate: &Estimate, removal: bool) -> Tails {
    let mut residuals = Vec::with_capacity(series.values().len());
    // Where the residuals of each day end.
    let mut days: Vec<usize> = Vec::new();
    let mut last = i64::MIN;
    for (index, block) in series.blocks.iter().enumerate().filter(|(index, _)| estimate.kept[*index]) {
        let (centre, scale) = estimate.foretold[index];
        let of_block = series.of(block).iter().map(|value| estimate.following.value(index, *value));
        match series.step {
            Some(step) => {
                let begin = residuals.len();
                residuals.extend(
                    of_block
                        .enumerate()
                        .map(|(place, value)| ((value + step * dither(begin + place) - centre) / scale) as f32),
                );
            }
            None => residuals.extend(of_block.map(|value| ((value - centre) / scale) as f32)),
        }
        if block.day != last {
            days.push(residuals.len());
            last = block.day;
        }
        if let Some(end) = days.last_mut() {
            *end = residuals.len();
        }
    }
    if removal {
        leave_incidents_out(&mut residuals, &mut days);
    }
    Tails::learn(&residuals, &days)
}

/// Drops the outliers where they lie on so few days that they are an incident's.
fn leave_incidents_out(residuals: &mut Vec<f32>, days: &mut [usize]) {
    let is_outlier = |residual: &f32| f64::from(residual.abs()) > OUTLIER_SIGMAS;
    let mut begin = 0;
    let count = |end: &usize| {
        let count = residuals[begin..*end].iter().filter(|residual| is_outlier(residual)).count();
        begin = *end;
        count
    };
    let outliers: Vec<usize> = days.iter().map(count).collect();
    let all: usize = outliers.iter().sum();
    let hit = outliers.iter().filter(|count| **count > 0).count() as f64;
    if all == 0 || all as f64 > OUTLIER_SHARE * residuals.len() as f64 || hit > INCIDENT_DAYS * days.len() as f64 {
        return;
    }
    residuals.retain(|residual| !is_outlier(residual));
    let mut dropped = 0;
    for (end, outliers) in days.iter_mut().zip(outliers) {
        dropped += outliers;
        *end -= dropped;
    }
}

/// Spreads whole numbers evenly over their step, the same way each time (a Weyl sequence): a tail of counts is then as
/// smooth as that of any other series, and half of those that equal a value count as beyond it (mid-p).
fn dither(index: usize) -> f64 {
    let place = index as f64 * 0.618_033_988_749_894_9;
    place - place.floor() - 0.5
}
