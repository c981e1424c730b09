//! RemediationPolicy: what may be done about an anomaly, by whom, how often, with which credentials.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DurationText, LocalReference, RiskLevel};

/// What may be done about an anomaly: strategies, risk limits, approvals, budget and the credentials of the fix.
///
/// Whoever may write a policy with an executor Secret can in effect use that credential.
#[derive(Clone, CustomResource, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "dbmedic.io",
    version = "v1alpha1",
    kind = "RemediationPolicy",
    plural = "remediationpolicies",
    shortname = "rp",
    category = "dbmedic",
    namespaced,
    status = "RemediationPolicyStatus",
    derive = "PartialEq",
    doc = "What may be done about an anomaly: strategies, risk limits, approvals, budget and the credentials of the fix.",
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode"),
    printcolumn(name = "Auto-Up-To", type_ = "string", json_path = ".spec.autoUpTo"),
    printcolumn(name = "Can-Fix", type_ = "string", json_path = ".status.conditions[?(@.type==\"CanFix\")].status"),
    printcolumn(name = "Fixes-1h", type_ = "string", json_path = ".status.budget"),
    printcolumn(name = "Success", type_ = "string", json_path = ".status.successRate"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        priority = 1,
        json_path = ".status.conditions[?(@.type==\"CanFix\")].message"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[kube(validation = ("self.spec.mode == 'observe' || has(self.spec.executor)", "executor: a Secret for fixing must be named unless mode is observe"))]
#[serde(rename_all = "camelCase")]
pub struct RemediationPolicySpec {
    /// observe: only look. suggest: plan, and wait for an approval. auto: act by itself up to `autoUpTo`.
    #[serde(default)]
    pub mode: Mode,
    /// Highest risk that needs no person in mode auto: low or medium. High and critical are never automatic.
    #[serde(default = "default_auto_up_to")]
    #[x_kube(validation = ("self in ['low', 'medium']", "autoUpTo: high and critical are never automatic; allowed are low, medium"))]
    pub auto_up_to: RiskLevel,
    /// Budget.
    #[serde(default)]
    pub limits: Limits,
    /// Who must approve, and for how long a question stays open.
    #[serde(default)]
    #[x_kube(validation = ("!self.secondPerson || has(self.requestedBy)", "approvals.requestedBy: must name the policy's writer when secondPerson is true"))]
    #[x_kube(validation = ("(self.expireAfter.matches('^[0-9]{1,9}(ms|s|m|h)$') && duration(self.expireAfter) >= duration('1s') && duration(self.expireAfter) <= duration('24h')) || self.expireAfter == '1d'", "approvals.expireAfter must be between 1s and 24h"))]
    pub approvals: Approvals,
    /// Time after the end of a change in which the metric has to come back, else the change is undone.
    #[serde(default = "default_rollback_timeout")]
    #[x_kube(validation = ("(self.matches('^[0-9]{1,9}(ms|s|m|h)$') && duration(self) >= duration('1s') && duration(self) <= duration('24h')) || self == '1d'", "rollbackTimeout must be between 1s and 24h"))]
    pub rollback_timeout: DurationText,
    /// How often an interrupted change is taken up again.
    #[serde(default)]
    pub retries: Retries,
    /// Credentials of the fix; mounted only in its Job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executor: Option<Executor>,
    /// Risk level of an action, raised or lowered by name, whatever its plan was rated; applied whenever permission is asked.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    #[x_kube(validation = ("self.all(action, action in ['add_index'])", "riskOverrides: allowed are the names of changing actions: add_index"))]
    pub risk_overrides: BTreeMap<String, RiskLevel>,
    /// Strategies by name.
    #[schemars(extend("maxProperties" = 32))]
    #[x_kube(validation = ("self.size() > 0", "strategies: at least one must be given"))]
    pub strategies: BTreeMap<String, Strategy>,
}

fn default_auto_up_to() -> RiskLevel {
    RiskLevel::Low
}

fn default_rollback_timeout() -> DurationText {
    "5m".into()
}

/// How far the policy goes by itself.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "a doc comment would turn the schema's enum into a oneOf")]
pub enum Mode {
    Observe,
    #[default]
    Suggest,
    Auto,
}

/// Budget of a policy.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Limits {
    /// Most changes begun in any 60 minutes.
    #[schemars(range(min = 1, max = 100))]
    pub fixes_per_hour: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { fixes_per_hour: 10 }
    }
}

