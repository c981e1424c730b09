//! From the Job on: its report, the measurement, and the way back.

use super::*;

#[test]
fn the_report_of_the_job_decides() {
    let run = |outcome, changed| {
        World::new(State::Running)
            .with_job(Purpose::Apply, 1, JobPhase::Failed, Some(report(outcome, changed)))
            .entered()
    };
    assert_eq!(run(Outcome::Applied, true), Some(State::Verifying));
    assert_eq!(run(Outcome::Adopted, false), Some(State::Verifying));
    assert_eq!(run(Outcome::Refused, false), Some(State::Failed));
    assert_eq!(run(Outcome::Failed, false), Some(State::Failed));
    assert_eq!(run(Outcome::Failed, true), Some(State::RollingBack));
    let world = World::new(State::Running).with_job(Purpose::Apply, 1, JobPhase::Failed, None).with_job(
        Purpose::Apply,
        2,
        JobPhase::Failed,
        Some(report(Outcome::Refused, false)),
    );
    assert_eq!(world.entered(), Some(State::RollingBack), "the first attempt may have left something");
}

#[test]
fn a_job_that_said_nothing_is_tried_again_with_growing_waits_and_then_taken_back() {
    let failed = |attempts: u32| {
        let mut world = World::new(State::Running);
        for attempt in 1..=attempts {
            world = world.with_job(Purpose::Apply, attempt, JobPhase::Failed, None);
        }
        world
    };
    assert_eq!(failed(1).decide(), Decision::CreateJob { purpose: Purpose::Apply, attempt: 2 });
    let mut early = failed(2);
    early.jobs[1].finished_ms = Some(early.now_ms - 9_999);
    assert!(matches!(early.decide(), Decision::Wait { until_ms: Some(until), .. } if until == early.now_ms + 1));
    assert_eq!(failed(3).entered(), Some(State::RollingBack));
    let revoked = World { policy: Some(policy(Mode::Suggest)), ..failed(1) };
    assert_eq!(revoked.entered(), Some(State::RollingBack));
    let gone = World { policy: None, ..failed(1) };
    assert_eq!(gone.entered(), Some(State::RollingBack));
    let mut removed = failed(1);
    removed.jobs.clear();
    assert_eq!(removed.decide(), Decision::CreateJob { purpose: Purpose::Apply, attempt: 2 });
}

#[test]
fn a_job_that_does_not_end_is_stopped_before_the_way_back() {
    let mut world = World::new(State::Running).with_job(Purpose::Apply, 1, JobPhase::Active, None);
    assert!(world.waits());
    world.now_ms += 900_000;
    assert_eq!(world.entered(), Some(State::RollingBack));
    world.status.state = Some(State::RollingBack);
    assert_eq!(world.decide(), Decision::DeleteJob { name: job_name(UID, Purpose::Apply, 1) });
    world.jobs.clear();
    assert_eq!(world.decide(), Decision::CreateJob { purpose: Purpose::Undo, attempt: 1 });
}

#[test]
fn a_new_job_is_on_the_object_before_anything_else() {
    let mut world = World::new(State::Running).with_job(Purpose::Apply, 1, JobPhase::Failed, None);
    world.status.jobs.clear();
    let Decision::Enter { state: State::Running, patch, .. } = world.decide() else { panic!() };
    assert_eq!(patch.jobs.unwrap().len(), 1);
}

fn verifying(state: State, values: &[f32], seconds_later: i64) -> World {
    let mut world = World::new(state);
    world.status.applied_at = Some(timestamp(1_000_000));
    world.samples = (1_i64..).map(|second| 1_000_000 + second * 1000).zip(values.iter().copied()).collect();
    world.now_ms += seconds_later * 1000;
    // What would have stopped it before the change does not stop the measurement.
    World { policy: None, anomaly: AnomalySeen::Gone, gate: Err("gone".into()), ledger: None, ..world }
}

#[test]
fn the_measurement_goes_on_whatever_became_of_policy_and_anomaly() {
    assert_eq!(verifying(State::Verifying, &[5.0; 3], 10).entered(), Some(State::Succeeded));
    assert!(verifying(State::Verifying, &[90.0; 3], 10).waits());
    assert_eq!(verifying(State::Verifying, &[90.0; 3], 301).entered(), Some(State::RollingBack));
    assert_eq!(verifying(State::Verifying, &[200.0; 3], 10).entered(), Some(State::RollingBack));
    assert_eq!(verifying(State::Verifying, &[], 301).entered(), Some(State::Unverified));
}

