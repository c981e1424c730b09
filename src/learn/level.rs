//! The level of a series from day to day: whether what is to come lies at the level of all days, of the last ones, or
//! on a line through them.
//!
//! **The rule.** Each day's level is the median over its hours of what is left of the season. Each day is then foretold
//! from the days before it in three ways: the median of all of them, the median of the last five, the Theil–Sen line
//! through all. The first is kept unless another is clearly better ([`BETTER`]) or the last three days confirm a shift;
//! then every hour of history is moved to the level at which that way foretells the next such hour of the day. So a shift
//! counts once it has lasted for three days (an incident of two is not learnt as normal), and growth is followed, and
//! said ([`Growth`]). A shift that was confirmed is an event: the days on which it was not foretold are no part of how much
//! the level varies.
//!
//! The level moves in proportion where the season does (more customers), else by the same amount in every hour.

use super::calendar::{Clock, HOUR_MS, absolute_hour};
use super::middle;
use super::profile::Growth;
use super::series::Series;
use crate::stats;

/// Another way to foretell the level must leave less than this share of the error of the plainest.
const BETTER: f64 = 0.7;
/// Moves in proportion must leave less than this share of what equal moves leave.
const BETTER_IN_PROPORTION: f64 = 0.9;
/// A line must leave less than this share of what the last days do, where these have shifted.
const LINE_BETTER: f64 = 0.9;
/// Error of the plainest way, as a share of the spread within an hour, below which nothing needs to be followed.
const NEGLIGIBLE: f64 = 0.25;
/// Days whose median is the level of the last ones.
const LAST_DAYS: usize = 5;
/// Days from which on a day is foretold.
const FIRST_DAYS: usize = 5;
/// Days needed at least for a line: as many as a ready profile has, and two of them are foretold.
const LEAST_DAYS: usize = FIRST_DAYS + 2;
/// Days needed at least for another level than that of all days.
const LEAST_DAYS_SHIFTED: usize = FIRST_DAYS + CONFIRMING_DAYS;
/// Days that confirm a shift: a level that has lasted so long is followed.
pub const CONFIRMING_DAYS: usize = 3;
/// Sigmas of a day's level from which it is a shift.
const SHIFT_SIGMAS: f64 = 4.0;
/// Chance below which whole days rise or fall steadily: of seven days, each beyond the one before.
const STEADY_CHANCE: f64 = 0.02;
/// Share of the steps from one day to the next that go the same way where a series grows and falls back now and then.
const STEPS_ALIKE: f64 = 0.8;
/// Hours that a day must have been seen in.
const LEAST_HOURS: usize = 6;

/// How the values of each block are moved to the level at which its hour of the day comes next.
pub(super) struct Following {
    /// Factor and offset per block; empty when nothing moves.
    moves: Vec<(f64, f64)>,
    /// What its blocks hold of growth then.
    pub(super) growth: Growth,
    /// Mean error of a day's level as foretold from the days before, in the unit of the values.
    pub(super) error: f64,
}

/// Level of one day.
#[derive(Clone, Copy)]
struct Day {
    /// Days since the epoch, at its middle.
    at: f64,
    level: f64,
    /// Its first block.
    begin: usize,
}

/// Ways to foretell the level.
#[derive(Clone, Copy)]
enum Way {
    All,
    Last,
    Line,
}

impl Way {
    /// The level at `at`, foretold from these days, which are not none.
    fn foretell(self, days: &[Day], at: f64) -> f64 {
        let median = |days: &[Day]| middle(days.iter().map(|day| day.level));
        match self {
            Self::All => median(days),
            Self::Last => median(&days[days.len().saturating_sub(LAST_DAYS)..]),
            Self::Line => Line::through(days).at(at),
        }
    }
}

/// A robust line (Theil 1950, Sen 1968): median of the slopes between any two days.
struct Line {
    slope: f64,
    intercept: f64,
}

impl Line {
    fn through(days: &[Day]) -> Self {
        let pairs =
            days.iter().enumerate().flat_map(|(index, one)| days[index + 1..].iter().map(move |other| (one, other)));
        let slope = middle(pairs.map(|(one, other)| (other.level - one.level) / (other.at - one.at)));
        Self { slope, intercept: middle(days.iter().map(|day| day.level - slope * day.at)) }
    }

    fn at(&self, at: f64) -> f64 {
        self.slope * at + self.intercept
    }
}

impl Following {
    /// Nothing moves.
    pub(super) fn none() -> Self {
        Self { moves: Vec::new(), growth: Growth::NONE, error: 0.0 }
    }

    /// A value of a block, moved.
    pub(super) fn value(&self, block: usize, value: f32) -> f64 {
        let value = f64::from(value);
        self.moves.get(block).map_or(value, |(factor, offset)| value * factor + offset)
    }

