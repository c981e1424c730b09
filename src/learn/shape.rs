//! Which seasonal shape a series has: as many groups of hours as foretell days that they were not learnt from better
//! than fewer do.
//!
//! **The rule.** Partitions of the week are nested: all hours, hour of the day, hour of the day on working days and on
//! weekends, hour of the week. Each hour of history is foretold from the other days of its group (leave one day out);
//! the coarsest partition whose mean error is within [`TOLERANCE`] of the best is taken. Two weeks tell 168 hours of
//! the week apart only where these differ by more than two Mondays do: else each would be its own accident.
//!
//! **Exceptions.** One nightly batch a week hardly moves the mean. So a group of a finer partition stands for itself
//! where each of its days, two at least, departs from what is foretold by more than three sigma to the same side.

use super::calendar::HOURS_OF_WEEK;
use super::series::{Block, Series};
use crate::stats;

/// A partition of the hours of the week.
#[derive(Clone, Copy)]
pub(super) struct Level {
    pub(super) groups: usize,
    pub(super) group_of: fn(usize) -> usize,
}

const ALL: Level = Level { groups: 1, group_of: |_| 0 };
const HOUR_OF_DAY: Level = Level { groups: 24, group_of: |hour| hour % 24 };
/// Hours of the day on working days (0 to 23) and on weekends.
const HOUR_OF_DAY_TYPE: Level = Level { groups: 48, group_of: |hour| hour % 24 + 24 * is_weekend(hour) };
const DAY_TYPE: Level = Level { groups: 2, group_of: is_weekend };
const DAY_OF_WEEK: Level = Level { groups: 7, group_of: |hour| hour / 24 };
const HOUR_OF_WEEK: Level = Level { groups: HOURS_OF_WEEK, group_of: |hour| hour };

/// 1 from Saturday 00:00 to Sunday 23:59.
fn is_weekend(hour: usize) -> usize {
    usize::from(hour >= 5 * 24)
}

/// Error that a coarser partition may have beyond the best one's: a share of it, and of the spread within an hour.
const TOLERANCE: f64 = 0.05;
/// Errors count up to this many times their usual size: one incident must not decide about a shape.
const MOST_ERROR: f64 = 8.0;
/// Sigmas by which each day of an exception departs.
const EXCEPTION_SIGMAS: f64 = 3.0;
/// Share of the spread within an hour by which each day of an exception departs.
const EXCEPTION_SPREAD: f64 = 0.5;

/// The partitions that a seasonality allows, coarse to fine; each group lies in one group of the level before it.
pub(super) fn levels(daily: bool, weekly: bool) -> &'static [Level] {
    match (daily, weekly) {
        (false, false) => &[ALL],
        (true, false) => &[ALL, HOUR_OF_DAY],
        (false, true) => &[ALL, DAY_TYPE, DAY_OF_WEEK],
        (true, true) => &[ALL, HOUR_OF_DAY, HOUR_OF_DAY_TYPE, HOUR_OF_WEEK],
    }
}

impl Level {
    pub(super) fn hours(self, group: usize) -> impl Iterator<Item = usize> {
        (0..HOURS_OF_WEEK).filter(move |hour| (self.group_of)(*hour) == group)
    }
}

/// When a group needs no parent.
pub(super) struct Enough {
    pub(super) samples: f64,
    pub(super) per_hour: f64,
}

impl Enough {
    /// Weight of the own figure of a group with these blocks, 0 to 1.
    pub(super) fn weight<'a>(&self, blocks: impl Iterator<Item = &'a Block>) -> f64 {
        let (samples, hours) = blocks.fold((0, 0), |(samples, hours), block| (samples + block.len(), hours + 1));
        ((samples as f64).min(self.per_hour * f64::from(hours)) / self.samples).min(1.0)
    }
}

/// One figure per block, to be foretold.
pub(super) struct Figures<'a> {
    pub(super) series: &'a Series,
    /// Of each block.
    pub(super) values: &'a [f64],
    /// Whether it counts.
    pub(super) kept: &'a [bool],
    pub(super) enough: &'a Enough,
}

