//! Writes Anomalies: level-triggered from the engine's incidents, so that an API server that is away for a
//! minute loses nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{FutureExt, StreamExt};
use kube::Api;
use kube::api::{ObjectMeta, PostParams};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::{Context, Error, call, status};
use crate::api::conditions::{self, Said, reasons, types};
use crate::api::{Anomaly, AnomalySpec, AnomalyState, AnomalyStatus, Band, LocalReference, ObjectReference, Observed};
use crate::detect::{ChangeKind, Verdict};
use crate::engine::IncidentChange;

const MANAGER: &str = "dbmedic.io/incident";
const RETRY: Duration = Duration::from_secs(1);
/// Anomalies that are created at once: one round can open many.
const CREATED_AT_ONCE: usize = 8;

/// What an Anomaly has to say now.
struct Wanted {
    change: IncidentChange,
    state: AnomalyState,
    /// The object is known to exist.
    created: bool,
    /// When the incident was opened in this process; none for a restored one.
    opened: Option<Instant>,
}

/// Drains incident changes until the channel closes; tries again what could not be written.
pub async fn run(context: Arc<Context>, mut changes: mpsc::UnboundedReceiver<IncidentChange>) {
    let mut wanted: BTreeMap<(String, String), Wanted> = BTreeMap::new();
    loop {
        let next = if wanted.is_empty() {
            changes.recv().await
        } else if let Ok(change) = tokio::time::timeout(RETRY, changes.recv()).await {
            change
        } else {
            write_all(&context, &mut wanted).await;
            continue;
        };
        let Some(change) = next else { return };
        want(&mut wanted, change);
        while let Ok(change) = changes.try_recv() {
            want(&mut wanted, change);
        }
        write_all(&context, &mut wanted).await;
    }
}

fn want(wanted: &mut BTreeMap<(String, String), Wanted>, change: IncidentChange) {
    let state = match change.change.kind {
        ChangeKind::Clearing => AnomalyState::Clearing,
        ChangeKind::Resolved => AnomalyState::Resolved,
        _ => AnomalyState::Open,
    };
    let opened = matches!(change.change.kind, ChangeKind::Opened);
    let key = (change.target.namespace.clone(), name(&change));
    match wanted.get_mut(&key) {
        // The object must be made from the sample that opened it, whatever came since.
        Some(present) => present.state = state,
        None => {
            let received = change.received;
            wanted.insert(key, Wanted { created: !opened, opened: opened.then_some(received), change, state });
        }
    }
}

/// Creates every new Anomaly first, several at once, and tells the rest afterwards: what a person waits for is that
/// the object is there.
async fn write_all(context: &Context, wanted: &mut BTreeMap<(String, String), Wanted>) {
    let mut new = Vec::new();
    for ((namespace, name), wanted) in wanted.iter().filter(|(_, wanted)| !wanted.created) {
        let (namespace, name, change) = (namespace.clone(), name.clone(), wanted.change.clone());
        new.push(create(context, namespace, name, change, wanted.opened).boxed());
    }
    let created: Vec<_> = futures::stream::iter(new).buffer_unordered(CREATED_AT_ONCE).collect().await;
    let mut fresh = BTreeMap::new();
    for (namespace, name, outcome) in created {
        match outcome {
            Ok(anomaly) => {
                let key = (namespace, name);
                if let Some(wanted) = wanted.get_mut(&key) {
                    wanted.created = true;
                }
                drop(anomaly.map(|anomaly| fresh.insert(key, anomaly)));
            }
            Err(error) => tracing::warn!(namespace, anomaly = name, %error, "Anomaly not written; trying again"),
        }
    }
    let mut written = Vec::new();
    for (key, wanted) in wanted.iter().filter(|(_, wanted)| wanted.created) {
        let (namespace, name) = key;
        match tell(context, namespace, name, wanted, fresh.remove(key)).await {
            Ok(()) => written.push(key.clone()),
            Err(error) => tracing::warn!(namespace, anomaly = name, %error, "Anomaly not written; trying again"),
        }
    }
    for key in written {
        wanted.remove(&key);
    }
}

