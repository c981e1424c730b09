//! Exact order statistics by selection: linear time, no sorting, on the caller's buffer.

/// Makes the median absolute deviation of normally distributed values equal to their standard deviation: 1 / Φ⁻¹(3/4).
pub const MAD_TO_SIGMA: f64 = 1.482_602_218_505_602;

/// The same for the mean absolute deviation: √(π/2).
pub const MEAN_DEVIATION_TO_SIGMA: f64 = 1.253_314_137_315_500_3;

/// The `share`-quantile (0 to 1, clamped) of finite values, interpolated linearly between the two nearest
/// (Hyndman and Fan 1996, type 7). Reorders the values. `None` when there are none.
pub fn quantile(values: &mut [f32], share: f64) -> Option<f64> {
    quantiles(values, [share]).map(|[found]| found)
}

/// Several quantiles of finite values in one go: the middle one of them splits the values that the others are sought among.
/// Shares in ascending order; others are each sought among all. Reorders the values. `None` when there are none.
pub fn quantiles<const N: usize>(values: &mut [f32], shares: [f64; N]) -> Option<[f64; N]> {
    let last = values.len().checked_sub(1)?;
    let mut found = [0.0; N];
    let positions = shares.map(|share| last as f64 * share.clamp(0.0, 1.0));
    if positions.is_sorted() {
        select(values, 0, &positions, &mut found);
    } else {
        for (found, position) in found.iter_mut().zip(positions) {
            *found = selected(values, position.floor() as usize, position.fract());
        }
    }
    Some(found)
}

/// The values at these positions, in ascending order, of values whose first has the rank `begin` among all: the middle
/// position and all of its rank from one selection, and the others from what lies on either side of it.
fn select(values: &mut [f32], begin: usize, positions: &[f64], found: &mut [f64]) {
    let rank_of = |position: f64| position.floor() as usize;
    let Some(middle) = positions.get(positions.len() / 2).map(|position| rank_of(*position)) else { return };
    let from = positions.partition_point(|position| rank_of(*position) < middle);
    let to = positions.partition_point(|position| rank_of(*position) <= middle);
    let rank = (middle - begin).min(values.len() - 1);
    for (found, position) in found[from..to].iter_mut().zip(&positions[from..to]) {
        *found = selected(values, rank, position.fract());
    }
    // What lies below may be moved towards the one of that rank, and towards nothing beyond it.
    select(&mut values[..=rank], begin, &positions[..from], &mut found[..from]);
    if rank + 1 < values.len() {
        select(&mut values[rank + 1..], middle + 1, &positions[to..], &mut found[to..]);
    }
}

/// The value of that rank, moved by `fraction` towards the next one.
fn selected(values: &mut [f32], rank: usize, fraction: f64) -> f64 {
    let (_, lower, above) = values.select_nth_unstable_by(rank, f32::total_cmp);
    let lower = f64::from(*lower);
    // At a fraction of 0 the neighbour must not matter, or rounding would move an exact order statistic.
    if fraction <= 0.0 {
        return lower;
    }
    let upper = above.iter().copied().min_by(f32::total_cmp).map_or(lower, f64::from);
    lower + fraction * (upper - lower)
}

/// The median of values in double precision, of an even number the mean of the two middle ones. Reorders the values. `None`
/// when there are none.
pub fn middle(values: &mut [f64]) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    let is_even = values.len().is_multiple_of(2);
    let (below, upper, _) = values.select_nth_unstable_by(values.len() / 2, f64::total_cmp);
    let lower = below.iter().copied().max_by(f64::total_cmp).filter(|_| is_even);
    Some(lower.map_or(*upper, |lower| f64::midpoint(lower, *upper)))
}

/// The median of finite values. Reorders them. `None` when there are none.
pub fn median(values: &mut [f32]) -> Option<f64> {
    quantile(values, 0.5)
}

