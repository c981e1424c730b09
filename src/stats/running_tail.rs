//! How often a statistic goes how far, learnt as it comes: a fading histogram for the body, and a generalised Pareto
//! distribution for what lies beyond a high threshold (peaks over threshold: Siffer et al. 2017, *SPOT*).

use super::pareto::Pareto;

/// Steps of the histogram: a statistic that is nearly standard normal in normal life.
const STEP: f32 = 0.25;
const LOWEST: f32 = -4.0;
const STEPS: usize = 64;
/// Share of the samples beyond the threshold, at most.
const TAIL_SHARE: f64 = 0.02;
/// Samples from which on a probability is given.
const FEWEST: f64 = 1_000.0;
/// Samples after which older ones fade: all counts are halved.
const MEMORY: f64 = 40_000.0;
/// Values beyond the threshold that are kept: the last ones.
const KEPT: usize = 256;
/// New values beyond the threshold after which the fit is made anew.
const REFIT: u32 = 8;
/// What is learnt goes at most as far as this probability: an incident stretches the tail slowly.
const FARTHEST: f64 = 1e-5;

/// The running tail of one statistic.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunningTail {
    counts: Vec<f32>,
    total: f64,
    /// The last values beyond the threshold of their time, oldest first from `next` on.
    far: Vec<f32>,
    next: usize,
    /// Runs of values beyond the threshold among all that were kept, faded with them.
    runs: f64,
    in_run: bool,
    /// What values beyond the threshold weigh that are not kept yet.
    credit: f64,
    since_fit: u32,
    fit: Option<(f32, f64, Pareto)>,
}

impl RunningTail {
    /// Probability that normal life goes at least so far; `None` while too little is known (fewer than 1,000 samples).
    pub fn probability(&self, value: f64) -> Option<f64> {
        if self.total < FEWEST {
            return None;
        }
        match &self.fit {
            Some((threshold, share, fit)) if value >= f64::from(*threshold) => {
                Some(share * fit.tail(value - f64::from(*threshold)))
            }
            _ => Some(self.beyond(value as f32)),
        }
    }

    /// Share of the samples beyond a value, interpolated within its step.
    fn beyond(&self, value: f32) -> f64 {
        let position = f64::from((value - LOWEST) / STEP).clamp(0.0, STEPS as f64);
        let whole = (position.floor() as usize).min(STEPS - 1);
        let rest: f64 = self.counts.iter().skip(whole + 1).copied().map(f64::from).sum();
        let within = self.counts.get(whole).copied().map_or(0.0, f64::from) * (1.0 - (position - whole as f64));
        ((rest + within) / self.total.max(1.0)).clamp(0.0, 1.0)
    }

    /// Learns a sample; what is not finite is passed over. What goes farther than what is all but never seen is learnt
    /// as if it lay there. `trust`, 0 to 1: how much it weighs, 1 for what belongs to normal life.
    pub fn take(&mut self, value: f64, trust: f64) {
        if !value.is_finite() {
            return;
        }
        let farthest = match &self.fit {
            Some((threshold, share, fit)) => f64::from(*threshold) + fit.quantile((FARTHEST / share).min(1.0)),
            None => f64::from(LOWEST + STEP * STEPS as f32),
        };
        let value = value.min(farthest) as f32;
        if self.counts.is_empty() {
            self.counts = vec![0.0; STEPS];
        }
        let step = (((value - LOWEST) / STEP).floor().max(0.0) as usize).min(STEPS - 1);
        self.counts[step] += trust as f32;
        self.total += trust;
        if self.total >= MEMORY {
            self.counts.iter_mut().for_each(|count| *count /= 2.0);
            self.total /= 2.0;
        }
        let threshold = self.fit.as_ref().map(|(threshold, ..)| *threshold);
        let is_far = value >= threshold.unwrap_or(LOWEST);
        self.credit += if is_far { trust } else { 0.0 };
        if self.credit >= 1.0 {
            self.credit -= 1.0;
            if !self.in_run {
                self.runs += 1.0;
            }
            if self.far.len() < KEPT {
                self.far.push(value);
            } else {
                self.far[self.next] = value;
                self.next = (self.next + 1) % KEPT;
                self.runs *= 1.0 - 1.0 / KEPT as f64;
            }
            self.since_fit += 1;
        }
        self.in_run = is_far;
        let first = self.fit.is_none() && self.total >= FEWEST;
        if first || (self.fit.is_some() && self.since_fit >= REFIT) {
            self.refit(first);
        }
    }

