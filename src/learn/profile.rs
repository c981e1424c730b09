//! What was learnt.

use super::calendar::{Clock, HOUR_MS, HOURS_OF_WEEK, hour_of_month_by};
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

const QUARTER_MS: i64 = HOUR_MS / 4;
/// Days that a line is followed for after it was learnt; as many as the default window has.
const FOLLOWED_DAYS: i64 = 14;

/// Growth of a series, as the hours of its profile hold it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Growth {
    /// In a day, in the metric's unit; 0 for a series that does not grow, and where hours of the day are not told apart.
    pub per_day: f32,
    /// See [`Self::since`]; the least there is for none. Growth is kept for every series: an `Option` would take half as
    /// much again.
    pub(super) since: i32,
}

/// In place of when a line was learnt.
const NO_LINE: i32 = i32::MIN;

impl Growth {
    /// No growth.
    pub const NONE: Self = Self { per_day: 0.0, since: NO_LINE };

    /// Where the level is followed along a line: the begin of the hour in which it was learnt, in quarters of an hour since
    /// the Unix epoch (so far apart are the hours of any two clocks). Each hour of the day lies at the level at which it
    /// comes next from then on. `None` where only the hours within a day hold growth.
    pub fn since(self) -> Option<i32> {
        (self.since != NO_LINE).then_some(self.since)
    }

    /// Along a line, learnt in the hour that began at an instant.
    pub(super) fn along(per_day: f64, began: i64) -> Self {
        Self::new(per_day, i32::try_from(began.div_euclid(QUARTER_MS)).unwrap_or(NO_LINE))
    }

    /// Of the hours within a day alone.
    pub fn within_days(per_day: f64) -> Self {
        Self::new(per_day, NO_LINE)
    }

    fn new(per_day: f64, since: i32) -> Self {
        let per_day = per_day as f32;
        if per_day.is_finite() && per_day != 0.0 { Self { per_day, since } } else { Self::NONE }
    }

    /// What has to be added to the centre of an hour of the week at an instant (ms since the Unix epoch), and what of the
    /// sum is growth and no season; in the metric's unit. A line is followed no further than a fortnight.
    pub fn at(self, at: i64, hour_of_week: usize) -> (f64, f64) {
        let per_day = f64::from(self.per_day);
        let Some(since) = self.since() else {
            return (0.0, per_day * ((hour_of_week % 24) as f64 + 0.5) / 24.0);
        };
        let hours = at.saturating_sub(i64::from(since) * QUARTER_MS).div_euclid(HOUR_MS);
        let days = hours.div_euclid(24).min(FOLLOWED_DAYS) as f64;
        (per_day * days, per_day * (days + (hours.rem_euclid(24) as f64 + 0.5) / 24.0))
    }
}

impl Profile {
    /// Signed distance of a value from the centre of its hour, in sigma.
    pub fn sigmas(&self, hour: usize, value: f64) -> f64 {
        let distance = (value - f64::from(self.centre[hour])) / f64::from(self.scale[hour]);
        distance / f64::from(if distance < 0.0 { self.stretch.below } else { self.stretch.above })
    }

    /// The same at an instant (milliseconds since the Unix epoch) by the clock that it was learnt by, with growth since then
    /// and with what comes once a month.
    pub fn sigmas_at(&self, clock: &Clock, at: i64, value: f64) -> f64 {
        let hour = clock.hour_of_week(at);
        let now = if self.monthly.is_empty() { None } else { hour_of_month_by(Some(clock), at) };
        let slot = now.and_then(|now| self.monthly.iter().find(|slot| slot.is_at(now)));
        let (moved, _) = self.growth.at(at, hour);
        let usual = (f64::from(self.centre[hour]) + moved, f64::from(self.scale[hour]));
        match slot.and_then(|slot| slot.raised(usual.0, usual.1, self.stretch)) {
            Some((centre, scale)) => (value - centre) / scale,
            None => self.sigmas(hour, value - moved),
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
