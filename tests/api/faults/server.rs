//! Servers that stop, start again, change their role or forget their statistics: no anomaly, no rate that never was.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dbmedic::api::IncidentState;
use dbmedic::measure::{BUILT_IN, built_in};
use dbmedic_test_support::shop::{Options, POD};
use dbmedic_test_support::{Postgres, Settings, Shutdown, eventually, holds_for};

use super::{PATIENCE, World, limit_rule, status_of, stop};

/// Statements a second that four clients with a pause of 20 ms never reach: 200, each with its begin and end.
const MOST_PER_SECOND: f64 = 2000.0;
/// Time in which a spurious value would open an Anomaly: the rules hold for one to three seconds.
const A_WHILE: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn resets_stops_crashes_and_promotions_give_no_anomaly_and_no_impossible_value() -> Result<()> {
    let mut world = World::open(Options::default()).await?;
    world.shop.import_history(50.0).await?;
    for (metric, limit) in
        [("throughput", "2000"), ("error_rate", "\"50%\""), ("disk_io", "10000000000"), ("temp_files", "10000000000")]
    {
        let rule = limit_rule(&metric.replace('_', "-"), metric, "above", limit);
        world.apply(&rule).await.with_context(|| rule)?;
    }
    let operator = world.operator().await?;
    let workload = world.shop.start_workload(4, Duration::from_millis(20)).await?;
    world.learnt().await?;
    for rule in ["slow-queries", "throughput", "error-rate", "disk-io", "temp-files"] {
        world.says(&world.rules, rule, "Ready", "True", &[]).await?;
    }
    world.rule_is("throughput", IncidentState::Normal).await?;

    for reset in ["select pg_stat_reset()", "select pg_stat_statements_reset()"] {
        world.shop.postgres.execute("orders", reset).await?;
        holds_for(A_WHILE, format!("no Anomaly after {reset}"), async || world.no_anomaly().await).await?;
    }

    for how in [Shutdown::Fast, Shutdown::Immediate] {
        world.shop.postgres.stop(how).await?;
        world.says(&world.baselines, "orders", "DatabaseReachable", "False", &[POD]).await?;
        world.says(&world.baselines, "orders", "Ready", "False", &["Unreachable", POD]).await?;
        world.rule_is("slow-queries", IncidentState::NoData).await?;
        world.rule_is("throughput", IncidentState::NoData).await?;
        world.shop.postgres.start_again().await?;
        world.says(&world.baselines, "orders", "DatabaseReachable", "True", &[]).await?;
        world.says(&world.baselines, "orders", "Ready", "True", &[]).await?;
        world.rule_is("slow-queries", IncidentState::Normal).await?;
        world.rule_is("throughput", IncidentState::Normal).await?;
        holds_for(A_WHILE, "no Anomaly after a restart", async || world.no_anomaly().await).await?;
    }

    // Failover: the pod's address is now that of the standby, which is promoted when its primary is gone.
    let address = "127.0.0.2".parse()?;
    let settings = Settings { address, port: Some(world.shop.postgres.port()), ..Settings::default() };
    let standby = Postgres::standby_of(&world.shop.postgres, settings).await?;
    drop(workload);
    world.shop.node.database_pod_is(&world.shop.namespace, POD, address, true).await?;
    role(&world, "replica").await?;
    holds_for(A_WHILE, "no Anomaly on the standby", async || world.no_anomaly().await).await?;
    let mut primary = std::mem::replace(&mut world.shop.postgres, standby);
    primary.stop(Shutdown::Immediate).await?;
    world.shop.postgres.promote().await?;
    let _workload = world.shop.start_workload(4, Duration::from_millis(20)).await?;
    role(&world, "primary").await?;
    world.rule_is("slow-queries", IncidentState::Normal).await?;
    holds_for(A_WHILE, "no Anomaly after the promotion", async || world.no_anomaly().await).await?;

    stop(operator).await?;
    check(&world).await
}

async fn role(world: &World, wanted: &str) -> Result<()> {
    eventually(PATIENCE, format!("the database is a {wanted}"), async || {
        let status = world.baselines.get("orders").await?.status.unwrap_or_default();
        let role = status.databases.first().and_then(|database| database.role.clone());
        let reachable = status_of(&status.conditions, "DatabaseReachable") == "True";
        Ok((reachable && role.as_deref() == Some(wanted)).then_some(()))
    })
    .await
    .with_context(|| world.log())
}

/// Every value in the history is one that can be.
async fn check(world: &World) -> Result<()> {
    let history = world.exported().await?;
    let header = history.first().context("no history")?;
    ensure!(header.len() == BUILT_IN.len() + 1, "{header:?}");
    let mut values = 0;
    for round in &history[1..] {
        for (name, field) in header.iter().zip(round).skip(1).filter(|(_, field)| !field.is_empty()) {
            let meaning = built_in(name).map(|index| &BUILT_IN[index]).with_context(|| name.to_owned())?;
            let value: f64 = field.parse().with_context(|| format!("{name} at {}: {field:?}", &round[0]))?;
            let least = meaning.minimum.unwrap_or(f64::MIN);
            let most = meaning.maximum.unwrap_or(if name == "throughput" { MOST_PER_SECOND } else { f64::MAX });
            ensure!(value.is_finite() && value >= least && value <= most, "{name} is {value} at {}", &round[0]);
            values += 1;
        }
    }
    ensure!(values > 10_000, "only {values} values");
    Ok(())
}