/// Who must approve, and for how long a question stays open.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Approvals {
    /// The approver must be another person than `requestedBy`.
    pub second_person: bool,
    /// The user who answers for this policy; with `secondPerson` the API server refuses another name than the writer's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub requested_by: Option<String>,
    /// Time after which a plan that has not begun expires, approved or not.
    pub expire_after: DurationText,
}

impl Default for Approvals {
    fn default() -> Self {
        Self { second_person: false, requested_by: None, expire_after: "24h".into() }
    }
}

/// How often an interrupted change is taken up again.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Retries {
    /// Most further attempts.
    #[schemars(range(min = 0, max = 10))]
    pub max: u32,
    /// How the wait grows: 5 s doubled each time, or 5 s always.
    pub backoff: Backoff,
}

impl Default for Retries {
    fn default() -> Self {
        Self { max: 3, backoff: Backoff::Exponential }
    }
}

/// How the wait between attempts grows.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "a doc comment would turn the schema's enum into a oneOf")]
pub enum Backoff {
    #[default]
    Exponential,
    Constant,
}

/// Credentials of the fix.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Executor {
    /// Secret with the keys `username` and `password`, `role` when the login role must `SET ROLE` to the owner, and `ca.crt`
    /// for `tls: verify-full`.
    pub secret_ref: LocalReference,
}

/// Ordered steps for one kind of anomaly.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Strategy {
    /// Which of several waiting changes goes first.
    #[serde(default)]
    pub priority: Priority,
    /// Steps, walked in order. Looking steps yield facts; the first changing step whose `when` holds becomes a Remediation.
    #[schemars(length(min = 1, max = 16))]
    pub steps: Vec<Step>,
}

/// Which of several waiting changes goes first.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "a doc comment would turn the schema's enum into a oneOf")]
pub enum Priority {
    Low,
    #[default]
    Medium,
    High,
}

/// One step of a strategy.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("has(self.table) == has(self.columns)", "table and columns belong together"))]
#[x_kube(validation = ("self.action != 'notify' || !has(self.timeout)", "timeout means nothing for notify"))]
#[x_kube(validation = ("!has(self.table) || self.action == 'add_index'", "table and columns are allowed only with add_index"))]
pub struct Step {
    /// What to do.
    pub action: ActionName,
    /// CEL over `facts`; the step is skipped when it is false. Always when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub when: Option<String>,
    /// Most time for the step; for add_index the limit of the build, for looking steps at most 30 s together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = ("(self.matches('^[0-9]{1,9}(ms|s|m|h)$') && duration(self) >= duration('1s') && duration(self) <= duration('24h')) || self == '1d'", "timeout must be between 1s and 24h"))]
    pub timeout: Option<DurationText>,
    /// add_index: a table that a person prescribes, as `schema.table`, instead of the advisor's finding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    #[x_kube(validation = ("self.matches('^(\"([^\"]|\"\")+\"|[^.\"]+)[.](\"([^\"]|\"\")+\"|[^.\"]+)$')", "table must be schema.table, each part in double quotes if it holds a dot or a quote"))]
    pub table: Option<String>,
    /// add_index: the columns that a person prescribes, in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 3), inner(length(min = 1, max = 63)))]
    #[x_kube(validation = ("self.all(c, self.exists_one(o, o == c))", "columns: each may be named once"))]
    pub columns: Option<Vec<String>>,
}

/// Name of an action.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "a doc comment would turn the schema's enum into a oneOf")]
pub enum ActionName {
    AnalyzeQuery,
    CheckIndexes,
    AddIndex,
    Notify,
}

/// What became of the policy.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RemediationPolicyStatus {
    /// Generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Conditions after kstatus.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    #[schemars(length(max = 16))]
    pub conditions: Vec<Condition>,
    /// Changes begun in the last hour and the limit, as `1/10`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub budget: Option<String>,
    /// Share of finished Remediations that succeeded, as `2/3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24))]
    pub success_rate: Option<String>,
}
