use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use dbmedic_test_support::{Cluster, KUBECONFIG_VARIABLE, Launch, Postgres, Scratch, Signal, eventually};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{Api, DeleteParams, ListParams};

const TWO_MAPS: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: one}
data: {greeting: 'a: b'}
---
# A comment alone is no document.
---
apiVersion: v1
kind: ConfigMap
metadata: {name: two}
";

const NEW_KIND: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: lamps.example.test}
spec:
  group: example.test
  scope: Namespaced
  names: {plural: lamps, kind: Lamp}
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {lit: {type: boolean}}}}}
---
apiVersion: example.test/v1
kind: Lamp
metadata: {name: desk}
spec: {lit: true}
";

#[tokio::test]
async fn users_have_the_rights_that_they_were_given_and_no_others() -> Result<()> {
    let cluster = Cluster::shared().await?;
    let namespace = cluster.namespace("rights").await?;
    let admin: Api<ConfigMap> = Api::namespaced(cluster.client("admin").await?, &namespace);
    let alice: Api<ConfigMap> = Api::namespaced(cluster.client("alice").await?, &namespace);
    let bob: Api<ConfigMap> = Api::namespaced(cluster.client("bob").await?, &namespace);
    admin.list(&ListParams::default()).await?;
    cluster.grant(&namespace, "alice", "", &["configmaps"], &["list"]).await?;
    // The authoriser follows the API by a watch.
    eventually(Duration::from_secs(10), "alice's right", async || Ok(alice.list(&ListParams::default()).await.ok()))
        .await?;
    let refused = bob.list(&ListParams::default()).await;
    ensure!(matches!(refused, Err(kube::Error::Api(status)) if status.is_forbidden()));
    ensure!(cluster.kubeconfig("mallory").is_err());
    Ok(())
}

