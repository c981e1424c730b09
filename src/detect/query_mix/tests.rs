//! Tests of the mix of statements.

use proptest::prelude::*;
use serde_json::json;

use super::super::testing::{DAY, HOUR, MINUTE, MONDAY, Watch, noise, spec};
use super::*;
use crate::learn::hour_of_week;

fn rule(written: &serde_json::Value, sensitivity: &str) -> QueryMix {
    let mut spec = spec(json!({"queryMix": written}));
    spec.sensitivity = serde_json::from_value(json!(sensitivity)).expect("a sensitivity");
    let (_, rule) = QueryMix::resolve(&spec, 0, &MetricSet::new(&[])).expect("a query mix").expect("valid");
    // The rates come first in the rounds of these tests.
    QueryMix { rates: [0, 1, 2, 3, 4], ..rule }
}

/// Executions per second by day and, with more writing, by night.
fn typical(kind: usize, hour: usize) -> f64 {
    let day = [80.0, 6.0, 10.0, 1.0, 0.05];
    let night = [10.0, 2.0, 30.0, 8.0, 0.5];
    if (8..20).contains(&(hour % 24)) { day[kind] } else { night[kind] }
}

/// What ran: the typical rates, each up to a half more or less from one minute to the next, times `load`.
fn ran(at: i64, load: f64) -> [f32; 5] {
    std::array::from_fn(|kind| {
        let wander = 1.0 + 0.5 * noise(at / MINUTE * 5 + kind as i64);
        (typical(kind, hour_of_week(at)) * wander * load) as f32
    })
}

fn feed<F: Fn(usize, usize) -> Option<f64>>(
    watch: &mut Watch<'_, QueryMix, F>,
    begin: i64,
    end: i64,
    rates: impl Fn(i64) -> [f32; 5],
) -> Vec<(i64, Option<bool>)> {
    (begin..end).step_by(60_000).map(|at| (at, watch.round(at, &rates(at)))).collect()
}

fn watch(rule: &QueryMix) -> Watch<'_, QueryMix, impl Fn(usize, usize) -> Option<f64>> {
    Watch::new(rule, 1.0, |kind, hour| Some(typical(kind, hour)))
}

#[test]
fn the_mix_of_day_and_night_is_usual_whatever_the_load() {
    let rule = rule(&json!({}), "high");
    let mut watch = watch(&rule);
    let found = feed(&mut watch, MONDAY, MONDAY + 6 * DAY, |at| ran(at, if at % DAY > 12 * HOUR { 5.0 } else { 0.1 }));
    assert!(found.iter().filter(|(_, verdict)| verdict.is_some()).count() > 4 * 24 * 60);
    assert!(found.iter().all(|(_, verdict)| *verdict != Some(true)));
}

#[test]
fn a_table_that_is_being_deleted_or_copied_is_found_within_the_hour_and_the_evidence_says_what_changed() {
    for (kind, rate, name) in [(3, 200.0, "delete"), (4, 150.0, "other")] {
        let rule = rule(&json!({}), "medium");
        let mut watch = watch(&rule);
        feed(&mut watch, MONDAY, MONDAY + 3 * DAY + 10 * HOUR, |at| ran(at, 1.0));
        let onset = MONDAY + 3 * DAY + 10 * HOUR;
        let odd = |at: i64| {
            let mut rates = ran(at, 1.0);
            rates[kind] = rate;
            rates
        };
        let found = feed(&mut watch, onset, onset + HOUR, odd);
        let first = found.iter().find(|(_, verdict)| *verdict == Some(true)).map(|(at, _)| (at - onset) / MINUTE);
        assert!(first.is_some_and(|minutes| minutes <= 45), "{name}: {first:?}");
        let end = onset + HOUR;
        let evidence = watch.evidence(end, &odd(end));
        assert!(evidence[0].starts_with("divergence: ") && evidence[0].ends_with(" nats"), "{evidence:?}");
        assert!(evidence.iter().any(|line| line.starts_with(&format!("share of {name}: "))), "{evidence:?}");
        assert!(watch.confidence(end, &odd(end)) > 0.999);
        let carrier = watch.with(end, &odd(end), |rule, memory, sight| rule.carrier(memory, sight));
        assert_eq!(carrier, kind);
    }
}