/// Robust standard deviation from absolute residuals: their median times [`MAD_TO_SIGMA`]. Where more than half of them
/// are zero that says nothing, so then their mean times [`MEAN_DEVIATION_TO_SIGMA`] (Iglewicz and Hoaglin, *How to
/// Detect and Handle Outliers*, 1993). Reorders them. `None` when there are none.
pub fn robust_scale(residuals: &mut [f32]) -> Option<f64> {
    let middle = median(residuals)?;
    if middle > 0.0 {
        return Some(middle * MAD_TO_SIGMA);
    }
    let mean = residuals.iter().copied().map(f64::from).sum::<f64>() / residuals.len() as f64;
    Some(mean * MEAN_DEVIATION_TO_SIGMA)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn close(found: Option<f64>, expected: f64) -> bool {
        found.is_some_and(|found| (found - expected).abs() <= 1e-6 * (1.0 + expected.abs()))
    }

    #[test]
    fn quantiles_interpolate_between_neighbours() {
        let quantile_of = |share| quantile(&mut [4.0, 1.0, 3.0, 2.0], share);
        assert!(close(quantile_of(0.0), 1.0));
        assert!(close(quantile_of(0.5), 2.5));
        assert!(close(quantile_of(0.95), 3.85));
        assert!(close(quantile_of(1.0), 4.0));
        assert_eq!(quantile(&mut [], 0.5), None);
    }

    #[test]
    fn one_wild_value_does_not_move_the_robust_scale() {
        let quiet = robust_scale(&mut [0.0, 1.0, 1.0, 2.0, 2.0, 3.0, 3.0]);
        let wild = robust_scale(&mut [0.0, 1.0, 1.0, 2.0, 2.0, 3.0, 1e9]);
        assert_eq!(quiet, wild);
        assert!(close(quiet, 2.0 * MAD_TO_SIGMA));
    }

    #[test]
    fn mostly_equal_values_are_scaled_by_their_mean_deviation() {
        assert!(close(robust_scale(&mut [0.0, 0.0, 0.0, 4.0]), MEAN_DEVIATION_TO_SIGMA));
        assert!(close(robust_scale(&mut [0.0, 0.0, 0.0]), 0.0));
    }

    proptest! {
        #[test]
        fn selection_agrees_with_sorting(mut values in prop::collection::vec(-1e6_f32..1e6, 1..100), share in 0.0_f64..=1.0) {
            let mut sorted = values.clone();
            sorted.sort_by(f32::total_cmp);
            let position = (sorted.len() - 1) as f64 * share;
            let (below, above) = (position.floor() as usize, position.ceil() as usize);
            let (lower, upper) = (f64::from(sorted[below]), f64::from(sorted[above]));
            let expected = lower + (position - below as f64) * (upper - lower);
            prop_assert!(close(quantile(&mut values, share), expected));
        }

        #[test]
        fn several_quantiles_at_once_agree_with_each_alone(
            values in prop::collection::vec(-1e6_f32..1e6, 1..100), shares in prop::array::uniform3(0.0_f64..=1.0),
        ) {
            let alone = shares.map(|share| quantile(&mut values.clone(), share));
            let found = quantiles(&mut values.clone(), shares).map(|found| found.map(Some));
            prop_assert_eq!(found, Some(alone));
        }

        #[test]
        fn several_quantiles_in_order_agree_with_each_alone(
            values in prop::collection::vec(-1e6_f32..1e6, 1..100), shares in prop::array::uniform6(0.0_f64..=1.0),
        ) {
            let mut shares = shares;
            shares.sort_by(f64::total_cmp);
            let alone = shares.map(|share| quantile(&mut values.clone(), share));
            let found = quantiles(&mut values.clone(), shares).map(|found| found.map(Some));
            prop_assert_eq!(found, Some(alone));
        }

        #[test]
        fn quantiles_never_decrease(mut values in prop::collection::vec(-1e6_f32..1e6, 1..100), a in 0.0_f64..=1.0, b in 0.0_f64..=1.0) {
            prop_assert!(quantile(&mut values, a.min(b)) <= quantile(&mut values, a.max(b)));
        }

        #[test]
        fn any_values_in_any_order_are_survived(mut values in prop::collection::vec(any::<f32>(), 0..50), share in any::<f64>()) {
            quantile(&mut values, share);
            robust_scale(&mut values);
        }
    }
}
