//! What the machine is asked about, and what it may answer.

use crate::api::{ApprovalStatus, JobStatus, RemediationSpec, RemediationState, RemediationStatus, VerificationStatus};
use crate::heal::approval::ApprovalSeen;
use crate::heal::budget::Reservation;
use crate::heal::policy::Policy;
use crate::heal::report::{FixReport, Outcome};
use crate::measure::StatementFigures;

/// Most Jobs that an object keeps (limit of the kind).
const MOST_JOBS: usize = 32;

/// How the incident stands.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum AnomalySeen {
    /// The object does not exist any more, or is another one.
    Gone,
    /// Open.
    Open,
    /// Clear, but not for long enough.
    Clearing,
    /// Over.
    Resolved,
}

/// What a Job is for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Purpose {
    /// The change.
    Apply,
    /// The way back.
    Undo,
}

impl Purpose {
    /// As it is written in arguments, labels and names.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Apply => "apply",
            Self::Undo => "undo",
        }
    }
}

/// How a Job stands.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum JobPhase {
    /// Not finished.
    Active,
    /// Its pod ended with exit code 0.
    Succeeded,
    /// Anything else.
    Failed,
}

/// A Job of the Remediation, read live.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct JobSeen {
    /// Name.
    pub name: String,
    /// What it is for.
    pub purpose: Purpose,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// How it stands.
    pub phase: JobPhase,
    /// What the executor said, when it said something.
    pub report: Option<FixReport>,
    /// Why its pod does not start, while it does not.
    pub hindrance: Option<String>,
    /// When it was created, ms since the Unix epoch.
    pub created_ms: i64,
    /// When it ended, ms since the Unix epoch.
    pub finished_ms: Option<i64>,
}

/// Everything that a decision depends on. What guards an effect (policy, approvals, gate, ledger, Jobs) is read live.
#[derive(Clone, Debug)]
pub struct Situation<'a> {
    /// Now, ms since the Unix epoch.
    pub now_ms: i64,
    /// Namespace of the Remediation and its policy.
    pub namespace: &'a str,
    /// Name of the Remediation.
    pub name: &'a str,
    /// Its UID.
    pub uid: &'a str,
    /// When it was created, ms since the Unix epoch.
    pub created_ms: i64,
    /// Its spec.
    pub spec: &'a RemediationSpec,
    /// Its status.
    pub status: &'a RemediationStatus,
    /// The policy; `None` when it does not exist any more, or is `unusable`.
    pub policy: Option<&'a Policy>,
    /// Why the policy cannot be resolved, when it exists and is wrong: a slip of the pen must not throw a plan away.
    pub unusable: Option<String>,
    /// Why this policy may not begin anything, such as a way back that failed and that nobody has cleared.
    pub blocked: Option<String>,
    /// Who last wrote the policy.
    pub requested_by: Option<String>,
    /// The operator's own user.
    pub operator_user: &'a str,
    /// Decisions of people.
    pub approvals: &'a [ApprovalSeen],
    /// Whether the approval gate and the Job shape policy are in force, else why not.
    pub gate: Result<(), String>,
    /// The ledger; `None` when it cannot be read or was lost.
    pub ledger: Option<&'a [Reservation]>,
    /// Another Remediation that is between reservation and end of verification on the same database.
    pub other_in_flight: Option<String>,
    /// Another Remediation of the same database that waits too, and whose strategy has the higher priority.
    pub ahead: Option<String>,
    /// Why rule, policy and strategy do not ask for this change any more, when they do not.
    pub unwanted: Option<String>,
    /// Whether a Job could be sent to the database, else why not.
    pub destination: Result<(), String>,
    /// The object is being deleted: nothing is begun for it any more.
    pub deleted: bool,
    /// The incident.
    pub anomaly: AnomalySeen,
    /// Whether an exception is active for the rule of the incident: a known peak, or maintenance.
    pub exempt: bool,
    /// Whether the database pod exists.
    pub target_present: bool,
    /// The Jobs of this Remediation.
    pub jobs: &'a [JobSeen],
    /// Verification metric since the change, oldest first: ms since the Unix epoch and value.
    pub samples: &'a [(i64, f32)],
    /// The targeted statements since the change.
    pub statements: Option<StatementFigures>,
}

/// Additions to the status, beside state, message and the transition.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StatusPatch {
    /// Who decided.
    pub approval: Option<ApprovalStatus>,
    /// End of the change (RFC 3339).
    pub applied_at: Option<String>,
    /// The Jobs.
    pub jobs: Option<Vec<JobStatus>>,
    /// Before and after.
    pub verification: Option<VerificationStatus>,
}

