//! Writes Anomalies: level-triggered from the engine's incidents, so that an API server that is away for a
//! minute loses nothing.

mod decide;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use futures::{FutureExt, StreamExt};
use kube::Api;
use kube::api::PostParams;
use tokio::sync::mpsc;

use super::{Context, Error, call, status};
use crate::api::{Anomaly, AnomalyState};
use crate::engine::IncidentChange;
use decide::{Key, Queue, Wanted};

pub use decide::{open_state, sigmas};

const MANAGER: &str = "dbmedic.io/incident";
/// Anomalies that are created at once: one round can open many.
const CREATED_AT_ONCE: usize = 8;

/// Drains incident changes until the channel closes; tries again what could not be written.
pub async fn run(context: Arc<Context>, mut changes: mpsc::UnboundedReceiver<IncidentChange>) {
    let mut queue = Queue::default();
    loop {
        let next = match queue.values().map(|wanted| wanted.due).min() {
            None => Ok(changes.recv().await),
            Some(due) => tokio::time::timeout_at(due.into(), changes.recv()).await,
        };
        match next {
            Ok(Some(change)) => decide::want(&mut queue, change, Instant::now()),
            Ok(None) => return,
            // It is time for what could not be written.
            Err(_) => {}
        }
        while let Ok(change) = changes.try_recv() {
            decide::want(&mut queue, change, Instant::now());
        }
        write_due(&context, &mut queue).await;
    }
}

/// Creates every new Anomaly first, several at once, and tells the rest afterwards: what a person waits for is that
/// the object is there.
async fn write_due(context: &Context, queue: &mut Queue) {
    let now = Instant::now();
    let mut new = Vec::new();
    for (key, wanted) in queue.iter().filter(|(_, wanted)| !wanted.created && wanted.due <= now) {
        new.push(create(context, key.clone(), wanted.change.clone(), wanted.opened).boxed());
    }
    let created: Vec<_> = futures::stream::iter(new).buffer_unordered(CREATED_AT_ONCE).collect().await;
    let mut fresh = BTreeMap::new();
    for (key, outcome) in created {
        match outcome {
            Ok(anomaly) => {
                if let Some(wanted) = queue.get_mut(&key) {
                    wanted.created = true;
                }
                drop(anomaly.map(|anomaly| fresh.insert(key, anomaly)));
            }
            Err(error) => put_off(context, queue, &key, &error),
        }
    }
    let mut told = Vec::new();
    for (key, wanted) in queue.iter().filter(|(_, wanted)| wanted.created && wanted.due <= now) {
        told.push((key.clone(), tell(context, key, wanted, fresh.remove(key)).await));
    }
    for (key, outcome) in told {
        match outcome {
            Ok(()) => {
                queue.remove(&key);
                context.backoff.succeeded(&object(&key));
            }
            Err(error) => put_off(context, queue, &key, &error),
        }
    }
}

/// After a failure: tries again later, unless that would be refused for ever.
fn put_off(context: &Context, queue: &mut Queue, key: &Key, error: &Error) {
    let (namespace, name) = key;
    if decide::is_final(error) {
        tracing::error!(namespace, anomaly = name, %error, "Anomaly given up: it would be refused again");
        queue.remove(key);
        context.backoff.succeeded(&object(key));
        return;
    }
    let again_in = decide::again_in(error, context.backoff.failed(&object(key)));
    tracing::warn!(
        namespace, anomaly = name, %error, again_in_ms = again_in.as_millis(), "Anomaly not written; trying again"
    );
    if let Some(wanted) = queue.get_mut(key) {
        wanted.due = Instant::now() + again_in;
    }
}

/// Its name in the back-off.
fn object((namespace, name): &Key) -> String {
    format!("incident/{namespace}/{name}")
}

/// Creates the object; `None` when it is there already.
async fn create(
    context: &Context,
    key: Key,
    change: IncidentChange,
    opened: Option<Instant>,
) -> (Key, Result<Option<Anomaly>, Error>) {
    let (namespace, name) = &key;
    let api: Api<Anomaly> = Api::namespaced(context.client.clone(), namespace);
    let anomaly = decide::anomaly(name, &change);
    let outcome = match call("create the Anomaly", api.create(&PostParams::default(), &anomaly)).await {
        Ok(anomaly) => {
            if let Some(opened) = opened {
                context.telemetry.anomaly_created(opened.elapsed());
            }
            Ok(Some(anomaly))
        }
        // The name is derived from rule, database and onset: it is the same incident.
        Err(error) if error.is_conflict() => Ok(None),
        Err(error) => Err(error),
    };
    (key, outcome)
}

/// Writes the state of an object that exists. `fresh`: the object as it was created just now.
async fn tell(
    context: &Context,
    (namespace, name): &Key,
    wanted: &Wanted,
    fresh: Option<Anomaly>,
) -> Result<(), Error> {
    let api: Api<Anomaly> = Api::namespaced(context.client.clone(), namespace);
    let stored = match fresh {
        Some(anomaly) => anomaly,
        None => match call("read the Anomaly", api.get_opt(name)).await? {
            Some(anomaly) => anomaly,
            // A person deleted it: the incident is not made again.
            None => return Ok(()),
        },
    };
    let before = stored.status.clone().unwrap_or_default();
    // What was ended for another reason stays ended.
    if before.state == Some(wanted.state) || before.state == Some(AnomalyState::Resolved) {
        return Ok(());
    }
    let status = decide::incident_status(&stored, wanted, k8s_openapi::jiff::Timestamp::now());
    let stored = status::apply(&api, name, MANAGER, None, &status).await?;
    match wanted.state {
        AnomalyState::Open | AnomalyState::Predicted if before.state.is_none() => {
            let is = if wanted.state == AnomalyState::Predicted { "is on its way out of its bounds:" } else { "is" };
            let note = format!(
                "{} of {} {is} {}",
                stored.spec.metric,
                stored.spec.pod,
                decide::deviation(wanted.change.change.verdict.as_ref())
            );
            context.event(&stored, true, "AnomalyOpened", "Detect", note).await;
        }
        AnomalyState::Resolved => {
            let note = decide::resolution(&stored, k8s_openapi::jiff::Timestamp::now());
            context.event(&stored, false, "AnomalyResolved", "Detect", note).await;
        }
        _ => {}
    }
    Ok(())
}
