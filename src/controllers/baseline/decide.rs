//! What follows for a Baseline: the targets to watch and the status to show. Pure.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use super::learnt::{confidence_shown, metric};
use super::observe::{Credentials, Observed, SeenPod};
use crate::api::conditions::{self, Said, reasons, types};
use crate::api::{Baseline, BaselineSpec, BaselineStatus, DatabaseStatus, Seasonality, Tls, Unavailable};
use crate::database::DatabaseError;
use crate::database::postgresql::Endpoint;
use crate::database::postgresql::quote::shown;
use crate::detect::FieldError;
use crate::detect::schedule::{self, Calendar};
use crate::engine::{Connection, Learning, Learnt, RefreshPlan, TargetSettings, TargetView};
use crate::history::Health;
use crate::learn::READY_DAYS;
use crate::measure::{Role, TargetKey};

/// Confidence above which a Baseline has learnt.
const READY_CONFIDENCE: f64 = 0.85;
/// Most metrics that are named as not learnt enough.
const MOST_BEHIND: usize = 5;
/// A window of the refresh's schedule: only its begin matters.
const REFRESH_MS: i64 = 60_000;

pub struct Decision {
    pub targets: Vec<TargetSettings>,
    pub status: BaselineStatus,
    /// Something that is not watched (a Secret) may have been mended.
    pub look_again: bool,
}

pub fn decide(baseline: &Baseline, observed: &Observed, now: Timestamp) -> Decision {
    let targets = targets(baseline, observed);
    let ready = ready(baseline, observed);
    let look_again = !matches!(ready.status, Some(true));
    let mut said = vec![ready.clone()];
    if ready.status.is_none() {
        said.push(Said::yes(types::RECONCILING, ready.reason, ready.message.clone()));
    }
    let needs_a_person = matches!(
        ready.reason,
        reasons::INVALID_FIELD
            | reasons::SECRET_INVALID
            | reasons::OVERLAPS
            | reasons::AUTHENTICATION_FAILED
            | reasons::TLS_MISMATCH
    );
    if needs_a_person {
        said.push(Said::yes(types::STALLED, ready.reason, ready.message));
    }
    said.extend([
        reachable(observed),
        metrics_available(observed),
        learning(observed),
        history(observed),
        anomalous(observed),
    ]);

    let stored = baseline.status.clone().unwrap_or_default();
    let status = BaselineStatus {
        observed_generation: baseline.metadata.generation,
        conditions: conditions::merge(&stored.conditions, &said, baseline.metadata.generation, now),
        targets: Some(i32::try_from(targets.len()).unwrap_or(i32::MAX)),
        confidence: confidence(observed),
        databases: observed.targets.iter().map(|(key, view)| database(key, view)).collect(),
    };
    Decision { targets, status, look_again }
}

fn targets(baseline: &Baseline, observed: &Observed) -> Vec<TargetSettings> {
    let spec = &baseline.spec;
    let (Ok(pods), Credentials::Found { username, password, ca }) = (&observed.pods, &observed.credentials) else {
        return Vec::new();
    };
    let Ok(learning) = learning_of(spec) else { return Vec::new() };
    let custom = Arc::new(spec.custom_metrics.clone());
    let duration = |text: &crate::api::DurationText, fallback| text.resolve().unwrap_or(Duration::from_secs(fallback));
    pods.iter()
        .filter(|pod| pod.claimed_by.is_none())
        .filter_map(|pod| {
            Some(TargetSettings {
                key: TargetKey {
                    namespace: baseline.namespace().unwrap_or_default(),
                    baseline: baseline.name_any(),
                    pod: pod.name.clone(),
                },
                endpoint: Endpoint {
                    host: pod.address.clone()?,
                    port: spec.pods.port,
                    database: spec.connection.database.clone(),
                    username: username.clone(),
                    password: password.clone(),
                    tls: spec.connection.tls,
                    ca: ca.clone(),
                    application_name: "dbmedic-monitor".to_owned(),
                },
                interval: duration(&spec.collection.interval, 10),
                statements_interval: duration(&spec.collection.statements_interval, 60),
                custom: custom.clone(),
                learning: learning.clone(),
            })
        })
        .collect()
}

