//! Who has to look again when something changed: pure routing from a change to the objects it concerns.

use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;

use super::stores::{Changed, Kind, Stores};
use crate::api::{Anomaly, AnomalyException, AnomalyRule, Baseline, Remediation, RemediationPolicy};
use crate::engine::Noticed;

/// An object that has to be looked at.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the names are the kinds'")]
pub enum Work {
    Baseline(ObjectRef<Baseline>),
    Rule(ObjectRef<AnomalyRule>),
    Exception(ObjectRef<AnomalyException>),
    Policy(ObjectRef<RemediationPolicy>),
    Anomaly(ObjectRef<Anomaly>),
    Remediation(ObjectRef<Remediation>),
}

/// Everything, for the moment in which leadership begins.
pub fn everything(stores: &Stores) -> Vec<Work> {
    let baselines = stores.baselines.state().into_iter().map(|object| Work::Baseline(ObjectRef::from_obj(&*object)));
    let exceptions = stores.exceptions.state().into_iter().map(|object| Work::Exception(ObjectRef::from_obj(&*object)));
    let rules = stores.rules.state().into_iter().map(|object| Work::Rule(ObjectRef::from_obj(&*object)));
    let policies = stores.policies.state().into_iter().map(|object| Work::Policy(ObjectRef::from_obj(&*object)));
    let anomalies = stores.anomalies.state().into_iter().map(|object| Work::Anomaly(ObjectRef::from_obj(&*object)));
    let remediations =
        stores.remediations.state().into_iter().map(|object| Work::Remediation(ObjectRef::from_obj(&*object)));
    // First, so that nothing fires at a start that is known.
    exceptions.chain(baselines).chain(rules).chain(policies).chain(anomalies).chain(remediations).collect()
}

/// The objects that a change concerns.
pub fn route(changed: &Changed, stores: &Stores) -> Vec<Work> {
    let namespace = changed.namespace.as_str();
    let name = changed.name.as_str();
    match changed.kind {
        // An overlap concerns every Baseline of the namespace.
        Kind::Baseline => baselines_in(stores, namespace)
            .chain(rules_of_baseline(stores, namespace, name))
            .chain(exceptions_where(stores, namespace, |exception| exception.spec.baseline_ref.name == name))
            .collect(),
        Kind::Exception => vec![Work::Exception(ObjectRef::new(name).within(namespace))],
        Kind::Pod => baselines_in(stores, namespace)
            .chain(anomalies_where(stores, namespace, |anomaly| anomaly.spec.pod == name))
            .chain(remediations_where(stores, namespace, |remediation| remediation.spec.plan.target.pod == name))
            .collect(),
        Kind::Rule => [Work::Rule(ObjectRef::new(name).within(namespace))]
            .into_iter()
            .chain(anomalies_where(stores, namespace, |anomaly| anomaly.spec.rule_ref.name == name))
            .chain(exceptions_where(stores, namespace, |exception| {
                exception.spec.rules.iter().any(|rule| rule == name)
            }))
            .collect(),
        Kind::Policy => [Work::Policy(ObjectRef::new(name).within(namespace))]
            .into_iter()
            .chain(rules_of_policy(stores, namespace, name))
            .chain(anomalies_where(stores, namespace, |_| true))
            .chain(remediations_where(stores, namespace, |remediation| remediation.spec.policy_ref.name == name))
            .collect(),
        Kind::Anomaly => [Work::Anomaly(ObjectRef::new(name).within(namespace))]
            .into_iter()
            .chain(remediations_where(stores, namespace, |remediation| remediation.spec.anomaly_ref.name == name))
            .chain(
                stores
                    .anomalies
                    .get(&ObjectRef::new(name).within(namespace))
                    .map(|anomaly| Work::Baseline(ObjectRef::new(&anomaly.spec.baseline_ref.name).within(namespace))),
            )
            .collect(),
        Kind::Remediation => {
            let own = Work::Remediation(ObjectRef::new(name).within(namespace));
            let Some(remediation) = stores.remediations.get(&ObjectRef::new(name).within(namespace)) else {
                // Cleared away, and with it what it belonged to is no longer known: its step is tried again, its policy
                // may act again.
                return anomalies_where(stores, namespace, |_| true).chain(policies_in(stores, namespace)).collect();
            };
            vec![
                own,
                Work::Anomaly(ObjectRef::new(&remediation.spec.anomaly_ref.name).within(namespace)),
                Work::Policy(ObjectRef::new(&remediation.spec.policy_ref.name).within(namespace)),
            ]
        }
        Kind::Approval | Kind::Job => changed
            .points_at
            .iter()
            .map(|remediation| Work::Remediation(ObjectRef::new(remediation).within(namespace)))
            .collect(),
    }
}

