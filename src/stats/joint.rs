//! Several quantities together: how far a vector lies from where its kind lies, by distances that know how the
//! quantities move together.
//!
//! Mean and covariance are followed in one pass over clipped values, so that one bad hour moves them little; the
//! covariance is shrunk towards its diagonal (Ledoit and Wolf 2004, the less the more was seen), so that it can be inverted
//! whatever was seen.

/// Most quantities that are judged together: the built-in metrics and all that a Baseline may have of its own, and as
/// many as there are bits in a u64. The covariance of 64 in f32 is 8.3 KB, and as much is what it was learnt from.
pub const MOST_TOGETHER: usize = 64;

/// Share of the covariance between two quantities that is never believed.
const SHRINKAGE: f64 = 0.005;
/// Samples at which half of it is not believed.
const HALF_BELIEVED: f64 = 50.0;
/// Least variance of a quantity, in squared units of its own scale: one that never moved counts as if it moved this much.
const LEAST_VARIANCE: f64 = 1e-4;
/// Samples after which each new one weighs the same: older ones fade.
const MEMORY: f64 = 20_000.0;
/// Samples of a quantity below which it is not judged.
const FEWEST: f64 = 50.0;
/// Greatest deviation that is reckoned with, in the quantities' units: sums of products stay finite.
const GREATEST: f64 = 1e6;
/// Values beyond so many standard deviations are learnt as if they lay there (Huber's function, as of 1964).
const CLIP: f64 = 4.0;

/// Mean and covariance of vectors with gaps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Joint {
    mean: Vec<f32>,
    /// Lower triangle by rows: covariance of two quantities over the samples that had both.
    covariance: Vec<f32>,
    /// Samples of each pair, up to [`MEMORY`], laid out as the covariance.
    weight: Vec<f32>,
}

/// How far one vector lies.
#[derive(Clone, Debug, PartialEq)]
pub struct Distance {
    /// Squared Mahalanobis distance over the quantities that were there.
    pub squared: f64,
    /// Number of those.
    pub count: usize,
    /// Share of the distance that each quantity carries, 0 to 1, in the order of the vector; 0 where it was absent. The
    /// shares sum to 1, unless the distance is 0.
    pub shares: Vec<f32>,
}

impl Distance {
    /// The distance as one that a standard normal variable would have, whatever the number of quantities: the cube root
    /// of a chi-squared variable is nearly normal (Wilson and Hilferty 1931). Of one quantity it is some z-score.
    pub fn normalised(&self) -> f64 {
        let count = self.count as f64;
        let part = 2.0 / (9.0 * count);
        ((self.squared / count).cbrt() - (1.0 - part)) / part.sqrt()
    }
}

fn place(row: usize, column: usize) -> usize {
    let (row, column) = (row.max(column), row.min(column));
    row * (row + 1) / 2 + column
}

impl Joint {
    /// Takes a vector in: finite values, `NaN` where there is none. Beyond [`MOST_TOGETHER`] they are passed over.
    /// `trust`, 0 to 1: how much it weighs, 1 for what belongs to normal life.
    pub fn take(&mut self, values: &[f32], trust: f64) {
        let count = values.len().min(MOST_TOGETHER);
        if self.mean.len() < count {
            self.mean.resize(count, 0.0);
            self.covariance.resize(place(count, 0), 0.0);
            self.weight.resize(place(count, 0), 0.0);
        }
        let mut clipped = [f32::NAN; MOST_TOGETHER];
        for (index, value) in values.iter().take(count).enumerate().filter(|(_, value)| value.is_finite()) {
            let seen = f64::from(self.weight[place(index, index)]);
            let mean = f64::from(self.mean[index]);
            let deviation = f64::from(*value) - mean;
            // Before a scale is known there is nothing to clip by.
            let reach = if seen < CLIP * CLIP { f64::INFINITY } else { CLIP * self.deviation(index) };
            let deviation = deviation.clamp(-reach, reach).clamp(-GREATEST, GREATEST);
            clipped[index] = deviation as f32;
            self.mean[index] = (mean + trust * deviation / (seen + trust).clamp(1.0, MEMORY)) as f32;
        }
        for row in (0..count).filter(|row| clipped[*row].is_finite()) {
            for column in (0..=row).filter(|column| clipped[*column].is_finite()) {
                let at = place(row, column);
                let seen = (f64::from(self.weight[at]) + trust).min(MEMORY);
                let product = f64::from(clipped[row]) * f64::from(clipped[column]);
                let before = f64::from(self.covariance[at]);
                // About the mean before the sample: the first one tells nothing of the spread.
                let correction = (seen - trust) / seen.max(1.0);
                self.covariance[at] = (before + trust * (product * correction - before) / seen.max(1.0)) as f32;
                self.weight[at] = seen as f32;
            }
        }
    }

