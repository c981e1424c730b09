//! The profiles of a shard's series in blocks, bucket-major: within a block all series of one hour of the week lie side
//! by side, so that a round of one hour walks linear memory; and the shard grows by a block, without copying and
//! without spare room for a quarter of what it holds.

use std::collections::HashMap;

use super::Normal;
use super::replay::Known;
use super::when::When;
use crate::learn::{Growth, HOURS_OF_WEEK, MonthlySlot, Profile, Stretch, Tails};

/// Series of a block: half a KiB of each hour lies side by side. A block stays below what the allocator maps for itself and
/// rounds up to whole pages.
const BLOCK: usize = 64;

/// What is usual in one hour of the week; not a number where no profile is ready.
#[derive(Clone, Copy)]
struct Usual {
    centre: f32,
    scale: f32,
}

impl Usual {
    const UNKNOWN: Self = Self { centre: f32::NAN, scale: f32::NAN };

    fn is_known(self) -> bool {
        !self.scale.is_nan()
    }
}

/// What holds for all hours of a series.
#[derive(Clone, Copy)]
pub(super) struct AllHours {
    growth: Growth,
    pub minimum: f32,
    pub maximum: f32,
    pub stretch: Stretch,
    pub tails: Tails,
}

impl AllHours {
    pub const UNKNOWN: Self = Self {
        growth: Growth::NONE,
        minimum: f32::NEG_INFINITY,
        maximum: f32::INFINITY,
        stretch: Stretch::NONE,
        tails: Tails::GAUSSIAN,
    };

    fn of(profile: &Profile) -> Self {
        Self {
            minimum: profile.minimum.map_or(f32::NEG_INFINITY, |minimum| minimum as f32),
            maximum: profile.maximum.map_or(f32::INFINITY, |maximum| maximum as f32),
            stretch: profile.stretch,
            tails: profile.tails,
            growth: profile.growth,
        }
    }

    /// What is normal at an instant in an hour of the week that has this centre and scale.
    pub fn normal(&self, when: &When<'_>, centre: f32, scale: f32) -> Normal<'_> {
        let (moved, growth) = self.growth.at(when.at, when.hour);
        Normal {
            centre: f64::from(centre) + moved,
            scale: f64::from(scale),
            minimum: f64::from(self.minimum),
            maximum: f64::from(self.maximum),
            stretch: self.stretch,
            tails: &self.tails,
            growth,
        }
    }
}

/// Adjacent series.
struct Block {
    /// `[hour][series of the block]`.
    usual: Box<[Usual]>,
    /// `[series of the block]`.
    all_hours: Box<[AllHours]>,
}

/// Centre and scale per hour and series; what holds for all hours per series.
#[derive(Default)]
pub(super) struct Columns {
    used: usize,
    blocks: Vec<Block>,
    /// Of the series that have any.
    monthly: HashMap<usize, Box<[MonthlySlot]>>,
}

impl Columns {
    /// Takes so many adjacent series at the end and gives the first one's index.
    pub(super) fn take(&mut self, series: usize) -> usize {
        let first = self.used;
        self.used += series;
        while self.blocks.len() * BLOCK < self.used {
            self.blocks.push(Block {
                usual: vec![Usual::UNKNOWN; HOURS_OF_WEEK * BLOCK].into(),
                all_hours: vec![AllHours::UNKNOWN; BLOCK].into(),
            });
        }
        first
    }

    /// Puts a series' profile in, or takes it away.
    pub(super) fn set(&mut self, series: usize, profile: Option<&Profile>) {
        let ready = profile.filter(|profile| profile.ready);
        let block = &mut self.blocks[series / BLOCK];
        let hours = block.usual.iter_mut().skip(series % BLOCK).step_by(BLOCK);
        for (hour, usual) in hours.enumerate() {
            *usual = ready
                .map_or(Usual::UNKNOWN, |profile| Usual { centre: profile.centre[hour], scale: profile.scale[hour] });
        }
        block.all_hours[series % BLOCK] = ready.map_or(AllHours::UNKNOWN, AllHours::of);
        match ready.filter(|profile| !profile.monthly.is_empty()) {
            Some(profile) => drop(self.monthly.insert(series, profile.monthly.as_slice().into())),
            None => drop(self.monthly.remove(&series)),
        }
    }

    fn all_hours(&self, series: usize) -> &AllHours {
        &self.blocks[series / BLOCK].all_hours[series % BLOCK]
    }

    fn usual(&self, series: usize, hour: usize) -> Usual {
        self.blocks[series / BLOCK].usual[hour * BLOCK + series % BLOCK]
    }

    pub(super) fn is_ready(&self, series: usize) -> bool {
        self.usual(series, 0).is_known()
    }

    /// What is known of adjacent series, to be taken elsewhere; `None` where the profile is not ready.
    pub(super) fn copy(&self, first: usize, series: usize) -> Vec<Option<Known>> {
        let column =
            |of: fn(Usual) -> f32, series| (0..HOURS_OF_WEEK).map(|hour| of(self.usual(series, hour))).collect();
        let known = |series: usize| {
            self.is_ready(series).then(|| Known {
                centre: column(|usual| usual.centre, series),
                scale: column(|usual| usual.scale, series),
                all_hours: *self.all_hours(series),
                monthly: self.monthly.get(&series).map_or_else(Vec::new, |slots| slots.to_vec()),
            })
        };
        (first..first + series).map(known).collect()
    }

    /// What is normal for a series at that instant; `None` unless its profile is ready.
    pub(super) fn normal(&self, series: usize, when: &When<'_>) -> Option<Normal<'_>> {
        let usual = self.usual(series, when.hour);
        if !usual.is_known() {
            return None;
        }
        let normal = self.all_hours(series).normal(when, usual.centre, usual.scale);
        Some(self.monthly.get(&series).map_or(normal, |slots| normal.in_month(slots, when)))
    }

    /// How much longer than the scale a sigma to each side is, where nothing but centre and scale of the hour says what is
    /// normal; `None` where that is not known, or more has to be looked at.
    pub(super) fn plain_stretch(&self, series: usize) -> Option<Stretch> {
        let AllHours { stretch, growth, .. } = self.all_hours(series);
        let plain = self.is_ready(series) && growth.since().is_none() && !self.monthly.contains_key(&series);
        plain.then_some(*stretch)
    }

    /// Whether a value lies within so many times the scale below and above the centre of that hour.
    pub(super) fn is_within(&self, series: usize, hour: usize, value: f32, (below, above): (f32, f32)) -> bool {
        let Usual { centre, scale } = self.usual(series, hour);
        let distance = value - centre;
        distance > -below * scale && distance < above * scale
    }
}
