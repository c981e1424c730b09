//! Whether a profile held in the days that followed it.

use serde::{Deserialize, Serialize};

use super::{Clock, HOUR_MS, Profile, Sample};
use crate::stats;

const DAY_MS: i64 = 24 * HOUR_MS;
/// Hours that must have been seen for a verdict.
const LEAST_HOURS: f64 = 6.0;
/// Samples outside the band of three sigma, as a multiple of what is expected, from which the band was too narrow.
const NARROW: f64 = 10.0;
/// Share of the samples beyond three sigma that is expected, both sides together.
const EXPECTED: f64 = 0.0027;
/// Median distance of a day from the centre, in sigma, from which the level has moved.
const MOVED_SIGMAS: f64 = 1.0;
/// Spread of the samples as a share of a sigma below which the band is wider than it need be.
const WIDE: f64 = 0.2;

/// What came of a profile.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Held {
    /// It held.
    Yes,
    /// Too little came after it to tell.
    TooEarly,
    /// The level is another one now.
    Moved,
    /// Far more lay outside its band than should.
    TooNarrow,
    /// Its band is far wider than what came.
    TooWide,
}

/// A profile against the samples that followed it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Validation {
    /// Samples judged.
    pub samples: u64,
    /// Separate hours with samples, divided by 24.
    pub days: f64,
    /// Share of the samples within three sigma, 0 to 1; 0.9973 is expected.
    pub coverage: f64,
    /// Share of the samples that the profile gives a probability of at most 1 in 100, and 1 in 1,000, to either side.
    pub rates: [f64; 2],
    /// Median distance of each day's samples from the centre, in sigma, the latest last; 30 at most.
    pub bias: Vec<f64>,
    /// What came of it.
    pub held: Held,
}

/// Validates a profile by the samples of the days that followed it; those that cannot be used are passed over.
pub fn validate(profile: &Profile, samples: &[Sample], clock: &Clock) -> Validation {
    let mut sigmas: Vec<(i64, f32)> = Vec::with_capacity(samples.len());
    let (mut inside, mut beyond) = (0_u64, [0_u64; 2]);
    let (mut hours, mut last_hour) = (0_u32, i64::MIN);
    for sample in samples.iter().filter(|sample| sample.value.abs() <= super::GREATEST) {
        let distance = profile.sigmas_at(clock, sample.at, f64::from(sample.value));
        inside += u64::from(distance.abs() <= 3.0);
        let tail = if distance < 0.0 { profile.tails.below } else { profile.tails.above };
        let probability = 2.0 * tail.probability(distance.abs());
        for (beyond, nominal) in beyond.iter_mut().zip([1e-2, 1e-3]) {
            *beyond += u64::from(probability <= nominal);
        }
        let hour = sample.at.div_euclid(HOUR_MS);
        hours += u32::from(hour != last_hour);
        last_hour = hour;
        sigmas.push((clock.local(sample.at).div_euclid(DAY_MS), distance as f32));
    }
    let count = sigmas.len() as f64;
    let share = |part: u64| if count > 0.0 { part as f64 / count } else { 0.0 };
    let median = |values: &mut dyn Iterator<Item = f32>| stats::median(&mut values.collect::<Vec<_>>()).unwrap_or(0.0);
    let days = sigmas.chunk_by(|one, next| one.0 == next.0);
    let mut bias: Vec<f64> = days.map(|day| median(&mut day.iter().map(|(_, distance)| *distance))).collect();
    bias.drain(..bias.len().saturating_sub(30));
    let all = median(&mut sigmas.iter().map(|(_, distance)| *distance));
    let spread = median(&mut sigmas.iter().map(|(_, distance)| distance.abs())) * stats::MAD_TO_SIGMA;
    // Where all values are alike, the scale is a floor, and nothing is wrong with it.
    let varies = sigmas.iter().any(|(_, distance)| (f64::from(*distance) - all).abs() > 0.0);
    let coverage = share(inside);
    let held = if f64::from(hours) < LEAST_HOURS {
        Held::TooEarly
    } else if all.abs() > MOVED_SIGMAS {
        Held::Moved
    } else if 1.0 - coverage > NARROW * EXPECTED {
        Held::TooNarrow
    } else if varies && inside as f64 >= count && spread < WIDE && all.abs() < WIDE && scale_is_learnt(profile) {
        Held::TooWide
    } else {
        Held::Yes
    };
    Validation {
        samples: sigmas.len() as u64,
        days: f64::from(hours) / 24.0,
        coverage,
        rates: beyond.map(share),
        bias,
        held,
    }
}

/// Whether the scale says how much the series varies, and is not the floor of a series that hardly does.
fn scale_is_learnt(profile: &Profile) -> bool {
    let floor = profile.statistics.standard_deviation;
    profile.scale.iter().any(|scale| f64::from(*scale) < 2.0 * floor)
}

