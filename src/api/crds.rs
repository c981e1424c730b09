//! The CustomResourceDefinitions, generated from the types.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

use super::{Anomaly, AnomalyRule, Baseline, Remediation, RemediationApproval, RemediationPolicy};
use crate::measure;

/// Every CustomResourceDefinition with the file name it is stored under, in the order of their use.
pub fn all() -> Vec<(&'static str, CustomResourceDefinition)> {
    vec![
        ("baselines.yaml", Baseline::crd()),
        ("anomalyrules.yaml", AnomalyRule::crd()),
        ("remediationpolicies.yaml", RemediationPolicy::crd()),
        ("anomalies.yaml", Anomaly::crd()),
        ("remediations.yaml", Remediation::crd()),
        ("remediationapprovals.yaml", RemediationApproval::crd()),
    ]
}

pub(super) fn known_metric_rule() -> String {
    let names: Vec<String> = measure::BUILT_IN.iter().map(|metric| format!("'{}'", metric.name)).collect();
    format!("self.matches('^custom_[a-z0-9_]+$') || self in [{}]", names.join(", "))
}

pub(super) fn known_metric_message() -> String {
    let names: Vec<&str> = measure::BUILT_IN.iter().map(|metric| metric.name).collect();
    format!(
        "detect.metric: allowed are {} and names of a Baseline's own metrics, which begin with custom_",
        names.join(", ")
    )
}
