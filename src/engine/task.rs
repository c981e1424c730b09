//! The engine's task: starts everything, takes commands and reports one at a time, and owns the shard.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at};
use tokio_util::sync::CancellationToken;

use super::exceptions::Exceptions;
use super::handle::{Command, Handle, Views};
use super::learning::Lessons;
use super::recorder::{Entry, Recorder};
use super::rules::Rules;
use super::settings::{IncidentChange, Noticed};
use super::targets::Target;
use super::warming::{Groups, Warm};
use crate::collect::Report;
use crate::detect::{Change, Shard};
use crate::history::Store;
use crate::measure::TargetKey;
use crate::telemetry::Telemetry;

/// How often it is looked at whether something is to be learnt.
const HOUSEKEEPING: Duration = Duration::from_mins(1);
/// How often what is too old is removed from the history: a transaction per database in the task that writes rounds.
const RETENTION: Duration = Duration::from_hours(1);

/// Histories that are replayed at once: each takes a thread for up to some seconds.
const REPLAYS: usize = 2;

pub(super) struct Task {
    pub shard: Shard,
    pub store: Store,
    pub recorder: Recorder,
    pub targets: Vec<Option<Target>>,
    pub by_key: HashMap<TargetKey, usize>,
    pub rules: Rules,
    pub exceptions: Exceptions,
    /// When there were deploys, by namespace, in ms since the Unix epoch.
    pub deploys: HashMap<String, Arc<[i64]>>,
    pub next_incarnation: u64,
    /// Kept between rounds for its room.
    pub changes: Vec<Change>,
    pub views: Views,
    pub reports: mpsc::Sender<(usize, Report)>,
    pub lessons: mpsc::Sender<Lessons>,
    pub warm: mpsc::Sender<Warm>,
    /// How many histories are replayed at once.
    pub replays: Arc<Semaphore>,
    pub groups: Groups,
    pub incidents: mpsc::UnboundedSender<IncidentChange>,
    pub noticed: mpsc::UnboundedSender<Noticed>,
    pub telemetry: Arc<Telemetry>,
    pub cancel: CancellationToken,
}

/// Starts the engine over a history store.
///
/// Incident changes go to `incidents`, everything that a status should say goes to `noticed`. The returned task
/// ends after `cancel`, when the last rounds are written.
pub fn start(
    store: Store,
    incidents: mpsc::UnboundedSender<IncidentChange>,
    noticed: mpsc::UnboundedSender<Noticed>,
    telemetry: Arc<Telemetry>,
    cancel: CancellationToken,
) -> (Handle, tokio::task::JoinHandle<()>) {
    let (command_sender, commands) = mpsc::channel(256);
    let (report_sender, reports) = mpsc::channel(1024);
    let (lesson_sender, lessons) = mpsc::channel(16);
    let (warm_sender, warm) = mpsc::channel(16);
    let views: Views = Arc::new(RwLock::new(HashMap::new()));
    let health_views = views.clone();
    let health_noticed = noticed.clone();
    let (recorder, recorder_task) = Recorder::start(
        store.clone(),
        telemetry.clone(),
        move |_| {
            let views = health_views.read().unwrap_or_else(PoisonError::into_inner);
            for key in views.keys() {
                let _ = health_noticed.send(Noticed::Target(key.clone()));
            }
        },
        cancel.clone(),
    );
    let task = Task {
        shard: Shard::new(),
        store: store.clone(),
        recorder,
        targets: Vec::new(),
        by_key: HashMap::new(),
        rules: Rules::default(),
        exceptions: Exceptions::default(),
        deploys: HashMap::new(),
        next_incarnation: 0,
        changes: Vec::new(),
        views: views.clone(),
        reports: report_sender,
        lessons: lesson_sender,
        warm: warm_sender,
        replays: Arc::new(Semaphore::new(REPLAYS)),
        groups: Groups::default(),
        incidents,
        noticed,
        telemetry,
        cancel,
    };
    let closing = store.clone();
    let running = tokio::spawn(async move {
        task.run(commands, reports, lessons, warm).await;
        let _ = recorder_task.await;
        closing.close().await;
    });
    (Handle { commands: command_sender, views, store }, running)
}

impl Task {
    async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        mut reports: mpsc::Receiver<(usize, Report)>,
        mut lessons: mpsc::Receiver<Lessons>,
        mut warm: mpsc::Receiver<Warm>,
    ) {
        let cancel = self.cancel.clone();
        let mut housekeeping = interval(HOUSEKEEPING);
        housekeeping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Not at once: the windows of the databases are not known yet.
        let mut retention = interval_at(Instant::now() + HOUSEKEEPING, RETENTION);
        retention.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = cancel.cancelled() => break,
                Some((target, report)) = reports.recv() => self.report(target, report),
                Some(command) = commands.recv() => self.command(command),
                Some(lessons) = lessons.recv() => self.learnt(lessons),
                Some(warm) = warm.recv() => self.warmed(warm),
                _ = housekeeping.tick() => self.learn_what_is_due(now()),
                _ = retention.tick() => self.retain(now()),
            }
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::SetTargets(baseline, targets) => self.set_targets(&baseline, targets),
            Command::SetRule(rule) => {
                if self.rules.set(*rule) {
                    self.attach_all();
                }
            }
            Command::RemoveRule { namespace, name } => {
                if self.rules.remove(namespace, name) {
                    self.attach_all();
                }
            }
            Command::SetException(exception) => {
                if self.exceptions.set(exception) {
                    self.attach_all();
                }
            }
            Command::RemoveException { namespace, name } => {
                if self.exceptions.remove(namespace, name) {
                    self.attach_all();
                }
            }
            Command::SetDeploys { namespace, times } => {
                self.deploys.insert(namespace, times);
            }
            Command::EndIncident { target, rule } => self.end_incident(&target, rule),
            Command::Samples { target, metric, since, reply } => {
                // The asker may have given up meanwhile.
                let _ = reply.send(self.samples(&target, &metric, since));
            }
        }
    }

    /// Ends an incident that is over for another reason than its metric.
    fn end_incident(&mut self, target: &TargetKey, rule: String) {
        let Some(id) = self.rules.end(target, rule) else { return };
        if let Some(index) = self.by_key.get(target).copied() {
            self.shard.forget(index, id);
            self.publish_incidents(index);
        }
    }

    fn retain(&self, now: i64) {
        let windows = self
            .targets
            .iter()
            .flatten()
            .map(|target| (target.series.key.clone(), target.settings.learning.window_days))
            .collect();
        self.recorder.record(Entry::Retain { windows, now });
    }
}

/// Milliseconds since the Unix epoch.
pub(super) fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
