//! Tests of the statements' history.
#![allow(clippy::float_cmp, reason = "small whole numbers")]

use super::*;

fn key(query_id: i64) -> Key {
    Key { user: 10, query_id, toplevel: true }
}

/// A reading at a second, of statements `(query id, calls, total ms)`.
fn reading(second: i64, entries: &[(i64, i64, f64)]) -> Snapshot {
    let mut snapshot = Snapshot::new(second * 1_000, second as f64, Some(1));
    for &(query_id, calls, total_ms) in entries {
        snapshot.insert(key(query_id), Counters::new(calls, calls * 2, total_ms, 0.0));
    }
    snapshot
}

fn history() -> StatementHistory {
    let mut history = StatementHistory::default();
    history.classify(1, Some(StatementKind::Select));
    history.classify(2, Some(StatementKind::Update));
    history.classify(9, Some(StatementKind::Other));
    history
}

#[test]
fn the_first_reading_is_an_origin() {
    assert_eq!(history().push(reading(0, &[(1, 10, 100.0)])), None);
}

#[test]
fn growth_is_summed_over_the_statements_that_touch_rows() {
    let mut history = history();
    history.push(reading(0, &[(1, 10, 100.0), (2, 1, 1.0), (9, 1, 1.0)]));
    let interval = history.push(reading(60, &[(1, 20, 120.0), (2, 11, 31.0), (9, 2, 600_000.0)])).unwrap();
    assert_eq!((interval.calls, interval.total_ms), (20.0, 50.0));
    assert!((interval.p95_ms.unwrap() - 3.0).abs() < 1e-3);
}

#[test]
fn executions_are_counted_by_kind_and_those_of_functions_and_of_transaction_control_are_not() {
    let mut history = history();
    history.classify(8, None);
    history.push(reading(0, &[]));
    let mut next = reading(60, &[(1, 30, 1.0), (2, 5, 1.0), (8, 1_000, 1.0), (9, 2, 1.0)]);
    next.insert(Key { toplevel: false, ..key(1) }, Counters::new(10, 10, 90.0, 0.0));
    let interval = history.push(next).unwrap();
    assert_eq!((interval.seconds, interval.calls_by_kind), (60.0, [30.0, 0.0, 5.0, 0.0, 2.0]));
}

#[test]
fn an_unknown_statement_is_left_out_until_its_text_was_read() {
    let mut history = history();
    history.push(reading(0, &[]));
    let next = reading(60, &[(3, 5, 5.0)]);
    assert_eq!(history.unknown(&next), [3]);
    assert_eq!(history.push(next).unwrap().calls, 0.0);
    history.classify(3, Some(StatementKind::Select));
    assert_eq!(history.push(reading(120, &[(3, 7, 9.0)])).unwrap().total_ms, 4.0);
}

#[test]
fn an_entry_that_fell_was_evicted_and_counts_from_zero() {
    let mut history = history();
    history.push(reading(0, &[(1, 1_000, 1_000.0)]));
    // More calls than before, but less time: any column that fell tells.
    let interval = history.push(reading(60, &[(1, 1_500, 750.0)])).unwrap();
    assert_eq!((interval.calls, interval.total_ms), (1_500.0, 750.0));
}

#[test]
fn an_entry_that_vanished_has_no_value_and_one_that_came_counts_from_zero() {
    let mut history = history();
    history.push(reading(0, &[(1, 10, 10.0)]));
    let interval = history.push(reading(60, &[(2, 4, 8.0)])).unwrap();
    assert_eq!((interval.calls, interval.total_ms), (4.0, 8.0));
}

#[test]
fn a_reset_gives_no_growth_and_forgets_what_was() {
    let mut history = history();
    history.push(reading(0, &[(1, 10, 10.0)]));
    history.push(reading(60, &[(1, 20, 20.0)]));
    let mut after = reading(120, &[(1, 500, 5_000.0)]);
    after.stats_reset = Some(2);
    assert!(history.was_reset(&after));
    assert_eq!(history.push(after), None);
    assert_eq!(history.growth(0), []);
    assert_eq!(history.since(0, &[1]), None);
}