/// How the profiles are learnt.
///
/// # Errors
/// [`FieldError`] for a schedule or a time zone that is none.
fn learning_of(spec: &BaselineSpec) -> Result<Learning, FieldError> {
    let statistics = &spec.statistics;
    let time_zone = schedule::zone(&statistics.time_zone)
        .map_err(|error| FieldError { field: "statistics.timeZone".to_owned(), ..error })?;
    let refresh = match spec.refresh.0.as_str() {
        "daily" => RefreshPlan::After(Duration::from_hours(24)),
        "weekly" => RefreshPlan::After(Duration::from_hours(7 * 24)),
        cron => Calendar::schedule(cron, Some(REFRESH_MS), &statistics.time_zone)
            .map(|calendar| RefreshPlan::At(Box::new(calendar)))
            .map_err(|error| FieldError {
                field: "refresh".to_owned(),
                allowed: format!("daily, weekly, or {}", error.allowed),
                ..error
            })?,
    };
    let window = spec.collection.window.resolve().unwrap_or(Duration::from_hours(14 * 24));
    Ok(Learning {
        window_days: u32::try_from(window.as_secs() / 86_400).unwrap_or(14),
        refresh,
        outlier_removal: statistics.outlier_removal,
        confidence: confidence_shown(statistics)?,
        daily: statistics.seasonality.contains(&Seasonality::Daily),
        weekly: statistics.seasonality.contains(&Seasonality::Weekly),
        time_zone,
    })
}

/// The first thing that keeps the Baseline from working.
fn ready(baseline: &Baseline, observed: &Observed) -> Said {
    if let Err(error) = learning_of(&baseline.spec) {
        return Said::no(types::READY, reasons::INVALID_FIELD, error.to_string());
    }
    let pods = match &observed.pods {
        Ok(pods) => pods,
        Err(message) => return Said::no(types::READY, reasons::INVALID_FIELD, message.clone()),
    };
    if let Credentials::Wrong(message) = &observed.credentials {
        return Said::no(types::READY, reasons::SECRET_INVALID, message.clone());
    }
    if pods.is_empty() {
        let labels: Vec<String> = baseline
            .spec
            .pods
            .selector
            .match_labels
            .iter()
            .flatten()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        return Said::no(
            types::READY,
            reasons::NO_PODS,
            format!(
                "pods.selector: found no pod with {} in this namespace; allowed are labels of the running database pods",
                labels.join(",")
            ),
        );
    }
    if let Some(SeenPod { name, claimed_by: Some(other), .. }) = pods.iter().find(|pod| pod.claimed_by.is_some()) {
        return Said::no(
            types::READY,
            reasons::OVERLAPS,
            format!(
                "pods.selector: pod {name} is already watched by the older Baseline {other:?}; one pod and port may belong to one Baseline only"
            ),
        );
    }
    if let Some((key, error)) = observed.targets.iter().find_map(|(key, view)| match &view.connection {
        Connection::Failed(error) => Some((key, error)),
        _ => None,
    }) {
        let (reason, message) = explain(baseline, observed, &key.pod, error);
        return Said::no(types::READY, reason, message);
    }
    let connected =
        observed.targets.iter().filter(|(_, view)| matches!(view.connection, Connection::Connected(_))).count();
    if connected == 0 || connected < observed.targets.len() {
        return Said::unknown(types::READY, reasons::CONNECTING, "the first connection has not been made yet");
    }
    Said::yes(types::READY, reasons::ACCEPTED, format!("{connected} database(s) watched"))
}