/// Creates the object; `None` when it is there already.
async fn create(
    context: &Context,
    namespace: String,
    name: String,
    change: IncidentChange,
    opened: Option<Instant>,
) -> (String, String, Result<Option<Anomaly>, Error>) {
    let api: Api<Anomaly> = Api::namespaced(context.client.clone(), &namespace);
    let outcome = match call("create the Anomaly", api.create(&PostParams::default(), &anomaly(&name, &change))).await {
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
    (namespace, name, outcome)
}

/// Writes the state of an object that exists. `fresh`: the object as it was created just now.
async fn tell(
    context: &Context,
    namespace: &str,
    name: &str,
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
    let status = incident_status(&stored, wanted);
    let stored = status::apply(&api, name, MANAGER, None, &status).await?;
    match wanted.state {
        AnomalyState::Open if before.state.is_none() => {
            let note = format!(
                "{} of {} is {}",
                stored.spec.metric,
                stored.spec.pod,
                deviation(wanted.change.change.verdict.as_ref())
            );
            context.event(&stored, true, "AnomalyOpened", "Detect", note).await;
        }
        AnomalyState::Resolved => {
            let note = format!("{} of {} is back in its band", stored.spec.metric, stored.spec.pod);
            context.event(&stored, false, "AnomalyResolved", "Detect", note).await;
        }
        _ => {}
    }
    Ok(())
}

fn incident_status(stored: &Anomaly, wanted: &Wanted) -> AnomalyStatus {
    let now = k8s_openapi::jiff::Timestamp::now();
    let before = stored.status.clone().unwrap_or_default();
    let said = [Said::yes(types::READY, reasons::ACCEPTED, "the incident is followed")];
    AnomalyStatus {
        observed_generation: stored.metadata.generation,
        conditions: conditions::merge(&before.conditions, &said, stored.metadata.generation, now),
        state: Some(wanted.state),
        deviation: before.deviation.or_else(|| Some(deviation(wanted.change.change.verdict.as_ref()))),
        resolved_at: (wanted.state == AnomalyState::Resolved).then(|| format!("{now:.3}")),
        ..AnomalyStatus::default()
    }
}

/// The name: same rule, database and onset give the same name, in every process.
fn name(change: &IncidentChange) -> String {
    let identity = format!("{}\n{}\n{}", change.rule.uid, change.target, change.change.onset);
    let digest = Sha256::digest(identity.as_bytes());
    let suffix: String = digest.iter().take(5).map(|byte| format!("{byte:02x}")).collect();
    // A Remediation's name is made from this one, and both stay well below 253 characters.
    let stem: String = format!("{}-{}", change.rule.name, change.target.pod).chars().take(180).collect();
    format!("{}-{suffix}", stem.trim_end_matches(['-', '.']))
}

fn anomaly(name: &str, change: &IncidentChange) -> Anomaly {
    Anomaly {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(change.target.namespace.clone()),
            labels: Some(
                [
                    ("app.kubernetes.io/managed-by".to_owned(), "dbmedic".to_owned()),
                    ("dbmedic.io/rule".to_owned(), label(&change.rule.name)),
                ]
                .into(),
            ),
            ..ObjectMeta::default()
        },
        spec: AnomalySpec {
            rule_ref: ObjectReference { name: change.rule.name.clone(), uid: change.rule.uid.clone() },
            baseline_ref: LocalReference { name: change.target.baseline.clone() },
            pod: change.target.pod.clone(),
            metric: change.metric.clone(),
            unit: change.unit.clone(),
            detector: change.rule.rule.detector.name().to_owned(),
            severity: change.rule.severity,
            onset: time(change.change.onset),
            observed: change.change.verdict.as_ref().map(observed).unwrap_or_default(),
        },
        status: None,
    }
}

fn observed(verdict: &Verdict) -> Observed {
    Observed {
        at: time(verdict.at),
        value: rounded(verdict.value),
        band: Band {
            centre: verdict.centre.map(rounded),
            lower: verdict.lower.map(rounded),
            upper: verdict.upper.map(rounded),
        },
        sigmas: verdict.sigmas.map(rounded),
        confidence: rounded(verdict.confidence * 100.0),
    }
}

/// A distance for people; beyond a thousand its figure says nothing more.
pub fn sigmas(sigmas: f64) -> String {
    if sigmas.abs() >= 1000.0 {
        format!("{}1000+ sigma", if sigmas < 0.0 { "-" } else { "+" })
    } else {
        format!("{sigmas:+.1} sigma")
    }
}

fn deviation(verdict: Option<&Verdict>) -> String {
    let Some(verdict) = verdict else { return String::new() };
    match (verdict.sigmas, verdict.upper, verdict.lower) {
        (Some(deviation), _, _) => sigmas(deviation),
        (None, Some(upper), _) if verdict.value > upper => format!("{:.4} above {upper:.4}", verdict.value),
        (None, _, Some(lower)) => format!("{:.4} below {lower:.4}", verdict.value),
        _ => format!("{:.4}", verdict.value),
    }
}

fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

fn label(text: &str) -> String {
    text.chars().take(63).collect::<String>().trim_end_matches(['-', '.']).to_owned()
}

fn time(milliseconds: i64) -> String {
    jiff::Timestamp::from_millisecond(milliseconds).map_or_else(|_| String::new(), |time| format!("{time:.3}"))
}
