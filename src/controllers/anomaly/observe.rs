//! What an Anomaly's world looks like: its rule, policy, database and Remediations.

use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;

use crate::api::{Anomaly, AnomalyRule, Baseline, IncidentState, LookedAt, Remediation, RemediationPolicy};
use crate::controllers::Context;
use crate::engine::{Connection, TargetView};
use crate::measure::TargetKey;
use crate::stats;

pub struct Observed {
    /// The rule; `None` when it is gone or another one of the same name.
    pub rule: Option<Arc<AnomalyRule>>,
    pub baseline: Option<Arc<Baseline>>,
    /// A later incident of the same rule and database exists: the end of this one was never written.
    pub followed: bool,
    /// The pod exists.
    pub pod_present: bool,
    pub policy: Option<Arc<RemediationPolicy>>,
    /// `None`: not watched (yet).
    pub target: Option<TargetView>,
    /// State of the incident in the engine; ahead of the object by a write.
    pub incident: Option<IncidentState>,
    /// Remediations of this Anomaly, by step.
    pub remediations: Vec<Arc<Remediation>>,
    /// Remediations of every incident of this database.
    pub on_database: Vec<Arc<Remediation>>,
    /// Now.
    pub now: jiff::Timestamp,
    /// Time since the database was looked at for this Anomaly, in this process.
    pub looked_ago: Option<Duration>,
    /// Time since the onset.
    pub since_onset: Duration,
    /// How long a cause that is not found, or a change that is not safe, is looked for before people are told.
    pub patience: Duration,
    /// Median of the metric since the onset.
    pub median_since_onset: Option<f64>,
}

impl Observed {
    /// What is looked at now, with this time; `None` while nobody answers.
    pub fn here(&self, at: &str) -> Option<LookedAt> {
        let Connection::Connected(identity) = &self.target.as_ref()?.connection else { return None };
        Some(LookedAt {
            at: at.to_owned(),
            database: self.baseline.as_ref()?.spec.connection.database.clone(),
            system_identifier: identity.system_identifier.clone(),
            timeline: identity.timeline,
        })
    }
}

pub async fn observe(anomaly: &Anomaly, context: &Context) -> Observed {
    let namespace = anomaly.namespace().unwrap_or_default();
    let stores = &context.stores;
    let rule = stores
        .rules
        .get(&ObjectRef::new(&anomaly.spec.rule_ref.name).within(&namespace))
        .filter(|rule| rule.uid().as_deref() == Some(anomaly.spec.rule_ref.uid.as_str()));
    let policy = rule
        .as_ref()
        .and_then(|rule| rule.spec.remediate.as_ref())
        .and_then(|remediate| stores.policies.get(&ObjectRef::new(&remediate.policy_ref.name).within(&namespace)));
    let target = context.engine.target(&key(anomaly));
    let incident = target.as_ref().and_then(|target| target.incidents.get(&anomaly.spec.rule_ref.name).copied());
    let uid = anomaly.uid().unwrap_or_default();
    let on_database = stores.remediations.state_filter(|remediation| {
        remediation.namespace().as_deref() == Some(namespace.as_str())
            && remediation.spec.plan.target.pod == anomaly.spec.pod
    });
    let mut remediations = stores.remediations.state_filter(|remediation| {
        remediation.spec.anomaly_ref.uid == uid && remediation.namespace().as_deref() == Some(namespace.as_str())
    });
    let samples = context.engine.samples(&key(anomaly), &anomaly.spec.metric, onset(anomaly)).await;
    let mut values: Vec<f32> = samples.iter().map(|(_, value)| *value).filter(|value| value.is_finite()).collect();
    let began = onset(anomaly);
    let followed = stores.anomalies.state().iter().any(|other| {
        other.spec.rule_ref.uid == anomaly.spec.rule_ref.uid
            && other.spec.pod == anomaly.spec.pod
            && other.spec.baseline_ref == anomaly.spec.baseline_ref
            && other.namespace().as_deref() == Some(namespace.as_str())
            && onset(other) > began
    });
    let baseline = stores.baselines.get(&ObjectRef::new(&anomaly.spec.baseline_ref.name).within(&namespace));
    let patience = patience(baseline.as_deref());
    remediations.sort_by_key(|remediation| remediation.spec.step);
    Observed {
        rule,
        followed,
        baseline,
        pod_present: stores.pods.get(&ObjectRef::new(&anomaly.spec.pod).within(&namespace)).is_some(),
        policy,
        target,
        incident,
        remediations,
        on_database,
        now: jiff::Timestamp::now(),
        looked_ago: context.looks.ago(&uid),
        since_onset: Duration::from_millis(u64::try_from(jiff::Timestamp::now().as_millisecond() - began).unwrap_or(0)),
        patience,
        median_since_onset: stats::median(&mut values),
    }
}

/// First breaching sample, milliseconds since the Unix epoch.
pub fn onset(anomaly: &Anomaly) -> i64 {
    anomaly.spec.onset.parse::<jiff::Timestamp>().map_or(0, jiff::Timestamp::as_millisecond)
}

/// Four looks at the statements: two to compare, and two more for what changes quickly.
fn patience(baseline: Option<&Baseline>) -> Duration {
    let interval = baseline.and_then(|baseline| baseline.spec.collection.statements_interval.resolve().ok());
    (interval.unwrap_or(Duration::from_secs(60)) * 4).clamp(Duration::from_secs(10), Duration::from_secs(600))
}

/// The database of an Anomaly.
pub fn key(anomaly: &Anomaly) -> TargetKey {
    TargetKey {
        namespace: anomaly.namespace().unwrap_or_default(),
        baseline: anomaly.spec.baseline_ref.name.clone(),
        pod: anomaly.spec.pod.clone(),
    }
}