/// Which field a person has to look at, what is there and what the server would take.
fn explain(baseline: &Baseline, observed: &Observed, pod: &str, error: &DatabaseError) -> (&'static str, String) {
    let connection = &baseline.spec.connection;
    match error {
        DatabaseError::Authentication(_) => {
            let username = match &observed.credentials {
                Credentials::Found { username, .. } => username.as_str(),
                Credentials::Wrong(_) => "",
            };
            let message = format!(
                "connection.secretRef.name: found Secret {:?} with the user {username:?}, which pod {pod} refuses ({error}); allowed are a role that may log in to database {:?} and its password",
                connection.secret_ref.name, connection.database
            );
            (reasons::AUTHENTICATION_FAILED, message)
        }
        DatabaseError::Tls(_) => {
            let (found, allowed) = match connection.tls {
                Tls::Disable => ("disable", "prefer, require and verify-full"),
                Tls::Prefer => ("prefer", "disable, require and verify-full"),
                Tls::Require => ("require", "disable and prefer, unless the server gets a certificate"),
                Tls::VerifyFull => (
                    "verify-full",
                    "a server certificate for the pod's address by an authority in ca.crt of the Secret, or a weaker mode",
                ),
            };
            let message = format!(
                "connection.tls: found {found}, which does not work with pod {pod} ({error}); allowed are {allowed}"
            );
            (reasons::TLS_MISMATCH, message)
        }
        DatabaseError::NoDatabase(_) => {
            let message = format!(
                "connection.database: found {:?}, which pod {pod} does not have ({error}); allowed is a database of this server",
                connection.database
            );
            (reasons::INVALID_FIELD, message)
        }
        DatabaseError::ConnectDenied(_) => {
            let grant = grant_connect(&connection.database, &observed.credentials);
            let message = format!(
                "connection.secretRef.name: found Secret {:?} with a role that pod {pod} does not let connect to database \
                 {:?} ({error}); allowed after: {grant}",
                connection.secret_ref.name, connection.database
            );
            (reasons::AUTHENTICATION_FAILED, message)
        }
        DatabaseError::Exhausted(_) => (reasons::CONNECTIONS_EXHAUSTED, format!("pods: pod {pod}: {error}")),
        _ => (reasons::UNREACHABLE, format!("pods: pod {pod}: {error}")),
    }
}

fn grant_connect(database: &str, credentials: &Credentials) -> String {
    let role = match credentials {
        Credentials::Found { username, .. } => shown(username),
        Credentials::Wrong(_) => "the role".to_owned(),
    };
    format!("GRANT CONNECT ON DATABASE {} TO {role}", shown(database))
}

fn reachable(observed: &Observed) -> Said {
    let failed: Vec<&str> = observed
        .targets
        .iter()
        .filter(|(_, view)| matches!(view.connection, Connection::Failed(_)))
        .map(|(key, _)| key.pod.as_str())
        .collect();
    let connecting = observed.targets.iter().any(|(_, view)| matches!(view.connection, Connection::Connecting));
    match (failed.is_empty(), connecting || observed.targets.is_empty()) {
        (false, _) => {
            Said::no(types::DATABASE_REACHABLE, reasons::UNREACHABLE, format!("not reached: {}", failed.join(", ")))
        }
        (true, true) => Said::unknown(types::DATABASE_REACHABLE, reasons::CONNECTING, "no connection yet"),
        (true, false) => Said::yes(types::DATABASE_REACHABLE, reasons::CONNECTED, "every database answers"),
    }
}

fn metrics_available(observed: &Observed) -> Said {
    let missing: Vec<String> = observed
        .targets
        .iter()
        .flat_map(|(key, view)| {
            view.unavailable
                .iter()
                .map(move |missing| format!("{}: {}: {}", key.pod, missing.metrics.join(", "), missing.reason))
        })
        .collect();
    if missing.is_empty() {
        Said::yes(types::METRICS_AVAILABLE, reasons::COMPLETE, "every metric can be read")
    } else {
        Said::no(types::METRICS_AVAILABLE, reasons::METRICS_UNAVAILABLE, missing.join("; "))
    }
}

