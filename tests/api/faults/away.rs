//! The API server is away in the worst minute.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dbmedic_test_support::holds_for;
use dbmedic_test_support::shop::Options;
use jiff::Timestamp;

use super::{World, list};

const AWAY: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_while_the_api_server_is_away_for_a_minute_is_told_with_its_true_onset_and_fixed_once() -> Result<()> {
    let world = World::open(Options::default()).await?;
    world.shop.import_history(2.0).await?;
    let (proxy, operator) = world.operator_behind_a_proxy().await?;
    let _workload = world.shop.start_workload(4, Duration::from_millis(20)).await?;
    world.learnt().await?;
    world.rule_is("slow-queries", dbmedic::api::IncidentState::Normal).await?;

    proxy.go_away();
    let fault = Timestamp::now();
    world.shop.drop_index().await?;
    holds_for(AWAY, "the operator goes on", async || Ok(operator.process.ended().is_none()))
        .await
        .with_context(|| world.log())?;
    ensure!(list(&world.anomalies).await?.is_empty(), "nothing can be written while the API server is away");
    proxy.come_back();

    let anomaly = world.one_anomaly().await?;
    let onset: Timestamp = anomaly.spec.onset.parse()?;
    let late = onset.duration_since(fault).as_secs_f64();
    ensure!((-1.0..15.0).contains(&late), "the onset is {late:.1} s after the fault");
    world.fixed().await?;
    world.one_anomaly().await?;
    ensure!(world.shop.customer_indexes().await? == (1, 0));
    ensure!(world.shop.node.ran().len() == 1, "more than one Job ran");
    ensure!(operator.process.ended().is_none(), "the operator ended");
    Ok(())
}
