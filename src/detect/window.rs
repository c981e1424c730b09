//! A sliding window of one series as evenly spaced medians: what a slope is judged by. Bounded, whatever the interval of
//! the samples: the values of the open stretch are thinned evenly when there are many.

use std::collections::VecDeque;

use super::sight::Sight;
use crate::learn::HOURS_OF_WEEK;
use crate::stats;

/// Values of the open stretch that are kept at most. The median of so many is within 2 % of the true rank.
const MOST_VALUES: usize = 64;
const HOUR_MS: i64 = 3_600_000;
/// Milliseconds of a day.
pub(super) const DAY_MS: i64 = 24 * HOUR_MS;
const WEEK_MS: i64 = HOURS_OF_WEEK as i64 * HOUR_MS;

/// Length of a window and of its stretches.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Lengths {
    /// Length of a stretch in ms; greater than 0.
    pub stretch_ms: i64,
    /// Number of stretches.
    pub count: usize,
}

impl Lengths {
    /// Length of the whole window in ms.
    pub fn span_ms(&self) -> i64 {
        self.stretch_ms.saturating_mul(self.count as i64)
    }
}

/// The medians of the closed stretches, oldest first, and the values of the open one.
#[derive(Clone, Debug, Default)]
pub(super) struct Window {
    /// `NaN` where there was no value.
    medians: VecDeque<f32>,
    /// Number of the open stretch since the Unix epoch; `None` before the first value.
    open: Option<i64>,
    values: Vec<f32>,
    /// Every so many-th value is kept, as a power of two.
    thinning: u32,
    seen: u32,
}

/// A closed stretch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Stretch {
    /// Its middle, milliseconds since the Unix epoch.
    pub at: i64,
    /// Median; `NaN` where there was no value.
    pub median: f64,
}

impl Window {
    /// Takes a value in; true when a stretch was closed by that. A value of a stretch that is closed already, or of no
    /// finite size, is passed over.
    pub fn take(&mut self, lengths: &Lengths, at: i64, value: f64) -> bool {
        let number = at.div_euclid(lengths.stretch_ms);
        let open = *self.open.get_or_insert(number);
        if number < open || !(value as f32).is_finite() {
            return false;
        }
        let closes = number > open;
        if closes {
            self.close(lengths.count, number.abs_diff(open));
            self.open = Some(number);
        }
        if self.seen & ((1 << self.thinning) - 1) == 0 {
            if self.values.len() >= MOST_VALUES {
                let mut place = 0;
                self.values.retain(|_| {
                    place += 1;
                    place % 2 == 1
                });
                self.thinning = (self.thinning + 1).min(16);
            }
            self.values.push(value as f32);
        }
        self.seen = self.seen.wrapping_add(1);
        closes
    }

    fn close(&mut self, count: usize, steps: u64) {
        self.medians.push_back(stats::median(&mut self.values).map_or(f32::NAN, |median| median as f32));
        for _ in 1..steps.min(count as u64 + 1) {
            self.medians.push_back(f32::NAN);
        }
        while self.medians.len() > count {
            self.medians.pop_front();
        }
        self.values.clear();
        self.thinning = 0;
        self.seen = 0;
    }

    /// The closed stretches, oldest first.
    pub fn stretches(&self, lengths: &Lengths) -> Vec<Stretch> {
        let open = self.open.unwrap_or(0);
        let count = self.medians.len() as i64;
        let middle = |index: usize| {
            let number = open - count + index as i64;
            number.saturating_mul(lengths.stretch_ms).saturating_add(lengths.stretch_ms / 2)
        };
        let medians = self.medians.iter().enumerate();
        medians.map(|(index, median)| Stretch { at: middle(index), median: f64::from(*median) }).collect()
    }
}

/// Takes the season out of a window's medians: what the profile knows of the hours of the week, as far as it is a season
/// and no growth. Without a ready profile they stay as they are.
///
/// A profile that was learnt while a series grew has that growth in its hours, from the day after it was learnt to the
/// day before: taken for a season, it would hide the very trend. So what the profile's own seven days grow by, the median
/// from one day to the next, is left out of it. Weekdays against a weekend have none, wherever midnight lies.
pub(super) fn without_season(stretches: &mut [Stretch], sight: &Sight<'_>) {
    let Some(last) = stretches.last().map(|stretch| stretch.at) else { return };
    let centre = |at: i64| sight.normal_at(sight.metric, at).map(|normal| normal.centre);
    let days = (0..7).map(|age| {
        let hours = (0..24).map(|hour| centre(last - age * DAY_MS - hour * HOUR_MS));
        hours.sum::<Option<f64>>().map(|sum| (sum / 24.0) as f32)
    });
    let Some(days) = days.collect::<Option<Vec<f32>>>() else { return };
    let mut steps: Vec<f32> = days.windows(2).map(|pair| pair[0] - pair[1]).collect();
    let growth = stats::median(&mut steps).unwrap_or_default() / DAY_MS as f64;
    let inner = growth_within_days(stretches, sight, &centre, last);
    let season = |at: i64| {
        let age = (last - at).rem_euclid(WEEK_MS);
        centre(at).map(|centre| centre + growth * age as f64 - inner * day_elapsed(sight, at))
    };
    let Some(seasons) = stretches.iter().map(|stretch| season(stretch.at)).collect::<Option<Vec<f64>>>() else {
        return;
    };
    let present = stretches.iter().zip(&seasons).filter(|(stretch, _)| stretch.median.is_finite());
    let (count, sum) = present.fold((0.0, 0.0), |(count, sum), (_, season)| (count + 1.0, sum + season));
    let level = sum / f64::max(count, 1.0);
    for (stretch, season) in stretches.iter_mut().zip(seasons) {
        stretch.median -= season - level;
    }
}

