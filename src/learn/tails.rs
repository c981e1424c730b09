//! Learnt tails: how often the normal life of a series goes how far from its centre, to each side.
//!
//! A distance in sigma means nothing by itself: three sigma are exceeded by one sample in 700 of Gaussian noise, by one
//! in 60 of a log-normal one and by none of a square wave. So the standardised residuals `(value - centre) / scale` of
//! the series' own hours give, for each side, two quantiles of the body, a high threshold, and a generalised Pareto
//! distribution of what lies beyond (peaks over threshold: Pickands 1975; Siffer et al. 2017, *SPOT*).

use crate::stats::{self, Pareto};

/// Share of the samples that lies beyond each of the stored quantiles of a side; the last one is the threshold.
const SHARES: [f64; 3] = [0.25, 0.1, 0.02];
/// Share above the centre, at a distance of 0.
const CENTRE_SHARE: f64 = 0.5;
/// Least step between two stored quantiles, in sigma: a tail of one value must still fall.
const LEAST_STEP: f32 = 1e-3;
/// Excesses below which a tail is taken for that of Gaussian noise.
const LEAST_EXCESSES: usize = 10;

/// One side of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tail {
    /// Distances from the centre, in sigma, that a quarter, a tenth and a fiftieth of the samples go beyond; ascending.
    pub quantiles: [f32; 3],
    /// Scale of the excesses over the last of them, in sigma; greater than 0.
    pub scale: f32,
    /// Shape of the excesses.
    pub shape: f32,
}

impl Tail {
    /// Gaussian noise: the tail of a series of which too little is known. Beyond the threshold it is the generalised
    /// Pareto distribution that is nearest from 1 in 50 to 1 in 10,000: within 3 % there.
    pub const GAUSSIAN: Self = Self { quantiles: [0.674_49, 1.281_55, 2.053_75], scale: 0.395, shape: -0.09 };

    /// Probability that a sample of the series' normal life lies at least so many sigma to this side of the centre.
    /// 1/2 at the centre, 1 on the other side, `NaN` for `NaN`.
    pub fn probability(&self, sigmas: f64) -> f64 {
        if sigmas < 0.0 {
            return 1.0;
        }
        let threshold = f64::from(self.quantiles[2]);
        if sigmas >= threshold {
            let excesses = Pareto { scale: f64::from(self.scale), shape: f64::from(self.shape) };
            return SHARES[2] * excesses.tail(sigmas - threshold);
        }
        let (mut before, mut share_before) = (0.0, CENTRE_SHARE);
        for (quantile, share) in self.quantiles.into_iter().zip(SHARES) {
            let quantile = f64::from(quantile);
            if sigmas < quantile {
                // Logarithms of probabilities are nearly straight between two quantiles.
                let way = (sigmas - before) / (quantile - before);
                return share_before * (share / share_before).powf(way);
            }
            (before, share_before) = (quantile, share);
        }
        f64::NAN
    }

    /// Whether it is one that can be learnt.
    pub(super) fn is_valid(&self) -> bool {
        let mut before = 0.0;
        let ascending = self.quantiles.iter().all(|quantile| {
            let ascends = *quantile > before && quantile.is_finite();
            before = *quantile;
            ascends
        });
        let shapes = stats::LEAST_SHAPE as f32..=stats::GREATEST_SHAPE as f32;
        ascending && self.scale > 0.0 && self.scale.is_finite() && shapes.contains(&self.shape)
    }

    /// Learns one side from its quantiles, and from the residuals beyond the last of them.
    fn learn(quantiles: [f64; 3], excesses: &mut [f32], independent: f64) -> Self {
        if excesses.len() < LEAST_EXCESSES {
            return Self::GAUSSIAN;
        }
        excesses.sort_unstable_by(f32::total_cmp);
        let Some(fit) = Pareto::fit(excesses, independent) else { return Self::GAUSSIAN };
        let mut before = 0.0;
        let quantiles = quantiles.map(|quantile| {
            before = (quantile as f32).max(before + LEAST_STEP);
            before
        });
        let tail = Self { quantiles, scale: fit.scale as f32, shape: fit.shape as f32 };
        if tail.is_valid() { tail } else { Self::GAUSSIAN }
    }
}

/// Both sides of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tails {
    /// Below the centre.
    pub below: Tail,
    /// Above the centre.
    pub above: Tail,
}

