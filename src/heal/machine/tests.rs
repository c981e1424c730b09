//! One situation per row of the table, told by what differs from an ordinary one.

use super::*;
use crate::api::{
    ActionName, AddIndex, Change, Decision as Vote, JobStatus, Mode, ObjectReference, Plan, RemediationApprovalSpec,
    RemediationSpec, RemediationStatus, Risk, RiskLevel, Transition, Verification,
};
use crate::heal::approval::ApprovalSeen;
use crate::heal::budget::Reservation;
use crate::heal::policy::Policy;
use crate::heal::report::{FixReport, Outcome};
use crate::measure::StatementFigures;

pub(super) const UID: &str = "0b9f3b9e-6d0a-4f0e-9d3f-0123456789ab";

pub(super) struct World {
    pub now_ms: i64,
    pub spec: RemediationSpec,
    pub status: RemediationStatus,
    pub policy: Option<Policy>,
    pub approvals: Vec<ApprovalSeen>,
    pub gate: Result<(), String>,
    pub ledger: Option<Vec<Reservation>>,
    pub other: Option<String>,
    pub anomaly: AnomalySeen,
    pub target_present: bool,
    pub jobs: Vec<JobSeen>,
    pub samples: Vec<(i64, f32)>,
    pub statements: Option<StatementFigures>,
    pub blocked: Option<String>,
    pub unusable: Option<String>,
    pub ahead: Option<String>,
    pub unwanted: Option<String>,
    pub destination: Result<(), String>,
    pub deleted: bool,
}

pub(super) fn policy(mode: Mode) -> Policy {
    let spec = serde_json::from_value(serde_json::json!({
        "mode": mode, "executor": {"secretRef": {"name": "fixer"}}, "retries": {"max": 2},
        "strategies": {"slow_query": {"steps": [{"action": "add_index"}]}}
    }));
    crate::heal::policy::resolve(&spec.unwrap()).unwrap()
}

impl World {
    pub fn new(state: State) -> Self {
        let plan = Plan {
            change: Change { add_index: Some(AddIndex::default()) },
            verification: Verification {
                metric: "response_time".into(),
                before: 100.0,
                upper: Some(10.0),
                timeout_seconds: 300,
                ..Verification::default()
            },
            risk: Risk { level: RiskLevel::Low, reasons: vec![] },
            timeout_seconds: 600,
            undo: "DROP INDEX".into(),
            ..Plan::default()
        };
        Self {
            now_ms: 1_000_000,
            spec: RemediationSpec {
                anomaly_ref: ObjectReference::default(),
                policy_ref: ObjectReference { name: "standard".into(), uid: "p".into() },
                strategy: "slow_query".into(),
                step: 0,
                action: ActionName::AddIndex,
                plan_hash: crate::heal::plan::hash(&plan),
                plan,
            },
            status: RemediationStatus { state: Some(state), ..RemediationStatus::default() },
            policy: Some(policy(Mode::Auto)),
            approvals: vec![],
            gate: Ok(()),
            ledger: Some(vec![]),
            other: None,
            anomaly: AnomalySeen::Open,
            target_present: true,
            jobs: vec![],
            samples: vec![],
            statements: None,
            blocked: None,
            unusable: None,
            ahead: None,
            unwanted: None,
            destination: Ok(()),
            deleted: false,
        }
    }

    pub fn decide(&self) -> Decision {
        decide(&Situation {
            now_ms: self.now_ms,
            namespace: "shop",
            name: "fix",
            uid: UID,
            created_ms: 900_000,
            spec: &self.spec,
            status: &self.status,
            policy: self.policy.as_ref(),
            unusable: self.unusable.clone(),
            ahead: self.ahead.clone(),
            unwanted: self.unwanted.clone(),
            destination: self.destination.clone(),
            deleted: self.deleted,
            blocked: self.blocked.clone(),
            requested_by: Some("erin".into()),
            operator_user: "operator",
            approvals: &self.approvals,
            gate: self.gate.clone(),
            ledger: self.ledger.as_deref(),
            other_in_flight: self.other.clone(),
            anomaly: self.anomaly,
            target_present: self.target_present,
            jobs: &self.jobs,
            samples: &self.samples,
            statements: self.statements,
        })
    }

    /// The state that is entered, `None` for any other decision.
    fn entered(&self) -> Option<State> {
        match self.decide() {
            Decision::Enter { state, .. } => Some(state),
            _ => None,
        }
    }

    /// It says why it waits, once.
    fn says_and_waits(&mut self, state: State, part: &str) {
        let Decision::Enter { state: entered, message, .. } = self.decide() else { panic!("{:?}", self.decide()) };
        assert_eq!(entered, state);
        assert!(message.contains(part), "{message}");
        self.status.message = Some(message);
        assert!(self.waits(), "a second look writes nothing");
    }

    fn waits(&self) -> bool {
        matches!(self.decide(), Decision::Wait { .. })
    }

    fn reserved(mut self) -> Self {
        self.ledger = Some(vec![Reservation { uid: UID.into(), policy: "shop/standard".into(), at_ms: self.now_ms }]);
        self.status.approval = Some(crate::api::ApprovalStatus {
            by: "policy".into(),
            decided_by: None,
            plan_hash: self.spec.plan_hash.clone(),
        });
        self
    }

    pub(super) fn with_job(
        mut self,
        purpose: Purpose,
        attempt: u32,
        phase: JobPhase,
        report: Option<FixReport>,
    ) -> Self {
        let name = job_name(UID, purpose, attempt);
        self.status.jobs.push(JobStatus { name: name.clone(), ..JobStatus::default() });
        let finished_ms = (phase != JobPhase::Active).then_some(self.now_ms - 60_000);
        let created_ms = self.now_ms - 100_000;
        self.jobs.push(JobSeen { name, purpose, attempt, phase, report, hindrance: None, created_ms, finished_ms });
        self
    }
}

pub(super) fn approval(decision: Vote, world: &World) -> ApprovalSeen {
    ApprovalSeen {
        name: "yes".into(),
        created_ms: 950_000,
        spec: RemediationApprovalSpec {
            remediation: "fix".into(),
            remediation_uid: UID.into(),
            plan_hash: world.spec.plan_hash.clone(),
            decision,
            decided_by: "alice".into(),
            ..RemediationApprovalSpec::default()
        },
    }
}

pub(super) fn report(outcome: Outcome, changed: bool) -> FixReport {
    FixReport {
        outcome,
        changed,
        transient: false,
        message: "said".into(),
        index_valid: None,
        started_at: String::new(),
        finished_at: timestamp(950_000),
    }
}

const BEFORE: [State; 5] = [State::Planned, State::AwaitingApproval, State::Cleared, State::Deferred, State::Reserved];

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
    let cases: [(&str, fn(&mut World)); 3] = [
        ("ledger", |world| world.ledger = None),
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
