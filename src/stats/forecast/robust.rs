//! Medians and spreads of `f64`, on the caller's buffer.

use crate::stats::{MAD_TO_SIGMA, MEAN_DEVIATION_TO_SIGMA, middle};

/// The median of finite values; 0 without values. Reorders them.
pub(super) fn median(values: &mut [f64]) -> f64 {
    middle(values).unwrap_or(0.0)
}

/// Robust standard deviation of residuals round 0, as [`crate::stats::robust_scale`]. Overwrites them.
pub(super) fn scale(residuals: &mut [f64]) -> f64 {
    for residual in residuals.iter_mut() {
        *residual = residual.abs();
    }
    let middle = median(residuals);
    if middle > 0.0 {
        return middle * MAD_TO_SIGMA;
    }
    mean(residuals) * MEAN_DEVIATION_TO_SIGMA
}

/// Arithmetic mean; 0 without values.
pub(super) fn mean(values: &[f64]) -> f64 {
    if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / values.len() as f64 }
}

/// Centred mean over one period, which takes out a season of that period; at the ends the nearest whole one goes on.
pub(super) fn moving_mean(values: &[f64], period: usize) -> Vec<f64> {
    let count = values.len();
    if period < 2 || count < period + 1 {
        return vec![mean(values); count];
    }
    let half = period / 2;
    // An even period has no middle: its two outermost values count half each.
    let outermost = if period.is_multiple_of(2) { 0.5 } else { 1.0 };
    let mut found = vec![0.0; count];
    let mut inner: f64 = values[1..2 * half].iter().sum();
    for at in half..count - half {
        found[at] = (inner + outermost * (values[at - half] + values[at + half])) / period as f64;
        inner += values[at + half] - values[at - half + 1];
    }
    let (first, last) = (found[half], found[count - half - 1]);
    found[..half].fill(first);
    found[count - half..].fill(last);
    found
}

/// Running median over a centred window of `2 * half + 1` values, shorter at the ends.
pub(super) fn moving_median(values: &[f64], half: usize) -> Vec<f64> {
    let mut window: Vec<f64> = Vec::with_capacity(2 * half + 1);
    let mut next = 0;
    (0..values.len())
        .map(|at| {
            while next < values.len() && next <= at + half {
                let place = window.partition_point(|value| *value < values[next]);
                window.insert(place, values[next]);
                next += 1;
            }
            if at > half {
                let place = window.partition_point(|value| *value < values[at - half - 1]);
                window.remove(place.min(window.len() - 1));
            }
            let middle = window.len() / 2;
            if window.len().is_multiple_of(2) { 0.5 * (window[middle - 1] + window[middle]) } else { window[middle] }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_moving_mean_over_one_period_sees_no_season() {
        let values: Vec<f64> = (0..100).map(|at| f64::from(at % 4) + 3.0).collect();
        assert!(moving_mean(&values, 4).iter().all(|mean| (mean - 4.5).abs() < 1e-9));
        let odd: Vec<f64> = (0..100).map(|at| f64::from(at % 5)).collect();
        assert!(moving_mean(&odd, 5).iter().all(|mean| (mean - 2.0).abs() < 1e-9));
    }

    proptest! {
        #[test]
        fn a_moving_median_is_the_median_of_its_window(values in prop::collection::vec(-100.0_f64..100.0, 1..60), half in 0_usize..10) {
            let found = moving_median(&values, half);
            for (at, found) in found.iter().enumerate() {
                let window = at.saturating_sub(half)..(at + half + 1).min(values.len());
                prop_assert!((found - median(&mut values[window].to_vec())).abs() < 1e-9);
            }
        }
    }
}
