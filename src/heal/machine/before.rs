//! Before the change: permission, budget, and the last look at both before the Job is created.

use super::situation::{AnomalySeen, Decision, Purpose, Situation, StatusPatch, timestamp};
use crate::actions;
use crate::api::{ApprovalStatus, Mode, RemediationState as State, RemediationStatus, RiskLevel};
use crate::heal::approval::{self, Question};
use crate::heal::budget::{self, Budget};
use crate::heal::policy::Policy;
use crate::heal::risk;

/// How a message begins that says that the database is taken.
const UNDER_WAY: &str = "another change is under way on this database: ";
/// Wait after the first attempt that the executor put off, in ms.
const FIRST_WAIT_MS: i64 = 30_000;
/// Longest wait between two such attempts, in ms.
const LONGEST_WAIT_MS: i64 = 3_600_000;
/// Time after which it is asked again whether an exception is over, in ms.
const EXCEPTION_MS: i64 = 60_000;

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
    if situation.latest(Purpose::Apply).is_some_and(|job| !job.was_put_off()) {
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
    if let Some(reason) = &situation.unwanted {
        return situation.enter(State::Superseded, reason.clone(), StatusPatch::default());
    }
    let expires_ms = situation.created_ms.saturating_add(policy.expire_after_ms);
    let expired = situation.now_ms >= expires_ms;
    match permission(situation, policy) {
        Permission::Refused(message) => situation.enter(State::Refused, message, StatusPatch::default()),
        Permission::Ask(_) if expired => {
            let message = format!("nobody approved it before {}", timestamp(expires_ms));
            situation.enter(State::Expired, message, StatusPatch::default())
        }
        Permission::Closed(reason) if expired => expire(situation, expires_ms, &reason),
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
    let obstacle = obstacle(situation, policy);
    // A plan speaks of the database as it was: what was allowed a day ago is not done today.
    if situation.now_ms >= expires_ms {
        let said = situation.status.message.as_deref().unwrap_or(message);
        return expire(situation, expires_ms, obstacle.as_ref().map_or(said, |(reason, _)| reason.as_str()));
    }
    let approval_changed = situation.status.approval.as_ref() != Some(&approval);
    if matches!(state, State::Planned | State::AwaitingApproval) {
        let patch = StatusPatch { approval: Some(approval), ..StatusPatch::default() };
        return situation.enter(State::Cleared, message, patch);
    }
    if let Some((reason, until_ms)) = obstacle {
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
        (State::Reserved, true) => {
            Decision::CreateJob { purpose: Purpose::Apply, attempt: situation.attempts(Purpose::Apply) + 1 }
        }
        (State::Reserved, false) => {
            situation.enter(State::Cleared, "the reservation is older than 60 minutes", StatusPatch::default())
        }
        (_, true) => situation.enter(State::Reserved, "a place in the budget is reserved", StatusPatch::default()),
        (_, false) => Decision::Reserve,
    }
}

fn expire(situation: &Situation<'_>, expires_ms: i64, reason: &str) -> Decision {
    let message = printable(&format!("it could not begin before {}: {reason}", timestamp(expires_ms)));
    situation.enter(State::Expired, message, StatusPatch::default())
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
    // The plan keeps the level that it was rated; what the policy says of it now is applied now, and no longer than that.
    let rated = plan.risk.level;
    let level = policy.risk_overrides.get(action).copied().unwrap_or(rated);
    let applied = if level == rated {
        risk::name(level).to_owned()
    } else {
        format!("{} (set by the policy's riskOverrides, rated {})", risk::name(level), risk::name(rated))
    };
    if policy.mode == Mode::Auto && level <= policy.auto_up_to && level < RiskLevel::High {
        let message = format!("risk {applied} needs no person (autoUpTo: {})", risk::name(policy.auto_up_to));
        return Permission::Granted(
            ApprovalStatus { by: "policy".into(), decided_by: None, plan_hash: hash.clone() },
            message,
        );
    }
    let mut message = match policy.mode {
        Mode::Auto => format!("risk {applied} is above autoUpTo: {}", risk::name(policy.auto_up_to)),
        Mode::Suggest | Mode::Observe => "the policy's mode is suggest".to_owned(),
    };
    message.push_str("; waiting for an approval");
    for rejected in judgement.rejected.iter().take(3) {
        message.push_str(&format!("; {} does not count: {}", rejected.name, rejected.reason));
    }
    Permission::Ask(printable(&message))
}

/// What the executor waits for, while the wait after its last attempt is not over: 30 s, doubled each time, at most 1 h.
pub(super) fn put_off(situation: &Situation<'_>) -> Option<(String, Option<i64>)> {
    let job = situation.latest(Purpose::Apply).filter(|job| job.was_put_off())?;
    let since_ms = job.finished_ms.unwrap_or(job.created_ms);
    let wait_ms = (FIRST_WAIT_MS << (job.attempt.saturating_sub(1)).min(7)).min(LONGEST_WAIT_MS);
    let due_ms = since_ms.saturating_add(wait_ms);
    let said = job.report.as_ref().map_or("", |report| report.message.as_str());
    let reason = format!("nothing was changed, it is tried again at {}: {said}", timestamp(due_ms));
    (situation.now_ms < due_ms).then_some((reason, Some(due_ms)))
}

/// Whether a Remediation waits for nothing but its turn on the database.
pub fn waits_for_database(status: &RemediationStatus) -> bool {
    status.state == Some(State::Deferred)
        && status.message.as_deref().is_some_and(|message| message.starts_with(UNDER_WAY))
}

/// Why the change cannot begin now, and when to ask again.
fn obstacle(situation: &Situation<'_>, policy: &Policy) -> Option<(String, Option<i64>)> {
    if situation.anomaly == AnomalySeen::Clearing {
        return Some(("the metric is back: waiting whether it stays".into(), None));
    }
    if situation.exempt {
        let reason = "an AnomalyException is active for its rule: nothing is begun in a known peak or a maintenance";
        return Some((reason.into(), Some(situation.now_ms.saturating_add(EXCEPTION_MS))));
    }
    let Some(ledger) = situation.ledger else {
        return Some(("the ledger of reservations cannot be read: no fixes without it".into(), None));
    };
    if let Err(reason) = &situation.destination {
        return Some((format!("no Job can be sent to the database: {reason}"), None));
    }
    if let Some(other) = &situation.other_in_flight {
        return Some((format!("{UNDER_WAY}{other}"), None));
    }
    if let Some(put_off) = put_off(situation) {
        return Some(put_off);
    }
    if let Some(other) = &situation.ahead {
        return Some((format!("another change of this database has the higher priority: {other}"), None));
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
pub(super) fn say(situation: &Situation<'_>, state: State, reason: String, until_ms: Option<i64>) -> Decision {
    // As it will be stored: a text that is cut there must not look like news each time.
    let reason = printable(&reason);
    if situation.state() == state && situation.status.message.as_deref() == Some(reason.as_str()) {
        return Decision::Wait { until_ms, reason };
    }
    situation.enter(state, reason, StatusPatch::default())
}

/// A message as a status holds it: the same text each time, so that what was said is known again.
pub fn printable(text: &str) -> String {
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
