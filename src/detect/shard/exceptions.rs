//! What known peaks and maintenance change. 1970-01-05 was a Monday.

use super::*;
use crate::detect::exception::{Effect, Expectation};
use crate::detect::resolve;
use crate::detect::schedule::Calendar;
use crate::detect::testing::{metrics, spec};
use crate::measure::ABSENT;
use serde_json::json;

/// From Monday 01:00 to 02:00, each week.
fn exception(effect: Effect) -> Arc<Exception> {
    let calendar = Calendar::schedule("Mon 01:00-02:00", None, "UTC").unwrap();
    Arc::new(Exception { calendar, rules: Vec::new(), pods: Vec::new(), effect })
}

pub(super) fn silence() -> Arc<Exception> {
    exception(Effect::Suppress(Vec::new()))
}

fn kinds(found: &[(i64, u64, ChangeKind)]) -> Vec<ChangeKind> {
    found.iter().map(|(_, _, kind)| *kind).collect()
}

#[test]
fn nothing_opens_in_a_suppressed_hour_and_the_breach_counts_from_its_end_on() {
    let mut shard = Shard::new();
    let target = shard.add_target(1);
    shard.set_rules(target, vec![limit(7, 0)]);
    shard.set_exceptions(target, &[(7, silence())]);
    // Ten seconds before the hour a breach begins; `for` is 30 s.
    let values = [60.0; 12];
    let found = feed(&mut shard, target, MONDAY + HOUR - 10 * SECOND, 1, &values);
    assert_eq!(found, [(0, 7, ChangeKind::Pending), (10, 7, ChangeKind::ExceptionBegan)]);
    assert_eq!(shard.states(target).collect::<Vec<_>>(), [(7, IncidentState::Suppressed)]);
    assert_eq!(shard.exempt(target).collect::<Vec<_>>(), [7]);
    let found = feed(&mut shard, target, MONDAY + 2 * HOUR, 1, &values);
    assert_eq!(found, [(0, 7, ChangeKind::ExceptionOver), (30, 7, ChangeKind::Opened)]);
    assert_eq!(shard.exempt(target).count(), 0);
}

#[test]
fn what_is_open_stays_open_through_a_suppressed_hour_and_is_resolved_after_it() {
    let mut shard = Shard::new();
    let target = shard.add_target(1);
    shard.set_rules(target, vec![limit(7, 0)]);
    shard.set_exceptions(target, &[(7, silence())]);
    feed(&mut shard, target, MONDAY, 1, &[60.0; 5]);
    assert_eq!(kinds(&feed(&mut shard, target, MONDAY + HOUR, 1, &[1.0; 30])), [ChangeKind::ExceptionBegan]);
    assert_eq!(shard.states(target).collect::<Vec<_>>(), [(7, IncidentState::Open)]);
    let found = feed(&mut shard, target, MONDAY + 2 * HOUR, 1, &[1.0; 3]);
    assert_eq!(kinds(&found), [ChangeKind::ExceptionOver, ChangeKind::Clearing, ChangeKind::Resolved]);
}

#[test]
fn only_rules_of_the_suppressed_metrics_are_silent() {
    let mut shard = Shard::new();
    let target = shard.add_target(2);
    shard.set_rules(target, vec![limit(1, 0), limit(2, 1), limit(3, 0)]);
    let second = exception(Effect::Suppress(vec![1]));
    shard.set_exceptions(target, &[(1, second.clone()), (2, second), (3, silence())]);
    feed(&mut shard, target, MONDAY + HOUR, 2, &[60.0; 5]);
    let states: Vec<_> = shard.states(target).collect();
    assert_eq!(states, [(1, IncidentState::Open), (2, IncidentState::Suppressed), (3, IncidentState::Suppressed)]);
}

