//! When nothing happens, nothing is written.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use dbmedic_test_support::shop::{OPERATOR, Operator, Options};
use dbmedic_test_support::{ApiProxy, eventually, holds_for};
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::{PATIENCE, World};

const SETTLED: Duration = Duration::from_secs(5);
const WATCHED: Duration = Duration::from_mins(1);

async fn passes(operator: &Operator, kind: &str) -> Result<u64> {
    let (_, text) = operator.get("/metrics").await?;
    let of_kind = format!("kind=\"{kind}\"");
    let lines = text.lines().filter(|line| line.starts_with("dbmedic_reconciles_total{") && line.contains(&of_kind));
    Ok(lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_idle_minute_and_a_second_pass_over_everything_write_nothing() -> Result<()> {
    let world = World::open(Options { rows: 1000, ..Options::default() }).await?;
    world.shop.import_history(20.0).await?;
    let proxy = ApiProxy::start(world.cluster).await?;
    let token = world.cluster.service_account_token(OPERATOR.0, OPERATOR.1).await?;
    let operator = world.shop.start_operator_with(proxy.kubeconfig(&token)?, "operator-0")?;
    operator.ready().await?;
    let _workload = world.shop.start_workload(2, Duration::from_millis(50)).await?;
    world.learnt().await?;
    world.says(&world.rules, "slow-queries", "Ready", "True", &[]).await?;
    world.says(&world.policies, "standard", "CanFix", "True", &[]).await?;
    let (mut count, mut since) = (proxy.write_count(), Instant::now());
    eventually(PATIENCE, "the operator has written what it has to", async || {
        if proxy.write_count() != count {
            (count, since) = (proxy.write_count(), Instant::now());
        }
        Ok((since.elapsed() > SETTLED).then_some(()))
    })
    .await?;

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
