use jiff::tz::TimeZone;

use super::*;
use crate::learn::{Options, learn_by};

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * HOUR_MS;

fn at(text: &str) -> i64 {
    text.parse::<jiff::Timestamp>().map_or(i64::MIN, jiff::Timestamp::as_millisecond)
}

/// Deterministic noise, uniform in -1 to 1.
fn noise(at: i64) -> f64 {
    let mut bits = (at as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    bits ^= bits >> 31;
    bits = bits.wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits ^= bits >> 29;
    (bits >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
}

/// A sample each five minutes over the days before Monday, 30 November 2026.
fn samples(days: i64, value: impl Fn(i64) -> f64) -> Vec<Sample> {
    let end = at("2026-11-30T00:00:00Z");
    let count = days * DAY / (5 * MINUTE);
    (0..count)
        .map(|index| end - days * DAY + index * 5 * MINUTE)
        .map(|at| Sample { at, value: value(at) as f32 })
        .collect()
}

fn found_by(clock: &Clock, samples: &[Sample], older: &[Hour], events: &[i64]) -> Vec<Pattern> {
    let options = Options { now: at("2026-11-30T00:00:00Z"), ..Options::default() };
    let profile = learn_by(clock, samples, older, &options).unwrap();
    find_patterns(samples, older, events, &profile, clock).found
}

fn found(samples: &[Sample]) -> Vec<Pattern> {
    found_by(&Clock::utc(), samples, &[], &[])
}

fn of_day(at: i64) -> i64 {
    at.rem_euclid(DAY) / HOUR_MS
}

/// 0 is Monday.
fn weekday(at: i64) -> i64 {
    (at.div_euclid(DAY) + 3).rem_euclid(7)
}

fn office(at: i64) -> f64 {
    if (9..17).contains(&of_day(at)) { 200.0 } else { 100.0 }
}

#[test]
fn a_daily_cycle_has_its_peak_its_low_and_its_strength() {
    let patterns = found(&samples(14, |at| office(at) + 20.0 * noise(at)));
    let [daily] = patterns.as_slice() else { panic!("{patterns:?}") };
    assert_eq!((daily.kind, daily.when.as_str()), (PatternKind::DailyCycle, "peak 09:00-17:00 UTC"));
    assert!(daily.strength >= 0.95, "{daily:?}");
    assert_eq!(
        daily.sentence,
        "Follows the hour of the day: high 09:00-17:00, lowest 17:00-09:00 UTC; the highest hour has 2.1 times as much as the lowest"
    );
}

#[test]
fn a_weekly_cycle_names_the_days_that_differ() {
    let patterns = found(&samples(14, |at| if weekday(at) >= 5 { 50.0 } else { 100.0 } + 10.0 * noise(at)));
    let [weekly] = patterns.as_slice() else { panic!("{patterns:?}") };
    assert_eq!((weekly.kind, weekly.when.as_str()), (PatternKind::WeeklyCycle, "low Sat, Sun"));
    assert_eq!(weekly.sentence, "Follows the day of the week: lower on Sat, Sun: 0.5 times the other days");
}

#[test]
fn steady_growth_is_no_daily_cycle_and_hides_none() {
    let growth = |at: i64| 5.0 * at.rem_euclid(100 * DAY) as f64 / DAY as f64;
    for noisy in [0.0, 1.0] {
        assert_eq!(found(&samples(14, |at| 1000.0 + growth(at) + noisy * noise(at))), [], "noise {noisy}");
    }
    let grown = found(&samples(14, |at| office(at) + growth(at) + 20.0 * noise(at)));
    let [daily] = grown.as_slice() else { panic!("{grown:?}") };
    assert_eq!((daily.kind, daily.when.as_str()), (PatternKind::DailyCycle, "peak 09:00-17:00 UTC"));
}

#[test]
fn both_cycles_are_found_together() {
    let value = |at: i64| office(at) * if weekday(at) >= 5 { 0.5 } else { 1.0 } + 10.0 * noise(at);
    let kinds: Vec<PatternKind> = found(&samples(14, value)).iter().map(|pattern| pattern.kind).collect();
    assert!(kinds.contains(&PatternKind::DailyCycle) && kinds.contains(&PatternKind::WeeklyCycle), "{kinds:?}");
}

#[test]
fn noise_a_flat_series_and_one_incident_have_no_pattern() {
    let incident = |at: i64| {
        let within = (at - super::tests::at("2026-11-20T10:00:00Z")).div_euclid(6 * HOUR_MS) == 0;
        if within { 500.0 } else { 100.0 }
    };
    assert_eq!(found(&samples(14, |at| 100.0 + 10.0 * noise(at))), []);
    assert_eq!(found(&samples(14, |_| 7.0)), []);
    assert_eq!(found(&samples(14, |at| incident(at) + 10.0 * noise(at))), []);
}

fn hours(days: i64, value: impl Fn(i64) -> f64) -> Vec<Hour> {
    let end = at("2026-11-16T00:00:00Z");
    (0..days * 24)
        .map(|hour| end - (days * 24 - hour) * HOUR_MS)
        .map(|at| Hour { at, mean: value(at) as f32, maximum: value(at) as f32 })
        .collect()
}

fn day_of_month(at: i64) -> i8 {
    jiff::Timestamp::from_millisecond(at).map_or(0, |at| at.to_zoned(TimeZone::UTC).day())
}

#[test]
fn a_batch_at_two_on_the_first_is_found_in_the_hours_of_months() {
    let value = |at: i64| {
        let batch = day_of_month(at) == 1 && of_day(at) == 2;
        (if batch { 400.0 } else { 50.0 }) + 5.0 * noise(at)
    };
    let patterns = found_by(&Clock::utc(), &samples(14, value), &hours(120, value), &[]);
    let [batch] = patterns.as_slice() else { panic!("{patterns:?}") };
    assert_eq!((batch.kind, batch.when.as_str()), (PatternKind::MonthlyBatch, "1st 02:00-03:00 UTC"));
    assert_eq!(
        batch.sentence,
        "Comes once a month: 1st 02:00-03:00 UTC, in 4 of 4 months, 7.9 times what is usual at that hour"
    );
}

#[test]
fn the_hours_of_a_batch_say_what_the_next_one_may_be_like() {
    // It takes the first 20 minutes of its hour: the mean of the hour is a third of what it shows.
    let value = |at: i64| {
        let batch = day_of_month(at) == 1 && of_day(at) == 2 && at.rem_euclid(HOUR_MS) < 20 * MINUTE;
        (if batch { 400.0 } else { 50.0 }) + 5.0 * noise(at)
    };
    let end = at("2026-11-16T00:00:00Z");
    let older: Vec<Hour> = (0..120 * 24)
        .map(|hour| end - (120 * 24 - hour) * HOUR_MS)
        .map(|at| {
            let of_hour: Vec<f64> = (0..12).map(|step| value(at + step * 5 * MINUTE)).collect();
            let maximum = of_hour.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            Hour { at, mean: (of_hour.iter().sum::<f64>() / 12.0) as f32, maximum: maximum as f32 }
        })
        .collect();
    let samples = samples(14, value);
    let options = Options { now: end + 14 * DAY, ..Options::default() };
    let profile = learn_by(&Clock::utc(), &samples, &older, &options).unwrap();
    let monthly = find_patterns(&samples, &older, &[], &profile, &Clock::utc()).monthly;
    let [slot] = monthly.as_slice() else { panic!("{monthly:?}") };
    assert_eq!((slot.day, slot.hour), (1, 2));
    assert!((slot.level - 400.0).abs() < 10.0 && (30.0..80.0).contains(&slot.scale), "{slot:?}");
    let once = |at: i64| if at < end - 40 * DAY { 50.0 } else { value(at) };
    let older: Vec<Hour> =
        older.iter().map(|hour| Hour { mean: once(hour.at) as f32, maximum: once(hour.at) as f32, ..*hour }).collect();
    let monthly = find_patterns(&samples, &older, &[], &profile, &Clock::utc()).monthly;
    assert_eq!(monthly, [], "what came once comes from nowhere");
}

#[test]
fn a_batch_on_the_last_day_is_named_so_and_one_of_two_hours_is_one() {
    let value = |at: i64| {
        let batch = day_of_month(at + DAY) == 1 && (22..24).contains(&of_day(at));
        (if batch { 400.0 } else { 50.0 }) + 5.0 * noise(at)
    };
    let patterns = found_by(&Clock::utc(), &samples(14, value), &hours(150, value), &[]);
    let whens: Vec<&str> = patterns.iter().map(|pattern| pattern.when.as_str()).collect();
    assert_eq!(whens, ["last day 22:00-00:00 UTC"]);
}

#[test]
fn weekly_batches_and_months_of_noise_are_no_monthly_batch() {
    let weekly = |at: i64| if weekday(at) == 0 && of_day(at) == 2 { 400.0 } else { 50.0 } + 5.0 * noise(at);
    let rough = |at: i64| 50.0 * (2.0 * noise(at)).exp();
    for value in [&weekly as &dyn Fn(i64) -> f64, &rough] {
        let patterns = found_by(&Clock::utc(), &samples(14, value), &hours(370, value), &[]);
        assert!(patterns.iter().all(|pattern| pattern.kind != PatternKind::MonthlyBatch), "{patterns:?}");
    }
}

/// Instants of five spikes.
fn deploys() -> Vec<i64> {
    [
        "2026-11-17T10:20:00Z",
        "2026-11-19T15:40:00Z",
        "2026-11-20T08:05:00Z",
        "2026-11-25T21:30:00Z",
        "2026-11-27T13:50:00Z",
    ]
    .map(at)
    .to_vec()
}

fn spiky(at: i64) -> f64 {
    let spike = deploys().iter().any(|deploy| (0..10 * MINUTE).contains(&(at - deploy)));
    (if spike { 300.0 } else { 100.0 }) + 5.0 * noise(at)
}

#[test]
fn brief_spikes_that_come_again_are_named_and_follow_events_where_these_are_known() {
    let samples = samples(14, spiky);
    let patterns = found(&samples);
    let [spikes] = patterns.as_slice() else { panic!("{patterns:?}") };
    assert_eq!(spikes.kind, PatternKind::BriefSpikes);
    assert_eq!(spikes.when, "at irregular times, about 3 a week");
    assert_eq!(
        spikes.sentence,
        "5 brief spikes in 14 days, at irregular times, about 3 a week, of about 10 min, up to 3.0 times what is usual"
    );
    let events: Vec<i64> = deploys().iter().map(|deploy| deploy - 3 * MINUTE).collect();
    assert_eq!(found_by(&Clock::utc(), &samples, &[], &events)[0].when, "after deploys");
}

#[test]
fn a_cycle_is_told_in_the_time_of_its_own_clock() {
    let zone = TimeZone::posix("EST5").unwrap();
    let clock = Clock::new(&zone, at("2026-11-01T00:00:00Z"), at("2026-12-01T00:00:00Z"));
    let patterns = found_by(&clock, &samples(14, |at| office(at - 5 * HOUR_MS) + 20.0 * noise(at)), &[], &[]);
    assert!(patterns[0].when.starts_with("peak 09:00-17:00"), "{patterns:?}");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(32))]

    #[test]
    fn any_series_gives_short_and_finite_patterns(values in proptest::collection::vec(proptest::prelude::any::<f32>(), 1..600)) {
        let end = at("2026-11-30T00:00:00Z");
        let samples: Vec<Sample> =
            values.iter().rev().enumerate().map(|(index, value)| Sample { at: end - index as i64 * HOUR_MS / 2, value: *value }).rev().collect();
        let older: Vec<Hour> = values.iter().rev().enumerate().map(|(index, value)| Hour { at: end - (index as i64 + 400) * HOUR_MS, mean: *value, maximum: *value }).rev().collect();
        if samples.iter().any(|sample| sample.value.abs() <= crate::learn::GREATEST) {
            let patterns = found_by(&Clock::utc(), &samples, &older, &[end]);
            proptest::prop_assert!(patterns.len() <= MOST_PATTERNS);
            for pattern in patterns {
                proptest::prop_assert!((0.0..=1.0).contains(&pattern.strength));
                proptest::prop_assert!(pattern.when.len() <= 128 && pattern.sentence.len() <= 256, "{:?}", pattern);
            }
        }
    }
}
