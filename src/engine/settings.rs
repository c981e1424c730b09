//! What the controllers tell the engine, and what it tells them: plain values.

use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;

use crate::api::{CustomMetric, Severity};
use crate::database::postgresql::Endpoint;
use crate::detect;
use crate::detect::schedule::Calendar;
use crate::learn::Clock;
use crate::measure::TargetKey;

/// Time before and after now over which the changes of a clock are known: as long as the history's hours are kept.
const CLOCK_MS: i64 = 400 * 86_400_000;

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
    /// When it is learnt anew.
    pub refresh: RefreshPlan,
    /// Leave samples far outside their band out.
    pub outlier_removal: bool,
    /// Share of normal life that the bounds shown hold ([`crate::learn::CONFIDENCE_SHOWN`]); `None`: those of three sigma.
    pub confidence: Option<f64>,
    /// Learn an hour of day.
    pub daily: bool,
    /// Learn an hour of week.
    pub weekly: bool,
    /// The zone whose clock hours and days are taken by.
    pub time_zone: TimeZone,
}

/// When profiles are learnt anew.
#[derive(Clone, Debug, PartialEq)]
pub enum RefreshPlan {
    /// So long after the last time.
    After(Duration),
    /// By a calendar.
    At(Box<Calendar>),
}

impl RefreshPlan {
    /// When what was learnt then is learnt anew; both in ms since the Unix epoch.
    pub fn next(&self, learnt_at: i64) -> i64 {
        match self {
            Self::After(time) => learnt_at.saturating_add(i64::try_from(time.as_millis()).unwrap_or(i64::MAX)),
            Self::At(calendar) => calendar.next(learnt_at).map_or(i64::MAX, |window| window.from),
        }
    }
}

impl Learning {
    /// The clock that an instant's profiles are learnt and judged by: over the history that is kept, and a year ahead.
    pub fn clock(&self, now: i64) -> Clock {
        Clock::new(&self.time_zone, now.saturating_sub(CLOCK_MS), now.saturating_add(CLOCK_MS))
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
    pub rule: Arc<detect::Rule>,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refresh_comes_after_a_time_or_by_a_calendar_in_its_zone() {
        let at = |text: &str| text.parse::<jiff::Timestamp>().map_or(i64::MIN, jiff::Timestamp::as_millisecond);
        let nightly = |zone| {
            let calendar = Calendar::schedule("30 2 * * *", Some(60_000), zone).unwrap();
            RefreshPlan::At(Box::new(calendar))
        };
        let table = [
            (RefreshPlan::After(Duration::from_hours(24)), "2026-06-01T12:00:00Z", "2026-06-02T12:00:00Z"),
            (nightly("UTC"), "2026-06-01T12:00:00Z", "2026-06-02T02:30:00Z"),
            (nightly("UTC"), "2026-06-01T02:30:00Z", "2026-06-02T02:30:00Z"),
            (nightly("Europe/Berlin"), "2026-06-01T12:00:00Z", "2026-06-02T00:30:00Z"),
        ];
        for (plan, learnt, next) in table {
            assert_eq!(plan.next(at(learnt)), at(next), "{plan:?} after {learnt}");
        }
    }
}
