//! The distribution of an error, somewhat heavier than normal.

use statrs::function::erf::erfc_inv;

use crate::stats::normal_tail;

/// Degrees of freedom of the t-distribution whose quantiles the errors are taken to have.
const FREEDOM: f64 = 8.0;

/// How far both sides reach, in standard deviations of a t-distribution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Tails {
    pub below: f64,
    pub above: f64,
    /// Share of the variance that all steps of one path have in common.
    pub shared: f64,
    /// Steps after which what is left of the errors has been forgotten; at least 1.
    pub memory: usize,
}

impl Default for Tails {
    fn default() -> Self {
        Self { below: 1.0, above: 1.0, shared: 0.5, memory: 1 }
    }
}

impl Tails {
    /// Error that a standard normal variable of that value stands for, in standard deviations.
    pub fn error(&self, normal: f64) -> f64 {
        (if normal < 0.0 { self.below } else { self.above }) * heavier(normal)
    }

    /// Undoes [`Self::error`].
    pub fn normal(&self, error: f64) -> f64 {
        lighter(error / if error < 0.0 { self.below } else { self.above })
    }
}

/// The standard normal quantile of a probability.
pub(super) fn normal_quantile(share: f64) -> f64 {
    -std::f64::consts::SQRT_2 * erfc_inv(2.0 * share)
}

/// The same of the t-distribution.
pub(super) fn quantile_score(share: f64) -> f64 {
    heavier(normal_quantile(share))
}

/// The first terms of Cornish and Fisher's expansion of t in normal quantiles (Abramowitz and Stegun 26.7.5).
fn heavier(normal: f64) -> f64 {
    normal + (normal.powi(3) + normal) / (4.0 * FREEDOM)
}

fn lighter(score: f64) -> f64 {
    if !score.is_finite() {
        return score;
    }
    // Of z³ + (4ν + 1) z = 4ν t there is one real root (Cardano).
    let third = (4.0 * FREEDOM + 1.0) / 3.0;
    let half = 2.0 * FREEDOM * score.abs().min(1e50);
    let root = (half + (half * half + third.powi(3)).sqrt()).cbrt();
    (root - third / root).copysign(score)
}

/// Probability that at least one of the steps lies beyond its limit: `scores` are the limits' distances as standard
/// normal variables that have the share `shared` of their variance in common. Beside it, stretches of `memory` steps go
/// together and are independent of each other. Integrated over the common part by the midpoints of equally likely
/// slices.
pub(super) fn any_beyond(scores: &[f64], shared: f64, memory: usize) -> f64 {
    const SLICES: usize = 64;
    let nearest = scores.chunks(memory.max(1)).map(|chunk| chunk.iter().copied().fold(f64::INFINITY, f64::min));
    let scores: Vec<f64> = nearest.collect();
    let (common, own) = (shared.sqrt(), (1.0 - shared).sqrt());
    let slices = (0..SLICES).map(|slice| {
        let part = common * normal_quantile((slice as f64 + 0.5) / SLICES as f64);
        let mut none = 1.0;
        for score in &scores {
            none *= 1.0 - normal_tail((score - part) / own);
            if none < 1e-9 {
                break;
            }
        }
        1.0 - none
    });
    slices.sum::<f64>() / SLICES as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quantiles_are_those_of_the_t_distribution() {
        // Tables: t with 8 degrees of freedom.
        for (share, expected) in [(0.9, 1.397), (0.95, 1.860), (0.975, 2.306)] {
            assert!((quantile_score(share) - expected).abs() < 0.06, "{share}: {}", quantile_score(share));
        }
    }

    #[test]
    fn one_step_is_beyond_as_its_own_tail_says_and_many_are_more_likely() {
        for shared in [0.1, 0.5, 0.9] {
            assert!((any_beyond(&[1.0], shared, 1) - normal_tail(1.0)).abs() < 5e-3);
            assert!((any_beyond(&[1.0; 24], shared, 24) - normal_tail(1.0)).abs() < 5e-3);
            assert!(any_beyond(&[1.0; 24], shared, 1) > any_beyond(&[1.0], shared, 1) + 0.05);
        }
        assert!(any_beyond(&[], 0.5, 1) < 1e-12);
        assert!(any_beyond(&[f64::NEG_INFINITY], 0.5, 1) > 0.999);
    }

    proptest! {
        #[test]
        fn lighter_undoes_heavier(normal in -8.0_f64..8.0, below in 0.5_f64..2.0, above in 0.5_f64..2.0) {
            let tails = Tails { below, above, shared: 0.5, memory: 1 };
            prop_assert!((tails.normal(tails.error(normal)) - normal).abs() < 1e-6);
        }
    }
}
