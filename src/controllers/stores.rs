//! The watch caches: one reflector per kind, warm on leaders and followers alike.
//!
//! Each stream has its own back-off, so that one kind that cannot be listed never stops the others, and reports
//! its progress, which liveness depends on.

mod merging;

use std::fmt::Debug;
use std::hash::Hash;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::serde::de::DeserializeOwned;
use kube::core::DeserializeGuard;
use kube::runtime::WatchStreamExt;
use kube::runtime::reflector::{self, Store};
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, Resource, ResourceExt};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use merging::Merging;

use crate::api::{
    Anomaly, AnomalyException, AnomalyRule, Baseline, Remediation, RemediationApproval, RemediationPolicy,
};

/// Label on a Job with the UID of the Remediation it works for: a name can be longer than a label.
pub const REMEDIATION_LABEL: &str = "dbmedic.io/remediation";

/// Some cloud load balancers drop connections that are idle for 240 s; the default of 290 s would meet that.
const WATCH_SECONDS: u32 = 200;

/// The watch caches.
#[derive(Clone)]
#[allow(missing_docs, reason = "each field is the cache of the kind it is named after")]
pub struct Stores {
    pub baselines: Store<Baseline>,
    pub rules: Store<AnomalyRule>,
    pub exceptions: Store<AnomalyException>,
    pub policies: Store<RemediationPolicy>,
    pub anomalies: Store<Anomaly>,
    pub remediations: Store<Remediation>,
    pub approvals: Store<RemediationApproval>,
    pub pods: Store<Pod>,
    pub jobs: Store<Job>,
    progress: Arc<Vec<Progress>>,
}

/// When a watch last gave a sign of life.
#[derive(Debug)]
pub struct Progress {
    /// Plural of the kind.
    pub kind: String,
    last: AtomicI64,
}

impl Progress {
    /// Seconds since the last event, bookmark or list; `None` before the first list is complete.
    pub fn age_seconds(&self, now_ms: i64) -> Option<i64> {
        match self.last.load(Ordering::Relaxed) {
            0 => None,
            last => Some((now_ms - last) / 1000),
        }
    }
}

/// A kind whose object changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[allow(missing_docs, reason = "the names are the kinds'")]
pub enum Kind {
    Baseline,
    Rule,
    Exception,
    Policy,
    Anomaly,
    Remediation,
    Approval,
    Pod,
    Job,
}

/// An object that changed.
#[derive(Clone, Debug)]
pub struct Changed {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What it points at: the Remediation of an approval or Job. An object that is gone cannot be asked any more.
    pub points_at: Option<String>,
}

/// Starts one watch per kind and namespace scope. Changes are sent to `changes` from the first list on.
pub fn start(
    client: &Client,
    namespaces: &[String],
    changes: &mpsc::UnboundedSender<Changed>,
    cancel: &CancellationToken,
) -> Stores {
    let mut starter = Starter { client, namespaces, changes, cancel, progress: Vec::new(), tasks: Vec::new() };
    let baselines = starter.watch::<Baseline>(Kind::Baseline, |_| None, "");
    let rules = starter.watch::<AnomalyRule>(Kind::Rule, |_| None, "");
    let exceptions = starter.watch::<AnomalyException>(Kind::Exception, |_| None, "");
    let policies = starter.watch::<RemediationPolicy>(Kind::Policy, |_| None, "");
    let anomalies = starter.watch::<Anomaly>(Kind::Anomaly, |_| None, "");
    let remediations = starter.watch::<Remediation>(Kind::Remediation, |_| None, "");
    let approvals =
        starter.watch::<RemediationApproval>(Kind::Approval, |approval| Some(approval.spec.remediation.clone()), "");
    let pods = starter.watch::<Pod>(Kind::Pod, |_| None, "");
    let jobs = starter.watch::<Job>(
        Kind::Job,
        |job| job.owner_references().first().map(|owner| owner.name.clone()),
        REMEDIATION_LABEL,
    );
    let progress = Arc::new(std::mem::take(&mut starter.progress));
    for task in std::mem::take(&mut starter.tasks) {
        task(progress.clone());
    }
    Stores { baselines, rules, exceptions, policies, anomalies, remediations, approvals, pods, jobs, progress }
}

impl Stores {
    /// True once every kind was listed completely.
    pub fn are_complete(&self) -> bool {
        self.progress.iter().all(|progress| progress.last.load(Ordering::Relaxed) != 0)
    }

    /// Signs of life of every watch.
    pub fn progress(&self) -> &[Progress] {
        &self.progress
    }
}

type Task = Box<dyn FnOnce(Arc<Vec<Progress>>)>;

struct Starter<'a> {
    client: &'a Client,
    namespaces: &'a [String],
    changes: &'a mpsc::UnboundedSender<Changed>,
    cancel: &'a CancellationToken,
    progress: Vec<Progress>,
    tasks: Vec<Task>,
}

