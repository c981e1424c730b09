use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use dbmedic_test_support::{Cluster, Node, Signal, eventually, holds_for};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(30);

/// A Job whose one container runs a shell script.
fn job(name: &str, script: &str, extra: &Value) -> Result<Job> {
    let mut container = json!({"name": "main", "image": "shell", "command": ["sh"], "args": ["-c", script]});
    let mut pod = json!({"restartPolicy": "Never", "terminationGracePeriodSeconds": 1});
    for (key, value) in extra.as_object().into_iter().flatten() {
        let target = if key == "volumes" { &mut pod } else { &mut container };
        target[key] = value.clone();
    }
    pod["containers"] = json!([container]);
    let spec = json!({"backoffLimit": 0, "template": {"spec": pod}});
    Ok(serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec}))?)
}

struct World {
    cluster: &'static Cluster,
    namespace: String,
    node: Node,
    jobs: Api<Job>,
    pods: Api<Pod>,
}

async fn world() -> Result<World> {
    let cluster = Cluster::shared().await?;
    let namespace = cluster.namespace("node").await?;
    let node = Node::start(cluster, &[&namespace], &[("shell", "/bin/sh".into())]).await?;
    let client = cluster.client("admin").await?;
    let jobs = Api::namespaced(client.clone(), &namespace);
    let pods = Api::namespaced(client, &namespace);
    Ok(World { cluster, namespace, node, jobs, pods })
}

impl World {
    async fn finished(&self, job: &str) -> Result<String> {
        eventually(PATIENCE, format!("the Job {job} to finish"), async || {
            let conditions = self.jobs.get(job).await?.status.and_then(|status| status.conditions);
            let ended = conditions
                .into_iter()
                .flatten()
                .find(|found| found.status == "True" && (found.type_ == "Complete" || found.type_ == "Failed"));
            Ok(ended.map(|condition| condition.type_))
        })
        .await
    }

    async fn termination(&self, job: &str) -> Result<(i32, String)> {
        let pods = self.pods.list(&ListParams::default().labels(&format!("job-name={job}"))).await?;
        let status = pods.items.first().and_then(|pod| pod.status.clone()).context("a pod with a status")?;
        let states = status.container_statuses.unwrap_or_default();
        let state = states.first().and_then(|container| container.state.clone()).context("a container")?;
        let ended = state.terminated.context("a container that has ended")?;
        Ok((ended.exit_code, ended.message.unwrap_or_default()))
    }

    async fn running(&self, count: usize) -> Result<()> {
        eventually(PATIENCE, format!("{count} running processes"), async || {
            Ok((self.node.running().len() == count).then_some(()))
        })
        .await
    }
}

#[tokio::test]
async fn a_job_runs_with_its_volumes_and_environment_and_reports() -> Result<()> {
    let world = world().await?;
    let extra = json!({
        "env": [
            {"name": "WHO", "valueFrom": {"secretKeyRef": {"name": "secret", "key": "who"}}},
            {"name": "PLACE", "value": "/credentials/password"},
            {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
        ],
        "volumeMounts": [
            {"name": "credentials", "mountPath": "/credentials"},
            {"name": "labels", "mountPath": "/pod"},
            {"name": "space", "mountPath": "/space"},
        ],
        "volumes": [
            {"name": "credentials", "secret": {"secretName": "secret"}},
            {"name": "labels", "downwardAPI": {"items": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
            {"name": "space", "emptyDir": {}},
        ],
    });
    let script = r#"echo "$WHO $(WHO) $(cat "$PLACE") $(cat /credentials/who) $POD" > /space/out
        grep -q job-name /pod/l && test -z "$HOME" && cat /space/out > /dev/termination-log"#;
    world.jobs.create(&PostParams::default(), &job("report", script, &extra)?).await?;
    // The pod has to wait for a Secret that comes late.
    eventually(PATIENCE, "the pod to say what it waits for", async || {
        let pods = world.pods.list(&ListParams::default()).await?;
        let text = serde_json::to_string(&pods.items)?;
        Ok(text.contains("there is no Secret secret").then_some(()))
    })
    .await?;
    let secret: Secret = serde_json::from_value(
        json!({"metadata": {"name": "secret"}, "stringData": {"who": "me", "password": "p w"}}),
    )?;
    Api::namespaced(world.cluster.client("admin").await?, &world.namespace)
        .create(&PostParams::default(), &secret)
        .await?;
    ensure!(world.finished("report").await? == "Complete", "{:?}", world.node.ran());
    let (code, message) = world.termination("report").await?;
    ensure!(code == 0 && message == format!("me me p w me {}\n", world.namespace), "{message:?}");
    let ran = world.node.ran();
    ensure!(ran.len() == 1 && ran[0].job.as_deref() == Some("report") && ran[0].exit_code == Some(0), "{ran:?}");
    Ok(())
}

#[tokio::test]
async fn failures_and_kills_show_as_exit_codes() -> Result<()> {
    let world = world().await?;
    let none = json!({});
    world.jobs.create(&PostParams::default(), &job("fails", "echo no > /dev/termination-log; exit 3", &none)?).await?;
    ensure!(world.finished("fails").await? == "Failed");
    ensure!(world.termination("fails").await? == (3, "no\n".to_owned()));

    world.jobs.create(&PostParams::default(), &job("killed", "exec sleep 600", &none)?).await?;
    world.running(1).await?;
    let (namespace, pod, process) = world.node.running().pop().context("a process")?;
    ensure!(world.node.kill_pod(&namespace, &pod, Signal::SIGKILL));
    ensure!(world.finished("killed").await? == "Failed");
    ensure!(world.termination("killed").await?.0 == 137);
    ensure!(process.ended().is_some());
    Ok(())
}

#[tokio::test]
async fn a_deleted_job_takes_its_process_along_even_if_that_ignores_sigterm() -> Result<()> {
    let world = world().await?;
    let script = "trap '' TERM; while true; do sleep 0.1; done";
    world.jobs.create(&PostParams::default(), &job("stubborn", script, &json!({}))?).await?;
    world.running(1).await?;
    world.jobs.delete("stubborn", &DeleteParams::background()).await?;
    world.running(0).await?;
    eventually(PATIENCE, "the pod to go", async || {
        Ok(world.pods.list(&ListParams::default()).await?.items.is_empty().then_some(()))
    })
    .await?;
    ensure!(world.node.ran().len() == 1);
    Ok(())
}

#[tokio::test]
async fn a_database_pod_is_ready_at_its_address_and_stays() -> Result<()> {
    let world = world().await?;
    let address = "127.0.0.2".parse()?;
    world.node.database_pod(&world.namespace, "orders-0", &[("app", "orders")], address, 5432).await?;
    let pod = world.pods.get("orders-0").await?;
    let status = pod.status.context("a status")?;
    ensure!(status.pod_ip.as_deref() == Some("127.0.0.2") && status.phase.as_deref() == Some("Running"));
    let new: std::net::IpAddr = "127.0.0.3".parse()?;
    world.node.database_pod_is(&world.namespace, "orders-0", new, false).await?;
    holds_for(Duration::from_secs(1), "the pod's presence", async || Ok(world.pods.get("orders-0").await.is_ok()))
        .await?;
    world.pods.delete("orders-0", &DeleteParams::default()).await?;
    eventually(PATIENCE, "the pod to go", async || Ok(world.pods.get_opt("orders-0").await?.is_none().then_some(())))
        .await
}
