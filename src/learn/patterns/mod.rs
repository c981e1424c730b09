//! Patterns that a person would name: a daily or weekly cycle, a monthly batch, brief spikes that come again.
//!
//! Each is found by what it foretells: a cycle where days and weeks that it was not learnt from follow it, a batch where
//! nearly every month has it. Strength is the share of the variance that it explains, 0 to 1.
//!
//! Pure: hours and samples come in the Baseline's own time (see [`super::Clock`]), named by `zone` in what is said.

mod cycles;
mod monthly;
mod spikes;

use serde::{Deserialize, Serialize};

use super::{Clock, HOUR_MS, MOST_MONTHLY_SLOTS, MonthlySlot, Profile, Sample, middle};

/// Patterns of one series at most.
pub const MOST_PATTERNS: usize = 8;

/// What kind of pattern.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum PatternKind {
    /// The hour of the day decides.
    DailyCycle,
    /// The day of the week decides.
    WeeklyCycle,
    /// The same hours of the same day of each month.
    MonthlyBatch,
    /// Some minutes, again and again, of similar height.
    BriefSpikes,
}

/// A pattern that was found.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Pattern {
    /// What kind.
    pub kind: PatternKind,
    /// When it is there, such as `peak 09:00-17:00 UTC` or `1st 02:00-03:00 UTC`; at most 128 characters.
    pub when: String,
    /// Share of the variance that it explains, 0 to 1, in steps of 0.05.
    pub strength: f64,
    /// A sentence for a person, at most 256 characters.
    pub sentence: String,
}

impl Pattern {
    fn new(kind: PatternKind, strength: f64, when: String, sentence: String) -> Self {
        // In steps, so that a refresh which finds the same says the same.
        Self { kind, when, strength: (strength * 20.0).round().clamp(0.0, 20.0) / 20.0, sentence }
    }
}

/// What was found in a series.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Patterns {
    /// For people: strongest first, at most [`MOST_PATTERNS`].
    pub found: Vec<Pattern>,
    /// For [`Profile::monthly`]: the hours of the monthly batches among them.
    pub monthly: Vec<MonthlySlot>,
}

/// One hour of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hour {
    /// Its begin, milliseconds since the Unix epoch.
    pub at: i64,
    /// Arithmetic mean of its values.
    pub mean: f32,
    /// Greatest of its values.
    pub maximum: f32,
}

/// An hour in local time.
#[derive(Clone, Copy)]
struct LocalHour {
    /// Hours since the epoch, by the local clock.
    hour: i64,
    mean: f64,
    maximum: f64,
}

impl LocalHour {
    fn day(self) -> i64 {
        self.hour.div_euclid(24)
    }

    fn of_day(self) -> usize {
        self.hour.rem_euclid(24) as usize
    }
}

/// Finds the patterns of a series.
///
/// `samples`: those of the window, in order of time. `older`: hours before the window, for what comes once a month.
/// `events`: when something happened that spikes may follow, such as deploys, milliseconds since the Unix epoch.
pub fn find_patterns(samples: &[Sample], older: &[Hour], events: &[i64], profile: &Profile, clock: &Clock) -> Patterns {
    let recent = local(&hours(samples), clock);
    let mut all = local(older, clock);
    let first = recent.first().map_or(i64::MAX, |hour| hour.hour);
    all.retain(|hour| hour.hour < first);
    all.extend_from_slice(&recent);
    let zone = clock.name();
    let mut found = Vec::new();
    found.extend(cycles::daily(&recent, zone));
    // A month tells a week better than two weeks do.
    let month = all.last().map_or(0, |last| all.partition_point(|hour| hour.hour < last.hour - 42 * 24));
    found.extend(cycles::weekly(&all[month..]));
    let mut monthly = Vec::new();
    for batch in monthly::batches(&all, zone) {
        found.push(batch.pattern);
        monthly.extend(batch.slots);
    }
    monthly.truncate(MOST_MONTHLY_SLOTS);
    found.extend(spikes::brief(samples, events, profile, clock));
    found.sort_by(|one, other| other.strength.total_cmp(&one.strength));
    found.truncate(MOST_PATTERNS);
    Patterns { found, monthly }
}

/// Means of the hours of samples in order of time.
fn hours(samples: &[Sample]) -> Vec<Hour> {
    let mut found: Vec<Hour> = Vec::new();
    let (mut end, mut sum, mut count, mut maximum) = (i64::MIN, 0.0, 0_u32, f32::NEG_INFINITY);
    let mut close = |end: i64, sum: f64, count: u32, maximum: f32| {
        if count > 0 {
            found.push(Hour { at: end.saturating_sub(HOUR_MS), mean: (sum / f64::from(count)) as f32, maximum });
        }
    };
    for sample in samples.iter().filter(|sample| sample.value.abs() <= super::GREATEST) {
        if sample.at >= end {
            close(end, sum, count, maximum);
            end = sample.at.div_euclid(HOUR_MS).saturating_add(1).saturating_mul(HOUR_MS);
            (sum, count, maximum) = (0.0, 0, f32::NEG_INFINITY);
        }
        sum += f64::from(sample.value);
        count += 1;
        maximum = maximum.max(sample.value);
    }
    close(end, sum, count, maximum);
    found
}

fn local(hours: &[Hour], clock: &Clock) -> Vec<LocalHour> {
    hours
        .iter()
        .filter(|hour| hour.mean.abs() <= super::GREATEST && hour.maximum.abs() <= super::GREATEST)
        .map(|hour| LocalHour {
            hour: clock.local(hour.at).div_euclid(HOUR_MS),
            mean: f64::from(hour.mean),
            maximum: f64::from(hour.maximum),
        })
        .collect()
}

/// How many times one value is the other, in two digits, where that says anything.
fn times(value: f64, usual: f64) -> Option<String> {
    let ratio = value / usual;
    (usual > 0.0 && ratio > 0.0 && ratio < 1e4).then(|| match ratio {
        ratio if ratio < 10.0 => format!("{ratio:.1} times"),
        ratio => format!("{ratio:.0} times"),
    })
}

#[cfg(test)]
mod tests;