impl Figures<'_> {
    /// What each block's figure is foretold to be from the other days, for each level: `[level][block]`.
    pub(super) fn foretold(&self, levels: &[Level]) -> Vec<Vec<f64>> {
        let blocks = &self.series.blocks;
        let mut foretold: Vec<Vec<f64>> = Vec::with_capacity(levels.len());
        let mut others: Vec<f32> = Vec::new();
        for level in levels {
            let mut found = foretold.last().cloned().unwrap_or_else(|| self.values.to_vec());
            for group in 0..level.groups {
                let mut members: Vec<usize> =
                    level.hours(group).flat_map(|hour| self.series.of_hour[hour].iter().copied()).collect();
                members.sort_unstable();
                // The weight that it has with all its days: what is tested is the figure, not the want of a day.
                let weight =
                    self.enough.weight(members.iter().filter(|index| self.kept[**index]).map(|index| &blocks[*index]));
                for day in members.chunk_by(|one, next| blocks[*one].day == blocks[*next].day) {
                    let left_out = blocks[day[0]].day;
                    let counts = |index: &&usize| self.kept[**index] && blocks[**index].day != left_out;
                    others.clear();
                    others.extend(members.iter().filter(counts).map(|index| self.values[*index] as f32));
                    let Some(own) = stats::median(&mut others) else { continue };
                    for index in day {
                        found[*index] = weight * own + (1.0 - weight) * found[*index];
                    }
                }
            }
            foretold.push(found);
        }
        foretold
    }

    /// Depth of the level to learn each hour of the week by; `spread` is the usual distance of a sample from its hour's
    /// median, in the unit of the figures.
    pub(super) fn depths(&self, levels: &[Level], foretold: &[Vec<f64>], spread: f64) -> [usize; HOURS_OF_WEEK] {
        let kept = || self.kept.iter().enumerate().filter(|(_, kept)| **kept).map(|(index, _)| index);
        let usual: Vec<f64> = foretold
            .iter()
            .map(|foretold| {
                let mut errors: Vec<f32> =
                    kept().map(|index| (self.values[index] - foretold[index]).abs() as f32).collect();
                stats::median(&mut errors).unwrap_or(0.0)
            })
            .collect();
        let most = MOST_ERROR * usual.iter().copied().fold(f64::INFINITY, f64::min).max(TOLERANCE * spread);
        let errors: Vec<f64> = foretold
            .iter()
            .map(|foretold| kept().map(|index| (self.values[index] - foretold[index]).abs().min(most)).sum::<f64>())
            .map(|sum| sum / kept().count().max(1) as f64)
            .collect();
        let best = errors.iter().copied().fold(f64::INFINITY, f64::min);
        let allowed = best * (1.0 + TOLERANCE) + TOLERANCE * spread;
        let depth = errors.iter().position(|error| *error <= allowed).unwrap_or(0);
        let mut depths = [depth; HOURS_OF_WEEK];
        for finer in depth + 1..levels.len() {
            self.except(levels, depth, finer, &foretold[depth], spread, &mut depths);
        }
        depths
    }

    /// Marks the groups of a finer level that stand for themselves.
    fn except(
        &self,
        levels: &[Level],
        depth: usize,
        finer: usize,
        foretold: &[f64],
        spread: f64,
        depths: &mut [usize; HOURS_OF_WEEK],
    ) {
        let (level, parent) = (levels[finer], levels[depth]);
        let kept = |hours: &mut dyn Iterator<Item = usize>| -> Vec<usize> {
            hours.flat_map(|hour| self.series.of_hour[hour].iter().copied()).filter(|index| self.kept[*index]).collect()
        };
        for group in 0..level.groups {
            let members = kept(&mut level.hours(group));
            let Some(hour) = level.hours(group).next() else { continue };
            let days =
                members.chunk_by(|one, next| self.series.blocks[*one].day == self.series.blocks[*next].day).count();
            let above = members.iter().all(|index| self.values[*index] > foretold[*index]);
            let below = members.iter().all(|index| self.values[*index] < foretold[*index]);
            if days < 2 || !(above || below) {
                continue;
            }
            let mut errors: Vec<f32> = kept(&mut parent.hours((parent.group_of)(hour)))
                .iter()
                .map(|index| (self.values[*index] - foretold[*index]).abs() as f32)
                .collect();
            let sigma = stats::robust_scale(&mut errors).unwrap_or(0.0);
            let least = (EXCEPTION_SIGMAS * sigma).max(EXCEPTION_SPREAD * spread);
            if members.iter().all(|index| (self.values[*index] - foretold[*index]).abs() > least) {
                for hour in level.hours(group) {
                    depths[hour] = finer;
                }
            }
        }
    }
}
