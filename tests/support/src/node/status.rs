//! What a node writes to the status of its objects.

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

/// Now, as the API writes times of whole seconds.
pub fn now() -> String {
    format!("{:.0}", Timestamp::now())
}

/// Now, as the API writes times of leases (microseconds).
pub fn now_precise() -> String {
    format!("{:.6}", Timestamp::now())
}

/// The phase of a pod, `Pending` if it has none yet.
pub fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("Pending")
}

fn condition(kind: &str, holds: bool) -> Value {
    json!({"type": kind, "status": if holds { "True" } else { "False" }, "lastTransitionTime": now()})
}

fn conditions(ready: bool) -> Value {
    json!([
        condition("PodScheduled", true),
        condition("Initialized", true),
        condition("ContainersReady", ready),
        condition("Ready", ready),
    ])
}

/// A node that takes pods.
pub fn node() -> Value {
    let mut ready = condition("Ready", true);
    ready["reason"] = json!("KubeletReady");
    ready["lastHeartbeatTime"] = json!(now());
    json!({
        "conditions": [ready],
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "capacity": {"cpu": "4", "memory": "8Gi", "pods": "110"},
        "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"},
    })
}

/// A database pod at an address.
pub fn database(address: &str, ready: bool) -> Value {
    let container = json!({
        "name": "database", "image": "database", "imageID": "database", "restartCount": 0,
        "ready": ready, "started": true, "state": {"running": {"startedAt": now()}},
    });
    json!({
        "phase": "Running",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "hostIP": "127.0.0.1",
        "startTime": now(),
        "conditions": conditions(ready),
        "containerStatuses": [container],
    })
}

/// What is known of one container.
#[derive(Debug, Clone)]
pub struct Container {
    pub name: String,
    pub image: String,
    pub state: State,
}

/// The state of one container.
#[derive(Debug, Clone)]
pub enum State {
    Waiting { reason: &'static str, message: String },
    Running { since: String },
    Terminated { since: String, until: String, exit_code: i32, signal: Option<i32>, message: String },
}

impl Container {
    fn value(&self) -> Value {
        let running = matches!(self.state, State::Running { .. });
        let state = match &self.state {
            State::Waiting { reason, message } => json!({"waiting": {"reason": reason, "message": message}}),
            State::Running { since } => json!({"running": {"startedAt": since}}),
            State::Terminated { since, until, exit_code, signal, message } => json!({"terminated": {
                "exitCode": exit_code, "signal": signal, "startedAt": since, "finishedAt": until, "message": message,
                "reason": if *exit_code == 0 { "Completed" } else { "Error" },
            }}),
        };
        json!({
            "name": self.name, "image": self.image, "imageID": self.image, "restartCount": 0,
            "ready": running, "started": running, "state": state,
        })
    }
}

/// A pod with these containers: it waits, runs, or has ended.
pub fn pod(containers: &[Container]) -> Value {
    let ended = containers.iter().all(|container| matches!(container.state, State::Terminated { .. }));
    let succeeded =
        containers.iter().all(|container| matches!(container.state, State::Terminated { exit_code: 0, .. }));
    let waiting = containers.iter().any(|container| matches!(container.state, State::Waiting { .. }));
    let phase = match (ended, succeeded, waiting) {
        (true, true, _) => "Succeeded",
        (true, false, _) => "Failed",
        (false, _, true) => "Pending",
        (false, _, false) => "Running",
    };
    json!({
        "phase": phase,
        "podIP": "127.0.0.1",
        "podIPs": [{"ip": "127.0.0.1"}],
        "hostIP": "127.0.0.1",
        "startTime": containers.iter().find_map(started).unwrap_or_else(now),
        "conditions": conditions(phase == "Running"),
        "containerStatuses": containers.iter().map(Container::value).collect::<Vec<_>>(),
    })
}

fn started(container: &Container) -> Option<String> {
    match &container.state {
        State::Waiting { .. } => None,
        State::Running { since } | State::Terminated { since, .. } => Some(since.clone()),
    }
}
