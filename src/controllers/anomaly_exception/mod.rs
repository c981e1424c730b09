//! AnomalyException: resolves it, hands it to the engine, and says when it is active.

mod decide;

use std::sync::Arc;
use std::time::Duration;

use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt};

use super::{Context, Error, status};
use crate::api::AnomalyException;
use crate::engine::ExceptionSettings;

const MANAGER: &str = "dbmedic.io/anomalyexception";
/// A clock that is set is noticed this soon; a pass that finds nothing new writes nothing.
const LONGEST_WAIT: Duration = Duration::from_hours(1);

/// Observes, decides, applies. Looks again when a window begins or ends.
///
/// # Errors
/// [`Error`] when the API server cannot be told.
pub async fn reconcile(exception: Arc<AnomalyException>, context: Arc<Context>) -> Result<Action, Error> {
    let namespace = exception.namespace().unwrap_or_default();
    let name = exception.name_any();
    if exception.metadata.deletion_timestamp.is_some() {
        context.engine.remove_exception(&namespace, &name).await;
        return Ok(Action::await_change());
    }
    let baseline = &exception.spec.baseline_ref.name;
    let observed = decide::Observed {
        baseline: context.stores.baselines.get(&ObjectRef::new(baseline).within(&namespace)),
        rules: context
            .stores
            .rules
            .state()
            .iter()
            .filter(|rule| rule.namespace() == exception.namespace() && rule.spec.baseline_ref.name == *baseline)
            .map(|rule| rule.name_any())
            .collect(),
    };
    let decision = decide::decide(&exception, &observed, k8s_openapi::jiff::Timestamp::now());
    match decision.exception {
        Some(resolved) => {
            let settings = ExceptionSettings {
                namespace: namespace.clone(),
                name: name.clone(),
                baseline: baseline.clone(),
                exception: Arc::new(resolved),
            };
            context.engine.set_exception(settings).await;
        }
        None => context.engine.remove_exception(&namespace, &name).await,
    }
    if exception.status.as_ref() != Some(&decision.status) {
        let api: Api<AnomalyException> = Api::namespaced(context.client.clone(), &namespace);
        status::apply(&api, &name, MANAGER, None, &decision.status).await?;
    }
    Ok(decision.edge_in.map_or_else(Action::await_change, |edge| Action::requeue(edge.min(LONGEST_WAIT))))
}
