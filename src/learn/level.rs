//! The level of a series from day to day: whether what is to come lies at the level of all days, of the last ones, or
//! on a line through them.
//!
//! **The rule.** Each day's level is the median over its hours of what is left of the season. Each day is then foretold
//! from the days before it in three ways: the median of all of them, the median of the last five, the Theil–Sen line
//! through all. The first is kept unless another is clearly better ([`BETTER`]) or the last three days confirm a shift;
//! then every hour of history is moved to the level at which that way foretells the coming day. So a shift counts once it
//! has lasted for three days (an incident of two is not learnt as normal), and slow growth is followed. A shift that was
//! confirmed is an event: the days on which it was not foretold are no part of how much the level varies.
//!
//! The level moves in proportion where the season does (more customers), else by the same amount in every hour.

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
/// Days needed at least: three are foretold.
const LEAST_DAYS: usize = FIRST_DAYS + 3;
/// Days that confirm a shift, and sigmas of a day's level from which it is one.
const CONFIRMING_DAYS: usize = 3;
const SHIFT_SIGMAS: f64 = 4.0;
/// Hours that a day must have been seen in.
const LEAST_HOURS: usize = 6;

/// How the values of each block are moved to the level of today.
pub(super) struct Following {
    /// Factor and offset per block; empty when nothing moves.
    moves: Vec<(f64, f64)>,
}

/// Level of one day.
#[derive(Clone, Copy)]
struct Day {
    /// Days since the epoch, at its middle.
    at: f64,
    level: f64,
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

fn middle(values: impl Iterator<Item = f64>) -> f64 {
    stats::median(&mut values.map(|value| value as f32).collect::<Vec<_>>()).unwrap_or(0.0)
}

impl Following {
    /// Nothing moves.
    pub(super) fn none() -> Self {
        Self { moves: Vec::new() }
    }

    /// A value of a block, at the level of today.
    pub(super) fn value(&self, block: usize, value: f32) -> f64 {
        let value = f64::from(value);
        self.moves.get(block).map_or(value, |(factor, offset)| value * factor + offset)
    }

    /// The medians of all blocks, at the level of today.
    pub(super) fn apply(&self, medians: &[f64]) -> Vec<f64> {
        if self.moves.is_empty() {
            return medians.to_vec();
        }
        self.moves.iter().zip(medians).map(|((factor, offset), median)| median * factor + offset).collect()
    }

    /// Finds how the level moves. `season`: what the shape foretells of each block; `spread`: usual distance of a sample
    /// from its hour's median. `None` when nothing needs to be followed.
    pub(super) fn find(series: &Series, medians: &[f64], season: &[f64], spread: f64) -> Option<Self> {
        let levels = |left: fn(f64, f64) -> f64| -> Vec<(Day, usize)> {
            let indices: Vec<usize> = (0..medians.len()).collect();
            let of_day = indices.chunk_by(|one, next| series.blocks[*one].day == series.blocks[*next].day);
            of_day
                .filter(|of_day| of_day.len() >= LEAST_HOURS)
                .map(|of_day| {
                    let level = middle(of_day.iter().map(|index| left(medians[*index], season[*index])));
                    (Day { at: series.blocks[of_day[0]].day as f64 + 0.5, level }, of_day[0])
                })
                .collect()
        };
        let equal = levels(|median, season| median - season);
        if equal.len() < LEAST_DAYS {
            return None;
        }
        let positive = medians.iter().chain(season).all(|value| *value > 0.0);
        let share = positive.then(|| levels(|median, season| median / season));
        let left = |levels: &[(Day, usize)], of: fn(f64, f64) -> f64| -> f64 {
            let level = |index: usize| levels[levels.partition_point(|(_, begin)| *begin <= index).max(1) - 1].0.level;
            (0..medians.len()).map(|index| (medians[index] - of(season[index], level(index))).abs()).sum()
        };
        let equally = left(&equal, |season, level| season + level);
        let share = share.filter(|share| left(share, |season, level| season * level) < BETTER_IN_PROPORTION * equally);
        let unit = if share.is_some() { middle(season.iter().copied()) } else { 1.0 };
        let days: Vec<Day> = share.as_ref().unwrap_or(&equal).iter().map(|(day, _)| *day).collect();

        let error = |way: Way| -> f64 {
            let sum: f64 = (FIRST_DAYS..days.len())
                .map(|index| (days[index].level - way.foretell(&days[..index], days[index].at)).abs())
                .sum();
            sum / (days.len() - FIRST_DAYS) as f64
        };
        let (plain, last, line) = (error(Way::All), error(Way::Last), error(Way::Line));
        let negligible = NEGLIGIBLE * spread / unit.max(f64::MIN_POSITIVE);
        let shifted = is_shifted(&days, negligible);
        if !shifted && (plain < negligible || last.min(line) > BETTER * plain) {
            return None;
        }
        let way = if line < if shifted { LINE_BETTER * last } else { last } { Way::Line } else { Way::Last };
        // Until the next refresh, a day later, half a day passes on average.
        let today = way.foretell(&days, days.last()?.at + 1.0);
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
            match share {
                Some(_) if then > 0.0 && today > 0.0 => (today / then, 0.0),
                Some(_) => (1.0, 0.0),
                None => (1.0, today - then),
            }
        });
        Some(Self { moves: moves.collect() })
    }
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
