//! Rights that are taken away while the operator runs.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dbmedic::api::IncidentState;
use dbmedic_test_support::shop::Options;
use dbmedic_test_support::{eventually, holds_for};
use jiff::Timestamp;

use super::{PATIENCE, World, list, stop};

const HIDDEN: [&str; 6] =
    ["response_time", "response_time_p95", "connection_count", "connection_usage", "lock_waits", "oldest_transaction"];

#[tokio::test(flavor = "multi_thread")]
async fn revoked_rights_blind_metrics_and_plans_say_what_to_grant_and_heal() -> Result<()> {
    let world = World::open(Options::default()).await?;
    world.shop.import_history(3.0).await?;
    let operator = world.operator().await?;
    let _workload = world.shop.start_workload(4, Duration::from_millis(20)).await?;
    world.learnt().await?;
    world.rule_is("slow-queries", IncidentState::Normal).await?;
    let postgres = &world.shop.postgres;

    postgres.execute("orders", "revoke pg_monitor from dbmedic_monitor").await?;
    let parts = ["MetricsUnavailable", "response_time", "connection_count", "GRANT pg_monitor TO \"dbmedic_monitor\""];
    world.says(&world.baselines, "orders", "MetricsAvailable", "False", &parts).await?;
    let blind_from = Timestamp::now();
    world.says(&world.baselines, "orders", "Ready", "True", &[]).await?;
    world.rule_is("slow-queries", IncidentState::NoData).await?;
    let blind_until = Timestamp::now();
    postgres.execute("orders", "grant pg_monitor to dbmedic_monitor").await?;
    world.says(&world.baselines, "orders", "MetricsAvailable", "True", &[]).await?;
    world.rule_is("slow-queries", IncidentState::Normal).await?;
    ensure!(world.no_anomaly().await?, "a revoked right is no anomaly");

    // Without EXPLAIN the cause ends at the statement, and says why.
    postgres.execute("orders", "revoke pg_read_all_data from dbmedic_monitor").await?;
    world.shop.drop_index().await?;
    let anomaly = world.one_anomaly().await?;
    let name = anomaly.metadata.name.clone().context("no name")?;
    let cause = eventually(PATIENCE, "a cause that names the missing right", async || {
        let cause = world.anomalies.get(&name).await?.status.unwrap_or_default().root_cause.unwrap_or_default();
        let text = serde_json::to_string(&cause)?;
        Ok(text.contains("EXPLAIN is refused").then_some(cause))
    })
    .await
    .with_context(|| world.log())?;
    ensure!(cause.summary.contains("pg_read_all_data"), "{}", cause.summary);
    ensure!(cause.missing_index.is_none() && !cause.statements.is_empty(), "{cause:?}");
    holds_for(Duration::from_secs(3), "no change without a plan", async || {
        Ok(list(&world.remediations).await?.is_empty())
    })
    .await?;

    postgres.execute("orders", "grant pg_read_all_data to dbmedic_monitor").await?;
    world.fixed().await?;
    ensure!(world.shop.customer_indexes().await? == (1, 0));

    stop(operator).await?;
    let history = world.exported().await?;
    let header = history.first().context("no history")?;
    let column = |name: &str| header.iter().position(|field| field == name).with_context(|| name.to_owned());
    let mut seen = 0;
    for round in &history[1..] {
        let at: Timestamp = round[0].parse()?;
        if at > blind_from && at < blind_until {
            seen += 1;
            for metric in HIDDEN {
                ensure!(
                    round[column(metric)?].is_empty(),
                    "{metric} at {at} is {:?}, not absent",
                    &round[column(metric)?]
                );
            }
            ensure!(!round[column("throughput")?].is_empty(), "what needs no right is absent too at {at}");
        }
    }
    ensure!(seen > 0, "no round between {blind_from} and {blind_until}");
    Ok(())
}
