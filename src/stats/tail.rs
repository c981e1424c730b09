//! Tail probabilities.

use statrs::function::erf::erfc;

/// Probability that a standard normal variable exceeds `sigmas`: `erfc(x / √2) / 2`, exact far into the tail where
/// `1 - Φ(x)` would round to 0. `NaN` for `NaN`.
pub fn normal_tail(sigmas: f64) -> f64 {
    0.5 * erfc(sigmas * std::f64::consts::FRAC_1_SQRT_2)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tabulated_tails_are_met() {
        for (sigmas, expected) in
            [(0.0, 0.5), (1.0, 0.158_655_253_9), (3.0, 1.349_898_0e-3), (6.0, 9.865_876_5e-10), (-3.0, 0.998_650_102)]
        {
            assert!((normal_tail(sigmas) / expected - 1.0).abs() < 1e-6, "{sigmas}");
        }
        assert!(normal_tail(30.0) > 0.0);
    }

    proptest! {
        #[test]
        fn both_tails_sum_to_one_and_fall(x in -8.0_f64..8.0, step in 0.001_f64..1.0) {
            prop_assert!((normal_tail(x) + normal_tail(-x) - 1.0).abs() < 1e-12);
            prop_assert!(normal_tail(x + step) < normal_tail(x));
        }
    }
}