    /// The medians of all blocks, moved.
    pub(super) fn apply(&self, medians: &[f64]) -> Vec<f64> {
        if self.moves.is_empty() {
            return medians.to_vec();
        }
        self.moves.iter().zip(medians).map(|((factor, offset), median)| median * factor + offset).collect()
    }

    /// The medians of all blocks at the level of the last day, moved by equal amounts and, where all are positive, in
    /// proportion; nothing unless whole days rise or fall so steadily that it is no chance. With growth in them, weekdays
    /// and weekends would seem to be a season.
    pub(super) fn without_growth(series: &Series, medians: &[f64]) -> Vec<Vec<f64>> {
        let days = levels(series, |index| medians[index]);
        let Some(last) = days.last().filter(|_| days.len() >= LEAST_DAYS) else { return Vec::new() };
        let line = Line::through(&days);
        let values: Vec<f64> = days.iter().map(|day| day.level).collect();
        let chance = stats::chance_of_rise(&values, line.slope);
        if chance.min(1.0 - chance) >= STEADY_CHANCE {
            return Vec::new();
        }
        let then = |index: usize| line.at(series.blocks[index].day as f64 + 0.5);
        let today = line.at(last.at);
        let each = |moved: &dyn Fn(usize, f64) -> f64| -> Vec<f64> {
            medians.iter().enumerate().map(|(index, median)| moved(index, *median)).collect()
        };
        let mut still = vec![each(&|index, median| median + today - then(index))];
        if medians.iter().enumerate().all(|(index, median)| *median > 0.0 && then(index) > 0.0) && today > 0.0 {
            still.push(each(&|index, median| median * today / then(index)));
        }
        still
    }

    /// Finds how the level moves. `season`: what is usual in each block's hour; `spread`: usual distance of a sample
    /// from its hour's median; `next`: when hours come that it is learnt for. `None` when nothing needs to be followed.
    pub(super) fn find(series: &Series, medians: &[f64], season: &[f64], spread: f64, next: Next) -> Option<Self> {
        let equal = levels(series, |index| medians[index] - season[index]);
        if equal.len() < LEAST_DAYS {
            return None;
        }
        let positive = medians.iter().chain(season).all(|value| *value > 0.0);
        let share = positive.then(|| levels(series, |index| medians[index] / season[index]));
        let left = |days: &[Day], of: fn(f64, f64) -> f64| -> f64 {
            let level = |index: usize| days[days.partition_point(|day| day.begin <= index).max(1) - 1].level;
            (0..medians.len()).map(|index| (medians[index] - of(season[index], level(index))).abs()).sum()
        };
        let equally = left(&equal, |season, level| season + level);
        // A level that falls to nothing along its line has no share to move by.
        let stays_positive = |days: &[Day]| {
            let line = Line::through(days);
            days.first().is_some_and(|first| line.at(first.at) > 0.0) && line.at(next.day_of(0)) > 0.0
        };
        let share = share.filter(|share| {
            left(share, |season, level| season * level) < BETTER_IN_PROPORTION * equally && stays_positive(share)
        });
        let in_proportion = share.is_some();
        let unit = if in_proportion { middle(season.iter().copied()) } else { 1.0 };
        let days = share.unwrap_or(equal);

        let error = |way: Way| -> f64 {
            let sum: f64 = (FIRST_DAYS..days.len())
                .map(|index| (days[index].level - way.foretell(&days[..index], days[index].at)).abs())
                .sum();
            sum / (days.len() - FIRST_DAYS) as f64
        };
        let negligible = NEGLIGIBLE * spread / unit.max(f64::MIN_POSITIVE);
        let may_shift = days.len() >= LEAST_DAYS_SHIFTED;
        let (plain, line) = (error(Way::All), error(Way::Line));
        let last = if may_shift { error(Way::Last) } else { f64::INFINITY };
        let shifted = may_shift && is_shifted(&days, negligible);
        if !shifted && (plain < negligible || last.min(line) > BETTER * plain) {
            return None;
        }
        let way = if line < if shifted { LINE_BETTER * last } else { last } { Way::Line } else { Way::Last };
        let error = unit * error(way);
        let foretold: Vec<f64> = (0..24).map(|hour| way.foretell(&days, next.day_of(hour))).collect();
        let line = Line::through(&days);
        let jump = SHIFT_SIGMAS * usual_step(&days).max(negligible);
        let moves = series.blocks.iter().map(|block| {
            // Not the hour: a profile knows no slope within a day, so what it leaves there belongs to the residuals.
            let at = block.day as f64 + 0.5;
            let index = days.partition_point(|day| day.at <= block.day as f64);
            let then = match way {
                Way::Line => line.at(at),
                _ => at_the_time(&days, index, jump),
            };
            let coming = foretold[block.hour % 24];
            match in_proportion {
                true if then > 0.0 && coming > 0.0 => (coming / then, 0.0),
                true => (1.0, 0.0),
                false => (1.0, coming - then),
            }
        });
        let per_day = match way {
            Way::Line if !in_proportion => line.slope,
            // What a day grew by is moved in proportion as well.
            Way::Line => {
                let coming = foretold.iter().sum::<f64>() / foretold.len() as f64;
                let moved = middle(days.iter().map(|day| coming / line.at(day.at)));
                line.slope * unit * moved
            }
            _ => 0.0,
        };
        Some(Self { moves: moves.collect(), growth: Growth::along(per_day, next.began), error })
    }
}

