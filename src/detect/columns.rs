//! The profiles of a shard's series in blocks, bucket-major: within a block all series of one hour of the week lie side
//! by side, so that a round of one hour walks linear memory; and the shard grows by a block, without copying and
//! without spare room for a quarter of what it holds.

use super::Normal;
use super::replay::Normals;
use crate::learn::{HOURS_OF_WEEK, Profile};

/// Series of a block: 1 KiB of each hour lies side by side.
const BLOCK: usize = 128;

/// What is usual in one hour of the week.
#[derive(Clone, Copy)]
struct Usual {
    centre: f32,
    scale: f32,
}

/// Centre and scale per hour and series; what holds for all hours per series.
#[derive(Default)]
pub(super) struct Columns {
    used: usize,
    /// Each `[hour][series of the block]`.
    blocks: Vec<Box<[Usual]>>,
    /// `[series]`.
    ready: Vec<bool>,
    confidence: Vec<f32>,
    minimum: Vec<f32>,
    maximum: Vec<f32>,
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
        self.ready.resize(self.used, false);
        self.confidence.resize(self.used, 0.0);
        self.minimum.resize(self.used, f32::NEG_INFINITY);
        self.maximum.resize(self.used, f32::INFINITY);
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
        self.ready[series] = profile.is_some_and(|profile| profile.ready);
        self.confidence[series] = profile.map_or(0.0, |profile| profile.confidence as f32);
        let bound = |bound: fn(&Profile) -> Option<f64>| profile.and_then(bound).map(|bound| bound as f32);
        self.minimum[series] = bound(|profile| profile.minimum).unwrap_or(f32::NEG_INFINITY);
        self.maximum[series] = bound(|profile| profile.maximum).unwrap_or(f32::INFINITY);
    }

    pub(super) fn is_ready(&self, series: usize) -> bool {
        self.ready[series]
    }

    /// What is normal for adjacent series in each hour of the week; `None` where the profile is not ready.
    pub(super) fn snapshot(&self, first: usize, series: usize) -> Normals {
        let hours = |series| {
            let unknown = Normal { centre: 0.0, scale: 0.0, minimum: 0.0, maximum: 0.0, confidence: 0.0 };
            let mut hours = Box::new([unknown; HOURS_OF_WEEK]);
            for (hour, normal) in hours.iter_mut().enumerate() {
                *normal = self.normal(series, hour)?;
            }
            Some(hours)
        };
        (first..first + series).map(hours).collect()
    }

    /// What is normal for a series in that hour of the week; `None` unless its profile is ready.
    pub(super) fn normal(&self, series: usize, hour: usize) -> Option<Normal> {
        self.ready[series].then(|| {
            let usual = self.blocks[series / BLOCK][hour * BLOCK + series % BLOCK];
            Normal {
                centre: f64::from(usual.centre),
                scale: f64::from(usual.scale),
                minimum: f64::from(self.minimum[series]),
                maximum: f64::from(self.maximum[series]),
                confidence: f64::from(self.confidence[series]),
            }
        })
    }
}
