use super::*;
use crate::api::{DateRange, Decimal, DurationText, LocalReference};
use crate::detect::Normal;

const NORMAL: Normal = Normal {
    centre: 100.0,
    scale: 10.0,
    minimum: 0.0,
    maximum: f64::INFINITY,
    stretch: crate::learn::Stretch::NONE,
    tails: &crate::learn::Tails::GAUSSIAN,
    growth: 0.0,
};

fn spec() -> AnomalyExceptionSpec {
    AnomalyExceptionSpec {
        baseline_ref: LocalReference::from("orders"),
        schedule: Some("Sun 03:00-04:00".into()),
        time_zone: "UTC".into(),
        suppress: Some(true),
        ..AnomalyExceptionSpec::default()
    }
}

fn expecting(loads: &[(&str, Decimal)]) -> AnomalyExceptionSpec {
    let expect = loads.iter().map(|(metric, load)| ((*metric).to_owned(), load.clone())).collect();
    AnomalyExceptionSpec { suppress: None, expect, ..spec() }
}

fn text(text: &str) -> Decimal {
    Decimal::Text(text.into())
}

fn resolved(loads: &[(&str, Decimal)]) -> Result<Vec<(String, Expectation)>, FieldError> {
    let metrics = MetricSet::new(&[]);
    let Effect::Expect(expected) = resolve(&expecting(loads), &metrics)?.effect else { return Ok(Vec::new()) };
    let name = |metric: usize| metrics.get(metric).map_or_else(String::new, |one| one.name.clone());
    Ok(expected.into_iter().map(|(metric, expectation)| (name(metric), expectation)).collect())
}

#[test]
fn loads_are_factors_or_levels_in_the_metrics_unit() {
    let level = |low, high| Expectation::Levels { low, high };
    let table = [
        (("throughput", text("10x")), vec![("throughput", Expectation::Factor(10.0))]),
        (("throughput", text("0.5x")), vec![("throughput", Expectation::Factor(0.5))]),
        (("lock_waits", Decimal::Whole(50)), vec![("lock_waits", level(50.0, 50.0))]),
        (("response_time", text("2s")), vec![("response_time", level(2000.0, 2000.0))]),
        (("response_time", text("100ms..2s")), vec![("response_time", level(100.0, 2000.0))]),
        (("cache_hit_rate", text("60%")), vec![("cache_hit_rate", level(60.0, 60.0))]),
        (("connection_count", text("95%")), vec![("connection_usage", level(95.0, 95.0))]),
        (
            ("connection_count", text("2x")),
            vec![("connection_count", Expectation::Factor(2.0)), ("connection_usage", Expectation::Factor(2.0))],
        ),
    ];
    for ((metric, load), expected) in table {
        let expected: Vec<_> = expected.into_iter().map(|(name, one)| (name.to_owned(), one)).collect();
        assert_eq!(resolved(&[(metric, load.clone())]), Ok(expected), "{metric} {load}");
    }
}

#[test]
fn what_cannot_be_meant_names_field_found_and_allowed() {
    for (metric, load, field) in [
        ("cpu_usage", "2x", "expect"),
        ("throughput", "0x", "expect.throughput"),
        ("throughput", "-2x", "expect.throughput"),
        ("throughput", "9999999x", "expect.throughput"),
        ("throughput", "much", "expect.throughput"),
        ("response_time", "95%", "expect.response_time"),
        ("response_time", "2s..100ms", "expect.response_time"),
        ("connection_count", "50..95%", "expect.connection_count"),
        ("response_time", "..", "expect.response_time"),
        ("response_time", "10x..20x", "expect.response_time"),
    ] {
        let error = resolved(&[(metric, text(load))]).unwrap_err();
        assert_eq!(error.field, field, "{load}: {error}");
    }
    let dates = vec![DateRange { from: "2026-11-24".into(), to: "2026-11-27".into() }];
    let cases = [
        (AnomalyExceptionSpec { schedule: None, ..spec() }, "schedule"),
        (AnomalyExceptionSpec { dates: dates.clone(), ..spec() }, "schedule"),
        (AnomalyExceptionSpec { schedule: Some("1st 02:00".into()), ..spec() }, "duration"),
        (
            AnomalyExceptionSpec { schedule: Some("1st 02:00".into()), duration: Some("soon".into()), ..spec() },
            "duration",
        ),
        (
            AnomalyExceptionSpec { schedule: None, dates, duration: Some(DurationText::from("1h")), ..spec() },
            "duration",
        ),
        (AnomalyExceptionSpec { time_zone: "Nowhere".into(), ..spec() }, "timeZone"),
        (AnomalyExceptionSpec { suppress: None, ..spec() }, "suppress"),
        (AnomalyExceptionSpec { suppress: Some(true), ..expecting(&[("throughput", text("2x"))]) }, "suppress"),
        (AnomalyExceptionSpec { metrics: vec!["cpu_usage".into()], ..spec() }, "metrics"),
        (
            AnomalyExceptionSpec { metrics: vec!["throughput".into()], ..expecting(&[("throughput", text("2x"))]) },
            "metrics",
        ),
    ];
    for (spec, field) in cases {
        let error = resolve(&spec, &MetricSet::new(&[])).unwrap_err();
        assert_eq!(error.field, field, "{error}");
    }
}

