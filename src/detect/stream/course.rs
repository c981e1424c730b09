//! The long course of a series: a slow level, and what each quarter of an hour of the day adds to it.
//!
//! It follows with clipped residuals, so that an incident does not teach itself as normal, and it believes in a season
//! only as far as the season has explained what came.

/// Quarters of an hour in a day.
const SLOTS: usize = 96;
const DAY_MS: i64 = 86_400_000;
const SLOT_MS: i64 = DAY_MS / SLOTS as i64;
/// Gain of the level, per sample.
const LEVEL_GAIN: f64 = 0.005;
/// Gain of the variance, per sample.
const VARIANCE_GAIN: f64 = 0.005;
/// Gain of a slot's mean and of its variance, per day.
const SLOT_MEAN_GAIN: f64 = 0.3;
const SLOT_VARIANCE_GAIN: f64 = 0.2;
/// Greatest share that a slot's own variance has in the scale; the rest is the whole series'.
const SLOT_SHARE: f64 = 0.5;
/// Days at which a slot has half of that share.
const SLOT_DAYS: f64 = 2.0;
/// Memory of how much the season explains, per sample.
const EXPLAINED_MEMORY: f64 = 0.998;
/// Residuals count for no more than this many deviations when they are learnt.
const CLIP: f64 = 3.0;

/// What one quarter of an hour of the day adds to the level.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    mean: f64,
    variance: f64,
    samples: f64,
}

/// Slow level and daily profile.
#[derive(Clone, Debug)]
pub(super) struct Course {
    level: f64,
    variance: f64,
    slots: Box<[Slot; SLOTS]>,
    /// Sums for the regression of what came on what the season said.
    explained: f64,
    said: f64,
}

/// What the course says of one instant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected {
    pub mean: f64,
    pub deviation: f64,
    /// Share of the daily profile that is believed, 0 to 1.
    pub season: f64,
}

impl Course {
    pub(super) fn new(value: f64) -> Self {
        Self { level: value, variance: 0.0, slots: Box::new([Slot::default(); SLOTS]), explained: 0.0, said: 0.0 }
    }

    /// What is expected at that time. `floor` is the least deviation, `step_ms` the time between samples.
    pub(super) fn expect(&self, at: i64, step_ms: f64, floor: f64) -> Expected {
        let slot = &self.slots[slot(at)];
        let season = self.season(slot);
        let days = slot.samples / per_visit(step_ms);
        let share = SLOT_SHARE * days / (days + SLOT_DAYS);
        let variance = (1.0 - share) * self.variance + share * slot.variance.max(0.05 * self.variance);
        Expected { mean: self.level + season * slot.mean, deviation: variance.sqrt().max(floor), season }
    }

    fn season(&self, slot: &Slot) -> f64 {
        if self.said > 0.0 && slot.samples >= 1.0 { (self.explained / self.said).clamp(0.0, 1.0) } else { 0.0 }
    }

    /// Learns a value of which `expected` was said; `seen` counts the samples so far, and while `young` nothing is
    /// clipped.
    pub(super) fn learn(&mut self, at: i64, step_ms: f64, value: f64, expected: &Expected, seen: f64, young: bool) {
        let bound = if young { f64::INFINITY } else { CLIP * expected.deviation };
        let residual = (value - expected.mean).clamp(-bound, bound);
        let slot = &mut self.slots[slot(at)];
        let from_season = expected.season * slot.mean;
        let above_level = (value - self.level).clamp(from_season - bound, from_season + bound);
        if slot.samples >= 1.0 {
            self.explained = EXPLAINED_MEMORY * self.explained + above_level * slot.mean;
            self.said = EXPLAINED_MEMORY * self.said + slot.mean * slot.mean;
        }
        self.level += LEVEL_GAIN.max(1.0 / seen) * residual;
        self.variance += VARIANCE_GAIN.max(1.0 / seen) * (residual * residual - self.variance);
        slot.samples += 1.0;
        let gain = |per_day: f64| (1.0 / slot.samples).max(1.0 - (1.0 - per_day).powf(1.0 / per_visit(step_ms)));
        let (mean_gain, variance_gain) = (gain(SLOT_MEAN_GAIN), gain(SLOT_VARIANCE_GAIN));
        slot.variance += variance_gain * (residual * residual - slot.variance);
        slot.mean += mean_gain * (above_level - slot.mean);
    }
}

fn slot(at: i64) -> usize {
    (at.rem_euclid(DAY_MS) / SLOT_MS) as usize
}

/// Samples of a slot on one day.
fn per_visit(step_ms: f64) -> f64 {
    (SLOT_MS as f64 / step_ms.max(1.0)).max(1.0)
}