#[test]
fn a_metric_that_is_as_far_off_as_was_announced_condemns_no_change() {
    let exempt = |values: &[f32], later| World { exempt: true, ..verifying(State::Verifying, values, later) };
    assert!(exempt(&[200.0; 3], 10).waits() && exempt(&[200.0; 3], 301).waits(), "until the exception is over");
    assert_eq!(exempt(&[90.0; 3], 301).entered(), Some(State::Unverified));
    assert_eq!(exempt(&[5.0; 3], 10).entered(), Some(State::Succeeded));
}

#[test]
fn an_unverified_change_is_watched_on() {
    assert!(verifying(State::Unverified, &[], 400).waits());
    assert_eq!(verifying(State::Unverified, &[5.0; 3], 400).entered(), Some(State::Succeeded));
    assert!(verifying(State::Unverified, &[90.0; 3], 400).waits());
    assert!(verifying(State::Unverified, &[200.0; 3], 400).waits());
    assert!(verifying(State::Unverified, &[90.0; 3], 73 * 3600).waits());
}

#[test]
fn an_unverified_change_is_taken_back_only_for_the_statements_it_was_for_and_not_beside_another() {
    let targeted = |values: &[f32], calls: f64, mean_ms: f64| {
        let mut world = verifying(State::Unverified, values, 400);
        world.spec.plan.verification.query_ids = vec!["1".into()];
        world.spec.plan.verification.statements_before_ms = Some(100.0);
        world.statements = Some(StatementFigures { calls, mean_ms });
        world
    };
    assert!(targeted(&[200.0; 9], 500.0, 99.0).waits(), "the metric alone condemns nothing");
    assert!(targeted(&[200.0; 9], 29.0, 500.0).waits());
    assert_eq!(targeted(&[5.0; 3], 30.0, 121.0).entered(), Some(State::RollingBack));
    assert_eq!(targeted(&[5.0; 3], 30.0, 10.0).entered(), Some(State::Succeeded));
    let beside = World { other: Some("another".into()), ..targeted(&[5.0; 3], 30.0, 121.0) };
    assert!(beside.waits());
}

#[test]
fn a_change_without_a_time_is_taken_back() {
    let mut world = verifying(State::Verifying, &[5.0; 3], 10);
    world.status.applied_at = None;
    assert_eq!(world.entered(), Some(State::RollingBack));
    world.status.transitions =
        vec![Transition { state: State::Verifying, at: timestamp(1_000_000), message: String::new() }];
    assert_eq!(world.entered(), Some(State::Succeeded));
}

#[test]
fn the_way_back_has_attempts_of_its_own() {
    let undo = |attempt, phase, outcome: Option<(Outcome, bool)>| {
        World::new(State::RollingBack).with_job(
            Purpose::Undo,
            attempt,
            phase,
            outcome.map(|(outcome, changed)| report(outcome, changed)),
        )
    };
    assert_eq!(undo(1, JobPhase::Succeeded, Some((Outcome::Undone, true))).entered(), Some(State::RolledBack));
    assert_eq!(undo(1, JobPhase::Succeeded, Some((Outcome::NothingToUndo, false))).entered(), Some(State::RolledBack));
    assert_eq!(undo(1, JobPhase::Failed, Some((Outcome::Refused, false))).entered(), Some(State::RollbackFailed));
    assert!(undo(1, JobPhase::Active, None).waits());
    for report in [None, Some((Outcome::Failed, true))] {
        let next = Decision::CreateJob { purpose: Purpose::Undo, attempt: 5 };
        assert_eq!(undo(4, JobPhase::Failed, report).decide(), next);
        assert_eq!(undo(5, JobPhase::Failed, report).entered(), Some(State::RollbackFailed));
    }
}

#[test]
fn the_way_back_waits_an_hour_for_credentials() {
    let mut world = World { policy: None, ..World::new(State::RollingBack) };
    world.status.transitions =
        vec![Transition { state: State::RollingBack, at: timestamp(world.now_ms), message: "worse".into() }];
    world.status.jobs = vec![JobStatus { name: job_name(UID, Purpose::Apply, 1), ..JobStatus::default() }];
    world.says_and_waits(State::RollingBack, "no credentials");
    world.now_ms += 3_599_999;
    assert!(world.waits());
    world.now_ms += 1;
    assert_eq!(world.entered(), Some(State::RollbackFailed));
}

