//! Anomaly: works out why, and walks the strategy's steps: one change, one Remediation at a time.

mod decide;
mod observe;
mod repeated;

use std::sync::Arc;
use std::time::Duration;

use kube::api::PostParams;
use kube::runtime::controller::Action;
use kube::{Api, ResourceExt};

use super::{Context, Error, call, status};
use crate::api::{Anomaly, AnomalyState, AnomalyStatus, Remediation};
use crate::database::DatabaseError;
use crate::diagnose;
use crate::engine::{Connection, TargetView};

/// Owns cause, walk and the list of Remediations; the incident's own fields belong to `dbmedic.io/incident`.
const MANAGER: &str = "dbmedic.io/anomaly";
const INCIDENT_MANAGER: &str = "dbmedic.io/incident";
/// A process that has just begun to watch knows enough to compare with this soon.
const LOOK_SOON: Duration = Duration::from_secs(1);
/// What is read from the statements; where it is not available, nothing is waited for.
const STATEMENTS_METRIC: &str = "response_time";
/// A database that could not be looked at, or that is not safe to change now, is looked at again this soon.
const LOOK_AGAIN: Duration = Duration::from_secs(15);

/// Observes, decides, and does one thing: looks, plans, tells, or waits.
///
/// # Errors
/// [`Error`] when the API server cannot be asked or told.
pub async fn reconcile(anomaly: Arc<Anomaly>, context: Arc<Context>) -> Result<Action, Error> {
    let namespace = anomaly.namespace().unwrap_or_default();
    let api: Api<Anomaly> = Api::namespaced(context.client.clone(), &namespace);
    let state = anomaly.status.as_ref().and_then(|status| status.state);
    if state == Some(AnomalyState::Resolved) && !decide::is_unfinished(&anomaly) {
        return Ok(Action::await_change());
    }
    let observed = observe::observe(&anomaly, &context).await;
    if state == Some(AnomalyState::Resolved) {
        // Its last change may end after the incident: the next pass comes with that Remediation.
        if let Some(said) = decide::concluded(&anomaly, &observed) {
            write(&anomaly, &api, said).await?;
        }
        return Ok(Action::await_change());
    }
    if let Some(ended) = decide::ended(&anomaly, &observed, k8s_openapi::jiff::Timestamp::now()) {
        // The engine forgets it first: else it would go on with an incident that the object says is over.
        context.engine.end_incident(&observe::key(&anomaly), &anomaly.spec.rule_ref.name).await;
        let why = ended.conditions.first().map_or("", |condition| condition.message.as_str());
        tracing::info!(anomaly = anomaly.name_any(), why, "ended");
        status::apply(&api, &anomaly.name_any(), INCIDENT_MANAGER, None, &ended).await?;
        return Ok(Action::await_change());
    }
    if state.is_none() {
        // Its writer is at it; only when that process ended between the two writes is it done here.
        if let Some(wait) = decide::wait_for_writer(&anomaly, k8s_openapi::jiff::Timestamp::now()) {
            return Ok(Action::requeue(wait));
        }
        let opened = decide::opened(&anomaly, k8s_openapi::jiff::Timestamp::now());
        status::apply(&api, &anomaly.name_any(), INCIDENT_MANAGER, None, &opened).await?;
    }
    let decision = decide::decide(&anomaly, &observed);
    match decision {
        decide::Decision::Look => look(&anomaly, &context, &api, &observed, false).await,
        decide::Decision::LookAnew => look(&anomaly, &context, &api, &observed, true).await,
        decide::Decision::Plan { remediation, status: said } => {
            plan(&anomaly, &context, &api, *remediation, said).await?;
            Ok(Action::await_change())
        }
        decide::Decision::Notify { note, status: said } => {
            // The object says that people were told only when they were: a failure is tried again with back-off.
            context.tell(&*anomaly, true, "NoAutomaticFix", "Notify", note).await?;
            tracing::info!(anomaly = anomaly.name_any(), "people were told");
            write(&anomaly, &api, said).await?;
            Ok(Action::requeue(Duration::from_millis(1)))
        }
        decide::Decision::Wait => Ok(Action::requeue(LOOK_SOON)),
        decide::Decision::Say { status: said, look_again, tell } => {
            if let Some(note) = tell.filter(|_| is_other_walk(&anomaly, &said)) {
                context.tell(&*anomaly, true, "NotRepeated", "Notify", note).await?;
            }
            write(&anomaly, &api, said).await?;
            Ok(if look_again { Action::requeue(LOOK_AGAIN) } else { Action::await_change() })
        }
    }
}

