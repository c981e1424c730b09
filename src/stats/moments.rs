//! Mean and standard deviation in one pass.

/// Running mean and standard deviation after Welford (Technometrics 4, 1962): stable where the sum of squares is not.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moments {
    count: u64,
    mean: f64,
    squares: f64,
}

impl Moments {
    /// Takes one finite value in.
    pub fn push(&mut self, value: f64) {
        self.count += 1;
        let before = value - self.mean;
        self.mean += before / self.count as f64;
        self.squares += before * (value - self.mean);
    }

    /// Number of values.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Arithmetic mean; 0 without values.
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// Standard deviation of a sample (divisor n - 1); 0 with fewer than two values.
    pub fn standard_deviation(&self) -> f64 {
        if self.count < 2 { 0.0 } else { (self.squares.max(0.0) / (self.count - 1) as f64).sqrt() }
    }
}

impl FromIterator<f64> for Moments {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut moments = Self::default();
        for value in values {
            moments.push(value);
        }
        moments
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_values_give_known_moments() {
        let moments: Moments = [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0].into_iter().collect();
        assert!((moments.mean() - 5.0).abs() < 1e-12);
        assert!((moments.standard_deviation() - (32.0_f64 / 7.0).sqrt()).abs() < 1e-12);
    }

    #[test]
    fn nothing_and_a_single_value_do_not_deviate() {
        assert_eq!(Moments::default(), std::iter::empty().collect());
        assert!(Moments::default().standard_deviation().abs() < f64::EPSILON);
        assert!([3.0].into_iter().collect::<Moments>().standard_deviation().abs() < f64::EPSILON);
    }

    proptest! {
        #[test]
        fn one_pass_agrees_with_two(values in prop::collection::vec(-1e6_f64..1e6, 2..200), offset in -1e9_f64..1e9) {
            let shifted: Vec<f64> = values.iter().map(|value| value + offset).collect();
            let moments: Moments = shifted.iter().copied().collect();
            let count = shifted.len() as f64;
            let mean = shifted.iter().sum::<f64>() / count;
            let squares: f64 = shifted.iter().map(|value| (value - mean).powi(2)).sum();
            prop_assert!((moments.mean() - mean).abs() <= 1e-9 * (1.0 + mean.abs()));
            let deviation = (squares / (count - 1.0)).sqrt();
            prop_assert!((moments.standard_deviation() - deviation).abs() <= 1e-6 * (1.0 + deviation));
        }
    }
}
