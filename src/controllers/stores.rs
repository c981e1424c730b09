//! The watch caches: one reflector per kind, warm on leaders and followers alike.
//!
//! Each stream has its own back-off, so that one kind that cannot be listed never stops the others, and reports
//! its progress, which liveness depends on.

use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

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

use crate::api::{Anomaly, AnomalyRule, Baseline, Remediation, RemediationApproval, RemediationPolicy};

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
    Stores { baselines, rules, policies, anomalies, remediations, approvals, pods, jobs, progress }
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
        let writer = Arc::new(std::sync::Mutex::new(Merging::new(writer, self.namespaces.len().max(1))));
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
    writer: Arc<std::sync::Mutex<Merging<K>>>,
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
                let event = valid(event);
                if let Some(event) = event {
                    if let Event::Apply(object) | Event::InitApply(object) | Event::Delete(object) = &event {
                        let changed = Changed {
                            kind,
                            namespace: object.namespace().unwrap_or_default(),
                            name: object.name_any(),
                            points_at: points_at(object),
                        };
                        apply(&writer, scope, event);
                        // The receiver lives as long as the process; when it is gone, so are we.
                        let _ = changes.send(changed);
                    } else {
                        apply(&writer, scope, event);
                    }
                }
                if complete || progress[index].last.load(Ordering::Relaxed) != 0 {
                    progress[index].last.store(now_ms(), Ordering::Relaxed);
                }
            }
            Ok(None) => return,
            Err(error) => tracing::warn!(kind = %progress[index].kind, %error, "watch failed; trying again"),
        }
    }
}

fn apply<K>(writer: &std::sync::Mutex<Merging<K>>, scope: usize, event: Event<K>)
where
    K: Resource + ResourceExt + Clone,
    K::DynamicType: Default + Eq + Hash + Clone,
{
    writer.lock().unwrap_or_else(std::sync::PoisonError::into_inner).apply(scope, event);
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

/// Several namespaces feed one store: its first list is complete when all of theirs are, and a later list of one
/// namespace replaces only that namespace's objects.
struct Merging<K: Resource + Clone + 'static>
where
    K::DynamicType: Eq + Hash + Clone,
{
    writer: reflector::store::Writer<K>,
    listing: Vec<Option<Vec<K>>>,
    known: Vec<std::collections::HashMap<String, K>>,
    first_lists: usize,
}

impl<K> Merging<K>
where
    K: Resource + ResourceExt + Clone,
    K::DynamicType: Default + Eq + Hash + Clone,
{
    fn new(writer: reflector::store::Writer<K>, scopes: usize) -> Self {
        Self {
            writer,
            listing: vec![None; scopes],
            known: vec![std::collections::HashMap::new(); scopes],
            first_lists: scopes,
        }
    }

    fn apply(&mut self, scope: usize, event: Event<K>) {
        if self.listing.len() == 1 {
            self.writer.apply_watcher_event(&event);
            return;
        }
        match event {
            Event::Init => self.listing[scope] = Some(Vec::new()),
            Event::InitApply(object) => {
                if let Some(listing) = &mut self.listing[scope] {
                    listing.push(object);
                }
            }
            Event::InitDone => self.listed(scope),
            Event::Apply(object) => {
                self.known[scope].insert(object.name_any(), object.clone());
                self.writer.apply_watcher_event(&Event::Apply(object));
            }
            Event::Delete(object) => {
                self.known[scope].remove(&object.name_any());
                self.writer.apply_watcher_event(&Event::Delete(object));
            }
        }
    }

    fn listed(&mut self, scope: usize) {
        let listing = self.listing[scope].take().unwrap_or_default();
        let before = std::mem::take(&mut self.known[scope]);
        let now: std::collections::HashMap<String, K> =
            listing.into_iter().map(|object| (object.name_any(), object)).collect();
        for gone in before.into_iter().filter(|(name, _)| !now.contains_key(name)).map(|(_, object)| object) {
            self.writer.apply_watcher_event(&Event::Delete(gone));
        }
        self.known[scope] = now;
        if self.first_lists > 1 {
            self.first_lists -= 1;
            return;
        }
        if self.first_lists == 1 {
            self.first_lists = 0;
            self.writer.apply_watcher_event(&Event::Init);
            for object in self.known.iter().flat_map(|known| known.values()) {
                self.writer.apply_watcher_event(&Event::InitApply(object.clone()));
            }
            self.writer.apply_watcher_event(&Event::InitDone);
            return;
        }
        for object in self.known[scope].values() {
            self.writer.apply_watcher_event(&Event::Apply(object.clone()));
        }
    }
}

/// Drops what is never used before an object is kept: a whole Pod is 247 KiB in memory, what we need of it a few.
pub trait Prunable {
    /// Drops what is never used.
    fn prune(&mut self) {}
}

impl Prunable for Baseline {}
impl Prunable for AnomalyRule {}
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
