//! Objects that point at nothing, at the same thing, or say what is not allowed.

use anyhow::{Context, Result, ensure};
use dbmedic_test_support::Cluster;
use dbmedic_test_support::shop::install;
use kube::api::DeleteParams;

use super::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_selector_without_pods_and_overlapping_baselines_say_so_and_heal() -> Result<()> {
    let world = World::small(&[("app: orders-db", "app: late")]).await?;
    let _operator = world.operator().await?;
    world.says(&world.baselines, "orders", "Ready", "False", &["NoPodsSelected", "pods.selector", "app=late"]).await?;
    let postgres = &world.shop.postgres;
    let namespace = &world.shop.namespace;
    world.shop.node.database_pod(namespace, "late-0", &[("app", "late")], postgres.address(), postgres.port()).await?;
    world.says(&world.baselines, "orders", "Ready", "True", &[]).await?;

    world.apply_example("baseline.yaml", &[("name: orders\n", "name: younger\n")]).await?;
    let overlaps = ["OverlappingBaseline", "pods.selector", "late-0", "\"orders\""];
    world.says(&world.baselines, "younger", "Ready", "False", &overlaps).await?;
    world.says(&world.baselines, "orders", "Ready", "True", &[]).await?;
    let younger = world.baselines.get("younger").await?.status.unwrap_or_default();
    ensure!(younger.targets == Some(0), "the younger Baseline watches too: {younger:?}");

    world.baselines.delete("orders", &DeleteParams::default()).await?;
    world.says(&world.baselines, "younger", "Ready", "True", &[]).await?;
    ensure!(world.baselines.get("younger").await?.status.unwrap_or_default().targets == Some(1));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_references_metrics_strategies_and_conditions_name_field_found_and_allowed() -> Result<()> {
    let world = World::small(&[]).await?;
    let _operator = world.operator().await?;
    world.says(&world.rules, "slow-queries", "Ready", "True", &[]).await?;

    world.apply_example("anomalyrule.yaml", &[("name: orders\n", "name: nowhere\n")]).await?;
    let parts = ["ReferenceNotFound", "baselineRef.name", "\"nowhere\"", "Baseline"];
    world.says(&world.rules, "slow-queries", "Ready", "False", &parts).await?;
    world
        .apply_example("baseline.yaml", &[("name: orders\n", "name: nowhere\n"), ("app: orders-db", "app: other")])
        .await?;
    world.says(&world.rules, "slow-queries", "Ready", "True", &[]).await?;

    world.apply_example("anomalyrule.yaml", &[("metric: response_time", "metric: custom_queue")]).await?;
    let parts = ["InvalidField", "detect.metric", "custom_queue", "response_time"];
    world.says(&world.rules, "slow-queries", "Ready", "False", &parts).await?;

    world.apply_example("anomalyrule.yaml", &[("name: standard", "name: generous")]).await?;
    let parts = ["ReferenceNotFound", "remediate.policyRef.name", "\"generous\"", "RemediationPolicy"];
    world.says(&world.rules, "slow-queries", "Ready", "False", &parts).await?;
    world.apply_example("remediationpolicy.yaml", &[("name: standard", "name: generous")]).await?;
    world.says(&world.rules, "slow-queries", "Ready", "True", &[]).await?;

    world.apply_example("anomalyrule.yaml", &[("strategy: slow_query", "strategy: prayer")]).await?;
    let parts = ["InvalidField", "remediate.strategy", "\"prayer\"", "slow_query"];
    world.says(&world.rules, "slow-queries", "Ready", "False", &parts).await?;
    world.apply_example("anomalyrule.yaml", &[]).await?;
    world.says(&world.rules, "slow-queries", "Ready", "True", &[]).await?;

    for (when, found) in [("facts.missing_index &&", "facts.missing_index &&"), ("facts.is_monday", "is_monday")] {
        world.apply_example("remediationpolicy.yaml", &[("facts.missing_index && facts.safe", when)]).await?;
        let parts = ["InvalidField", "strategies.slow_query.steps[2].when", found, "allowed"];
        world.says(&world.policies, "standard", "Ready", "False", &parts).await?;
        world.says(&world.policies, "standard", "CanFix", "False", &["InvalidField"]).await?;
    }
    world.apply_example("remediationpolicy.yaml", &[]).await?;
    world.says(&world.policies, "standard", "Ready", "True", &[]).await?;
    world.says(&world.policies, "standard", "CanFix", "True", &[]).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_fields_and_values_are_refused_by_the_api_server() -> Result<()> {
    let cluster = Cluster::shared().await?;
    install(cluster).await?;
    let namespace = cluster.namespace("strict").await?;
    let folder = dbmedic_test_support::workspace().join("examples/quickstart");
    let cases = [
        ("baseline.yaml", "engine: postgresql", "engine: oracle", "spec.engine"),
        ("baseline.yaml", "refresh: daily", "refresh: hourly", "spec.refresh"),
        ("baseline.yaml", "refresh: daily", "refresh: daily\n  refreshh: daily", "refreshh"),
        ("baseline.yaml", "tls: prefer", "tls: maybe", "spec.connection.tls"),
        ("anomalyrule.yaml", "severity: high", "severity: severe", "spec.severity"),
        ("anomalyrule.yaml", "above: 3", "above: 3\n      beside: 3", "beside"),
        ("remediationpolicy.yaml", "mode: auto", "mode: yolo", "spec.mode"),
        ("remediationpolicy.yaml", "action: add_index", "action: drop_table", "action"),
        ("remediationpolicy.yaml", "backoff: exponential", "backoff: exponential\n    jitter: none", "jitter"),
    ];
    for (file, from, to, named) in cases {
        let text =
            std::fs::read_to_string(folder.join(file))?.replace("namespace: shop", &format!("namespace: {namespace}"));
        ensure!(text.contains(from), "{file} does not contain {from}");
        let refused = cluster.apply_yaml(&text.replacen(from, to, 1), &namespace).await;
        let error = refused.err().with_context(|| format!("{file}: {to:?} was accepted"))?;
        ensure!(format!("{error:#}").contains(named), "{file}: {to:?}: {error:#}");
    }
    Ok(())
}
