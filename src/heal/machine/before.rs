//! Before the change: permission, budget, and the last look at both before the Job is created.

use super::situation::{AnomalySeen, Decision, Purpose, Situation, StatusPatch, timestamp};
use crate::actions;
use crate::api::{ApprovalStatus, Mode, RemediationState as State, RiskLevel};
use crate::heal::approval::{self, Question};
use crate::heal::budget::{self, Budget};
use crate::heal::policy::Policy;
use crate::heal::risk;

/// Whether the change may be made.
enum Permission {
    Granted(ApprovalStatus, String),
    Ask(String),
    Refused(String),
    /// Not now, whoever approves.
    Closed(String),
}

pub(super) fn decide(situation: &Situation<'_>) -> Decision {
    // A Job that exists has been let through: whatever has changed since, its outcome must be known.
    if situation.latest(Purpose::Apply).is_some() {
        return situation.enter(State::Running, "the Job exists", StatusPatch::default());
    }
    if let Some(reason) = stale(situation) {
        return situation.enter(State::Superseded, reason, StatusPatch::default());
    }
    let Some(policy) = situation.policy else {
        if let Some(problem) = &situation.unusable {
            return say(situation, State::Deferred, format!("the policy cannot be used: {problem}"), None);
        }
        return situation.enter(State::Superseded, "the policy is gone", StatusPatch::default());
    };
    let expires_ms = situation.created_ms.saturating_add(policy.expire_after_ms);
    let expired = situation.now_ms >= expires_ms;
    match permission(situation, policy) {
        Permission::Refused(message) => situation.enter(State::Refused, message, StatusPatch::default()),
        Permission::Ask(_) | Permission::Closed(_) if expired => situation.enter(
            State::Expired,
            format!("nobody approved it before {}", timestamp(expires_ms)),
            StatusPatch::default(),
        ),
        Permission::Ask(message) => say(situation, State::AwaitingApproval, message, Some(expires_ms)),
        Permission::Closed(message) => say(situation, State::Deferred, message, Some(expires_ms)),
        Permission::Granted(status, message) => granted(situation, policy, status, &message, expires_ms),
    }
}

fn granted(
    situation: &Situation<'_>,
    policy: &Policy,
    approval: ApprovalStatus,
    message: &str,
    expires_ms: i64,
) -> Decision {
    let state = situation.state();
    let approval_changed = situation.status.approval.as_ref() != Some(&approval);
    if matches!(state, State::Planned | State::AwaitingApproval) {
        let patch = StatusPatch { approval: Some(approval), ..StatusPatch::default() };
        return situation.enter(State::Cleared, message, patch);
    }
    if let Some((reason, until_ms)) = obstacle(situation, policy) {
        if situation.now_ms >= expires_ms {
            return situation.enter(
                State::Expired,
                format!("it could not begin in time: {reason}"),
                StatusPatch::default(),
            );
        }
        let until_ms = until_ms.map_or(expires_ms, |until| until.min(expires_ms));
        return say(situation, State::Deferred, reason, Some(until_ms));
    }
    // The approval is on the object before the effect, also when it is another one than at first.
    if state == State::Deferred || approval_changed {
        let patch = StatusPatch { approval: Some(approval), ..StatusPatch::default() };
        return situation.enter(State::Cleared, message, patch);
    }
    let reserved = situation.ledger.is_some_and(|ledger| budget::holds(ledger, situation.uid, situation.now_ms));
    match (state, reserved) {
        (State::Reserved, true) => Decision::CreateJob { purpose: Purpose::Apply, attempt: 1 },
        (State::Reserved, false) => {
            situation.enter(State::Cleared, "the reservation is older than 60 minutes", StatusPatch::default())
        }
        (_, true) => situation.enter(State::Reserved, "a place in the budget is reserved", StatusPatch::default()),
        (_, false) => Decision::Reserve,
    }
}

