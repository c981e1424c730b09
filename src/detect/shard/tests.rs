use super::super::{Detector, Limit, Sigma};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::learn::{HOURS_OF_WEEK, MonthlySlot, Statistics, Stretch, Tails};
use crate::measure::ABSENT;

const SECOND: i64 = 1_000;
const HOUR: i64 = 3_600 * SECOND;
/// A Monday at midnight.
const MONDAY: i64 = 4 * 24 * HOUR;

fn profile(centre: impl Fn(usize) -> f32, ready: bool) -> Profile {
    Profile {
        centre: Box::new(std::array::from_fn(centre)),
        scale: Box::new([2.0; HOURS_OF_WEEK]),
        tails: Tails::GAUSSIAN,
        stretch: Stretch::NONE,
        statistics: Statistics::default(),
        days: 14.0,
        confidence: 0.9,
        ready,
        minimum: Some(0.0),
        maximum: None,
        growth: crate::learn::Growth::NONE,
        monthly: Vec::new(),
    }
}

fn rule(id: u64, metric: usize, detector: Detector) -> TargetRule {
    let rule = Rule { metric, detector, for_ms: 30 * SECOND, resolve_after_ms: 20 * SECOND, minimum_confidence: 0.0 };
    TargetRule { id, rule: rule.into(), expected_interval_ms: 10 * SECOND }
}

fn limit(id: u64, metric: usize) -> TargetRule {
    rule(id, metric, Detector::Limit(Limit { below: None, above: Some(50.0) }))
}

fn sigma(id: u64, metric: usize) -> TargetRule {
    rule(id, metric, Detector::Sigma(Sigma { below: None, above: Some(3.0) }))
}

/// Rounds of one value for every metric, ten seconds apart.
fn feed(shard: &mut Shard, target: usize, begin: i64, metrics: usize, values: &[f32]) -> Vec<(i64, u64, ChangeKind)> {
    let mut found = Vec::new();
    for (index, value) in values.iter().enumerate() {
        let at = begin + index as i64 * 10 * SECOND;
        let mut changes = Vec::new();
        shard.round(&Round { target, at, values: vec![*value; metrics] }, &mut changes);
        found.extend(changes.iter().map(|change| ((at - begin) / SECOND, change.rule, change.kind)));
    }
    found
}

#[test]
fn a_limit_works_without_any_profile() {
    let mut shard = Shard::new();
    let target = shard.add_target(2);
    shard.set_rules(target, vec![limit(7, 1)]);
    let found = feed(&mut shard, target, MONDAY, 2, &[60.0; 4]);
    assert_eq!(found, [(0, 7, ChangeKind::Pending), (30, 7, ChangeKind::Opened)]);
}

#[test]
fn sigma_is_learning_until_the_profile_is_ready_and_then_judges() {
    let mut shard = Shard::new();
    let target = shard.add_target(1);
    shard.set_rules(target, vec![sigma(7, 0)]);
    let told = [&[(0, 7, ChangeKind::Learning)][..], &[]];
    for (unready, told) in [None, Some(profile(|_| 10.0, false))].into_iter().zip(told) {
        shard.set_profile(target, 0, unready.as_ref());
        assert_eq!(feed(&mut shard, target, MONDAY, 1, &[1e6; 10]), told);
        assert!(!shard.is_ready(target, 0));
        assert_eq!(shard.states(target).collect::<Vec<_>>(), [(7, IncidentState::Learning)]);
        assert_eq!(shard.band(target, 0, MONDAY, 3.0), None);
    }
    shard.set_profile(target, 0, Some(&profile(|_| 10.0, true)));
    assert!(shard.is_ready(target, 0));
    let found = feed(&mut shard, target, MONDAY + HOUR, 1, &[17.0; 4]);
    assert_eq!(found, [(0, 7, ChangeKind::Judged), (0, 7, ChangeKind::Pending), (30, 7, ChangeKind::Opened)]);
}

