use proptest::prelude::*;

use super::Event::{Breach, Clear, Missing, Suppressed, Unjudged};
use super::*;

const INTERVAL: i64 = 10;
const TIMING: Timing = Timing { for_ms: 30, resolve_after_ms: 20, expected_interval_ms: INTERVAL };

/// Steps through events at their times and notes each change with its time.
fn run_with(timing: &Timing, events: &[(i64, Event)]) -> (Incident, Vec<(i64, ChangeKind)>) {
    let mut incident = Incident::default();
    let mut changes = Vec::new();
    for (at, event) in events {
        let step = incident.step(*at, *event, timing);
        incident = step.incident;
        changes.extend(step.data.into_iter().chain(step.phase).map(|change| (*at, change)));
    }
    (incident, changes)
}

fn run(events: &[(i64, Event)]) -> Vec<(i64, ChangeKind)> {
    run_with(&TIMING, events).1
}

/// One event each interval, beginning at 0.
fn each_interval(events: &[Event]) -> Vec<(i64, Event)> {
    (0..).step_by(INTERVAL as usize).zip(events.iter().copied()).collect()
}

#[test]
fn the_table_holds() {
    use ChangeKind::{Clearing, DataBack, NoData, Normal, Opened, Pending, Reopened, Resolved};
    type Case<'a> = (&'a str, &'a [Event], &'a [(i64, ChangeKind)]);
    let cases: &[Case<'_>] = &[
        ("nothing happens", &[Clear, Clear, Clear], &[]),
        ("a short breach", &[Clear, Breach, Breach, Clear], &[(10, Pending), (30, Normal)]),
        ("a breach held for 30", &[Breach, Breach, Breach, Breach], &[(0, Pending), (30, Opened)]),
        ("open stays open", &[Breach, Breach, Breach, Breach, Breach], &[(0, Pending), (30, Opened)]),
        (
            "clear held for 20",
            &[Breach, Breach, Breach, Breach, Clear, Clear, Clear, Clear],
            &[(0, Pending), (30, Opened), (40, Clearing), (60, Resolved)],
        ),
        (
            "breached again while clearing, then clear from the start",
            &[Breach, Breach, Breach, Breach, Clear, Clear, Breach, Clear, Clear, Clear],
            &[(0, Pending), (30, Opened), (40, Clearing), (60, Reopened), (70, Clearing), (90, Resolved)],
        ),
        ("no value for three intervals", &[Clear, Missing, Missing, Missing, Missing], &[(30, NoData)]),
        ("never a value", &[Missing, Missing, Missing, Missing], &[(30, NoData)]),
        ("a value again", &[Clear, Missing, Missing, Missing, Clear], &[(30, NoData), (40, DataBack)]),
        (
            "a breaching value again",
            &[Clear, Missing, Missing, Missing, Breach],
            &[(30, NoData), (40, DataBack), (40, Pending)],
        ),
        ("values without a verdict are data", &[Clear, Unjudged, Unjudged, Unjudged, Unjudged], &[]),
        (
            "values without a verdict end NoData",
            &[Missing, Missing, Missing, Missing, Unjudged],
            &[(30, NoData), (40, DataBack)],
        ),
    ];
    for (name, events, expected) in cases {
        assert_eq!(run(&each_interval(events)), *expected, "{name}");
    }
}

#[test]
fn for_zero_opens_at_the_first_breach() {
    let timing = Timing { for_ms: 0, resolve_after_ms: 0, ..TIMING };
    let (_, changes) = run_with(&timing, &each_interval(&[Clear, Breach, Breach, Clear]));
    assert_eq!(changes, [(10, ChangeKind::Opened), (30, ChangeKind::Resolved)]);
}

#[test]
fn the_onset_is_the_first_breach_and_stays_through_clearing() {
    let events = each_interval(&[Clear, Breach, Breach, Breach, Breach, Clear, Breach]);
    let (incident, _) = run_with(&TIMING, &events);
    assert_eq!(incident.phase(), Phase::Open);
    assert_eq!(incident.onset(), Some(10));
}

#[test]
fn missing_values_freeze_the_timer_and_an_open_incident_stays_open() {
    let mut events = each_interval(&[Breach, Breach, Breach, Breach]);
    events.extend((4..100).map(|index| (index * INTERVAL, Missing)));
    let (incident, changes) = run_with(&TIMING, &events);
    assert_eq!(incident.phase(), Phase::Open);
    assert_eq!(incident.state(), IncidentState::NoData);
    assert_eq!(changes.last(), Some(&(60, ChangeKind::NoData)));
}

#[test]
fn a_gap_told_as_no_data_counts_for_nothing() {
    let mut events = each_interval(&[Breach, Breach, Missing, Missing, Missing, Missing]);
    // 10 held before the gap, so 20 more are needed after the first value that follows it.
    events.extend([(1_000, Breach), (1_010, Breach), (1_020, Breach)]);
    let changes = run(&events);
    assert_eq!(changes.last(), Some(&(1_020, ChangeKind::Opened)));
}

#[test]
fn a_silent_gap_counts_for_two_intervals_at_most() {
    assert_eq!(run(&[(0, Breach), (1_000, Breach)]), [(0, ChangeKind::Pending)]);
    let changes = run(&[(0, Breach), (1_000, Breach), (1_010, Breach)]);
    assert_eq!(changes.last(), Some(&(1_010, ChangeKind::Opened)));
}

#[test]
fn a_missing_value_now_and_then_does_not_begin_the_timer_anew() {
    let events = each_interval(&[Breach, Missing, Breach, Breach]);
    assert_eq!(run(&events).last(), Some(&(30, ChangeKind::Opened)));
}