/// The objects that something the engine noticed concerns.
pub fn route_noticed(noticed: &Noticed, stores: &Stores) -> Vec<Work> {
    match noticed {
        Noticed::Target(target) => [Work::Baseline(ObjectRef::new(&target.baseline).within(&target.namespace))]
            .into_iter()
            .chain(rules_of_baseline(stores, &target.namespace, &target.baseline))
            .chain(anomalies_where(stores, &target.namespace, |anomaly| {
                anomaly.spec.pod == target.pod && anomaly.spec.baseline_ref.name == target.baseline
            }))
            .collect(),
        Noticed::Incident { target, rule } => vec![Work::Rule(ObjectRef::new(rule).within(&target.namespace))],
    }
}

fn baselines_in<'a>(stores: &'a Stores, namespace: &'a str) -> impl Iterator<Item = Work> + 'a {
    in_namespace(stores.baselines.state(), namespace).map(|baseline| Work::Baseline(ObjectRef::from_obj(&*baseline)))
}

fn rules_of_baseline<'a>(stores: &'a Stores, namespace: &'a str, name: &'a str) -> impl Iterator<Item = Work> + 'a {
    in_namespace(stores.rules.state(), namespace)
        .filter(move |rule| rule.spec.baseline_ref.name == name)
        .map(|rule| Work::Rule(ObjectRef::from_obj(&*rule)))
}

fn rules_of_policy<'a>(stores: &'a Stores, namespace: &'a str, name: &'a str) -> impl Iterator<Item = Work> + 'a {
    in_namespace(stores.rules.state(), namespace)
        .filter(move |rule| rule.spec.remediate.as_ref().is_some_and(|remediate| remediate.policy_ref.name == name))
        .map(|rule| Work::Rule(ObjectRef::from_obj(&*rule)))
}

fn exceptions_where<'a>(
    stores: &'a Stores,
    namespace: &'a str,
    matches: impl Fn(&AnomalyException) -> bool + 'a,
) -> impl Iterator<Item = Work> + 'a {
    in_namespace(stores.exceptions.state(), namespace)
        .filter(move |exception| matches(exception))
        .map(|exception| Work::Exception(ObjectRef::from_obj(&*exception)))
}

fn policies_in<'a>(stores: &'a Stores, namespace: &'a str) -> impl Iterator<Item = Work> + 'a {
    in_namespace(stores.policies.state(), namespace).map(|policy| Work::Policy(ObjectRef::from_obj(&*policy)))
}

fn anomalies_where<'a>(
    stores: &'a Stores,
    namespace: &'a str,
    matches: impl Fn(&Anomaly) -> bool + 'a,
) -> impl Iterator<Item = Work> + 'a {
    in_namespace(stores.anomalies.state(), namespace)
        .filter(move |anomaly| matches(anomaly))
        .map(|anomaly| Work::Anomaly(ObjectRef::from_obj(&*anomaly)))
}

fn remediations_where<'a>(
    stores: &'a Stores,
    namespace: &'a str,
    matches: impl Fn(&Remediation) -> bool + 'a,
) -> impl Iterator<Item = Work> + 'a {
    in_namespace(stores.remediations.state(), namespace)
        .filter(move |remediation| matches(remediation))
        .map(|remediation| Work::Remediation(ObjectRef::from_obj(&*remediation)))
}

fn in_namespace<'a, K: ResourceExt + 'a>(
    objects: Vec<std::sync::Arc<K>>,
    namespace: &'a str,
) -> impl Iterator<Item = std::sync::Arc<K>> + 'a {
    objects.into_iter().filter(move |object| object.namespace().as_deref() == Some(namespace))
}