#[test]
fn each_round_is_judged_by_its_own_hour_of_the_week() {
    let mut shard = Shard::new();
    let target = shard.add_target(1);
    shard.set_rules(target, vec![sigma(7, 0)]);
    shard.set_profile(target, 0, Some(&profile(|hour| if hour == 2 { 100.0 } else { 10.0 }, true)));
    assert_eq!(feed(&mut shard, target, MONDAY + 2 * HOUR, 1, &[100.0; 10]), []);
    assert_ne!(feed(&mut shard, target, MONDAY + 3 * HOUR, 1, &[100.0; 1]), []);
    let band = Band { centre: Some(10.0), lower: Some(4.0), upper: Some(16.0) };
    assert_eq!(shard.band(target, 0, MONDAY, 3.0), Some(band));
    assert_eq!(shard.band(target, 0, MONDAY, 50.0).and_then(|band| band.lower), Some(0.0));
}

#[test]
fn a_change_carries_the_onset_and_the_verdict_that_brought_it() {
    let mut shard = Shard::new();
    let target = shard.add_target(1);
    shard.set_rules(target, vec![sigma(7, 0)]);
    shard.set_profile(target, 0, Some(&profile(|_| 10.0, true)));
    let mut changes = Vec::new();
    for index in 0..4 {
        shard.round(&Round { target, at: MONDAY + index * 10 * SECOND, values: vec![20.0] }, &mut changes);
    }
    let opened = changes.last();
    assert_eq!(opened.map(|change| (change.kind, change.onset)), Some((ChangeKind::Opened, MONDAY)));
    let verdict = opened.and_then(|change| change.verdict);
    assert_eq!(verdict.map(|verdict| verdict.at), Some(MONDAY + 30 * SECOND));
    assert_eq!(
        verdict.map(|verdict| (verdict.centre, verdict.lower, verdict.upper)),
        Some((Some(10.0), None, Some(16.0)))
    );
    assert_eq!(verdict.and_then(|verdict| verdict.sigmas), Some(5.0));
    assert!(verdict.is_some_and(|verdict| verdict.breach && verdict.confidence > 0.999_999));
    assert_eq!(shard.judge(target, 7, MONDAY, 30.0).and_then(|verdict| verdict.sigmas), Some(10.0));
}

#[test]
fn a_resolved_incident_carries_its_own_onset() {
    let mut shard = Shard::new();
    let target = shard.add_target(1);
    shard.set_rules(target, vec![limit(7, 0)]);
    feed(&mut shard, target, MONDAY, 1, &[60.0; 4]);
    let mut changes = Vec::new();
    for index in 4..7 {
        shard.round(&Round { target, at: MONDAY + index * 10 * SECOND, values: vec![1.0] }, &mut changes);
    }
    let found: Vec<_> = changes.iter().map(|change| (change.kind, change.onset)).collect();
    assert_eq!(found, [(ChangeKind::Clearing, MONDAY), (ChangeKind::Resolved, MONDAY)]);
}

#[test]
fn a_restored_incident_does_not_open_again_and_resolves() {
    let mut shard = Shard::new();
    let target = shard.add_target(1);
    shard.set_rules(target, vec![limit(7, 0)]);
    assert!(shard.restore(target, 7, MONDAY - HOUR, Phase::Open));
    assert!(!shard.restore(target, 7, MONDAY, Phase::Open), "it is open already");
    assert!(!shard.restore(target, 8, MONDAY, Phase::Open), "there is no such rule");
    let values = [60.0, 60.0, 60.0, 60.0, 60.0, 1.0, 1.0, 1.0];
    let found = feed(&mut shard, target, MONDAY, 1, &values);
    assert_eq!(found, [(50, 7, ChangeKind::Clearing), (70, 7, ChangeKind::Resolved)]);
}

#[test]
fn a_forgotten_incident_begins_anew_and_leaves_those_of_other_rules_alone() {
    let mut shard = Shard::new();
    let target = shard.add_target(2);
    let mut slow = limit(3, 0);
    Arc::make_mut(&mut slow.rule).for_ms = 60 * SECOND;
    shard.set_rules(target, vec![limit(1, 0), limit(2, 0), slow]);
    feed(&mut shard, target, MONDAY, 2, &[60.0; 4]);
    shard.forget(target, 1);
    shard.forget(target, 9);
    shard.forget(9, 1);
    let states: Vec<_> = shard.states(target).collect();
    assert_eq!(states, [(1, IncidentState::Normal), (2, IncidentState::Open), (3, IncidentState::Pending)]);
    let found = feed(&mut shard, target, MONDAY + 40 * SECOND, 2, &[60.0; 4]);
    let expected = [(0, 1, ChangeKind::Pending), (20, 3, ChangeKind::Opened), (30, 1, ChangeKind::Opened)];
    assert_eq!(found, expected, "the pending rule's timer went on");
}

