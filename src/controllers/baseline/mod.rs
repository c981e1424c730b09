//! Baseline: which databases are watched and what is said about them.

mod decide;
mod deploys;
mod learnt;
mod observe;

use std::sync::Arc;
use std::time::Duration;

use kube::runtime::controller::Action;
use kube::{Api, ResourceExt};

use super::{Context, Error, status};
use crate::api::Baseline;
use crate::engine::BaselineKey;

pub use deploys::Deploys;

const MANAGER: &str = "dbmedic.io/baseline";
/// A Secret that was mended is found this soon; Secrets are never watched, for watching them means reading all.
const RETRY_SECRET: Duration = Duration::from_secs(10);

/// Observes, decides, applies.
///
/// # Errors
/// [`Error`] when the API server cannot be asked or told.
pub async fn reconcile(baseline: Arc<Baseline>, context: Arc<Context>) -> Result<Action, Error> {
    let namespace = baseline.namespace().unwrap_or_default();
    let key = BaselineKey { namespace: namespace.clone(), name: baseline.name_any() };
    if baseline.metadata.deletion_timestamp.is_some() {
        context.engine.set_targets(key, Vec::new()).await;
        return Ok(Action::await_change());
    }
    let observed = observe::observe(&baseline, &context).await?;
    let now = k8s_openapi::jiff::Timestamp::now();
    let decision = decide::decide(&baseline, &observed, now);
    // First: what a database is learnt from at its start is learnt with them.
    let deploys = context.deploys.of(&namespace, &context.client, now.as_millisecond()).await;
    context.engine.set_deploys(&namespace, deploys).await;
    context.engine.set_targets(key, decision.targets).await;
    if baseline.status.as_ref() != Some(&decision.status) {
        let api: Api<Baseline> = Api::namespaced(context.client.clone(), &namespace);
        status::apply(&api, &baseline.name_any(), MANAGER, None, &decision.status).await?;
    }
    Ok(Action::requeue(if decision.look_again { RETRY_SECRET } else { deploys::EVERY }))
}
