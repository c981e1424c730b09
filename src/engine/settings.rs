//! What the controllers tell the engine, and what it tells them: plain values.

use std::sync::Arc;
use std::time::Duration;

use crate::api::{CustomMetric, Refresh, Severity};
use crate::database::postgresql::Endpoint;
use crate::detect;
use crate::measure::TargetKey;

/// A Baseline.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct BaselineKey {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// How a target's profiles are learnt.
#[derive(Clone, Debug, PartialEq)]
pub struct Learning {
    /// Days of history to learn from.
    pub window_days: u32,
    /// How often.
    pub refresh: Refresh,
    /// Leave samples far outside their band out.
    pub outlier_removal: bool,
    /// Learn an hour of day.
    pub daily: bool,
    /// Learn an hour of week.
    pub weekly: bool,
}

impl Learning {
    /// Time between two refreshes.
    pub fn refresh_every(&self) -> Duration {
        match self.refresh {
            Refresh::Daily => Duration::from_hours(24),
            Refresh::Weekly => Duration::from_hours(24 * 7),
        }
    }
}

/// One database pod and everything that is needed to watch it.
#[derive(Clone, Debug)]
pub struct TargetSettings {
    /// Which one.
    pub key: TargetKey,
    /// How to connect.
    pub endpoint: Endpoint,
    /// Time between two light rounds.
    pub interval: Duration,
    /// Time between two rounds over statements.
    pub statements_interval: Duration,
    /// The Baseline's own metrics.
    pub custom: Arc<Vec<CustomMetric>>,
    /// How its profiles are learnt.
    pub learning: Learning,
}

/// A rule, resolved.
#[derive(Clone, Debug)]
pub struct RuleSettings {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID: a rule of the same name that was created later is another one.
    pub uid: String,
    /// Name of the Baseline that it watches.
    pub baseline: String,
    /// What it means.
    pub rule: detect::Rule,
    /// How severe it is.
    pub severity: Severity,
    /// Incidents that are open in the API: they go on, and nothing fires twice.
    pub open: Vec<OpenIncident>,
}

/// An exception, resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct ExceptionSettings {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Name of the Baseline that it is for.
    pub baseline: String,
    /// What it means.
    pub exception: Arc<detect::Exception>,
}

/// An incident that is open in the API.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OpenIncident {
    /// The database pod.
    pub pod: String,
    /// Its first breaching sample, milliseconds since the Unix epoch.
    pub onset: i64,
    /// Open, or clearing: it goes on where the object says it is, else nobody would write that it breaches again.
    pub phase: detect::Phase,
}

/// A change of an incident, with everything that its Anomaly says.
#[derive(Clone, Debug)]
pub struct IncidentChange {
    /// The database.
    pub target: TargetKey,
    /// The rule.
    pub rule: Arc<RuleSettings>,
    /// Name of the metric.
    pub metric: String,
    /// Unit of the metric.
    pub unit: String,
    /// What changed.
    pub change: detect::Change,
    /// When the round was received: the origin of the latency from sample to Anomaly.
    pub received: std::time::Instant,
}

/// What the engine noticed.
#[derive(Clone, Debug)]
pub enum Noticed {
    /// A database answers, is gone, changed its role, or was learnt anew.
    Target(TargetKey),
    /// The state of an incident changed.
    Incident {
        /// The database.
        target: TargetKey,
        /// Name of the rule.
        rule: String,
    },
}
