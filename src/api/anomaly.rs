//! Anomaly: one incident, written by the operator: what, since when, how far from normal, why, what was done.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{LocalReference, ObjectReference, Severity};

/// One incident, written by the operator: what, since when, how far from normal, why, what was done.
#[derive(Clone, CustomResource, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "dbmedic.io",
    version = "v1alpha1",
    kind = "Anomaly",
    plural = "anomalies",
    shortname = "an",
    category = "dbmedic",
    namespaced,
    status = "AnomalyStatus",
    derive = "PartialEq",
    selectable = ".spec.severity",
    selectable = ".status.state",
    doc = "One incident, written by the operator: what, since when, how far from normal, why, what was done.",
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Severity", type_ = "string", json_path = ".spec.severity"),
    printcolumn(name = "Metric", type_ = "string", json_path = ".spec.metric"),
    printcolumn(name = "Database", type_ = "string", json_path = ".spec.pod"),
    printcolumn(name = "Deviation", type_ = "string", json_path = ".status.deviation"),
    printcolumn(name = "Cause", type_ = "string", json_path = ".status.rootCause.kind"),
    printcolumn(name = "Summary", type_ = "string", priority = 1, json_path = ".status.rootCause.summary"),
    printcolumn(name = "Since", type_ = "date", json_path = ".spec.onset")
)]
#[kube(validation = ("self.spec == oldSelf.spec", "spec is immutable"))]
#[serde(rename_all = "camelCase")]
pub struct AnomalySpec {
    /// The rule that saw it.
    pub rule_ref: ObjectReference,
    /// The Baseline of the database.
    pub baseline_ref: LocalReference,
    /// The database pod.
    #[schemars(length(max = 253))]
    pub pod: String,
    /// The metric.
    #[schemars(length(max = 63))]
    pub metric: String,
    /// Unit of the metric.
    #[schemars(length(max = 32))]
    pub unit: String,
    /// Name of the detector.
    #[schemars(length(max = 32))]
    pub detector: String,
    /// How severe it is.
    pub severity: Severity,
    /// First breaching sample (RFC 3339).
    #[schemars(length(max = 40))]
    pub onset: String,
    /// The sample that completed the rule's `for`, with its band.
    pub observed: Observed,
}

/// One value with the band it was judged by, in the metric's unit.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Observed {
    /// Time of the sample (RFC 3339).
    #[schemars(length(max = 40))]
    pub at: String,
    /// Value.
    pub value: f64,
    /// What was normal then.
    pub band: Band,
    /// Distance in robust standard deviations: from the centre, among peers, or of all metrics together; absent for fixed
    /// limits and forecasts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sigmas: Option<f64>,
    /// How sure the detector is that this is no chance, in percent: 99.9 means that one sample in a thousand of this
    /// series' normal life would look so. Of a forecast the probability that the limit will be crossed.
    pub confidence: f64,
}

/// What is normal.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Band {
    /// Centre; absent for fixed limits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub centre: Option<f64>,
    /// Lower bound, when there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lower: Option<f64>,
    /// Upper bound, when there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upper: Option<f64>,
}

/// What is known about the incident now.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AnomalyStatus {
    /// Generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Conditions after kstatus.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    #[schemars(length(max = 16))]
    pub conditions: Vec<Condition>,
    /// Open, Predicted (it is expected, not there yet), Clearing or Resolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<AnomalyState>,
    /// Distance from normal for people, such as `+41.2 sigma`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub deviation: Option<String>,
    /// What the detector shows for its verdict when the incident opened: why this is no chance.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub evidence: Vec<Evidence>,
    /// When it was over (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 40))]
    pub resolved_at: Option<String>,
    /// Why, with evidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_cause: Option<RootCause>,
    /// Where the walk over the strategy's steps stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub walk: Option<Walk>,
    /// Names of the Remediations that were made for it, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(max = 253)))]
    pub remediations: Vec<String>,
}

/// State of an Anomaly.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[allow(missing_docs, reason = "a doc comment would turn the schema's enum into a oneOf")]
pub enum AnomalyState {
    #[default]
    Open,
    Predicted,
    Clearing,
    Resolved,
}