#[tokio::test]
async fn a_service_account_acts_with_its_own_rights() -> Result<()> {
    let cluster = Cluster::shared().await?;
    let namespace = cluster.namespace("account").await?;
    let client = cluster.service_account_client(&namespace, "operator").await?;
    let maps: Api<ConfigMap> = Api::namespaced(client, &namespace);
    ensure!(maps.list(&ListParams::default()).await.is_err());
    let user = format!("system:serviceaccount:{namespace}:operator");
    cluster.grant(&namespace, &user, "", &["configmaps"], &["list"]).await?;
    eventually(Duration::from_secs(10), "the account's right", async || {
        Ok(maps.list(&ListParams::default()).await.ok())
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn yaml_is_applied_in_order_and_new_kinds_can_be_used_at_once() -> Result<()> {
    let cluster = Cluster::shared().await?;
    let namespace = cluster.namespace("apply").await?;
    cluster.apply_yaml(TWO_MAPS, &namespace).await?;
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client("admin").await?, &namespace);
    ensure!(maps.get("one").await?.data.is_some_and(|data| data["greeting"] == "a: b"));
    maps.get("two").await?;
    cluster.apply_yaml(NEW_KIND, &namespace).await?;
    let unknown_field = TWO_MAPS.replace("data:", "dat:");
    let refused = cluster.apply_yaml(&unknown_field, &namespace).await;
    ensure!(refused.is_err_and(|error| format!("{error:#}").contains("dat")));
    Ok(())
}

#[tokio::test]
async fn kubectl_runs_as_the_given_user() -> Result<()> {
    let cluster = Cluster::shared().await?;
    let version = cluster.kubectl("admin", &["version", "-o", "json"]).await?;
    ensure!(String::from_utf8_lossy(&version.stdout).contains("serverVersion"), "{version:?}");
    let refused = cluster.kubectl("bob", &["get", "pods"]).await?;
    ensure!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("\"bob\""), "{refused:?}");
    Ok(())
}

#[tokio::test]
async fn a_deleted_namespace_goes_because_real_controllers_run() -> Result<()> {
    let cluster = Cluster::shared().await?;
    let namespace = cluster.namespace("gone").await?;
    cluster.apply_yaml(TWO_MAPS, &namespace).await?;
    let namespaces: Api<Namespace> = Api::all(cluster.client("admin").await?);
    namespaces.delete(&namespace, &DeleteParams::default()).await?;
    eventually(Duration::from_secs(30), "the namespace to go", async || {
        Ok(namespaces.get_opt(&namespace).await?.is_none().then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_second_cluster_shares_nothing_with_the_first_and_ends_with_its_handle() -> Result<()> {
    let first = Cluster::shared().await?;
    let Some(second) = Cluster::own().await? else { return Ok(()) };
    eprintln!("control plane ready in {:.1} s", second.start_time().as_secs_f64());
    let namespace = first.namespace("first").await?;
    let client = second.client("admin").await?;
    let namespaces: Api<Namespace> = Api::all(client);
    ensure!(namespaces.get_opt(&namespace).await?.is_none());
    let directory = second.directory().to_path_buf();
    drop(second);
    ensure!(!directory.exists());
    ensure!(namespaces.list(&ListParams::default()).await.is_err());
    Ok(())
}

/// Names the namespace that the program with a given kubeconfig makes a map in.
const NAMESPACE_VARIABLE: &str = "DBMEDIC_TESTS_NAMESPACE";

#[tokio::test]
#[ignore = "a part of a_given_kubeconfig_is_used_and_nothing_of_its_cluster_is_taken_away"]
async fn uses_a_given_kubeconfig() -> Result<()> {
    let namespace = std::env::var(NAMESPACE_VARIABLE).context(NAMESPACE_VARIABLE)?;
    ensure!(Cluster::own().await?.is_none(), "a test may change what the whole given cluster shares");
    let cluster = Cluster::start().await?;
    ensure!(cluster.audit_log().is_none(), "a control plane was started");
    cluster.apply_yaml(TWO_MAPS, &namespace).await?;
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client("bob").await?, &namespace);
    let refused = maps.list(&ListParams::default()).await;
    ensure!(matches!(refused, Err(kube::Error::Api(status)) if status.is_forbidden()), "bob is not bob");
    Ok(())
}

#[tokio::test]
async fn a_given_kubeconfig_is_used_and_nothing_of_its_cluster_is_taken_away() -> Result<()> {
    let cluster = Cluster::shared().await?;
    let namespace = cluster.namespace("given").await?;
    let scratch = Scratch::new("given")?;
    let program = Launch::new(std::env::current_exe()?)
        .arguments(["--ignored", "--exact", "cluster::uses_a_given_kubeconfig"])
        .environment(KUBECONFIG_VARIABLE, cluster.kubeconfig("admin")?)
        .environment(NAMESPACE_VARIABLE, &namespace)
        .log(scratch.path().join("log"))
        .start()?;
    let ended = program.wait(Duration::from_secs(60)).await?;
    let log = std::fs::read_to_string(scratch.path().join("log"))?;
    ensure!(ended.success() && log.contains("1 passed"), "{ended}: {log}");
    ensure!(log.contains("SKIPPED: cluster::uses_a_given_kubeconfig: "), "{log}");
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client("admin").await?, &namespace);
    ensure!(maps.get_opt("two").await?.is_some(), "it used another cluster");
    Ok(())
}

/// Where the program that is going to be killed writes its directory and process numbers.
const REPORT_VARIABLE: &str = "DBMEDIC_TESTS_REPORT";

#[tokio::test]
#[ignore = "a part of a_killed_program_leaves_no_process_and_no_file"]
async fn starts_everything_and_waits_to_be_killed() -> Result<()> {
    let report = std::env::var(REPORT_VARIABLE).context(REPORT_VARIABLE)?;
    let cluster = Cluster::start().await?;
    let server = Postgres::start().await?;
    let root = cluster.directory().parent().context("a parent")?.display();
    let partial = format!("{report}.partial");
    std::fs::write(&partial, format!("{root}\n{}", server.pid().context("it runs")?))?;
    std::fs::rename(partial, report)?;
    std::future::pending().await
}

#[tokio::test]
async fn a_killed_program_leaves_no_process_and_no_file() -> Result<()> {
    let scratch = Scratch::new("report")?;
    let report = scratch.path().join("report");
    let program = Launch::new(std::env::current_exe()?)
        .arguments(["--ignored", "--exact", "cluster::starts_everything_and_waits_to_be_killed"])
        .environment(REPORT_VARIABLE, &report)
        .log(scratch.path().join("log"))
        .start()?;
    let text = eventually(Duration::from_secs(90), "the program to start everything", async || {
        ensure!(program.ended().is_none(), "it ended{}", program.log_end());
        Ok(std::fs::read_to_string(&report).ok())
    })
    .await?;
    let (root, postgres) = text.split_once('\n').context("two lines")?;
    program.signal(Signal::SIGKILL);
    eventually(Duration::from_secs(20), "everything to go", async || {
        let gone = !Path::new(root).exists() && !Path::new("/proc").join(postgres).exists();
        Ok((gone && !any_process_names(root)).then_some(()))
    })
    .await
}

/// Whether the command line of any process contains this text.
fn any_process_names(text: &str) -> bool {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok()).any(|line| {
        let line = String::from_utf8_lossy(&line).into_owned();
        line.contains(text) && !line.starts_with("sh\0")
    })
}