#[test]
fn missing_data_is_still_told_in_a_suppressed_hour() {
    let mut shard = Shard::new();
    let target = shard.add_target(1);
    shard.set_rules(target, vec![limit(7, 0)]);
    shard.set_exceptions(target, &[(7, silence())]);
    let found = feed(&mut shard, target, MONDAY + HOUR, 1, &[1.0, ABSENT, ABSENT, ABSENT, ABSENT, ABSENT, 1.0]);
    assert_eq!(kinds(&found), [ChangeKind::ExceptionBegan, ChangeKind::NoData, ChangeKind::DataBack]);
}

#[test]
fn an_expected_peak_is_no_breach_and_what_goes_beyond_it_is_with_the_expected_band() {
    let mut shard = Shard::new();
    let target = shard.add_target(1);
    shard.set_rules(target, vec![sigma(7, 0)]);
    shard.set_profile(target, 0, Some(&profile(|_| 10.0, true)));
    shard.set_exceptions(target, &[(7, exception(Effect::Expect(vec![(0, Expectation::Factor(10.0))])))]);
    assert_ne!(feed(&mut shard, target, MONDAY, 1, &[100.0; 1]), [], "before it");
    for value in [10.0, 50.0, 100.0, 159.0] {
        let found = feed(&mut shard, target, MONDAY + HOUR, 1, &[value; 10]);
        assert!(!kinds(&found).contains(&ChangeKind::Opened), "{value}: {found:?}");
    }
    assert_eq!(shard.states(target).collect::<Vec<_>>(), [(7, IncidentState::Normal)]);
    let mut changes = Vec::new();
    for index in 0..4 {
        let at = MONDAY + HOUR + 600 * SECOND + index * 10 * SECOND;
        shard.round(&Round { target, at, values: vec![170.0] }, &mut changes);
    }
    let opened = changes.iter().find(|change| change.kind == ChangeKind::Opened);
    let verdict = opened.and_then(|change| change.verdict).unwrap();
    assert_eq!((verdict.centre, verdict.upper, verdict.sigmas), (Some(100.0), Some(160.0), Some(3.5)));
}

#[test]
fn what_is_open_when_a_peak_begins_is_not_over_because_its_values_are_expected() {
    for detected in [sigma(7, 0), limit(7, 0)] {
        let mut shard = Shard::new();
        let target = shard.add_target(1);
        shard.set_rules(target, vec![detected]);
        shard.set_profile(target, 0, Some(&profile(|_| 10.0, true)));
        let level = Expectation::Levels { low: 10.0, high: 95.0 };
        let peak = exception(Effect::Expect(vec![(0, level)]));
        shard.set_exceptions(target, &[(7, peak.clone())]);
        feed(&mut shard, target, MONDAY + HOUR - 50 * SECOND, 1, &[60.0; 5]);
        assert_eq!(kinds(&feed(&mut shard, target, MONDAY + HOUR, 1, &[60.0; 30])), [ChangeKind::ExceptionBegan]);
        // An exception that is written anew meanwhile changes nothing.
        shard.set_exceptions(target, &[(7, peak)]);
        feed(&mut shard, target, MONDAY + HOUR + 300 * SECOND, 1, &[60.0; 30]);
        assert_eq!(shard.states(target).collect::<Vec<_>>(), [(7, IncidentState::Open)]);
        let found = kinds(&feed(&mut shard, target, MONDAY + HOUR + 600 * SECOND, 1, &[10.0; 5]));
        assert_eq!(found, [ChangeKind::Clearing, ChangeKind::Resolved], "as normal as without the peak");
    }
}