async fn look(
    anomaly: &Anomaly,
    context: &Context,
    api: &Api<Anomaly>,
    observed: &observe::Observed,
    anew: bool,
) -> Result<Action, Error> {
    let Some(target) = &observed.target else {
        let said =
            decide::waiting(anomaly, observed, "the database pod is not watched now; its cause cannot be looked for");
        write(anomaly, api, said).await?;
        return Ok(Action::requeue(LOOK_SOON));
    };
    if begins(target).await {
        let said = decide::waiting(
            anomaly,
            observed,
            "the statements have been read once only; what has grown shows at the next reading",
        );
        write(anomaly, api, said).await?;
        return Ok(Action::requeue(LOOK_SOON));
    }
    let onset = observe::onset(anomaly);
    context.looks.now(anomaly.uid().unwrap_or_default());
    let looked = tokio::time::timeout(decide::look_limit(observed), target.collector.look(onset)).await;
    match looked.unwrap_or_else(|_| Err(DatabaseError::Timeout("the time of the looking steps is over".into()))) {
        Ok(looked) => {
            let diagnosis = diagnose::diagnose(&looked);
            tracing::info!(anomaly = anomaly.name_any(), cause = diagnosis.root_cause.summary, "diagnosed");
            if anew || decide::is_news(anomaly, &diagnosis) {
                write(anomaly, api, decide::diagnosed(anomaly, observed, diagnosis)).await?;
            }
            Ok(Action::requeue(Duration::from_millis(1)))
        }
        Err(error) => {
            let said = decide::waiting(anomaly, observed, &format!("the database could not be looked at: {error}"));
            write(anomaly, api, said).await?;
            Ok(Action::requeue(LOOK_AGAIN))
        }
    }
}

/// Whether the watch has just begun: one reading of the statements compares with nothing, and a cause that is not found
/// for want of it would be looked for again only much later.
async fn begins(target: &TargetView) -> bool {
    let statements =
        || !target.unavailable.iter().any(|missing| missing.metrics.iter().any(|name| name == STATEMENTS_METRIC));
    let comparable = || async { target.collector.statements_since(i64::MIN, &[]).await.is_some() };
    match target.connection {
        Connection::Connecting => true,
        Connection::Connected(_) => statements() && !comparable().await,
        Connection::Failed(_) => false,
    }
}

async fn plan(
    anomaly: &Anomaly,
    context: &Context,
    api: &Api<Anomaly>,
    remediation: Remediation,
    said: AnomalyStatus,
) -> Result<(), Error> {
    let remediations: Api<Remediation> =
        Api::namespaced(context.client.clone(), &anomaly.namespace().unwrap_or_default());
    match call("create the Remediation", remediations.create(&PostParams::default(), &remediation)).await {
        Ok(made) => {
            tracing::info!(
                anomaly = anomaly.name_any(), remediation = made.name_any(), statement = made.spec.plan.statement,
                risk = ?made.spec.plan.risk.level, hash = made.spec.plan_hash, "planned"
            );
        }
        // Its name is derived from incident and step: it was made before.
        Err(error) if error.is_conflict() => {}
        Err(error) => return Err(error),
    }
    write(anomaly, api, said).await
}

/// Whether the walk says something else than what is stored.
fn is_other_walk(anomaly: &Anomaly, said: &AnomalyStatus) -> bool {
    anomaly.status.as_ref().and_then(|status| status.walk.as_ref()) != said.walk.as_ref()
}

async fn write(anomaly: &Anomaly, api: &Api<Anomaly>, said: AnomalyStatus) -> Result<(), Error> {
    let stored = anomaly.status.clone().unwrap_or_default();
    if stored.root_cause == said.root_cause && stored.walk == said.walk && stored.remediations == said.remediations {
        return Ok(());
    }
    if is_other_walk(anomaly, &said) {
        let walk = said.walk.clone().unwrap_or_default();
        tracing::info!(anomaly = anomaly.name_any(), finished = walk.finished, "walk: {}", walk.message);
    }
    status::apply(api, &anomaly.name_any(), MANAGER, None, &said).await.map(drop)
}
