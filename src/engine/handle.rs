//! What the controllers hold of the engine: commands in, a view out.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::{mpsc, oneshot};

use super::settings::{BaselineKey, ExceptionSettings, RuleSettings, TargetSettings};
use crate::api::IncidentState;
use crate::collect::CollectorHandle;
use crate::database::DatabaseError;
use crate::history;
use crate::learn;
use crate::measure::{Identity, TargetKey, Unavailable};

/// Whether a database answers.
#[derive(Clone, Debug)]
pub enum Connection {
    /// The first connection has not been made yet.
    Connecting,
    /// It answers.
    Connected(Identity),
    /// It does not.
    Failed(Arc<DatabaseError>),
}

/// What was learnt of one metric.
#[derive(Clone, Debug)]
pub struct Learnt {
    /// Name of the metric.
    pub metric: String,
    /// Its unit.
    pub unit: String,
    /// When, milliseconds since the Unix epoch.
    pub at: i64,
    /// Statistics over the window.
    pub statistics: learn::Statistics,
    /// Days of history.
    pub days: f64,
    /// Share of the window that was seen, 0 to 1.
    pub confidence: f64,
    /// Enough to judge by.
    pub ready: bool,
    /// What was found beside it.
    pub findings: learn::Findings,
}

/// What is known of one database.
#[derive(Clone, Debug)]
pub struct TargetView {
    /// Whether it answers.
    pub connection: Connection,
    /// What cannot be read.
    pub unavailable: Vec<Unavailable>,
    /// What was learnt, in metric order; metrics without history are left out.
    pub learnt: Vec<Learnt>,
    /// State of each rule's incident, by the rule's name.
    pub incidents: HashMap<String, IncidentState>,
    /// Names of the rules for which an exception is active.
    pub exempt: Vec<String>,
    /// Its collector.
    pub collector: CollectorHandle,
}

pub(super) enum Command {
    SetTargets(BaselineKey, Vec<TargetSettings>),
    SetRule(Box<RuleSettings>),
    RemoveRule { namespace: String, name: String },
    SetException(ExceptionSettings),
    RemoveException { namespace: String, name: String },
    SetDeploys { namespace: String, times: Arc<[i64]> },
    EndIncident { target: TargetKey, rule: String },
    Samples { target: TargetKey, metric: String, since: i64, reply: oneshot::Sender<Vec<(i64, f32)>> },
}

pub(super) type Views = Arc<RwLock<HashMap<TargetKey, TargetView>>>;

/// Commands in, a view out.
#[derive(Clone)]
pub struct Handle {
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) views: Views,
    pub(super) store: history::Store,
}

impl Handle {
    /// Watches exactly these targets under a Baseline from now on. An unchanged target is left alone.
    pub async fn set_targets(&self, baseline: BaselineKey, targets: Vec<TargetSettings>) {
        self.send(Command::SetTargets(baseline, targets)).await;
    }

    /// Applies a rule from now on. An unchanged rule keeps its incidents.
    pub async fn set_rule(&self, rule: RuleSettings) {
        self.send(Command::SetRule(Box::new(rule))).await;
    }

    /// Forgets a rule.
    pub async fn remove_rule(&self, namespace: &str, name: &str) {
        self.send(Command::RemoveRule { namespace: namespace.to_owned(), name: name.to_owned() }).await;
    }

    /// Applies an exception from now on. What is learnt leaves its windows out from the next lessons on.
    pub async fn set_exception(&self, exception: ExceptionSettings) {
        self.send(Command::SetException(exception)).await;
    }

    /// Forgets an exception.
    pub async fn remove_exception(&self, namespace: &str, name: &str) {
        self.send(Command::RemoveException { namespace: namespace.to_owned(), name: name.to_owned() }).await;
    }

    /// When there were deploys in a namespace, ascending, in ms since the Unix epoch: patterns are found with them from the
    /// next lessons on.
    pub async fn set_deploys(&self, namespace: &str, times: Arc<[i64]>) {
        self.send(Command::SetDeploys { namespace: namespace.to_owned(), times }).await;
    }

    /// Forgets an incident that is over for another reason than its metric: rule, Baseline or pod are gone or others.
    pub async fn end_incident(&self, target: &TargetKey, rule: &str) {
        self.send(Command::EndIncident { target: target.clone(), rule: rule.to_owned() }).await;
    }

    /// Samples of a metric at and after `since` (milliseconds since the Unix epoch), oldest first. NaN where a value was
    /// due and there was none; a metric over statements is due only in the rounds that read them.
    pub async fn samples(&self, target: &TargetKey, metric: &str, since: i64) -> Vec<(i64, f32)> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Samples { target: target.clone(), metric: metric.to_owned(), since, reply }).await;
        answer.await.unwrap_or_default()
    }

    /// What is known of a database; `None` when it is not watched.
    pub fn target(&self, key: &TargetKey) -> Option<TargetView> {
        self.views.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// The databases of a Baseline, by pod name.
    pub fn targets_of(&self, baseline: &BaselineKey) -> Vec<(TargetKey, TargetView)> {
        let views = self.views.read().unwrap_or_else(PoisonError::into_inner);
        let mut targets: Vec<_> = views
            .iter()
            .filter(|(key, _)| key.namespace == baseline.namespace && key.baseline == baseline.name)
            .map(|(key, view)| (key.clone(), view.clone()))
            .collect();
        targets.sort_by(|left, right| left.0.cmp(&right.0));
        targets
    }

    /// Whether the history can be written.
    pub fn history_health(&self) -> history::Health {
        self.store.health()
    }

    async fn send(&self, command: Command) {
        // The engine lives as long as the process; when it is gone, the process is ending.
        let _ = self.commands.send(command).await;
    }
}
