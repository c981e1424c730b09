//! RemediationPolicy: is it understood, may it act, what became of it.

mod decide;

pub use decide::rollback_failed;

use std::sync::Arc;
use std::time::Duration;

use kube::runtime::controller::Action;
use kube::{Api, ResourceExt};

use super::{Context, Error, safeguards, status};
use crate::api::RemediationPolicy;

const MANAGER: &str = "dbmedic.io/remediationpolicy";
/// The gates and the ledger are not watched: a change is found this soon.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// Observes, decides, applies.
///
/// # Errors
/// [`Error`] when the API server cannot be asked or told.
pub async fn reconcile(policy: Arc<RemediationPolicy>, context: Arc<Context>) -> Result<Action, Error> {
    let namespace = policy.namespace().unwrap_or_default();
    let name = policy.name_any();
    let observed = decide::Observed {
        gate: safeguards::gate(&context.client).await?,
        ledger: safeguards::ledger(&context.client, &context.settings.namespace)
            .await?
            .map(|ledger| ledger.reservations),
        remediations: context.stores.remediations.state_filter(|remediation| {
            remediation.namespace() == policy.namespace() && remediation.spec.policy_ref.name == name
        }),
    };
    let now = k8s_openapi::jiff::Timestamp::now();
    let decided = decide::decide(&policy, &observed, now);
    if policy.status.as_ref() != Some(&decided) {
        let api: Api<RemediationPolicy> = Api::namespaced(context.client.clone(), &namespace);
        status::apply(&api, &name, MANAGER, None, &decided).await?;
    }
    Ok(Action::requeue(LOOK_AGAIN))
}
