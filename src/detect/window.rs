//! A sliding window of one series as evenly spaced medians: what a slope is judged by. Bounded, whatever the interval of
//! the samples: the values of the open stretch are thinned evenly when there are many.

use std::collections::VecDeque;

use super::sight::Sight;
use crate::stats;

/// Values of the open stretch that are kept at most. The median of so many is within 2 % of the true rank.
const MOST_VALUES: usize = 64;
const HOUR_MS: i64 = 3_600_000;
/// Milliseconds of a day.
pub(super) const DAY_MS: i64 = 24 * HOUR_MS;

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

/// What one way to take a season out has to leave of the way from stretch to stretch, as a share of what a plainer one does.
const LESS: f64 = 0.9;

/// Takes the season out of a window's medians: what the profile knows of the hours of the week, as far as it is a season
/// and no growth. By equal amounts for all of an hour; on the way from one hour to the next, or in proportion, where that
/// leaves clearly less. Without a ready profile they stay as they are.
pub(super) fn without_season(stretches: &mut [Stretch], sight: &Sight<'_>) {
    let mut best: Option<(f64, Vec<f64>)> = None;
    for season in [of_hour, between_hours] {
        let seasons = stretches.iter().map(|stretch| season(sight, stretch.at)).collect::<Option<Vec<f64>>>();
        let Some(seasons) = seasons else { continue };
        for by in [Move::Equal, Move::InProportion] {
            let Some(left) = left_of(stretches, &seasons, by) else { continue };
            let varies = variation(&left);
            if best.as_ref().is_none_or(|(least, _)| varies < LESS * least) {
                best = Some((varies, left));
            }
        }
    }
    let Some((_, left)) = best else { return };
    for (stretch, left) in stretches.iter_mut().zip(left) {
        stretch.median = left;
    }
}

/// How a season moves a series about its level.
#[derive(Clone, Copy)]
enum Move {
    Equal,
    InProportion,
}

/// The season at an instant; `None` without a ready profile.
fn of_hour(sight: &Sight<'_>, at: i64) -> Option<f64> {
    sight.normal_at(sight.metric, at).map(|normal| normal.centre - normal.growth)
}

/// The same on the straight line from the middle of one hour to that of the next.
fn between_hours(sight: &Sight<'_>, at: i64) -> Option<f64> {
    let half = HOUR_MS / 2;
    let (before, after) = (of_hour(sight, at.saturating_sub(half))?, of_hour(sight, at.saturating_add(half))?);
    let way = at.saturating_sub(half).rem_euclid(HOUR_MS) as f64 / HOUR_MS as f64;
    Some(before + (after - before) * way)
}

/// The medians without the season of each; `None` where it cannot be taken out in this way.
fn left_of(stretches: &[Stretch], seasons: &[f64], by: Move) -> Option<Vec<f64>> {
    let present = stretches.iter().zip(seasons).filter(|(stretch, _)| stretch.median.is_finite());
    let (count, sum) = present.fold((0.0, 0.0), |(count, sum), (_, season)| (count + 1.0, sum + season));
    let level = sum / f64::max(count, 1.0);
    let left = |median: f64, season: f64| match by {
        Move::Equal => Some(median - (season - level)),
        Move::InProportion if median <= 0.0 || season <= 0.0 => None,
        Move::InProportion => Some(median * (level / season)),
    };
    stretches.iter().zip(seasons).map(|(stretch, season)| left(stretch.median, *season)).collect()
}

/// The way that values go from one to the next.
fn variation(values: &[f64]) -> f64 {
    let present: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    present.windows(2).map(|pair| (pair[1] - pair[0]).abs()).sum()
}

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