#[test]
fn between_normal_and_expected_all_is_normal_and_beyond_it_is_judged_from_there() {
    let (peak, lull) = (Expectation::Factor(10.0), Expectation::Factor(0.1));
    let levels = Expectation::Levels { low: 300.0, high: 500.0 };
    let table = [
        (peak, 100.0, 0.0),
        (peak, 400.0, 0.0),
        (peak, 1000.0, 0.0),
        (peak, 1300.0, 3.0),
        (peak, 70.0, -3.0),
        (lull, 10.0, 0.0),
        (lull, 50.0, 0.0),
        (lull, 7.0, -3.0),
        (lull, 130.0, 3.0),
        (levels, 100.0, 0.0),
        (levels, 500.0, 0.0),
        (levels, 530.0, 3.0),
        (levels, 70.0, -3.0),
    ];
    for (expectation, value, sigmas) in table {
        let normal = expectation.normal(NORMAL, value);
        assert!((normal.sigmas(value) - sigmas).abs() < 1e-9, "{expectation:?} {value}: {normal:?}");
    }
    let idle = Normal { centre: 0.0, ..NORMAL };
    assert!((peak.normal(idle, 300.0).sigmas(300.0) - 3.0).abs() < 1e-9, "only the scale can tell");
}

#[test]
fn a_fixed_limit_is_lifted_to_what_is_expected() {
    let level = Expectation::Levels { low: 900.0, high: 900.0 };
    assert!(level.covers(900.0, None, true) && !level.covers(901.0, None, true));
    assert!(level.covers(900.0, None, false) && !level.covers(899.0, None, false));
    let factor = Expectation::Factor(10.0);
    assert!(!factor.covers(900.0, None, true), "nothing is learnt yet: a factor says nothing");
    assert!(factor.covers(1300.0, Some(&NORMAL), true) && !factor.covers(1301.0, Some(&NORMAL), true));
}

#[test]
fn hostile_numbers_give_numbers() {
    for factor in [f64::MIN_POSITIVE, 1e-300, 1.0, 1e6] {
        for centre in [0.0, -5.0, f64::from(f32::MAX), f64::MIN_POSITIVE] {
            for value in [0.0, -1e30, f64::from(f32::MAX)] {
                let learnt = Normal { centre, scale: f64::MIN_POSITIVE, ..NORMAL };
                for expectation in [Expectation::Factor(factor), Expectation::Levels { low: -1e300, high: 1e300 }] {
                    let normal = expectation.normal(learnt, value);
                    assert!(normal.scale > 0.0 && !normal.centre.is_nan(), "{expectation:?} {learnt:?} {value}");
                    assert!(!normal.sigmas(value).is_nan());
                }
            }
        }
    }
}

#[test]
fn only_what_an_exception_is_about_is_left_out_of_the_learning() {
    let metrics = MetricSet::new(&[]);
    let index = |name: &str| metrics.index(name).unwrap();
    let week = Window { from: 0, to: 7 * 86_400_000 };
    let found = |spec: AnomalyExceptionSpec, metric: &str, judged: &[usize]| {
        resolve(&spec, &metrics).unwrap().leaves_out(index(metric), judged, week).len()
    };
    assert_eq!(found(spec(), "throughput", &[]), 1);
    let of_metric = || AnomalyExceptionSpec { metrics: vec!["throughput".into()], ..spec() };
    assert_eq!((found(of_metric(), "throughput", &[]), found(of_metric(), "response_time", &[])), (1, 0));
    let of_rule = || AnomalyExceptionSpec { rules: vec!["busy".into()], ..spec() };
    let judged = [index("throughput")];
    assert_eq!((found(of_rule(), "throughput", &judged), found(of_rule(), "response_time", &judged)), (1, 0));
    let peak = || expecting(&[("throughput", text("10x"))]);
    assert_eq!((found(peak(), "throughput", &[]), found(peak(), "response_time", &[])), (1, 0));
}

#[test]
fn what_an_expected_value_counts_as_is_the_learnt_centre_and_any_other_value_itself() {
    let peak = [(0, Expectation::Factor(10.0)), (1, Expectation::Levels { low: 5.0, high: 5.0 })];
    let of = |metric, learnt, value| as_usual(&peak, metric, learnt, value);
    assert_eq!(of(0, Some(&NORMAL), 900.0), Some(100.0));
    assert_eq!(of(0, Some(&NORMAL), 1299.0), Some(100.0), "10x is not 10.0x");
    assert_eq!(of(0, Some(&NORMAL), 1301.0), Some(1301.0));
    assert_eq!(of(0, Some(&NORMAL), 50.0), Some(50.0), "less than usual is not what is expected");
    assert_eq!(of(0, None, 900.0), Some(900.0), "so many times what nobody knows");
    assert_eq!((of(1, None, 5.0), of(1, None, 6.0)), (None, Some(6.0)));
    assert_eq!(of(2, Some(&NORMAL), 900.0), Some(900.0), "nothing is expected of it");
}
