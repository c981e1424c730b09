//! Over one learnt statistic: how rare it is in this series' own life, and whether that is an incident.
//!
//! A statistic of whatever unit is brought to its own centre and spread, and its tail is learnt ([`RunningTail`]): of one
//! sample alone, and of a fading mean of the last ones, so that what lasts is found though no sample of it is rare. How
//! alike neighbours are needs no model: a series that wanders has a mean that wanders, and the tail of that is learnt.
//!
//! An incident has a budget in time: so many false ones a week, whatever the time between two samples. It is over when a
//! few samples on end are ordinary. While it is open it is learnt from slowly, until it has lasted so long that it is how
//! life is now. Nothing else is learnt slowly: a tail from which its rare values were left out would call more values
//! rare than are.

use crate::api::Sensitivity;
use crate::stats::RunningTail;

/// Weight of a sample in the fading mean: some 16 samples.
const LASTING: f64 = 1.0 / 16.0;
/// Greatest value that is reckoned with, in sigma: squares stay finite.
const FARTHEST: f64 = 1e6;
/// Distance from the centre, in spreads, that a sample counts for at most in the fading mean: one alone is no duration.
const GREATEST: f64 = 8.0;
/// Distance from its centre, in its own spreads, that the fading mean reaches at most in an incident: it has to come back.
const FARTHEST_LASTING: f64 = 8.0;
/// Looks at a sample: by itself, and with those before it.
const LOOKS: f64 = 2.0;
/// Probability from which on a sample and what lasts are ordinary, and how many on end end an incident.
const ORDINARY: f64 = 0.05;
const CALM: u32 = 3;
/// Time in ms in which a series is young: its week was not seen once. An incident then has to be so much rarer, and for
/// so many samples on end.
const YOUNG_MS: i64 = 7 * 86_400_000;
const YOUNG_CHANCE: f64 = 0.01;
const YOUNG_RARE: u32 = 3;
/// Weight of what is learnt in an incident.
const DOUBTFUL_TRUST: f64 = 0.02;
/// Time in ms after which an incident is how life is now: as long as a new level takes to be followed by a profile.
pub(super) const NEW_LIFE_MS: i64 = 3 * 86_400_000;
const WEEK_MS: f64 = 7.0 * 86_400_000.0;
/// Weight of the last step in the usual one.
const STEP_WEIGHT: f64 = 1.0 / 16.0;
/// Usual steps that one step counts for at most: a gap is no step.
const LONGEST_STEP: f64 = 2.0;

/// False incidents a week that a rule of this sensitivity puts up with. On clean series, from independent to 0.99 from
/// one sample to the next, there are at most as many: tails are learnt a little too heavy rather than too light.
pub(super) fn accepted_a_week(sensitivity: Sensitivity) -> f64 {
    match sensitivity {
        Sensitivity::Low => 0.01,
        Sensitivity::Medium => 0.1,
        Sensitivity::High => 1.0,
    }
}

/// Whether an incident may begin with a sample.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Begins {
    /// It may.
    ByItself,
    /// It may, and something else speaks for it: not even in the first week does it have to be surer.
    Supported,
    /// It may not.
    Never,
}

/// What is remembered of one statistic: some 3 KB.
#[derive(Clone, Debug, Default)]
pub(super) struct Vigil {
    /// Of each sample alone.
    single: Habit,
    /// Of the fading mean.
    lasting: Habit,
    /// The fading mean, in spreads.
    mean: f64,
    /// Time of the last sample, and the usual time between two, in ms.
    last: Option<i64>,
    step_ms: f64,
    /// Of the last sample; `None` while too little is known.
    probability: Option<f64>,
    /// Begin of the incident that is open, and the least probability in it.
    open: Option<(i64, f64)>,
    /// Samples on end that were ordinary.
    calm: u32,
    /// Samples on end that were as rare as an incident is.
    rare: u32,
    /// Time of the first sample.
    first: Option<i64>,
}

