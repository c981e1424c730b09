//! From the Job to the end: attempts, measurement, the way back.

use super::before::{printable, put_off, say, still_permitted};
use super::situation::{Decision, JobPhase, JobSeen, Purpose, Situation, StatusPatch, timestamp};
use crate::api::{Backoff, RemediationState as State};
use crate::heal::policy::backoff_ms;
use crate::heal::report::Outcome;
use crate::heal::verify::{self, Measurement, Verdict};

/// Time a Job may be late behind the limit of its change: scheduling, image, start, post-condition. In ms.
const GRACE_MS: i64 = 300_000;
/// Most undo Jobs: the way back is tried longer than the way there.
const UNDO_ATTEMPTS: u32 = 5;
/// How long an unverified change is watched on.
const WATCH_MS: i64 = 72 * 3600 * 1000;
/// How soon a policy that is wrong is read again.
const LOOK_AGAIN_MS: i64 = 30_000;
/// How long the way back waits for credentials that are gone.
const CREDENTIALS_WAIT_MS: i64 = 3600 * 1000;
/// How long the way back waits for a database that no Job can be sent to, or for a Job that does not go away.
const STUCK_MS: i64 = 600 * 1000;
/// How a message begins that says what the API server refused.
const REFUSED: &str = "failed to ";
/// How a message begins that says why a Job does not get to work.
const HINDERED: &str = "the pod of the Job does not start: ";

pub(super) fn run(situation: &Situation<'_>) -> Decision {
    if let Some(decision) = record_new_jobs(situation) {
        return decision;
    }
    let Some(job) = situation.latest(Purpose::Apply) else {
        // Removed before its end was seen: what it did is not known.
        let known = situation.attempts(Purpose::Apply);
        return try_again(situation, known.max(1), situation.now_ms, "the Job was removed before its report was read");
    };
    let limit_ms = i64::from(situation.spec.plan.timeout_seconds) * 1000 + GRACE_MS;
    let finished_ms = job.finished_ms.unwrap_or(situation.now_ms);
    match (job.phase, &job.report) {
        (JobPhase::Active, _) => {
            let until_ms = job.created_ms.saturating_add(limit_ms);
            if situation.now_ms < until_ms {
                return working(situation, job, until_ms, "the Job is running");
            }
            situation.enter(State::RollingBack, "the change did not end within its limit", StatusPatch::default())
        }
        (_, Some(report)) => match report.outcome {
            Outcome::Applied | Outcome::Adopted => {
                let at =
                    report.finished_at.parse::<jiff::Timestamp>().map_or(finished_ms, jiff::Timestamp::as_millisecond);
                // The Job's clock may be wrong; the change ended neither before its Job began nor in the future.
                let applied_ms = at.clamp(job.created_ms.min(situation.now_ms), situation.now_ms);
                let patch = StatusPatch { applied_at: Some(timestamp(applied_ms)), ..StatusPatch::default() };
                situation.enter(State::Verifying, report.message.clone(), patch)
            }
            Outcome::Refused | Outcome::Failed if job.was_put_off() && !may_have_changed(situation, job.attempt) => {
                let message = put_off(situation).map_or_else(|| report.message.clone(), |(reason, _)| reason);
                situation.enter(State::Deferred, printable(&message), StatusPatch::default())
            }
            Outcome::Refused | Outcome::Failed if !report.changed && !may_have_changed(situation, job.attempt) => {
                let message = format!("nothing was changed: {}", report.message);
                situation.enter(State::Failed, message, StatusPatch::default())
            }
            Outcome::Refused | Outcome::Failed => {
                situation.enter(State::RollingBack, report.message.clone(), StatusPatch::default())
            }
            Outcome::Undone | Outcome::NothingToUndo => {
                try_again(situation, job.attempt, finished_ms, "the Job reported something that it was not asked for")
            }
        },
        (JobPhase::Succeeded | JobPhase::Failed, None) => {
            try_again(situation, job.attempt, finished_ms, "the Job ended without a report")
        }
    }
}

