//! Centre and scale per hour of the week, with shrinkage.
//!
//! **The rule.** Groups are nested: hour of the week in hour of the day in all. A group's own figure counts with weight
//! `w = min(1, n / enough)`, its parent's with `1 - w`; `n` is the number of samples, but each separate hour that the
//! group was seen in counts for no more than `per_hour` of them.
//!
//! **Its reason.** The median of n samples is off by about 1.25 σ/√n, a scale from the MAD by about 1.2 σ/√n. A centre
//! off by a third of a sigma is bearable (12 samples); a scale off by a third turns a 3 sigma limit into one of 2 (so 60
//! samples, off by 15 %). Samples of one hour share that hour's accident: a Monday seen once must not be believed
//! however densely it was sampled. So a centre stands alone once seen in two separate hours, a scale in three.
//! Above `enough` there is no pull at all: it would drag the hour of a nightly batch towards the quiet hours.
//!
//! **Scale** is taken from the residuals about the shrunk centre, not about the group's own median: where the centre
//! was pulled away, the band becomes wide enough to hold the samples that it was pulled away from.

use super::OUTLIER_SIGMAS;
use super::calendar::HOURS_OF_WEEK;
use super::grouped::Grouped;
use crate::stats;

/// A partition of the hours of the week.
#[derive(Clone, Copy)]
pub(super) struct Level {
    groups: usize,
    group_of: fn(usize) -> usize,
}

const ALL: Level = Level { groups: 1, group_of: |_| 0 };
const DAY_OF_WEEK: Level = Level { groups: 7, group_of: |hour| hour / 24 };
const HOUR_OF_DAY: Level = Level { groups: 24, group_of: |hour| hour % 24 };
const HOUR_OF_WEEK: Level = Level { groups: HOURS_OF_WEEK, group_of: |hour| hour };

/// When a group needs no parent.
struct Enough {
    samples: f64,
    per_hour: f64,
}

const CENTRE: Enough = Enough { samples: 12.0, per_hour: 6.0 };
const SCALE: Enough = Enough { samples: 60.0, per_hour: 20.0 };

/// A scale is never below this share of its centre: a change of 3 % in a flat series is no incident.
const FLOOR_OF_CENTRE: f64 = 0.01;
/// A scale is never below this share of the highest hour's centre: an hour that is always zero in a series that is not.
const FLOOR_OF_SERIES: f64 = 0.001;
/// Resolution of a series of whole numbers (counts).
const WHOLE_STEP: f64 = 1.0;
/// Resolution of any other series: keeps the scale above zero whatever the unit.
const SMALLEST_STEP: f64 = 1e-6;

/// The levels of a seasonality, coarse to fine; each group lies in one group of the level before it.
pub(super) fn levels(daily: bool, weekly: bool) -> &'static [Level] {
    match (daily, weekly) {
        (false, false) => &[ALL],
        (true, false) => &[ALL, HOUR_OF_DAY],
        (false, true) => &[ALL, DAY_OF_WEEK],
        (true, true) => &[ALL, HOUR_OF_DAY, HOUR_OF_WEEK],
    }
}

/// Share of the finest level's groups that were seen at all, 0 to 1.
pub(super) fn groups_seen(grouped: &Grouped, levels: &[Level]) -> f64 {
    let Some(finest) = levels.last() else { return 0.0 };
    let seen = (0..finest.groups).filter(|group| finest.members(*group).any(|hour| grouped.occurrences(hour) > 0));
    seen.count() as f64 / finest.groups as f64
}

impl Level {
    fn members(self, group: usize) -> impl Iterator<Item = usize> {
        (0..HOURS_OF_WEEK).filter(move |hour| (self.group_of)(*hour) == group)
    }

    /// Weight of a group's own figure, 0 to 1.
    fn weight(self, group: usize, grouped: &Grouped, enough: &Enough) -> f64 {
        let (mut samples, mut hours) = (0, 0);
        for hour in self.members(group) {
            samples += grouped.hour(hour).len();
            hours += grouped.occurrences(hour);
        }
        ((samples as f64).min(enough.per_hour * f64::from(hours)) / enough.samples).min(1.0)
    }
}

/// Centre and scale per hour of the week.
pub(super) struct Estimate {
    pub(super) centre: [f64; HOURS_OF_WEEK],
    pub(super) scale: [f64; HOURS_OF_WEEK],
}

impl Estimate {
    pub(super) fn new(grouped: &Grouped, levels: &[Level]) -> Self {
        let mut buffer: Vec<f32> = Vec::with_capacity(grouped.len());
        let centre = shrink(grouped, levels, &CENTRE, |level, group| {
            buffer.clear();
            for hour in level.members(group) {
                buffer.extend_from_slice(grouped.hour(hour));
            }
            stats::median(&mut buffer)
        });
        // Variances are what adds up, so the scales are blended as squares.
        let variance = shrink(grouped, levels, &SCALE, |level, group| {
            buffer.clear();
            for hour in level.members(group) {
                let centre = centre[hour];
                buffer.extend(grouped.hour(hour).iter().map(|value| (f64::from(*value) - centre).abs() as f32));
            }
            stats::robust_scale(&mut buffer).map(|scale| scale * scale)
        });

        let series = centre.iter().fold(0.0, |highest: f64, centre| highest.max(centre.abs())) * FLOOR_OF_SERIES;
        let floor = series.max(if grouped.is_whole() { WHOLE_STEP } else { SMALLEST_STEP });
        let mut scale = variance.map(f64::sqrt);
        for (scale, centre) in scale.iter_mut().zip(centre) {
            *scale = scale.max(centre.abs() * FLOOR_OF_CENTRE).max(floor);
        }
        Self { centre, scale }
    }

    pub(super) fn is_outlier(&self, hour: usize, value: f32) -> bool {
        (f64::from(value) - self.centre[hour]).abs() > OUTLIER_SIGMAS * self.scale[hour]
    }

    /// Keeps the centres within the physical bounds.
    pub(super) fn clamp(&mut self, minimum: Option<f64>, maximum: Option<f64>) {
        for centre in &mut self.centre {
            *centre = super::profile::within(*centre, minimum, maximum);
        }
    }
}

/// Blends the figure of each hour's groups from coarse to fine.
fn shrink(
    grouped: &Grouped,
    levels: &[Level],
    enough: &Enough,
    mut figure: impl FnMut(Level, usize) -> Option<f64>,
) -> [f64; HOURS_OF_WEEK] {
    // What is coarser than a level whose groups all stand alone has no say: with enough history, most levels need not
    // be computed, and each costs a selection over the whole series.
    let stands_alone = |level: &Level| (0..level.groups).all(|group| level.weight(group, grouped, enough) >= 1.0);
    let first = levels.iter().rposition(stands_alone).unwrap_or(0);
    let mut figures = [0.0; HOURS_OF_WEEK];
    for (depth, level) in levels.iter().enumerate().skip(first) {
        for group in 0..level.groups {
            let weight = if depth == first { 1.0 } else { level.weight(group, grouped, enough) };
            if weight <= 0.0 {
                continue;
            }
            let Some(own) = figure(*level, group) else { continue };
            for hour in level.members(group) {
                figures[hour] = weight * own + (1.0 - weight) * figures[hour];
            }
        }
    }
    figures
}
