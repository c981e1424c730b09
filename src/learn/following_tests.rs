//! What a profile makes of shifts, growth, incidents, seasons that are there and seasons that are not.

use super::*;

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * HOUR_MS;
/// A Monday at midnight.
const MONDAY: i64 = 4 * DAY + 2_900 * 7 * DAY;

fn noise(at: i64) -> f64 {
    let one = |at: i64| {
        let mut bits = (at as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        bits ^= bits >> 31;
        bits = bits.wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits ^= bits >> 29;
        (bits >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    };
    // Three uniform values: a standard deviation of 1, and nearly normal.
    one(at) + one(at + 1) + one(at + 2)
}

fn options(days: u32) -> Options {
    Options { window_days: days, now: MONDAY + i64::from(days) * DAY - 1, ..Options::default() }
}

fn samples(days: i64, value: impl Fn(i64) -> f64) -> Vec<Sample> {
    (0..days * 288).map(|index| MONDAY + index * 5 * MINUTE).map(|at| Sample { at, value: value(at) as f32 }).collect()
}

fn learnt(days: i64, value: impl Fn(i64) -> f64) -> Profile {
    learn(&samples(days, value), &options(days as u32)).unwrap()
}

/// The day's number, from 0.
fn day(at: i64) -> i64 {
    (at - MONDAY).div_euclid(DAY)
}

fn of_day(at: i64) -> i64 {
    at.rem_euclid(DAY) / HOUR_MS
}

#[test]
fn hours_that_are_alike_share_one_centre_and_one_scale() {
    let profile = learnt(14, |at| 100.0 + 5.0 * noise(at));
    assert!(profile.centre.iter().all(|centre| centre.to_bits() == profile.centre[0].to_bits()));
    assert!(profile.scale.iter().all(|scale| scale.to_bits() == profile.scale[0].to_bits()));
    assert!((profile.scale[0] - 5.0).abs() < 0.3, "{}", profile.scale[0]);
}

#[test]
fn weekends_that_differ_are_learnt_from_both_their_days() {
    let season = |at: i64| {
        let level = if hour_of_week(at) >= 120 { 50.0 } else { 100.0 };
        level + if (9..17).contains(&of_day(at)) { 40.0 } else { 0.0 }
    };
    // Saturday was seen once only, and Sunday tells what it is like.
    let profile = learnt(9, |at| season(at) + 3.0 * noise(at));
    for hour in 0..HOURS_OF_WEEK {
        let expected = season(MONDAY + hour as i64 * HOUR_MS);
        assert!((f64::from(profile.centre[hour]) - expected).abs() < 3.0, "hour {hour}: {}", profile.centre[hour]);
        assert!(profile.scale[hour] < 6.0, "hour {hour}: {}", profile.scale[hour]);
    }
}

#[test]
fn a_level_counts_once_it_has_lasted_for_three_days() {
    for (lasted, expected) in [(2, 100.0_f32), (3, 160.0), (4, 160.0), (6, 160.0), (12, 160.0)] {
        let value = |at: i64| if day(at) >= 14 - lasted { 160.0 } else { 100.0 } + 5.0 * noise(at);
        let profile = learnt(14, value);
        assert!((profile.centre[0] - expected).abs() < 3.0, "{lasted} days: {}", profile.centre[0]);
        assert!(profile.scale[0] < 6.5, "{lasted} days: {}", profile.scale[0]);
        let back = profile.tails.below.probability(-profile.sigmas(0, f64::from(260.0 - expected)).min(0.0));
        assert!(lasted < 3 || back < 1e-4, "{lasted} days: a confirmed shift is no part of normal life: {back}");
    }
}

#[test]
fn slow_growth_is_followed_to_the_coming_day() {
    let profile = learnt(14, |at| 500.0 + 10.0 * (at - MONDAY) as f64 / DAY as f64 + 5.0 * noise(at));
    // The middle of the coming day: 14.5 days of 10 each.
    assert!((profile.centre[0] - 645.0).abs() < 8.0, "{}", profile.centre[0]);
    assert!(profile.scale[0] < 12.0, "{}", profile.scale[0]);
}

#[test]
fn growth_is_followed_to_the_hour_whenever_it_is_learnt_and_said_to_be_growth() {
    let value = |at: i64| 500.0 + 10.0 * (at - MONDAY) as f64 / DAY as f64 + 0.1 * noise(at);
    // Not a whole number of weeks, and once without the last hours.
    for (days, hours, seen) in [(7, 1, 1), (8, 0, 0), (9, 5, 5), (9, 5, 0), (14, 0, 0), (14, 12, 12), (14, 23, 18)] {
        let now = MONDAY + days * DAY + hours * HOUR_MS + 20 * MINUTE;
        let until = MONDAY + days * DAY + seen * HOUR_MS + 20 * MINUTE;
        let samples: Vec<Sample> = samples(days + 1, value).into_iter().filter(|sample| sample.at <= until).collect();
        let profile = learn(&samples, &Options { now, ..options(14) }).unwrap();
        // For a week, whether it is learnt again tomorrow or not.
        for later in 0..168 {
            let at = now.div_euclid(HOUR_MS) * HOUR_MS + later * HOUR_MS + 30 * MINUTE;
            let hour = hour_of_week(at);
            let (moved, growth) = profile.growth.at(at, hour);
            let centre = f64::from(profile.centre[hour]) + moved;
            // On the day itself, and to a tenth of what it grows by after it.
            let most = 1.5 + (later / 24) as f64;
            assert!(
                (centre - value(at)).abs() < most,
                "{days} days {hours} h, {later} h later: {centre} {}",
                value(at)
            );
            let first = f64::from(profile.centre[hour_of_week(now)]);
            assert!((centre - growth - first).abs() < 2.0, "{later} h later: no season, {centre} {growth} {first}");
        }
        assert!((profile.growth.per_day - 10.0).abs() < 1.0, "{days} days: {:?}", profile.growth);
    }
}

#[test]
fn noise_and_seasons_do_not_grow() {
    for seed in 0..12 {
        let noise = |at: i64| noise(at + seed * 1_000_003);
        let people = |at: i64| if hour_of_week(at) >= 120 { 60.0 } else { 100.0 + (of_day(at) as f64 - 12.0).abs() };
        for days in [7, 8, 14] {
            assert_eq!(learnt(days, |at| 500.0 + 5.0 * noise(at)).growth, Growth::NONE, "noise, seed {seed}");
            assert_eq!(learnt(days, |at| people(at) + 3.0 * noise(at)).growth, Growth::NONE, "people, seed {seed}");
        }
    }
}

#[test]
fn growth_in_proportion_keeps_the_shape_of_the_day() {
    let season = |at: i64| if (9..17).contains(&of_day(at)) { 900.0 } else { 200.0 };
    let growth = |at: i64| 1.0 + 0.02 * (at - MONDAY) as f64 / DAY as f64;
    let profile = learnt(14, |at| season(at) * growth(at) * (1.0 + 0.03 * noise(at)));
    let (busy, quiet) = (f64::from(profile.centre[12]), f64::from(profile.centre[3]));
    assert!((busy / quiet - 4.5).abs() < 0.3, "{busy} {quiet}");
    assert!((busy / 900.0 - 1.29).abs() < 0.06, "{busy}");
}

#[test]
fn an_incident_of_a_day_is_not_learnt_as_normal() {
    let season = |at: i64| if (9..17).contains(&of_day(at)) { 200.0 } else { 100.0 };
    let quiet = learnt(14, |at| season(at) + 5.0 * noise(at));
    let struck = learnt(14, |at| season(at) + 5.0 * noise(at) + if day(at) == 8 { 300.0 } else { 0.0 });
    for hour in 0..HOURS_OF_WEEK {
        assert!((quiet.centre[hour] - struck.centre[hour]).abs() < 3.0, "hour {hour}");
        assert!((struck.scale[hour] / quiet.scale[hour] - 1.0).abs() < 0.3, "hour {hour}");
    }
    let far = struck.sigmas(0, 160.0);
    assert!(struck.tails.above.probability(far) < 1e-4, "{far}: an incident is no part of normal life");
}

#[test]
fn repeated_samples_count_once_and_gaps_are_no_values() {
    let mut twice = samples(14, |at| 100.0 + 5.0 * noise(at));
    let once = learn(&twice, &options(14)).unwrap();
    twice.extend(twice.clone());
    assert_eq!(learn(&twice, &options(14)).unwrap(), once);
    let gap: Vec<Sample> =
        samples(14, |at| 100.0 + 5.0 * noise(at)).into_iter().filter(|sample| day(sample.at) != 5).collect();
    let profile = learn(&gap, &options(14)).unwrap();
    assert!((profile.centre[0] - once.centre[0]).abs() < 0.5 && (profile.days - 14.0).abs() < 1e-9);
    assert!((profile.confidence - 13.0 / 14.0).abs() < 1e-9);
}

#[test]
fn a_workload_of_people_is_learnt_by_their_clock_over_a_change_of_it() {
    let zone = jiff::tz::TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
    let begin = "2026-03-16T00:00:00Z".parse::<jiff::Timestamp>().unwrap().as_millisecond();
    let clock = Clock::new(&zone, begin, begin + 30 * DAY);
    // The clocks change on 29 March, the day before the last.
    let samples: Vec<Sample> = (0..14 * 288)
        .map(|index| begin + index * 5 * MINUTE)
        .map(|at| {
            let busy = (9..17).contains(&of_day(clock.local(at)));
            Sample { at, value: (if busy { 200.0 } else { 100.0 } + 5.0 * noise(at)) as f32 }
        })
        .collect();
    let options = Options { now: begin + 14 * DAY, ..options(14) };
    let profile = learn_by(&clock, &samples, &[], &options).unwrap();
    for hour in 0..HOURS_OF_WEEK {
        let expected = if (9..17).contains(&(hour % 24)) { 200.0 } else { 100.0 };
        assert!((profile.centre[hour] - expected).abs() < 5.0, "hour {hour}: {}", profile.centre[hour]);
        assert!(profile.scale[hour] < 8.0, "hour {hour}: {}", profile.scale[hour]);
    }
}