/// Why the plan makes no sense any more.
fn stale(situation: &Situation<'_>) -> Option<&'static str> {
    match situation.anomaly {
        AnomalySeen::Gone => Some("the anomaly is gone"),
        AnomalySeen::Resolved => Some("the anomaly is over"),
        AnomalySeen::Open | AnomalySeen::Clearing if !situation.target_present => Some("the database pod is gone"),
        AnomalySeen::Open | AnomalySeen::Clearing => None,
    }
}

/// Whether somebody let the change through: a person, or the policy for its risk. Fails closed.
fn permission(situation: &Situation<'_>, policy: &Policy) -> Permission {
    let plan = &situation.spec.plan;
    let hash = crate::heal::plan::hash(plan);
    if hash != situation.spec.plan_hash {
        return Permission::Refused("the plan does not match its hash".into());
    }
    let question = Question {
        name: situation.name,
        uid: situation.uid,
        created_ms: situation.created_ms,
        plan_hash: &hash,
        now_ms: situation.now_ms,
        operator_user: situation.operator_user,
        requested_by: situation.requested_by.as_deref(),
        second_person: policy.second_person,
    };
    let judgement = approval::judge(&question, situation.approvals);
    if let Some(refusal) = judgement.refused {
        let comment = refusal.spec.comment.as_deref().map(|text| format!(": {text}")).unwrap_or_default();
        return Permission::Refused(printable(&format!("refused by {}{comment}", refusal.spec.decided_by)));
    }
    if policy.mode == Mode::Observe {
        return Permission::Closed("the policy's mode is observe".into());
    }
    if policy.executor_secret.is_none() {
        return Permission::Closed("the policy names no Secret for fixing (executor.secretRef)".into());
    }
    if let Some(reason) = &situation.blocked {
        return Permission::Closed(reason.clone());
    }
    if let Err(reason) = &situation.gate {
        return Permission::Closed(format!("the approval gate is not in force: {reason}"));
    }
    if let Some(seen) = judgement.approved {
        return Permission::Granted(
            ApprovalStatus {
                by: seen.name.clone(),
                decided_by: Some(seen.spec.decided_by.clone()),
                plan_hash: hash.clone(),
            },
            printable(&format!("approved by {}", seen.spec.decided_by)),
        );
    }
    let action = actions::action(situation.spec.action).text;
    let level = policy.risk_overrides.get(action).copied().unwrap_or(plan.risk.level);
    if policy.mode == Mode::Auto && level <= policy.auto_up_to && level != RiskLevel::Critical {
        let message =
            format!("risk {} needs no person (autoUpTo: {})", risk::name(level), risk::name(policy.auto_up_to));
        return Permission::Granted(
            ApprovalStatus { by: "policy".into(), decided_by: None, plan_hash: hash.clone() },
            message,
        );
    }
    let mut message = match policy.mode {
        Mode::Auto => format!("risk {} is above autoUpTo: {}", risk::name(level), risk::name(policy.auto_up_to)),
        Mode::Suggest | Mode::Observe => "the policy's mode is suggest".to_owned(),
    };
    message.push_str("; waiting for an approval");
    for rejected in judgement.rejected.iter().take(3) {
        message.push_str(&format!("; {} does not count: {}", rejected.name, rejected.reason));
    }
    Permission::Ask(printable(&message))
}

/// Why the change cannot begin now, and when to ask again.
fn obstacle(situation: &Situation<'_>, policy: &Policy) -> Option<(String, Option<i64>)> {
    if situation.anomaly == AnomalySeen::Clearing {
        return Some(("the metric is back: waiting whether it stays".into(), None));
    }
    let Some(ledger) = situation.ledger else {
        return Some(("the ledger of reservations cannot be read: no fixes without it".into(), None));
    };
    if let Some(other) = &situation.other_in_flight {
        return Some((format!("another change is under way on this database: {other}"), None));
    }
    if budget::holds(ledger, situation.uid, situation.now_ms) {
        return None;
    }
    match budget::check(ledger, &situation.ledger_policy(), policy.fixes_per_hour, situation.now_ms) {
        Budget::Free => None,
        Budget::Exhausted { until_ms } => Some((
            format!("the budget of {} changes in 60 minutes is used up (limits.fixesPerHour)", policy.fixes_per_hour),
            Some(until_ms),
        )),
    }
}

/// A waiting state, said once: a second look at an unchanged world writes nothing.
fn say(situation: &Situation<'_>, state: State, reason: String, until_ms: Option<i64>) -> Decision {
    // As it will be stored: a text that is cut there must not look like news each time.
    let reason = printable(&reason);
    if situation.state() == state && situation.status.message.as_deref() == Some(reason.as_str()) {
        return Decision::Wait { until_ms, reason };
    }
    situation.enter(state, reason, StatusPatch::default())
}

pub(super) fn printable(text: &str) -> String {
    // As much as the controller writes, so that what was said is known again.
    text.chars().filter(|character| !character.is_control()).take(1000).collect()
}

/// Whether a further attempt of a change that was let through may still begin.
pub(super) fn still_permitted(situation: &Situation<'_>) -> Result<(), String> {
    let Some(policy) = situation.policy else { return Err("the policy is gone or not usable".into()) };
    match permission(situation, policy) {
        Permission::Granted(..) => Ok(()),
        Permission::Ask(reason) | Permission::Refused(reason) | Permission::Closed(reason) => Err(reason),
    }
}
