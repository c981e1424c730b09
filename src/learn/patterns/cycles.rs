//! Daily and weekly cycles.

use super::{LocalHour, Pattern, PatternKind, middle, times};
use crate::stats;

/// Hours of a day that must have been seen.
const WHOLE_DAY: usize = 18;
/// Days that a daily cycle must have been seen on.
const LEAST_DAYS: usize = 4;
/// Days that a weekly cycle must have been seen on, and weekdays that must have come twice.
const LEAST_WEEKLY_DAYS: usize = 12;
const LEAST_WEEKDAYS: usize = 5;
/// Share of the variance that a cycle must foretell to be named.
const LEAST_STRENGTH: f64 = 0.25;
/// Swing of a cycle below which it is rounding, as a share of the level: samples have seven digits.
const LEAST_SWING: f64 = 1e-6;
/// Sigmas that a value counts at most: an incident is no cycle.
const MOST_SIGMAS: f64 = 5.0;
const NAMES: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// Whole days, each with its hours.
fn whole_days(hours: &[LocalHour]) -> impl Iterator<Item = &[LocalHour]> {
    hours.chunk_by(|one, next| one.day() == next.day()).filter(|day| day.len() >= WHOLE_DAY)
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    if count > 0.0 { sum / count } else { 0.0 }
}

/// Share of the variance of values that their groups foretell: each from the others of its group (predicted R²).
/// Negative where groups are chance.
fn foretold(values: &[(usize, f64)], groups: usize) -> f64 {
    let mut sums = vec![(0.0, 0.0); groups];
    for (group, value) in values {
        let (sum, count) = &mut sums[*group];
        *sum += value;
        *count += 1.0;
    }
    let centre = mean(values.iter().map(|(_, value)| *value));
    let (mut left, mut all) = (0.0, 0.0);
    for (group, value) in values {
        let (sum, count) = sums[*group];
        let others = if count > 1.0 { (sum - value) / (count - 1.0) } else { centre };
        left += (value - others).powi(2);
        all += (value - centre).powi(2);
    }
    if all > 0.0 { 1.0 - left / all } else { 0.0 }
}

/// The same with and without what lies far out, whichever is more: an incident must not hide a cycle, and where a few
/// hours of the day lie far out, they are the cycle.
fn strength(values: &[(usize, f64)], groups: usize) -> f64 {
    let centre = middle(values.iter().map(|(_, value)| *value));
    let mut residuals: Vec<f32> = values.iter().map(|(_, value)| (value - centre).abs() as f32).collect();
    let most = MOST_SIGMAS * stats::robust_scale(&mut residuals).unwrap_or(0.0);
    let clipped: Vec<(usize, f64)> =
        values.iter().map(|(group, value)| (*group, value.clamp(centre - most, centre + most))).collect();
    foretold(&clipped, groups).max(foretold(values, groups))
}

pub(super) fn daily(hours: &[LocalHour], zone: &str) -> Option<Pattern> {
    let days: Vec<&[LocalHour]> = whole_days(hours).collect();
    let levels: Vec<f64> = days.iter().map(|day| mean(day.iter().map(|hour| hour.mean))).collect();
    let growth = growth_of_a_day(&days, &levels);
    let grown = |hour: &LocalHour| growth * ((hour.of_day() as f64 + 0.5) / 24.0 - 0.5);
    let values: Vec<(usize, f64)> = days
        .iter()
        .zip(&levels)
        .flat_map(|(day, level)| day.iter().map(move |hour| (hour.of_day(), hour.mean - level - grown(hour))))
        .collect();
    let strength = strength(&values, 24);
    if days.len() < LEAST_DAYS || strength < LEAST_STRENGTH {
        return None;
    }
    let season: Vec<f64> = (0..24)
        .map(|hour| middle(values.iter().filter(|(of_day, _)| *of_day == hour).map(|(_, value)| *value)))
        .collect();
    let lowest = season.iter().copied().fold(f64::INFINITY, f64::min);
    let highest = season.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let at = |share: f64| lowest + share * (highest - lowest);
    let peak = ranges(&season, |value| value >= at(0.5));
    let low = ranges(&season, |value| value <= at(0.2));
    let level = mean(levels.into_iter());
    if highest - lowest <= LEAST_SWING * level.abs() {
        return None;
    }
    let compared = times(level + highest, level + lowest)
        .map_or(String::new(), |times| format!("; the highest hour has {times} as much as the lowest"));
    Some(Pattern::new(
        PatternKind::DailyCycle,
        strength,
        format!("peak {peak} {zone}"),
        format!("Follows the hour of the day: high {peak}, lowest {low} {zone}{compared}"),
    ))
}

