//! Up to the Job: risk, permission, budget, and what closes the way.

use super::*;

#[test]
fn a_low_risk_needs_no_person_in_mode_auto_and_one_in_mode_suggest() {
    let mut world = World::new(State::Planned);
    assert_eq!(world.entered(), Some(State::Cleared));
    world.policy = Some(policy(Mode::Suggest));
    assert_eq!(world.entered(), Some(State::AwaitingApproval));
    world.approvals = vec![approval(Vote::Approve, &world)];
    assert_eq!(world.entered(), Some(State::Cleared));
    let Decision::Enter { patch, .. } = world.decide() else { panic!() };
    assert_eq!(patch.approval.unwrap().decided_by.as_deref(), Some("alice"));
}

#[test]
fn a_higher_risk_waits_for_a_person_and_an_override_counts_at_once() {
    let mut world = World::new(State::Cleared).reserved();
    world.policy.as_mut().unwrap().risk_overrides.insert("add_index".into(), RiskLevel::High);
    assert_eq!(world.entered(), Some(State::AwaitingApproval));
    let mut world = World::new(State::Planned);
    world.spec.plan.risk.level = RiskLevel::Critical;
    world.spec.plan_hash = crate::heal::plan::hash(&world.spec.plan);
    world.policy.as_mut().unwrap().auto_up_to = RiskLevel::Critical;
    assert_eq!(world.entered(), Some(State::AwaitingApproval));
}

#[test]
fn the_way_to_the_job_is_one_write_at_a_time() {
    let mut world = World::new(State::Cleared);
    world.status.approval = World::new(State::Cleared).reserved().status.approval;
    assert_eq!(world.decide(), Decision::Reserve);
    let world = World::new(State::Cleared).reserved();
    assert_eq!(world.entered(), Some(State::Reserved));
    let world = World::new(State::Reserved).reserved();
    assert_eq!(world.decide(), Decision::CreateJob { purpose: Purpose::Apply, attempt: 1 });
    let mut world = World::new(State::Reserved).reserved().with_job(Purpose::Apply, 1, JobPhase::Active, None);
    world.policy = None;
    assert_eq!(world.entered(), Some(State::Running));
}

#[test]
fn before_the_change_an_end_of_the_incident_supersedes_it() {
    for state in BEFORE {
        for (anomaly, target_present) in
            [(AnomalySeen::Gone, true), (AnomalySeen::Resolved, true), (AnomalySeen::Open, false)]
        {
            let world = World { anomaly, target_present, ..World::new(state).reserved() };
            assert_eq!(world.entered(), Some(State::Superseded), "{state:?} {anomaly:?}");
        }
        assert_eq!(World { policy: None, ..World::new(state).reserved() }.entered(), Some(State::Superseded));
    }
}

#[test]
fn what_closes_the_way_defers_in_every_state_before_the_change() {
    let cases: [(&str, fn(&mut World)); 5] = [
        ("approval gate", |world| world.gate = Err("missing".into())),
        ("observe", |world| world.policy.as_mut().unwrap().mode = Mode::Observe),
        ("Secret", |world| world.policy.as_mut().unwrap().executor_secret = None),
        ("way back", |world| world.blocked = Some("a way back failed".into())),
        ("hash", |world| world.spec.plan.statement.push('x')),
    ];
    for state in BEFORE {
        for (reason, change) in cases {
            let mut world = World::new(state).reserved();
            world.approvals = vec![approval(Vote::Approve, &world)];
            change(&mut world);
            let Decision::Enter { state: entered, message, .. } = world.decide() else { panic!("{state:?} {reason}") };
            let expected = if reason == "hash" { State::Refused } else { State::Deferred };
            assert_eq!(entered, expected, "{state:?} {reason}");
            assert!(message.contains(reason), "{message}");
        }
    }
}

#[test]
fn ledger_budget_and_other_changes_defer_after_permission() {
    let cases: [(&str, fn(&mut World)); 4] = [
        ("ledger", |world| world.ledger = None),
        ("AnomalyException", |world| world.exempt = true),
        ("under way", |world| world.other = Some("another".into())),
        ("budget", |world| {
            world.policy.as_mut().unwrap().fixes_per_hour = 1;
            world.ledger =
                Some(vec![Reservation { uid: "x".into(), policy: "shop/standard".into(), at_ms: world.now_ms }]);
        }),
    ];
    for state in [State::Cleared, State::Deferred, State::Reserved] {
        for (reason, change) in cases {
            let mut world = World::new(state).reserved();
            change(&mut world);
            let Decision::Enter { state: entered, message, .. } = world.decide() else { panic!("{state:?} {reason}") };
            assert_eq!(entered, State::Deferred);
            assert!(message.contains(reason), "{message}");
            world.status.state = Some(State::Deferred);
            world.status.message = Some(message);
            assert!(world.waits(), "a second look writes nothing");
        }
    }
    assert_eq!(World::new(State::Deferred).reserved().entered(), Some(State::Cleared));
}

#[test]
fn a_reservation_older_than_an_hour_is_taken_again() {
    let mut world = World::new(State::Reserved).reserved();
    world.policy.as_mut().unwrap().expire_after_ms = i64::MAX / 4;
    world.now_ms += crate::heal::budget::WINDOW_MS;
    assert_eq!(world.entered(), Some(State::Cleared));
}

