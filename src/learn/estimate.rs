//! Centre and scale per hour of the week, with shrinkage.
//!
//! **The rule.** Groups are nested (see `shape`). A group's own figure counts with weight `w = min(1, n / enough)`, its
//! parent's with `1 - w`; `n` is the number of samples, but each separate hour that the group was seen in counts for no
//! more than `per_hour` of them.
//!
//! **Its reason.** The median of n samples is off by about 1.25 σ/√n, a scale from the MAD by about 1.2 σ/√n. A centre
//! off by a third of a sigma is bearable (12 samples); a scale off by a third turns a 3 sigma limit into one of 2 (so 60
//! samples, off by 15 %). Samples of one hour share that hour's accident: a Monday seen once must not be believed
//! however densely it was sampled. So a centre stands alone once seen in two separate hours, a scale in three.
//! Above `enough` there is no pull at all: it would drag the hour of a nightly batch towards the quiet hours.
//!
//! **Scale** is taken from the residuals about what the *other* days foretell, not about the group's own median: two
//! Mondays lie symmetrically about their own middle however far apart they are, and the third lies where it likes. A
//! scale so taken holds for days to come.
//!
//! **Hours never seen** have no band of their own: theirs is that of the nearest group that was seen, wider by how far its
//! hours lie apart. Nothing says where in it such an hour would be.

use super::OUTLIER_SIGMAS;
use super::calendar::HOURS_OF_WEEK;
use super::level::{Following, Next, growth_of_steps};
use super::profile::Growth;
use super::series::Series;
use super::shape::{Enough, Figures, Level};
use crate::stats;

const CENTRE: Enough = Enough { samples: 12.0, per_hour: 6.0 };
const SCALE: Enough = Enough { samples: 60.0, per_hour: 20.0 };

/// A scale is never below this share of its centre: a change of 3 % in a flat series is no incident.
const FLOOR_OF_CENTRE: f64 = 0.01;
/// A scale is never below this share of the highest hour's centre: an hour that is always zero in a series that is not.
const FLOOR_OF_SERIES: f64 = 0.001;
/// Resolution of a series that has none of its own: keeps the scale above zero whatever the unit.
const SMALLEST_STEP: f64 = 1e-6;

const HOURS_OF_DAY: usize = 24;

/// Distances from the centre count up to so many times the usual spread where partitions of the scale are compared.
const MOST_SPREAD: f64 = 6.0;

/// Greatest share of the days on which an incident lies. What is that far out on more days than that belongs to the
/// series: an incident shows on one or two days of a fortnight.
pub(super) const INCIDENT_DAYS: f64 = 0.2;

/// Centre and scale per hour of the week, and what belongs to each hour of history.
pub(super) struct Estimate {
    pub(super) centre: [f64; HOURS_OF_WEEK],
    pub(super) scale: [f64; HOURS_OF_WEEK],
    /// Of each block, what the other days foretell: its centre and scale.
    pub(super) foretold: Vec<(f64, f64)>,
    /// Whether each block counts; those of an incident do not.
    pub(super) kept: Vec<bool>,
    /// How the values of each block follow the level of the series.
    pub(super) following: Following,
    /// Whether each hour of the week has a band of its own, and not that of hours which it was never seen among.
    pub(super) is_own: [bool; HOURS_OF_WEEK],
    /// What the centres hold of growth.
    pub(super) growth: Growth,
}