#[test]
fn an_incident_restored_while_clearing_begins_its_timer_anew() {
    let mut shard = Shard::new();
    let target = shard.add_target(1);
    shard.set_rules(target, vec![limit(7, 0)]);
    assert!(!shard.restore(target, 7, MONDAY, Phase::Pending));
    assert!(shard.restore(target, 7, MONDAY - HOUR, Phase::Clearing));
    let found = feed(&mut shard, target, MONDAY, 1, &[1.0, 1.0, 1.0]);
    assert_eq!(found, [(20, 7, ChangeKind::Resolved)]);
}

#[test]
fn unchanged_rules_keep_their_incidents_when_rules_are_set_anew() {
    let mut shard = Shard::new();
    let target = shard.add_target(2);
    shard.set_rules(target, vec![limit(1, 0), limit(2, 0), limit(3, 0)]);
    feed(&mut shard, target, MONDAY, 2, &[60.0; 4]);
    let mut changed = limit(2, 0);
    Arc::make_mut(&mut changed.rule).for_ms += 1;
    let mut slower = limit(3, 0);
    slower.expected_interval_ms *= 6;
    let dropped = shard.set_rules(target, vec![slower, changed, limit(4, 1)]);
    assert_eq!(dropped, [Dropped { rule: 1, onset: MONDAY }, Dropped { rule: 2, onset: MONDAY }]);
    let states: Vec<_> = shard.states(target).collect();
    assert_eq!(states, [(3, IncidentState::Open), (2, IncidentState::Normal), (4, IncidentState::Normal)]);
}

#[test]
fn rounds_that_could_not_be_had_lead_to_no_data_and_back() {
    let mut shard = Shard::new();
    let target = shard.add_target(1);
    shard.set_rules(target, vec![limit(7, 0)]);
    feed(&mut shard, target, MONDAY, 1, &[1.0]);
    let mut changes = Vec::new();
    for index in 1..5 {
        shard.missed(target, MONDAY + index * 10 * SECOND, &mut changes);
    }
    let found: Vec<_> = changes.iter().map(|change| (change.kind, change.verdict)).collect();
    assert_eq!(found, [(ChangeKind::NoData, None)]);
    assert_eq!(shard.states(target).collect::<Vec<_>>(), [(7, IncidentState::NoData)]);
    let found = feed(&mut shard, target, MONDAY + 60 * SECOND, 1, &[1.0]);
    assert_eq!(found, [(0, 7, ChangeKind::DataBack)]);
}

#[test]
fn absent_and_infinite_values_and_short_rounds_are_no_values() {
    for values in [vec![1.0, ABSENT], vec![1.0, f32::INFINITY], vec![1.0], vec![]] {
        let mut shard = Shard::new();
        let target = shard.add_target(2);
        shard.set_rules(target, vec![limit(7, 1)]);
        let mut changes = Vec::new();
        for index in 0..10 {
            shard.round(&Round { target, at: MONDAY + index * 10 * SECOND, values: values.clone() }, &mut changes);
        }
        assert_eq!(changes.iter().map(|change| change.kind).collect::<Vec<_>>(), [ChangeKind::NoData]);
    }
}