#[test]
fn a_refusal_wins_until_the_job_exists() {
    for state in BEFORE {
        let mut world = World::new(state).reserved();
        world.approvals = vec![approval(Vote::Approve, &world), approval(Vote::Refuse, &world)];
        assert_eq!(world.entered(), Some(State::Refused), "{state:?}");
    }
}

#[test]
fn a_revoked_approval_is_noticed_before_the_job() {
    for state in [State::Cleared, State::Deferred, State::Reserved] {
        let world = World { policy: Some(policy(Mode::Suggest)), ..World::new(state).reserved() };
        assert_eq!(world.entered(), Some(State::AwaitingApproval), "{state:?}");
    }
}

#[test]
fn an_unanswered_question_expires_and_says_why_approvals_do_not_count() {
    let mut world = World { policy: Some(policy(Mode::Suggest)), ..World::new(State::AwaitingApproval) };
    let mut wrong = approval(Vote::Approve, &world);
    wrong.spec.plan_hash = "sha256:other".into();
    world.approvals = vec![wrong];
    let Decision::Enter { state: State::AwaitingApproval, message, .. } = world.decide() else { panic!() };
    assert!(message.contains("another plan"), "{message}");
    world.status.message = Some(message);
    assert_eq!(
        world.decide(),
        Decision::Wait { until_ms: Some(900_000 + 86_400_000), reason: world.status.message.clone().unwrap() }
    );
    world.now_ms = 900_000 + 86_400_000;
    assert_eq!(world.entered(), Some(State::Expired));
}

#[test]
fn what_was_allowed_expires_before_it_takes_a_place_or_a_job() {
    for (state, world) in BEFORE.into_iter().flat_map(|state| {
        let granted = World::new(state).reserved();
        let unreserved = World { ledger: Some(vec![]), ..World::new(state).reserved() };
        [(state, granted), (state, unreserved)]
    }) {
        let mut world = world;
        world.policy.as_mut().unwrap().expire_after_ms = 100_000;
        assert_eq!(world.entered(), Some(State::Expired), "{state:?}");
        world.policy.as_mut().unwrap().expire_after_ms = 100_001;
        assert_ne!(world.entered(), Some(State::Expired), "{state:?}");
    }
    let mut refused = World::new(State::Reserved).reserved();
    refused.status.message = Some("failed to create the Job: exceeded quota".into());
    refused.policy.as_mut().unwrap().expire_after_ms = 100_000;
    let Decision::Enter { message, .. } = refused.decide() else { panic!() };
    assert!(message.contains("exceeded quota"), "{message}");
}

#[test]
fn what_nobody_asks_for_any_more_is_superseded() {
    for state in BEFORE {
        let world = World { unwanted: Some("its AnomalyRule names no policy any more".into()), ..World::new(state) };
        assert_eq!(world.reserved().entered(), Some(State::Superseded), "{state:?}");
    }
}

#[test]
fn a_removed_override_counts_at_once_and_the_applied_level_is_said() {
    let mut world = World::new(State::Planned);
    world.spec.plan.risk.level = RiskLevel::Medium;
    world.spec.plan_hash = crate::heal::plan::hash(&world.spec.plan);
    assert_eq!(world.entered(), Some(State::AwaitingApproval));
    world.policy.as_mut().unwrap().risk_overrides.insert("add_index".into(), RiskLevel::Low);
    let Decision::Enter { state, message, .. } = world.decide() else { panic!() };
    assert_eq!(state, State::Cleared);
    assert!(message.contains("risk low (set by the policy's riskOverrides, rated medium)"), "{message}");
    world.policy.as_mut().unwrap().risk_overrides.clear();
    for state in [State::Cleared, State::Deferred, State::Reserved] {
        world.status.state = Some(state);
        assert_eq!(world.entered(), Some(State::AwaitingApproval), "{state:?}");
    }
}

#[test]
fn an_object_that_is_being_deleted_gets_no_job() {
    let deleted = |world: World| World { deleted: true, ..world };
    assert!(deleted(World::new(State::Reserved).reserved()).waits());
    let mut cleared = deleted(World::new(State::Cleared).reserved());
    cleared.ledger = Some(vec![]);
    assert!(cleared.waits());
    assert!(deleted(World::new(State::Running).with_job(Purpose::Apply, 1, JobPhase::Failed, None)).waits());
    let mut rolling = deleted(World::new(State::RollingBack));
    rolling.status.jobs = vec![JobStatus { name: job_name(UID, Purpose::Apply, 1), ..JobStatus::default() }];
    assert!(rolling.waits());
}

#[test]
fn of_several_that_wait_for_a_database_the_higher_priority_goes_first() {
    let mut world = World { ahead: Some("urgent".into()), ..World::new(State::Cleared).reserved() };
    world.ledger = Some(vec![]);
    let Decision::Enter { state: State::Deferred, message, .. } = world.decide() else {
        panic!("{:?}", world.decide())
    };
    assert!(message.contains("higher priority: urgent"), "{message}");
    world.status.state = Some(State::Deferred);
    world.status.message = Some(message);
    assert!(!waits_for_database(&world.status), "it waits for that one, and not for the database");
    let mut world = World { other: Some("another".into()), ..World::new(State::Cleared).reserved() };
    let Decision::Enter { message, .. } = world.decide() else { panic!("{:?}", world.decide()) };
    world.status.state = Some(State::Deferred);
    world.status.message = Some(message);
    assert!(waits_for_database(&world.status));
}