/// A Job at work. Why its pod does not start is said once, and taken back when it has started.
fn working(situation: &Situation<'_>, job: &JobSeen, until_ms: i64, usual: &str) -> Decision {
    let said = situation.status.message.as_deref().unwrap_or_default();
    let message = match &job.hindrance {
        Some(hindrance) => printable(&format!("{HINDERED}{hindrance}")),
        None if said.starts_with(HINDERED) || said.starts_with(REFUSED) => usual.to_owned(),
        None => return Decision::Wait { until_ms: Some(until_ms), reason: usual.to_owned() },
    };
    if message == said {
        return Decision::Wait { until_ms: Some(until_ms), reason: message };
    }
    situation.enter(situation.state(), message, StatusPatch::default())
}

/// A Job that may be removed before its end is seen is on the object first: attempts are counted, whatever is removed.
fn record_new_jobs(situation: &Situation<'_>) -> Option<Decision> {
    let known = |name: &str| situation.status.jobs.iter().any(|job| job.name == name);
    if situation.jobs.iter().all(|job| known(&job.name)) {
        return None;
    }
    let message = situation.status.message.clone().unwrap_or_default();
    Some(situation.enter(situation.state(), message, StatusPatch::default()))
}

/// Whether an earlier attempt may have left something: one whose report is missing or says so.
fn may_have_changed(situation: &Situation<'_>, attempt: u32) -> bool {
    (1..attempt).any(|earlier| {
        situation
            .jobs
            .iter()
            .find(|job| job.purpose == Purpose::Apply && job.attempt == earlier)
            .and_then(|job| job.report.as_ref())
            .is_none_or(|report| report.changed)
    })
}

/// The next attempt, which adopts what its predecessor left; the way back when there is none.
fn try_again(situation: &Situation<'_>, attempt: u32, since_ms: i64, why: &str) -> Decision {
    if let Some(problem) = &situation.unusable {
        let until_ms = Some(situation.now_ms.saturating_add(LOOK_AGAIN_MS));
        return Decision::Wait { until_ms, reason: format!("{why}; the policy cannot be used: {problem}") };
    }
    if let Err(reason) = &situation.destination {
        let message = format!("{why}, and {reason}: what it may have done is taken back");
        return situation.enter(State::RollingBack, message, StatusPatch::default());
    }
    let retries = situation.policy.map_or(0, |policy| policy.retries);
    // Attempts that the executor put off were none of those that a policy limits.
    let put_off = situation.jobs.iter().filter(|job| job.purpose == Purpose::Apply && job.was_put_off()).count();
    if attempt.saturating_sub(u32::try_from(put_off).unwrap_or(u32::MAX)) > retries {
        let message = format!("{why}, and no further attempt is left: what it may have done is taken back");
        return situation.enter(State::RollingBack, message, StatusPatch::default());
    }
    if let Err(reason) = still_permitted(situation) {
        let message = format!("{why}, and a further attempt is not allowed: {reason}");
        return situation.enter(State::RollingBack, message, StatusPatch::default());
    }
    let wait_ms = situation.policy.map_or(0, |policy| policy.backoff_ms(attempt));
    after(situation, since_ms, wait_ms, Decision::CreateJob { purpose: Purpose::Apply, attempt: attempt + 1 }, why)
}

fn after(situation: &Situation<'_>, since_ms: i64, wait_ms: i64, decision: Decision, why: &str) -> Decision {
    // A Job that is gone has no time to count from: the Job controller's own removal was wait enough.
    let due_ms = since_ms.saturating_add(wait_ms);
    let gone = since_ms == situation.now_ms;
    if situation.now_ms >= due_ms || gone {
        return decision;
    }
    Decision::Wait { until_ms: Some(due_ms), reason: format!("{why}: the next attempt waits") }
}

