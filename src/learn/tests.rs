use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

const MINUTE: i64 = 60_000;
/// A Monday at midnight.
const MONDAY: i64 = 1_796_000_400_000 - 1_796_000_400_000 % (7 * 24 * HOUR_MS) + 4 * 24 * HOUR_MS;

fn options(days: u32) -> Options {
    Options {
        minimum: Some(0.0),
        window_days: days,
        now: MONDAY + i64::from(days) * 24 * HOUR_MS,
        ..Options::default()
    }
}

/// One sample each `step` over `days`, beginning on a Monday.
fn series(days: i64, step: i64, value: impl Fn(i64) -> f64) -> Vec<Sample> {
    let count = days * 24 * HOUR_MS / step;
    (0..count).map(|index| MONDAY + index * step).map(|at| Sample { at, value: value(at) as f32 }).collect()
}

/// Deterministic noise, uniform in -1 to 1.
fn noise(at: i64) -> f64 {
    let mut bits = (at as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    bits ^= bits >> 31;
    bits = bits.wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits ^= bits >> 29;
    (bits >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
}

fn learnt(samples: &[Sample], options: &Options) -> Profile {
    learn(samples, options).unwrap_or_else(|| unreachable!("there are samples"))
}

/// Distance of a value from the centre of its hour, in sigma.
fn sigmas(profile: &Profile, at: i64, value: f64) -> f64 {
    profile.sigmas(hour_of_week(at), value)
}

#[test]
fn the_test_week_begins_on_a_monday() {
    assert_eq!(hour_of_week(MONDAY), 0);
}

#[test]
fn each_hour_of_the_week_has_its_own_centre() {
    let shape = |at: i64| 100.0 + hour_of_week(at) as f64;
    let profile = learnt(&series(14, MINUTE, |at| shape(at) + noise(at)), &options(14));
    for hour in 0..HOURS_OF_WEEK {
        assert!((f64::from(profile.centre[hour]) - 100.0 - hour as f64).abs() < 0.5, "hour {hour}");
    }
    assert!(profile.ready);
    assert!((profile.confidence - 1.0).abs() < 1e-9);
    assert!((profile.days - 14.0).abs() < 1e-9);
}

#[test]
fn a_batch_in_one_hour_of_the_week_stays_normal_for_that_hour_only() {
    let batch = 2;
    let value = |at: i64| if hour_of_week(at) == batch { 500.0 + 10.0 * noise(at) } else { 10.0 + noise(at) };
    let profile = learnt(&series(14, MINUTE, value), &options(14));
    assert!(sigmas(&profile, MONDAY + 2 * HOUR_MS, 500.0).abs() < 1.0);
    assert!(sigmas(&profile, MONDAY + 26 * HOUR_MS, 500.0) > 50.0);
}

#[test]
fn without_a_season_one_band_holds_for_all_hours() {
    let options = Options { daily: false, weekly: false, ..options(14) };
    let profile = learnt(&series(14, MINUTE, |at| 50.0 + 10.0 * noise(at)), &options);
    assert!(profile.centre.iter().all(|centre| centre.to_bits() == profile.centre[0].to_bits()));
    assert!(profile.scale.iter().all(|scale| scale.to_bits() == profile.scale[0].to_bits()));
}

#[test]
fn a_daily_season_alone_repeats_each_day_and_a_weekly_one_alone_within_each_day() {
    let value = |at: i64| hour_of_week(at) as f64 + 100.0 + noise(at);
    let daily = learnt(&series(14, MINUTE, value), &Options { weekly: false, ..options(14) });
    assert!((0..24).all(|hour| daily.centre[hour].to_bits() == daily.centre[hour + 24].to_bits()));
    assert!(daily.centre[0] < daily.centre[23]);
    let weekly = learnt(&series(14, MINUTE, value), &Options { daily: false, ..options(14) });
    assert!((0..24).all(|hour| weekly.centre[hour].to_bits() == weekly.centre[0].to_bits()));
    assert!(weekly.centre[0] < weekly.centre[24]);
}

#[test]
fn an_hour_never_seen_takes_the_figures_of_its_hour_of_the_day() {
    let unseen = 3 * 24 + 10;
    let samples: Vec<Sample> = series(14, MINUTE, |at| (hour_of_week(at) % 24) as f64 * 10.0 + noise(at))
        .into_iter()
        .filter(|sample| hour_of_week(sample.at) != unseen)
        .collect();
    let profile = learnt(&samples, &options(14));
    assert!((profile.centre[unseen] - 100.0).abs() < 1.0);
}

#[test]
fn hours_never_seen_are_judged_by_all_that_was_seen_with_a_wider_band() {
    // An office: between 100 and 170 over the day, from nine to five on working days.
    let is_office = |at: i64| hour_of_week(at) < 120 && (9..17).contains(&(hour_of_week(at) % 24));
    let value = |at: i64| 100.0 + 10.0 * (hour_of_week(at) % 24 - 9) as f64 + 2.0 * noise(at);
    let samples = series(14, MINUTE, |at| if is_office(at) { value(at) } else { f64::NAN });
    let profile = learnt(&samples, &options(14));
    let night = MONDAY + 3 * HOUR_MS;
    for usual in [100.0, 135.0, 170.0] {
        assert!(sigmas(&profile, night, usual).abs() < 3.0, "{usual}: {}", sigmas(&profile, night, usual));
    }
    assert!(sigmas(&profile, night, 400.0) > 5.0, "what was never seen at any hour is far from all of them");
    assert!(sigmas(&profile, MONDAY + 9 * HOUR_MS, 170.0) > 10.0, "hours that were seen keep their own band");
    assert!(profile.statistics.upper < 200.0, "what is shown is what was seen: {}", profile.statistics.upper);
}

#[test]
fn sparse_samples_keep_the_daily_season() {
    // One sample an hour: two per hour of the week, fourteen per hour of the day.
    let value = |at: i64| 100.0 + (hour_of_week(at) % 24) as f64 * 20.0 + 5.0 * noise(at);
    let profile = learnt(&series(14, HOUR_MS, value), &options(14));
    for hour in 0..HOURS_OF_WEEK {
        let expected = 100.0 + (hour % 24) as f64 * 20.0;
        assert!((f64::from(profile.centre[hour]) - expected).abs() < 5.0, "hour {hour}");
        assert!((1.0..20.0).contains(&profile.scale[hour]), "hour {hour}: {}", profile.scale[hour]);
    }
}

#[test]
fn a_weekend_seen_once_widens_the_band_instead_of_raising_an_alarm() {
    let value = |at: i64| if hour_of_week(at) >= 120 { 20.0 + noise(at) } else { 100.0 + noise(at) };
    let profile = learnt(&series(7, MINUTE, value), &options(7));
    let saturday = MONDAY + 130 * HOUR_MS;
    assert!(sigmas(&profile, saturday, 20.0).abs() < 3.0);
    // Working hours are not blurred by that.
    assert!(sigmas(&profile, MONDAY + 10 * HOUR_MS, 200.0) > 10.0);
}

#[test]
fn outliers_are_left_out_and_counted() {
    let spiked = |at: i64| at.rem_euclid(48 * HOUR_MS) < 10 * MINUTE;
    let value = |at: i64| if spiked(at) { 900.0 } else { 10.0 + noise(at) };
    let samples = series(14, MINUTE, value);
    let profile = learnt(&samples, &options(14));
    assert_eq!(profile.statistics.outliers, 70);
    assert!(profile.statistics.maximum < 12.0);
    let kept = learnt(&samples, &Options { outlier_removal: false, ..options(14) });
    assert_eq!(kept.statistics.outliers, 0);
    assert!(kept.statistics.maximum > 800.0);
}

#[test]
fn what_happens_in_every_tenth_sample_is_no_outlier() {
    let value = |at: i64| if (at / MINUTE) % 10 == 0 { 100.0 } else { 0.0 };
    let profile = learnt(&series(14, MINUTE, value), &options(14));
    assert_eq!(profile.statistics.outliers, 0);
    assert!(profile.scale.iter().all(|scale| *scale > 5.0));
}

#[test]
fn a_flat_series_never_has_zero_scale() {
    for (value, least) in [(0.0, 1.0), (5.0, 1.0), (250.0, 2.5), (99.97, 0.99), (0.25, 0.002)] {
        let profile = learnt(&series(8, MINUTE, |_| value), &options(8));
        assert!(profile.scale.iter().all(|scale| *scale >= least), "{value}");
    }
}

#[test]
fn bands_stay_within_the_physical_bounds() {
    let options = Options { maximum: Some(100.0), ..options(14) };
    let profile = learnt(&series(14, MINUTE, |at| 98.0 + 2.0 * noise(at)), &options);
    assert!(profile.statistics.upper <= 100.0);
    let profile = learnt(&series(14, MINUTE, |at| 1.0 + noise(at)), &options);
    assert!(profile.statistics.lower.abs() < f64::EPSILON);
}

#[test]
fn the_bounds_hold_the_share_of_normal_life_that_is_asked_for() {
    // A side each: 0 to 2 below the centre, exponential above.
    let value = |at: i64| match noise(at) {
        below if below < 0.0 => 100.0 + 2.0 * below,
        above => 100.0 - 10.0 * (1.0 - above).ln(),
    };
    let samples = series(14, MINUTE, value);
    let mut before: Option<Statistics> = None;
    for confidence in [0.5, 0.9, 0.95, 0.99, 0.999] {
        let statistics = learnt(&samples, &Options { confidence: Some(confidence), ..options(14) }).statistics;
        let beyond = |is_beyond: &dyn Fn(f64) -> bool| {
            samples.iter().filter(|sample| is_beyond(f64::from(sample.value))).count() as f64 / samples.len() as f64
        };
        let above = beyond(&|value| value > statistics.upper);
        let half = (1.0 - confidence) / 2.0;
        assert!((0.6..1.5).contains(&(above / half)), "{confidence}: {above}");
        let outside = above + beyond(&|value| value < statistics.lower);
        assert!(outside < 1.5 * (1.0 - confidence), "{confidence}: {outside}");
        assert!(before.is_none_or(|before| before.lower >= statistics.lower && before.upper < statistics.upper));
        before = Some(statistics);
    }
    let plain = learnt(&samples, &options(14)).statistics;
    let three = learnt(&samples, &Options { confidence: Some(0.9973), ..options(14) }).statistics;
    assert!(
        (plain.upper / three.upper - 1.0).abs() < 0.02,
        "three sigma hold 99.73 %: {} {}",
        plain.upper,
        three.upper
    );
}

#[test]
fn six_days_are_not_ready_and_seven_are() {
    let profile = learnt(&series(6, MINUTE, |at| 10.0 + noise(at)), &options(14));
    assert!(!profile.ready);
    assert!((profile.days - 6.0).abs() < 1e-9);
    assert!(learnt(&series(7, MINUTE, |at| 10.0 + noise(at)), &options(14)).ready);
}

#[test]
fn absent_values_and_samples_outside_the_window_are_passed_over() {
    let mut samples = series(8, MINUTE, |_| 10.0);
    let expected = learn(&samples, &options(8));
    let inside = MONDAY + HOUR_MS;
    samples.extend([f32::NAN, f32::INFINITY, f32::NEG_INFINITY].map(|value| Sample { at: inside, value }));
    samples.push(Sample { at: options(8).now + 1, value: 1e6 });
    samples.push(Sample { at: MONDAY - 1, value: 1e6 });
    assert_eq!(learn(&samples, &options(8)), expected);
    assert_eq!(learn(&[Sample { at: inside, value: f32::NAN }], &options(8)), None);
    assert_eq!(learn(&[], &options(8)), None);
}

#[test]
fn stored_profiles_of_another_version_or_length_are_refused() {
    let bytes = learnt(&series(8, MINUTE, |at| 10.0 + noise(at)), &options(8)).encode();
    assert_eq!(Profile::decode(&[]), Err(DecodeError::Length(0)));
    assert_eq!(Profile::decode(&bytes[..bytes.len() - 1]), Err(DecodeError::Length(bytes.len() - 1)));
    let mut other = bytes.clone();
    other[0] = 9;
    assert_eq!(Profile::decode(&other), Err(DecodeError::Version(9)));
    let mut zero = bytes;
    zero[1 + HOURS_OF_WEEK * 4..][..4].fill(0);
    assert_eq!(Profile::decode(&zero), Err(DecodeError::Value("a scale")));
}

#[test]
fn hours_of_the_month_are_stored_and_take_no_room_where_there_are_none() {
    let profile = learnt(&series(8, MINUTE, |at| 10.0 + noise(at)), &options(8));
    assert_eq!(profile.encode().len(), Profile::LENGTH);
    let slot = |day| MonthlySlot { day, hour: 2, level: 400.0, scale: 20.0 };
    let with = |monthly| Profile { monthly, ..profile.clone() };
    let batches = with(vec![slot(1), slot(MonthlySlot::LAST_DAY)]);
    let bytes = batches.encode();
    assert_eq!(Profile::decode(&bytes), Ok(batches.clone()));
    assert_eq!(decode(&encode(&batches, &Findings::default())), Ok((batches, Findings::default())));
    assert_eq!(Profile::decode(&bytes[..bytes.len() - 1]), Err(DecodeError::Length(bytes.len() - 1)));
    assert_eq!(Profile::decode(&with(vec![slot(0)]).encode()), Err(DecodeError::Value("an hour of the month")));
    let most = with(vec![slot(1); MOST_MONTHLY_SLOTS]);
    assert_eq!(Profile::decode(&most.encode()), Ok(most));
}

#[test]
fn growth_is_stored_and_what_is_none_is_refused() {
    let profile = learnt(&series(8, MINUTE, |at| 10.0 + noise(at)), &options(8));
    for growth in [Growth::NONE, Growth::within_days(0.5), Growth::along(-3.0, options(8).now)] {
        let grown = Profile { growth, ..profile.clone() };
        assert_eq!(Profile::decode(&grown.encode()), Ok(grown));
    }
    let broken = Profile { growth: Growth { per_day: f32::NAN, ..Growth::NONE }, ..profile };
    assert_eq!(Profile::decode(&broken.encode()), Err(DecodeError::Value("the growth")));
}

fn any_samples() -> impl Strategy<Value = Vec<Sample>> {
    let value = prop_oneof![
        8 => -1e4_f32..1e4,
        2 => Just(0.0_f32),
        1 => any::<f32>(),
    ];
    let sample =
        (0..14 * 24 * 60_i64, value).prop_map(|(minute, value)| Sample { at: MONDAY + minute * MINUTE, value });
    prop::collection::vec(sample, 0..300)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_profile_is_usable_and_survives_storage(
        samples in any_samples(), outlier_removal: bool, daily: bool, weekly: bool, bounded: bool,
    ) {
        let (minimum, maximum) = (bounded.then_some(-5.0), bounded.then_some(1e3));
        let options = Options { outlier_removal, daily, weekly, minimum, maximum, ..options(14) };
        if let Some(profile) = learn(&samples, &options) {
            for hour in 0..HOURS_OF_WEEK {
                let (centre, scale) = (profile.centre[hour], profile.scale[hour]);
                prop_assert!(centre.is_finite() && scale.is_finite() && scale > 0.0);
                prop_assert!(!bounded || (-5.0..=1e3).contains(&centre));
            }
            prop_assert!((0.0..=1.0).contains(&profile.confidence));
            let usable = samples.iter().filter(|sample| sample.value.abs() <= GREATEST);
            let usable: HashSet<_> = usable.map(|sample| (sample.at, sample.value.to_bits())).collect();
            let usable = usable.len() as u64;
            prop_assert_eq!(profile.statistics.samples + profile.statistics.outliers, usable);
            prop_assert_eq!(Profile::decode(&profile.encode()), Ok(profile));
        }
    }

    #[test]
    fn the_order_of_samples_does_not_matter(samples in any_samples()) {
        let mut reversed = samples.clone();
        reversed.reverse();
        let (forward, backward) = (learn(&samples, &options(14)), learn(&reversed, &options(14)));
        prop_assert_eq!(forward.as_ref().map(|profile| &profile.centre), backward.as_ref().map(|profile| &profile.centre));
    }

    #[test]
    fn no_bytes_make_reading_fail_otherwise_than_with_an_error(mut bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let _ = Profile::decode(&bytes);
        // Of the right version and length: it is about the values.
        bytes.resize(Profile::LENGTH, 0);
        bytes[0] = codec::VERSION;
        bytes[Profile::LENGTH - 1] &= 1;
        let found = Profile::decode(&bytes);
        prop_assert!(matches!(found, Ok(_) | Err(DecodeError::Value(_))), "{found:?}");
    }
}
