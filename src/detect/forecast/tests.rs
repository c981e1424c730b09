use super::*;
use crate::detect::window::DAY_MS;
use crate::detect::{Found, MetricDescriptor};
use crate::measure::Cadence;

const START: i64 = 1_761_609_600_000; // 2025-10-28T00:00:00Z

fn noise(at: usize) -> f64 {
    let mut mixed = (at as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
}

fn day(hour: usize) -> f64 {
    (std::f64::consts::TAU * (hour % 24) as f64 / 24.0).sin()
}

fn above(above: f64, days: usize) -> Forecast {
    Forecast {
        below: None,
        above: Some(above),
        within: 24 * days,
        probability: 0.5,
        minimum: 0.0,
        maximum: f64::INFINITY,
    }
}

/// The memory of a series whose values, four an hour, end at `START`; and the next sample.
fn remembered(rule: &Forecast, hours: usize, value: impl Fn(usize) -> f64) -> (ForecastMemory, Sight<'static>) {
    let mut memory = ForecastMemory::default();
    for quarter in 0..4 * hours {
        let at = START - (4 * hours - quarter) as i64 * HOUR_MS / 4;
        rule.take(&mut memory, &Sight::new(at, 0, value(quarter / 4)));
    }
    let sight = Sight::new(START, 0, value(hours));
    rule.take(&mut memory, &sight);
    (memory, sight)
}

fn named(evidence: &[Evidence], name: &str) -> f64 {
    let found = evidence.iter().find(|evidence| evidence.name == name).map(|evidence| &evidence.found);
    match found {
        Some(Found::Number(value, _)) => *value,
        Some(Found::Time(at)) => (*at - START) as f64 / DAY_MS as f64,
        other => panic!("{name}: {other:?} in {evidence:?}"),
    }
}

#[test]
fn a_disk_at_78_percent_that_grows_by_3_2_a_day_is_at_97_in_six_days() {
    let rule = above(90.0, 6);
    let (memory, sight) = remembered(&rule, 14 * 24, |hour| {
        78.0 + 3.2 * (hour as f64 / 24.0 - 14.0) + 0.4 * day(hour) + 0.3 * noise(hour)
    });
    assert_eq!(rule.exceeds(&memory, &sight), Some(true));
    assert!(rule.confidence(&memory, &sight) > 0.95);
    let evidence = rule.evidence(&memory, &sight, &MetricSet::default());
    assert!((named(&evidence, "current") - 78.0).abs() < 1.0, "{evidence:?}");
    assert!((named(&evidence, "growth rate") - 3.2).abs() < 0.2, "{evidence:?}");
    assert!((named(&evidence, "predicted in 6 days") - 97.0).abs() < 1.5, "{evidence:?}");
    assert!((named(&evidence, "eta") - 12.0 / 3.2).abs() < 0.5, "{evidence:?}");
}

#[test]
fn memory_that_leaks_8_percent_a_day_reaches_its_limit_in_three_days() {
    let gib = 1_073_741_824.0;
    let rule = Forecast { probability: 0.87, ..above(1.46 * gib, 7) };
    let (memory, sight) = remembered(&rule, 14 * 24, |hour| {
        gib * (1.2 + 0.096 * (hour as f64 / 24.0 - 14.0)).max(0.05) * (1.0 + 0.03 * noise(hour))
    });
    assert_eq!(rule.exceeds(&memory, &sight), Some(true));
    let evidence = rule.evidence(&memory, &sight, &MetricSet::default());
    assert!((named(&evidence, "eta") - 3.0).abs() < 1.0, "{evidence:?}");
    assert!((named(&evidence, "growth rate, relative") - 8.0).abs() < 1.0, "{evidence:?}");
}

#[test]
fn throughput_that_falls_by_3_2_percent_a_day_goes_below_its_limit_in_good_time() {
    let rule = Forecast { below: Some(197.0), above: None, ..above(0.0, 7) };
    let (memory, sight) = remembered(&rule, 14 * 24, |hour| {
        234.0 - 7.5 * (hour as f64 / 24.0 - 14.0) + 20.0 * day(hour) + 4.0 * noise(hour)
    });
    assert_eq!(rule.exceeds(&memory, &sight), Some(true));
    let evidence = rule.evidence(&memory, &sight, &MetricSet::default());
    assert!(named(&evidence, "growth rate") < -6.0, "{evidence:?}");
}

#[test]
fn a_season_does_not_hide_a_trend() {
    // A day swings by 40, a week grows by 7.
    let rule = above(76.0, 7);
    let growing = |hour: usize| 50.0 + hour as f64 / 24.0 + 20.0 * day(hour) + noise(hour);
    let (memory, sight) = remembered(&rule, 14 * 24, growing);
    // The peak of tomorrow is 85 already; the limit of what is not seen yet lies above it.
    assert_eq!(rule.exceeds(&memory, &sight), Some(true));
    let far = above(89.0, 7);
    assert_eq!(far.exceeds(&remembered(&far, 14 * 24, growing).0, &sight), Some(true));
    let further = above(100.0, 7);
    assert_eq!(further.exceeds(&remembered(&further, 14 * 24, growing).0, &sight), Some(false));
    let tonight = above(89.0, 1);
    assert_eq!(tonight.exceeds(&remembered(&tonight, 14 * 24, growing).0, &sight), Some(false));
}

#[test]
fn no_trend_is_made_of_noise_a_season_or_a_step() {
    let rule = above(90.0, 7);
    let quiet: [fn(usize) -> f64; 4] = [
        |hour| 60.0 + 10.0 * noise(hour),
        |hour| 60.0 + 15.0 * day(hour) + 4.0 * noise(hour),
        |hour| 60.0 + if hour > 200 { 12.0 } else { 0.0 } + 2.0 * noise(hour),
        // It ends on the way up: of a week that began on a weekend.
        |hour| 60.0 + if hour / 24 % 7 < 2 { -20.0 } else { 0.0 } + 5.0 * day(hour) + noise(hour),
    ];
    for (place, value) in quiet.into_iter().enumerate() {
        let (memory, sight) = remembered(&rule, 14 * 24, value);
        assert_eq!(rule.exceeds(&memory, &sight), Some(false), "{place}: {:?}", rule.prediction(&memory));
    }
}

#[test]
fn random_walks_seldom_go_where_they_are_said_to_go() {
    let (mut said, mut went) = (0.0, 0.0);
    for walk in 0..40 {
        let mut at = 100.0;
        let path: Vec<f64> = (0..24 * 21)
            .map(|hour| {
                at += noise(walk * 10_000 + hour);
                at
            })
            .collect();
        let rule = above(path[24 * 14 - 1] + 4.0, 7);
        let (memory, sight) = remembered(&rule, 14 * 24, |hour| path[hour]);
        said += rule.confidence(&memory, &sight);
        went += f64::from(u8::from(path[24 * 14..].iter().any(|value| *value > path[24 * 14 - 1] + 4.0)));
    }
    // The running maximum of a walk: probabilities are right on average, though not exact.
    assert!((said - went).abs() < 0.2 * 40.0, "said {said}, went {went}");
}

#[test]
fn less_than_a_day_is_no_verdict_and_gaps_are_no_values() {
    let rule = above(90.0, 7);
    let (memory, sight) = remembered(&rule, 20, |_| 95.0);
    assert_eq!(rule.exceeds(&memory, &sight), None);
    assert!(rule.evidence(&memory, &sight, &MetricSet::default()).is_empty());
    let mut memory = ForecastMemory::default();
    for hour in 0..30 {
        rule.take(&mut memory, &Sight::new(START + 40 * hour * HOUR_MS, 0, 50.0));
    }
    assert_eq!(rule.exceeds(&memory, &sight), None, "of 28 days only 17 hours are known");
}

#[test]
fn what_is_beyond_the_limit_stays_predicted_and_a_constant_below_it_never_is() {
    let rule = above(90.0, 7);
    let (memory, sight) = remembered(&rule, 100, |_| 95.0);
    assert_eq!(rule.exceeds(&memory, &sight), Some(true));
    let (memory, sight) = remembered(&rule, 100, |_| 90.0);
    assert_eq!(rule.exceeds(&memory, &sight), Some(false));
    assert!(rule.confidence(&memory, &sight) < 1e-9);
}

#[test]
fn the_prediction_changes_with_the_hour_and_not_with_the_sample() {
    let rule = above(90.0, 7);
    let (mut memory, sight) = remembered(&rule, 100, |hour| 50.0 + noise(hour));
    let before = rule.prediction(&memory);
    rule.take(&mut memory, &Sight::new(sight.at + 60_000, 0, 500.0));
    assert_eq!(rule.prediction(&memory), before);
    rule.take(&mut memory, &Sight::new(sight.at + HOUR_MS, 0, 51.0));
    assert_ne!(rule.prediction(&memory), before);
}

#[test]
fn fields_that_mean_nothing_are_named() {
    let metrics: MetricSet = [MetricDescriptor {
        name: "usage".into(),
        unit: "%".into(),
        minimum: Some(0.0),
        maximum: Some(100.0),
        cadence: Cadence::Light,
        share: None,
    }]
    .into_iter()
    .collect();
    let resolve = |forecast: serde_json::Value| {
        let detect = serde_json::json!({"metric": "usage", "forecast": forecast});
        let spec = serde_json::json!({"baselineRef": {"name": "orders"}, "detect": detect});
        Forecast::resolve(&serde_json::from_value(spec).unwrap(), 0, &metrics).unwrap()
    };
    let (metric, rule) = resolve(serde_json::json!({"above": "90%"})).unwrap();
    assert_eq!((metric, rule), (0, Forecast { maximum: 100.0, ..above(90.0, 7) }));
    for (forecast, field) in [
        (serde_json::json!({}), "detect.forecast"),
        (serde_json::json!({"above": 10, "below": 20}), "detect.forecast"),
        (serde_json::json!({"above": 50, "within": "1s"}), "detect.forecast.within"),
        (serde_json::json!({"above": 50, "within": "31d"}), "detect.forecast.within"),
        (serde_json::json!({"above": 50, "probability": 0}), "detect.forecast.probability"),
        (serde_json::json!({"above": "fast"}), "detect.forecast.above"),
        (serde_json::json!({"above": 100}), "detect.forecast.above"),
        (serde_json::json!({"below": 0}), "detect.forecast.below"),
    ] {
        let error = resolve(forecast.clone()).unwrap_err();
        assert_eq!(error.field, field, "{forecast:?}");
    }
}
