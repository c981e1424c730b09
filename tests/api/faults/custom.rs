//! A Baseline's own metric that cannot be read.

use anyhow::{Result, ensure};
use dbmedic::api::IncidentState;

use super::{World, limit_rule};

fn metric(query: &str) -> String {
    format!("refresh: daily\n  customMetrics: [{{name: custom_open, query: \"{query}\", unit: orders}}]")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_query_of_ones_own_metric_is_named_gives_no_value_and_heals() -> Result<()> {
    let world = World::small(&[]).await?;
    world.apply(&limit_rule("open-orders", "custom_open", "above", "1000000")).await?;
    let cases = [
        ("select count(*) from no_such_table", "no_such_table"),
        ("select id from orders limit 2", "customMetrics[0].query: found more than one row, allowed is one SELECT"),
        ("delete from orders returning 1", "read-only transaction"),
        ("selct 1", "customMetrics[0].query: found another statement, allowed is one SELECT"),
    ];
    let operator = world.operator().await?;
    for (query, found) in cases {
        world.apply_example("baseline.yaml", &[("refresh: daily", &metric(query))]).await?;
        let parts = ["MetricsUnavailable", "custom_open: customMetrics[0].query: ", found];
        world.says(&world.baselines, "orders", "MetricsAvailable", "False", &parts).await?;
        world.says(&world.baselines, "orders", "Ready", "True", &[]).await?;
    }
    world.rule_is("open-orders", IncidentState::NoData).await?;
    let orders: i64 = world.shop.postgres.value("orders", "select count(*) from orders").await?;
    ensure!(orders == 1000, "a metric changed the database");

    world.apply_example("baseline.yaml", &[("refresh: daily", &metric("select count(*) from orders"))]).await?;
    world.says(&world.baselines, "orders", "MetricsAvailable", "True", &[]).await?;
    world.rule_is("open-orders", IncidentState::Normal).await?;
    ensure!(world.no_anomaly().await?);
    super::stop(operator).await
}
