//! Axes of a picture: what range it shows, and where its marks stand.

use super::super::figures::{number, value};
use super::super::series::{TimestampFormat, Zone};
use super::bins::Cell;

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Steps between two marks of time that people read easily.
const TIME_STEPS: [i64; 27] = [
    SECOND,
    2 * SECOND,
    5 * SECOND,
    10 * SECOND,
    15 * SECOND,
    30 * SECOND,
    MINUTE,
    2 * MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    15 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    2 * DAY,
    3 * DAY,
    7 * DAY,
    14 * DAY,
    28 * DAY,
    91 * DAY,
    182 * DAY,
    365 * DAY,
    3650 * DAY,
];

/// Least and greatest value that a picture has to show: all values, and of the band what lies near them.
pub(super) fn range(cells: impl Iterator<Item = Cell>) -> Option<(f64, f64)> {
    let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
    let (mut lower, mut upper) = (f64::INFINITY, f64::NEG_INFINITY);
    for cell in cells {
        least = least.min(cell.low);
        most = most.max(cell.high);
        lower = lower.min(cell.lower);
        upper = upper.max(cell.upper);
    }
    if least > most {
        return None;
    }
    // A band that was wide while little was known must not make the series a line.
    let room = ((most - least) / 4.0).min(f64::MAX / 8.0);
    let (mut least, mut most) = (least.min(lower.max(least - room)), most.max(upper.min(most + room)));
    if !(most - least).is_finite() {
        (least, most) = (least / 2.0, most / 2.0);
    }
    if least >= most {
        let half = (least.abs() * 0.1).max(1.0);
        (least, most) = (least - half, most + half);
    }
    Some((least.max(-f64::MAX), most.min(f64::MAX)))
}

/// A value beside an axis.
pub(super) fn figure(edge: f64, unit: &str) -> String {
    if edge.abs() >= 1e7 && !unit.starts_with('B') {
        return if unit.is_empty() { format!("{edge:.1e}") } else { format!("{edge:.1e} {unit}") };
    }
    if unit.is_empty() { number(edge) } else { value(edge, unit) }
}

/// Round numbers within a range: steps of 1, 2 or 5 times a power of ten, about so many.
pub(super) fn value_ticks(least: f64, most: f64, about: usize) -> Vec<f64> {
    let raw = (most - least) / about as f64;
    let power = 10_f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].iter().map(|factor| factor * power).find(|step| *step >= raw).unwrap_or(raw);
    let first = (least / step).ceil();
    if !step.is_finite() || step <= 0.0 || !first.is_finite() {
        return vec![least, most];
    }
    let marks = (0..=2 * about).map(|index| (first + index as f64) * step);
    marks.filter(|edge| (least..=most).contains(edge)).collect()
}

/// Instants (milliseconds since the Unix epoch) within a span and their texts, no more than so many: full days, hours or
/// minutes of the zone that the series is written in.
pub(super) fn time_ticks(from: i64, to: i64, most: usize, format: TimestampFormat) -> Vec<(i64, String)> {
    let span = to.saturating_sub(from);
    let fits = |step: i64| span / step < most.max(1) as i64;
    let Some(step) = TIME_STEPS.iter().copied().find(|step| fits(*step)) else { return Vec::new() };
    let east = if let Zone::Offset(minutes) = format.zone { i64::from(minutes) * MINUTE } else { 0 };
    // Weeks begin on Monday; the epoch was a Thursday.
    let origin = if step % (7 * DAY) == 0 { 4 * DAY } else { 0 } - east;
    let late = from.saturating_sub(origin).rem_euclid(step);
    let first = if late == 0 { from } else { from.saturating_add(step - late) };
    let text = |at: i64| {
        let full = format.print(at);
        let part = |from: usize, to: usize| full.get(from..to).unwrap_or(&full).to_owned();
        match step {
            step if step >= DAY => part(0, 10),
            step if step >= MINUTE => format!("{} {}", part(5, 10), part(11, 16)),
            _ => part(11, 19),
        }
    };
    let instants = std::iter::successors(Some(first), |at| at.checked_add(step));
    instants.take_while(|at| *at <= to).take(most).map(|at| (at, text(at))).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 2026-03-02 00:00:00 UTC, a Monday.
    const MONDAY: i64 = 1_772_409_600_000;

    #[test]
    fn marks_of_values_are_round_and_within_the_range() {
        assert_eq!(value_ticks(0.0, 10.0, 5), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(value_ticks(-3.0, 7.0, 2), [0.0, 5.0]);
    }

    #[test]
    fn marks_of_time_are_full_weeks_days_hours_or_minutes() {
        let texts = |span: i64, format: TimestampFormat| -> Vec<String> {
            time_ticks(MONDAY + 1, MONDAY + span, 5, format).into_iter().map(|(_, text)| text).collect()
        };
        let utc = TimestampFormat::default();
        assert_eq!(
            texts(10 * MINUTE, utc),
            ["03-02 00:02", "03-02 00:04", "03-02 00:06", "03-02 00:08", "03-02 00:10"]
        );
        assert_eq!(texts(DAY, utc), ["03-02 06:00", "03-02 12:00", "03-02 18:00", "03-03 00:00"]);
        assert_eq!(texts(14 * DAY, utc), ["2026-03-05", "2026-03-08", "2026-03-11", "2026-03-14"]);
        assert_eq!(texts(30 * DAY, utc), ["2026-03-09", "2026-03-16", "2026-03-23", "2026-03-30"]);
        let east = TimestampFormat { zone: Zone::Offset(90), ..utc };
        assert_eq!(texts(DAY, east), ["03-02 06:00", "03-02 12:00", "03-02 18:00", "03-03 00:00"]);
    }

    proptest! {
        #[test]
        fn any_span_has_its_marks_within(from in any::<i64>(), length in any::<u32>(), scale in 0_u32..32, most in 1_usize..12) {
            let to = from.saturating_add(i64::from(length) << scale);
            let ticks = time_ticks(from, to, most, TimestampFormat::default());
            let within = ticks.len() <= most && ticks.iter().all(|(at, _)| (from..=to).contains(at));
            prop_assert!(within, "{:?}", ticks);
        }

        #[test]
        fn any_range_of_values_has_marks_within(one in any::<f64>(), other in any::<f64>()) {
            if let Some((least, most)) = range([one, other].iter().filter(|value| value.is_finite()).map(|value| Cell {
                low: *value, high: *value, lower: f64::NAN, upper: f64::NAN,
            })) {
                let ticks = value_ticks(least, most, 5);
                let within = ticks.len() <= 11 && ticks.iter().all(|tick| (least..=most).contains(tick));
                prop_assert!(within, "{} {} {:?}", least, most, ticks);
            }
        }
    }
}
