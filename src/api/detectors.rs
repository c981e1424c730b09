//! The detectors of an AnomalyRule as they are written: exactly one stands in `detect`, and each works with its
//! defaults.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Decimal, DurationText};

/// A metric and exactly one detector.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("[has(self.sigma), has(self.limit), has(self.trend), has(self.degradation), has(self.forecast), has(self.pattern), has(self.multivariate), has(self.peers), has(self.expression), has(self.queryMix)].filter(x, x).size() == 1", "detect: exactly one of sigma, limit, trend, degradation, forecast, pattern, multivariate, peers, expression, queryMix must be given"))]
#[x_kube(validation = ("has(self.metric) || has(self.multivariate) || has(self.queryMix) || has(self.expression)", "detect.metric: is required with this detector; only multivariate, queryMix and expression do without"))]
#[x_kube(validation = ("!has(self.metric) || !has(self.multivariate) && !has(self.queryMix)", "detect.metric: multivariate and queryMix have metrics of their own; leave it out"))]
pub struct Detect {
    /// A built-in metric, or one of the Baseline's own, whose names begin with `custom_`. Required but for
    /// `multivariate` and `queryMix`, which have metrics of their own, and an `expression` that does without `current`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    #[x_kube(validation = Rule::new(crate::api::crds::known_metric_rule()).message(crate::api::crds::known_metric_message().as_str()))]
    pub metric: Option<String>,
    /// Distance from the learnt centre of this hour of the week, in sigma.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sigma: Option<SigmaDetector>,
    /// A fixed limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<LimitDetector>,
    /// A steady rise or fall within hours or days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trend: Option<TrendDetector>,
    /// Gradually worse from day to day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub degradation: Option<DegradationDetector>,
    /// Will cross a limit soon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forecast: Option<ForecastDetector>,
    /// A course of values that was not seen before. Has no fields: `pattern: {}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<PatternDetector>,
    /// Metrics of the database that no longer move together as they do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub multivariate: Option<MultivariateDetector>,
    /// Departs from the Baseline's other databases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peers: Option<PeersDetector>,
    /// A condition in CEL over `current`, `baseline_mean`, `baseline_std_dev`, `hour` (0 to 23), `day_of_week` (1 is
    /// Monday, 7 is Sunday) and other metrics of the database as `metrics.NAME`, such as
    /// `current < baseline_mean * 0.5 && hour >= 9`. Hour and day go by the Baseline's `statistics.timeZone`, as the
    /// baseline does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub expression: Option<String>,
    /// Other kinds of statements than at this hour of the week.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query_mix: Option<QueryMixDetector>,
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

/// A steady rise or fall: a robust slope over a window of time, without the daily and weekly season.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("!has(self.above) || self.above.matches('^[0-9]{1,15}([.][0-9]{1,9})? ?[A-Za-z%/]{0,8}/(s|m|h|d|w|second|minute|hour|day|week)$')", "detect.trend.above: must be a number, % or the metric's unit, and per second, minute, hour, day or week, such as 10%/hour or 5ms/day"))]
#[x_kube(validation = ("!has(self.over) || self.over.matches('^([1-9]|[1-9][0-9]|[1-6][0-9]{2}|7[01][0-9]|720)h$') || self.over.matches('^([1-9]|[12][0-9]|30)d$')", "detect.trend.over: must be between 1h and 30d, in h or d"))]
pub struct TrendDetector {
    /// Which way.
    #[serde(default)]
    pub direction: Direction,
    /// Breach when it moves faster than this: percent of the level at the window's start, or the metric's unit, per
    /// second, minute, hour, day or week (`10%/hour`, `5ms/day`). When left out, any significant trend is a breach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 48))]
    pub above: Option<String>,
    /// The window, 1h to 30d. When left out, it is long enough for the rate to show: 1h for a rate per second or minute,
    /// 3h per hour, 7d per day, 28d per week, and 24h without a rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over: Option<DurationText>,
}

/// Which way a trend goes.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "a doc comment would turn the schema's enum into a oneOf")]
pub enum Direction {
    #[default]
    Increasing,
    Decreasing,
}

/// Gradually worse: the last day against the first of some days, the slope and how steadily it went that way.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("type(self.by) == int ? int(self.by) > 0 : string(self.by).matches('^[0-9]{1,15}([.][0-9]{1,9})? ?[A-Za-z%/]{0,8}$')", "detect.degradation.by: must be a number greater than 0 with an optional unit, such as 30% or 20ms"))]
#[x_kube(validation = ("self.over.matches('^([3-9]|[12][0-9]|30)d$')", "detect.degradation.over: must be between 3d and 30d, in d"))]
#[x_kube(validation = ("!has(self.limit) || type(self.limit) == int || string(self.limit).matches('^[-+]?[0-9]{1,15}([.][0-9]{1,9})? ?[A-Za-z%/]{0,8}$')", "detect.degradation.limit: must be a number with an optional unit, such as 100ms"))]
pub struct DegradationDetector {
    /// On which side worse lies.
    #[serde(default)]
    pub worse: Side,
    /// Least change from the first day to the last: percent of the first day's level, or the metric's unit.
    #[serde(default = "default_by")]
    pub by: Decimal,
    /// Days between the two, 3d to 30d.
    #[serde(default = "default_degradation_over")]
    pub over: DurationText,
    /// A limit in the metric's unit, for the evidence: in how many days it is reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Decimal>,
}

impl Default for DegradationDetector {
    fn default() -> Self {
        Self { worse: Side::default(), by: default_by(), over: default_degradation_over(), limit: None }
    }
}

fn default_by() -> Decimal {
    Decimal::Text("30%".to_owned())
}

fn default_degradation_over() -> DurationText {
    "7d".into()
}

/// A side of a value.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "a doc comment would turn the schema's enum into a oneOf")]
pub enum Side {
    #[default]
    Above,
    Below,
}

/// Will cross a limit: the limit as in `limit`, and how soon and how likely it has to be.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("has(self.above) || has(self.below)", "detect.forecast: at least one of above, below must be given"))]
#[x_kube(validation = ("[has(self.above) ? [self.above] : [], has(self.below) ? [self.below] : []].all(side, side.all(x, type(x) == int || string(x).matches('^[-+]?[0-9]{1,15}([.][0-9]{1,9})? ?[A-Za-z%/]{0,8}$')))", "detect.forecast: above and below must be numbers with an optional unit, such as 500ms, 85% or 10GiB"))]
#[x_kube(validation = ("self.within.matches('^([1-9]|[1-9][0-9]|[1-6][0-9]{2}|7[01][0-9]|720)h$') || self.within.matches('^([1-9]|[12][0-9]|30)d$')", "detect.forecast.within: must be between 1h and 30d, in h or d"))]
pub struct ForecastDetector {
    /// The value will be above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above: Option<Decimal>,
    /// The value will be below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<Decimal>,
    /// How far ahead is looked, 1h to 30d.
    #[serde(default = "default_within")]
    pub within: DurationText,
    /// Least probability of the crossing within that time, in percent: 1 to 99.
    #[serde(default = "default_probability")]
    #[schemars(range(min = 1, max = 99))]
    pub probability: u8,
}

impl Default for ForecastDetector {
    fn default() -> Self {
        Self { above: None, below: None, within: default_within(), probability: default_probability() }
    }
}

fn default_within() -> DurationText {
    "7d".into()
}

fn default_probability() -> u8 {
    50
}

/// A course of values that was not seen before. How readily it speaks is the rule's `sensitivity`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PatternDetector {}

/// Metrics that no longer move together as they do. How readily it speaks is the rule's `sensitivity`.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("!has(self.metrics) || self.metrics.size() != 1", "detect.multivariate.metrics: at least two metrics must be named; leave it out for all metrics"))]
#[x_kube(validation = ("!has(self.metrics) || self.metrics.all(m, self.metrics.exists_one(o, o == m))", "detect.multivariate.metrics: each metric may be named once"))]
pub struct MultivariateDetector {
    /// The metrics that are judged together; all of the Baseline's when left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 63)))]
    pub metrics: Vec<String>,
}

/// Distance from the median of the Baseline's other databases, in robust standard deviations among them. Three to
/// either side when neither is given.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("[has(self.above) ? [self.above] : [], has(self.below) ? [self.below] : []].all(side, side.all(x, type(x) == int ? int(x) > 0 : string(x).matches('^[0-9]{1,6}([.][0-9]{1,6})?$') && double(string(x)) > 0.0))", "detect.peers: above and below must be numbers greater than 0, such as 3 or \"2.5\""))]
pub struct PeersDetector {
    /// Breach when the value is more than this many sigma above the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above: Option<Decimal>,
    /// Breach when the value is more than this many sigma below the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<Decimal>,
}

/// Other kinds of statements (select, insert, update, delete, other) than at this hour of the week: the Kullback-Leibler
/// divergence of their shares lately from the typical ones.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("type(self.divergence) == int ? int(self.divergence) > 0 : string(self.divergence).matches('^[0-9]{1,6}([.][0-9]{1,6})?$') && double(string(self.divergence)) > 0.0", "detect.queryMix.divergence: must be a number of nats greater than 0, such as \"0.3\""))]
#[x_kube(validation = ("self.over.matches('^([1-9][0-9]|[1-9][0-9]{2}|1[0-3][0-9]{2}|14[0-3][0-9]|1440)m$') || self.over.matches('^([1-9]|1[0-9]|2[0-4])h$') || self.over == '1d'", "detect.queryMix.over: must be between 10m and 24h, in m or h"))]
pub struct QueryMixDetector {
    /// Breach when the divergence is more than this, in nats.
    #[serde(default = "default_divergence")]
    pub divergence: Decimal,
    /// How much of the last time is compared, 10m to 24h.
    #[serde(default = "default_query_mix_over")]
    pub over: DurationText,
}

impl Default for QueryMixDetector {
    fn default() -> Self {
        Self { divergence: default_divergence(), over: default_query_mix_over() }
    }
}

fn default_divergence() -> Decimal {
    Decimal::Text("0.3".to_owned())
}

fn default_query_mix_over() -> DurationText {
    "1h".into()
}
