//! What comes once a month, at the same hours of the same day.

use std::collections::BTreeMap;

use super::super::calendar::day_of_month;
use super::{LocalHour, MonthlySlot, Pattern, PatternKind, middle, times};
use crate::stats;

/// Days over which the usual value of an hour of the day is taken: one batch among them does not move their median.
const STRETCH_DAYS: i64 = 28;
/// Sigmas above the usual value of its hour from which an hour stands out.
const FAR: f64 = 5.0;
/// Scale at least, as a share of the usual value.
const FLOOR: f64 = 0.05;
/// Months in which a batch must have come, and share of those that were seen.
const LEAST_MONTHS: usize = 2;
const LEAST_SHARE: f64 = 0.75;
/// Slots of a month: chance in any of them must be less than this.
const SLOTS: f64 = 32.0 * 24.0;
const CHANCE: f64 = 0.01;
/// Batches that are named at most.
const MOST: usize = 3;
/// Scale of a batch's peak at least, as a share of how far that lies above what is usual: months differ.
const PEAK_FLOOR: f64 = 0.1;
/// Stands for the last day of a month, whichever that is.
const LAST: u8 = MonthlySlot::LAST_DAY;

/// A batch that comes once a month.
pub(super) struct Batch {
    pub(super) pattern: Pattern,
    /// The hours that it covers.
    pub(super) slots: Vec<MonthlySlot>,
}

/// One hour of one day of the month.
#[derive(Default)]
struct Slot {
    seen: usize,
    hits: Vec<Hit>,
}

/// An hour that stood out.
struct Hit {
    /// How far above the usual value.
    excess: f64,
    /// That value.
    usual: f64,
    /// Highest value in it.
    peak: f64,
}

pub(super) fn batches(hours: &[LocalHour], zone: &str) -> Vec<Batch> {
    let span = hours.first().zip(hours.last()).map_or(0, |(first, last)| last.day() - first.day());
    if span < STRETCH_DAYS {
        return Vec::new();
    }
    let usual = usual(hours);
    let mut slots: BTreeMap<(u8, usize), Slot> = BTreeMap::new();
    let (mut far, mut all) = (0_usize, 0.0);
    for of_day in hours.chunk_by(|one, next| one.day() == next.day()) {
        let Some(days) = days_of_month(of_day[0].day()) else { continue };
        for hour in of_day {
            let Some((centre, scale)) = usual.get(&key(*hour)) else { continue };
            let excess = hour.mean - centre;
            all += excess * excess;
            let hit = excess > FAR * scale;
            far += usize::from(hit);
            for day in days.into_iter().flatten() {
                let slot = slots.entry((day, hour.of_day())).or_default();
                slot.seen += 1;
                if hit {
                    slot.hits.push(Hit { excess, usual: *centre, peak: hour.maximum });
                }
            }
        }
    }
    let share = |slot: &Slot| {
        let others = far.saturating_sub(slot.hits.len()) as f64;
        (others + 1.0) / hours.len() as f64
    };
    slots.retain(|_, slot| {
        let (hits, seen) = (slot.hits.len(), slot.seen);
        let chance = SLOTS * combinations(seen, hits) * share(slot).powi(hits as i32);
        hits >= LEAST_MONTHS && hits as f64 >= LEAST_SHARE * seen as f64 && chance < CHANCE
    });
    // The 31st is the last day as well: it is named by what more months have.
    let last: Vec<usize> = slots.keys().filter(|(day, _)| *day == LAST).map(|(_, hour)| *hour).collect();
    slots.retain(|(day, hour), _| !(28..LAST).contains(day) || !last.contains(hour));
    let slots: Vec<((u8, usize), Slot)> = slots.into_iter().collect();
    let mut found: Vec<Batch> = slots
        .chunk_by(|((day, hour), _), ((next_day, next_hour), _)| day == next_day && hour + 1 == *next_hour)
        .map(|run| Batch { pattern: pattern(run, all, zone), slots: run.iter().map(slot).collect() })
        .collect();
    found.sort_by(|one, other| other.pattern.strength.total_cmp(&one.pattern.strength));
    found.truncate(MOST);
    found
}