impl Vigil {
    /// Takes a value of the statistic in, in sigma: the greater, the stranger. `accepted`: false incidents a week.
    /// Of what is not finite nothing is said.
    pub fn take(&mut self, at: i64, value: f64, accepted: f64, begins: Begins) {
        if !value.is_finite() {
            self.probability = None;
            return;
        }
        let value = value.clamp(-FARTHEST, FARTHEST);
        self.learn_step(at);
        let age_ms = at.saturating_sub(*self.first.get_or_insert(at));
        let trust = self.trust(at);
        let place = self.single.place(value);
        self.probability = place.and_then(|place| self.single.tail.probability(place));
        self.single.take(value, trust);
        let Some(place) = place else { return };
        self.mean += LASTING * (place.clamp(-GREATEST, GREATEST) - self.mean);
        if self.open.is_some() {
            self.mean = self.lasting.within(self.mean, FARTHEST_LASTING);
        }
        let lasting = self.lasting.place(self.mean).and_then(|place| self.lasting.tail.probability(place));
        self.lasting.take(self.mean, trust);
        let Some(probability) = self.probability else { return };
        let rarest = lasting.map_or(probability, |lasting| lasting.min(probability));
        self.calm = if rarest >= ORDINARY { self.calm.saturating_add(1) } else { 0 };
        let young = begins == Begins::ByItself && age_ms < YOUNG_MS;
        let chance = self.chance(accepted) * if young { YOUNG_CHANCE } else { 1.0 };
        self.rare = if rarest < chance { self.rare.saturating_add(1) } else { 0 };
        let enough = if young { YOUNG_RARE } else { 1 };
        self.open = match self.open {
            Some(_) if self.calm >= CALM => {
                // What lasted is over: the mean of it would open the next one.
                self.mean = 0.0;
                None
            }
            Some((since, least)) => Some((since, least.min(rarest))),
            None if begins != Begins::Never && self.rare >= enough => {
                self.calm = 0;
                Some((at, rarest))
            }
            None => None,
        };
    }

    /// How much is to be learnt from what comes at that time, 0 to 1.
    pub fn trust(&self, at: i64) -> f64 {
        let doubtful = self.open.is_some_and(|(since, _)| at.saturating_sub(since) < NEW_LIFE_MS);
        if doubtful { DOUBTFUL_TRUST } else { 1.0 }
    }

    /// Whether an incident is open; `None` while too little is known.
    pub fn is_open(&self) -> Option<bool> {
        self.probability.map(|_| self.open.is_some())
    }

    /// Probability that this series' normal life goes as far as the last sample; while an incident is open, the least of
    /// all looks in it. `None` while too little is known.
    pub fn probability(&self) -> Option<f64> {
        let probability = self.probability?;
        Some(self.open.map_or(probability, |(_, least)| (LOOKS * least).min(probability)))
    }

    /// Of one look: each sample is looked at by itself, and with those before it.
    fn chance(&self, accepted: f64) -> f64 {
        accepted / LOOKS * self.step_ms / WEEK_MS
    }

    fn learn_step(&mut self, at: i64) {
        let step = self.last.map_or(0, |last| at.saturating_sub(last)).max(0) as f64;
        self.last = Some(at);
        if self.step_ms <= 0.0 {
            self.step_ms = step;
        } else if step > 0.0 {
            self.step_ms += STEP_WEIGHT * (step.min(LONGEST_STEP * self.step_ms) - self.step_ms);
        }
    }
}

/// Values before there is a centre and a spread.
const FEWEST: f64 = 50.0;
/// Values after which each new one weighs the same.
const MEMORY: f64 = 20_000.0;
/// Least spread that is believed, in sigma: what never moved has one all the same.
const LEAST_SPREAD: f64 = 0.05;
/// Values beyond so many spreads are learnt as if they lay there (Huber's function, as of 1964).
const CLIP: f64 = 4.0;