#[test]
fn a_freed_slot_is_used_again_and_remembers_nothing() {
    let mut shard = Shard::new();
    let (first, second) = (shard.add_target(3), shard.add_target(3));
    shard.set_rules(first, vec![limit(7, 2), sigma(8, 0)]);
    shard.set_profile(first, 0, Some(&profile(|_| 10.0, true)));
    shard.set_profile(second, 0, Some(&profile(|_| 20.0, true)));
    feed(&mut shard, first, MONDAY, 3, &[60.0; 4]);
    shard.remove_target(first);
    shard.remove_target(first);
    assert_eq!(shard.states(first).count(), 0);
    assert_eq!(feed(&mut shard, first, MONDAY, 3, &[60.0; 4]), []);
    assert_eq!(shard.set_rules(first, vec![limit(7, 0)]), []);
    assert_eq!(shard.states(first).count(), 0, "a target that is not there takes no rules");

    let wider = shard.add_target(4);
    assert_ne!(wider, first, "the freed slot is too narrow");
    let narrower = shard.add_target(2);
    assert_eq!(narrower, first);
    assert!(!shard.is_ready(narrower, 0));
    assert!(!shard.is_ready(narrower, 2));
    assert!(shard.is_ready(second, 0), "other targets keep their profiles");
}

#[test]
fn growth_keeps_the_profiles_of_all_targets() {
    let mut shard = Shard::new();
    let targets: Vec<usize> = (0..100)
        .map(|index| {
            let target = shard.add_target(7);
            shard.set_profile(target, 3, Some(&profile(|hour| (index * 1_000 + hour) as f32, true)));
            target
        })
        .collect();
    for (index, target) in targets.iter().enumerate() {
        for hour in [0, 83, 167] {
            let normal = shard.normal(*target, 3, MONDAY + hour as i64 * HOUR);
            assert_eq!(normal.map(|normal| normal.centre), Some((index * 1_000 + hour) as f64));
        }
        assert_eq!(shard.normal(*target, 2, MONDAY), None);
    }
}

#[test]
fn unknown_targets_and_metrics_are_passed_over() {
    let mut shard = Shard::new();
    let target = shard.add_target(1);
    shard.set_profile(target, 5, Some(&profile(|_| 1.0, true)));
    shard.set_profile(9, 0, Some(&profile(|_| 1.0, true)));
    shard.set_rules(target, vec![sigma(7, 5)]);
    assert_eq!(feed(&mut shard, 9, MONDAY, 1, &[1.0; 3]), []);
    assert_eq!(feed(&mut shard, target, MONDAY, 9, &[1.0; 3]), []);
    assert_eq!(shard.judge(9, 7, MONDAY, 1.0), None);
    assert!(!shard.is_ready(target, 5));
    shard.remove_target(9);
}

#[path = "exceptions.rs"]
mod exceptions;

#[test]
fn a_workload_that_follows_people_is_judged_by_their_clock_over_its_changes() {
    let zone = jiff::tz::TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
    let at = |text: &str| text.parse::<jiff::Timestamp>().map_or(i64::MIN, jiff::Timestamp::as_millisecond);
    let clock = Arc::new(Clock::new(&zone, at("2026-03-01T00:00:00Z"), at("2026-12-01T00:00:00Z")));
    // Busy from nine to ten on Mondays, by their clock.
    let busy = profile(|hour| if hour == 9 { 100.0 } else { 10.0 }, true);
    let mut shard = Shard::new();
    let target = shard.add_target(1);
    shard.set_profile(target, 0, Some(&busy));
    let centre = |shard: &Shard, text: &str| shard.normal(target, 0, at(text)).map(|normal| normal.centre);
    let (winter, summer) = ("2026-03-23T08:30:00Z", "2026-03-30T07:30:00Z");
    assert_eq!(
        [winter, summer].map(|text| centre(&shard, text)),
        [Some(10.0), Some(10.0)],
        "in UTC it is busy at nine"
    );
    shard.set_clock(target, clock);
    assert_eq!([winter, summer].map(|text| centre(&shard, text)), [Some(100.0), Some(100.0)]);
    shard.set_rules(target, vec![sigma(7, 0)]);
    assert_eq!(feed(&mut shard, target, at(summer), 1, &[101.0; 10]), []);
    let found = feed(&mut shard, target, at(summer) + HOUR, 1, &[101.0; 4]);
    assert_eq!(found, [(0, 7, ChangeKind::Pending), (30, 7, ChangeKind::Opened)]);
}

