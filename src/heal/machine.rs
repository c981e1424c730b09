//! The state machine of a Remediation: from what is there to the one external write that comes next.
//!
//! | state | next |
//! |---|---|
//! | Planned | Cleared · AwaitingApproval · Deferred · Refused · Superseded · Expired |
//! | AwaitingApproval | Cleared · Refused · Expired · Superseded · Deferred |
//! | Cleared, Deferred | (reservation) · Reserved · AwaitingApproval · Deferred · Refused · Expired · Superseded |
//! | Reserved | (Job) · Running · what Cleared has |
//! | Running | (next attempt) · Verifying · RollingBack · Failed · Deferred, when the executor says that its reason passes |
//! | Verifying | Succeeded · RollingBack · Unverified |
//! | Unverified | Succeeded · RollingBack when its statements are slower, watched on for 72 h |
//! | RollingBack | (stop the Job) · (undo Job) · RolledBack · RollbackFailed · Failed, when nothing was ever begun |
//!
//! An object that is being deleted takes no place in the budget and gets no Job.
//!
//! Every decision is one write. After a crash the same question is asked again, with the same answer.

mod before;
#[cfg(test)]
mod forged;
mod running;
mod situation;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

pub use before::{printable, waits_for_database};
pub use situation::{
    AnomalySeen, Decision, JobPhase, JobSeen, Purpose, Situation, StatusPatch, is_terminal, job_name, timestamp,
};

use crate::api::RemediationState as State;

/// The one external write that comes next.
pub fn decide(situation: &Situation<'_>) -> Decision {
    let decision = next(situation);
    if situation.deleted && matches!(decision, Decision::Reserve | Decision::CreateJob { .. }) {
        return Decision::Wait {
            until_ms: None,
            reason: "it is being deleted: nothing is begun for it any more".into(),
        };
    }
    decision
}

fn next(situation: &Situation<'_>) -> Decision {
    match situation.state() {
        State::Planned | State::AwaitingApproval | State::Cleared | State::Deferred | State::Reserved => {
            before::decide(situation)
        }
        State::Running => running::run(situation),
        State::Verifying | State::Unverified => running::verify(situation),
        State::RollingBack => running::roll_back(situation),
        State::Succeeded
        | State::RolledBack
        | State::RollbackFailed
        | State::Failed
        | State::Refused
        | State::Expired
        | State::Superseded => Decision::Wait { until_ms: None, reason: "it is over".into() },
    }
}
