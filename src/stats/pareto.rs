//! The generalised Pareto distribution: what the excesses over a high threshold look like, whatever the series.

/// Least shape that is believed: excesses that are spread evenly up to an end, as where values pile up at a bound.
pub const LEAST_SHAPE: f64 = -1.0;
/// Greatest shape that is believed: beyond it the variance is infinite, and no finite sample tells how far a tail goes.
pub const GREATEST_SHAPE: f64 = 0.5;

/// Weight of the prior belief in an exponential tail (shape 0, which normal and log-normal tails approach), as a number
/// of excesses: with fewer than that many the belief decides, with ten times as many the data do.
const PRIOR_EXCESSES: f64 = 20.0;

/// A shape this near to 0 is an exponential tail: there the formula loses its digits.
const EXPONENTIAL: f64 = 1e-6;

/// Excesses over a threshold: `P(X > x) = (1 + shape x / scale)^(-1 / shape)`, exponential at shape 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pareto {
    /// Scale, in the unit of the excesses; greater than 0.
    pub scale: f64,
    /// Shape, within [`LEAST_SHAPE`] and [`GREATEST_SHAPE`]: above 0 heavy, 0 exponential, below 0 with an end.
    pub shape: f64,
}

impl Pareto {
    /// Fits by probability-weighted moments (Hosking and Wallis 1987, *Parameter and quantile estimation for the
    /// generalized Pareto distribution*), which beat maximum likelihood below some 500 excesses. The shape is drawn
    /// towards 0 by a prior worth 20 of them, as Zhang and Stephens (2009) and PSIS (Vehtari et al. 2024) draw theirs,
    /// and kept within bounds; the scale then follows from the mean. A tail that ends does so beyond the greatest excess.
    ///
    /// `excesses`: ascending, not negative. `independent`: how many of them are independent, at most their number:
    /// those of one burst tell one thing. `None` when there are none, or all are 0, or they are not finite.
    pub fn fit(excesses: &[f32], independent: f64) -> Option<Self> {
        let count = excesses.len() as f64;
        let (mut mean, mut weighted) = (0.0, 0.0);
        for (index, excess) in excesses.iter().enumerate() {
            let excess = f64::from(*excess) / count;
            mean += excess;
            // The plotting position of the i-th of n from one: (i - 0.35) / n.
            weighted += excess * (1.0 - (index as f64 + 0.65) / count);
        }
        if !(mean > 0.0 && mean.is_finite()) {
            return None;
        }
        let spread = mean - 2.0 * weighted;
        // All alike: as light a tail as can be.
        let shape = if spread > 0.0 { 2.0 - mean / spread } else { LEAST_SHAPE };
        let evidence = independent.clamp(0.0, count);
        let shape = (shape * evidence / (evidence + PRIOR_EXCESSES)).clamp(LEAST_SHAPE, GREATEST_SHAPE);
        let scale = mean * (1.0 - shape);
        // A tail must reach beyond what was seen.
        let end = excesses.last().map_or(0.0, |greatest| f64::from(*greatest)) * (1.0 + 1.0 / count);
        Some(Self { scale, shape: shape.max(-scale / end) })
    }

    /// Probability that an excess is greater than `x`; 1 for what is not positive, `NaN` for `NaN`.
    pub fn tail(&self, x: f64) -> f64 {
        if x <= 0.0 {
            return 1.0;
        }
        let ratio = x / self.scale;
        if self.shape.abs() < EXPONENTIAL {
            return (-ratio).exp();
        }
        let base = self.shape * ratio;
        if base <= -1.0 { 0.0 } else { (-base.ln_1p() / self.shape).exp() }
    }

    /// The excess that is exceeded with that probability, 0 to 1 (clamped); infinite at 0 unless the tail ends.
    pub fn quantile(&self, probability: f64) -> f64 {
        let logarithm = -probability.clamp(0.0, 1.0).ln();
        if self.shape.abs() < EXPONENTIAL {
            return self.scale * logarithm;
        }
        self.scale * (self.shape * logarithm).exp_m1() / self.shape
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// So many excesses at the plotting positions of a distribution.
    fn ideal(truth: Pareto, count: usize) -> Vec<f32> {
        (0..count).rev().map(|index| truth.quantile((index as f64 + 0.5) / count as f64) as f32).collect()
    }

    #[test]
    fn known_tails_are_found_again() {
        for shape in [-0.2, 0.0, 0.1, 0.3] {
            let truth = Pareto { scale: 2.0, shape };
            let found = Pareto::fit(&ideal(truth, 5_000), 5_000.0).unwrap();
            assert!((found.shape - shape).abs() < 0.03, "{shape}: {found:?}");
            assert!((found.scale / 2.0 - 1.0).abs() < 0.05, "{shape}: {found:?}");
        }
    }

    #[test]
    fn few_excesses_are_taken_for_an_exponential_tail() {
        let truth = Pareto { scale: 1.0, shape: 0.4 };
        let found = Pareto::fit(&ideal(truth, 1_000), 5.0).unwrap();
        assert!(found.shape < 0.1, "{found:?}");
    }

    #[test]
    fn what_gives_no_fit_gives_none() {
        for excesses in [&[][..], &[0.0, 0.0], &[1.0, f32::INFINITY], &[f32::NAN]] {
            assert_eq!(Pareto::fit(excesses, 10.0), None, "{excesses:?}");
        }
        assert!(Pareto::fit(&[3.0; 9], 9.0).unwrap().shape < 0.0);
    }

    fn any_tail() -> impl Strategy<Value = Pareto> {
        (1e-6_f64..1e6, LEAST_SHAPE..=GREATEST_SHAPE).prop_map(|(scale, shape)| Pareto { scale, shape })
    }

    proptest! {
        #[test]
        fn the_quantile_is_the_inverse_of_the_tail(tail in any_tail(), probability in 1e-9_f64..1.0) {
            prop_assert!((tail.tail(tail.quantile(probability)) / probability - 1.0).abs() < 1e-6);
        }

        #[test]
        fn a_tail_falls_from_one_and_never_rises(tail in any_tail(), x in 0.0_f64..1e9, step in 0.0_f64..1e9) {
            let (near, far) = (tail.tail(x), tail.tail(x + step));
            prop_assert!((0.0..=1.0).contains(&near) && far <= near);
        }

        #[test]
        fn every_fit_is_usable(mut excesses in prop::collection::vec(0.0_f32..=f32::MAX, 0..60), independent in any::<f64>()) {
            excesses.sort_by(f32::total_cmp);
            if let Some(found) = Pareto::fit(&excesses, independent) {
                prop_assert!(found.scale > 0.0 && found.scale.is_finite());
                prop_assert!((LEAST_SHAPE..=GREATEST_SHAPE).contains(&found.shape));
            }
        }

        #[test]
        fn the_unit_does_not_matter(mut excesses in prop::collection::vec(0.001_f32..1e3, 5..60), unit in 0.001_f32..1e3) {
            excesses.sort_by(f32::total_cmp);
            let other: Vec<f32> = excesses.iter().map(|excess| excess * unit).collect();
            let (one, two) = (Pareto::fit(&excesses, 60.0).unwrap(), Pareto::fit(&other, 60.0).unwrap());
            prop_assert!((one.shape - two.shape).abs() < 1e-3);
            prop_assert!((two.scale / (one.scale * f64::from(unit)) - 1.0).abs() < 1e-3);
        }
    }
}
