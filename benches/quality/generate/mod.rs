//! Clean series of many kinds, and faults put into them: deterministic, so that every run measures the same.
//!
//! Standard library only: any crate can include this folder.

mod inject;
mod kinds;
mod random;

pub use inject::{Fault, inject};
pub use kinds::Kind;
pub use random::Random;

/// Milliseconds between samples: 10 s, 1 min, 5 min, 1 h.
pub const STEPS: [i64; 4] = [10_000, 60_000, 300_000, 3_600_000];

/// Milliseconds of a week.
pub const WEEK_MS: i64 = 7 * 24 * 3_600_000;

/// A Monday, 00:00 UTC, in milliseconds since the Unix epoch.
pub const START_MS: i64 = 1_704_067_200_000;

/// A series, one value each `step_ms`.
#[derive(Clone, Debug)]
pub struct Series {
    /// Name of its kind.
    pub kind: &'static str,
    /// Milliseconds from a value to the next.
    pub step_ms: i64,
    /// Time of the first value, milliseconds since the Unix epoch.
    pub start_ms: i64,
    /// The values; `NaN` where none was taken.
    pub values: Vec<f64>,
    /// What each value would be without noise: its season, trend and level.
    pub course: Vec<f64>,
    /// Standard deviation of the noise around the course, for each value; heavy tails count as their middle two
    /// thirds.
    pub noise: Vec<f64>,
    /// Least and greatest value there can be.
    pub bounds: (f64, f64),
    /// Every value is a multiple of this; 0 when it is not.
    pub grain: f64,
}

impl Series {
    /// Time of a value, milliseconds since the Unix epoch.
    pub fn at(&self, index: usize) -> i64 {
        self.start_ms + index as i64 * self.step_ms
    }

    /// Rows of so many hours, at least 1.
    pub fn rows(&self, hours: f64) -> usize {
        ((hours * 3_600_000.0 / self.step_ms as f64).round() as usize).max(1)
    }

    /// The series without its first rows.
    #[must_use]
    pub fn from(&self, row: usize) -> Self {
        Self {
            kind: self.kind,
            step_ms: self.step_ms,
            start_ms: self.at(row),
            values: self.values[row..].to_vec(),
            course: self.course[row..].to_vec(),
            noise: self.noise[row..].to_vec(),
            bounds: self.bounds,
            grain: self.grain,
        }
    }

    /// The value as the series could show it: within its bounds, a multiple of its grain.
    fn possible(&self, value: f64) -> f64 {
        let rounded = if self.grain > 0.0 { (value / self.grain).round() * self.grain } else { value };
        rounded.clamp(self.bounds.0, self.bounds.1)
    }
}

/// A clean series of so many weeks.
pub fn clean(kind: Kind, seed: u64, weeks: u32, step_ms: i64) -> Series {
    let rows = (i64::from(weeks) * WEEK_MS / step_ms) as usize;
    kinds::generate(kind, seed, rows, step_ms)
}

/// The first rows of a clean series.
pub fn clean_rows(kind: Kind, seed: u64, rows: usize, step_ms: i64) -> Series {
    kinds::generate(kind, seed, rows, step_ms)
}
