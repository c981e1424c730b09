//! Two operators: one leads, the other is ready to.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use dbmedic_test_support::shop::{OPERATOR, Operator, Options};
use dbmedic_test_support::{ApiProxy, eventually, holds_for};
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::{PATIENCE, World, list};

/// The tests' Lease lasts 6 s; a follower looks when it expires and waits up to a second at random, and the machine
/// may be busy.
const TAKEN_OVER: Duration = Duration::from_secs(20);

async fn leads(operator: &Operator) -> Result<bool> {
    Ok(operator.metric("dbmedic_leader").await.is_ok_and(|figure| figure > 0.0))
}

async fn becomes_leader(world: &World, operator: &Operator) -> Result<()> {
    eventually(TAKEN_OVER, "the operator leads", async || Ok(leads(operator).await?.then_some(())))
        .await
        .with_context(|| world.log())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_operators_one_leads_and_the_other_goes_on_where_it_was_killed() -> Result<()> {
    let world = World::open(Options::default()).await?;
    world.shop.import_history(2.0).await?;
    let kubeconfig = world.cluster.service_account_kubeconfig(OPERATOR.0, OPERATOR.1).await?;
    let first = world.shop.start_operator_with(kubeconfig.clone(), "operator-0")?;
    becomes_leader(&world, &first).await?;
    let second = world.shop.start_operator_with(kubeconfig, "operator-1")?;
    second.ready().await?;
    let _workload = world.shop.start_workload(4, Duration::from_millis(20)).await?;
    world.learnt().await?;
    world.rule_is("slow-queries", dbmedic::api::IncidentState::Normal).await?;
    ensure!(leads(&first).await? && !leads(&second).await?, "not exactly one leads");
    for operator in [&first, &second] {
        let (status, _) = operator.get("/healthz").await?;
        ensure!(status == 200, "/healthz of a replica that works says {status}");
    }
    // What the statements usually take is known, and goes over to the other process.
    first.rounds_pass(5).await?;

    world.shop.drop_index().await?;
    let anomaly = world.one_anomaly().await?;
    first.process.kill();
    let killed = Instant::now();
    becomes_leader(&world, &second).await?;
    eprintln!("taken over after {:.1} s", killed.elapsed().as_secs_f64());
    let remediation = world.fixed().await?;
    ensure!(world.one_anomaly().await?.metadata.uid == anomaly.metadata.uid, "another Anomaly");
    ensure!(Some(&remediation.spec.anomaly_ref.uid) == anomaly.metadata.uid.as_ref());
    ensure!(world.shop.customer_indexes().await? == (1, 0));
    let report = |ran: dbmedic_test_support::Ran| (ran.job, ran.exit_code, ran.message);
    let ran: Vec<_> = world.shop.node.ran().into_iter().map(report).collect();
    ensure!(ran.len() == 1, "{ran:?}");

    // Somebody else has the Lease: the process ends, for it could no longer know what the other does.
    let leases: Api<Lease> = Api::namespaced(world.client.clone(), &world.shop.namespace);
    let intruder = json!({"spec": {"holderIdentity": "intruder", "leaseDurationSeconds": 60, "renewTime": format!("{:.6}", jiff::Timestamp::now())}});
    leases.patch("dbmedic", &PatchParams::default(), &Patch::Merge(intruder)).await?;
    let ended = second.process.wait(PATIENCE).await?;
    ensure!(!ended.success(), "the loss of the Lease has to show: {ended}");
    ensure!(list(&world.remediations).await?.len() == 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_was_cut_off_beyond_its_lease_writes_nothing_after_another_has_led() -> Result<()> {
    let world = World::open(Options::default()).await?;
    world.shop.import_history(2.0).await?;
    let proxy = ApiProxy::start(world.cluster).await?;
    let token = world.cluster.service_account_token(OPERATOR.0, OPERATOR.1).await?;
    let first = world.shop.start_operator_with(proxy.kubeconfig(&token)?, "operator-0")?;
    becomes_leader(&world, &first).await?;
    let _workload = world.shop.start_workload(4, Duration::from_millis(20)).await?;
    world.learnt().await?;
    world.rule_is("slow-queries", dbmedic::api::IncidentState::Normal).await?;

    proxy.go_away();
    world.shop.drop_index().await?;
    let leases: Api<Lease> = Api::namespaced(world.client.clone(), &world.shop.namespace);
    eventually(PATIENCE, "the Lease has expired", async || {
        let spec = leases.get("dbmedic").await?.spec.unwrap_or_default();
        let renewed = spec.renew_time.map(|time| time.0.as_millisecond()).unwrap_or_default();
        let lasts = i64::from(spec.lease_duration_seconds.unwrap_or_default()) * 1000;
        // Long enough that the cut-off leader has an incident to write.
        Ok((jiff::Timestamp::now().as_millisecond() > renewed + lasts + 8000).then_some(()))
    })
    .await?;
    let intruder = json!({"spec": {"holderIdentity": "intruder", "leaseDurationSeconds": 60, "renewTime": format!("{:.6}", jiff::Timestamp::now())}});
    leases.patch("dbmedic", &PatchParams::default(), &Patch::Merge(intruder)).await?;
    let before = proxy.write_count();
    proxy.come_back();
    let ended = first.process.wait(PATIENCE).await?;
    ensure!(!ended.success(), "the loss of the Lease has to show: {ended}");
    let late: Vec<String> =
        proxy.writes().split_off(before).iter().map(|write| format!("{} {}", write.method, write.path)).collect();
    ensure!(late.is_empty(), "a former leader wrote {late:?}");
    holds_for(Duration::from_secs(1), "no Anomaly", async || Ok(list(&world.anomalies).await?.is_empty())).await
}