impl Estimate {
    /// `next`: when the hours come that it is for.
    pub(super) fn new(series: &Series, levels: &[Level], removal: bool, next: Next) -> Self {
        let spread = spread_within(series);
        let mut kept = vec![true; series.blocks.len()];
        let raw: Vec<f64> = series.blocks.iter().map(|block| block.median).collect();
        let mut following = Following::none();
        let mut values = raw.clone();
        let mut shaped = shape(series, &values, &kept, levels, spread);
        // Not what the other days foretell: of a series that grows, that depends on which side of a day they lie.
        let season = |values: &[f64], shaped: &Shaped| -> Vec<f64> {
            let usual = group_medians(series, values, &kept, levels, &shaped.depths);
            series.blocks.iter().map(|block| usual[block.hour]).collect()
        };
        let raw_season = season(&raw, &shaped);
        let still = Following::without_growth(series, &raw).into_iter();
        let mut seasons: Vec<Vec<f64>> =
            still.map(|still| season(&still, &shape(series, &still, &kept, levels, spread))).collect();
        if seasons.is_empty() {
            seasons.push(raw_season.clone());
        }
        let found = seasons.iter().filter_map(|season| Following::find(series, &raw, season, spread, next));
        let found = found.filter(|found| found.error < f64::INFINITY);
        if let Some(found) = found.min_by(|one, other| one.error.total_cmp(&other.error)) {
            following = found;
            values = following.apply(&raw);
            shaped = shape(series, &values, &kept, levels, spread);
        }
        if removal && leave_incidents_out(series, &values, &shaped.every, &mut kept, spread) {
            shaped = shape(series, &values, &kept, levels, spread);
        }

        let mut buffer: Vec<f32> = Vec::with_capacity(series.values().len());
        let centre = shrink(series, &kept, levels, &shaped.depths, &CENTRE, |blocks| {
            buffer.clear();
            for index in blocks {
                let of_block = series.of(&series.blocks[*index]);
                buffer.extend(of_block.iter().map(|value| following.value(*index, *value) as f32));
            }
            stats::median(&mut buffer)
        });
        // A burst of some minutes says nothing about the hour's spread.
        let most = if spread > 0.0 { MOST_SPREAD * spread } else { f64::INFINITY };
        let distances: Vec<f64> = series
            .blocks
            .iter()
            .enumerate()
            .map(|(index, block)| {
                let of_block = series.of(block).iter();
                let sum: f64 = of_block
                    .map(|value| (following.value(index, *value) - shaped.foretold[index]).abs().min(most))
                    .sum();
                sum / block.len() as f64
            })
            .collect();
        let least = distances.iter().copied().fold(0.0, f64::max) * 1e-6 + f64::MIN_POSITIVE;
        let logarithms: Vec<f64> = distances.iter().map(|distance| (distance + least).ln()).collect();
        let figures = Figures { series, values: &logarithms, kept: &kept, enough: &SCALE };
        let foretold_spread = figures.foretold(levels);
        let depths = figures.depths(levels, &foretold_spread, 0.0);
        // Variances are what adds up, so the scales are blended as squares.
        let variance = shrink(series, &kept, levels, &depths, &SCALE, |blocks| {
            buffer.clear();
            for index in blocks {
                let centre = shaped.foretold[*index];
                let of_block = series.of(&series.blocks[*index]);
                buffer.extend(of_block.iter().map(|value| (following.value(*index, *value) - centre).abs() as f32));
            }
            stats::robust_scale(&mut buffer).map(|scale| scale * scale)
        });

        let highest = centre.iter().fold(0.0, |highest: f64, centre| highest.max(centre.abs()));
        let floor = (highest * FLOOR_OF_SERIES).max(series.step.unwrap_or(SMALLEST_STEP));
        let apart = apart(series, &values, &kept, levels, &shaped.depths, &centre);
        let mut scale = std::array::from_fn(|hour| (variance[hour] + apart[hour].unwrap_or(0.0).powi(2)).sqrt());
        for (scale, centre) in scale.iter_mut().zip(centre) {
            *scale = f64::max(*scale, centre.abs() * FLOOR_OF_CENTRE).max(floor);
        }
        // Where hours are not told apart, a day's growth is part of their spread.
        let told_apart = shaped.depths.iter().filter(|depth| levels[**depth].groups >= HOURS_OF_DAY).count();
        let growth = match following.growth {
            _ if told_apart * 2 <= HOURS_OF_WEEK => Growth::NONE,
            Growth::NONE => growth_of_steps(series, &raw, &raw_season),
            growth => growth,
        };
        // What the other days say of a scale, as a share of what all days say.
        let all = group_medians(series, &logarithms, &kept, levels, &depths);
        let foretold = series.blocks.iter().enumerate().map(|(index, block)| {
            let ratio = (foretold_spread[depths[block.hour]][index] - all[block.hour]).exp().clamp(0.5, 2.0);
            (shaped.foretold[index], scale[block.hour] * ratio)
        });
        let foretold = foretold.collect();
        Self { centre, scale, foretold, kept, following, is_own: apart.map(|apart| apart.is_none()), growth }
    }

    /// Whether a value of a block lies far from its hour's centre.
    pub(super) fn is_outlier(&self, block: usize, hour: usize, value: f32) -> bool {
        (self.following.value(block, value) - self.centre[hour]).abs() > OUTLIER_SIGMAS * self.scale[hour]
    }

    /// Keeps the centres within the physical bounds.
    pub(super) fn clamp(&mut self, minimum: Option<f64>, maximum: Option<f64>) {
        for centre in &mut self.centre {
            *centre = super::profile::within(*centre, minimum, maximum);
        }
    }
}

/// Shape of a series.
struct Shaped {
    depths: [usize; HOURS_OF_WEEK],
    /// Of each block, by its own depth.
    foretold: Vec<f64>,
    /// `[level][block]`.
    every: Vec<Vec<f64>>,
}

fn shape(series: &Series, values: &[f64], kept: &[bool], levels: &[Level], spread: f64) -> Shaped {
    let figures = Figures { series, values, kept, enough: &CENTRE };
    let every = figures.foretold(levels);
    let depths = figures.depths(levels, &every, spread);
    let foretold = series.blocks.iter().enumerate().map(|(index, block)| every[depths[block.hour]][index]).collect();
    Shaped { depths, foretold, every }
}