#[test]
fn an_expected_level_lifts_a_fixed_limit_for_as_long_as_it_is_expected() {
    let mut shard = Shard::new();
    let target = shard.add_target(1);
    shard.set_rules(target, vec![limit(7, 0)]);
    let level = Expectation::Levels { low: 95.0, high: 95.0 };
    shard.set_exceptions(target, &[(7, exception(Effect::Expect(vec![(0, level)])))]);
    assert_eq!(kinds(&feed(&mut shard, target, MONDAY + HOUR, 1, &[95.0; 10])), [ChangeKind::ExceptionBegan]);
    let found = kinds(&feed(&mut shard, target, MONDAY + HOUR + 600 * SECOND, 1, &[96.0; 10]));
    assert_eq!(found, [ChangeKind::Pending, ChangeKind::Opened]);
    feed(&mut shard, target, MONDAY + HOUR + 1200 * SECOND, 1, &[95.0; 10]);
    assert_eq!(shard.states(target).collect::<Vec<_>>(), [(7, IncidentState::Normal)], "expected again is clear");
    let found = kinds(&feed(&mut shard, target, MONDAY + 2 * HOUR, 1, &[95.0; 10]));
    assert_eq!(found, [ChangeKind::ExceptionOver, ChangeKind::Pending, ChangeKind::Opened]);
}

#[test]
fn an_exception_that_is_taken_away_is_over_with_the_next_round() {
    let mut shard = Shard::new();
    let target = shard.add_target(1);
    shard.set_rules(target, vec![limit(7, 0)]);
    shard.set_exceptions(target, &[(7, silence())]);
    feed(&mut shard, target, MONDAY + HOUR, 1, &[60.0; 10]);
    shard.set_rules(target, vec![limit(7, 0)]);
    shard.set_exceptions(target, &[(7, silence())]);
    assert_eq!(feed(&mut shard, target, MONDAY + HOUR + 100 * SECOND, 1, &[60.0; 10]), [], "the same again");
    shard.set_exceptions(target, &[]);
    let found = feed(&mut shard, target, MONDAY + HOUR + 200 * SECOND, 1, &[60.0; 4]);
    assert_eq!(kinds(&found), [ChangeKind::ExceptionOver, ChangeKind::Pending, ChangeKind::Opened]);
}

#[test]
fn a_silence_that_becomes_an_expectation_is_told() {
    let mut shard = Shard::new();
    let target = shard.add_target(1);
    shard.set_rules(target, vec![limit(7, 0)]);
    shard.set_exceptions(target, &[(7, silence())]);
    feed(&mut shard, target, MONDAY + HOUR, 1, &[60.0; 3]);
    let level = Expectation::Levels { low: 95.0, high: 95.0 };
    shard.set_exceptions(target, &[(7, exception(Effect::Expect(vec![(0, level)])))]);
    let found = feed(&mut shard, target, MONDAY + HOUR + 60 * SECOND, 1, &[60.0; 3]);
    assert_eq!(found, [(0, 7, ChangeKind::ExceptionBegan)]);
    assert_eq!(shard.states(target).collect::<Vec<_>>(), [(7, IncidentState::Normal)]);
}

/// Of `latency`, `throughput`, `size` and `reads`.
pub(super) fn written(id: u64, detect: serde_json::Value) -> TargetRule {
    let resolved = resolve(&spec(detect), &metrics()).unwrap();
    TargetRule { rule: Rule { for_ms: 0, resolve_after_ms: 0, ..resolved }.into(), ..limit(id, 0) }
}

/// The states of the rules after a round in the exception's hour.
fn judged(shard: &mut Shard, target: usize, minute: i64, values: [f32; 4]) -> Vec<IncidentState> {
    let at = MONDAY + HOUR + minute * 60 * SECOND;
    shard.round(&Round { target, at, values: values.to_vec() }, &mut Vec::new());
    shard.states(target).map(|(_, state)| state).collect()
}

