//! The generated kinds on a real API server.

use anyhow::{Result, ensure};
use dbmedic::api::crds;
use dbmedic_test_support::Cluster;

#[tokio::test]
async fn every_generated_kind_is_accepted_and_can_be_listed() -> Result<()> {
    let cluster = Cluster::shared().await?;
    let namespace = cluster.namespace("kinds").await?;
    for (file, definition) in crds::all() {
        cluster.apply_yaml(&serde_json::to_string(&definition)?, &namespace).await?;
        let plural = format!("{}.{}", definition.spec.names.plural, definition.spec.group);
        let listed = cluster.kubectl("admin", &["get", &plural, "-n", &namespace]).await?;
        ensure!(listed.status.success(), "{file}: {}", String::from_utf8_lossy(&listed.stderr));
    }
    Ok(())
}
