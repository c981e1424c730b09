//! A small node: it runs the pods of Jobs as plain processes.
//!
//! What differs from a kubelet: there are no containers. A container's image stands for a program of this machine, its
//! volumes are directories whose paths replace the mount paths in arguments and environment, and the process sees the
//! whole machine as the user of the tests. Containers are never restarted, and there are no init containers, probes,
//! security contexts or resource limits. All else a Job's controller and an operator see is the same: binding, status
//! with start, exit code and termination message (4096 bytes), deletion with its grace period.

mod environment;
mod pod;
mod status;
mod volumes;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures::TryStreamExt as _;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node as NodeObject, Pod};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, ResourceExt as _};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::cluster::Cluster;
use crate::process::Process;
use crate::scratch::{Scratch, random_text};

/// Marks pods that exist only as objects: the database that they stand for runs outside.
const STATIC_POD: &str = "tests.dbmedic.io/static-pod";
const LEASE_NAMESPACE: &str = "kube-node-lease";
const LEASE_SECONDS: i32 = 40;
const RENEWAL: Duration = Duration::from_secs(5);

/// A container that the node has started.
#[derive(Debug, Clone)]
pub struct Ran {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub pod: String,
    /// The Job that the pod belongs to.
    pub job: Option<String>,
    /// The container's name.
    pub container: String,
    /// The program's arguments, with mount paths replaced.
    pub arguments: Vec<String>,
    /// The process's number.
    pub pid: u32,
    /// When it was started.
    pub started: Instant,
    /// Its exit code once it has ended, 128 and the signal's number if a signal ended it.
    pub exit_code: Option<i32>,
    /// What it left as its termination message.
    pub message: String,
}

/// What the node's tasks share.
struct Shared {
    client: Client,
    name: String,
    namespaces: BTreeSet<String>,
    programs: BTreeMap<String, PathBuf>,
    directory: Scratch,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    ran: Vec<Ran>,
    /// Running containers by namespace and pod.
    running: HashMap<(String, String), Vec<Process>>,
    /// The task of each pod by UID; a pod is run once, whatever happens to its object later.
    pods: HashMap<String, tokio::task::AbortHandle>,
    /// Pods being deleted, by UID: nothing of theirs is started any more.
    ending: BTreeSet<String>,
    delay: Duration,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A registered node with its tasks. When it is dropped, its processes are killed and its tasks end.
pub struct Node {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
}

impl Node {
    /// Registers a node that takes the pods of these namespaces. `programs` says which program each image stands for;
    /// pods with another image are left alone.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn start(cluster: &Cluster, namespaces: &[&str], programs: &[(&str, PathBuf)]) -> Result<Self> {
        let shared = Arc::new(Shared {
            client: cluster.client("admin").await?,
            name: format!("node-{}", &random_text()?[..8]),
            namespaces: namespaces.iter().map(|name| (*name).to_owned()).collect(),
            programs: programs.iter().map(|(image, path)| ((*image).to_owned(), path.clone())).collect(),
            directory: Scratch::new("node")?,
            state: Mutex::new(State::default()),
        });
        register(&shared).await?;
        let mut tasks = vec![tokio::spawn(renew(Arc::clone(&shared)))];
        for namespace in &shared.namespaces {
            tasks.push(tokio::spawn(watch(Arc::clone(&shared), namespace.clone())));
        }
        Ok(Self { shared, tasks })
    }

    /// The node's name.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Every container that was started, in the order of their starts.
    pub fn ran(&self) -> Vec<Ran> {
        self.shared.state().ran.clone()
    }

    /// The processes that run now: namespace, pod and process.
    pub fn running(&self) -> Vec<(String, String, Process)> {
        let state = self.shared.state();
        let running = state.running.iter().flat_map(|((namespace, pod), processes)| {
            processes.iter().map(move |process| (namespace.clone(), pod.clone(), process.clone()))
        });
        running.filter(|(_, _, process)| process.ended().is_none()).collect()
    }

