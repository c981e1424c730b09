//! RemediationApproval: a person's decision on one plan, create-only, guarded by the RBAC verb `approve`.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A person's decision on one plan. It can be created, never changed; the API server checks the verb `approve`.
#[derive(Clone, CustomResource, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "dbmedic.io",
    version = "v1alpha1",
    kind = "RemediationApproval",
    plural = "remediationapprovals",
    shortname = "ra",
    category = "dbmedic",
    namespaced,
    derive = "PartialEq",
    doc = "A person's decision on one plan. It can be created, never changed; the API server checks the verb approve.",
    printcolumn(name = "Remediation", type_ = "string", json_path = ".spec.remediation"),
    printcolumn(name = "Decision", type_ = "string", json_path = ".spec.decision"),
    printcolumn(name = "By", type_ = "string", json_path = ".spec.decidedBy"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[kube(validation = ("self.spec == oldSelf.spec", "spec is immutable: create another approval instead"))]
#[serde(rename_all = "camelCase")]
pub struct RemediationApprovalSpec {
    /// Name of the Remediation.
    #[schemars(length(min = 1, max = 253))]
    pub remediation: String,
    /// UID of the Remediation: a decision is never replayed on a later one of the same name.
    #[schemars(length(min = 1, max = 64))]
    pub remediation_uid: String,
    /// The hash of the plan that was read.
    #[schemars(regex(pattern = "^sha256:[0-9a-f]{64}$"), length(max = 71))]
    pub plan_hash: String,
    /// approve or refuse.
    pub decision: Decision,
    /// The user who decides; the API server refuses another name than the requester's own.
    #[schemars(length(min = 1, max = 256))]
    pub decided_by: String,
    /// Until when the decision counts (RFC 3339). For ever when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 40), extend("format" = "date-time"))]
    pub expires_at: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub comment: Option<String>,
}

/// What was decided.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "a doc comment would turn the schema's enum into a oneOf")]
pub enum Decision {
    #[default]
    Approve,
    Refuse,
}
