//! Series that grow, judged by rules for weeks while profiles are learnt anew each day.

use serde_json::{Value, json};

use super::*;
use crate::detect::{MetricDescriptor, resolve, testing};
use crate::measure::Cadence;

/// 2026-03-02 00:00:00 UTC, a Monday.
const MONDAY: i64 = 1_772_409_600_000;
const STEP_MS: i64 = 600_000;
/// Rows of a day.
const OF_DAY: i64 = 144;

/// Numbers of the incidents of a rule over so many days of rows of its metrics `v`, `w` and `x`. Nothing was recorded on
/// one morning, so that from then on profiles are learnt at its end.
fn incidents<const N: usize>(detect: &Value, days: i64, row: impl Fn(f64, i64) -> [f64; N]) -> Vec<u64> {
    incidents_but(9 * OF_DAY + 4..9 * OF_DAY + 37, detect, days, row)
}

/// The same without the rows of these numbers.
fn incidents_but<const N: usize>(
    gap: std::ops::Range<i64>,
    detect: &Value,
    days: i64,
    row: impl Fn(f64, i64) -> [f64; N],
) -> Vec<u64> {
    let metric = |name: &str| MetricDescriptor {
        name: name.into(),
        unit: String::new(),
        minimum: None,
        maximum: None,
        cadence: Cadence::Light,
        share: None,
    };
    let metrics: MetricSet = ["v", "w", "x"].into_iter().take(N).map(metric).collect();
    let spec = json!({"baselineRef": {"name": "b"}, "for": "10m", "detect": detect});
    let rule = resolve(&serde_json::from_value(spec).unwrap(), &metrics).unwrap();
    let mut recorded = RecordedRule::new(rule, metrics);
    let rows = (0..days * OF_DAY).filter(|number| !gap.contains(number));
    let mut found: Vec<u64> = rows
        .filter_map(|number| {
            let values = row(number as f64 / OF_DAY as f64, number);
            recorded.row(MONDAY + number * STEP_MS, &values).incident
        })
        .collect();
    found.dedup();
    found
}

/// Three even values: one standard deviation is 1.
fn noise(number: i64) -> f64 {
    (0..3).map(|part| testing::noise(number * 3 + part)).sum()
}

/// A day and a week of people.
fn season(day: f64) -> f64 {
    let of_day = 1.0 + 0.5 * ((day.rem_euclid(1.0) - 0.3) * std::f64::consts::TAU).sin();
    if day.rem_euclid(7.0) < 5.0 { of_day } else { 0.6 * of_day }
}

#[test]
fn steady_growth_is_one_trend_to_the_end_however_often_profiles_are_learnt_and_no_departure_from_them() {
    for noisy in [0.0, 0.01, 0.1] {
        let growth = |day: f64, number: i64| [50.0 + 2.4 * day + noisy * noise(number)];
        let trend = json!({"metric": "v", "trend": {}});
        assert_eq!(incidents(&trend, 21, growth), [1], "trend, noise {noisy}");
        let sigma = json!({"metric": "v", "sigma": {"above": 3, "below": 3}});
        assert_eq!(incidents(&sigma, 21, growth), Vec::<u64>::new(), "sigma, noise {noisy}");
    }
}

#[test]
fn a_gap_of_any_length_does_not_end_a_trend_that_goes_on() {
    let growth = |day: f64, number: i64| [50.0 + 2.4 * day + 0.01 * noise(number)];
    for hours in [5, 8, 30] {
        let gap = 12 * OF_DAY..12 * OF_DAY + 6 * hours;
        assert_eq!(incidents_but(gap, &json!({"metric": "v", "trend": {}}), 21, growth), [1], "{hours} h");
    }
}

#[test]
fn what_falls_steadily_does_not_depart_from_what_was_learnt() {
    for (begin, per_day, noisy) in [(200.0, -4.0, 0.5), (100.0, -2.0, 0.3), (30.0, 4.0, 0.5)] {
        let row = |day: f64, number: i64| [begin + per_day * day + noisy * noise(number)];
        let sigma = json!({"metric": "v", "sigma": {"above": 3, "below": 3}});
        assert_eq!(incidents(&sigma, 28, row), Vec::<u64>::new(), "{begin} {per_day}");
    }
}

#[test]
fn strong_growth_beside_a_daily_and_weekly_season_is_one_trend_once_the_season_is_known() {
    let row = |day: f64, number: i64| [50.0 * season(day) + 10.0 * day + noise(number)];
    let found = incidents(&json!({"metric": "v", "trend": {}}), 28, row);
    assert!(!found.is_empty() && found.len() <= 2, "{found:?}");
    let still = |day: f64, number: i64| [50.0 * season(day) + 2.0 * noise(number)];
    assert_eq!(incidents(&json!({"metric": "v", "trend": {}}), 28, still), Vec::<u64>::new());
}

#[test]
fn getting_slower_beside_a_daily_and_weekly_season_is_one_degradation() {
    for (share, expected) in [(0.08, vec![1]), (0.0, vec![])] {
        let slower = |day: f64, number: i64| {
            [20.0 * season(day) * (0.1 * noise(number)).exp() * (1.0 + share * (day - 20.0).max(0.0))]
        };
        let degradation = json!({"metric": "v", "degradation": {"by": "20%", "over": "7d"}});
        assert_eq!(incidents(&degradation, 35, slower), expected, "{share} a day");
    }
}

#[test]
fn a_metric_that_grows_beside_others_is_no_incident_of_all_together_and_a_broken_bond_is() {
    for (broken, expected) in [(false, vec![]), (true, vec![1])] {
        let row = |day: f64, number: i64| {
            let load = 500.0 * season(day) * (1.0 + 0.05 * noise(number));
            // From the 24th day at ten on, connections go against the load.
            let turned = if broken && (24.4..24.6).contains(&day) { 1_000.0 - load } else { load };
            let connections = turned / 10.0 * (1.0 + 0.03 * noise(number + 1_000_003));
            [load, connections, 50.0 + 2.4 * day + 0.01 * noise(number + 2_000_003)]
        };
        let together = json!({"multivariate": {}});
        assert_eq!(incidents(&together, 28, row), expected, "broken: {broken}");
    }
}
