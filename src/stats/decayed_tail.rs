//! How far the values of a stream go, learnt as they come: a fading histogram, and a Pareto tail beyond it.
//!
//! Answers "how rarely is it this much or more?" for a magnitude of which most values are seen often and the ones that
//! matter never were. Peaks over threshold (Siffer et al., KDD 2017) with one difference: the tail is fitted through
//! quantiles and not through the exceedances themselves, because a few outliers move moments and likelihoods and leave
//! quantiles where they are. What happens once in a thousand values so does not teach itself as normal.

use std::f64::consts::LN_10;

/// Bins of the histogram; geometric, so that 0.05 and 200 are resolved alike.
const BINS: usize = 240;
/// Width of the first bins, in the magnitude's unit.
const FINEST: f64 = 0.05;
/// Logarithm of the ratio of two neighbouring edges.
const STEP: f64 = 0.035;
/// Values between two fits.
const FIT_EVERY: u64 = 16;
/// Heaviest tail: below it means of the tail exist.
const HEAVIEST: f64 = 0.6;
/// Lightest tail. A lighter one would end, and forbid what lies beyond its end.
const LIGHTEST: f64 = -0.2;
/// Weight that is scaled back before it leaves the range that f32 sums well.
const GREATEST_WEIGHT: f64 = 1e6;

/// How a tail is learnt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DecayedTailOptions {
    /// Share of the values that the widest of the three fitted quantiles cuts off; the other two cut off a fifth and a
    /// twenty-fifth of it.
    pub share: f64,
    /// Values that the prior counts as.
    pub prior_values: f64,
    /// Shape of the tail while nothing is known of it: 0 is exponential, above 0 heavier, below lighter.
    pub prior_shape: f64,
    /// Independent exceedances that this shape counts as.
    pub prior_exceedances: f64,
    /// Values after which a value counts half.
    pub half_life: f64,
    /// Exceedances closer together than this many values count as one.
    pub cluster: u32,
}

/// Fading distribution of a magnitude that is not negative.
#[derive(Clone, Debug)]
pub struct DecayedTail {
    options: DecayedTailOptions,
    bins: Box<[f32; BINS]>,
    /// Weight at and above the upper edge of each bin, as of the last fit.
    above: Box<[f32; BINS]>,
    total: f64,
    /// Weight of the next value: it grows instead of all the others shrinking.
    weight: f64,
    growth: f64,
    values: u64,
    /// Where the Pareto tail begins, and the share of values beyond it.
    threshold: f64,
    beyond: f64,
    shape: f64,
    scale: f64,
    /// Fading number of independent exceedances.
    exceedances: f64,
    since_exceedance: u32,
}

impl DecayedTail {
    /// A distribution that has seen nothing yet but its prior: `survival(x)` is the probability of more than `x`.
    pub fn new(options: DecayedTailOptions, survival: impl Fn(f64) -> f64) -> Self {
        let mut bins = Box::new([0.0; BINS]);
        for (index, bin) in bins.iter_mut().enumerate() {
            *bin = (options.prior_values * (survival(edge(index)) - survival(edge(index + 1)))) as f32;
        }
        let mut tail = Self {
            options,
            bins,
            above: Box::new([0.0; BINS]),
            total: options.prior_values,
            weight: 1.0,
            growth: (std::f64::consts::LN_2 / options.half_life).exp(),
            values: 0,
            threshold: 0.0,
            beyond: 1.0,
            shape: options.prior_shape,
            scale: 1.0,
            exceedances: 1.0,
            since_exceedance: 0,
        };
        tail.fit();
        tail
    }

    /// Takes a magnitude in. Negative ones and `NaN` count as 0.
    pub fn push(&mut self, magnitude: f64) {
        self.weight *= self.growth;
        self.exceedances /= self.growth;
        self.bins[bin(magnitude)] += self.weight as f32;
        self.total += self.weight;
        self.values += 1;
        self.since_exceedance = self.since_exceedance.saturating_add(1);
        if magnitude > self.threshold {
            if self.since_exceedance >= self.options.cluster {
                self.exceedances += 1.0;
            }
            self.since_exceedance = 0;
        }
        if self.weight > GREATEST_WEIGHT {
            let scale = 1.0 / self.weight;
            for bin in self.bins.iter_mut() {
                *bin *= scale as f32;
            }
            self.total *= scale;
            self.weight = 1.0;
        }
        if self.values.is_multiple_of(FIT_EVERY) || self.values < 4 * FIT_EVERY {
            self.fit();
        }
    }

    /// How rarely it is this much or more, in decades: `-log10` of the probability. 0 for a negative magnitude.
    pub fn decades(&self, magnitude: f64) -> f64 {
        if magnitude <= 0.0 || magnitude.is_nan() {
            return 0.0;
        }
        if magnitude < self.threshold {
            let index = bin(magnitude);
            let within = ((magnitude - edge(index)) / (edge(index + 1) - edge(index))).clamp(0.0, 1.0);
            let above = f64::from(self.above[index]) + (1.0 - within) * f64::from(self.bins[index]);
            return -(above / self.total).clamp(1e-9, 1.0).log10();
        }
        let distance = (magnitude - self.threshold) / self.scale;
        let exponent = if self.shape.abs() < 1e-3 {
            distance
        } else {
            (self.shape * distance).max(1e-9 - 1.0).ln_1p() / self.shape
        };
        exponent / LN_10 - self.beyond.log10()
    }

