//! One queue per controller, fed by the watches and the engine from the moment of leadership.
//!
//! kube's `applier` gives what a queue has to: the same object is never looked at twice at once, and repeated
//! requests for it become one.

use std::fmt::Debug;
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::channel::mpsc as queue;
use kube::runtime::controller::{self, Action, Config};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Resource, ResourceExt};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::api::{Anomaly, AnomalyException, AnomalyRule, Baseline, Remediation, RemediationPolicy};
use crate::controllers::routes::{self, Work};
use crate::controllers::stores::{Changed, Kind};
use crate::controllers::{
    Context, Error, anomaly, anomaly_exception, anomaly_rule, baseline, remediation, remediation_policy,
};
use crate::engine::Noticed;

/// Passes over different objects of one kind that run at once.
const CONCURRENCY: u16 = 4;

struct Queues {
    baselines: queue::UnboundedSender<ObjectRef<Baseline>>,
    rules: queue::UnboundedSender<ObjectRef<AnomalyRule>>,
    exceptions: queue::UnboundedSender<ObjectRef<AnomalyException>>,
    policies: queue::UnboundedSender<ObjectRef<RemediationPolicy>>,
    anomalies: queue::UnboundedSender<ObjectRef<Anomaly>>,
    remediations: queue::UnboundedSender<ObjectRef<Remediation>>,
}

impl Queues {
    fn push(&self, work: Work) {
        // A queue closes only when the process ends.
        let _ = match work {
            Work::Baseline(object) => self.baselines.unbounded_send(object).is_ok(),
            Work::Rule(object) => self.rules.unbounded_send(object).is_ok(),
            Work::Exception(object) => self.exceptions.unbounded_send(object).is_ok(),
            Work::Policy(object) => self.policies.unbounded_send(object).is_ok(),
            Work::Anomaly(object) => self.anomalies.unbounded_send(object).is_ok(),
            Work::Remediation(object) => self.remediations.unbounded_send(object).is_ok(),
        };
    }
}

/// Starts every controller, and the router that feeds them.
pub fn start(
    context: &Arc<Context>,
    mut changes: mpsc::UnboundedReceiver<Changed>,
    mut noticed: mpsc::UnboundedReceiver<Noticed>,
    cancel: &CancellationToken,
) {
    let stores = &context.stores;
    let queues = Queues {
        baselines: controller("baseline", context, stores.baselines.clone(), baseline::reconcile, cancel),
        rules: controller("anomalyrule", context, stores.rules.clone(), anomaly_rule::reconcile, cancel),
        exceptions: controller(
            "anomalyexception",
            context,
            stores.exceptions.clone(),
            anomaly_exception::reconcile,
            cancel,
        ),
        policies: controller(
            "remediationpolicy",
            context,
            stores.policies.clone(),
            remediation_policy::reconcile,
            cancel,
        ),
        anomalies: controller("anomaly", context, stores.anomalies.clone(), anomaly::reconcile, cancel),
        remediations: controller("remediation", context, stores.remediations.clone(), remediation::reconcile, cancel),
    };
    let context = context.clone();
    let router = async move {
        for work in routes::everything(&context.stores) {
            queues.push(work);
        }
        loop {
            tokio::select! {
                Some(changed) = changes.recv() => {
                    forget_deleted(&changed, &context).await;
                    for work in routes::route(&changed, &context.stores) {
                        queues.push(work);
                    }
                }
                Some(noticed) = noticed.recv() => {
                    for work in routes::route_noticed(&noticed, &context.stores) {
                        queues.push(work);
                    }
                }
                else => return,
            }
        }
    };
    tokio::spawn(cancel.clone().run_until_cancelled_owned(router));
}

/// An object that is gone is never looked at again by its controller: what the engine does for it ends here.
async fn forget_deleted(changed: &Changed, context: &Context) {
    let (name, namespace) = (changed.name.as_str(), changed.namespace.as_str());
    match changed.kind {
        Kind::Baseline if context.stores.baselines.get(&ObjectRef::new(name).within(namespace)).is_none() => {
            let key = crate::engine::BaselineKey { namespace: namespace.to_owned(), name: name.to_owned() };
            context.engine.set_targets(key, Vec::new()).await;
        }
        Kind::Rule if context.stores.rules.get(&ObjectRef::new(name).within(namespace)).is_none() => {
            context.engine.remove_rule(namespace, name).await;
        }
        Kind::Exception if context.stores.exceptions.get(&ObjectRef::new(name).within(namespace)).is_none() => {
            context.engine.remove_exception(namespace, name).await;
        }
        _ => {}
    }
}

fn controller<K, Pass>(
    kind: &'static str,
    context: &Arc<Context>,
    store: Store<K>,
    reconcile: fn(Arc<K>, Arc<Context>) -> Pass,
    cancel: &CancellationToken,
) -> queue::UnboundedSender<ObjectRef<K>>
where
    K: Resource<DynamicType = ()> + ResourceExt + Clone + Debug + Send + Sync + 'static,
    K::DynamicType: Eq + Hash,
    Pass: Future<Output = Result<Action, Error>> + Send + 'static,
{
    let (sender, receiver) = queue::unbounded();
    let passes = controller::applier(
        move |object: Arc<K>, context: Arc<Context>| Box::pin(pass(kind, object, context, reconcile)),
        |_, error: &Failed, _| Action::requeue(error.again_in),
        context.clone(),
        store,
        receiver.map(Ok::<_, std::convert::Infallible>),
        Config::default().concurrency(CONCURRENCY),
    );
    let drain = passes.for_each(|_| async {});
    tokio::spawn(cancel.clone().run_until_cancelled_owned(drain));
    sender
}

/// A pass that failed, already logged, and when to try again.
#[derive(Debug, thiserror::Error)]
#[error("try again in {again_in:?}")]
struct Failed {
    again_in: Duration,
}

async fn pass<K, Pass>(
    kind: &'static str,
    object: Arc<K>,
    context: Arc<Context>,
    reconcile: fn(Arc<K>, Arc<Context>) -> Pass,
) -> Result<Action, Failed>
where
    K: ResourceExt,
    Pass: Future<Output = Result<Action, Error>>,
{
    let name = format!("{kind}/{}/{}", object.namespace().unwrap_or_default(), object.name_any());
    let began = Instant::now();
    let outcome = reconcile(object, context.clone()).await;
    let result = outcome.as_ref().map_or_else(Error::category, |_| "ok");
    context.telemetry.reconciled(kind, result, began.elapsed());
    match outcome {
        Ok(action) => {
            context.backoff.succeeded(&name);
            Ok(action)
        }
        // Somebody else wrote it: what was decided may be wrong now, and the watch brings the new state at once.
        Err(error) if error.is_conflict() => Err(Failed { again_in: Duration::from_millis(50) }),
        Err(error) => {
            let again_in = context.backoff.failed(&name);
            tracing::warn!(object = name, %error, again_in_ms = again_in.as_millis(), "pass failed");
            Err(Failed { again_in })
        }
    }
}
