//! Leadership: gates effects, never caches. A process that loses it ends.

use anyhow::Context as _;
use kube::Client;
use kube_lease_manager::{LeaseCreateMode, LeaseManagerBuilder};
use tokio::sync::watch;

use super::arguments::Arguments;

/// Name of the Lease.
pub const LEASE: &str = "dbmedic";

/// Competes for the Lease until the process ends; the receiver says whether it is held.
pub async fn compete(client: Client, arguments: &Arguments) -> anyhow::Result<watch::Receiver<bool>> {
    let manager = LeaseManagerBuilder::new(client, LEASE)
        .with_namespace(&arguments.namespace)
        .with_identity(&arguments.identity)
        .with_duration(arguments.lease_seconds)
        .with_grace(arguments.lease_grace().as_secs())
        .with_create_mode(LeaseCreateMode::AutoCreate)
        .build()
        .await
        .context("cannot set up the Lease")?;
    let (held, task) = manager.watch().await;
    tokio::spawn(async move {
        if let Ok(Err(error)) = task.await {
            tracing::error!(%error, "the Lease cannot be kept");
        }
    });
    Ok(held)
}
