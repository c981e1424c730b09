//! One pod from its start to its end.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use kube::ResourceExt as _;
use kube::api::{Api, Patch, PatchParams};
use nix::sys::signal::Signal;
use serde_json::json;

use super::environment::{self, Mounts};
use super::{Ran, Shared, finish_deletion, status, volumes};
use crate::process::{Launch, Process};

/// How much of a termination message a kubelet keeps, in bytes.
const LONGEST_MESSAGE: usize = 4096;
const TERMINATION_LOG: &str = "/dev/termination-log";
const LOOK: Duration = Duration::from_millis(10);
const RETRY: Duration = Duration::from_millis(500);

struct Started {
    process: Process,
    place: usize,
    since: String,
    message_file: PathBuf,
    log: PathBuf,
    message_from_log: bool,
}

/// Runs a bound pod to its end.
pub(super) async fn run(shared: Arc<Shared>, pods: Api<Pod>, pod: Pod) {
    let delay = shared.state().delay;
    tokio::time::sleep(delay).await;
    let Some(spec) = pod.spec.clone() else { return };
    let directory = shared.directory.path().join(pod.uid().unwrap_or_default());
    // A kubelet waits for Secrets and ConfigMaps that are not there yet, and says so.
    let started = loop {
        match start(&shared, &pod, &spec, &directory).await {
            Ok(started) => break started,
            Err(_) if shared.state().ending.contains(&pod.uid().unwrap_or_default()) => return,
            Err(error) => {
                let reason = "CreateContainerConfigError";
                let waiting = status::State::Waiting { reason, message: format!("{error:#}") };
                write(&pods, &pod, &spec, &vec![waiting; spec.containers.len()]).await;
                tokio::time::sleep(RETRY).await;
            }
        }
    };
    let mut states: Vec<status::State> =
        started.iter().map(|started| status::State::Running { since: started.since.clone() }).collect();
    write(&pods, &pod, &spec, &states).await;

    let deadline = spec.active_deadline_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    let deadline = deadline.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut open = started.len();
    while open > 0 {
        tokio::time::sleep(LOOK).await;
        let late = deadline.is_some_and(|deadline| Instant::now() > deadline);
        for (state, started) in states.iter_mut().zip(&started) {
            if !matches!(state, status::State::Running { .. }) {
                continue;
            }
            if late {
                started.process.signal(Signal::SIGKILL);
            }
            if let Some(ended) = started.process.ended() {
                *state = finished(&shared, started, ended);
                open -= 1;
            }
        }
    }
    write(&pods, &pod, &spec, &states).await;
    shared.state().running.remove(&(pod.namespace().unwrap_or_default(), pod.name_any()));
}

/// Ends a pod that was deleted: SIGTERM, after the grace period SIGKILL, the last status, then the object.
pub(super) async fn end(shared: Arc<Shared>, pods: Api<Pod>, pod: Pod) {
    let key = (pod.namespace().unwrap_or_default(), pod.name_any());
    let processes = shared.state().running.get(&key).cloned().unwrap_or_default();
    let grace = pod.metadata.deletion_grace_period_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    let deadline = Instant::now() + Duration::from_secs(grace.unwrap_or(30));
    for process in &processes {
        process.signal(Signal::SIGTERM);
    }
    while processes.iter().any(|process| process.ended().is_none()) {
        if Instant::now() >= deadline {
            for process in &processes {
                process.kill();
            }
        }
        tokio::time::sleep(LOOK).await;
    }
    // The pod's own task writes its last status; the Job's controller counts that.
    let written = Instant::now() + Duration::from_secs(5);
    while shared.state().running.contains_key(&key) && Instant::now() < written {
        tokio::time::sleep(LOOK).await;
    }
    finish_deletion(&pods, &pod).await;
}

async fn start(shared: &Shared, pod: &Pod, spec: &PodSpec, directory: &Path) -> Result<Vec<Started>> {
    if spec.init_containers.as_ref().is_some_and(|containers| !containers.is_empty()) {
        bail!("the node runs no init containers");
    }
    for volume in spec.volumes.iter().flatten() {
        volumes::fill(&shared.client, pod, volume, &directory.join("volumes").join(&volume.name)).await?;
    }
    let mut launches = Vec::new();
    for container in &spec.containers {
        launches.push(prepare(shared, pod, container, directory).await?);
    }
    let mut all = Vec::new();
    for (container, (launch, arguments)) in spec.containers.iter().zip(launches) {
        let own = directory.join(&container.name);
        let mut state = shared.state();
        if state.ending.contains(&pod.uid().unwrap_or_default()) {
            bail!("the pod is being deleted");
        }
        let process = launch.start()?;
        let owners = pod.owner_references().iter().find(|owner| owner.kind == "Job");
        state.ran.push(Ran {
            namespace: pod.namespace().unwrap_or_default(),
            pod: pod.name_any(),
            job: owners.map(|owner| owner.name.clone()),
            container: container.name.clone(),
            arguments,
            pid: process.pid(),
            started: Instant::now(),
            exit_code: None,
            message: String::new(),
        });
        let place = state.ran.len() - 1;
        let key = (pod.namespace().unwrap_or_default(), pod.name_any());
        state.running.entry(key).or_default().push(process.clone());
        all.push(Started {
            process,
            place,
            since: status::now(),
            message_file: own.join("termination-log"),
            log: own.join("log"),
            message_from_log: container.termination_message_policy.as_deref() == Some("FallbackToLogsOnError"),
        });
    }
    Ok(all)
}

