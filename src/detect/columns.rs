//! The profiles of a shard's series in blocks, bucket-major: within a block all series of one hour of the week lie side
//! by side, so that a round of one hour walks linear memory; and the shard grows by a block, without copying and
//! without spare room for a quarter of what it holds.

use std::collections::HashMap;

use super::Normal;
use super::replay::Known;
use super::when::When;
use crate::learn::{HOURS_OF_WEEK, MonthlySlot, Profile, Stretch, Tails};

/// Series of a block: 1 KiB of each hour lies side by side.
const BLOCK: usize = 128;

/// What is usual in one hour of the week.
#[derive(Clone, Copy)]
struct Usual {
    centre: f32,
    scale: f32,
}

/// What is known of a series.
#[derive(Clone, Copy, Eq, PartialEq)]
enum State {
    Unready,
    Ready,
    /// Ready, and something comes once a month: few have that, and the others need not be looked up.
    Monthly,
}

/// Centre and scale per hour and series; what holds for all hours per series.
#[derive(Default)]
pub(super) struct Columns {
    used: usize,
    /// Each `[hour][series of the block]`.
    blocks: Vec<Box<[Usual]>>,
    /// `[series]`.
    state: Vec<State>,
    confidence: Vec<f32>,
    minimum: Vec<f32>,
    maximum: Vec<f32>,
    stretch: Vec<Stretch>,
    tails: Vec<Tails>,
    /// Of the series that have any.
    monthly: HashMap<usize, Box<[MonthlySlot]>>,
}

impl Columns {
    /// Takes so many adjacent series at the end and gives the first one's index.
    pub(super) fn take(&mut self, series: usize) -> usize {
        let first = self.used;
        self.used += series;
        while self.blocks.len() * BLOCK < self.used {
            let unknown = Usual { centre: f32::NAN, scale: f32::NAN };
            self.blocks.push(vec![unknown; HOURS_OF_WEEK * BLOCK].into());
        }
        self.state.resize(self.used, State::Unready);
        self.confidence.resize(self.used, 0.0);
        self.minimum.resize(self.used, f32::NEG_INFINITY);
        self.maximum.resize(self.used, f32::INFINITY);
        self.stretch.resize(self.used, Stretch::NONE);
        self.tails.resize(self.used, Tails::GAUSSIAN);
        first
    }

    /// Puts a series' profile in, or takes it away.
    pub(super) fn set(&mut self, series: usize, profile: Option<&Profile>) {
        for hour in 0..HOURS_OF_WEEK {
            self.blocks[series / BLOCK][hour * BLOCK + series % BLOCK] = Usual {
                centre: profile.map_or(f32::NAN, |profile| profile.centre[hour]),
                scale: profile.map_or(f32::NAN, |profile| profile.scale[hour]),
            };
        }
        self.monthly.remove(&series);
        self.state[series] = match profile.filter(|profile| profile.ready) {
            None => State::Unready,
            Some(profile) if profile.monthly.is_empty() => State::Ready,
            Some(profile) => {
                self.monthly.insert(series, profile.monthly.as_slice().into());
                State::Monthly
            }
        };
        self.confidence[series] = profile.map_or(0.0, |profile| profile.confidence as f32);
        self.stretch[series] = profile.map_or(Stretch::NONE, |profile| profile.stretch);
        self.tails[series] = profile.map_or(Tails::GAUSSIAN, |profile| profile.tails);
        let bound = |bound: fn(&Profile) -> Option<f64>| profile.and_then(bound).map(|bound| bound as f32);
        self.minimum[series] = bound(|profile| profile.minimum).unwrap_or(f32::NEG_INFINITY);
        self.maximum[series] = bound(|profile| profile.maximum).unwrap_or(f32::INFINITY);
    }

    fn usual(&self, series: usize, hour: usize) -> Usual {
        self.blocks[series / BLOCK][hour * BLOCK + series % BLOCK]
    }

    pub(super) fn is_ready(&self, series: usize) -> bool {
        self.state[series] != State::Unready
    }

    /// What is known of adjacent series, to be taken elsewhere; `None` where the profile is not ready.
    pub(super) fn copy(&self, first: usize, series: usize) -> Vec<Option<Known>> {
        let column =
            |of: fn(Usual) -> f32, series| (0..HOURS_OF_WEEK).map(|hour| of(self.usual(series, hour))).collect();
        let known = |series: usize| {
            self.is_ready(series).then(|| Known {
                centre: column(|usual| usual.centre, series),
                scale: column(|usual| usual.scale, series),
                minimum: self.minimum[series],
                maximum: self.maximum[series],
                confidence: self.confidence[series],
                stretch: self.stretch[series],
                tails: self.tails[series],
                monthly: self.monthly.get(&series).map_or_else(Vec::new, |slots| slots.to_vec()),
            })
        };
        (first..first + series).map(known).collect()
    }

    /// What is normal for a series at that instant; `None` unless its profile is ready.
    pub(super) fn normal(&self, series: usize, when: &When<'_>) -> Option<Normal<'_>> {
        let state = self.state[series];
        if state == State::Unready {
            return None;
        }
        let usual = self.usual(series, when.hour);
        let normal = Normal {
            centre: f64::from(usual.centre),
            scale: f64::from(usual.scale),
            minimum: f64::from(self.minimum[series]),
            maximum: f64::from(self.maximum[series]),
            confidence: f64::from(self.confidence[series]),
            stretch: self.stretch[series],
            tails: &self.tails[series],
        };
        if state == State::Ready {
            return Some(normal);
        }
        Some(self.monthly.get(&series).map_or(normal, |slots| normal.in_month(slots, when)))
    }
}