    /// Sends a signal to the processes of a pod, whose end then shows on the pod; false if none runs.
    pub fn kill_pod(&self, namespace: &str, pod: &str, signal: Signal) -> bool {
        let running = self.running();
        let mut found = running.iter().filter(|(a, b, _)| a == namespace && b == pod).peekable();
        let any = found.peek().is_some();
        found.for_each(|(_, _, process)| process.signal(signal));
        any
    }

    /// Something that kills every process that the node runs and returns when they are gone, for an action of a proxy.
    pub fn killer(&self) -> impl Fn() + Send + Sync + Clone + 'static {
        let shared = Arc::clone(&self.shared);
        move || {
            let processes: Vec<Process> = shared.state().running.values().flatten().cloned().collect();
            processes.iter().for_each(Process::kill);
        }
    }

    /// Lets pods that come from now on wait this long between binding and start.
    pub fn delay_starts(&self, delay: Duration) {
        self.shared.state().delay = delay;
    }

    /// Makes a pod that stands for a database server at this address: bound, running and ready.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn database_pod(
        &self,
        namespace: &str,
        name: &str,
        labels: &[(&str, &str)],
        address: IpAddr,
        port: u16,
    ) -> Result<Pod> {
        let labels: BTreeMap<_, _> = labels.iter().copied().collect();
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": name, "labels": labels, "annotations": {STATIC_POD: "true"}},
            "spec": {
                "nodeName": self.shared.name,
                "automountServiceAccountToken": false,
                "containers": [{
                    "name": "database",
                    "image": "database",
                    "ports": [{"containerPort": port}],
                }],
            },
        }))?;
        let api = self.pods(namespace);
        api.create(&PostParams::default(), &pod).await.with_context(|| format!("making the pod {name}"))?;
        self.patch_status(namespace, name, &status::database(&address.to_string(), true)).await
    }

    /// Says of a database pod whether it is ready and at which address it is now.
    ///
    /// # Errors
    /// There is no such pod.
    pub async fn database_pod_is(&self, namespace: &str, name: &str, address: IpAddr, ready: bool) -> Result<Pod> {
        self.patch_status(namespace, name, &status::database(&address.to_string(), ready)).await
    }

    async fn patch_status(&self, namespace: &str, name: &str, status: &Value) -> Result<Pod> {
        let patch = Patch::Merge(json!({"status": status}));
        let patched = self.pods(namespace).patch_status(name, &PatchParams::default(), &patch).await;
        patched.with_context(|| format!("the status of the pod {name}"))
    }

    fn pods(&self, namespace: &str) -> Api<Pod> {
        Api::namespaced(self.shared.client.clone(), namespace)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        let mut state = self.shared.state();
        for (_, task) in state.pods.drain() {
            task.abort();
        }
        // Every process is killed when its last handle goes.
        state.running.clear();
    }
}

async fn register(shared: &Shared) -> Result<()> {
    let nodes: Api<NodeObject> = Api::all(shared.client.clone());
    let node = serde_json::from_value(json!({
        "metadata": {"name": shared.name, "labels": {"kubernetes.io/hostname": shared.name}},
    }))?;
    nodes.create(&PostParams::default(), &node).await.context("registering the node")?;
    let status = Patch::Merge(json!({"status": status::node()}));
    nodes.patch_status(&shared.name, &PatchParams::default(), &status).await?;
    let leases: Api<Lease> = Api::namespaced(shared.client.clone(), LEASE_NAMESPACE);
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": shared.name},
        "spec": {"holderIdentity": shared.name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": status::now_precise()},
    });
    leases.patch(&shared.name, &PatchParams::apply("node").force(), &Patch::Apply(lease)).await?;
    Ok(())
}

