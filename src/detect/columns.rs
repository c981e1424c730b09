//! The profiles of a shard's series as columns, bucket-major: all series of one hour of the week lie side by side, so
//! that a round of one hour walks linear memory.

use super::Normal;
use super::replay::Normals;
use crate::learn::{HOURS_OF_WEEK, Profile};

/// Series that the columns grow by at least.
const SMALLEST_GROWTH: usize = 64;

/// Centre and scale per hour and series; what holds for all hours per series.
#[derive(Default)]
pub(super) struct Columns {
    /// Series that each hour has room for.
    room: usize,
    used: usize,
    /// `[hour][series]`.
    centre: Vec<f32>,
    scale: Vec<f32>,
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
        if self.used > self.room {
            // By a quarter and not by half: at 1.3 KB a series, spare room is what costs.
            self.grow(self.used.max(self.room + (self.room / 4).max(SMALLEST_GROWTH)));
        }
        first
    }

    fn grow(&mut self, room: usize) {
        for column in [&mut self.centre, &mut self.scale] {
            let mut wider = vec![f32::NAN; HOURS_OF_WEEK * room];
            if self.room > 0 {
                for (to, from) in wider.chunks_exact_mut(room).zip(column.chunks_exact(self.room)) {
                    to[..self.room].copy_from_slice(from);
                }
            }
            *column = wider;
        }
        self.ready.resize(room, false);
        self.confidence.resize(room, 0.0);
        self.minimum.resize(room, f32::NEG_INFINITY);
        self.maximum.resize(room, f32::INFINITY);
        self.room = room;
    }

    /// Puts a series' profile in, or takes it away.
    pub(super) fn set(&mut self, series: usize, profile: Option<&Profile>) {
        for hour in 0..HOURS_OF_WEEK {
            let index = hour * self.room + series;
            self.centre[index] = profile.map_or(f32::NAN, |profile| profile.centre[hour]);
            self.scale[index] = profile.map_or(f32::NAN, |profile| profile.scale[hour]);
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
        self.ready[series].then(|| Normal {
            centre: f64::from(self.centre[hour * self.room + series]),
            scale: f64::from(self.scale[hour * self.room + series]),
            minimum: f64::from(self.minimum[series]),
            maximum: f64::from(self.maximum[series]),
            confidence: f64::from(self.confidence[series]),
        })
    }
}
