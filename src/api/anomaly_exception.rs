//! AnomalyException: known peaks and maintenance. When, and what to expect or not to judge at all.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Decimal, DurationText, LocalReference};

/// A known peak or a maintenance of a Baseline's databases: when, and what to expect or not to judge at all.
#[derive(Clone, CustomResource, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "dbmedic.io",
    version = "v1alpha1",
    kind = "AnomalyException",
    plural = "anomalyexceptions",
    shortname = "ae",
    category = "dbmedic",
    namespaced,
    status = "AnomalyExceptionStatus",
    derive = "PartialEq",
    doc = "A known peak or a maintenance of a Baseline's databases: when, and what to expect or not to judge at all.",
    printcolumn(name = "Baseline", type_ = "string", json_path = ".spec.baselineRef.name"),
    printcolumn(name = "Effect", type_ = "string", json_path = ".status.effect"),
    printcolumn(name = "Active", type_ = "boolean", json_path = ".status.active"),
    printcolumn(name = "From", type_ = "string", json_path = ".status.nextFrom"),
    printcolumn(name = "To", type_ = "string", json_path = ".status.nextTo"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        priority = 1,
        json_path = ".status.conditions[?(@.type==\"Ready\")].message"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("has(self.schedule) != has(self.dates)", "exactly one of schedule, dates must be given"))]
#[x_kube(validation = ("(has(self.suppress) && self.suppress) != has(self.expect)", "exactly one of suppress: true, expect must be given"))]
#[x_kube(validation = ("!has(self.dates) || !has(self.duration)", "duration: not allowed with dates, which have an end"))]
#[x_kube(validation = ("!has(self.schedule) || self.schedule.matches('[0-9]:[0-9]{2} *- *[0-9]') != has(self.duration)", "duration: required with a schedule without an end, such as \"1st 02:00\", and not allowed with one that has it, such as \"Sun 03:00-04:00\""))]
#[x_kube(validation = ("!has(self.metrics) || !has(self.expect)", "metrics: only with suppress; expect names its metrics itself"))]
pub struct AnomalyExceptionSpec {
    /// The Baseline whose databases it is about.
    pub baseline_ref: LocalReference,
    /// Names of the AnomalyRules that it is for; all rules of the Baseline when left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 253)))]
    pub rules: Vec<String>,
    /// With suppress: rules that judge one of these metrics give no verdict; all rules when left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 63)))]
    pub metrics: Vec<String>,
    /// Names of the database pods that it is for; all of the Baseline when left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 253)))]
    pub pods: Vec<String>,
    /// When, again and again: five cron fields ("0 2 1 * *"), or days and a time: "1st 02:00", "last 23:00",
    /// "Sun 03:00-04:00", "Mon-Fri 09:00-17:00", "daily 02:00-03:00".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub schedule: Option<String>,
    /// How long, after each start of a schedule without an end: 1m to 31d.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<DurationText>,
    /// When, once: from and to of each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64))]
    pub dates: Vec<DateRange>,
    /// IANA time zone of schedule and of dates without an offset, such as Europe/Berlin.
    #[serde(default = "utc")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: String,
    /// True: no alarm at all, and no timer of a rule advances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suppress: Option<bool>,
    /// What to expect, per metric: a factor on what is normal ("10x"), a level ("95%", "200ms") or two ("100ms..400ms").
    /// What lies between the normal and the expected is no breach; what lies beyond is.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("minProperties" = 1, "maxProperties" = 32))]
    #[x_kube(validation = ("self.all(metric, metric.matches('^[a-z][a-z0-9_]{0,62}$'))", "expect: keys are names of metrics, such as throughput"))]
    #[x_kube(validation = ("self.all(metric, type(self[metric]) == int || string(self[metric]).matches('^[-+]?[0-9]{1,15}([.][0-9]{1,9})? ?[A-Za-z%/]{0,8}( ?[.][.] ?[-+]?[0-9]{1,15}([.][0-9]{1,9})? ?[A-Za-z%/]{0,8})?$'))", "expect: values are a factor such as 10x, a level such as 95% or 200ms, or two levels such as 100ms..400ms"))]
    pub expect: BTreeMap<String, Decimal>,
}

fn utc() -> String {
    "UTC".into()
}

/// From one instant or day to another.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct DateRange {
    /// First instant (RFC 3339, such as 2026-11-27T06:00:00Z) or first day (2026-11-27).
    #[schemars(length(min = 10, max = 40))]
    pub from: String,
    /// End (RFC 3339), or last day, which belongs to it.
    #[schemars(length(min = 10, max = 40))]
    pub to: String,
}

/// Whether it is understood, and when it is active.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AnomalyExceptionStatus {
    /// Generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Conditions after kstatus.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    #[schemars(length(max = 16))]
    pub conditions: Vec<Condition>,
    /// What it does, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub effect: Option<String>,
    /// Whether it is active now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<bool>,
    /// Begin of the window that is active, else of the next one (RFC 3339); absent when there will be none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub next_from: Option<String>,
    /// End of the same window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub next_to: Option<String>,
}