/// Renews the lease: without it the controller-manager takes the node for dead and deletes its pods.
async fn renew(shared: Arc<Shared>) {
    let leases: Api<Lease> = Api::namespaced(shared.client.clone(), LEASE_NAMESPACE);
    let mut ticks = tokio::time::interval(RENEWAL);
    loop {
        ticks.tick().await;
        let renewal = Patch::Merge(json!({"spec": {"renewTime": status::now_precise()}}));
        // The next renewal comes in time if this one fails.
        let _ = leases.patch(&shared.name, &PatchParams::default(), &renewal).await;
    }
}

async fn watch(shared: Arc<Shared>, namespace: String) {
    let pods: Api<Pod> = Api::namespaced(shared.client.clone(), &namespace);
    let mut events = Box::pin(watcher(pods.clone(), watcher::Config::default()).default_backoff());
    loop {
        match events.try_next().await {
            Ok(Some(watcher::Event::Apply(pod) | watcher::Event::InitApply(pod))) => take(&shared, &pods, pod).await,
            Ok(Some(watcher::Event::Delete(pod))) => forget(&shared, &pod),
            Ok(Some(_)) => {}
            Ok(None) => return,
            Err(error) => eprintln!("the node's watch of {namespace}: {error}"),
        }
    }
}

/// Decides what a pod's present state asks of the node.
async fn take(shared: &Arc<Shared>, pods: &Api<Pod>, pod: Pod) {
    let Some(spec) = &pod.spec else { return };
    if pod.annotations().contains_key(STATIC_POD) {
        if pod.metadata.deletion_timestamp.is_some() && spec.node_name.as_deref() == Some(&shared.name) {
            finish_deletion(pods, &pod).await;
        }
        return;
    }
    let known = spec
        .containers
        .iter()
        .all(|container| container.image.as_ref().is_some_and(|image| shared.programs.contains_key(image)));
    match spec.node_name.as_deref() {
        None if known && pod.metadata.deletion_timestamp.is_none() => bind(shared, pods, &pod).await,
        Some(node) if node == shared.name => {
            let uid = pod.uid().unwrap_or_default();
            let mut state = shared.state();
            if pod.metadata.deletion_timestamp.is_some() {
                if state.ending.insert(uid) {
                    drop(state);
                    tokio::spawn(pod::end(Arc::clone(shared), pods.clone(), pod));
                }
            } else if !state.pods.contains_key(&uid) && status::phase(&pod) == "Pending" {
                let task = tokio::spawn(pod::run(Arc::clone(shared), pods.clone(), pod));
                state.pods.insert(uid, task.abort_handle());
            }
        }
        _ => {}
    }
}

fn forget(shared: &Shared, pod: &Pod) {
    let mut state = shared.state();
    if let Some(task) = pod.uid().and_then(|uid| state.pods.remove(&uid)) {
        task.abort();
    }
    // Its processes die with their last handle.
    state.running.remove(&(pod.namespace().unwrap_or_default(), pod.name_any()));
}

async fn bind(shared: &Shared, pods: &Api<Pod>, pod: &Pod) {
    let name = pod.name_any();
    let binding = json!({
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": name, "uid": pod.uid()},
        "target": {"apiVersion": "v1", "kind": "Node", "name": shared.name},
    });
    let bound: kube::Result<Value> = pods.create_subresource("binding", &name, &PostParams::default(), &binding).await;
    match bound {
        // Seen twice before the first binding came through.
        Err(kube::Error::Api(status)) if status.is_conflict() || status.is_not_found() => {}
        Err(error) => eprintln!("binding the pod {name}: {error}"),
        Ok(_) => {}
    }
}

/// Removes the object of a deleted pod, as the node's part of a deletion is done.
async fn finish_deletion(pods: &Api<Pod>, pod: &Pod) {
    let parameters = DeleteParams::default().grace_period(0);
    let parameters = match pod.uid() {
        Some(uid) => parameters.preconditions(kube::api::Preconditions { uid: Some(uid), resource_version: None }),
        None => parameters,
    };
    // Gone already is as good.
    let _ = pods.delete(&pod.name_any(), &parameters).await;
}
