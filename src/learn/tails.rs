//! Learnt tails: how often the normal life of a series goes how far from its centre, to each side.
//!
//! A distance in sigma means nothing by itself: three sigma are exceeded by one sample in 700 of Gaussian noise, by one
//! in 60 of a log-normal one and by none of a square wave. So the standardised residuals `(value - centre) / scale` of
//! the series' own hours give, for each side, two quantiles of the body, a high threshold, and a generalised Pareto
//! distribution of what lies beyond (peaks over threshold: Pickands 1975; Siffer et al. 2017, *SPOT*).

use crate::stats::{self, Moments, Pareto};

/// Share of the samples that lies beyond each of the stored quantiles of a side; the last one is the threshold.
const SHARES: [f64; 3] = [0.25, 0.1, 0.02];
/// Share above the centre, at a distance of 0.
const CENTRE_SHARE: f64 = 0.5;
/// Least step between two stored quantiles, in sigma: a tail of one value must still fall.
const LEAST_STEP: f32 = 1e-3;
/// Sigmas that are as rare in every series.
const EQUAL_AT: f64 = 3.0;
/// Longest stretch: beyond it sigmas say nothing any more.
const GREATEST_STRETCH: f32 = 100.0;
/// Excesses below which a tail is taken for that of Gaussian noise.
const LEAST_EXCESSES: usize = 10;
/// Weight of what Gaussian noise would do, as a number of independent excesses.
const PRIOR_EXCESSES: f64 = 10.0;
/// Degrees of freedom at least: a few days are always seen.
const LEAST_DEGREES: f64 = 5.0;

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

    /// Distance that a sample goes beyond with that probability, in sigma: the inverse of [`Self::probability`]. 0 for one
    /// half and more.
    pub fn distance(&self, probability: f64) -> f64 {
        if probability <= SHARES[2] {
            return self.reach(probability);
        }
        let (mut before, mut share_before) = (0.0, CENTRE_SHARE);
        for (quantile, share) in self.quantiles.into_iter().zip(SHARES) {
            let quantile = f64::from(quantile);
            if probability >= share {
                let way = (probability / share_before).ln() / (share / share_before).ln();
                return before + way.max(0.0) * (quantile - before);
            }
            (before, share_before) = (quantile, share);
        }
        before
    }

    /// Distance beyond which a share of the samples lies, in sigma; that share at most a fiftieth.
    fn reach(&self, share: f64) -> f64 {
        let excesses = Pareto { scale: f64::from(self.scale), shape: f64::from(self.shape) };
        f64::from(self.quantiles[2]) + excesses.quantile(share / SHARES[2])
    }

    /// The same tail in sigmas that are so many times longer.
    fn in_sigmas_of(self, stretch: f32) -> Self {
        let Self { quantiles, scale, shape } = self;
        Self { quantiles: quantiles.map(|quantile| quantile / stretch), scale: scale / stretch, shape }
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

    /// Learns one side from its quantiles, ascending, and from the residuals beyond the last of them; `clustering`: how
    /// many of these tell as much as an independent one.
    ///
    /// What is learnt has to hold for days to come, so it is wider by what few observations do not know (the predictive
    /// distribution): quantiles as those of Student's t with as many degrees of freedom as there are independent
    /// samples, `z + (z³ + z) / 4ν` (Cornish and Fisher 1938); the shape by one part in as many excesses, which is exact
    /// for an exponential tail.
    fn learn(quantiles: [f64; 3], excesses: &mut [f32], clustering: f64) -> Self {
        if excesses.len() < LEAST_EXCESSES {
            return Self::GAUSSIAN;
        }
        excesses.sort_unstable_by(f32::total_cmp);
        let independent = excesses.len() as f64 / clustering;
        let Some(fit) = Pareto::fit(excesses, independent) else { return Self::GAUSSIAN };
        // What Gaussian noise of the same body would have: with few excesses, that is the better guess.
        let [_, tenth, far] = Self::GAUSSIAN.quantiles.map(f64::from);
        let usual = f64::from(Self::GAUSSIAN.scale) * (quantiles[2] - quantiles[1]) / (far - tenth);
        let scale = (fit.scale * independent + usual.max(0.0) * PRIOR_EXCESSES) / (independent + PRIOR_EXCESSES);
        let shape = (fit.shape + 1.0 / (independent + PRIOR_EXCESSES)).min(stats::GREATEST_SHAPE);
        let degrees = (independent / SHARES[2]).max(LEAST_DEGREES);
        let mut before = 0.0;
        let mut wider = [0.0; 3];
        for ((wider, quantile), gaussian) in wider.iter_mut().zip(quantiles).zip(Self::GAUSSIAN.quantiles) {
            let factor = 1.0 + f64::from(gaussian * gaussian + 1.0) / (4.0 * degrees);
            *wider = ((quantile * factor) as f32).max(before + LEAST_STEP);
            before = *wider;
        }
        let tail = Self { quantiles: wider, scale: scale as f32, shape: shape as f32 };
        if tail.is_valid() { tail } else { Self::GAUSSIAN }
    }
}