/// What the past occurrences say of the next one: the middle of their peaks, and how far these differ. A scale from n of
/// them is off by about 1.2 σ/√n, so it is taken larger by that.
fn slot(((day, hour), slot): &((u8, usize), Slot)) -> MonthlySlot {
    let level = middle(slot.hits.iter().map(|hit| hit.peak));
    let usual = middle(slot.hits.iter().map(|hit| hit.usual));
    let mut apart: Vec<f32> = slot.hits.iter().map(|hit| (hit.peak - level).abs() as f32).collect();
    let spread = stats::robust_scale(&mut apart).unwrap_or(0.0) * (1.0 + 1.2 / (slot.hits.len().max(1) as f64).sqrt());
    let scale = spread.max(PEAK_FLOOR * (level - usual)).max(f64::from(f32::MIN_POSITIVE));
    MonthlySlot { day: *day, hour: *hour as u8, level: level as f32, scale: scale as f32 }
}

fn pattern(run: &[((u8, usize), Slot)], all: f64, zone: &str) -> Pattern {
    let hits = || run.iter().flat_map(|(_, slot)| &slot.hits);
    let strength = hits().map(|hit| hit.excess * hit.excess).sum::<f64>() / all.max(f64::MIN_POSITIVE);
    let (day, begin) = run[0].0;
    let when = format!("{} {begin:02}:00-{:02}:00 {zone}", ordinal(day), (begin + run.len()) % 24);
    let months = run.iter().map(|(_, slot)| slot.hits.len()).max().unwrap_or(0);
    let seen = run.iter().map(|(_, slot)| slot.seen).max().unwrap_or(0);
    let usual = middle(hits().map(|hit| hit.usual));
    let compared = times(usual + middle(hits().map(|hit| hit.excess)), usual)
        .map_or(String::new(), |times| format!(", {times} what is usual at that hour"));
    Pattern::new(
        PatternKind::MonthlyBatch,
        strength,
        when.clone(),
        format!("Comes once a month: {when}, in {months} of {seen} months{compared}"),
    )
}

fn key(hour: LocalHour) -> (i64, usize) {
    (hour.day().div_euclid(STRETCH_DAYS), hour.of_day())
}

/// Centre and scale of each hour of the day in each stretch of days.
fn usual(hours: &[LocalHour]) -> BTreeMap<(i64, usize), (f64, f64)> {
    let mut groups: BTreeMap<(i64, usize), Vec<f32>> = BTreeMap::new();
    for hour in hours {
        groups.entry(key(*hour)).or_default().push(hour.mean as f32);
    }
    // What is left of a stretch at either end is judged by its neighbour.
    let enough = |values: &Vec<f32>| values.len() >= STRETCH_DAYS as usize / 2;
    let mut found: BTreeMap<(i64, usize), (f64, f64)> = BTreeMap::new();
    for (key, values) in groups.iter().filter(|(_, values)| enough(values)) {
        let centre = middle(values.iter().copied().map(f64::from));
        let mut residuals: Vec<f32> = values.iter().map(|value| (f64::from(*value) - centre).abs() as f32).collect();
        let scale = stats::robust_scale(&mut residuals).unwrap_or(0.0).max(FLOOR * centre.abs()).max(f64::MIN_POSITIVE);
        found.insert(*key, (centre, scale));
    }
    for (stretch, hour) in groups.keys() {
        let neighbour = [stretch - 1, stretch + 1].into_iter().find_map(|near| found.get(&(near, *hour)).copied());
        if let Some(neighbour) = neighbour {
            found.entry((*stretch, *hour)).or_insert(neighbour);
        }
    }
    found
}

/// Number of a day in its month, and [`LAST`] on the last.
fn days_of_month(day: i64) -> Option<[Option<u8>; 2]> {
    let (day, is_last) = day_of_month(day)?;
    Some([Some(day), is_last.then_some(LAST)])
}

fn ordinal(day: u8) -> String {
    match day {
        LAST => "last day".to_owned(),
        1 | 21 | 31 => format!("{day}st"),
        2 | 22 => format!("{day}nd"),
        3 | 23 => format!("{day}rd"),
        _ => format!("{day}th"),
    }
}

/// Ways to choose so many of so many.
fn combinations(of: usize, chosen: usize) -> f64 {
    (0..chosen.min(of)).map(|index| (of - index) as f64 / (index + 1) as f64).product()
}
