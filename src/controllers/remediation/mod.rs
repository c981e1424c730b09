//! Remediation: asks the state machine for the one external write that comes next, and does it.

mod job;
mod observe;
mod wanted;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use kube::api::{DeleteParams, PostParams};
use kube::runtime::controller::Action;
use kube::{Api, ResourceExt};

use super::{Context, Error, call, safeguards, status};
use crate::api::conditions::{self, Said, reasons, types};
use crate::api::{Remediation, RemediationState as State, RemediationStatus, Transition};
use crate::heal::machine::{self, Decision, Purpose, StatusPatch};
use observe::Observed;

const MANAGER: &str = "dbmedic.io/remediation";
/// Samples come every round and approvals by watch: a waiting Remediation is looked at again at least this often.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// While a change is measured, its metric is looked at this often.
const MEASURE: Duration = Duration::from_secs(1);
/// A Job is watched; why its pod does not start is only on the pod.
const AT_WORK: Duration = Duration::from_secs(5);
const AT_ONCE: Duration = Duration::from_millis(1);

/// Observes live, decides, writes once.
///
/// # Errors
/// [`Error`] when the API server cannot be asked or told.
pub async fn reconcile(cached: Arc<Remediation>, context: Arc<Context>) -> Result<Action, Error> {
    let state = cached.status.as_ref().and_then(|status| status.state).unwrap_or_default();
    if machine::is_terminal(state) && state != State::Unverified {
        return Ok(Action::await_change());
    }
    let namespace = cached.namespace().unwrap_or_default();
    let api: Api<Remediation> = Api::namespaced(context.client.clone(), &namespace);
    // What cannot be undone is decided from the API server, never from a cache.
    let Some(remediation) = call("read the Remediation", api.get_opt(&cached.name_any())).await? else {
        return Ok(Action::await_change());
    };
    let observed = observe::observe(&remediation, &context).await?;
    let decision = machine::decide(&observed.situation(&remediation, &context.settings.user));
    tracing::debug!(remediation = remediation.name_any(), ?decision, "decided");
    match decision {
        Decision::Wait { until_ms, .. } => Ok(wait(&remediation, until_ms, observed.now_ms)),
        Decision::Enter { state, message, patch } => {
            enter(&remediation, &context, &api, state, message, *patch).await?;
            Ok(Action::requeue(AT_ONCE))
        }
        Decision::Reserve => {
            reserve(&remediation, &context, observed).await?;
            Ok(Action::requeue(AT_ONCE))
        }
        Decision::CreateJob { purpose, attempt } => {
            let created = create_job(&remediation, &context, &observed, purpose, attempt).await;
            said_if_refused(created, &remediation, &context, &api).await?;
            Ok(Action::requeue(AT_ONCE))
        }
        Decision::DeleteJob { name } => {
            let jobs: Api<Job> = Api::namespaced(context.client.clone(), &namespace);
            tracing::info!(remediation = remediation.name_any(), job = name, "stopping the Job");
            match call("delete the Job", jobs.delete(&name, &DeleteParams::foreground())).await {
                Ok(_) => Ok(Action::requeue(Duration::from_millis(200))),
                Err(Error::Api { source, .. }) if matches!(source.as_ref(), kube::Error::Api(status) if status.is_not_found()) => {
                    Ok(Action::requeue(AT_ONCE))
                }
                Err(error) => {
                    said_if_refused(Err(error), &remediation, &context, &api).await?;
                    Ok(Action::requeue(AT_ONCE))
                }
            }
        }
    }
}

/// What the API server refuses (a right, a quota) does not pass by itself: the object says it, once, and the error is
/// tried again with back-off.
async fn said_if_refused(
    outcome: Result<(), Error>,
    remediation: &Remediation,
    context: &Context,
    api: &Api<Remediation>,
) -> Result<(), Error> {
    let Err(error) = outcome else { return Ok(()) };
    if matches!(error.category(), "forbidden" | "refused") {
        let stored = remediation.status.clone().unwrap_or_default();
        let message = machine::printable(&error.to_string());
        if stored.message.as_deref() != Some(message.as_str()) {
            enter(remediation, context, api, stored.state.unwrap_or_default(), message, StatusPatch::default()).await?;
        }
    }
    Err(error)
}

fn wait(remediation: &Remediation, until_ms: Option<i64>, now_ms: i64) -> Action {
    let state = remediation.status.as_ref().and_then(|status| status.state).unwrap_or_default();
    let most = match state {
        State::Verifying => MEASURE,
        State::Running | State::RollingBack => AT_WORK,
        _ => LOOK_AGAIN,
    };
    let wait =
        until_ms.map_or(most, |until| Duration::from_millis(u64::try_from(until - now_ms).unwrap_or(0)).min(most));
    Action::requeue(wait.max(Duration::from_millis(20)))
}

