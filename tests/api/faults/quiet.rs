//! When nothing happens, nothing is written.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use dbmedic::api::{Remediation, RemediationState};
use dbmedic_test_support::shop::{Operator, Options};
use dbmedic_test_support::{ApiProxy, eventually, holds_for};
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::{PATIENCE, World, list};

const SETTLED: Duration = Duration::from_secs(5);
const WATCHED: Duration = Duration::from_mins(1);
/// An open Anomaly whose cause may still change is looked at every 15 s, a change that waits every 30 s.
const LOOKED_AT_TWICE: Duration = Duration::from_secs(35);

async fn passes(operator: &Operator, kind: &str) -> Result<u64> {
    let (_, text) = operator.get("/metrics").await?;
    let of_kind = format!("kind=\"{kind}\"");
    let lines = text.lines().filter(|line| line.starts_with("dbmedic_reconciles_total{") && line.contains(&of_kind));
    Ok(lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum())
}

/// Waits until nothing has been written for a while.
async fn settle(proxy: &ApiProxy) -> Result<()> {
    let (mut count, mut since) = (proxy.write_count(), Instant::now());
    eventually(PATIENCE, "the operator has written what it has to", async || {
        if proxy.write_count() != count {
            (count, since) = (proxy.write_count(), Instant::now());
        }
        Ok((since.elapsed() > SETTLED).then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_idle_minute_and_a_second_pass_over_everything_write_nothing() -> Result<()> {
    let world = World::open(Options { rows: 1000, ..Options::default() }).await?;
    world.shop.import_history(20.0).await?;
    let (proxy, operator) = world.operator_behind_a_proxy().await?;
    let _workload = world.shop.start_workload(2, Duration::from_millis(50)).await?;
    world.learnt().await?;
    world.says(&world.rules, "slow-queries", "Ready", "True", &[]).await?;
    world.says(&world.policies, "standard", "CanFix", "True", &[]).await?;
    settle(&proxy).await?;

    let settled = proxy.write_count();
    let quiet = async |period: Duration, when: &str| {
        let held = holds_for(period, format!("no write {when}"), async || Ok(proxy.write_count() == settled)).await;
        let late = proxy.writes().split_off(settled);
        held.with_context(|| format!("{late:#?}"))
    };
    quiet(WATCHED, "in an idle minute").await?;

    let touch = Patch::Merge(json!({"metadata": {"annotations": {"touched": "yes"}}}));
    let kinds = ["baseline", "anomalyrule", "remediationpolicy"];
    let mut before = Vec::new();
    for kind in kinds {
        before.push(passes(&operator, kind).await?);
    }
    let parameters = PatchParams::default();
    world.baselines.patch("orders", &parameters, &touch).await?;
    world.rules.patch("slow-queries", &parameters, &touch).await?;
    world.policies.patch("standard", &parameters, &touch).await?;
    for (kind, before) in kinds.into_iter().zip(before) {
        eventually(PATIENCE, format!("another pass over {kind}"), async || {
            Ok((passes(&operator, kind).await? > before).then_some(()))
        })
        .await?;
    }
    quiet(Duration::from_secs(2), "after a second pass").await?;
    ensure!(world.no_anomaly().await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_anomaly_and_a_change_that_waits_for_a_person_write_nothing() -> Result<()> {
    let world = World::open(Options { mode: "suggest", ..Options::default() }).await?;
    world.shop.import_history(2.0).await?;
    let (proxy, operator) = world.operator_behind_a_proxy().await?;
    let _workload = world.shop.start_workload(4, Duration::from_millis(20)).await?;
    world.learnt().await?;
    let quiet = async |period: Duration, when: &str| {
        settle(&proxy).await?;
        let settled = proxy.write_count();
        let held = holds_for(period, format!("no write {when}"), async || Ok(proxy.write_count() == settled)).await;
        held.with_context(|| format!("{:#?}", proxy.writes().split_off(settled)))
    };

    // Without a plan of the statement there is nothing to do, and it is looked at again and again.
    world.shop.postgres.execute("orders", "revoke pg_read_all_data from dbmedic_monitor").await?;
    world.shop.drop_index().await?;
    let anomaly = world.one_anomaly().await?.name_any();
    eventually(PATIENCE, "a cause without a plan, of which people were told", async || {
        let status = world.anomalies.get(&anomaly).await?.status.unwrap_or_default();
        let refused = serde_json::to_string(&status.root_cause)?.contains("EXPLAIN is refused");
        Ok((refused && status.walk.is_some_and(|walk| walk.finished)).then_some(()))
    })
    .await
    .with_context(|| world.log())?;
    let before = passes(&operator, "anomaly").await?;
    quiet(LOOKED_AT_TWICE, "while an Anomaly is open").await?;
    ensure!(passes(&operator, "anomaly").await? >= before + 2, "it was quiet because nobody looked");
    ensure!(list(&world.remediations).await?.is_empty(), "a change without a plan of the statement");

    world.shop.postgres.execute("orders", "grant pg_read_all_data to dbmedic_monitor").await?;
    let remediation = eventually(PATIENCE, "a change waits for a person", async || {
        let waits = |one: &Remediation| {
            one.status.as_ref().and_then(|status| status.state) == Some(RemediationState::AwaitingApproval)
        };
        Ok(list(&world.remediations).await?.into_iter().find(waits))
    })
    .await
    .with_context(|| world.log())?;
    let before = passes(&operator, "remediation").await?;
    quiet(LOOKED_AT_TWICE, "while a change waits").await?;
    ensure!(passes(&operator, "remediation").await? > before, "it was quiet because nobody looked");

    let kinds = ["anomaly", "remediation"];
    let before = [passes(&operator, kinds[0]).await?, passes(&operator, kinds[1]).await?];
    let touch = Patch::Merge(json!({"metadata": {"annotations": {"touched": "yes"}}}));
    let parameters = PatchParams::default();
    let settled = proxy.write_count();
    world.anomalies.patch(&remediation.spec.anomaly_ref.name, &parameters, &touch).await?;
    world.remediations.patch(&remediation.name_any(), &parameters, &touch).await?;
    for (kind, before) in kinds.into_iter().zip(before) {
        eventually(PATIENCE, format!("another pass over {kind}"), async || {
            Ok((passes(&operator, kind).await? > before).then_some(()))
        })
        .await?;
    }
    holds_for(Duration::from_secs(2), "no write after a second pass", async || Ok(proxy.write_count() == settled))
        .await
        .with_context(|| format!("{:#?}", proxy.writes().split_off(settled)))
}
