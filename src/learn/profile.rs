//! What was learnt.

use super::calendar::{Clock, HOURS_OF_WEEK, hour_of_month_by};
use super::monthly_slot::MonthlySlot;
use super::tails::{Stretch, Tails};

/// What is normal for one metric of one target.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// Centre per hour of the week, in the metric's unit.
    pub centre: Box<[f32; HOURS_OF_WEEK]>,
    /// Robust standard deviation per hour of the week, in the metric's unit; always greater than 0. A sigma to a side is
    /// [`Self::stretch`] times as long.
    pub scale: Box<[f32; HOURS_OF_WEEK]>,
    /// How much longer than the scale a sigma to each side is.
    pub stretch: Stretch,
    /// How often normal life goes how far from the centre, in such sigmas.
    pub tails: Tails,
    /// Figures over the whole window.
    pub statistics: Statistics,
    /// Days of data: those between the first and the last sample of the window; the whole window for a series that was
    /// there in the week before it. No more than the different days that it was seen on, while these are fewer
    /// than five or its samples fewer than thirty.
    pub days: f64,
    /// How far the profile can be trusted, 0 to 1: the share of the window since the first sample, times the share seen of
    /// the hours at which the series usually is there (those of the week at which it was seen in the window or in the four
    /// weeks before). Hours at which it never was have a wide band of all others and take nothing from it.
    pub confidence: f64,
    /// Whether there is enough data to judge by: [`super::READY_DAYS`].
    pub ready: bool,
    /// Physical minimum: no band reaches below it.
    pub minimum: Option<f64>,
    /// Physical maximum: no band reaches above it.
    pub maximum: Option<f64>,
    /// What the centres hold of growth: that part of them is no season.
    pub growth: Growth,
    /// Hours of the month at which more than that is normal; at most [`super::MOST_MONTHLY_SLOTS`].
    pub monthly: Vec<MonthlySlot>,
}

/// Growth of a series, as the hours of its profile hold it: each lies at the level at which it comes next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Growth {
    /// In a day, in the metric's unit; 0 for a series that does not grow along a line, and where hours of the day are not
    /// told apart.
    pub per_day: f32,
    /// Hour of the day in which it was learnt: the one after it comes first, and it itself half a day before and after.
    pub from: u8,
}

impl Growth {
    /// No growth.
    pub const NONE: Self = Self { per_day: 0.0, from: 0 };

    /// By how much the centre of an hour of the week lies above the day's middle because of it, in the metric's unit.
    pub fn in_hour(self, hour_of_week: usize) -> f64 {
        let hours_on = (hour_of_week + 24 - usize::from(self.from) % 24) % 24;
        // In the hour of the learning itself: half of it then, half of it a day later.
        let share = if hours_on == 0 { 0.5 } else { hours_on as f64 / 24.0 };
        f64::from(self.per_day) * (share - 0.5)
    }
}

impl Profile {
    /// Signed distance of a value from the centre of its hour, in sigma.
    pub fn sigmas(&self, hour: usize, value: f64) -> f64 {
        let distance = (value - f64::from(self.centre[hour])) / f64::from(self.scale[hour]);
        distance / f64::from(if distance < 0.0 { self.stretch.below } else { self.stretch.above })
    }

    /// The same at an instant (milliseconds since the Unix epoch) by the clock that it was learnt by, with what comes once a
    /// month.
    pub fn sigmas_at(&self, clock: &Clock, at: i64, value: f64) -> f64 {
        let hour = clock.hour_of_week(at);
        let now = if self.monthly.is_empty() { None } else { hour_of_month_by(Some(clock), at) };
        let slot = now.and_then(|now| self.monthly.iter().find(|slot| slot.is_at(now)));
        let usual = (f64::from(self.centre[hour]), f64::from(self.scale[hour]));
        match slot.and_then(|slot| slot.raised(usual.0, usual.1, self.stretch)) {
            Some((centre, scale)) => (value - centre) / scale,
            None => self.sigmas(hour, value),
        }
    }
}

/// Figures over the whole window, in the metric's unit, without outliers where they are removed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Statistics {
    /// Number of samples.
    pub samples: u64,
    /// Number of samples left out as outliers.
    pub outliers: u64,
    /// Arithmetic mean.
    pub mean: f64,
    /// Median.
    pub median: f64,
    /// Standard deviation.
    pub standard_deviation: f64,
    /// 95th percentile.
    pub p95: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Smallest value.
    pub minimum: f64,
    /// Largest value.
    pub maximum: f64,
    /// Lower bound of the band of three sigma, or of the share asked for: the lowest hour's of those that were seen,
    /// within the physical bounds.
    pub lower: f64,
    /// Upper bound of that band: the highest hour's of those that were seen, within the physical bounds.
    pub upper: f64,
}

/// Keeps a value within physical bounds.
pub(super) fn within(value: f64, minimum: Option<f64>, maximum: Option<f64>) -> f64 {
    value.max(minimum.unwrap_or(f64::NEG_INFINITY)).min(maximum.unwrap_or(f64::INFINITY))
}
