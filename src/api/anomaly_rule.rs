//! AnomalyRule: what counts as anomalous for which Baseline, for how long, and what to do about it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Decimal, DurationText, LocalReference};

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
pub struct AnomalyRuleSpec {
    /// The Baseline whose databases this rule watches.
    pub baseline_ref: LocalReference,
    /// The metric and exactly one detector.
    pub detect: Detect,
    /// How long the breach must last before an Anomaly opens. Missing data does not count.
    #[serde(default = "default_for", rename = "for")]
    pub for_: DurationText,
    /// How long it must be clear before the Anomaly is resolved; `for` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolve_after: Option<DurationText>,
    /// How severe it is.
    #[serde(default)]
    pub severity: Severity,
    /// Least confidence of a verdict, in percent: 0 to 100. A verdict below it is no breach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub confidence: Option<u8>,
    /// Widens (low, x1.5) or narrows (high, x0.75) the band of the sigma detector.
    #[serde(default)]
    pub sensitivity: Sensitivity,
    /// What to do about it. Nothing when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remediate: Option<Remediate>,
}

fn default_for() -> DurationText {
    "5m".into()
}

/// A metric and exactly one detector.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("[has(self.sigma), has(self.limit)].filter(x, x).size() == 1", "detect: exactly one of sigma, limit must be given"))]
pub struct Detect {
    /// A built-in metric, or one of the Baseline's own, whose names begin with `custom_`.
    #[schemars(length(max = 63))]
    #[x_kube(validation = Rule::new(crate::api::crds::known_metric_rule()).message(crate::api::crds::known_metric_message().as_str()))]
    pub metric: String,
    /// Distance from the learnt centre of this hour of the week, in sigma.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sigma: Option<SigmaDetector>,
    /// A fixed limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<LimitDetector>,
}

/// Distance from the learnt centre, in robust standard deviations. One-sided when only one is given.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("has(self.above) || has(self.below)", "detect.sigma: at least one of above, below must be given"))]
#[x_kube(validation = ("[has(self.above) ? [self.above] : [], has(self.below) ? [self.below] : []].all(side, side.all(x, type(x) == int ? int(x) > 0 : string(x).matches('^[0-9]{1,6}([.][0-9]{1,6})?$') && double(string(x)) > 0.0))", "detect.sigma: above and below must be numbers greater than 0, such as 3 or \"2.5\""))]
pub struct SigmaDetector {
    /// Breach when the value is more than this many sigma above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above: Option<Decimal>,
    /// Breach when the value is more than this many sigma below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<Decimal>,
}

/// A fixed limit, in the metric's unit (`500ms`, `10GiB`, `85`) or in percent of the metric's maximum (`90%`).
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("has(self.above) || has(self.below)", "detect.limit: at least one of above, below must be given"))]
#[x_kube(validation = ("[has(self.above) ? [self.above] : [], has(self.below) ? [self.below] : []].all(side, side.all(x, type(x) == int || string(x).matches('^[-+]?[0-9]{1,15}([.][0-9]{1,9})? ?[A-Za-z%/]{0,8}$')))", "detect.limit: above and below must be numbers with an optional unit, such as 500ms, 85% or 10GiB"))]
pub struct LimitDetector {
    /// Breach when the value is above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above: Option<Decimal>,
    /// Breach when the value is below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<Decimal>,
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
    Suppressed,
}
