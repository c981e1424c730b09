//! Leadership: gates effects, never caches. A process that loses it ends.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use kube_lease_manager::{LeaseCreateMode, LeaseManagerBuilder};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::arguments::Arguments;
use super::fence::Fence;

/// Name of the Lease.
pub const LEASE: &str = "dbmedic";
/// Longest wait for the Lease to be released at the end.
const RELEASE: Duration = Duration::from_secs(2);
/// How often a Lease that has run out is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Longest that one look may take.
const LOOK_LIMIT: Duration = Duration::from_secs(5);

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

/// A fence for the Lease of these arguments.
pub fn fence(arguments: &Arguments) -> Fence {
    Fence::new(&arguments.namespace, LEASE, Duration::from_secs(arguments.lease_seconds))
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

/// Opens the fence for a Lease that a former process of the same name held, and this one goes on with.
pub async fn adopt(client: &Client, arguments: &Arguments, fence: &Fence) -> anyhow::Result<()> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), &arguments.namespace);
    let lease = leases.get(LEASE).await.context("cannot read the Lease")?;
    let spec = lease.spec.unwrap_or_default();
    if spec.holder_identity.as_ref() == Some(&arguments.identity)
        && let (Some(renewed), Some(lasts)) = (spec.renew_time, spec.lease_duration_seconds)
    {
        let left = renewed.0.as_millisecond() + i64::from(lasts) * 1000 - jiff::Timestamp::now().as_millisecond();
        let most = i64::try_from(arguments.lease_seconds).unwrap_or(i64::MAX).saturating_mul(1000);
        fence.open_until(Instant::now() + Duration::from_millis(u64::try_from(left.min(most)).unwrap_or(0)));
    }
    Ok(())
}

/// Returns when the Lease is no longer ours. While it has run out and cannot be read, nobody can act, and detection
/// goes on; as soon as it can be read it is renewed, if nobody took it.
pub async fn lost(client: &Client, arguments: &Arguments, fence: &Fence) -> String {
    let leases: Api<Lease> = Api::namespaced(client.clone(), &arguments.namespace);
    loop {
        tokio::time::sleep(LOOK).await;
        if fence.is_open() {
            continue;
        }
        let lease = match tokio::time::timeout(LOOK_LIMIT, leases.get_opt(LEASE)).await {
            Ok(Ok(Some(lease))) => lease,
            Ok(Ok(None)) => return "the Lease was deleted".into(),
            Ok(Err(_)) | Err(_) => {
                tracing::warn!("the Lease has run out and cannot be renewed: nothing is written until it can");
                continue;
            }
        };
        let holder = lease.spec.unwrap_or_default().holder_identity.unwrap_or_default();
        if holder != arguments.identity {
            return format!("the Lease is held by {holder:?}");
        }
        // The version makes it fail when somebody took the Lease since it was read.
        let renewal = Patch::Merge(json!({
            "metadata": {"resourceVersion": lease.metadata.resource_version},
            "spec": {"renewTime": format!("{:.6}", jiff::Timestamp::now())},
        }));
        let renewed = tokio::time::timeout(LOOK_LIMIT, leases.patch(LEASE, &PatchParams::default(), &renewal)).await;
        if matches!(renewed, Ok(Ok(_))) {
            tracing::info!("the Lease is renewed");
        }
    }
}