#[test]
fn a_database_whose_mix_always_jumps_is_judged_by_its_own_history() {
    // Whole hours of nothing but deletes, every few hours: the limit alone would be exceeded all the time.
    let rule = rule(&json!({}), "medium");
    let mut watch = watch(&rule);
    let jumping = |at: i64| if (noise(at / HOUR) * 10.0) as i64 % 3 == 0 { [0.0, 0.0, 0.0, 50.0, 0.0] } else { ran(at, 1.0) };
    let found = feed(&mut watch, MONDAY, MONDAY + 7 * DAY, jumping);
    let late = found.iter().filter(|(at, _)| *at > MONDAY + 3 * DAY);
    assert_eq!(late.filter(|(_, verdict)| *verdict == Some(true)).count(), 0);
}

#[test]
fn a_handful_of_executions_on_an_idle_database_is_no_shift() {
    let rule = rule(&json!({}), "high");
    let mut watch = watch(&rule);
    feed(&mut watch, MONDAY, MONDAY + 3 * DAY, |at| ran(at, 1.0));
    let found = feed(&mut watch, MONDAY + 3 * DAY + 2 * HOUR, MONDAY + 3 * DAY + 8 * HOUR, |at| {
        if at % HOUR < MINUTE { [0.0, 0.0, 0.0, 0.03, 0.0] } else { [0.0; 5] }
    });
    assert!(found.iter().all(|(_, verdict)| *verdict != Some(true)));
}

#[test]
fn a_shift_before_a_day_of_windows_is_known_and_what_lies_between_the_rounds_is_not_judged() {
    let rule = rule(&json!({}), "high");
    let mut watch = watch(&rule);
    let found = feed(&mut watch, MONDAY, MONDAY + 20 * HOUR, |at| ran(at, 1.0));
    assert_eq!(found.last().map(|(_, verdict)| *verdict), Some(Some(false)), "within the limit, whatever is usual");
    let found = feed(&mut watch, MONDAY + 20 * HOUR, MONDAY + 21 * HOUR, |_| [0.0, 0.0, 0.0, 50.0, 0.0]);
    assert_eq!(found.last().map(|(_, verdict)| *verdict), Some(None));
    assert_eq!(watch.round(MONDAY + 21 * HOUR + 10_000, &[f32::NAN; 5]), None);
}

#[test]
fn bad_fields_are_named_with_what_is_allowed() {
    for (written, expected) in [
        (json!({"divergence": "0"}), "detect.queryMix.divergence: found \"0\", allowed a number of nats greater than 0"),
        (json!({"divergence": "30%"}), "detect.queryMix.divergence: found \"30%\""),
        (json!({"divergence": -1}), "detect.queryMix.divergence: found \"-1\""),
        (json!({"over": "9m"}), "detect.queryMix.over: found \"9m\", allowed 10m to 24h"),
        (json!({"over": "2d"}), "detect.queryMix.over: found \"2d\""),
        (json!({"over": "an hour"}), "detect.queryMix.over: found \"an hour\""),
    ] {
        let resolved = QueryMix::resolve(&spec(json!({"queryMix": written})), 0, &MetricSet::new(&[]));
        let found = resolved.and_then(Result::err).map(|error| error.to_string()).unwrap_or_default();
        assert!(found.starts_with(expected), "{written}: {found}");
    }
}

proptest! {
    #[test]
    fn any_rates_are_survived(rates in prop::collection::vec(prop::array::uniform5(any::<f32>()), 1..200)) {
        let rule = rule(&json!({"over": "10m"}), "high");
        let mut watch = watch(&rule);
        for (index, rates) in rates.iter().enumerate() {
            let at = MONDAY + index as i64 * 5 * MINUTE;
            watch.round(at, rates);
            let sure = watch.confidence(at, rates);
            prop_assert!((0.0..=1.0).contains(&sure), "{sure}");
            watch.evidence(at, rates);
        }
        prop_assert!(watch.memory.parts.len() <= 14 && watch.memory.past.len() <= MOST_PAST);
    }
}

#[test]
fn a_repeated_or_backward_time_does_not_let_the_next_rate_stand_for_a_gap() {
    let rule = rule(&json!({}), "medium");
    let seen = |between: &[i64]| {
        let mut watch = watch(&rule);
        let begin = MONDAY + 10 * HOUR;
        feed(&mut watch, begin, begin + HOUR, |at| ran(at, 1.0));
        let last = begin + HOUR - MINUTE;
        for before in between {
            watch.round(last - before, &ran(last, 1.0));
        }
        watch.round(last + 40 * MINUTE, &ran(last, 1.0));
        watch.memory.parts.back().map(|part| part.seen_ms)
    };
    assert_eq!(seen(&[]), Some(CREDITED_INTERVALS * MINUTE));
    assert_eq!(seen(&[0]), seen(&[]));
    assert_eq!(seen(&[7 * MINUTE]), seen(&[]));
}
