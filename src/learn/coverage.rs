//! How much of a series was seen: whether that is enough to judge by, and how far it can be trusted.
//!
//! Many metrics are not there every hour: a response time needs calls, and an office has them from nine to five. So days
//! count by their span, not by their hours, and an hour is missed only where the series usually is.

use super::calendar::{Clock, HOURS_OF_WEEK, absolute_hour, hour_of_absolute};
use super::series::{Block, Series};
use super::{HOUR_MS, Hour, Options};

/// Different days that must have been seen within the span: those of a working week.
const LEAST_DAYS_SEEN: usize = 5;
/// Samples that must have been seen: a scale made of so many is off by about a fifth (1.2 σ/√n).
pub const LEAST_SAMPLES: usize = 30;
/// Hours before the window in which a series that was seen is one that goes on.
const BEFORE_MS: i64 = 7 * 24 * HOUR_MS;
/// Hours before the window from which it is known when a series usually is there.
const HABIT_MS: i64 = 28 * 24 * HOUR_MS;

/// What was seen.
pub(super) struct Coverage {
    /// Days of data: [`super::Profile::days`].
    pub(super) days: f64,
    /// [`super::Profile::confidence`].
    pub(super) confidence: f64,
}

impl Coverage {
    /// Of a series that is not empty. `older`: hours before the window, in order of time.
    pub(super) fn of(series: &Series, older: &[Hour], clock: &Clock, options: &Options) -> Self {
        let window_hours = i64::from(options.window_days).max(1) * 24;
        let begin = options.now.saturating_sub(window_hours.saturating_mul(HOUR_MS));
        let place = |block: &Block| block.day * 24 + (block.hour % 24) as i64;
        let first = series.blocks.iter().map(place).min().unwrap_or(0);
        let last = series.blocks.iter().map(place).max().unwrap_or(0);
        let current = absolute_hour(clock.local(options.now));
        let before = |length: i64| {
            let from = begin.saturating_sub(length);
            older.iter().filter(move |hour| hour.at >= from && hour.at < begin && hour.mean.is_finite())
        };
        // One that was there before goes on: that it is absent on a weekend, or was in an outage, shortens nothing.
        let (from, to) = match before(BEFORE_MS).next() {
            Some(_) => (absolute_hour(clock.local(begin)).min(first), current.max(last + 1)),
            None => (first, last + 1),
        };
        let span = ((to - from) as f64 / 24.0).min(f64::from(options.window_days));
        let mut days: Vec<i64> = series.blocks.iter().map(|block| block.day).collect();
        days.sort_unstable();
        days.dedup();
        let is_enough = days.len() >= LEAST_DAYS_SEEN && series.values().len() >= LEAST_SAMPLES;

        let mut usual = [false; HOURS_OF_WEEK];
        for block in &series.blocks {
            usual[block.hour] = true;
        }
        for hour in before(HABIT_MS) {
            usual[clock.hour_of_week(hour.at)] = true;
        }
        // The hour that has just begun is due once it was seen.
        let due_to = current.max(last + 1);
        let due = (from..due_to).filter(|hour| usual[hour_of_absolute(*hour)]).count();
        let seen = (series.blocks.len() as f64 / due.max(1) as f64).min(1.0);
        Self {
            days: if is_enough { span } else { span.min(days.len().min(LEAST_DAYS_SEEN) as f64) },
            confidence: seen * ((due_to - from) as f64 / window_hours as f64).min(1.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Profile, Sample, learn_by};
    use super::*;

    const MINUTE: i64 = 60_000;
    const DAY: i64 = 24 * HOUR_MS;
    /// A Monday at midnight.
    const MONDAY: i64 = 4 * DAY + 2_900 * 7 * DAY;

    fn learnt(window_days: u32, now: i64, older: &[Hour], is_there: impl Fn(i64) -> bool) -> Profile {
        let options = Options { window_days, now, ..Options::default() };
        let samples: Vec<Sample> = (0..i64::from(window_days) * 24 * 12)
            .map(|index| now - (index + 1) * 5 * MINUTE)
            .filter(|at| is_there(*at))
            .map(|at| Sample { at, value: 10.0 + (at / MINUTE % 7) as f32 })
            .collect();
        learn_by(&Clock::utc(), &samples, older, &options).unwrap()
    }

    fn is_office(at: i64) -> bool {
        let hour = (at - MONDAY).rem_euclid(7 * DAY) / HOUR_MS;
        hour < 5 * 24 && (9..17).contains(&(hour % 24))
    }

    fn hours(from: i64, to: i64, is_there: impl Fn(i64) -> bool) -> Vec<Hour> {
        let hours = (from.div_euclid(HOUR_MS)..to.div_euclid(HOUR_MS)).map(|hour| hour * HOUR_MS);
        hours.filter(|at| is_there(*at)).map(|at| Hour { at, mean: 10.0, maximum: 16.0 }).collect()
    }

    #[test]
    fn a_database_of_office_hours_is_ready_after_two_weeks_and_trusted() {
        for window in [14, 28] {
            let profile = learnt(window, MONDAY, &[], is_office);
            assert!(profile.ready, "{window}: {} days", profile.days);
            assert!(profile.confidence > 0.85, "{window}: {}", profile.confidence);
        }
    }

    #[test]
    fn a_window_of_a_week_is_ready_on_each_day_of_the_week_for_what_rests_on_weekends() {
        for day in 0..7 {
            let now = MONDAY + day * DAY + 3 * HOUR_MS;
            let older = hours(now - 21 * DAY, now - 7 * DAY, is_office);
            let profile = learnt(7, now, &older, is_office);
            assert!(profile.ready && profile.confidence > 0.85, "{day}: {} {}", profile.days, profile.confidence);
        }
    }

    #[test]
    fn a_window_of_a_week_bears_hours_without_values() {
        let nightly = learnt(7, MONDAY, &[], |at| (at - MONDAY).rem_euclid(7 * DAY) / HOUR_MS / 2 != 13);
        assert!(nightly.ready && nightly.confidence > 0.85);
        let from = |begin: i64| move |at: i64| at >= begin;
        let begin = MONDAY - 7 * DAY + 10 * HOUR_MS;
        let older = hours(MONDAY - 21 * DAY, MONDAY - 8 * DAY, |_| true);
        assert!(learnt(7, MONDAY, &older, from(begin)).ready, "an outage of a day and ten hours");
        assert!(!learnt(7, MONDAY, &[], from(begin)).ready, "the first week, and not all of it");
        let long_ago = hours(MONDAY - 60 * DAY, MONDAY - 15 * DAY, |_| true);
        assert!(!learnt(7, MONDAY, &long_ago, from(begin)).ready, "it begins anew");
    }

    #[test]
    fn days_that_are_missed_make_what_was_learnt_less_trusted() {
        let holes = learnt(14, MONDAY, &[], |at| (MONDAY - at) / DAY % 7 != 2 || MONDAY - at > 7 * DAY);
        assert!(holes.ready);
        assert!((holes.confidence - 13.0 / 14.0).abs() < 0.01, "{}", holes.confidence);
        // A whole day that a week lacks is no habit where the weeks before had it.
        let older = hours(MONDAY - 21 * DAY, MONDAY - 7 * DAY, |_| true);
        let lacks = learnt(7, MONDAY, &older, |at| (MONDAY - at) / DAY != 3);
        assert!((lacks.confidence - 6.0 / 7.0).abs() < 0.01, "{}", lacks.confidence);
        // A week of a window of two is half of it.
        let half = learnt(14, MONDAY, &[], |at| at >= MONDAY - 7 * DAY);
        assert!((half.confidence - 0.5).abs() < 0.01, "{}", half.confidence);
    }

    #[test]
    fn what_was_seen_on_few_days_is_not_ready_however_far_apart_they_are() {
        let two = learnt(14, MONDAY, &[], |at| at == MONDAY - 5 * MINUTE || at == MONDAY - 8 * DAY);
        assert!(!two.ready, "two samples: {} days", two.days);
        let weekend = learnt(14, MONDAY, &[], |at| (MONDAY - at - 1) / DAY % 7 < 2);
        assert!(!weekend.ready && (weekend.days - 4.0).abs() < 1e-9, "{} days", weekend.days);
        let few = learnt(14, MONDAY, &[], |at| (at - 9 * HOUR_MS).rem_euclid(DAY) == 0);
        assert!(!few.ready, "a sample a day: {} days", few.days);
        let daily = learnt(14, MONDAY, &[], |at| at.rem_euclid(DAY) / HOUR_MS == 9);
        assert!(daily.ready && daily.confidence > 0.9, "an hour of each day: {}", daily.confidence);
    }
}