impl Starter<'_> {
    fn watch<K>(&mut self, kind: Kind, points_at: fn(&K) -> Option<String>, label: &str) -> Store<K>
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope>
            + ResourceExt
            + Clone
            + DeserializeOwned
            + Debug
            + Send
            + Sync
            + Prunable
            + 'static,
        K::DynamicType: Default + Eq + Hash + Clone + Debug + Unpin + Send + Sync,
    {
        let (store, writer) = reflector::store::<K>();
        let writer = Arc::new(Mutex::new(Merging::new(writer, self.namespaces.len().max(1))));
        let scopes: Vec<Option<String>> =
            if self.namespaces.is_empty() { vec![None] } else { self.namespaces.iter().cloned().map(Some).collect() };
        for (scope_index, scope) in scopes.into_iter().enumerate() {
            let index = self.progress.len();
            self.progress
                .push(Progress { kind: K::plural(&K::DynamicType::default()).into_owned(), last: AtomicI64::new(0) });
            let api: Api<DeserializeGuard<K>> = match &scope {
                Some(namespace) => Api::namespaced(self.client.clone(), namespace),
                None => Api::all(self.client.clone()),
            };
            let mut config = watcher::Config::default().timeout(WATCH_SECONDS);
            if !label.is_empty() {
                config = config.labels(label);
            }
            let (changes, cancel, writer) = (self.changes.clone(), self.cancel.clone(), writer.clone());
            self.tasks.push(Box::new(move |progress| {
                let follow = follow(api, config, writer, scope_index, kind, points_at, changes, progress, index);
                tokio::spawn(cancel.run_until_cancelled_owned(follow));
            }));
        }
        store
    }
}

#[allow(clippy::too_many_arguments, reason = "one private task with everything it owns")]
async fn follow<K>(
    api: Api<DeserializeGuard<K>>,
    config: watcher::Config,
    writer: Arc<Mutex<Merging<K>>>,
    scope: usize,
    kind: Kind,
    points_at: fn(&K) -> Option<String>,
    changes: mpsc::UnboundedSender<Changed>,
    progress: Arc<Vec<Progress>>,
    index: usize,
) where
    K: Resource + ResourceExt + Clone + DeserializeOwned + Debug + Send + Sync + Prunable + 'static,
    K::DynamicType: Default + Eq + Hash + Clone + Debug + Unpin + Send + Sync,
{
    let mut events = watcher::watcher(api, config).default_backoff().boxed();
    loop {
        match events.try_next().await {
            Ok(Some(event)) => {
                let complete = matches!(event, Event::InitDone);
                if let Some(event) = valid(event) {
                    let touched = lock(&writer).apply(scope, event);
                    for object in touched {
                        let changed = Changed {
                            kind,
                            namespace: object.namespace().unwrap_or_default(),
                            name: object.name_any(),
                            points_at: points_at(&object),
                        };
                        // The receiver lives as long as the process; when it is gone, so are we.
                        let _ = changes.send(changed);
                    }
                }
                if complete || progress[index].last.load(Ordering::Relaxed) != 0 {
                    progress[index].last.store(now_ms(), Ordering::Relaxed);
                }
            }
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(kind = %progress[index].kind, %error, "watch failed; trying again");
                // Without the right to fix there are no Jobs to see: the operator observes and suggests.
                if kind == Kind::Job && is_forbidden(&error) {
                    lock(&writer).without(scope);
                    progress[index].last.store(now_ms(), Ordering::Relaxed);
                }
            }
        }
    }
}

fn is_forbidden(error: &watcher::Error) -> bool {
    use watcher::Error::{InitialListFailed, WatchError, WatchStartFailed};
    match error {
        InitialListFailed(kube::Error::Api(status))
        | WatchStartFailed(kube::Error::Api(status))
        | WatchError(status) => status.is_forbidden(),
        _ => false,
    }
}

fn lock<K>(writer: &Mutex<Merging<K>>) -> MutexGuard<'_, Merging<K>>
where
    K: Resource + Clone + 'static,
    K::DynamicType: Eq + Hash + Clone,
{
    writer.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Drops objects that cannot be read (stored before a schema was tightened): one bad object never stops the others.
fn valid<K: Resource + ResourceExt + Prunable>(event: Event<DeserializeGuard<K>>) -> Option<Event<K>> {
    let read = |guarded: DeserializeGuard<K>| match guarded.0 {
        Ok(mut object) => {
            object.managed_fields_mut().clear();
            object.prune();
            Some(object)
        }
        Err(invalid) => {
            let name = invalid.metadata.name.unwrap_or_default();
            tracing::error!(name, error = %invalid.error, "object cannot be read and is left out");
            None
        }
    };
    Some(match event {
        Event::Init => Event::Init,
        Event::InitDone => Event::InitDone,
        Event::InitApply(object) => Event::InitApply(read(object)?),
        Event::Apply(object) => Event::Apply(read(object)?),
        Event::Delete(object) => Event::Delete(read(object)?),
    })
}

/// Drops what is never used before an object is kept: a whole Pod is 247 KiB in memory, what we need of it a few.
pub trait Prunable {
    /// Drops what is never used.
    fn prune(&mut self) {}
}

impl Prunable for Baseline {}
impl Prunable for AnomalyRule {}
impl Prunable for AnomalyException {}
impl Prunable for RemediationPolicy {}
impl Prunable for Anomaly {}
impl Prunable for Remediation {}
impl Prunable for RemediationApproval {}

impl Prunable for Pod {
    fn prune(&mut self) {
        self.metadata.annotations = None;
        self.metadata.owner_references = None;
        self.spec = None;
        if let Some(status) = &mut self.status {
            *status = k8s_openapi::api::core::v1::PodStatus {
                phase: status.phase.take(),
                pod_ip: status.pod_ip.take(),
                // Why a fix's pod does not start: a missing Secret is told here.
                container_statuses: status.container_statuses.take(),
                ..Default::default()
            };
        }
    }
}

impl Prunable for Job {
    fn prune(&mut self) {
        self.metadata.annotations = None;
        self.spec = None;
    }
}

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