/// How much longer than a series' scale a sigma to each side is: at least 1.
///
/// Users speak in sigma, and mean what three of them are in Gaussian noise: one sample in 740 to a side. Where the normal
/// life of a series goes beyond three more often, to one side or both, its sigmas are that much longer there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stretch {
    /// Below the centre.
    pub below: f32,
    /// Above the centre.
    pub above: f32,
}

impl Stretch {
    /// Sigmas as long as the scale.
    pub const NONE: Self = Self { below: 1.0, above: 1.0 };

    /// Whether it is one that can be learnt.
    pub(super) fn is_valid(self) -> bool {
        [self.below, self.above].iter().all(|stretch| (1.0..=GREATEST_STRETCH).contains(stretch))
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

    /// The stretch that makes three sigma to each side as rare as in Gaussian noise, and the tails in such sigmas.
    pub(super) fn stretched(self) -> (Stretch, Self) {
        let share = stats::normal_tail(EQUAL_AT);
        // Half a part in a hundred is what quantiles are known to.
        let of = |tail: Tail| match (tail.reach(share) / EQUAL_AT) as f32 {
            stretch if stretch > 1.005 => stretch.min(GREATEST_STRETCH),
            _ => 1.0,
        };
        let stretch = Stretch { below: of(self.below), above: of(self.above) };
        let tails =
            Self { below: self.below.in_sigmas_of(stretch.below), above: self.above.in_sigmas_of(stretch.above) };
        (stretch, tails)
    }

    /// Learns both sides from standardised residuals in the order of time; `days`: where those of each day end.
    pub(super) fn learn(residuals: &[f32], days: &[usize]) -> Self {
        let [far, tenth, quarter] = [SHARES[2], SHARES[1], SHARES[0]];
        let shares = [far, tenth, quarter, 1.0 - quarter, 1.0 - tenth, 1.0 - far];
        let Some(found) = stats::quantiles(&mut residuals.to_vec(), shares) else { return Self::GAUSSIAN };
        let mut excesses = Vec::new();
        let mut side = |quantiles: [f64; 3], sign: f32| {
            let threshold = quantiles[2] as f32;
            excesses.clear();
            let mut begin = 0;
            let count = |end: &usize| {
                let before = excesses.len();
                let beyond = residuals[begin..*end].iter().map(|residual| sign * residual - threshold);
                excesses.extend(beyond.filter(|excess| *excess > 0.0));
                begin = *end;
                (excesses.len() - before) as f64
            };
            let clustering = clustering(&days.iter().map(count).collect());
            Tail::learn(quantiles, &mut excesses, clustering)
        };
        Self { below: side([-found[2], -found[1], -found[0]], -1.0), above: side([found[3], found[4], found[5]], 1.0) }
    }
}

/// How many samples beyond a threshold tell as much as one that is independent: the variance of their number on a day
/// by its mean, which is 1 where each comes by itself.
fn clustering(of_days: &Moments) -> f64 {
    let variance = of_days.standard_deviation().powi(2);
    if of_days.mean() > 0.0 { (variance / of_days.mean()).max(1.0) } else { 1.0 }
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
                let middle = f64::midpoint(low, high);
                if 1.0 - normal_tail(middle) < share { low = middle } else { high = middle }
            }
            low as f32
        };
        (0..count).map(|index| quantile((index as f64 + 0.5) / count as f64)).collect()
    }

    /// The same values in another order, the same each time.
    fn shuffled(values: Vec<f32>) -> Vec<f32> {
        let count = values.len();
        (0..count).map(|index| values[index * 7_919 % count]).collect()
    }

    /// The ends of fourteen days.
    fn days(count: usize) -> Vec<usize> {
        (1..=14).map(|day| count * day / 14).collect()
    }

    #[test]
    fn gaussian_noise_has_a_gaussian_tail() {
        let learnt = Tails::learn(&shuffled(gaussian(20_000)), &days(20_000));
        for sigmas in [1.0, 2.0, 2.5, 3.0, 3.5, 4.0] {
            for tail in [learnt.above, learnt.below, Tail::GAUSSIAN] {
                let ratio = tail.probability(sigmas) / normal_tail(sigmas);
                assert!((0.7..1.5).contains(&ratio), "{sigmas}: {ratio}");
            }
        }
    }

    #[test]
    fn each_side_has_its_own_tail() {
        let skewed: Vec<f32> = gaussian(20_000).iter().map(|value| value.exp() - 1.0).collect();
        let learnt = Tails::learn(&shuffled(skewed), &days(20_000));
        // P(exp(X) - 1 > 9) = P(X > ln 10).
        let ratio = learnt.above.probability(9.0) / normal_tail(10.0_f64.ln());
        assert!((0.7..1.4).contains(&ratio), "{ratio}");
        assert!(learnt.below.probability(1.0) < 1e-3, "nothing lies below -1");
    }

    #[test]
    fn what_comes_in_bursts_is_believed_less() {
        let alone: Vec<f32> = shuffled(gaussian(14_000));
        // The same values, but all those above a threshold on one day.
        let mut together = alone.clone();
        together[..7_000].sort_unstable_by(f32::total_cmp);
        let (alone, together) = (Tails::learn(&alone, &days(14_000)), Tails::learn(&together, &days(14_000)));
        assert!(together.above.probability(5.0) > 3.0 * alone.above.probability(5.0));
        assert!(together.above.probability(2.0) > alone.above.probability(2.0));
    }

    #[test]
    fn three_sigma_are_as_rare_in_every_series() {
        let skewed: Vec<f32> = gaussian(20_000).iter().map(|value| value.exp() - 1.0).collect();
        for residuals in [gaussian(20_000), skewed] {
            let learnt = Tails::learn(&shuffled(residuals), &days(20_000));
            let (stretch, tails) = learnt.stretched();
            assert!(stretch.is_valid());
            for (tail, stretch) in [(tails.above, stretch.above), (tails.below, stretch.below)] {
                let ratio = tail.probability(3.0) / normal_tail(3.0);
                assert!(if stretch > 1.0 { (0.9..1.1).contains(&ratio) } else { ratio < 1.1 }, "{ratio}");
            }
            let same = tails.above.probability(3.5 / f64::from(stretch.above)) / learnt.above.probability(3.5);
            assert!((same - 1.0).abs() < 1e-3, "{same}");
        }
    }

    #[test]
    fn too_little_is_taken_for_gaussian_noise() {
        for residuals in [vec![], vec![0.0; 5_000], vec![1.0; 3]] {
            assert_eq!(Tails::learn(&residuals, &days(residuals.len())), Tails::GAUSSIAN);
        }
    }

    #[test]
    fn the_distance_of_a_probability_is_where_it_is_reached() {
        let skewed: Vec<f32> = gaussian(20_000).iter().map(|value| value.exp() - 1.0).collect();
        for tail in [Tail::GAUSSIAN, Tails::learn(&shuffled(skewed), &days(20_000)).above] {
            for probability in [0.5, 0.4, 0.25, 0.15, 0.1, 0.05, 0.025, 0.02, 0.01, 5e-5] {
                let back = tail.probability(tail.distance(probability));
                assert!((back / probability - 1.0).abs() < 1e-6, "{probability}: {back}");
            }
        }
        assert!((Tail::GAUSSIAN.distance(0.025) - 1.96).abs() < 0.02);
    }

    proptest! {
        #[test]
        fn probabilities_never_rise_with_the_distance(
            residuals in prop::collection::vec(-1e3_f32..1e3, 0..800),
            sigmas in 0.0_f64..2e3, step in 0.0_f64..2e3,
        ) {
            let learnt = Tails::learn(&residuals, &days(residuals.len()));
            for tail in [learnt.above, learnt.below] {
                prop_assert!(tail.is_valid());
                let (near, far) = (tail.probability(sigmas), tail.probability(sigmas + step));
                prop_assert!(near <= 0.5 && far >= 0.0 && far <= near * (1.0 + 1e-9));
            }
        }

        #[test]
        fn any_distance_and_any_residuals_are_survived(residuals in prop::collection::vec(any::<f32>(), 0..300), sigmas in any::<f64>()) {
            let learnt = Tails::learn(&residuals, &days(residuals.len()));
            prop_assert!(learnt.above.is_valid() && learnt.below.is_valid());
            let probability = learnt.above.probability(sigmas);
            prop_assert!(sigmas.is_nan() || (0.0..=1.0).contains(&probability));
        }
    }
}