impl Tails {
    /// Gaussian noise.
    pub const GAUSSIAN: Self = Self { below: Tail::GAUSSIAN, above: Tail::GAUSSIAN };

    /// Learns both sides from standardised residuals, which it reorders. `independence`: separate stretches of time in
    /// which far samples came, as a share of those samples: 1 when each came alone.
    pub(super) fn learn(residuals: &mut [f32], independence: f64) -> Self {
        let [far, tenth, quarter] = [SHARES[2], SHARES[1], SHARES[0]];
        let shares = [far, tenth, quarter, 1.0 - quarter, 1.0 - tenth, 1.0 - far];
        let Some(found) = stats::quantiles(residuals, shares) else { return Self::GAUSSIAN };
        let below = [-found[2], -found[1], -found[0]];
        let above = [found[3], found[4], found[5]];
        let mut excesses = Vec::new();
        let mut side = |quantiles: [f64; 3], sign: f32| {
            let threshold = quantiles[2] as f32;
            excesses.clear();
            excesses
                .extend(residuals.iter().map(|residual| sign * residual - threshold).filter(|excess| *excess > 0.0));
            let independent = excesses.len() as f64 * independence;
            Tail::learn(quantiles, &mut excesses, independent)
        };
        Self { below: side(below, -1.0), above: side(above, 1.0) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::stats::normal_tail;

    /// Standard normal residuals at their plotting positions.
    fn gaussian(count: usize) -> Vec<f32> {
        let quantile = |share: f64| {
            let (mut low, mut high) = (-9.0, 9.0);
            for _ in 0..60 {
                let middle = (low + high) / 2.0;
                if 1.0 - normal_tail(middle) < share { low = middle } else { high = middle }
            }
            low as f32
        };
        (0..count).map(|index| quantile((index as f64 + 0.5) / count as f64)).collect()
    }

    #[test]
    fn gaussian_noise_has_a_gaussian_tail() {
        let learnt = Tails::learn(&mut gaussian(20_000), 1.0);
        for sigmas in [1.0, 2.0, 2.5, 3.0, 3.5, 4.0] {
            for tail in [learnt.above, learnt.below, Tail::GAUSSIAN] {
                let ratio = tail.probability(sigmas) / normal_tail(sigmas);
                assert!((0.7..1.5).contains(&ratio), "{sigmas}: {ratio}");
            }
        }
    }

    #[test]
    fn each_side_has_its_own_tail() {
        let mut skewed: Vec<f32> = gaussian(20_000).iter().map(|value| value.exp() - 1.0).collect();
        let learnt = Tails::learn(&mut skewed, 1.0);
        // P(exp(X) - 1 > 9) = P(X > ln 10).
        let ratio = learnt.above.probability(9.0) / normal_tail(10.0_f64.ln());
        assert!((0.7..1.4).contains(&ratio), "{ratio}");
        assert!(learnt.below.probability(1.0) < 1e-3, "nothing lies below -1");
    }

    #[test]
    fn too_little_is_taken_for_gaussian_noise() {
        for mut residuals in [vec![], vec![0.0; 5_000], vec![1.0; 3]] {
            assert_eq!(Tails::learn(&mut residuals, 1.0), Tails::GAUSSIAN);
        }
    }

    proptest! {
        #[test]
        fn probabilities_never_rise_with_the_distance(
            mut residuals in prop::collection::vec(-1e3_f32..1e3, 0..800), independence in 0.0_f64..=1.0,
            sigmas in 0.0_f64..2e3, step in 0.0_f64..2e3,
        ) {
            let learnt = Tails::learn(&mut residuals, independence);
            for tail in [learnt.above, learnt.below] {
                prop_assert!(tail.is_valid());
                let (near, far) = (tail.probability(sigmas), tail.probability(sigmas + step));
                prop_assert!(near <= 0.5 && far >= 0.0 && far <= near * (1.0 + 1e-9));
            }
        }

        #[test]
        fn any_distance_and_any_residuals_are_survived(mut residuals in prop::collection::vec(any::<f32>(), 0..300), sigmas in any::<f64>()) {
            let learnt = Tails::learn(&mut residuals, 0.5);
            prop_assert!(learnt.above.is_valid() && learnt.below.is_valid());
            let probability = learnt.above.probability(sigmas);
            prop_assert!(sigmas.is_nan() || (0.0..=1.0).contains(&probability));
        }
    }
}
