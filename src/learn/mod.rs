//! Samples to profile: what is normal for one metric of one target, per hour of the week.
//!
//! Pure: the window's end comes with the options, so the same samples always give the same profile.
//!
//! Read in this order: `calendar` gives each sample its hour of the week, `series` cuts the values into hours, `shape`
//! finds the season and `level` what moves beside it, `estimate` turns them into centre and scale, `residuals` and `tails`
//! say how often the series goes how far from them, `summary` gives the figures that people read, `coverage` says how much was
//! seen, `profile` is the result.
//! Beside them, `patterns` finds what a person would name, `validate` looks whether a profile held (both are `findings`),
//! `usual_times` learns what each statement takes, from one interval after the other.

mod calendar;
mod codec;
mod coverage;
mod estimate;
mod findings;
mod level;
mod monthly_slot;
mod patterns;
mod profile;
mod residuals;
mod series;
mod shape;
mod summary;
mod tails;
mod usual_times;
mod validate;

pub use calendar::{Clock, HOURS_OF_WEEK, HourOfMonth, hour_by, hour_of_month_by, hour_of_week};
pub use codec::DecodeError;
pub use coverage::LEAST_SAMPLES;
pub use findings::{Findings, decode, encode};
pub use level::CONFIRMING_DAYS;
pub use monthly_slot::{MOST_MONTHLY_SLOTS, MonthlySlot};
pub use patterns::{Hour, MOST_PATTERNS, Pattern, PatternKind, Patterns, find_patterns};
pub use profile::{Growth, Profile, Statistics};
pub use tails::{Stretch, Tail, Tails};
pub use usual_times::UsualTimes;
pub use validate::{Held, Validation, validate};

use calendar::HOUR_MS;
use coverage::Coverage;
use estimate::Estimate;
use level::Next;
use series::Series;

/// One value of one metric at one instant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Milliseconds since the Unix epoch.
    pub at: i64,
    /// Value in the metric's unit. `NaN`, infinity and anything beyond 1e30 are passed over.
    pub value: f32,
}

/// How to learn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Leave samples beyond [`OUTLIER_SIGMAS`] of their hour out of the learning.
    pub outlier_removal: bool,
    /// Learn a daily season.
    pub daily: bool,
    /// Learn a weekly season: hour of the week together with `daily`, else day of the week.
    pub weekly: bool,
    /// Physical minimum of the metric.
    pub minimum: Option<f64>,
    /// Physical maximum of the metric.
    pub maximum: Option<f64>,
    /// Share of normal life that the bounds in [`Statistics`] hold in each hour ([`CONFIDENCE_SHOWN`]); `None`: those of
    /// three sigma.
    pub confidence: Option<f64>,
    /// Length of the window in days.
    pub window_days: u32,
    /// End of the window, milliseconds since the Unix epoch. Samples after it are passed over.
    pub now: i64,
}

impl Default for Options {
    /// What a Baseline has when nothing is said, with a window that ends at the epoch.
    fn default() -> Self {
        Self {
            outlier_removal: true,
            daily: true,
            weekly: true,
            minimum: None,
            maximum: None,
            confidence: None,
            window_days: 14,
            now: 0,
        }
    }
}

/// The median; 0 without values.
fn middle(values: impl Iterator<Item = f64>) -> f64 {
    crate::stats::middle(&mut values.collect::<Vec<_>>()).unwrap_or(0.0)
}

/// Days of data ([`Profile::days`]) below which a profile is not ready: a weekly season was not seen once.
pub const READY_DAYS: f64 = 7.0;

/// Shares of normal life that bounds can be asked to hold. Below one half there is nothing normal about them; beyond
/// 0.9999 a few weeks say nothing.
pub const CONFIDENCE_SHOWN: std::ops::RangeInclusive<f64> = 0.5..=0.9999;

/// Robust sigmas beyond which a sample is an outlier. On Gaussian noise that is one sample in 1.7 million, so that
/// what is left out is all but never noise.
pub const OUTLIER_SIGMAS: f64 = 5.0;

/// Greatest share of a series that outliers can be. What happens more often belongs to what is normal: a batch that
/// writes temporary files for some minutes of each hour, say. An incident of half a day in two weeks stays below it.
pub const OUTLIER_SHARE: f64 = 0.05;

/// Greatest usable amount: no quantity that can be measured comes near, and residuals stay finite in f32.
const GREATEST: f32 = 1e30;

/// Learns the profile of one series, without what comes once a month: that is for [`find_patterns`] to say.
///
/// Two passes when outliers are removed: the first profile tells which samples are outliers, the second is learnt from
/// the rest. `None` when the window holds no usable sample.
///
/// What counts as a day of data, and what the confidence says: [`Profile::days`], [`Profile::confidence`].
pub fn learn(samples: &[Sample], options: &Options) -> Option<Profile> {
    learn_by(&Clock::utc(), samples, &[], options)
}

/// The same with hours of the week by a local clock: the profile is to be judged by the same clock. `older`: hours before
/// the window, in order of time; they say when the series usually is there.
pub fn learn_by(clock: &Clock, samples: &[Sample], older: &[Hour], options: &Options) -> Option<Profile> {
    let window_hours = i64::from(options.window_days) * 24;
    let begin = options.now.saturating_sub(window_hours.saturating_mul(HOUR_MS));
    let usable = || {
        samples
            .iter()
            // `NaN` compares as false.
            .filter(move |sample| sample.at >= begin && sample.at <= options.now && sample.value.abs() <= GREATEST)
    };
    let series = Series::new(usable(), clock)?;
    let levels = shape::levels(options.daily, options.weekly);
    let mut estimate = Estimate::new(&series, levels, options.outlier_removal, Next::after(options.now, clock));
    let (stretch, tails) = residuals::tails(&series, &estimate, options.outlier_removal).stretched();
    estimate.clamp(options.minimum, options.maximum);

    let Coverage { days, confidence } = Coverage::of(&series, older, clock, options);
    Some(Profile {
        statistics: summary::summarise(&series, &estimate, (stretch, tails), options),
        confidence,
        stretch,
        tails,
        days,
        ready: days >= READY_DAYS,
        minimum: options.minimum,
        maximum: options.maximum,
        growth: estimate.growth,
        monthly: Vec::new(),
        centre: Box::new(estimate.centre.map(|value| value as f32)),
        scale: Box::new(estimate.scale.map(|value| value as f32)),
    })
}

#[cfg(test)]
mod following_tests;
#[cfg(test)]
mod tests;