#[test]
fn a_way_back_that_cannot_begin_is_an_alarm_after_ten_minutes() {
    let rolling = || {
        let mut world = World::new(State::RollingBack);
        world.status.transitions =
            vec![Transition { state: State::RollingBack, at: timestamp(world.now_ms), message: "worse".into() }];
        world
    };
    for reason in ["the Baseline is gone", "the database pod is gone", "the database pod has no address"] {
        let mut world = World { destination: Err(reason.into()), ..rolling() };
        world.status.jobs = vec![JobStatus { name: job_name(UID, Purpose::Apply, 1), ..JobStatus::default() }];
        world.says_and_waits(State::RollingBack, reason);
        world.now_ms += 599_999;
        assert!(world.waits());
        world.now_ms += 1;
        let Decision::Enter { state, message, .. } = world.decide() else { panic!("{:?}", world.decide()) };
        assert_eq!(state, State::RollbackFailed);
        assert!(message.contains(reason) && message.contains("DROP INDEX"), "{message}");
        world.destination = Ok(());
        assert_eq!(world.decide(), Decision::CreateJob { purpose: Purpose::Undo, attempt: 1 });
    }
    let mut world = rolling().with_job(Purpose::Apply, 1, JobPhase::Active, None);
    let name = job_name(UID, Purpose::Apply, 1);
    world.now_ms += 599_999;
    assert_eq!(world.decide(), Decision::DeleteJob { name: name.clone() });
    world.now_ms += 1;
    let Decision::Enter { state, message, .. } = world.decide() else { panic!("{:?}", world.decide()) };
    assert_eq!(state, State::RollbackFailed);
    assert!(message.contains(&format!("{name} cannot be removed")), "{message}");
}

#[test]
fn an_executor_that_has_to_wait_is_sent_again_with_growing_waits_until_the_plan_expires() {
    let transient = || FixReport { transient: true, ..report(Outcome::Refused, false) };
    let mut world =
        World::new(State::Running).reserved().with_job(Purpose::Apply, 1, JobPhase::Failed, Some(transient()));
    world.jobs[0].finished_ms = Some(world.now_ms - 29_999);
    let Decision::Enter { state, message, .. } = world.decide() else { panic!("{:?}", world.decide()) };
    assert_eq!(state, State::Deferred);
    world.status.state = Some(State::Deferred);
    world.status.message = Some(message);
    assert!(matches!(world.decide(), Decision::Wait { until_ms: Some(until), .. } if until == world.now_ms + 1));
    world.now_ms += 1;
    assert_eq!(world.entered(), Some(State::Cleared));
    world.status.state = Some(State::Cleared);
    assert_eq!(world.entered(), Some(State::Reserved));
    world.status.state = Some(State::Reserved);
    assert_eq!(world.decide(), Decision::CreateJob { purpose: Purpose::Apply, attempt: 2 });
    let mut again = world.with_job(Purpose::Apply, 2, JobPhase::Failed, Some(transient()));
    again.jobs[1].finished_ms = Some(again.now_ms - 59_999);
    assert_eq!(again.entered(), Some(State::Deferred), "the wait grows");
    again.status.state = Some(State::Running);
    again.jobs[1].report = None;
    again.jobs[1].finished_ms = None;
    assert_eq!(again.decide(), Decision::CreateJob { purpose: Purpose::Apply, attempt: 3 }, "put off is not failed");
    again.jobs[1].report = Some(transient());
    again.status.state = Some(State::Deferred);
    again.policy.as_mut().unwrap().expire_after_ms = 1;
    assert_eq!(again.entered(), Some(State::Expired));

    let changed = FixReport { changed: true, ..transient() };
    let world = World::new(State::Running).with_job(Purpose::Apply, 1, JobPhase::Failed, Some(changed));
    assert_eq!(world.entered(), Some(State::RollingBack));
    let unknown = World::new(State::Running).with_job(Purpose::Apply, 1, JobPhase::Failed, None);
    let unknown = unknown.with_job(Purpose::Apply, 2, JobPhase::Failed, Some(transient()));
    assert_eq!(unknown.entered(), Some(State::RollingBack), "the first attempt may have left something");
}

#[test]
fn what_is_over_stays_over() {
    for state in [
        State::Succeeded,
        State::RolledBack,
        State::RollbackFailed,
        State::Failed,
        State::Refused,
        State::Expired,
        State::Superseded,
    ] {
        assert!(World::new(state).waits());
        assert!(is_terminal(state));
    }
}

#[test]
fn job_names_fit_a_label() {
    assert!(job_name(UID, Purpose::Apply, 11).len() <= 58, "the pod's name is five characters longer and a dash");
}
