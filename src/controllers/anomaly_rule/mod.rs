//! AnomalyRule: resolves the rule, hands it to the engine and says what it sees.

mod decide;

use std::sync::Arc;

use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt};

use super::{Context, Error, status};
use crate::api::{AnomalyRule, AnomalyState};
use crate::detect::Phase;
use crate::engine::{BaselineKey, OpenIncident, RuleSettings};

const MANAGER: &str = "dbmedic.io/anomalyrule";

/// Observes, decides, applies.
///
/// # Errors
/// [`Error`] when the API server cannot be told.
pub async fn reconcile(rule: Arc<AnomalyRule>, context: Arc<Context>) -> Result<Action, Error> {
    let namespace = rule.namespace().unwrap_or_default();
    let name = rule.name_any();
    if rule.metadata.deletion_timestamp.is_some() {
        context.engine.remove_rule(&namespace, &name).await;
        return Ok(Action::await_change());
    }
    let observed = decide::Observed {
        baseline: context.stores.baselines.get(&ObjectRef::new(&rule.spec.baseline_ref.name).within(&namespace)),
        policy: rule.spec.remediate.as_ref().and_then(|remediate| {
            context.stores.policies.get(&ObjectRef::new(&remediate.policy_ref.name).within(&namespace))
        }),
        targets: context
            .engine
            .targets_of(&BaselineKey { namespace: namespace.clone(), name: rule.spec.baseline_ref.name.clone() }),
    };
    let decision = decide::decide(&rule, &observed, k8s_openapi::jiff::Timestamp::now());
    match decision.rule {
        Some(resolved) => {
            let settings = RuleSettings {
                namespace: namespace.clone(),
                name: name.clone(),
                uid: rule.uid().unwrap_or_default(),
                baseline: rule.spec.baseline_ref.name.clone(),
                rule: resolved.into(),
                severity: rule.spec.severity,
                open: open_incidents(&rule, &context),
            };
            context.engine.set_rule(settings).await;
        }
        None => context.engine.remove_rule(&namespace, &name).await,
    }
    if rule.status.as_ref() != Some(&decision.status) {
        let api: Api<AnomalyRule> = Api::namespaced(context.client.clone(), &namespace);
        status::apply(&api, &name, MANAGER, None, &decision.status).await?;
    }
    Ok(Action::await_change())
}

fn open_incidents(rule: &AnomalyRule, context: &Context) -> Vec<OpenIncident> {
    let uid = rule.uid().unwrap_or_default();
    let mut open: Vec<OpenIncident> = context
        .stores
        .anomalies
        .state()
        .iter()
        .filter(|anomaly| anomaly.spec.rule_ref.uid == uid)
        .filter(|anomaly| anomaly.status.as_ref().and_then(|status| status.state) != Some(AnomalyState::Resolved))
        .filter_map(|anomaly| {
            let onset = anomaly.spec.onset.parse::<jiff::Timestamp>().ok()?;
            let phase = match anomaly.status.as_ref().and_then(|status| status.state) {
                Some(AnomalyState::Clearing) => Phase::Clearing,
                _ => Phase::Open,
            };
            Some(OpenIncident { pod: anomaly.spec.pod.clone(), onset: onset.as_millisecond(), phase })
        })
        .collect();
    // Of several of one database the last one goes on; the others are ended by their own controller.
    open.sort_by_key(|incident| incident.onset);
    open
}