#[test]
fn what_functions_run_is_not_counted_twice() {
    let mut history = history();
    history.push(reading(0, &[]));
    let mut next = reading(60, &[(1, 1, 100.0)]);
    next.insert(Key { toplevel: false, ..key(2) }, Counters::new(10, 10, 90.0, 0.0));
    assert_eq!(history.push(next).unwrap().total_ms, 100.0);
    assert_eq!(history.growth(30_000).len(), 2);
}

#[test]
fn the_deviation_over_an_interval_follows_from_sums_of_squares() {
    // Ten executions of 1 ms, then ten of 3 ms: over the interval all took 3 ms, whatever the lifetime's deviation.
    let before = Counters::new(10, 0, 10.0, 0.0);
    let after = Counters::new(20, 0, 40.0, 1.0);
    let moments = after.since(Some(before)).moments();
    assert!((moments.mean - 3.0).abs() < 1e-9 && moments.deviation < 1e-6, "{moments:?}");
}

#[test]
fn growth_since_an_onset_is_set_against_what_was_before() {
    let mut history = history();
    for (second, calls, total) in
        [(0, 0, 0.0), (60, 60, 60.0), (120, 120, 120.0), (180, 180, 1_920.0), (240, 240, 3_720.0)]
    {
        history.push(reading(second, &[(1, calls, total), (2, calls, total / 1_000.0)]));
    }
    // The value at 180 s, over 120 to 180 s, was the first that was too high.
    let growth = history.growth(180_000);
    assert_eq!(growth.len(), 2);
    assert_eq!(
        growth[0],
        StatementGrowth {
            query_id: 1,
            mean_before_ms: Some(1.0),
            calls_per_second_before: Some(1.0),
            calls: 120.0,
            mean_ms: 30.0,
            calls_per_second: 1.0,
            rows_per_call: 2.0,
            total_ms: 3_600.0,
        }
    );
    assert_eq!(growth[1].query_id, 2);
}

#[test]
fn an_onset_before_the_history_has_nothing_before_it() {
    let mut history = history();
    history.push(reading(0, &[(1, 1, 1.0)]));
    history.push(reading(60, &[(1, 2, 3.0)]));
    let growth = history.growth(-5_000);
    assert_eq!((growth[0].mean_before_ms, growth[0].mean_ms), (Some(1.0), 2.0));
    assert_eq!(StatementHistory::default().growth(0), []);
}

#[test]
fn figures_since_a_change_hold_nothing_from_before_it() {
    let mut history = history();
    history.push(reading(0, &[(1, 0, 0.0)]));
    history.push(reading(60, &[(1, 60, 6_000.0)]));
    // Changed at 70 s; the reading at 120 s still has ten seconds of before.
    history.push(reading(120, &[(1, 120, 7_000.0)]));
    assert_eq!(history.since(70_000, &[1]), None);
    history.push(reading(180, &[(1, 180, 7_060.0)]));
    assert_eq!(history.since(70_000, &[1]), Some(StatementFigures { calls: 60.0, mean_ms: 1.0 }));
    assert_eq!(history.since(70_000, &[7]), Some(StatementFigures { calls: 0.0, mean_ms: 0.0 }));
}

#[test]
fn sixteen_marks_reach_back_two_hours_and_are_dense_near_the_present() {
    let mut history = history();
    for second in 0..10_000 {
        history.push(reading(second, &[(1, second, second as f64)]));
    }
    assert_eq!(history.marks.len(), MARKS);
    let ages: Vec<f64> = history.marks.iter().map(|mark| 9_999.0 - mark.seconds).collect();
    assert!((3_600.0..=REACH_SECONDS + 3_600.0).contains(&ages[0]), "{ages:?}");
    assert!(ages.iter().filter(|&&age| age <= 60.0).count() >= 4, "{ages:?}");
}