impl Validation {
    /// A sentence for a person.
    pub fn sentence(&self) -> String {
        let of = format!("{:.1} % of {} samples of {:.1} days", self.coverage * 100.0, self.samples, self.days);
        match self.held {
            Held::Yes => format!("held: {of} lay within three sigma"),
            Held::TooEarly => "too little has come since to tell".to_owned(),
            Held::Moved => {
                let latest = self.bias.last().copied().unwrap_or(0.0);
                format!(
                    "the level has moved: the last day lay {latest:+.1} sigma from what was learnt; {of} within three sigma"
                )
            }
            Held::TooNarrow => format!("too narrow: {of} lay within three sigma, 99.7 % would be usual"),
            Held::TooWide => format!("too wide: {of} lay within three sigma, most of them near the centre"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{MonthlySlot, Options, hour_of_month_by, learn};
    use super::*;

    const MINUTE: i64 = 60_000;
    const MONDAY: i64 = 4 * DAY_MS + 2_900 * 7 * DAY_MS;

    fn noise(at: i64) -> f64 {
        let mut bits = (at as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        bits ^= bits >> 31;
        bits = bits.wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits ^= bits >> 29;
        (bits >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    }

    fn samples(days: std::ops::Range<i64>, value: impl Fn(i64) -> f64) -> Vec<Sample> {
        (days.start * 288..days.end * 288)
            .map(|index| MONDAY + index * 5 * MINUTE)
            .map(|at| Sample { at, value: value(at) as f32 })
            .collect()
    }

    fn usual(at: i64) -> f64 {
        100.0 + 10.0 * (noise(at) + noise(at + 1) + noise(at + 2))
    }

    fn profile() -> Profile {
        let options = Options { now: MONDAY + 14 * DAY_MS, ..Options::default() };
        learn(&samples(0..14, usual), &options).unwrap()
    }

    #[test]
    fn what_came_of_a_profile_is_told_from_the_days_after_it() {
        let table: [(&str, &dyn Fn(i64) -> f64, i64, Held); 5] = [
            ("the same", &usual, 2, Held::Yes),
            ("a higher level", &|at| usual(at) + 60.0, 2, Held::Moved),
            ("wider", &|at| 100.0 + 4.0 * (usual(at) - 100.0), 2, Held::TooNarrow),
            ("much narrower", &|at| 100.0 + 0.05 * (usual(at) - 100.0), 2, Held::TooWide),
            ("nothing", &usual, 0, Held::TooEarly),
        ];
        for (name, value, days, held) in table {
            let found = validate(&profile(), &samples(14..14 + days, value), &Clock::utc());
            assert_eq!(found.held, held, "{name}: {found:?}");
            assert_eq!(found.bias.len() as i64, days, "{name}");
            assert!(!found.sentence().is_empty());
        }
    }

    #[test]
    fn a_batch_that_comes_once_a_month_does_not_make_a_band_too_narrow() {
        let now = hour_of_month_by(None, MONDAY + 14 * DAY_MS + 2 * HOUR_MS).unwrap();
        let batch = |at: i64| if hour_of_month_by(None, at) == Some(now) { 400.0 } else { usual(at) };
        let held = |profile: &Profile| validate(profile, &samples(14..15, batch), &Clock::utc()).held;
        assert_eq!(held(&profile()), Held::TooNarrow);
        let slot = MonthlySlot { day: now.day, hour: now.hour, level: 400.0, scale: 20.0 };
        assert_eq!(held(&Profile { monthly: vec![slot], ..profile() }), Held::Yes);
    }

    #[test]
    fn the_sentence_says_what_was_seen() {
        let found = validate(&profile(), &samples(14..16, usual), &Clock::utc());
        assert_eq!(found.sentence(), "held: 100.0 % of 576 samples of 2.0 days lay within three sigma");
        let moved = validate(&profile(), &samples(14..15, |at| usual(at) + 60.0), &Clock::utc());
        assert!(moved.sentence().starts_with("the level has moved: the last day lay +5.8"), "{}", moved.sentence());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_samples_give_shares_between_none_and_all(values in prop::collection::vec(any::<f32>(), 0..200)) {
            let samples: Vec<Sample> =
                values.iter().enumerate().map(|(index, value)| Sample { at: MONDAY + index as i64 * HOUR_MS, value: *value }).collect();
            let found = validate(&profile(), &samples, &Clock::utc());
            for share in [found.coverage, found.rates[0], found.rates[1]] {
                prop_assert!((0.0..=1.0).contains(&share));
            }
            prop_assert!(found.bias.len() <= 30 && found.bias.iter().all(|bias| bias.is_finite()));
            prop_assert!(found.rates[1] <= found.rates[0]);
        }
    }
}
