//! Baseline: which databases, how to connect read-only, what to measure and how to learn.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Decimal, DurationText, LocalReference};

/// Which database pods to watch, how to connect to them read-only, what to measure and how to learn what is normal.
#[derive(Clone, CustomResource, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "dbmedic.io",
    version = "v1alpha1",
    kind = "Baseline",
    plural = "baselines",
    shortname = "bl",
    category = "dbmedic",
    namespaced,
    status = "BaselineStatus",
    derive = "PartialEq",
    doc = "Which database pods to watch, how to connect to them read-only, what to measure and how to learn what is normal.",
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Databases", type_ = "integer", json_path = ".status.targets"),
    printcolumn(name = "Confidence", type_ = "string", json_path = ".status.confidence"),
    printcolumn(name = "Learning", type_ = "string", json_path = ".status.conditions[?(@.type==\"Learning\")].status"),
    printcolumn(
        name = "Anomalous",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Anomalous\")].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        priority = 1,
        json_path = ".status.conditions[?(@.type==\"Ready\")].message"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct BaselineSpec {
    /// Database engine.
    pub engine: Engine,
    /// The database pods.
    pub pods: Pods,
    /// How to connect. The role needs `pg_monitor`, and `pg_read_all_data` where EXPLAIN is wanted.
    pub connection: Connection,
    /// How often to look and how much to remember.
    #[serde(default)]
    pub collection: Collection,
    /// How often the profile is learnt anew.
    #[serde(default)]
    pub refresh: Refresh,
    /// How the profile is learnt.
    #[serde(default)]
    #[x_kube(validation = ("self.seasonality.all(s, self.seasonality.exists_one(o, o == s))", "statistics.seasonality: each season may be named once"))]
    #[x_kube(validation = ("!has(self.confidence) || type(self.confidence) == string && string(self.confidence).matches('^0[.][0-9]{1,6}$') && double(string(self.confidence)) >= 0.5 && double(string(self.confidence)) <= 0.9999", "statistics.confidence: must be a share between \"0.5\" and \"0.9999\", such as \"0.95\""))]
    pub statistics: Statistics,
    /// Metrics of your own: each one SQL statement that returns one number.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(
        validation = ("self.all(m, self.exists_one(o, o.name == m.name))", "customMetrics: names must be unique")
    )]
    pub custom_metrics: Vec<CustomMetric>,
}

/// Database engine.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    #[default]
    #[allow(missing_docs, reason = "a doc comment would turn the schema's enum into a oneOf")]
    Postgresql,
}

/// The database pods: a label selector and a port.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Pods {
    /// Labels of the database pods in this namespace.
    pub selector: LabelSelector,
    /// TCP port of the database.
    #[serde(default = "default_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
}

fn default_port() -> u16 {
    5432
}

/// How to connect.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Connection {
    /// Name of the database.
    #[schemars(length(min = 1, max = 63))]
    pub database: String,
    /// Secret with the keys `username` and `password` of a read-only role, and `ca.crt` for `verify-full`.
    pub secret_ref: LocalReference,
    /// Whether the connection is encrypted.
    #[serde(default)]
    pub tls: Tls,
}

/// Whether a connection is encrypted; the words are libpq's `sslmode`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "a doc comment would turn the schema's enum into a oneOf")]
pub enum Tls {
    Disable,
    #[default]
    Prefer,
    Require,
    VerifyFull,
}

/// How often to look and how much to remember.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("!self.interval.matches('^[0-9]{1,9}(s|m|h)$') || !self.statementsInterval.matches('^[0-9]{1,9}(s|m|h)$') || duration(self.statementsInterval) >= duration(self.interval)", "collection.statementsInterval must not be shorter than collection.interval"))]
pub struct Collection {
    /// Time between two light rounds, 1s to 1h.
    #[x_kube(
        validation = ("self.matches('^[0-9]+(s|m|h)$') && duration(self) >= duration('1s') && duration(self) <= duration('1h')",
            "collection.interval must be between 1s and 1h")
    )]
    #[serde(default = "default_interval")]
    pub interval: DurationText,
    /// Time between two rounds over statements, tables and indexes, 1s to 1h; such a round costs the server some 3 µs a statement.
    #[x_kube(
        validation = ("self.matches('^[0-9]+(s|m|h)$') && duration(self) >= duration('1s') && duration(self) <= duration('1h')",
            "collection.statementsInterval must be between 1s and 1h")
    )]
    #[serde(default = "default_statements_interval")]
    pub statements_interval: DurationText,
    /// History to learn from, 7d to 30d.
    #[x_kube(validation = ("self.matches('^([7-9]|[12][0-9]|30)d$')", "collection.window must be between 7d and 30d"))]
    #[serde(default = "default_window")]
    pub window: DurationText,
}

impl Default for Collection {
    fn default() -> Self {
        Self {
            interval: default_interval(),
            statements_interval: default_statements_interval(),
            window: default_window(),
        }
    }
}

fn default_interval() -> DurationText {
    "10s".into()
}

fn default_statements_interval() -> DurationText {
    "1m".into()
}

fn default_window() -> DurationText {
    "14d".into()
}

/// When the profile is learnt anew: `daily`, `weekly`, or a schedule in cron's five fields, in the time zone of the
/// statistics.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Refresh(
    #[schemars(length(max = 128))]
    #[schemars(regex(pattern = r"^(daily|weekly|([0-9A-Za-z*,/-]+ +){4}[0-9A-Za-z*,/-]+)$"))]
    pub String,
);

impl Default for Refresh {
    fn default() -> Self {
        Self("daily".to_owned())
    }
}