#[test]
fn hour_and_day_of_an_expression_go_by_the_clock_of_the_baseline_in_summer_and_winter() {
    use crate::detect::testing::{metrics, spec};
    let at = |text: &str| text.parse::<jiff::Timestamp>().map_or(i64::MIN, jiff::Timestamp::as_millisecond);
    let zone = crate::detect::schedule::zone("Europe/Berlin").unwrap();
    let clock = Arc::new(Clock::new(&zone, at("2025-12-01T00:00:00Z"), at("2026-12-01T00:00:00Z")));
    let text = "current > 5 && hour == 9 && day_of_week == 1 || current > 5 && hour == 0 && day_of_week == 2";
    let expression =
        crate::detect::resolve(&spec(serde_json::json!({"metric": "latency", "expression": text})), &metrics());
    let mut shard = Shard::new();
    let target = shard.add_target(4);
    shard.set_rules(target, vec![TargetRule { rule: expression.unwrap().into(), ..limit(7, 0) }]);
    let holds = |shard: &Shard, text: &str| shard.judge(target, 7, at(text), 9.0).map(|verdict| verdict.breach);
    let nine_in_utc = "2026-07-13T09:30:00Z";
    assert_eq!(holds(&shard, nine_in_utc), Some(true), "UTC without a clock");
    shard.set_clock(target, clock);
    assert_eq!(holds(&shard, nine_in_utc), Some(false));
    for (local, expected) in [
        ("2026-01-12T08:30:00Z", true),
        ("2026-01-12T07:30:00Z", false),
        ("2026-07-13T07:30:00Z", true),
        ("2026-07-13T08:30:00Z", false),
        // A day begins before UTC's does: Tuesday at half past midnight.
        ("2026-01-12T23:30:00Z", true),
        ("2026-07-13T22:30:00Z", true),
        ("2026-07-12T22:30:00Z", false),
    ] {
        assert_eq!(holds(&shard, local), Some(expected), "{local}");
    }
}

#[test]
fn a_batch_that_is_known_to_come_once_a_month_is_no_breach_and_a_greater_one_is() {
    let at = |text: &str| text.parse::<jiff::Timestamp>().map_or(i64::MIN, jiff::Timestamp::as_millisecond);
    let zone = jiff::tz::TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
    let clock = Clock::new(&zone, at("2026-01-01T00:00:00Z"), at("2027-01-01T00:00:00Z"));
    let monthly = vec![MonthlySlot { day: 1, hour: 2, level: 400.0, scale: 20.0 }];
    let mut shard = Shard::new();
    let target = shard.add_target(2);
    shard.set_clock(target, Arc::new(clock));
    shard.set_profile(target, 0, Some(&Profile { monthly, ..profile(|_| 50.0, true) }));
    shard.set_profile(target, 1, Some(&profile(|_| 50.0, true)));
    let both = |id, metric| rule(id, metric, Detector::Sigma(Sigma { below: Some(3.0), above: Some(3.0) }));
    shard.set_rules(target, vec![both(1, 0), both(2, 1)]);
    let breaches = |rule, when: &str, value| shard.judge(target, rule, at(when), value).unwrap().breach;
    // 02:30 of the first by the clock, in summer and in winter.
    for first in ["2026-07-01T00:30:00Z", "2026-12-01T01:30:00Z"] {
        assert!(!breaches(1, first, 400.0) && !breaches(1, first, 50.0) && !breaches(1, first, 200.0), "{first}");
        assert!(breaches(1, first, 800.0), "twice as much: {first}");
        assert!(breaches(2, first, 400.0), "another metric: {first}");
    }
    for other in ["2026-07-01T01:30:00Z", "2026-07-02T00:30:00Z", "2026-06-30T23:30:00Z"] {
        assert!(breaches(1, other, 400.0), "{other}");
    }
}