    fn refit(&mut self, first: bool) {
        self.since_fit = 0;
        let mut rest = 0.0;
        let mut edge = STEPS;
        while edge > 0 && rest + f64::from(self.counts[edge - 1]) <= TAIL_SHARE * self.total {
            edge -= 1;
            rest += f64::from(self.counts[edge]);
        }
        let threshold = LOWEST + STEP * edge as f32;
        if first {
            // Until now everything was kept; the runs were those of another threshold.
            self.far.retain(|value| *value >= threshold);
            self.next = 0;
            self.runs = self.far.len() as f64 / 2.0;
        }
        let mut excesses: Vec<f32> =
            self.far.iter().map(|value| value - threshold).filter(|excess| *excess >= 0.0).collect();
        excesses.sort_unstable_by(f32::total_cmp);
        // A statistic that never went beyond its body has a tail all the same.
        let fit = Pareto::fit(&excesses, self.runs.max(1.0)).unwrap_or(Pareto { scale: 0.4, shape: 0.0 });
        // What is far is learnt from slowly, which cuts the tail: an end that it seems to have is none.
        let mean = excesses.iter().copied().map(f64::from).sum::<f64>() / excesses.len().max(1) as f64;
        let fit = if fit.shape < 0.0 { Pareto { scale: mean.max(f64::from(STEP) / 4.0), shape: 0.0 } } else { fit };
        let share = (rest / self.total).max(0.5 / self.total);
        self.fit = Some((threshold, share, fit));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Exponential with mean 1 in normal life.
    fn draw(state: &mut u64) -> f64 {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        -(((*state >> 11) as f64 + 0.5) / (1_u64 << 53) as f64).ln()
    }

    fn learnt(samples: usize) -> (RunningTail, u64) {
        let (mut tail, mut state) = (RunningTail::default(), 3);
        for _ in 0..samples {
            tail.take(draw(&mut state), 1.0);
        }
        (tail, state)
    }

    #[test]
    fn too_little_gives_no_probability() {
        assert_eq!(RunningTail::default().probability(9.0), None);
        assert_eq!(learnt(999).0.probability(9.0), None);
        assert!(learnt(1_000).0.probability(9.0).is_some());
    }

    #[test]
    fn probabilities_are_nominal_within_a_factor_of_two() {
        let (mut tail, mut state) = learnt(5_000);
        for nominal in [1e-1, 1e-2, 1e-3] {
            let count = (300.0 / nominal) as usize;
            let mut far = 0.0;
            for _ in 0..count {
                let value = draw(&mut state);
                far += f64::from(u8::from(tail.probability(value).unwrap() <= nominal));
                tail.take(value, 1.0);
            }
            let ratio = far / (nominal * count as f64);
            assert!((0.5..=2.0).contains(&ratio), "{nominal}: {ratio}");
        }
    }

    #[test]
    fn an_incident_of_an_hour_stays_rare_and_a_new_normal_is_learnt_in_time() {
        let (mut tail, _) = learnt(20_000);
        for _ in 0..360 {
            tail.take(30.0, 0.05);
        }
        assert!(tail.probability(30.0).unwrap() < 1e-3, "{:?}", tail.probability(30.0));
        for _ in 0..40_000 {
            tail.take(30.0, 0.05);
        }
        assert!(tail.probability(11.0).unwrap() > 1e-2, "{:?}", tail.probability(11.0));
    }

    proptest! {
        #[test]
        fn any_values_give_probabilities_that_fall(
            values in prop::collection::vec(prop::num::f64::ANY, 1_000..2_000), one in -5.0..20.0_f64, more in 0.0..9.0_f64,
        ) {
            let mut tail = RunningTail::default();
            for value in &values {
                tail.take(*value, 1.0);
            }
            if let (Some(near), Some(far)) = (tail.probability(one), tail.probability(one + more)) {
                prop_assert!((0.0..=1.0).contains(&near) && (0.0..=1.0).contains(&far));
                prop_assert!(far <= near + 0.02, "{near} {far}");
            }
        }
    }
}