pub(super) fn verify(situation: &Situation<'_>) -> Decision {
    let Some(applied_ms) = applied_ms(situation) else {
        return situation.enter(State::RollingBack, "the time of the change is not known", StatusPatch::default());
    };
    let measurement = Measurement {
        now_ms: situation.now_ms,
        applied_ms,
        samples: situation.samples,
        statements: situation.statements,
    };
    let (verdict, status) = verify::judge(&situation.spec.plan.verification, &measurement);
    let message = status.verdict.clone();
    let patch = StatusPatch { verification: Some(status), ..StatusPatch::default() };
    match (verdict, situation.state()) {
        (Verdict::Succeeded, _) => situation.enter(State::Succeeded, message, patch),
        (Verdict::Unverified, State::Unverified) | (Verdict::Pending { .. }, _) => {
            let until_ms = match verdict {
                Verdict::Pending { until_ms } => until_ms,
                _ => applied_ms.saturating_add(WATCH_MS),
            };
            Decision::Wait { until_ms: (situation.now_ms < until_ms).then_some(until_ms), reason: message }
        }
        // Watched for long enough: what comes now has other reasons.
        (_, State::Unverified) if situation.now_ms >= applied_ms.saturating_add(WATCH_MS) => {
            Decision::Wait { until_ms: None, reason: "it was watched for 72 h".into() }
        }
        // Long after a change the metric moves for reasons of its own: only what the change was for may condemn it.
        (Verdict::Worse | Verdict::NotBack, State::Unverified) => {
            Decision::Wait { until_ms: Some(applied_ms.saturating_add(WATCH_MS)), reason: message }
        }
        (Verdict::StatementsWorse, State::Unverified) if situation.other_in_flight.is_some() => {
            let reason = "another change is under way on this database: the way back waits for its end".to_owned();
            Decision::Wait { until_ms: Some(situation.now_ms.saturating_add(LOOK_AGAIN_MS)), reason }
        }
        // The metric is as far off as somebody announced: that says nothing of the change.
        (Verdict::Worse, _) if situation.exempt => {
            let until_ms = Some(situation.now_ms.saturating_add(LOOK_AGAIN_MS));
            Decision::Wait { until_ms, reason: "an AnomalyException is active for its rule: not judged now".into() }
        }
        (Verdict::NotBack, _) if situation.exempt => {
            let message = printable(&format!(
                "{message}, but an AnomalyException is active: it cannot be told whether the change helped"
            ));
            situation.enter(State::Unverified, message, patch)
        }
        (Verdict::Worse | Verdict::StatementsWorse | Verdict::NotBack, _) => {
            situation.enter(State::RollingBack, message, patch)
        }
        (Verdict::Unverified, _) => situation.enter(State::Unverified, message, patch),
    }
}

fn applied_ms(situation: &Situation<'_>) -> Option<i64> {
    let parse = |text: &str| text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond);
    situation.status.applied_at.as_deref().and_then(parse).or_else(|| {
        let entered = situation.status.transitions.iter().find(|one| one.state == State::Verifying)?;
        parse(&entered.at)
    })
}

pub(super) fn roll_back(situation: &Situation<'_>) -> Decision {
    if let Some(decision) = record_new_jobs(situation) {
        return decision;
    }
    // An executor that has not begun yet must not begin after the way back.
    if let Some(job) = situation.jobs.iter().find(|job| job.purpose == Purpose::Apply && job.phase == JobPhase::Active)
    {
        return stop(situation, job, entered_ms(situation, State::RollingBack));
    }
    let Some(job) = situation.latest(Purpose::Undo) else {
        // Every Job is on the object before it can end. Without one nothing was begun, whatever the state says: the way
        // back is no way to have a Job that nobody let through.
        if situation.status.jobs.is_empty() && situation.latest(Purpose::Apply).is_none() {
            return situation.enter(State::Failed, "nothing was begun: no Job of it is known", StatusPatch::default());
        }
        return undo(situation, situation.attempts(Purpose::Undo), situation.now_ms, "the way back has not begun");
    };
    let finished_ms = job.finished_ms.unwrap_or(situation.now_ms);
    match (job.phase, &job.report) {
        (JobPhase::Active, _) => still_undoing(situation, job),
        (_, Some(report)) => match report.outcome {
            Outcome::Undone | Outcome::NothingToUndo => {
                let message = format!("{}; it was taken back because: {}", report.message, why_rolled_back(situation));
                situation.enter(State::RolledBack, message, StatusPatch::default())
            }
            Outcome::Refused => situation.enter(
                State::RollbackFailed,
                format!("the way back was refused: {}", report.message),
                StatusPatch::default(),
            ),
            Outcome::Failed | Outcome::Applied | Outcome::Adopted => {
                undo(situation, job.attempt, finished_ms, &report.message)
            }
        },
        (JobPhase::Succeeded | JobPhase::Failed, None) => {
            undo(situation, job.attempt, finished_ms, "the undo Job ended without a report")
        }
    }
}