/// Usual distance of a sample from its own hour's median: the median over the hours of the mean distance.
fn spread_within(series: &Series) -> f64 {
    let mut distances: Vec<f32> = series
        .blocks
        .iter()
        .filter(|block| block.len() > 1)
        .map(|block| {
            let sum: f64 = series.of(block).iter().map(|value| (f64::from(*value) - block.median).abs()).sum();
            (sum / (block.len() - 1) as f64) as f32
        })
        .collect();
    stats::median(&mut distances).unwrap_or(0.0) * stats::MEAN_DEVIATION_TO_SIGMA
}

/// Leaves out the hours that no partition foretells, unless they lie on so many days that they belong to the series.
fn leave_incidents_out(series: &Series, values: &[f64], foretold: &[Vec<f64>], kept: &mut [bool], spread: f64) -> bool {
    let errors = |index: usize| {
        foretold.iter().map(|foretold| (values[index] - foretold[index]).abs()).fold(f64::INFINITY, f64::min)
    };
    let errors: Vec<f64> = (0..values.len()).map(errors).collect();
    let sigma = stats::robust_scale(&mut errors.iter().map(|error| *error as f32).collect::<Vec<_>>()).unwrap_or(0.0);
    let least = OUTLIER_SIGMAS * sigma.max(spread);
    let far: Vec<usize> = (0..values.len()).filter(|index| errors[*index] > least).collect();
    let days = |indices: &mut dyn Iterator<Item = usize>| {
        let mut days: Vec<i64> = indices.map(|index| series.blocks[index].day).collect();
        days.dedup();
        days.len() as f64
    };
    if far.is_empty() || days(&mut far.iter().copied()) > INCIDENT_DAYS * days(&mut (0..values.len())) {
        return false;
    }
    for index in far {
        kept[index] = false;
    }
    true
}

/// Of each hour of the week whose group was never seen, how far the hours of the nearest group that was lie from its
/// centre: the root of their mean square.
fn apart(
    series: &Series,
    values: &[f64],
    kept: &[bool],
    levels: &[Level],
    depths: &[usize; HOURS_OF_WEEK],
    centre: &[f64; HOURS_OF_WEEK],
) -> [Option<f64>; HOURS_OF_WEEK] {
    std::array::from_fn(|hour| {
        let blocks = |depth: usize| {
            let group = (levels[depth].group_of)(hour);
            levels[depth].hours(group).flat_map(|hour| &series.of_hour[hour]).filter(|index| kept[**index])
        };
        let seen = (0..=depths[hour]).rev().find(|depth| blocks(*depth).next().is_some())?;
        if seen == depths[hour] {
            return None;
        }
        let squares = blocks(seen).map(|index| (values[*index] - centre[hour]).powi(2));
        let (count, sum) = squares.fold((0.0, 0.0), |(count, sum), square| (count + 1.0, sum + square));
        Some((sum / f64::max(count, 1.0)).sqrt())
    })
}

/// Median of the figures of each hour's group.
fn group_medians(
    series: &Series,
    values: &[f64],
    kept: &[bool],
    levels: &[Level],
    depths: &[usize; HOURS_OF_WEEK],
) -> [f64; HOURS_OF_WEEK] {
    let every = Enough { samples: 1.0, per_hour: 1.0 };
    shrink(series, kept, levels, depths, &every, |blocks| {
        stats::median(&mut blocks.iter().map(|index| values[*index] as f32).collect::<Vec<_>>())
    })
}

/// Blends the figure of each hour's groups from coarse to fine, down to the hour's own depth. A figure is made of the
/// blocks of a group that count.
fn shrink(
    series: &Series,
    kept: &[bool],
    levels: &[Level],
    depths: &[usize; HOURS_OF_WEEK],
    enough: &Enough,
    mut figure: impl FnMut(&[usize]) -> Option<f64>,
) -> [f64; HOURS_OF_WEEK] {
    // Each group's figure and weight, once it is asked for: what is coarser than a group that stands alone has no say,
    // and each figure costs a selection over its samples.
    let mut known: Vec<Vec<Option<(Option<f64>, f64)>>> = levels.iter().map(|level| vec![None; level.groups]).collect();
    let mut figures = [0.0; HOURS_OF_WEEK];
    for hour in 0..HOURS_OF_WEEK {
        let mut left = 1.0;
        let mut sum = 0.0;
        for depth in (0..=depths[hour]).rev() {
            let level = levels[depth];
            let group = (level.group_of)(hour);
            let (own, weight) = *known[depth][group].get_or_insert_with(|| {
                let hours = level.hours(group).flat_map(|hour| series.of_hour[hour].iter().copied());
                let blocks: Vec<usize> = hours.filter(|index| kept[*index]).collect();
                let weight = enough.weight(blocks.iter().map(|index| &series.blocks[*index]));
                (figure(&blocks), weight)
            });
            let Some(own) = own else { continue };
            let weight = if depth == 0 { 1.0 } else { weight };
            sum += left * weight * own;
            left *= 1.0 - weight;
            if left <= 0.0 {
                break;
            }
        }
        figures[hour] = sum;
    }
    figures
}