#[test]
fn an_open_trend_is_not_ended_by_a_restart_while_it_goes_on_though_it_would_not_begin_now() {
    let any_rise = exceptions::written(1, serde_json::json!({"metric": "latency", "trend": {}}));
    let trend = TargetRule { expected_interval_ms: QUARTER, ..any_rise };
    // A day of quarters of an hour, of slopes from none to steep.
    let is_open_at_the_end = |slope: f64, was_open: bool| {
        let value = |step: i64| slope * step as f64 + ((step * step) as f64 * 0.7).sin() + ((step * 7) as f64).cos();
        let mut shard = Shard::new();
        let target = shard.add_target(1);
        shard.set_rules(target, vec![trend.clone()]);
        assert!(!was_open || shard.restore(target, 1, MONDAY, Phase::Open));
        let mut replay = shard.replay(target, &trend.rule).unwrap();
        for step in 0..97 {
            replay.take(MONDAY + step * QUARTER, &[value(step) as f32]);
        }
        shard.warm(target, 1, replay.finish(), []);
        shard.round(&Round { target, at: MONDAY + 97 * QUARTER, values: vec![value(97) as f32] }, &mut Vec::new());
        shard.states(target).next() == Some((1, IncidentState::Open))
    };
    let slopes = (0..60).map(|step| f64::from(step) / 1000.0);
    let found: Vec<(bool, bool)> =
        slopes.map(|slope| (is_open_at_the_end(slope, true), is_open_at_the_end(slope, false))).collect();
    assert_eq!((found[0], found[59]), ((false, false), (true, true)), "none, and one that would begin");
    assert!(found.contains(&(true, false)), "what goes on stays open: {found:?}");
    assert!(!found.contains(&(false, true)), "{found:?}");
}

const QUARTER: i64 = 15 * 60 * SECOND;

/// One round in a few words: how long after the last one, in seconds, and the values.
fn any_round() -> impl Strategy<Value = (i64, [f32; 2])> {
    let step = prop_oneof![8 => Just(10_i64), 1 => 0..200_i64, 1 => -30..0_i64, 1 => Just(3600_i64)];
    // Bounds: 50 of the limit, 46 and 56 of the sigmas.
    let value = prop_oneof![
        8 => 46.5..49.0_f32,
        2 => prop::sample::select(vec![46.0_f32, 50.0, 56.0]),
        2 => 40.0..60.0_f32,
        2 => Just(ABSENT),
        1 => Just(f32::INFINITY),
    ];
    (step, [value.clone(), value])
}

proptest! {
    #[test]
    fn a_glance_changes_nothing_that_stepping_every_value_would_not(
        rounds in vec(any_round(), 1..80), silent in 0..90_usize, learnt in 0..90_usize,
    ) {
        let (mut glancing, mut stepping) = (Shard::new(), Shard::new());
        let both = |id, metric| rule(id, metric, Detector::Sigma(Sigma { below: Some(2.0), above: Some(3.0) }));
        for shard in [&mut glancing, &mut stepping] {
            let target = shard.add_target(2);
            shard.set_profile(target, 1, Some(&profile(|hour| 49.0 + (hour % 3) as f32, true)));
            shard.set_rules(target, vec![limit(1, 0), both(2, 1), both(3, 0)]);
            shard.set_exceptions(target, &[(2, exceptions::silence())]);
        }
        let (mut at, mut passed) = (MONDAY, false);
        for (number, (step, values)) in rounds.iter().enumerate() {
            at += step * SECOND;
            let round = Round { target: 0, at, values: values.to_vec() };
            let (mut found, mut expected) = (Vec::new(), Vec::new());
            for (shard, changes) in [(&mut glancing, &mut found), (&mut stepping, &mut expected)] {
                if number == silent || number == silent + 5 {
                    let both = [(1, exceptions::silence()), (2, exceptions::silence())];
                    let exceptions = if number == silent { both.to_vec() } else { Vec::new() };
                    shard.set_exceptions(0, &exceptions);
                }
                if number == learnt {
                    let stretch = Stretch { below: 1.5, above: 1.0 };
                    shard.set_profile(0, 1, Some(&Profile { stretch, ..profile(|_| 46.0, true) }));
                }
                shard.round(&round, changes);
            }
            prop_assert_eq!(found, expected, "round {}", number);
            prop_assert!(glancing.states(0).eq(stepping.states(0)));
            passed |= glancing.slots[0].glances.iter().any(Glance::has_passed);
            // Takes up what passed and looks at every next value.
            stepping.slots[0].rules_mut();
        }
        prop_assume!(passed);
        glancing.slots[0].rules_mut();
        prop_assert!(glancing.incidents(0).eq(stepping.incidents(0)));
    }
}

#[test]
fn a_rule_of_a_target_is_kept_in_little_memory() {
    assert!(size_of::<Watched>() <= 80, "{}", size_of::<Watched>());
}
