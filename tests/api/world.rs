//! What every test here stands on.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use dbmedic::api::{Baseline, conditions};
use dbmedic_test_support::shop::{Operator, Options, Shop};
use dbmedic_test_support::{Cluster, eventually};
use kube::Api;
use kube::api::ListParams;

/// Longest wait for anything that a test waits for.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// Folder of the programs under test.
pub fn programs() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_dbmedic")).parent().map(PathBuf::from).unwrap_or_default()
}

/// A shop with history and a running operator.
pub async fn watched_shop(options: Options) -> Result<(&'static Cluster, Shop, Operator)> {
    let cluster = Cluster::shared().await?;
    let shop = Shop::open(cluster, programs(), options).await?;
    shop.import_history(2.0).await?;
    let operator = shop.start_operator(cluster).await?;
    operator.ready().await?;
    Ok((cluster, shop, operator))
}

/// Waits until the quickstart's Baseline works and has learnt from the imported history.
pub async fn learnt(baselines: &Api<Baseline>) -> Result<()> {
    eventually(PATIENCE, "the Baseline is ready and has learnt", async || {
        let status = baselines.get("orders").await?.status.unwrap_or_default();
        let is = |type_: &str, wanted: &str| {
            conditions::find(&status.conditions, type_).is_some_and(|condition| condition.status == wanted)
        };
        Ok((is("Ready", "True") && is("Learning", "False")).then_some(()))
    })
    .await
}

/// All objects of a kind in a namespace, by creation.
pub async fn list<K>(api: &Api<K>) -> Result<Vec<K>>
where
    K: Clone + serde::de::DeserializeOwned + std::fmt::Debug + kube::Resource,
{
    let mut items = api.list(&ListParams::default()).await.context("listing")?.items;
    items.sort_by_key(|item| item.meta().creation_timestamp.clone());
    Ok(items)
}
