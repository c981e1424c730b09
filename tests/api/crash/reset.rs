//! Back to the beginning: the index is there, and nothing remembers a fault.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use dbmedic::api::{Anomaly, Remediation};
use dbmedic_test_support::eventually;
use dbmedic_test_support::shop::POD;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::scene::Scene;
use crate::world::{PATIENCE, list};

/// The operator tells of what it lost (a budget in use, a count of incidents) before the next run begins.
const QUIET: Duration = Duration::from_millis(500);

impl Scene {
    /// Removes what a run left. The operator goes on meanwhile, as it does when people tidy up.
    pub async fn reset(&self) -> Result<()> {
        self.shop
            .postgres
            .execute("orders", "create index if not exists orders_customer_id_idx on orders (customer_id)")
            .await?;
        // An incident whose Anomaly is deleted while it is open is told anew.
        eventually(PATIENCE, "the incident is over", async || Ok(self.calm().await?.then_some(()))).await?;
        let drop = "do $$ declare one text; begin for one in select indexrelid::regclass::text from pg_index where \
                    indrelid = 'orders'::regclass and indexrelid::regclass::text like 'dbmedic%' loop execute 'drop \
                    index ' || one; end loop; end $$";
        self.shop.postgres.execute("orders", drop).await?;
        delete_all(&self.api::<Remediation>()).await?;
        delete_all(&self.api::<Anomaly>()).await?;
        delete_all(&self.api::<Job>()).await?;
        self.api::<k8s_openapi::api::events::v1::Event>()
            .delete_collection(&DeleteParams::default(), &ListParams::default())
            .await?;
        let ledger: Api<ConfigMap> = self.api();
        ledger.patch("dbmedic-ledger", &PatchParams::default(), &Patch::Merge(json!({"data": null}))).await?;
        let pods: Api<Pod> = self.api();
        eventually(PATIENCE, "the pods of the Jobs are gone", async || {
            let names = list(&pods).await?.into_iter().filter_map(|pod| pod.metadata.name);
            Ok(names.into_iter().all(|name| name == POD).then_some(()))
        })
        .await?;
        let mut writes = self.api_proxy.write_count();
        let mut since = Instant::now();
        eventually(PATIENCE, "the operator is quiet", async || {
            let written = self.api_proxy.write_count();
            if std::mem::replace(&mut writes, written) != written {
                since = Instant::now();
            }
            Ok((since.elapsed() >= QUIET).then_some(()))
        })
        .await
    }

    /// Where the server's log stands now.
    pub fn ddl_begin(&self) -> Result<usize> {
        Ok(std::fs::metadata(self.shop.postgres.log())?.len() as usize)
    }

    /// Concurrent builds that the server began since then, as it logs them itself.
    pub fn builds_since(&self, begin: usize) -> Result<usize> {
        let log = std::fs::read(self.shop.postgres.log()).context("reading the server's log")?;
        let text = String::from_utf8_lossy(log.get(begin..).unwrap_or_default()).into_owned();
        Ok(text.lines().filter(|line| line.contains("LOG:") && line.contains("CREATE INDEX CONCURRENTLY")).count())
    }
}

async fn delete_all<K>(api: &Api<K>) -> Result<()>
where
    K: Clone + DeserializeOwned + Debug + kube::Resource,
{
    eventually(PATIENCE, "all are deleted", async || {
        api.delete_collection(&DeleteParams::background(), &ListParams::default()).await?;
        Ok(list(api).await?.is_empty().then_some(()))
    })
    .await
}
