//! Leadership: gates effects, never caches. A process that loses it ends.

use std::time::Duration;

use anyhow::Context as _;
use kube::Client;
use kube_lease_manager::{LeaseCreateMode, LeaseManagerBuilder};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::arguments::Arguments;

/// Name of the Lease.
pub const LEASE: &str = "dbmedic";
/// Longest wait for the Lease to be released at the end.
const RELEASE: Duration = Duration::from_secs(2);

/// The competition for the Lease.
pub struct Leadership {
    /// Whether the Lease is held. When every receiver is dropped the Lease is released.
    pub held: watch::Receiver<bool>,
    /// The task that renews it.
    pub leadership: Renewal,
}

/// The task that renews the Lease.
pub struct Renewal(JoinHandle<()>);

impl Renewal {
    /// Waits until the Lease is released, for a moment: a follower takes it over by time anyway.
    pub async fn ended(self) {
        if tokio::time::timeout(RELEASE, self.0).await.is_err() {
            tracing::debug!("the Lease was not released in time");
        }
    }
}

/// Competes for the Lease until every receiver is dropped.
pub async fn compete(client: Client, arguments: &Arguments) -> anyhow::Result<Leadership> {
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
    let leadership = Renewal(tokio::spawn(async move {
        if let Ok(Err(error)) = task.await {
            tracing::error!(%error, "the Lease cannot be kept");
        }
    }));
    Ok(Leadership { held, leadership })
}