/// Centre, spread and tail of a statistic.
#[derive(Clone, Debug, Default)]
struct Habit {
    weight: f64,
    centre: f64,
    variance: f64,
    tail: RunningTail,
}

impl Habit {
    /// Distance from the centre in spreads; `None` while there is none.
    fn place(&self, value: f64) -> Option<f64> {
        (self.weight >= FEWEST).then(|| (value - self.centre) / self.spread())
    }

    /// The value, or the one nearest to it within so many spreads of the centre.
    fn within(&self, value: f64, spreads: f64) -> f64 {
        let reach = if self.weight >= FEWEST { spreads * self.spread() } else { f64::INFINITY };
        value.clamp(self.centre - reach, self.centre + reach)
    }

    fn spread(&self) -> f64 {
        self.variance.sqrt().max(LEAST_SPREAD)
    }

    fn take(&mut self, value: f64, trust: f64) {
        let deviation = match self.place(value) {
            Some(place) => {
                self.tail.take(place, trust);
                place.clamp(-CLIP, CLIP) * self.spread()
            }
            None => value - self.centre,
        };
        let weight = (self.weight + trust).min(MEMORY);
        self.centre += trust * deviation / weight;
        self.variance += trust * (deviation * deviation * (weight - trust) / weight - self.variance) / weight;
        self.weight = weight;
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{DAY, HOUR, MINUTE, MONDAY};
    use super::*;

    const MEDIUM: f64 = 0.1;

    /// Nearly normal noise with variance 1, alike by `alike` from one to the next.
    struct Noise {
        state: u64,
        value: f64,
        alike: f64,
    }

    impl Noise {
        fn new(state: u64, alike: f64) -> Self {
            Self { state, value: 0.0, alike }
        }

        fn next(&mut self) -> f64 {
            let uniform = || {
                self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (self.state >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
            };
            let fresh: f64 = std::iter::repeat_with(uniform).take(12).sum();
            self.value = self.alike * self.value + (1.0 - self.alike * self.alike).sqrt() * fresh;
            self.value
        }
    }

    /// Incidents, and samples that were called as rare as 1 in 100 and in 1,000, over weeks of minutes after the first.
    fn clean(alike: f64, weeks: i64, accepted: f64, seed: u64) -> (usize, [f64; 2]) {
        let (mut vigil, mut noise) = (Vigil::default(), Noise::new(seed, alike));
        let (mut incidents, mut was_open, mut rare, mut judged) = (0, false, [0.0; 2], 0.0);
        for minute in 0..weeks * 7 * 24 * 60 {
            vigil.take(MONDAY + minute * MINUTE, 3.0 + 0.5 * noise.next(), accepted, Begins::ByItself);
            let is_open = vigil.is_open() == Some(true);
            incidents += usize::from(is_open && !was_open);
            was_open = is_open;
            if let Some(probability) = vigil.probability().filter(|_| minute >= 7 * 24 * 60) {
                judged += 1.0;
                rare[0] += f64::from(u8::from(probability <= 1e-2));
                rare[1] += f64::from(u8::from(probability <= 1e-3));
            }
        }
        (incidents, [rare[0] / judged / 1e-2, rare[1] / judged / 1e-3])
    }

    #[test]
    fn clean_series_have_next_to_no_incident_in_five_weeks_however_alike_neighbours_are() {
        for alike in [0.0, 0.6, 0.9, 0.95] {
            let (incidents, [hundredth, thousandth]) = clean(alike, 5, MEDIUM, 5);
            assert!(incidents <= 1, "{alike}: {incidents}");
            assert!(
                (0.5..=2.0).contains(&hundredth) && (0.5..=2.0).contains(&thousandth),
                "{alike}: {hundredth} {thousandth}"
            );
        }
    }

    /// Two weeks of minutes, and the noise to go on with.
    fn learnt() -> (Vigil, Noise) {
        let (mut vigil, mut noise) = (Vigil::default(), Noise::new(9, 0.3));
        for minute in 0..14 * 24 * 60 {
            vigil.take(MONDAY + minute * MINUTE, noise.next(), MEDIUM, Begins::ByItself);
        }
        (vigil, noise)
    }

    #[test]
    fn one_sample_far_away_opens_an_incident_and_a_few_ordinary_ones_end_it() {
        let (mut vigil, mut noise) = learnt();
        let at = MONDAY + 14 * DAY;
        vigil.take(at, 15.0, MEDIUM, Begins::ByItself);
        assert_eq!(vigil.is_open(), Some(true));
        assert!(vigil.probability().unwrap() < 1e-6);
        let over = (1..30).find(|minute| {
            vigil.take(at + minute * MINUTE, noise.next(), MEDIUM, Begins::ByItself);
            vigil.is_open() == Some(false)
        });
        assert!(over.is_some_and(|minutes| minutes >= i64::from(CALM)), "{over:?}");
    }

    #[test]
    fn what_lasts_is_found_though_no_sample_of_it_is_rare_enough() {
        let (mut vigil, mut noise) = learnt();
        let at = MONDAY + 14 * DAY;
        let found = (0..60).find(|minute| {
            vigil.take(at + minute * MINUTE, 3.0 + 0.3 * noise.next(), MEDIUM, Begins::ByItself);
            vigil.is_open() == Some(true)
        });
        assert!(found.is_some_and(|minutes| (2..40).contains(&minutes)), "{found:?}");
    }

    #[test]
    fn an_incident_of_what_lasts_stays_open_while_it_lasts_though_most_samples_are_ordinary() {
        let (mut vigil, mut noise) = (Vigil::default(), Noise::new(9, 0.0));
        for minute in 0..14 * 24 * 60 {
            vigil.take(MONDAY + minute * MINUTE, noise.next(), MEDIUM, Begins::ByItself);
        }
        let mut open = Vec::new();
        for minute in 0..600 {
            vigil.take(MONDAY + 14 * DAY + minute * MINUTE, 2.0 + noise.next(), MEDIUM, Begins::ByItself);
            open.push(vigil.is_open() == Some(true));
        }
        let since = open.iter().position(|open| *open).unwrap();
        assert!(since < 60, "{since}");
        let closed = open[since..].iter().filter(|open| !**open).count();
        assert!(closed <= 60, "closed for {closed} minutes of {}", open.len() - since);
    }

    #[test]
    fn what_may_not_begin_one_opens_no_incident() {
        let (mut vigil, _) = learnt();
        vigil.take(MONDAY + 14 * DAY, 50.0, MEDIUM, Begins::Never);
        assert_eq!(vigil.is_open(), Some(false));
    }

    #[test]
    fn an_incident_of_two_days_is_not_learnt_and_a_new_life_is_in_time() {
        let (mut vigil, mut noise) = learnt();
        let at = MONDAY + 14 * DAY;
        let open_after = |vigil: &mut Vigil, noise: &mut Noise, minutes: std::ops::Range<i64>| {
            for minute in minutes {
                vigil.take(at + minute * MINUTE, 8.0 + noise.next(), MEDIUM, Begins::ByItself);
            }
            vigil.is_open()
        };
        assert_eq!(open_after(&mut vigil, &mut noise, 0..2 * DAY / MINUTE), Some(true));
        assert_eq!(open_after(&mut vigil, &mut noise, 2 * DAY / MINUTE..10 * DAY / MINUTE), Some(false));
    }

    #[test]
    fn more_samples_a_week_must_each_be_rarer() {
        let chance = |step: i64| {
            let mut vigil = Vigil::default();
            (0..200).for_each(|index| vigil.take(MONDAY + index * step, 0.0, MEDIUM, Begins::ByItself));
            vigil.chance(MEDIUM)
        };
        assert!((chance(MINUTE) / chance(MINUTE / 6) - 6.0).abs() < 0.01);
        assert!((chance(HOUR) / (MEDIUM / LOOKS / 168.0) - 1.0).abs() < 0.01);
    }
}
