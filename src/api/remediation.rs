//! Remediation: one change, written by the operator: immutable plan and hash, state, before and after, undo.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ActionName, ObjectReference, Plan};

/// One change, written by the operator: immutable plan and its hash, state, before and after, undo.
#[derive(Clone, CustomResource, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "dbmedic.io",
    version = "v1alpha1",
    kind = "Remediation",
    plural = "remediations",
    shortname = "rem",
    category = "dbmedic",
    namespaced,
    status = "RemediationStatus",
    derive = "PartialEq",
    selectable = ".status.state",
    doc = "One change, written by the operator: immutable plan and its hash, state, before and after, undo.",
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Action", type_ = "string", json_path = ".spec.action"),
    printcolumn(name = "Risk", type_ = "string", json_path = ".spec.plan.risk.level"),
    printcolumn(name = "Database", type_ = "string", json_path = ".spec.plan.target.pod"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.message"),
    printcolumn(name = "Anomaly", type_ = "string", priority = 1, json_path = ".spec.anomalyRef.name"),
    printcolumn(name = "Plan", type_ = "string", priority = 1, json_path = ".spec.plan.statement"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[kube(validation = ("self.spec == oldSelf.spec", "spec is immutable: the plan that was approved is the plan that runs"))]
#[serde(rename_all = "camelCase")]
pub struct RemediationSpec {
    /// The incident.
    pub anomaly_ref: ObjectReference,
    /// The policy.
    pub policy_ref: ObjectReference,
    /// Name of the strategy.
    #[schemars(length(max = 63))]
    pub strategy: String,
    /// Index of the step in the strategy, from 0.
    pub step: i32,
    /// The action.
    pub action: ActionName,
    /// The plan.
    pub plan: Plan,
    /// SHA-256 over the plan's canonical JSON (RFC 8785), as `sha256:` and 64 hexadecimal digits.
    #[schemars(regex(pattern = "^sha256:[0-9a-f]{64}$"), length(max = 71))]
    pub plan_hash: String,
}

/// Where the change stands.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RemediationStatus {
    /// Generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Conditions after kstatus.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    #[schemars(length(max = 16))]
    pub conditions: Vec<Condition>,
    /// State.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<RemediationState>,
    /// Why it is in this state, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
    /// Every state it was in, oldest first: the timeline and the audit of the change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub transitions: Vec<Transition>,
    /// Who decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalStatus>,
    /// The Jobs, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub jobs: Vec<JobStatus>,
    /// When the change was finished (RFC 3339); the rollback timeout counts from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 40))]
    pub applied_at: Option<String>,
    /// Before and after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification: Option<VerificationStatus>,
}

/// State of a Remediation; the table of transitions is in `heal::machine`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
#[allow(missing_docs, reason = "a doc comment would turn the schema's enum into a oneOf")]
pub enum RemediationState {
    #[default]
    Planned,
    AwaitingApproval,
    Cleared,
    Deferred,
    Reserved,
    Running,
    Verifying,
    RollingBack,
    Succeeded,
    Unverified,
    RolledBack,
    RollbackFailed,
    Failed,
    Refused,
    Expired,
    Superseded,
}

/// One state that the Remediation was in.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Transition {
    /// The state it entered.
    pub state: RemediationState,
    /// When (RFC 3339, with milliseconds).
    #[schemars(length(max = 40))]
    pub at: String,
    /// Why.
    #[schemars(length(max = 1024))]
    pub message: String,
}

/// Who decided.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ApprovalStatus {
    /// `policy` when the policy made a person unnecessary, else the name of the RemediationApproval.
    #[schemars(length(max = 253))]
    pub by: String,
    /// The user, when a person decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub decided_by: Option<String>,
    /// The hash that was approved.
    #[schemars(length(max = 71))]
    pub plan_hash: String,
}

/// One Job of the Remediation.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct JobStatus {
    /// Name of the Job.
    #[schemars(length(max = 63))]
    pub name: String,
    /// `succeeded` or `failed`; absent while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub outcome: Option<String>,
    /// What the executor reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub report: Option<String>,
}

/// Before and after.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VerificationStatus {
    /// When the plan was made.
    pub before: Measured,
    /// After the change.
    pub after: Measured,
    /// What follows from it, for people.
    #[schemars(length(max = 512))]
    pub verdict: String,
}

/// Figures at one time.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Measured {
    /// Value of the metric, in its unit: the median of the samples since the change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// Mean execution time of the targeted statements in ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statements_ms: Option<f64>,
    /// Executions that the mean was taken over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls: Option<i64>,
}