/// The process that stands for a container, and its arguments.
async fn prepare(shared: &Shared, pod: &Pod, container: &Container, directory: &Path) -> Result<(Launch, Vec<String>)> {
    let own = directory.join(&container.name);
    fs::create_dir_all(&own)?;
    fs::write(own.join("termination-log"), "")?;
    let mounts = mounts(container, directory, &own)?;
    let image = container.image.as_deref().unwrap_or_default();
    let program = shared.programs.get(image).with_context(|| format!("no program stands for the image {image}"))?;
    let variables = environment::of_container(&shared.client, pod, container).await?;
    // The image has one program, so the first word of a command can only be that.
    let words = container.command.iter().flatten().skip(1).chain(container.args.iter().flatten());
    let arguments: Vec<String> =
        words.map(|word| environment::relocate(&environment::expand(word, &variables), &mounts)).collect();
    let mut launch = Launch::new(program).clean_environment().arguments(&arguments).log(own.join("log"));
    for (name, value) in &variables {
        launch = launch.environment(name, environment::relocate(value, &mounts));
    }
    Ok((launch, arguments))
}

fn mounts(container: &Container, directory: &Path, own: &Path) -> Result<Mounts> {
    let text = |path: PathBuf| path.to_str().map(str::to_owned).context("a path that is not text");
    let message_path = container.termination_message_path.as_deref().unwrap_or(TERMINATION_LOG);
    let mut mounts = vec![(message_path.to_owned(), text(own.join("termination-log"))?)];
    for mount in container.volume_mounts.iter().flatten() {
        let volume = directory.join("volumes").join(&mount.name);
        let volume = mount.sub_path.as_ref().map_or(volume.clone(), |inner| volume.join(inner));
        mounts.push((mount.mount_path.trim_end_matches('/').to_owned(), text(volume)?));
    }
    Ok(mounts)
}

fn finished(shared: &Shared, started: &Started, ended: ExitStatus) -> status::State {
    let signal = ended.signal();
    let exit_code = ended.code().unwrap_or_else(|| 128 + signal.unwrap_or_default());
    let mut message = fs::read(&started.message_file).unwrap_or_default();
    message.truncate(LONGEST_MESSAGE);
    if message.is_empty() && exit_code != 0 && started.message_from_log {
        let log = fs::read(&started.log).unwrap_or_default();
        message = log[log.len().saturating_sub(LONGEST_MESSAGE / 2)..].to_vec();
    }
    let message = String::from_utf8_lossy(&message).into_owned();
    if let Some(ran) = shared.state().ran.get_mut(started.place) {
        ran.exit_code = Some(exit_code);
        ran.message.clone_from(&message);
    }
    status::State::Terminated { since: started.since.clone(), until: status::now(), exit_code, signal, message }
}

/// Writes the pod's status, again and again if the API server is away: what has happened has to be told.
async fn write(pods: &Api<Pod>, pod: &Pod, spec: &PodSpec, states: &[status::State]) {
    let containers: Vec<status::Container> = spec
        .containers
        .iter()
        .zip(states)
        .map(|(container, state)| status::Container {
            name: container.name.clone(),
            image: container.image.clone().unwrap_or_default(),
            state: state.clone(),
        })
        .collect();
    let patch = Patch::Merge(json!({"metadata": {"uid": pod.uid()}, "status": status::pod(&containers)}));
    loop {
        match pods.patch_status(&pod.name_any(), &PatchParams::default(), &patch).await {
            Ok(_) => return,
            // The pod is gone, or another of the same name is there.
            Err(kube::Error::Api(answer)) if answer.is_not_found() || answer.is_conflict() => return,
            Err(error) => eprintln!("the status of the pod {}: {error}", pod.name_any()),
        }
        tokio::time::sleep(RETRY).await;
    }
}