/// One external write, or none.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// No write now; ask again at this time, or when something changes.
    Wait {
        /// When, ms since the Unix epoch.
        until_ms: Option<i64>,
        /// Why.
        reason: String,
    },
    /// Write the status. The state it has already means: only the message changes, and no transition is added.
    Enter {
        /// The state.
        state: RemediationState,
        /// Why.
        message: String,
        /// Further fields.
        patch: Box<StatusPatch>,
    },
    /// Write a reservation into the ledger, with its version as precondition.
    Reserve,
    /// Create the Job of [`job_name`]; one that exists already is the same one.
    CreateJob {
        /// What for.
        purpose: Purpose,
        /// Which attempt, from 1.
        attempt: u32,
    },
    /// Delete a Job that must not begin any more, and its pods.
    DeleteJob {
        /// Its name.
        name: String,
    },
}

impl JobSeen {
    /// Whether the executor refused for a reason that passes by itself, and left everything as it was.
    pub fn was_put_off(&self) -> bool {
        self.phase != JobPhase::Active
            && self.report.as_ref().is_some_and(|report| {
                matches!(report.outcome, Outcome::Refused | Outcome::Failed) && report.transient && !report.changed
            })
    }
}

impl Situation<'_> {
    /// The present state.
    pub fn state(&self) -> RemediationState {
        self.status.state.unwrap_or_default()
    }

    /// Policy as the ledger names it.
    pub fn ledger_policy(&self) -> String {
        format!("{}/{}", self.namespace, self.spec.policy_ref.name)
    }

    /// The newest Job of a purpose.
    pub(super) fn latest(&self, purpose: Purpose) -> Option<&JobSeen> {
        self.jobs.iter().filter(|job| job.purpose == purpose).max_by_key(|job| job.attempt)
    }

    /// The highest attempt of a purpose that is known, also from Jobs that were removed since; 0 without any.
    pub(super) fn attempts(&self, purpose: Purpose) -> u32 {
        let prefix = format!("-{}-", purpose.as_str());
        let noted = self.status.jobs.iter().filter_map(|job| job.name.rsplit_once(&prefix)?.1.parse().ok());
        let seen = self.jobs.iter().filter(|job| job.purpose == purpose).map(|job| job.attempt);
        noted.chain(seen).max().unwrap_or(0)
    }

    /// The decision to enter a state, with the Jobs as they are known now.
    pub(super) fn enter(&self, state: RemediationState, message: impl Into<String>, patch: StatusPatch) -> Decision {
        let jobs = (!self.jobs.is_empty()).then(|| self.job_statuses());
        Decision::Enter { state, message: message.into(), patch: Box::new(StatusPatch { jobs, ..patch }) }
    }

    /// Jobs that were seen stay known after they are gone.
    fn job_statuses(&self) -> Vec<JobStatus> {
        let mut known = self.status.jobs.clone();
        let mut seen: Vec<&JobSeen> = self.jobs.iter().collect();
        seen.sort_by_key(|job| (job.created_ms, job.purpose == Purpose::Undo, job.attempt));
        for job in seen {
            let status = JobStatus {
                name: job.name.clone(),
                outcome: match job.phase {
                    JobPhase::Active => None,
                    JobPhase::Succeeded => Some("succeeded".into()),
                    JobPhase::Failed => Some("failed".into()),
                },
                report: job.report.as_ref().map(|report| report.message.chars().take(1024).collect()),
            };
            match known.iter_mut().find(|one| one.name == job.name) {
                Some(one) => *one = status,
                None => known.push(status),
            }
        }
        // The newest ones say which attempt is next.
        known.drain(..known.len().saturating_sub(MOST_JOBS));
        known
    }
}

/// Whether a state has no way out but [`Decision::Wait`]. `Unverified` counts: it is watched on, and nothing waits for it.
pub fn is_terminal(state: RemediationState) -> bool {
    use RemediationState as State;
    match state {
        State::Planned
        | State::AwaitingApproval
        | State::Cleared
        | State::Deferred
        | State::Reserved
        | State::Running
        | State::Verifying
        | State::RollingBack => false,
        State::Succeeded
        | State::Unverified
        | State::RolledBack
        | State::RollbackFailed
        | State::Failed
        | State::Refused
        | State::Expired
        | State::Superseded => true,
    }
}

/// Name of a Job: `dbmedic-<uid>-apply-1`, derived from the object, so that a second creation finds the first one.
pub fn job_name(uid: &str, purpose: Purpose, attempt: u32) -> String {
    format!("dbmedic-{uid}-{}-{attempt}", purpose.as_str())
}

/// Milliseconds since the Unix epoch as RFC 3339 with milliseconds; empty for what no calendar has.
pub fn timestamp(at_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(at_ms).map(|at| format!("{at:.3}")).unwrap_or_default()
}