/// Where the walk over the strategy's steps stands.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Walk {
    /// What happens next or why nothing does, for people.
    #[schemars(length(max = 1024))]
    pub message: String,
    /// True when no step is left.
    pub finished: bool,
    /// Indices of the notify steps that were done.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub notified: Vec<i32>,
}

/// Why it happened.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RootCause {
    /// Kind of cause.
    pub kind: RootCauseKind,
    /// One sentence for people.
    #[schemars(length(max = 512))]
    pub summary: String,
    /// Statements that explain the growth, most first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 5))]
    pub statements: Vec<StatementEvidence>,
    /// The index that is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing_index: Option<IndexCandidate>,
    /// Facts for `when`, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub facts: Vec<Evidence>,
    /// Further evidence.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub evidence: Vec<Evidence>,
    /// When and where this was seen; older facts are looked at again before a change is planned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub looked: Option<LookedAt>,
}

/// Kind of cause.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[allow(missing_docs, reason = "a doc comment would turn the schema's enum into a oneOf")]
pub enum RootCauseKind {
    #[default]
    Unknown,
    MissingIndex,
    SlowerStatement,
    MoreCalls,
}

/// One thing that was found.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Evidence {
    /// What was looked at.
    #[schemars(length(max = 128))]
    pub name: String,
    /// What was found.
    #[schemars(length(max = 1024))]
    pub value: String,
}

/// A statement that grew.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StatementEvidence {
    /// `queryid` of pg_stat_statements, as text: it does not fit a JSON number.
    #[schemars(length(max = 24))]
    pub query_id: String,
    /// Normalised text, shortened.
    #[schemars(length(max = 1024))]
    pub text: String,
    /// Mean execution time before, in ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean_before_ms: Option<f64>,
    /// Mean execution time now, in ms.
    pub mean_now_ms: f64,
    /// Executions per second now.
    pub calls_per_second: f64,
    /// Share of all growth in execution time, 0 to 1.
    pub share: f64,
    /// Rows returned per execution now.
    pub rows_per_call: f64,
    /// The dearest node of its plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<PlanNode>,
}

/// A node of a plan.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PlanNode {
    /// Type of the node, such as `Seq Scan`.
    #[schemars(length(max = 64))]
    pub node_type: String,
    /// `schema.table`.
    #[schemars(length(max = 140))]
    pub relation: String,
    /// Filter condition.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub filter: Option<String>,
    /// Rows that the node reads, from the table's statistics.
    pub rows_read: f64,
    /// Rows that the planner expects it to return.
    pub rows_returned: f64,
    /// Total cost of the node.
    pub cost: f64,
    /// Share of the statement's total cost, 0 to 1.
    pub cost_share: f64,
}

/// An index that would help.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IndexCandidate {
    /// Schema of the table.
    #[schemars(length(max = 63))]
    pub schema: String,
    /// Table.
    #[schemars(length(max = 63))]
    pub table: String,
    /// Key columns, in order.
    #[schemars(length(max = 3), inner(length(max = 63)))]
    pub columns: Vec<String>,
    /// Estimated size of the index in bytes.
    pub size_bytes: i64,
    /// Estimated time of the build in seconds.
    pub build_seconds: f64,
    /// Estimated saving of the statement's cost, 0 to 1.
    pub gain: f64,
    /// Size of the table in bytes.
    pub table_bytes: i64,
    /// Rows of the table.
    pub table_rows: f64,
    /// `queryid` of the statement that it was advised for; empty when it is not known.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 24))]
    pub query_id: String,
    /// Mean execution time of that statement when it was looked at, in ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statement_ms: Option<f64>,
}

impl IndexCandidate {
    /// Whether both are an index on the same columns of the same table.
    pub fn is_same_index(&self, other: &Self) -> bool {
        (&self.schema, &self.table, &self.columns) == (&other.schema, &other.table, &other.columns)
    }
}

/// When and where a database was looked at.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LookedAt {
    /// When (RFC 3339).
    #[schemars(length(max = 40))]
    pub at: String,
    /// Name of the database.
    #[schemars(length(max = 63))]
    pub database: String,
    /// Identifier of the cluster.
    #[schemars(length(max = 24))]
    pub system_identifier: String,
    /// Timeline: another one after a failover.
    pub timeline: i32,
}
