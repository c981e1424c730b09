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
    pub exempt: bool,
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
            exempt: false,
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
            exempt: self.exempt,
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

mod before;
mod running;