/// What the level grows by from one day to the next, as median: growth within a day is the same each day, and no cycle.
fn growth_of_a_day(days: &[&[LocalHour]], levels: &[f64]) -> f64 {
    let pairs = days.windows(2).zip(levels.windows(2));
    middle(pairs.map(|(days, levels)| (levels[1] - levels[0]) / (days[1][0].day() - days[0][0].day()) as f64))
}

/// The two longest ranges of hours that the test holds for, around midnight, as `09:00-17:00`.
fn ranges(season: &[f64], holds: impl Fn(f64) -> bool) -> String {
    let holds: Vec<bool> = season.iter().map(|value| holds(*value)).collect();
    let begins = (0..24).filter(|hour| holds[*hour] && !holds[(hour + 23) % 24]);
    let mut found: Vec<(usize, usize)> =
        begins.map(|begin| (begin, (0..24).take_while(|more| holds[(begin + more) % 24]).count())).collect();
    found.sort_by_key(|(begin, length)| (std::cmp::Reverse(*length), *begin));
    found.truncate(2);
    found.sort_unstable();
    let texts: Vec<String> =
        found.iter().map(|(begin, length)| format!("{begin:02}:00-{:02}:00", (begin + length) % 24)).collect();
    texts.join(", ")
}

pub(super) fn weekly(hours: &[LocalHour]) -> Option<Pattern> {
    // The epoch was a Thursday.
    let weekday = |day: i64| (day + 3).rem_euclid(7) as usize;
    let values: Vec<(usize, f64)> =
        whole_days(hours).map(|day| (weekday(day[0].day()), mean(day.iter().map(|hour| hour.mean)))).collect();
    let seen_twice = (0..7).filter(|weekday| values.iter().filter(|(of, _)| of == weekday).count() > 1).count();
    if values.len() < LEAST_WEEKLY_DAYS || seen_twice < LEAST_WEEKDAYS {
        return None;
    }
    let strength = strength(&values, 7);
    if strength < LEAST_STRENGTH {
        return None;
    }
    let of_days: Vec<(usize, f64)> = (0..7)
        .filter(|weekday| values.iter().any(|(of, _)| of == weekday))
        .map(|weekday| (weekday, middle(values.iter().filter(|(of, _)| *of == weekday).map(|(_, value)| *value))))
        .collect();
    let lowest = of_days.iter().map(|(_, value)| *value).fold(f64::INFINITY, f64::min);
    let highest = of_days.iter().map(|(_, value)| *value).fold(f64::NEG_INFINITY, f64::max);
    let (low, high): (Vec<_>, Vec<_>) = of_days.iter().partition(|(_, value)| *value < f64::midpoint(lowest, highest));
    let names = |days: &[(usize, f64)]| days.iter().map(|(day, _)| NAMES[*day]).collect::<Vec<_>>().join(", ");
    let (word, days, others) = if low.len() <= high.len() { ("low", low, high) } else { ("high", high, low) };
    let (of_these, of_others) =
        (middle(days.iter().map(|(_, value)| *value)), middle(others.iter().map(|(_, value)| *value)));
    let compared = times(of_these, of_others).map_or(String::new(), |times| format!(": {times} the other days"));
    Some(Pattern::new(
        PatternKind::WeeklyCycle,
        strength,
        format!("{word} {}", names(&days)),
        format!(
            "Follows the day of the week: {} on {}{compared}",
            if word == "low" { "lower" } else { "higher" },
            names(&days)
        ),
    ))
}
