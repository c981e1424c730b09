//! Hours before the samples, as values of a replay. Pure.
//!
//! What is kept of an hour is its mean; detectors look at medians of samples. Of a skewed series (a response time) the one
//! lies well above the other, and a course from means to medians would look like a fall. So the means are brought to the
//! level of medians, by what the hours say of which there is both.

use crate::history::{RollUp, Sample};
use crate::stats;

pub(super) const HOUR_MS: i64 = 3_600_000;
/// Hours with both below which means are taken as they are.
const FEWEST: usize = 6;

/// The middle of each hour that ends before the samples begin, and its value. `hours` reach into the time of the samples.
pub(super) fn before(samples_from: i64, hours: &[RollUp], samples: &[Sample]) -> (Vec<i64>, Vec<f32>) {
    let factor = median_of_mean(samples_from, hours, samples);
    let before = hours.iter().filter(|hour| hour.at.saturating_add(HOUR_MS) <= samples_from);
    before.map(|hour| (hour.at.saturating_add(HOUR_MS / 2), hour.mean * factor)).unzip()
}

/// How many times an hour's mean its median usually is.
fn median_of_mean(samples_from: i64, hours: &[RollUp], samples: &[Sample]) -> f32 {
    let median = |hour: &RollUp| {
        let begin = samples.partition_point(|sample| sample.at < hour.at);
        let end = samples.partition_point(|sample| sample.at < hour.at.saturating_add(HOUR_MS));
        stats::median(&mut samples[begin..end].iter().map(|sample| sample.value).collect::<Vec<_>>())
    };
    let both = hours.iter().filter(|hour| hour.at >= samples_from && hour.mean > 0.0);
    let ratios = both.filter_map(|hour| Some((median(hour)? / f64::from(hour.mean)) as f32));
    let mut ratios: Vec<f32> = ratios.filter(|ratio| ratio.is_finite() && *ratio >= 0.0).collect();
    if ratios.len() < FEWEST {
        return 1.0;
    }
    stats::median(&mut ratios).map_or(1.0, |ratio| ratio as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hour(number: i64, mean: f32) -> RollUp {
        RollUp { at: number * HOUR_MS, count: 3, minimum: 0.0, maximum: 9.0, mean }
    }

    /// Three samples in each hour: 1, 2 and 6, of which the mean is 3.
    fn skewed(hours: std::ops::Range<i64>) -> Vec<Sample> {
        let of_hour = |hour: i64| [(0, 1.0), (1, 6.0), (2, 2.0)].map(|(place, value)| (hour, place, value));
        let each = hours.flat_map(of_hour);
        each.map(|(hour, place, value)| Sample { at: hour * HOUR_MS + place * 60_000, value }).collect()
    }

    #[test]
    fn means_are_brought_to_the_level_of_medians() {
        let hours: Vec<RollUp> = (0..20).map(|number| hour(number, 3.0)).collect();
        let (instants, values) = before(10 * HOUR_MS, &hours, &skewed(10..20));
        assert_eq!(instants, (0..10).map(|number| number * HOUR_MS + HOUR_MS / 2).collect::<Vec<_>>());
        assert!(values.iter().all(|value| (value - 2.0).abs() < 1e-6), "{values:?}");
    }

    #[test]
    fn with_few_hours_of_both_and_where_there_is_none_means_stay_as_they_are() {
        let hours: Vec<RollUp> = (0..20).map(|number| hour(number, 3.0)).collect();
        for samples in [skewed(10..12), Vec::new()] {
            let (_, values) = before(10 * HOUR_MS, &hours, &samples);
            assert!(values.len() == 10 && values.iter().all(|value| (value - 3.0).abs() < 1e-6), "{values:?}");
        }
        let (instants, _) = before(10 * HOUR_MS + 1, &hours, &[]);
        assert_eq!(instants.len(), 10, "an hour that the samples begin in is theirs");
    }
}