    /// Forgets one quantity: it will be measured otherwise.
    pub fn forget(&mut self, quantity: usize) {
        if quantity >= self.mean.len() {
            return;
        }
        self.mean[quantity] = 0.0;
        for other in 0..self.mean.len() {
            let at = place(quantity, other);
            self.covariance[at] = 0.0;
            self.weight[at] = 0.0;
        }
    }

    fn deviation(&self, index: usize) -> f64 {
        f64::from(self.covariance[place(index, index)]).max(LEAST_VARIANCE).sqrt()
    }

    /// Covariance of two quantities as it is believed: shrunk, and of a floor.
    fn believed(&self, row: usize, column: usize) -> f64 {
        let raw = f64::from(self.covariance[place(row, column)]);
        if row == column {
            return raw.max(LEAST_VARIANCE);
        }
        // Pairs that were rarely seen together are believed less: clipped products of gaps can exceed what is possible.
        let bound = self.deviation(row) * self.deviation(column);
        let seen = f64::from(self.weight[place(row, column)]);
        (1.0 - SHRINKAGE) * seen / (seen + HALF_BELIEVED) * raw.clamp(-bound, bound)
    }

    /// How far a vector lies from the mean; quantities that are absent (`NaN`) or were seen in fewer
    /// than 50 samples are left out. `None`
    /// when none is left.
    pub fn distance(&self, values: &[f32]) -> Option<Distance> {
        let there: Vec<usize> = (0..values.len().min(self.mean.len()))
            .filter(|index| values[*index].is_finite() && f64::from(self.weight[place(*index, *index)]) >= FEWEST)
            .collect();
        if there.is_empty() {
            return None;
        }
        let count = there.len();
        let deviation = |index: &usize| f64::from(values[*index]) - f64::from(self.mean[*index]);
        let deviations: Vec<f64> = there.iter().map(|index| deviation(index).clamp(-GREATEST, GREATEST)).collect();
        let mut factor: Vec<f64> = Vec::with_capacity(place(count, 0));
        for (row, index) in there.iter().enumerate() {
            factor.extend(there[..=row].iter().map(|column| self.believed(*index, *column)));
        }
        cholesky(&mut factor, count);
        let solved = solve(&factor, &deviations);
        // (x - m)' S^-1 (x - m) falls apart into one part per quantity; one that the others explain may be below 0.
        let parts: Vec<f64> = deviations.iter().zip(&solved).map(|(deviation, solved)| deviation * solved).collect();
        let squared = parts.iter().sum::<f64>().max(0.0);
        let carried: f64 = parts.iter().map(|part| part.max(0.0)).sum();
        let mut shares = vec![0.0; values.len()];
        if carried > 0.0 {
            for (index, part) in there.iter().zip(&parts) {
                shares[*index] = (part.max(0.0) / carried) as f32;
            }
        }
        Some(Distance { squared, count, shares })
    }
}

/// Factors a symmetric matrix (lower triangle by rows) in place into its lower triangular root. Pivots have a floor, so
/// that a matrix that is not positive definite, which pairs with gaps can give, is answered all the same.
fn cholesky(matrix: &mut [f64], size: usize) {
    for row in 0..size {
        for column in 0..=row {
            let mut sum = matrix[place(row, column)];
            for before in 0..column {
                sum -= matrix[place(row, before)] * matrix[place(column, before)];
            }
            matrix[place(row, column)] = if row == column {
                let least = 1e-3 * matrix[place(row, row)];
                sum.max(least).max(f64::MIN_POSITIVE).sqrt()
            } else {
                sum / matrix[place(column, column)]
            };
        }
    }
}