    /// The magnitude that is exceeded this rarely, in decades. Only for more decades than the tail begins at.
    pub fn magnitude(&self, decades: f64) -> f64 {
        let exponent = ((decades + self.beyond.log10()) * LN_10).max(0.0);
        let distance = if self.shape.abs() < 1e-3 { exponent } else { (self.shape * exponent).exp_m1() / self.shape };
        self.threshold + self.scale * distance
    }

    /// Fits the generalised Pareto distribution through three quantiles `u0 < u1 < u2` whose tails shrink by a factor of
    /// five each: `(u2 - u0) / (u1 - u0) = 5^shape + 1`, after Pickands (Annals of Statistics 3, 1975). The shape is
    /// drawn to its prior by as many exceedances as that counts for.
    fn fit(&mut self) {
        let share = self.options.share;
        let wanted = [share / 25.0, share / 5.0, share];
        let mut quantiles = [0.0; 3];
        let mut found = 0;
        let mut above = 0.0;
        for index in (0..BINS).rev() {
            self.above[index] = above as f32;
            let within = f64::from(self.bins[index]);
            while found < 3 && above + within >= wanted[found] * self.total {
                let part =
                    ((above + within - wanted[found] * self.total) / within.max(f64::MIN_POSITIVE)).clamp(0.0, 1.0);
                quantiles[found] = edge(index) + part * (edge(index + 1) - edge(index));
                found += 1;
            }
            above += within;
        }
        let [far, middle, near] = quantiles;
        let inner = (middle - near).max(1e-3);
        let outer = (far - near).max(inner * 1.05);
        let shape = ((outer / inner - 1.0).max(0.05).ln() / 5_f64.ln()).clamp(-0.5, 1.0);
        let known = self.exceedances;
        let prior = self.options.prior_exceedances;
        let shape = (known * shape + prior * self.options.prior_shape) / (known + prior);
        self.shape = shape.clamp(LIGHTEST, HEAVIEST);
        let five = 5_f64.ln();
        let stretch = if self.shape.abs() < 1e-3 { five } else { (self.shape * five).exp_m1() / self.shape };
        self.scale = (inner / stretch * (self.shape * five).exp()).max(0.02);
        self.threshold = middle;
        self.beyond = wanted[1];
    }
}

fn bin(magnitude: f64) -> usize {
    // `NaN` becomes 0, and so does what is negative.
    (((magnitude / FINEST).max(0.0).ln_1p() / STEP) as usize).min(BINS - 1)
}

fn edge(index: usize) -> f64 {
    FINEST * (index as f64 * STEP).exp_m1()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OPTIONS: DecayedTailOptions = DecayedTailOptions {
        share: 0.1,
        prior_values: 400.0,
        prior_shape: 0.1,
        prior_exceedances: 40.0,
        half_life: 6000.0,
        cluster: 6,
    };

    fn exponential() -> DecayedTail {
        DecayedTail::new(OPTIONS, |magnitude| (-magnitude).exp())
    }

    /// Quantiles of a distribution in an order that looks random: the golden ratio spreads them evenly.
    fn fed(quantile: impl Fn(f64) -> f64) -> DecayedTail {
        let mut tail = exponential();
        for index in 1..20_000 {
            tail.push(quantile((f64::from(index) * 0.618_033_988_749_895).fract()));
        }
        tail
    }

    #[test]
    fn decades_are_those_of_the_distribution_that_was_seen() {
        let exponential = fed(|share| -(1.0 - share).ln());
        let pareto = fed(|share| (1.0 - share).powf(-1.0 / 3.0) - 1.0);
        for decades in [1.0, 2.0, 3.0, 4.0] {
            let tail = 10_f64.powf(-decades);
            let of_exponential = exponential.decades(-tail.ln());
            assert!((of_exponential - decades).abs() < 0.3, "exponential: {of_exponential} for {decades}");
            let of_pareto = pareto.decades(tail.powf(-1.0 / 3.0) - 1.0);
            assert!((of_pareto - decades).abs() < 0.5, "Pareto: {of_pareto} for {decades}");
        }
    }

    #[test]
    fn a_few_outliers_do_not_teach_themselves_as_normal() {
        let clean = fed(|share| -(1.0 - share).ln());
        let tainted = fed(|share| if share > 0.9985 { 100.0 } else { -(1.0 - share).ln() });
        assert!(tainted.decades(50.0) > 0.75 * clean.decades(50.0), "{}", tainted.decades(50.0));
    }

    #[test]
    fn what_happens_often_is_normal_however_large() {
        let tail = fed(|share| if share > 0.9 { 100.0 } else { share });
        assert!(tail.decades(90.0) < 1.5, "{}", tail.decades(90.0));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn more_is_rarer_and_magnitude_turns_decades_back(values in prop::collection::vec(0.0_f64..500.0, 0..400)) {
            let mut tail = exponential();
            for value in values {
                tail.push(value);
            }
            let decades: Vec<f64> = (0..200).map(|step| tail.decades(f64::from(step) * 0.5)).collect();
            // Between two fits the histogram is ahead of the tail.
            prop_assert!(decades.windows(2).all(|pair| pair[1] >= pair[0] - 0.1), "{decades:?}");
            for wanted in [2.5, 3.0, 6.0] {
                prop_assert!((tail.decades(tail.magnitude(wanted)) - wanted).abs() < 0.05);
            }
        }

        #[test]
        fn any_magnitudes_are_survived(values in prop::collection::vec(any::<f64>(), 0..100)) {
            let mut tail = exponential();
            for value in values {
                tail.push(value);
                prop_assert!(!tail.decades(value).is_nan() && tail.decades(value) >= 0.0);
            }
        }
    }
}