#[test]
fn a_slow_metric_is_not_missing_between_its_own_rounds() {
    let timing = Timing { for_ms: 60, resolve_after_ms: 60, expected_interval_ms: 60 };
    let events: Vec<(i64, Event)> =
        (0..30).map(|index| (index * 10, if index % 6 == 0 { Breach } else { Missing })).collect();
    let (_, changes) = run_with(&timing, &events);
    assert_eq!(changes, [(0, ChangeKind::Pending), (60, ChangeKind::Opened)]);
}

#[test]
fn a_clock_set_back_counts_nothing() {
    let changes = run(&[(1_000, Breach), (0, Breach), (10, Breach), (20, Breach), (30, Breach)]);
    assert_eq!(changes, [(1_000, ChangeKind::Pending), (30, ChangeKind::Opened)]);
}

#[test]
fn an_incident_is_resolved_only_by_values_that_were_judged() {
    let mut events = each_interval(&[Breach, Breach, Breach, Breach, Clear]);
    events.extend((5..50).map(|index| (index * INTERVAL, Unjudged)));
    let (incident, _) = run_with(&TIMING, &events);
    assert_eq!(incident.phase(), Phase::Clearing);
}

fn any_events() -> impl Strategy<Value = Vec<(i64, Event)>> {
    let event = prop_oneof![4 => Just(Breach), 4 => Just(Clear), 1 => Just(Unjudged), 1 => Just(Suppressed), 2 => Just(Missing)];
    prop::collection::vec((0_i64..60, event), 0..120).prop_map(|steps| {
        let mut at = 0;
        let advance = |(passed, event)| {
            at += passed;
            (at, event)
        };
        steps.into_iter().map(advance).collect()
    })
}

fn any_timing() -> impl Strategy<Value = Timing> {
    (0_i64..100, 0_i64..100, 1_i64..30).prop_map(|(for_ms, resolve_after_ms, expected_interval_ms)| Timing {
        for_ms,
        resolve_after_ms,
        expected_interval_ms,
    })
}

proptest! {
    #[test]
    fn changes_follow_each_other_as_the_table_says(events in any_events(), timing in any_timing()) {
        let mut open = false;
        let mut last = ChangeKind::Normal;
        let mut no_data = false;
        for (_, change) in run_with(&timing, &events).1 {
            match change {
                ChangeKind::NoData | ChangeKind::DataBack => {
                    prop_assert_eq!(no_data, change == ChangeKind::DataBack);
                    no_data = !no_data;
                    continue;
                }
                ChangeKind::Pending => prop_assert!(matches!(last, ChangeKind::Normal | ChangeKind::Resolved)),
                ChangeKind::Normal => prop_assert_eq!(last, ChangeKind::Pending),
                ChangeKind::Opened if timing.for_ms == 0 => prop_assert!(!open),
                ChangeKind::Opened => prop_assert_eq!(last, ChangeKind::Pending),
                ChangeKind::Clearing => prop_assert!(matches!(last, ChangeKind::Opened | ChangeKind::Reopened)),
                ChangeKind::Reopened => prop_assert_eq!(last, ChangeKind::Clearing),
                ChangeKind::Resolved => prop_assert!(open),
                ChangeKind::Learning
                | ChangeKind::Judged
                | ChangeKind::ExceptionBegan
                | ChangeKind::ExceptionOver => prop_assert!(false, "not of an incident"),
            }
            open = match change {
                ChangeKind::Opened => true,
                ChangeKind::Resolved => false,
                _ => open,
            };
            last = change;
        }
    }

    #[test]
    fn nothing_opens_before_so_much_breaching_time_was_seen(events in any_events(), timing in any_timing()) {
        let mut incident = Incident::default();
        // Breaching time since the last clear value, counted independently of the machine.
        let (mut counted, mut before) = (0, None::<i64>);
        for (at, event) in events {
            let step = incident.step(at, event, &timing);
            incident = step.incident;
            match event {
                Breach => {
                    counted += before.map_or(0, |before| (at - before).min(2 * timing.expected_interval_ms));
                    before = Some(at);
                }
                Clear => (counted, before) = (0, None),
                Suppressed => before = None,
                Unjudged | Missing => {}
            }
            if step.phase == Some(ChangeKind::Opened) {
                prop_assert!(counted >= timing.for_ms);
            }
        }
    }

    #[test]
    fn rounds_without_a_value_never_change_the_phase(events in any_events(), timing in any_timing()) {
        let mut incident = Incident::default();
        for (at, event) in events {
            let step = incident.step(at, event, &timing);
            if matches!(event, Missing | Unjudged | Suppressed) {
                prop_assert_eq!(step.phase, None);
                prop_assert_eq!((step.incident.phase, step.incident.held_ms), (incident.phase, incident.held_ms));
            }
            incident = step.incident;
        }
    }
}

#[test]
fn a_change_tells_the_phase_and_whether_an_anomaly_is_concerned() {
    let table = [
        (ChangeKind::Pending, Some(Phase::Pending), false),
        (ChangeKind::Normal, Some(Phase::Normal), false),
        (ChangeKind::Opened, Some(Phase::Open), true),
        (ChangeKind::Clearing, Some(Phase::Clearing), true),
        (ChangeKind::Reopened, Some(Phase::Open), true),
        (ChangeKind::Resolved, Some(Phase::Normal), true),
        (ChangeKind::NoData, None, false),
        (ChangeKind::DataBack, None, false),
    ];
    for (kind, phase, concerned) in table {
        assert_eq!((kind.phase(), kind.concerns_anomaly()), (phase, concerned), "{kind:?}");
    }
}