#[test]
fn statements_that_no_longer_run_are_forgotten() {
    let mut history = history();
    history.push(reading(0, &[(1, 1, 1.0)]));
    history.push(reading(1, &[(1, 2, 2.0)]));
    for step in 1..200 {
        history.push(reading(step * 600, &[(1, 2, 2.0), (2, step, step as f64)]));
    }
    assert!(!history.totals.contains_key(&1));
    assert!(history.totals.contains_key(&2));
}

#[test]
fn a_watch_that_began_during_the_incident_compares_with_the_servers_own_statistics() {
    let mut history = history();
    // Statement 1 was fast for a thousand executions, statement 2 always slow.
    history.push(reading(0, &[(1, 1_000, 1_000.0), (2, 1_000, 50_000.0)]));
    history.push(reading(60, &[(1, 1_060, 4_000.0), (2, 1_060, 53_000.0)]));
    let growth = history.growth(-5_000);
    // Kept as a logarithm of single precision.
    let before = |query_id| {
        let found = growth.iter().find(|one| one.query_id == query_id).and_then(|one| one.mean_before_ms);
        found.map(|mean| (mean * 1_000.0).round() / 1_000.0)
    };
    assert_eq!((before(1), before(2)), (Some(1.0), Some(50.0)));
}

/// Readings a minute apart, one execution a second; whether each interval was slow, and so not quiet.
fn played(history: &mut StatementHistory, slow: &[bool]) {
    let mut total = 0.0;
    let mut quiet = true;
    for (minute, slow) in (0_i64..).zip(slow) {
        total += if *slow { 6_000.0 } else { 60.0 };
        history.settle(quiet);
        history.push(reading(minute * 60, &[(1, minute * 60, total)]));
        // Known only now, after the reading was taken in.
        quiet = !slow;
    }
}

#[test]
fn however_long_the_incidents_before_were_the_next_is_compared_with_what_is_usual() {
    let mut history = history();
    // Slow for far longer than it was fast.
    let slow: Vec<bool> = (0..60).map(|minute| minute > 4 && minute % 10 != 9).collect();
    played(&mut history, &slow);
    let growth = history.growth(50 * 60_000);
    assert!((growth[0].mean_before_ms.unwrap() - 1.0).abs() < 1e-3, "{growth:?}");
    assert!(growth[0].mean_ms > 80.0, "{growth:?}");
}

#[test]
fn a_watch_that_began_during_an_incident_goes_on_from_what_was_learnt_before() {
    let mut before = history();
    played(&mut before, &[false; 5]);
    let mut after = history();
    after.set_usual(UsualTimes::decode(&before.usual().encode()).unwrap());
    // The server's own figures already hold more slow executions than fast ones.
    after.push(reading(0, &[(1, 1_000, 60_000.0)]));
    after.push(reading(60, &[(1, 1_060, 66_000.0)]));
    let growth = after.growth(-5_000);
    assert!((growth[0].mean_before_ms.unwrap() - 1.0).abs() < 1e-3, "{growth:?}");
}

#[test]
fn usual_times_outlive_a_reset_of_the_statistics_but_the_interval_over_it_teaches_nothing() {
    let mut history = history();
    played(&mut history, &[false, false, false]);
    let mut after = reading(180, &[(1, 10, 60_000.0)]);
    after.stats_reset = Some(2);
    history.settle(true);
    history.push(after);
    history.settle(true);
    assert!((history.usual().get(1).unwrap() - 1.0).abs() < 1e-3);
}

#[test]
fn statements_that_the_server_forgot_are_forgotten_when_they_are_many() {
    let mut history = history();
    let many: Vec<(i64, i64, f64)> = (0..1_500).map(|query_id| (query_id, 10, 10.0)).collect();
    history.push(reading(0, &many));
    history.push(reading(60, &many[..300]));
    assert_eq!(history.usual().len(), 1_500);
    history.push(reading(120, &many[..200]));
    assert_eq!(history.usual().len(), 200);
}