/// Share of the day that has elapsed, by the clock of the profile.
fn day_elapsed(sight: &Sight<'_>, at: i64) -> f64 {
    let within_hour = at.rem_euclid(HOUR_MS) as f64 / HOUR_MS as f64;
    ((sight.hour_of_week_at(at) % 24) as f64 + within_hour) / 24.0
}

/// What a profile with one shape for many days grows by from the begin of a day to its end: each hour was learnt at the
/// level of its own day, so that growth is a sawtooth that falls back at midnight.
///
/// Of the fall at midnight only as much counts as the values lie beyond the profile by now, for a season may fall there as
/// well: without growth they lie about it.
fn growth_within_days(
    stretches: &[Stretch],
    sight: &Sight<'_>,
    centre: &impl Fn(i64) -> Option<f64>,
    last: i64,
) -> f64 {
    let midnight = last - (day_elapsed(sight, last) * DAY_MS as f64) as i64;
    let hours = |from: i64| (from..from + 4).map(|hour| centre(midnight + hour * HOUR_MS + HOUR_MS / 2));
    // The hour at midnight is left out: many a batch begins there.
    let (Some(before), Some(after)) = (hours(-4).collect::<Option<Vec<f64>>>(), hours(1).collect::<Option<Vec<f64>>>())
    else {
        return 0.0;
    };
    let middle = |values: &mut dyn Iterator<Item = f64>| {
        stats::median(&mut values.map(|value| value as f32).collect::<Vec<f32>>()).unwrap_or_default()
    };
    let steps = before.windows(2).chain(after.windows(2)).map(|pair| pair[1] - pair[0]);
    let slope = middle(&mut steps.into_iter());
    let fall = middle(&mut before.iter().copied()) + 5.0 * slope - middle(&mut after.iter().copied());
    let day = stretches.iter().filter(|stretch| stretch.at > last - DAY_MS && stretch.median.is_finite());
    let beyond = middle(&mut day.filter_map(|stretch| Some(stretch.median - centre(stretch.at)?)));
    if fall * beyond <= 0.0 { 0.0 } else { fall.signum() * fall.abs().min(BEYOND * beyond.abs()) }
}

/// Times that values of a day lie beyond a profile's level at the least when they grow by that a day: the profile is of
/// the day before, or half a day older.
const BEYOND: f64 = 2.0;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LENGTHS: Lengths = Lengths { stretch_ms: 60_000, count: 4 };

    fn medians(window: &Window) -> Vec<(i64, f64)> {
        window.stretches(&LENGTHS).iter().map(|stretch| (stretch.at / 1_000, stretch.median)).collect()
    }

    #[test]
    fn each_stretch_becomes_its_median_when_the_next_one_begins() {
        let mut window = Window::default();
        for (second, value, closes) in
            [(0, 1.0, false), (20, 9.0, false), (40, 2.0, false), (60, 5.0, true), (70, 5.0, false), (120, 1.0, true)]
        {
            assert_eq!(window.take(&LENGTHS, second * 1_000, value), closes, "{second}");
        }
        assert_eq!(medians(&window), [(30, 2.0), (90, 5.0)]);
    }

    #[test]
    fn gaps_are_no_values_and_what_is_older_than_the_window_goes() {
        let mut window = Window::default();
        window.take(&LENGTHS, 0, 1.0);
        window.take(&LENGTHS, 180_000, 2.0);
        let found = medians(&window);
        assert_eq!(found[0], (30, 1.0));
        assert!(found.len() == 3 && found[1].1.is_nan() && found[2].1.is_nan(), "{found:?}");
        window.take(&LENGTHS, 100 * 60_000, 3.0);
        let found = medians(&window);
        assert!(found.len() == 4 && found.iter().all(|(_, median)| median.is_nan()), "{found:?}");
    }

    #[test]
    fn many_values_are_thinned_evenly() {
        let mut window = Window::default();
        for index in 0..10_000_i32 {
            window.take(&LENGTHS, i64::from(index) * 6, f64::from(index));
        }
        assert!(window.values.len() <= MOST_VALUES);
        window.take(&LENGTHS, 60_000, 0.0);
        let median = medians(&window)[0].1;
        assert!((median - 5_000.0).abs() < 200.0, "{median}");
    }

    proptest! {
        #[test]
        fn any_times_and_values_are_survived_within_bounds(
            samples in prop::collection::vec((any::<i64>(), any::<f64>()), 0..200),
        ) {
            let mut window = Window::default();
            for (at, value) in samples {
                window.take(&LENGTHS, at, value);
                prop_assert!(window.medians.len() <= LENGTHS.count && window.values.len() <= MOST_VALUES);
            }
            window.stretches(&LENGTHS);
        }
    }
}
