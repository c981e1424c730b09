//! What is shipped is what runs: all of `config/operator.yaml`, cluster-wide, and with its rights only.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dbmedic::api::{Baseline, Remediation, RemediationState};
use dbmedic_test_support::shop::{OPERATOR, Options, Shop};
use dbmedic_test_support::{Cluster, eventually, workspace};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Container, Pod};
use kube::api::ListParams;
use kube::{Api, ResourceExt};

use super::world::{self, PATIENCE, list, programs};

/// The image that the Deployment names.
const IMAGE: &str = "dbmedic:0.1.0";

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_operator_with_its_shipped_rights_brings_a_dropped_index_back() -> Result<()> {
    // Of the operator's own namespace and cluster-wide rights there is one in a cluster.
    let Some(cluster) = Cluster::own().await? else { return Ok(()) };
    let options = Options { shipped_rights: true, image: IMAGE, ..Options::default() };
    let shop = Shop::open(&cluster, programs(), options).await?;
    cluster.apply(&workspace().join("config/operator.yaml"), OPERATOR.0).await?;
    let client = cluster.client("admin").await?;

    // A pod that its namespace's pod security or the API server refuses never comes.
    let pods: Api<Pod> = Api::namespaced(client.clone(), OPERATOR.0);
    let pod = eventually(PATIENCE, "the pod of the Deployment", async || {
        let selected = ListParams::default().labels("app.kubernetes.io/component=operator");
        Ok(pods.list(&selected).await?.items.pop())
    })
    .await?;
    let spec = pod.spec.clone().unwrap_or_default();
    ensure!(spec.service_account_name.as_deref() == Some(OPERATOR.1), "{:?}", spec.service_account_name);
    let container = spec.containers.first().context("no container")?;
    known(container).await?;

    shop.import_history(2.0).await?;
    // A deploy: what the operator reads of it is when it was created.
    let deploy = serde_json::json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "web"}, "spec": {
        "replicas": 0, "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": "web"}]}},
    }});
    cluster.apply_yaml(&deploy.to_string(), &shop.namespace).await?;
    let arguments: Vec<&str> = container.args.iter().flatten().map(String::as_str).collect();
    let kubeconfig = cluster.service_account_kubeconfig(OPERATOR.0, OPERATOR.1).await?;
    let operator = shop.launch_operator(kubeconfig, &arguments, &[], &environment(&pod, container)?)?;
    operator.ready().await.with_context(|| operator.process.log_end())?;
    let _workload = shop.start_workload(4, Duration::from_millis(20)).await?;
    let baselines: Api<Baseline> = Api::namespaced(client.clone(), &shop.namespace);
    world::learnt(&baselines).await.with_context(|| operator.process.log_end())?;

    shop.drop_index().await?;
    let remediations: Api<Remediation> = Api::namespaced(client.clone(), &shop.namespace);
    let fixed = eventually(PATIENCE, "a Remediation has succeeded", async || {
        let state = |one: &Remediation| one.status.as_ref().and_then(|status| status.state);
        let all = list(&remediations).await?;
        Ok(all.into_iter().find(|one| state(one) == Some(RemediationState::Succeeded)))
    })
    .await
    .with_context(|| operator.process.log_end())?;
    ensure!(shop.customer_indexes().await? == (1, 0));

    // Lease and ledger are those of the operator's own namespace, and it never asked for what it may not.
    let leases: Api<Lease> = Api::namespaced(client.clone(), OPERATOR.0);
    let holder = leases.get("dbmedic").await?.spec.and_then(|lease| lease.holder_identity);
    ensure!(holder == Some(pod.name_any()), "{holder:?} holds the Lease");
    let ledgers: Api<ConfigMap> = Api::namespaced(client, OPERATOR.0);
    let ledger = ledgers.get("dbmedic-ledger").await?.data.unwrap_or_default();
    ensure!(fixed.uid().is_some_and(|uid| ledger.contains_key(&uid)), "no reservation: {ledger:?}");
    let probe = container.liveness_probe.as_ref().and_then(|probe| probe.http_get.as_ref()?.path.clone());
    let (status, _) = operator.get(&probe.context("no liveness probe")?).await?;
    ensure!(status == 200, "the liveness probe gets {status}");
    let probe = container.readiness_probe.as_ref().and_then(|probe| probe.http_get.as_ref()?.path.clone());
    let (status, _) = operator.get(&probe.context("no readiness probe")?).await?;
    ensure!(status == 200, "the readiness probe gets {status}");
    let log = std::fs::read_to_string(shop.operator_log())?;
    logged_as_json(&log)?;
    let deploys = log.lines().find(|line| line.contains("read when there were deploys"));
    ensure!(deploys.is_some_and(|line| line.contains(&shop.namespace)), "the deploy was not read: {deploys:?}");
    let refused: Vec<&str> = log.lines().filter(|line| line.to_lowercase().contains("forbidden")).collect();
    ensure!(refused.is_empty(), "{refused:#?}");
    Ok(())
}

/// Each line is an object that says when, how grave and what.
fn logged_as_json(log: &str) -> Result<()> {
    ensure!(log.lines().count() > 1, "nothing is logged: {log:?}");
    for line in log.lines() {
        let entry: serde_json::Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
        for field in ["timestamp", "level", "message"] {
            ensure!(entry[field].is_string(), "no {field}: {line}");
        }
    }
    Ok(())
}

/// Each flag and variable of the container is one that the program knows.
async fn known(container: &Container) -> Result<()> {
    let arguments: Vec<String> = container.args.clone().unwrap_or_default();
    ensure!(arguments.first().is_some_and(|first| first == "operator"), "{arguments:?}");
    let program = programs().join("dbmedic");
    let output = tokio::process::Command::new(program).args(&arguments).arg("--help").output().await?;
    ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    let help = String::from_utf8(output.stdout)?;
    for variable in container.env.iter().flatten() {
        ensure!(help.contains(&format!("[env: {}=", variable.name)), "{} is not in\n{help}", variable.name);
    }
    let port = container.ports.iter().flatten().find(|port| port.name.as_deref() == Some("metrics"));
    let port = port.context("no port metrics")?.container_port;
    ensure!(help.contains(&format!("[default: 0.0.0.0:{port}]")), "it does not listen on {port}:\n{help}");
    let folders: Vec<&str> = container.volume_mounts.iter().flatten().map(|mount| mount.mount_path.as_str()).collect();
    ensure!(folders.iter().any(|folder| help.contains(&format!("[default: {folder}]"))), "{folders:?}\n{help}");
    Ok(())
}

/// The variables of the container as a kubelet would set them.
fn environment(pod: &Pod, container: &Container) -> Result<Vec<(String, String)>> {
    let value = |variable: &k8s_openapi::api::core::v1::EnvVar| {
        if let Some(value) = &variable.value {
            return Some(value.clone());
        }
        match variable.value_from.as_ref()?.field_ref.as_ref()?.field_path.as_str() {
            "metadata.name" => Some(pod.name_any()),
            "metadata.namespace" => pod.namespace(),
            _ => None,
        }
    };
    let variables = container.env.iter().flatten().map(|variable| {
        let value = value(variable).with_context(|| format!("the value of {}", variable.name))?;
        Ok((variable.name.clone(), value))
    });
    variables.collect()
}
