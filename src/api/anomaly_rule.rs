//! AnomalyRule: what counts as anomalous for which Baseline, for how long, and what to do about it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Decimal, Detect, DurationText, LocalReference};

/// What counts as anomalous for a Baseline's databases, for how long, how severe it is and what to do about it.
#[derive(Clone, CustomResource, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "dbmedic.io",
    version = "v1alpha1",
    kind = "AnomalyRule",
    plural = "anomalyrules",
    shortname = "ar",
    category = "dbmedic",
    namespaced,
    status = "AnomalyRuleStatus",
    derive = "PartialEq",
    selectable = ".spec.severity",
    doc = "What counts as anomalous for a Baseline's databases, for how long, how severe it is and what to do about it.",
    printcolumn(name = "Metric", type_ = "string", json_path = ".spec.detect.metric"),
    printcolumn(name = "Severity", type_ = "string", json_path = ".spec.severity"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Open", type_ = "integer", json_path = ".status.open"),
    printcolumn(name = "Baseline", type_ = "string", priority = 1, json_path = ".spec.baselineRef.name"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        priority = 1,
        json_path = ".status.conditions[?(@.type==\"Ready\")].message"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("!has(self.confidence) || (type(self.confidence) == int ? int(self.confidence) >= 0 && int(self.confidence) <= 100 : string(self.confidence).matches('^[0-9]{1,3}([.][0-9]{1,9})?$') && double(string(self.confidence)) <= 100.0)", "confidence: must be a number of percent between 0 and 100, such as 85 or \"99.9\""))]
pub struct AnomalyRuleSpec {
    /// The Baseline whose databases this rule watches.
    pub baseline_ref: LocalReference,
    /// The metric and exactly one detector.
    pub detect: Detect,
    /// How long the breach must last before an Anomaly opens, at most 30d. Missing data does not count.
    #[serde(default = "default_for", rename = "for")]
    #[x_kube(validation = ("self.matches('^([0-9]{1,10}ms|[0-9]{1,7}s|[0-9]{1,5}m|[0-9]{1,3}h)$') ? duration(self) <= duration('720h') : self.matches('^0*([0-9]|[12][0-9]|30)d$')", "for must be at most 30d"))]
    pub for_: DurationText,
    /// How long it must be clear before the Anomaly is resolved, at most 30d; `for` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = ("self.matches('^([0-9]{1,10}ms|[0-9]{1,7}s|[0-9]{1,5}m|[0-9]{1,3}h)$') ? duration(self) <= duration('720h') : self.matches('^0*([0-9]|[12][0-9]|30)d$')", "resolveAfter must be at most 30d"))]
    pub resolve_after: Option<DurationText>,
    /// How severe it is.
    #[serde(default)]
    pub severity: Severity,
    /// Least confidence of a verdict, in percent: 0 to 100, such as 85 or "99.9". A verdict below it is no breach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<Decimal>,
    /// How readily the detector speaks. Of sigma, peers and an expression's baseline_std_dev, low widens the band by 1.5
    /// and high narrows it to 0.75. Of trend and degradation it is the chance that is put up with: low 0.1 %, medium 1 %,
    /// high 5 %; of queryMix low 0.01 %, medium 0.1 %, high 1 %. Of pattern it is how rare a score must be, of multivariate
    /// and peers how many false incidents a week are put up with. Limits are what they are.
    #[serde(default)]
    pub sensitivity: Sensitivity,
    /// What to do about it. Nothing when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remediate: Option<Remediate>,
}

fn default_for() -> DurationText {
    "5m".into()
}

/// How severe an anomaly is.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "a doc comment would turn the schema's enum into a oneOf")]
pub enum Severity {
    Low,
    #[default]
    Medium,
    High,
    Critical,
}

/// How readily a detector speaks.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "a doc comment would turn the schema's enum into a oneOf")]
pub enum Sensitivity {
    Low,
    #[default]
    Medium,
    High,
}

/// A policy and one of its strategies.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Remediate {
    /// The RemediationPolicy.
    pub policy_ref: LocalReference,
    /// Name of one of its strategies.
    #[schemars(length(min = 1, max = 63))]
    pub strategy: String,
}

/// What the rule sees.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AnomalyRuleStatus {
    /// Generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Conditions after kstatus.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    #[schemars(length(max = 16))]
    pub conditions: Vec<Condition>,
    /// Number of open Anomalies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<i32>,
    /// State per database pod.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    pub targets: Vec<TargetState>,
}

/// State of a rule for one database pod.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TargetState {
    /// Name of the pod.
    #[schemars(length(max = 253))]
    pub pod: String,
    /// State.
    pub state: IncidentState,
}

/// State of an incident, per rule and database pod.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[allow(missing_docs, reason = "a doc comment would turn the schema's enum into a oneOf")]
pub enum IncidentState {
    #[default]
    Normal,
    Pending,
    Open,
    Clearing,
    NoData,
    Learning,
    Suppressed,
}
