//! The plan of a change: typed, immutable, hashed. What is approved is what is executed.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One planned change, complete: target, change, way back, measurement. Its hash covers every field.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The database that is changed.
    pub target: PlanTarget,
    /// The change.
    pub change: Change,
    /// The statement as it will be sent; rendered again from `change` by the executor and compared.
    #[schemars(length(max = 2048))]
    pub statement: String,
    /// The statement of the way back.
    #[schemars(length(max = 2048))]
    pub undo: String,
    /// How success is measured.
    pub verification: Verification,
    /// How dangerous it is, and why.
    pub risk: Risk,
    /// Limit of the change itself, in seconds.
    pub timeout_seconds: u32,
}

/// The database that is changed.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanTarget {
    /// The Baseline.
    #[schemars(length(max = 253))]
    pub baseline: String,
    /// The pod.
    #[schemars(length(max = 253))]
    pub pod: String,
    /// Name of the database.
    #[schemars(length(max = 63))]
    pub database: String,
    /// Identifier of the cluster: a plan never runs on another one.
    #[schemars(length(max = 24))]
    pub system_identifier: String,
    /// Timeline at planning time: a plan never runs after a failover.
    pub timeline: i32,
}

/// A change. Exactly one member is set.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("has(self.addIndex)", "plan.change: exactly one of addIndex must be given"))]
pub struct Change {
    /// Build an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub add_index: Option<AddIndex>,
}

/// Build an index concurrently.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AddIndex {
    /// Schema of table and index.
    #[schemars(length(max = 63))]
    pub schema: String,
    /// Table.
    #[schemars(length(max = 63))]
    pub table: String,
    /// Key columns, in order.
    #[schemars(length(max = 3), inner(length(max = 63)))]
    pub columns: Vec<String>,
    /// Name of the index.
    #[schemars(length(max = 63))]
    pub name: String,
}

/// How success is measured.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verification {
    /// The metric that has to come back.
    #[schemars(length(max = 63))]
    pub metric: String,
    /// Its value when the plan was made.
    pub before: f64,
    /// Lower bound of its band, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lower: Option<f64>,
    /// Upper bound of its band, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upper: Option<f64>,
    /// Statements that have to become faster (`queryid`), when there are some.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 5), inner(length(max = 24)))]
    pub query_ids: Vec<String>,
    /// Their mean execution time in ms when the plan was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statements_before_ms: Option<f64>,
    /// Time after the end of the change in which it has to come back, in seconds.
    pub timeout_seconds: u32,
}

/// How dangerous a plan is, and why.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Risk {
    /// Level.
    pub level: RiskLevel,
    /// Reasons, the deciding one first.
    #[schemars(length(max = 16), inner(length(max = 256)))]
    pub reasons: Vec<String>,
}

/// Risk level. low, medium: automatic where the policy lets it. high, critical: never automatic, a person approves.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "a doc comment would turn the schema's enum into a oneOf")]
pub enum RiskLevel {
    #[default]
    Low,
    Medium,
    High,
    Critical,
}
