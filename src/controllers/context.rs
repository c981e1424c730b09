//! What every controller shares: the client, the caches, the engine, bounded calls and back-off per object.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder};
use kube::{Resource, ResourceExt};

use crate::controllers::baseline::Deploys;
use crate::controllers::stores::Stores;
use crate::engine;
use crate::telemetry::Telemetry;

/// Longest that one call to the API server may take: the client retries by itself and could block for minutes.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
const FIRST_DELAY: Duration = Duration::from_millis(500);
const LONGEST_DELAY: Duration = Duration::from_secs(60);

/// Why a pass did not finish.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused or could not be reached.
    #[error("failed to {step}: {source}")]
    Api {
        /// What was tried.
        step: &'static str,
        /// Why it failed.
        source: Box<kube::Error>,
    },
    /// No answer in time.
    #[error("failed to {step}: no answer within {} s", CALL_TIMEOUT.as_secs())]
    Timeout {
        /// What was tried.
        step: &'static str,
    },
    /// Something stored cannot be understood.
    #[error("failed to {step}: {reason}")]
    Content {
        /// What was tried.
        step: &'static str,
        /// What is wrong.
        reason: String,
    },
}

impl Error {
    /// A word for metrics and logs.
    pub fn category(&self) -> &'static str {
        match self {
            Self::Api { source, .. } => match source.as_ref() {
                kube::Error::Api(status) if status.is_conflict() => "conflict",
                kube::Error::Api(status) if status.is_forbidden() => "forbidden",
                kube::Error::Api(_) => "refused",
                _ => "unreachable",
            },
            Self::Timeout { .. } => "timeout",
            Self::Content { .. } => "content",
        }
    }

    /// The object changed since it was read: look again at once.
    pub fn is_conflict(&self) -> bool {
        self.category() == "conflict"
    }
}

/// Calls the API server, for at most ten seconds.
///
/// # Errors
/// [`Error`] naming the step.
pub async fn call<T>(step: &'static str, request: impl Future<Output = kube::Result<T>>) -> Result<T, Error> {
    match tokio::time::timeout(CALL_TIMEOUT, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(source)) => Err(Error::Api { step, source: Box::new(source) }),
        Err(_) => Err(Error::Timeout { step }),
    }
}

/// What the operator was told at its start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its own namespace, with the budget ledger.
    pub namespace: String,
    /// User name of its own service account: never an approver.
    pub user: String,
    /// Image of the Jobs that run a fix.
    pub image: String,
}

/// What every controller shares.
pub struct Context {
    /// The client, with the operator's own rights.
    pub client: Client,
    /// The watch caches.
    pub stores: Stores,
    /// The engine.
    pub engine: engine::Handle,
    /// What the operator was told at its start.
    pub settings: Settings,
    /// Publishes Events.
    pub recorder: Recorder,
    /// Counts what happens.
    pub telemetry: Arc<Telemetry>,
    /// Failures in a row, per object.
    pub backoff: Backoff,
    /// When databases were last looked at, per Anomaly.
    pub looks: Looks,
    /// When there were deploys, per namespace.
    pub deploys: Deploys,
}

impl Context {
    /// Publishes an Event on a transition, which is on the object as well. An Event that cannot be published is not worth
    /// failing a pass for.
    pub async fn event<K>(&self, object: &K, warning: bool, reason: &str, action: &str, note: String)
    where
        K: Resource<DynamicType = ()> + ResourceExt,
    {
        if let Err(error) = self.tell(object, warning, reason, action, note).await {
            tracing::warn!(object = object.name_any(), reason, %error, "Event lost");
        }
    }

    /// Tells people by an Event.
    ///
    /// # Errors
    /// [`Error`] when it could not be published: nobody was told.
    pub async fn tell<K>(
        &self,
        object: &K,
        warning: bool,
        reason: &str,
        action: &str,
        note: String,
    ) -> Result<(), Error>
    where
        K: Resource<DynamicType = ()> + ResourceExt,
    {
        let event = Event {
            type_: if warning { EventType::Warning } else { EventType::Normal },
            reason: reason.to_owned(),
            // The API server refuses notes of more than 1 kB.
            note: Some(note.chars().take(1000).collect()),
            action: action.to_owned(),
            secondary: None,
        };
        call("publish an Event", self.recorder.publish(&event, &object.object_ref(&()))).await
    }
}

/// When a database was last looked at, per Anomaly's UID. Forgotten with the process: then it is looked at again.
#[derive(Default)]
pub struct Looks {
    at: Mutex<HashMap<String, Instant>>,
}

impl Looks {
    /// It is looked at now.
    pub fn now(&self, uid: String) {
        let mut at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        at.retain(|_, looked| looked.elapsed() < Duration::from_hours(1));
        at.insert(uid, Instant::now());
    }

    /// Time since it was looked at.
    pub fn ago(&self, uid: &str) -> Option<Duration> {
        self.at.lock().unwrap_or_else(PoisonError::into_inner).get(uid).map(Instant::elapsed)
    }
}

/// Failures in a row per object: 0.5 s doubled up to a minute, forgotten after a good pass.
///
/// kube's error policy is not told about successes, so it cannot do this by itself.
#[derive(Default)]
pub struct Backoff {
    failures: Mutex<HashMap<String, u32>>,
}

impl Backoff {
    /// The pass was good.
    pub fn succeeded(&self, object: &str) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).remove(object);
    }

    /// The pass failed: how long to wait before the next.
    pub fn failed(&self, object: &str) -> Duration {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry(object.to_owned()).or_insert(0);
        let delay = FIRST_DELAY.saturating_mul(1 << (*count).min(10)).min(LONGEST_DELAY);
        *count += 1;
        delay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn back_off_doubles_up_to_a_minute_and_is_forgotten_after_a_good_pass() {
        let backoff = Backoff::default();
        let delays: Vec<u128> = (0..9).map(|_| backoff.failed("a").as_millis()).collect();
        assert_eq!(delays, [500, 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000]);
        assert_eq!(backoff.failed("b").as_millis(), 500);
        backoff.succeeded("a");
        assert_eq!(backoff.failed("a").as_millis(), 500);
    }
}