async fn enter(
    remediation: &Remediation,
    context: &Context,
    api: &Api<Remediation>,
    state: State,
    message: String,
    patch: StatusPatch,
) -> Result<(), Error> {
    let stored = remediation.status.clone().unwrap_or_default();
    let entered = stored.state != Some(state);
    let status = next_status(remediation, &stored, state, &message, patch);
    // The version makes a decision from an outdated read fail instead of being written.
    let version = remediation.resource_version();
    let written = status::apply(api, &remediation.name_any(), MANAGER, version.as_deref(), &status).await?;
    if entered {
        tracing::info!(remediation = remediation.name_any(), ?state, message, "entered");
        context.telemetry.transition(state_name(state));
        if worth_an_event(state) {
            let warning = matches!(state, State::Failed | State::RolledBack | State::RollbackFailed);
            context.event(&written, warning, state_name(state), "Remediate", message).await;
        }
    }
    Ok(())
}

fn next_status(
    remediation: &Remediation,
    stored: &RemediationStatus,
    state: State,
    message: &str,
    patch: StatusPatch,
) -> RemediationStatus {
    let now = k8s_openapi::jiff::Timestamp::now();
    // The kind allows 1,024 characters; a report of that length comes with words of ours around it.
    let message: String = message.chars().filter(|character| !character.is_control()).take(1024).collect();
    let mut transitions = stored.transitions.clone();
    if stored.state != Some(state) {
        transitions.push(Transition { state, at: format!("{now:.3}"), message: message.clone() });
        // A change that is deferred again and again must not grow without bound; its beginning and end matter.
        if transitions.len() > 60 {
            transitions.drain(10..20);
        }
    }
    let ready = match state {
        State::RollbackFailed => Said::no(types::READY, reasons::ROLLBACK_FAILED, message.as_str()),
        _ => Said::yes(types::READY, reasons::ACCEPTED, message.as_str()),
    };
    let mut said = vec![ready];
    if !machine::is_terminal(state) && state != State::AwaitingApproval {
        said.push(Said::yes(types::RECONCILING, state_name(state), message.as_str()));
    }
    if state == State::RollbackFailed {
        said.push(Said::yes(types::STALLED, reasons::ROLLBACK_FAILED, message.as_str()));
    }
    RemediationStatus {
        observed_generation: remediation.metadata.generation,
        conditions: conditions::merge(&stored.conditions, &said, remediation.metadata.generation, now),
        state: Some(state),
        message: Some(message),
        transitions,
        approval: patch.approval.or_else(|| stored.approval.clone()),
        jobs: patch.jobs.unwrap_or_else(|| stored.jobs.clone()),
        applied_at: patch.applied_at.or_else(|| stored.applied_at.clone()),
        verification: patch.verification.or_else(|| stored.verification.clone()),
    }
}

async fn reserve(remediation: &Remediation, context: &Context, observed: Observed) -> Result<(), Error> {
    let Some(ledger) = observed.ledger else { return Ok(()) };
    let policy = format!("{}/{}", remediation.namespace().unwrap_or_default(), remediation.spec.policy_ref.name);
    let uid = remediation.uid().unwrap_or_default();
    safeguards::reserve(&context.client, &context.settings.namespace, ledger, &uid, &policy, observed.now_ms).await?;
    tracing::info!(remediation = remediation.name_any(), policy, "a place in the budget was reserved");
    Ok(())
}

async fn create_job(
    remediation: &Remediation,
    context: &Context,
    observed: &Observed,
    purpose: Purpose,
    attempt: u32,
) -> Result<(), Error> {
    let step = "create the Job";
    let missing = |what: &str| Error::Content { step, reason: what.to_owned() };
    let destination = observed.destination.as_ref().map_err(|reason| missing(reason))?;
    let secret = observed.executor_secret().ok_or_else(|| missing("the policy names no executor Secret"))?;
    let name = machine::job_name(&remediation.uid().unwrap_or_default(), purpose, attempt);
    let attempt = job::Attempt { number: attempt, predecessors: observed.predecessors(purpose, attempt) };
    let job = job::build(remediation, &name, purpose, attempt, destination, secret, &context.settings.image);
    let jobs: Api<Job> = Api::namespaced(context.client.clone(), &remediation.namespace().unwrap_or_default());
    match call(step, jobs.create(&PostParams::default(), &job)).await {
        Ok(_) => tracing::info!(remediation = remediation.name_any(), job = name, "Job created"),
        // Its name is derived from the Remediation: it is the same Job.
        Err(error) if error.is_conflict() => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

fn worth_an_event(state: State) -> bool {
    !matches!(state, State::Planned | State::Cleared | State::Reserved)
}

fn state_name(state: State) -> &'static str {
    match state {
        State::Planned => "Planned",
        State::AwaitingApproval => "AwaitingApproval",
        State::Cleared => "Cleared",
        State::Deferred => "Deferred",
        State::Reserved => "Reserved",
        State::Running => "Running",
        State::Verifying => "Verifying",
        State::RollingBack => "RollingBack",
        State::Succeeded => "Succeeded",
        State::Unverified => "Unverified",
        State::RolledBack => "RolledBack",
        State::RollbackFailed => "RollbackFailed",
        State::Failed => "Failed",
        State::Refused => "Refused",
        State::Expired => "Expired",
        State::Superseded => "Superseded",
    }
}
