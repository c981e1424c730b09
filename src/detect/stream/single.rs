//! The values of a series that is judged by the minute, each by itself: a spike that is over with its row.
//!
//! In the mean of its minute a spike is a part of what it is, and there it is one of many pieces of evidence. So each value is
//! also held against what is expected of its minute, by a tail of its own, and what is rare enough is told as the row it is.

use super::evidence::{TwoSided, half_normal_tail};

/// Greatest distance that is reckoned with, in deviations.
const GREATEST: f64 = 1e6;
/// A row is looked at twice: by itself, and in its minute.
const TWO_WAYS: f64 = std::f64::consts::LOG10_2;

/// How far the values of one series lie from what is expected of their minute.
#[derive(Clone, Debug)]
pub(super) struct Single {
    distances: TwoSided,
}

/// What speaks against a value by itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Alone {
    /// Decades to decide by: there are so many more values than minutes, and an alarm is as rare as one in a minute.
    pub decades: f64,
    /// How rare it is among values, in decades.
    pub rarity: f64,
}

impl Default for Single {
    fn default() -> Self {
        Self { distances: TwoSided::new(1, half_normal_tail) }
    }
}

impl Single {
    /// Judges a distance in deviations, of one of so many values a minute, and learns from it.
    pub fn judge(&mut self, distance: f64, values_a_minute: f64) -> Alone {
        let rarity = (self.distances.judge(distance.clamp(-GREATEST, GREATEST)) - TWO_WAYS).max(0.0);
        Alone { decades: rarity - values_a_minute.max(1.0).log10(), rarity }
    }
}