#[test]
fn an_expression_judges_by_the_expected_baseline_and_takes_what_is_expected_for_usual() {
    use IncidentState::{Normal, Open};
    let mut shard = Shard::new();
    let target = shard.add_target(4);
    let rules = vec![
        written(1, json!({"metric": "latency", "expression": "current > baseline_mean + 3 * baseline_std_dev"})),
        written(2, json!({"metric": "latency", "expression": "current > 50"})),
        written(3, json!({"expression": "metrics.latency > 50 && metrics.throughput > 50"})),
        written(4, json!({"metric": "throughput", "expression": "current > 50"})),
    ];
    shard.set_rules(target, rules);
    shard.set_profile(target, 0, Some(&profile(|_| 10.0, true)));
    let peak = exception(Effect::Expect(vec![(0, Expectation::Factor(10.0))]));
    shard.set_exceptions(target, &[1, 2, 3, 4].map(|rule| (rule, peak.clone())));
    assert_eq!(judged(&mut shard, target, 1, [100.0, 60.0, 1.0, 1.0]), [Normal, Normal, Normal, Open]);
    // Beyond 100 and three times ten times a scale of two.
    assert_eq!(judged(&mut shard, target, 2, [170.0, 60.0, 1.0, 1.0]), [Open; 4]);
    assert_eq!(shard.judge(target, 1, MONDAY + HOUR, 170.0).and_then(|verdict| verdict.centre), Some(100.0));
    assert_eq!(judged(&mut shard, target, 70, [100.0, 60.0, 1.0, 1.0]), [Open; 4], "the hour is over");
}

#[test]
fn peers_are_compared_while_a_load_is_expected_of_all_of_them() {
    let mut shard = Shard::new();
    let targets: Vec<usize> = (0..6).map(|_| shard.add_target(4)).collect();
    for target in &targets {
        shard.join(*target, 1);
        shard.set_rules(*target, vec![written(1, json!({"metric": "throughput", "peers": {}}))]);
    }
    let peak = exception(Effect::Expect(vec![(1, Expectation::Factor(10.0))]));
    for target in &targets {
        shard.set_exceptions(*target, &[(1, peak.clone())]);
    }
    let mut round = |minute, odd: f32| {
        let value = |target: &usize| if *target == targets[0] { odd } else { 1000.0 };
        (0..2).for_each(|_| {
            for target in &targets {
                judged(&mut shard, *target, minute, [1.0, value(target), 1.0, 1.0]);
            }
        });
        shard.states(targets[0]).map(|(_, state)| state).collect::<Vec<_>>()
    };
    // Half an hour to know how it usually lies among them.
    let usual = (1..=40).map(|minute| round(minute, 1000.0)).last();
    assert_eq!(usual, Some(vec![IncidentState::Normal]));
    assert_eq!(round(41, 100.0), [IncidentState::Open], "the one that gets none of the expected load");
}

#[test]
fn the_rounds_since_a_replay_are_remembered_as_live_ones_are_without_the_suppressed() {
    // Half an hour before the hour to half an hour after it.
    let rounds: Vec<i64> = (0..120).map(|minute| MONDAY + HOUR / 2 + minute * 60 * SECOND).collect();
    let values = [5.0_f32; 4];
    let remembered = |since: &[i64], live: &[i64], exceptions: &[(u64, Arc<Exception>)]| {
        let mut shard = Shard::new();
        let target = shard.add_target(4);
        shard.set_rules(target, vec![written(1, json!({"metric": "latency", "pattern": {}}))]);
        shard.set_exceptions(target, exceptions);
        let rule = shard.cold(target).next().map(|(_, rule)| rule.clone()).unwrap();
        let warmed = shard.replay(target, &rule).unwrap().finish();
        assert!(shard.warm(target, 1, warmed, since.iter().map(|at| (*at, &values[..]))));
        for at in live {
            shard.round(&Round { target, at: *at, values: values.to_vec() }, &mut Vec::new());
        }
        format!("{:?}", shard.slots[target].rules[0].memory)
    };
    let silent = [(1, silence())];
    assert_eq!(remembered(&rounds, &[], &[]), remembered(&[], &rounds, &[]));
    assert_eq!(remembered(&rounds, &[], &silent), remembered(&[], &rounds, &silent));
    assert_ne!(remembered(&rounds, &[], &silent), remembered(&rounds, &[], &[]));
}
