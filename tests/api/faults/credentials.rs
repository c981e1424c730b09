//! Secrets that are missing or wrong, and servers that demand encryption.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use dbmedic_test_support::shop::Options;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::DeleteParams;
use serde_json::json;

use super::World;

/// A mended Secret is found this soon: secrets are not watched but read again every ten seconds.
const SOON: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_incomplete_or_wrong_secret_is_named_and_heals_by_itself() -> Result<()> {
    let world = World::small(&[]).await?;
    let namespace = world.shop.namespace.clone();
    let secrets: Api<Secret> = Api::namespaced(world.client.clone(), &namespace);
    let secret = async |data: serde_json::Value| {
        let object =
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "orders-monitor"}, "stringData": data});
        secrets.delete("orders-monitor", &DeleteParams::default()).await.ok();
        world.apply(&object.to_string()).await
    };
    secrets.delete("orders-monitor", &DeleteParams::default()).await?;
    let _operator = world.operator().await?;
    let field = "connection.secretRef.name";
    let ready = ("Ready", "False");
    let parts = ["SecretInvalid", field, "\"orders-monitor\"", "username", "password"];
    world.says(&world.baselines, "orders", ready.0, ready.1, &parts).await?;

    secret(json!({"username": "dbmedic_monitor", "passwort": "monitor-password"})).await?;
    let parts = ["SecretInvalid", field, "lacks the key password", "passwort"];
    world.says(&world.baselines, "orders", ready.0, ready.1, &parts).await?;

    secret(json!({"username": "dbmedic_monitor", "password": "wrong"})).await?;
    let parts = ["AuthenticationFailed", field, "\"orders-monitor\"", "dbmedic_monitor", "allowed"];
    let words = world.says(&world.baselines, "orders", ready.0, ready.1, &parts).await?;
    ensure!(!words.contains("wrong"), "the password is shown: {words}");
    world.says(&world.baselines, "orders", "Stalled", "True", &["AuthenticationFailed"]).await?;

    secret(json!({"username": "dbmedic_monitor", "password": "monitor-password"})).await?;
    let mended = Instant::now();
    world.says(&world.baselines, "orders", "Ready", "True", &[]).await?;
    ensure!(mended.elapsed() < SOON, "healed only after {:?}", mended.elapsed());

    // A password that is changed while the operator runs: noticed when the connection ends, healed by the new Secret.
    let postgres = &world.shop.postgres;
    postgres.execute("orders", "alter role dbmedic_monitor password 'other'").await?;
    let sql = "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'dbmedic_monitor'";
    postgres.execute("orders", sql).await?;
    world.says(&world.baselines, "orders", "Ready", "False", &["AuthenticationFailed"]).await?;
    secret(json!({"username": "dbmedic_monitor", "password": "other"})).await?;
    let mended = Instant::now();
    world.says(&world.baselines, "orders", "Ready", "True", &[]).await?;
    ensure!(mended.elapsed() < SOON, "healed only after {:?}", mended.elapsed());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_demands_encryption_is_told_from_wrong_credentials() -> Result<()> {
    let replace = vec![("tls: prefer".to_owned(), "tls: disable".to_owned())];
    let world = World::open(Options { rows: 1000, tls: true, replace, ..Options::default() }).await?;
    world.shop.postgres.demand_tls(true).await?;
    let _operator = world.operator().await?;
    let parts = ["TlsMismatch", "connection.tls", "disable", "allowed", "require"];
    world.says(&world.baselines, "orders", "Ready", "False", &parts).await?;
    world.says(&world.baselines, "orders", "DatabaseReachable", "False", &[]).await?;
    world.apply_example("baseline.yaml", &[("tls: disable", "tls: require")]).await?;
    world.says(&world.baselines, "orders", "Ready", "True", &[]).await?;
    world.says(&world.baselines, "orders", "DatabaseReachable", "True", &[]).await?;
    Ok(())
}