/// Solves `L L' x = b`.
fn solve(factor: &[f64], right: &[f64]) -> Vec<f64> {
    let size = right.len();
    let mut solved = right.to_vec();
    for row in 0..size {
        for before in 0..row {
            solved[row] -= factor[place(row, before)] * solved[before];
        }
        solved[row] /= factor[place(row, row)];
    }
    for row in (0..size).rev() {
        for after in row + 1..size {
            solved[row] -= factor[place(after, row)] * solved[after];
        }
        solved[row] /= factor[place(row, row)];
    }
    solved
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Nearly normal noise with variance 1.
    fn noise(state: &mut u64) -> f32 {
        let uniform = || {
            *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (*state >> 40) as f32 / (1 << 24) as f32 - 0.5
        };
        std::iter::repeat_with(uniform).take(12).sum()
    }

    /// Two that move together, and one beside them.
    fn learnt(samples: usize) -> (Joint, u64) {
        let (mut joint, mut state) = (Joint::default(), 7);
        for _ in 0..samples {
            let common = noise(&mut state);
            joint.take(&[common, common + 0.3 * noise(&mut state), noise(&mut state)], 1.0);
        }
        (joint, state)
    }

    #[test]
    fn what_breaks_the_bond_between_two_lies_far_though_each_alone_does_not() {
        let (joint, _) = learnt(5_000);
        let together = joint.distance(&[1.5, 1.5, 0.0]).unwrap();
        let apart = joint.distance(&[1.5, -1.5, 0.0]).unwrap();
        assert!(together.squared < 6.0, "{together:?}");
        assert!(apart.squared > 20.0, "{apart:?}");
        assert!(apart.normalised() > together.normalised() + 2.0);
        assert!(apart.shares[0] + apart.shares[1] > 0.95, "{apart:?}");
    }

    #[test]
    fn the_quantity_that_moved_carries_the_distance() {
        let (joint, _) = learnt(5_000);
        let found = joint.distance(&[0.0, 0.0, 9.0]).unwrap();
        assert!(found.shares[2] > 0.9, "{found:?}");
        assert!((found.shares.iter().sum::<f32>() - 1.0).abs() < 1e-5);
    }

    #[test]
    fn absent_quantities_are_left_out() {
        let (joint, _) = learnt(5_000);
        let found = joint.distance(&[f32::NAN, 1.0, f32::NAN]).unwrap();
        assert_eq!(found.count, 1);
        assert_eq!(found.shares, [0.0, 1.0, 0.0]);
        assert_eq!(joint.distance(&[f32::NAN; 3]), None);
        assert_eq!(Joint::default().distance(&[1.0]), None, "nothing was ever seen");
    }

    #[test]
    fn a_bad_hour_moves_what_was_learnt_in_two_weeks_little() {
        let (mut joint, mut state) = learnt(10_000);
        let before = joint.distance(&[5.0, -5.0, 5.0]).unwrap().squared;
        for _ in 0..360 {
            joint.take(&[100.0, -100.0, 100.0 + noise(&mut state)], 0.05);
        }
        let after = joint.distance(&[5.0, -5.0, 5.0]).unwrap().squared;
        assert!(after > before / 6.0, "{before} {after}");
    }

    #[test]
    fn distances_of_normal_life_are_those_of_a_standard_normal_variable() {
        let (joint, mut state) = learnt(10_000);
        let mut far = 0;
        for _ in 0..10_000 {
            let common = noise(&mut state);
            let found = joint.distance(&[common, common + 0.3 * noise(&mut state), noise(&mut state)]).unwrap();
            far += usize::from(found.normalised() > 1.644_85);
        }
        assert!((200..=800).contains(&far), "{far} of 10,000; nominal are 500");
    }

    proptest! {
        #[test]
        fn whatever_comes_the_distance_is_a_number_and_the_memory_bounded(
            rows in prop::collection::vec(prop::collection::vec(prop::num::f32::ANY, 0..70), 0..80),
            last in prop::collection::vec(prop::num::f32::ANY, 0..70),
        ) {
            let mut joint = Joint::default();
            for row in &rows {
                joint.take(row, 1.0);
            }
            prop_assert!(joint.covariance.len() <= MOST_TOGETHER * (MOST_TOGETHER + 1) / 2);
            if let Some(found) = joint.distance(&last) {
                prop_assert!(found.squared >= 0.0 && !found.squared.is_nan());
                prop_assert!(found.shares.iter().all(|share| (0.0..=1.0).contains(share)), "{found:?}");
            }
        }

        #[test]
        fn the_order_of_the_quantities_does_not_matter(
            rows in prop::collection::vec(prop::array::uniform3(-10.0_f32..10.0), 60..90),
        ) {
            let (mut one, mut other) = (Joint::default(), Joint::default());
            for [a, b, c] in &rows {
                one.take(&[*a, *b, *c], 1.0);
                other.take(&[*c, *a, *b], 1.0);
            }
            let one = one.distance(&[1.0, 2.0, 3.0]).unwrap();
            let other = other.distance(&[3.0, 1.0, 2.0]).unwrap();
            prop_assert!((one.squared - other.squared).abs() <= 1e-3 * (1.0 + one.squared));
        }
    }
}
