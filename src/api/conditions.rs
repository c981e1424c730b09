//! Conditions after kstatus: one function sets them, one module names their reasons.
//!
//! `Ready` is always present and means "this object is accepted and works", never "the database is healthy".
//! `Reconciling` and `Stalled` are present only while they are true.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

/// Condition types.
pub mod types {
    /// The object is accepted and works.
    pub const READY: &str = "Ready";
    /// Work on the present generation is not finished.
    pub const RECONCILING: &str = "Reconciling";
    /// A person has to change something before it can go on.
    pub const STALLED: &str = "Stalled";
    /// Fewer days of history than the window asks for.
    pub const LEARNING: &str = "Learning";
    /// Every database pod answers.
    pub const DATABASE_REACHABLE: &str = "DatabaseReachable";
    /// Every metric that the role, extensions and settings could give is given.
    pub const METRICS_AVAILABLE: &str = "MetricsAvailable";
    /// The history store takes and gives samples.
    pub const HISTORY_STORED: &str = "HistoryStored";
    /// At least one rule has an open Anomaly here.
    pub const ANOMALOUS: &str = "Anomalous";
    /// The policy may act: gate, ledger and credentials are there.
    pub const CAN_FIX: &str = "CanFix";
}

/// Reasons, in CamelCase as the API conventions ask.
pub mod reasons {
    /// All is well.
    pub const ACCEPTED: &str = "Accepted";
    /// A field's value cannot be used; the message names field, found and allowed.
    pub const INVALID_FIELD: &str = "InvalidField";
    /// A referenced object is not there.
    pub const REFERENCE_NOT_FOUND: &str = "ReferenceNotFound";
    /// A referenced Secret is missing or lacks a key.
    pub const SECRET_INVALID: &str = "SecretInvalid";
    /// The pod selector matches no pod.
    pub const NO_PODS: &str = "NoPodsSelected";
    /// Another Baseline selects the same pod and port.
    pub const OVERLAPS: &str = "OverlappingBaseline";
    /// Every database answers.
    pub const CONNECTED: &str = "Connected";
    /// The first connection has not been made yet.
    pub const CONNECTING: &str = "Connecting";
    /// The database refused the password or the role.
    pub const AUTHENTICATION_FAILED: &str = "AuthenticationFailed";
    /// The database does not answer.
    pub const UNREACHABLE: &str = "Unreachable";
    /// The server demands or refuses TLS other than the Baseline asks.
    pub const TLS_MISMATCH: &str = "TlsMismatch";
    /// No more connections are allowed.
    pub const CONNECTIONS_EXHAUSTED: &str = "ConnectionsExhausted";
    /// A right, an extension or a setting is missing; the message names it and what is blind.
    pub const METRICS_UNAVAILABLE: &str = "MetricsUnavailable";
    /// Nothing is missing.
    pub const COMPLETE: &str = "Complete";
    /// Too little history yet.
    pub const INSUFFICIENT_HISTORY: &str = "InsufficientHistory";
    /// Learnt from enough history.
    pub const LEARNT: &str = "Learnt";
    /// Judged by, and still being learnt.
    pub const WINDOW_FILLING: &str = "WindowFilling";
    /// The store cannot be written.
    pub const HISTORY_UNWRITABLE: &str = "HistoryUnwritable";
    /// The store's file is damaged and was set aside.
    pub const HISTORY_CORRUPT: &str = "HistoryCorrupt";
    /// The store works.
    pub const STORED: &str = "Stored";
    /// At least one Anomaly is open.
    pub const ANOMALY_OPEN: &str = "AnomalyOpen";
    /// No Anomaly is open.
    pub const NORMAL: &str = "Normal";
    /// The approval gate (policies and bindings) is absent or changed.
    pub const APPROVAL_GATE_MISSING: &str = "ApprovalGateMissing";
    /// The budget ledger is absent.
    pub const LEDGER_MISSING: &str = "LedgerMissing";
    /// A fix could not be undone; the policy waits for a person.
    pub const ROLLBACK_FAILED: &str = "RollbackFailed";
    /// Mode is observe.
    pub const OBSERVE_ONLY: &str = "ObserveOnly";
}

/// What a condition should say now; the transition time is not part of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Said {
    /// One of [`types`].
    pub type_: &'static str,
    /// `Some(true)`, `Some(false)` or `None` for Unknown.
    pub status: Option<bool>,
    /// One of [`reasons`].
    pub reason: &'static str,
    /// For people: field, found, allowed.
    pub message: String,
}

impl Said {
    /// A condition that is true.
    pub fn yes(type_: &'static str, reason: &'static str, message: impl Into<String>) -> Self {
        Self { type_, status: Some(true), reason, message: message.into() }
    }

    /// A condition that is false.
    pub fn no(type_: &'static str, reason: &'static str, message: impl Into<String>) -> Self {
        Self { type_, status: Some(false), reason, message: message.into() }
    }

    /// A condition that cannot be told yet.
    pub fn unknown(type_: &'static str, reason: &'static str, message: impl Into<String>) -> Self {
        Self { type_, status: None, reason, message: message.into() }
    }
}

/// Merges what is said now into the stored conditions.
///
/// The transition time of a condition moves only when its status flips, so that an unchanged world gives the
/// same bytes and no write. `RECONCILING` and `STALLED` vanish unless they are said.
pub fn merge(stored: &[Condition], said: &[Said], generation: Option<i64>, now: Timestamp) -> Vec<Condition> {
    said.iter()
        .map(|said| {
            let status = match said.status {
                Some(true) => "True",
                Some(false) => "False",
                None => "Unknown",
            };
            let since = stored
                .iter()
                .find(|condition| condition.type_ == said.type_ && condition.status == status)
                .map_or_else(|| Time(whole_seconds(now)), |condition| condition.last_transition_time.clone());
            Condition {
                type_: said.type_.to_owned(),
                status: status.to_owned(),
                reason: said.reason.to_owned(),
                message: bounded(&said.message),
                observed_generation: generation,
                last_transition_time: since,
            }
        })
        .collect()
}

/// Finds a condition by type.
pub fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

// The wire format carries whole seconds: a finer time would differ from what is read back.
fn whole_seconds(now: Timestamp) -> Timestamp {
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

// Go's schema allows 32,768 characters; a person reads far fewer, and the text may come from a database.
fn bounded(message: &str) -> String {
    const MOST: usize = 1024;
    let clean: String = message.chars().filter(|character| !character.is_control()).take(MOST).collect();
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transition_time_moves_only_when_the_status_flips() {
        let first = merge(&[], &[Said::yes(types::READY, reasons::ACCEPTED, "a")], Some(1), Timestamp::UNIX_EPOCH);
        let later = Timestamp::from_second(60).unwrap();
        let same = merge(&first, &[Said::yes(types::READY, reasons::ACCEPTED, "b")], Some(2), later);
        assert_eq!(same[0].last_transition_time, first[0].last_transition_time);
        let flipped = merge(&same, &[Said::no(types::READY, reasons::NO_PODS, "c")], Some(2), later);
        assert_eq!(flipped[0].last_transition_time, Time(later));
    }

    #[test]
    fn control_characters_never_reach_a_message() {
        let said = Said::no(types::READY, reasons::UNREACHABLE, "a\u{1b}[31mb\nc");
        assert_eq!(merge(&[], &[said], None, Timestamp::UNIX_EPOCH)[0].message, "a[31mbc");
    }
}
