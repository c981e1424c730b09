//! The scale on which errors are alike at every level of a series.

use super::robust::{median, scale};

/// Spread that goes with the square root of the level, as of counts: what a series is taken for that does not say.
const PRIOR_SLOPE: f64 = 0.5;

/// Weight of that prior, in units of the squared logarithm of the level: a series whose levels differ by less than
/// a factor of about two says little.
const PRIOR_WEIGHT: f64 = 0.5;

/// Box and Cox's power transformation (Journal of the Royal Statistical Society B 26, 1964), on a series divided by
/// its own size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Transform {
    /// Positive: what the series is divided by.
    size: f64,
    /// 1 leaves it as it is, 0 takes logarithms.
    power: f64,
    /// Size of what is different from 0 by no more than rounding.
    floor: f64,
}

impl Transform {
    /// No power, only the size.
    pub fn linear(size: f64) -> Self {
        Self { size, power: 1.0, floor: 1e-9 }
    }

    /// Chosen by how the size of the residuals goes with the fitted value: as its `b`-th power, so that the power
    /// `1 - b` makes it constant (Bartlett, Biometrics 3, 1947). `fitted` and `residuals` in units of `size`.
    pub fn chosen(size: f64, least_value: f64, fitted: &[f64], residuals: &[f64]) -> Self {
        let linear = Self::linear(size);
        if least_value < 0.0 || fitted.len() < 48 {
            return linear;
        }
        let mut order: Vec<usize> = (0..fitted.len()).collect();
        order.sort_by(|a, b| fitted[*a].total_cmp(&fitted[*b]));
        let mut points = Vec::new();
        for group in order.chunks(fitted.len().div_ceil(8)) {
            let level = median(&mut group.iter().map(|at| fitted[*at]).collect::<Vec<_>>());
            let spread = scale(&mut group.iter().map(|at| residuals[*at]).collect::<Vec<_>>());
            if level > 1e-6 && spread > 1e-9 {
                points.push((level.ln(), spread.ln()));
            }
        }
        if points.len() < 3 {
            return linear;
        }
        let count = points.len() as f64;
        let centre = points.iter().fold((0.0, 0.0), |sum, point| (sum.0 + point.0 / count, sum.1 + point.1 / count));
        let (mut square, mut product) = (PRIOR_WEIGHT, PRIOR_WEIGHT * PRIOR_SLOPE);
        for (level, spread) in points {
            square += (level - centre.0).powi(2);
            product += (level - centre.0) * (spread - centre.1);
        }
        let power = (1.0 - product / square).clamp(0.0, 1.0);
        // The logarithm of 0 is none, and that of nearly 0 would be an outlier.
        let power = if least_value <= 1e-3 * size { power.max(0.25) } else { power };
        Self { size, power: if power < 0.05 { 0.0 } else { power }, floor: 1e-9 }
    }

    /// On the scale of the errors.
    pub fn forth(&self, value: f64) -> f64 {
        self.forth_of(value / self.size)
    }

    /// The same of a value that was divided by the size.
    pub fn forth_of(&self, value: f64) -> f64 {
        if self.power >= 1.0 {
            return value;
        }
        let value = value.max(self.floor);
        if self.power <= 0.0 { value.ln() } else { (value.powf(self.power) - 1.0) / self.power }
    }

    /// In the series' own unit; finite for what is not `NaN`.
    pub fn back(&self, value: f64) -> f64 {
        let value = if self.power >= 1.0 {
            value
        } else if self.power <= 0.0 {
            value.exp()
        } else {
            (self.power * value + 1.0).max(0.0).powf(1.0 / self.power)
        };
        if value.is_nan() {
            return value;
        }
        (value * self.size).clamp(f64::MIN, f64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn series(power: f64) -> (Vec<f64>, Vec<f64>) {
        let fitted: Vec<f64> = (0..480).map(|at| 0.2 + f64::from(at % 24) / 12.0).collect();
        let residuals = fitted.iter().enumerate().map(|(at, fitted)| {
            0.05 * fitted.powf(power) * if at / 24 % 2 == 0 { 1.0 } else { -1.0 } * (1.0 + at as f64 / 480.0)
        });
        let residuals = residuals.collect();
        (fitted, residuals)
    }

    #[test]
    fn the_power_follows_how_the_spread_goes_with_the_level() {
        for (slope, least, most) in [(0.0, 0.85, 1.0), (0.5, 0.4, 0.6), (1.0, 0.0, 0.15)] {
            let (fitted, residuals) = series(slope);
            let power = Transform::chosen(1.0, 0.1, &fitted, &residuals).power;
            assert!((least..=most).contains(&power), "{slope}: {power}");
        }
    }

    #[test]
    fn negative_values_are_left_as_they_are() {
        let (fitted, residuals) = series(1.0);
        assert_eq!(Transform::chosen(1.0, -0.1, &fitted, &residuals), Transform::linear(1.0));
    }

    proptest! {
        #[test]
        fn back_undoes_forth(value in 1e-3_f64..1e3, power in prop::sample::select(vec![0.0, 0.25, 0.5, 1.0]), size in 1e-3_f64..1e3) {
            let transform = Transform { size, power, floor: 1e-9 };
            let again = transform.back(transform.forth(value));
            prop_assert!((again / value - 1.0).abs() < 1e-9);
        }

        #[test]
        fn no_number_comes_back_infinite(value in any::<f64>(), power in 0.0_f64..=1.0, size in prop::sample::select(vec![1e-300, 1.0, 1e300])) {
            let transform = Transform { size, power, floor: 1e-9 };
            prop_assert!(value.is_nan() || transform.back(value).is_finite());
        }
    }
}