/// How the profile is learnt.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Statistics {
    /// Leave samples far outside their hour's band out of the learning.
    pub outlier_removal: bool,
    /// Share of normal life that the bounds in the status hold in each hour, from "0.5" to "0.9999"; what lies outside is
    /// divided evenly between both sides, as often as this metric's own learnt tails say. Left out: the bounds of three
    /// sigma. Rules have bounds of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence: Option<Decimal>,
    /// Seasons that may be learnt, where the data have them. None: one band for all hours.
    #[schemars(length(max = 2))]
    pub seasonality: Vec<Seasonality>,
    /// Time zone (IANA, such as `Europe/Berlin`) whose clock hours and days are taken by. A workload of people moves with
    /// their clock twice a year.
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z0-9/_+-]+$"))]
    pub time_zone: String,
}

impl Default for Statistics {
    fn default() -> Self {
        let seasonality = vec![Seasonality::Daily, Seasonality::Weekly];
        Self { outlier_removal: true, confidence: None, seasonality, time_zone: "UTC".to_owned() }
    }
}

/// A season.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "a doc comment would turn the schema's enum into a oneOf")]
pub enum Seasonality {
    Daily,
    Weekly,
}

/// A metric of one's own: one SQL statement that returns one number.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CustomMetric {
    /// Name, beginning with `custom_`, so that rules can be checked without their Baseline.
    #[schemars(length(max = 63), regex(pattern = "^custom_[a-z0-9_]+$"))]
    pub name: String,
    /// One SELECT that returns one row with one number. It runs read-only with a time limit of 2 s.
    #[schemars(length(min = 1, max = 4096))]
    pub query: String,
    /// Unit, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 32))]
    pub unit: String,
    /// Physical minimum: the learnt band never reaches below it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum: Option<i64>,
}

/// What was found and learnt.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BaselineStatus {
    /// Generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Conditions after kstatus.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    #[schemars(length(max = 16))]
    pub conditions: Vec<Condition>,
    /// Number of database pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub targets: Option<i32>,
    /// How far the profile can be trusted: share of the window that was seen, lowest over the databases, as `97%`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8))]
    pub confidence: Option<String>,
    /// What was learnt, per database.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    pub databases: Vec<DatabaseStatus>,
}

/// One database pod.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DatabaseStatus {
    /// Name of the pod.
    #[schemars(length(max = 253))]
    pub pod: String,
    /// `primary` or `replica`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub role: Option<String>,
    /// Version of the server, such as `15.18`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub version: Option<String>,
    /// The cluster's identifier (`pg_control_system()`).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24))]
    pub system_identifier: Option<String>,
    /// Days of history that the profile was learnt from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub days: Option<i32>,
    /// When the profile was learnt (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 40))]
    pub learnt_at: Option<String>,
    /// What was learnt, per metric.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    pub metrics: Vec<MetricStatus>,
    /// Metrics that cannot be had, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    pub unavailable: Vec<Unavailable>,
}

/// Statistics of one metric over the window, in the metric's unit.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MetricStatus {
    /// Name of the metric.
    #[schemars(length(max = 63))]
    pub name: String,
    /// Unit.
    #[schemars(length(max = 32))]
    pub unit: String,
    /// Whether enough is known to judge by: rules that need what is normal wait until then.
    pub ready: bool,
    /// Days of history that it was learnt from.
    pub days: f64,
    /// Share of the window that was seen, 0 to 1.
    pub confidence: f64,
    /// Number of samples.
    pub samples: i64,
    /// Arithmetic mean.
    pub mean: f64,
    /// Median.
    pub median: f64,
    /// Standard deviation.
    pub standard_deviation: f64,
    /// 95th percentile.
    pub p95: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Smallest value.
    pub minimum: f64,
    /// Largest value.
    pub maximum: f64,
    /// Lower bound of the band of `statistics.confidence`, else of three sigma, over all hours that were seen: the lowest
    /// hour's, never below the physical minimum.
    pub lower: f64,
    /// Upper bound of that band: the highest hour's.
    pub upper: f64,
    /// Patterns that were found, strongest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub patterns: Vec<PatternStatus>,
    /// Whether the profile before this one held until it was learnt anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation: Option<ValidationStatus>,
}

/// A pattern of a metric.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PatternStatus {
    /// `DailyCycle`, `WeeklyCycle`, `MonthlyBatch` or `BriefSpikes`.
    #[schemars(length(max = 32))]
    pub kind: String,
    /// When it is there, such as `peak 09:00-17:00 UTC`, `low Sat, Sun` or `1st 02:00-03:00 UTC`.
    #[schemars(length(max = 128))]
    pub when: String,
    /// Share of the variance that it explains, 0 to 1, in steps of 0.05.
    pub strength: f64,
    /// A sentence.
    #[schemars(length(max = 256))]
    pub message: String,
}

/// What came of the profile before this one.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ValidationStatus {
    /// `Held`, `TooEarly`, `Moved`, `TooNarrow` or `TooWide`.
    #[schemars(length(max = 16))]
    pub verdict: String,
    /// Days of samples that it was judged by.
    pub days: f64,
    /// Share of the samples within three sigma, 0 to 1; 0.997 is usual.
    pub coverage: f64,
    /// Share of the samples that should come once in a hundred.
    pub once_in_hundred: f64,
    /// Share of the samples that should come once in a thousand.
    pub once_in_thousand: f64,
    /// Median distance of the last day from what was learnt, in sigma.
    pub bias_sigmas: f64,
    /// A sentence.
    #[schemars(length(max = 256))]
    pub message: String,
}

/// A metric that cannot be had.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Unavailable {
    /// Name of the metric.
    #[schemars(length(max = 63))]
    pub metric: String,
    /// Why, and what would help.
    #[schemars(length(max = 1024))]
    pub reason: String,
}