fn learning(observed: &Observed) -> Said {
    let least = |of: fn(&TargetView) -> f64| observed.targets.iter().map(|(_, view)| of(view)).reduce(f64::min);
    let mut said = learnt_from(least(days).unwrap_or(0.0), least(confidence_of).unwrap_or(0.0));
    let behind = behind(observed.targets.iter().map(|(key, view)| (key.pod.as_str(), view.learnt.as_slice())));
    if let Some(behind) = behind {
        said.message.push_str(&format!("; {behind}"));
    }
    said
}

/// Which metrics cannot be judged by what was learnt, of databases of which others can.
fn behind<'a>(learnt: impl Iterator<Item = (&'a str, &'a [Learnt])>) -> Option<String> {
    let behind: Vec<String> = learnt
        .filter(|(_, learnt)| learnt.iter().any(|learnt| learnt.ready))
        .flat_map(|(pod, learnt)| learnt.iter().filter(|learnt| !learnt.ready).map(move |learnt| (pod, learnt)))
        .take(MOST_BEHIND)
        .map(|(pod, learnt)| format!("{} of {pod} ({:.1} days)", learnt.metric, learnt.days))
        .collect();
    (!behind.is_empty()).then(|| format!("not enough yet of {}", behind.join(", ")))
}

/// Below a week nothing is judged by what was learnt; it is learnt enough when the window is as good as full.
fn learnt_from(days: f64, confidence: f64) -> Said {
    let percent = (confidence * 100.0).floor();
    if days < READY_DAYS {
        let message = format!("{days:.1} of at least {READY_DAYS} days of history; rules with sigma wait, limits work");
        Said::yes(types::LEARNING, reasons::INSUFFICIENT_HISTORY, message)
    } else if confidence <= READY_CONFIDENCE {
        let message = format!(
            "{days:.0} days of history are judged by; confidence {percent} % of more than {:.0} %: the window is not full yet",
            READY_CONFIDENCE * 100.0
        );
        Said::yes(types::LEARNING, reasons::WINDOW_FILLING, message)
    } else {
        let message = format!("learnt from {} days of history, confidence {percent} %", days.floor());
        Said::no(types::LEARNING, reasons::LEARNT, message)
    }
}

fn confidence_of(view: &TargetView) -> f64 {
    view.learnt.iter().map(|learnt| learnt.confidence).fold(0.0, f64::max)
}

fn days(view: &TargetView) -> f64 {
    view.learnt.iter().map(|learnt| learnt.days).fold(0.0, f64::max)
}

fn history(observed: &Observed) -> Said {
    match &observed.history {
        Health::Working => Said::yes(types::HISTORY_STORED, reasons::STORED, "the history is kept"),
        Health::Unwritable(reason) => Said::no(types::HISTORY_STORED, reasons::HISTORY_UNWRITABLE, reason.clone()),
        Health::Corrupt(reason) => Said::no(types::HISTORY_STORED, reasons::HISTORY_CORRUPT, reason.clone()),
    }
}

fn anomalous(observed: &Observed) -> Said {
    if observed.open_anomalies == 0 {
        Said::no(types::ANOMALOUS, reasons::NORMAL, "no open Anomaly")
    } else {
        Said::yes(types::ANOMALOUS, reasons::ANOMALY_OPEN, format!("{} open Anomaly(s)", observed.open_anomalies))
    }
}

fn confidence(observed: &Observed) -> Option<String> {
    observed
        .targets
        .iter()
        .map(|(_, view)| confidence_of(view))
        .reduce(f64::min)
        .map(|confidence| format!("{:.0}%", (confidence * 100.0).floor()))
}