/// What the hours of a day hold of growth that the level is not followed along, as one that falls back now and then has: the
/// median step from one day to the next, where nearly all go the same way. `season`: what is usual in each block's hour.
pub(super) fn growth_of_steps(series: &Series, medians: &[f64], season: &[f64]) -> Growth {
    let days = levels(series, |index| medians[index] - season[index]);
    let steps: Vec<f64> =
        days.windows(2).map(|pair| (pair[1].level - pair[0].level) / (pair[1].at - pair[0].at)).collect();
    let up = steps.iter().filter(|step| **step > 0.0).count() as f64;
    let same = up.max(steps.len() as f64 - up);
    if days.len() < LEAST_DAYS || same < STEPS_ALIKE * steps.len() as f64 {
        return Growth::NONE;
    }
    Growth::within_days(middle(steps.into_iter()))
}

/// When each hour of the day comes next, by the clock of the profile.
#[derive(Clone, Copy)]
pub(super) struct Next {
    day: i64,
    /// The hour that it is: the rest of it is what comes next.
    hour_of_day: usize,
    /// Where that hour began, milliseconds since the Unix epoch.
    began: i64,
}

impl Next {
    pub(super) fn after(now: i64, clock: &Clock) -> Self {
        let local = clock.local(now);
        let hour = absolute_hour(local);
        let began = now.saturating_sub(local.rem_euclid(HOUR_MS));
        Self { day: hour.div_euclid(24), hour_of_day: hour.rem_euclid(24) as usize, began }
    }

    /// The middle of the day on which an hour comes next, in days since the epoch.
    fn day_of(self, hour_of_day: usize) -> f64 {
        self.day as f64 + if hour_of_day < self.hour_of_day { 1.5 } else { 0.5 }
    }
}

/// The days that were seen for long enough, each at the median over its blocks of what `left` leaves of them by their
/// index.
fn levels(series: &Series, left: impl Fn(usize) -> f64) -> Vec<Day> {
    let indices: Vec<usize> = (0..series.blocks.len()).collect();
    let of_day = indices.chunk_by(|one, next| series.blocks[*one].day == series.blocks[*next].day);
    of_day
        .filter(|of_day| of_day.len() >= LEAST_HOURS)
        .map(|of_day| {
            let (level, begin) = (middle(of_day.iter().map(|index| left(*index))), of_day[0]);
            Day { at: series.blocks[begin].day as f64 + 0.5, level, begin }
        })
        .collect()
}

/// The level of a day as it was foretold then from the last days; of the first days, and of those of a shift that was
/// confirmed, as the days after tell it.
fn at_the_time(days: &[Day], index: usize, jump: f64) -> f64 {
    let after = |from: usize| middle(days[from.min(days.len())..].iter().take(LAST_DAYS).map(|day| day.level));
    if index < LAST_DAYS {
        return after(index + 1);
    }
    let foretold = Way::Last.foretell(&days[..index], 0.0);
    let from = index.min(days.len() - CONFIRMING_DAYS);
    if departs(&days[from..from + CONFIRMING_DAYS], foretold, jump) { after(from) } else { foretold }
}

/// Whether all days lie beyond a jump to the same side.
fn departs(days: &[Day], from: f64, jump: f64) -> bool {
    days.iter().all(|day| day.level - from > jump) || days.iter().all(|day| from - day.level > jump)
}

/// Whether the last days lie at another level than those before them.
fn is_shifted(days: &[Day], negligible: f64) -> bool {
    let (before, last) = days.split_at(days.len() - CONFIRMING_DAYS);
    departs(last, Way::All.foretell(before, 0.0), SHIFT_SIGMAS * usual_step(days).max(negligible))
}

/// How much the level of a day differs from another's: from the steps between days, of which a shift is only one.
fn usual_step(days: &[Day]) -> f64 {
    let mut steps: Vec<f32> = days.windows(2).map(|pair| (pair[1].level - pair[0].level).abs() as f32).collect();
    stats::robust_scale(&mut steps).unwrap_or(0.0) * std::f64::consts::FRAC_1_SQRT_2
}