fn still_undoing(situation: &Situation<'_>, job: &JobSeen) -> Decision {
    let limit_ms = i64::from(situation.spec.plan.timeout_seconds) * 1000 + GRACE_MS;
    let until_ms = job.created_ms.saturating_add(limit_ms);
    if situation.now_ms >= until_ms {
        return stop(situation, job, Some(until_ms));
    }
    working(situation, job, until_ms, "the change is being taken back")
}

/// Deletes a Job. One that stays for ten minutes after it had to go keeps the way back from beginning: an alarm.
fn stop(situation: &Situation<'_>, job: &JobSeen, since_ms: Option<i64>) -> Decision {
    if since_ms.is_some_and(|since_ms| situation.now_ms >= since_ms.saturating_add(STUCK_MS)) {
        let message = format!("Job {} cannot be removed; to be done by hand: {}", job.name, situation.spec.plan.undo);
        return situation.enter(State::RollbackFailed, message, StatusPatch::default());
    }
    Decision::DeleteJob { name: job.name.clone() }
}

/// The next undo Job. It needs no permission, only credentials: taking back is the safe direction.
fn undo(situation: &Situation<'_>, attempt: u32, since_ms: i64, why: &str) -> Decision {
    if attempt >= UNDO_ATTEMPTS {
        let message = format!("{why}: a person has to look, {} may be left", situation.spec.plan.undo);
        return situation.enter(State::RollbackFailed, message, StatusPatch::default());
    }
    if situation.policy.is_none_or(|policy| policy.executor_secret.is_none()) {
        let reason = "the policy is gone, cannot be used or names no Secret: there are no credentials for the way back";
        return wait_to_undo(situation, entered_ms(situation, State::RollingBack), CREDENTIALS_WAIT_MS, reason);
    }
    if let Err(reason) = &situation.destination {
        let last_end = situation.latest(Purpose::Undo).and_then(|job| job.finished_ms);
        let begun_ms =
            entered_ms(situation, State::RollingBack).map(|entered| entered.max(last_end.unwrap_or(entered)));
        let reason = format!("{reason}: the change cannot be taken back");
        return wait_to_undo(situation, begun_ms, STUCK_MS, &reason);
    }
    let wait_ms = if attempt == 0 { 0 } else { backoff_ms(Backoff::Exponential, attempt) };
    after(situation, since_ms, wait_ms, Decision::CreateJob { purpose: Purpose::Undo, attempt: attempt + 1 }, why)
}

/// What keeps the way back from beginning is said at once, and is an alarm when it lasts.
fn wait_to_undo(situation: &Situation<'_>, begun_ms: Option<i64>, wait_ms: i64, reason: &str) -> Decision {
    let until_ms = begun_ms.map(|begun_ms| begun_ms.saturating_add(wait_ms));
    match until_ms {
        Some(until_ms) if situation.now_ms < until_ms => {
            say(situation, State::RollingBack, reason.to_owned(), Some(until_ms))
        }
        _ => {
            let message = format!("{reason}; to be done by hand: {}", situation.spec.plan.undo);
            situation.enter(State::RollbackFailed, message, StatusPatch::default())
        }
    }
}

fn entered_ms(situation: &Situation<'_>, state: State) -> Option<i64> {
    let entered = situation.status.transitions.iter().rev().find(|one| one.state == state)?;
    entered.at.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond)
}

fn why_rolled_back<'a>(situation: &'a Situation<'_>) -> &'a str {
    situation
        .status
        .transitions
        .iter()
        .rev()
        .find(|one| one.state == State::RollingBack)
        .map_or("not recorded", |one| one.message.as_str())
}