fn database(key: &TargetKey, view: &TargetView) -> DatabaseStatus {
    let identity = match &view.connection {
        Connection::Connected(identity) => Some(identity),
        _ => None,
    };
    DatabaseStatus {
        pod: key.pod.clone(),
        role: identity.map(|identity| match identity.role {
            Role::Primary => "primary".to_owned(),
            Role::Replica => "replica".to_owned(),
        }),
        version: identity.map(|identity| format!("{}.{}", identity.version / 10_000, identity.version % 10_000)),
        system_identifier: identity.map(|identity| identity.system_identifier.clone()),
        days: (!view.learnt.is_empty()).then(|| days(view).floor() as i32),
        learnt_at: view
            .learnt
            .iter()
            .map(|learnt| learnt.at)
            .min()
            .and_then(|at| Timestamp::from_second(at / 1000).ok())
            .map(|at| at.to_string()),
        metrics: view.learnt.iter().map(metric).collect(),
        unavailable: view
            .unavailable
            .iter()
            .flat_map(|missing| {
                missing
                    .metrics
                    .iter()
                    .map(|metric| Unavailable { metric: metric.clone(), reason: missing.reason.clone() })
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grant_that_is_missing_to_connect_is_quoted() {
        let credentials = Credentials::Wrong(String::new());
        assert_eq!(grant_connect("a\"b", &credentials), "GRANT CONNECT ON DATABASE \"a\"\"b\" TO the role");
    }

    #[test]
    fn a_schedule_or_a_time_zone_that_is_none_names_its_field_and_what_is_allowed() {
        let spec = |refresh: &str, zone: &str| -> BaselineSpec {
            serde_json::from_value(serde_json::json!({
                "engine": "postgresql",
                "pods": {"selector": {}},
                "connection": {"database": "orders", "secretRef": {"name": "orders-monitor"}},
                "refresh": refresh,
                "statistics": {"timeZone": zone}
            }))
            .unwrap()
        };
        for (refresh, zone) in [("daily", "UTC"), ("weekly", "Europe/Berlin"), ("0 3 * * 1-5", "America/New_York")] {
            assert!(learning_of(&spec(refresh, zone)).is_ok(), "{refresh} {zone}");
        }
        for (refresh, zone, begin, allowed) in [
            ("0 3 L * *", "UTC", "refresh: found \"0 3 L * *\"", "daily, weekly, or "),
            ("61 3 * * *", "UTC", "refresh: found \"61 3 * * *\"", "daily, weekly, or "),
            ("daily", "Mars/Olympus", "statistics.timeZone: found \"Mars/Olympus\"", "IANA"),
        ] {
            let error = learning_of(&spec(refresh, zone)).map_err(|error| error.to_string());
            let Err(said) = error else { unreachable!("{refresh} {zone} is accepted") };
            assert!(said.starts_with(begin) && said.contains(allowed), "{said}");
        }
    }

    #[test]
    fn metrics_that_are_behind_the_others_of_their_database_are_named() {
        let learnt = |metric: &str, days: f64| Learnt {
            metric: metric.into(),
            unit: String::new(),
            at: 0,
            statistics: crate::learn::Statistics::default(),
            days,
            confidence: 0.9,
            ready: days >= READY_DAYS,
            findings: crate::learn::Findings::default(),
        };
        let of = |days: [f64; 2]| [learnt("throughput", days[0]), learnt("response_time", days[1])];
        let said = |days| behind([("orders-0", of(days).as_slice())].into_iter());
        assert_eq!(said([14.0, 2.13]).as_deref(), Some("not enough yet of response_time of orders-0 (2.1 days)"));
        assert_eq!(said([14.0, 14.0]), None);
        assert_eq!(said([2.0, 2.0]), None, "nothing is learnt yet at all, and that is said");
    }

    #[test]
    fn a_baseline_learns_until_a_week_was_seen_and_the_window_is_as_good_as_full() {
        for (days, confidence, status, reason) in [
            (0.0, 0.0, true, reasons::INSUFFICIENT_HISTORY),
            (6.9, 0.99, true, reasons::INSUFFICIENT_HISTORY),
            (8.0, 0.57, true, reasons::WINDOW_FILLING),
            (12.0, 0.85, true, reasons::WINDOW_FILLING),
            (12.1, 0.86, false, reasons::LEARNT),
        ] {
            let said = learnt_from(days, confidence);
            assert_eq!((said.status, said.reason), (Some(status), reason), "{}", said.message);
        }
    }
}
