//! The engine's task: owns the shard, the collectors' lives and the rules.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use secrecy::ExposeSecret;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::handle::{Command, Connection, Handle, Learnt, TargetView, Views};
use super::learning::{self, Lessons};
use super::recorder::{Entry, Recorder, Series};
use super::settings::Noticed;
use super::settings::{BaselineKey, IncidentChange, RuleSettings, TargetSettings};
use crate::api::IncidentState;
use crate::collect::{self, CollectorConfig, Report};
use crate::detect::{ChangeKind, MetricSet, Phase, Shard, TargetRule};
use crate::history::Store;
use crate::measure::{Cadence, Role, Round, TargetKey};
use crate::telemetry::Telemetry;

/// Rounds kept in memory per target: what a verification looks back on.
const RECENT_ROUNDS: usize = 720;
/// How often refreshes and retention are looked at.
const HOUSEKEEPING: Duration = Duration::from_secs(60);
/// Unready profiles are learnt again this often, so that imported history is found.
const UNREADY_RETRY_MS: i64 = 15 * 60_000;

struct Target {
    settings: TargetSettings,
    incarnation: u64,
    metrics: Arc<MetricSet>,
    cancel: CancellationToken,
    /// Whether no rule is breached: told to the collector, which learns from quiet intervals only.
    quiet: Arc<AtomicBool>,
    series: Arc<Series>,
    role: Role,
    recent: VecDeque<(i64, Vec<f32>)>,
    learnt_at: i64,
    ready: bool,
    learning: bool,
}

struct Rule {
    id: u64,
    settings: Arc<RuleSettings>,
}

struct Task {
    shard: Shard,
    store: Store,
    recorder: Recorder,
    targets: Vec<Option<Target>>,
    by_key: HashMap<TargetKey, usize>,
    rules: HashMap<(String, String), Rule>,
    by_id: HashMap<u64, Arc<RuleSettings>>,
    /// Onsets and phases of open incidents: they outlive a collector that is started anew, and begin with what the API
    /// has open.
    open: HashMap<(TargetKey, u64), (i64, Phase)>,
    next_rule: u64,
    next_incarnation: u64,
    changes: Vec<crate::detect::Change>,
    views: Views,
    reports: mpsc::Sender<(usize, Report)>,
    lessons: mpsc::Sender<Lessons>,
    incidents: mpsc::UnboundedSender<IncidentChange>,
    noticed: mpsc::UnboundedSender<Noticed>,
    telemetry: Arc<Telemetry>,
    cancel: CancellationToken,
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
    let views: Views = Arc::new(RwLock::new(HashMap::new()));
    let health_views = views.clone();
    let health_noticed = noticed.clone();
    let (recorder, recorder_task) = Recorder::start(
        store.clone(),
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
        rules: HashMap::new(),
        by_id: HashMap::new(),
        open: HashMap::new(),
        next_rule: 0,
        next_incarnation: 0,
        changes: Vec::new(),
        views: views.clone(),
        reports: report_sender,
        lessons: lesson_sender,
        incidents,
        noticed,
        telemetry,
        cancel,
    };
    let closing = store.clone();
    let running = tokio::spawn(async move {
        task.run(commands, reports, lessons).await;
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
    ) {
        let cancel = self.cancel.clone();
        let mut housekeeping = tokio::time::interval(HOUSEKEEPING);
        housekeeping.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = cancel.cancelled() => break,
                Some((target, report)) = reports.recv() => self.report(target, report),
                Some(command) = commands.recv() => self.command(command),
                Some(lessons) = lessons.recv() => self.learnt(lessons),
                _ = housekeeping.tick() => self.housekeeping(),
            }
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::SetTargets(baseline, targets) => self.set_targets(&baseline, targets),
            Command::SetRule(rule) => self.set_rule(*rule),
            Command::RemoveRule { namespace, name } => self.remove_rule(namespace, name),
            Command::EndIncident { target, rule } => self.end_incident(&target, rule),
            Command::Samples { target, metric, since, reply } => {
                // The asker may have given up meanwhile.
                let _ = reply.send(self.samples(&target, &metric, since));
            }
        }
    }

    fn set_targets(&mut self, baseline: &BaselineKey, wanted: Vec<TargetSettings>) {
        let of_baseline = |key: &TargetKey| key.namespace == baseline.namespace && key.baseline == baseline.name;
        let gone: Vec<TargetKey> = self
            .by_key
            .keys()
            .filter(|key| of_baseline(key) && !wanted.iter().any(|target| target.key == **key))
            .cloned()
            .collect();
        for key in gone {
            self.remove_target(&key);
        }
        for settings in wanted {
            let present = self.by_key.get(&settings.key).and_then(|index| self.targets[*index].as_ref());
            if present.is_some_and(|target| same(&target.settings, &settings)) {
                continue;
            }
            self.remove_target(&settings.key.clone());
            self.add_target(settings);
        }
    }

    fn add_target(&mut self, settings: TargetSettings) {
        let metrics = Arc::new(MetricSet::new(&settings.custom));
        let index = self.shard.add_target(metrics.len());
        let cancel = self.cancel.child_token();
        let quiet = Arc::new(AtomicBool::new(true));
        let (usual_sender, usual) = oneshot::channel();
        tokio::spawn(learning::load_usual_times(self.store.clone(), settings.key.clone(), usual_sender));
        let collector = collect::spawn(
            CollectorConfig {
                target_index: index,
                key: settings.key.clone(),
                endpoint: settings.endpoint.clone(),
                interval: settings.interval,
                statements_interval: settings.statements_interval,
                custom: settings.custom.to_vec(),
            },
            usual,
            quiet.clone(),
            self.reports.clone(),
            cancel.clone(),
        );
        let series = Arc::new(series_of(&settings.key, Role::Primary, &metrics));
        self.views.write().unwrap_or_else(PoisonError::into_inner).insert(
            settings.key.clone(),
            TargetView {
                connection: Connection::Connecting,
                unavailable: Vec::new(),
                learnt: Vec::new(),
                incidents: HashMap::new(),
                collector,
            },
        );
        self.next_incarnation += 1;
        self.by_key.insert(settings.key.clone(), index);
        if self.targets.len() <= index {
            self.targets.resize_with(index + 1, || None);
        }
        tracing::info!(target = %settings.key, host = settings.endpoint.host, port = settings.endpoint.port, "watching");
        self.targets[index] = Some(Target {
            incarnation: self.next_incarnation,
            metrics,
            cancel,
            quiet,
            series,
            role: Role::Primary,
            recent: VecDeque::with_capacity(64),
            learnt_at: 0,
            ready: false,
            learning: false,
            settings,
        });
        self.attach_rules(index);
        self.learn(index, false);
    }

    fn remove_target(&mut self, key: &TargetKey) {
        let Some(index) = self.by_key.remove(key) else { return };
        if let Some(target) = self.targets[index].take() {
            target.cancel.cancel();
        }
        self.shard.remove_target(index);
        self.views.write().unwrap_or_else(PoisonError::into_inner).remove(key);
        tracing::info!(target = %key, "no longer watching");
    }

    fn set_rule(&mut self, settings: RuleSettings) {
        let key = (settings.namespace.clone(), settings.name.clone());
        if let Some(rule) = self.rules.get(&key)
            && rule.settings.uid == settings.uid
            && rule.settings.rule == settings.rule
            && rule.settings.baseline == settings.baseline
            && rule.settings.severity == settings.severity
        {
            return;
        }
        let id = match self.rules.get(&key) {
            Some(rule) if rule.settings.uid == settings.uid => rule.id,
            _ => {
                self.next_rule += 1;
                for open in &settings.open {
                    let target = TargetKey {
                        namespace: settings.namespace.clone(),
                        baseline: settings.baseline.clone(),
                        pod: open.pod.clone(),
                    };
                    self.open.insert((target, self.next_rule), (open.onset, open.phase));
                }
                self.next_rule
            }
        };
        let settings = Arc::new(settings);
        self.by_id.insert(id, settings.clone());
        if let Some(replaced) = self.rules.insert(key, Rule { id, settings })
            && replaced.id != id
        {
            self.by_id.remove(&replaced.id);
        }
        self.attach_all();
    }

    fn remove_rule(&mut self, namespace: String, name: String) {
        if let Some(rule) = self.rules.remove(&(namespace, name)) {
            self.by_id.remove(&rule.id);
            self.open.retain(|(_, id), _| *id != rule.id);
            self.attach_all();
        }
    }

    /// Forgets an incident that is over for another reason than its metric.
    fn end_incident(&mut self, key: &TargetKey, rule: String) {
        let Some(id) = self.rules.get(&(key.namespace.clone(), rule)).map(|rule| rule.id) else { return };
        if self.open.remove(&(key.clone(), id)).is_none() {
            return;
        }
        if let Some(index) = self.by_key.get(key).copied() {
            self.shard.set_rules(index, Vec::new());
            self.attach_rules(index);
        }
    }

    fn attach_all(&mut self) {
        for index in 0..self.targets.len() {
            self.attach_rules(index);
        }
    }

    fn attach_rules(&mut self, index: usize) {
        let Some(target) = &self.targets[index] else { return };
        let key = target.settings.key.clone();
        let rules: Vec<(u64, Arc<RuleSettings>)> = self
            .rules
            .values()
            .filter(|rule| rule.settings.namespace == key.namespace && rule.settings.baseline == key.baseline)
            .map(|rule| (rule.id, rule.settings.clone()))
            .collect();
        let known: Vec<u64> = self.shard.states(index).map(|(id, _)| id).collect();
        let target_rules = rules
            .iter()
            .map(|(id, settings)| TargetRule {
                id: *id,
                rule: settings.rule.clone(),
                expected_interval_ms: expected_interval(target, settings.rule.metric),
            })
            .collect();
        // An edited rule judges anew, but what is open stays open until it is clear by the new rule.
        let edited: Vec<u64> = self.shard.set_rules(index, target_rules).iter().map(|dropped| dropped.rule).collect();
        for (id, settings) in &rules {
            if known.contains(id) && !edited.contains(id) {
                continue;
            }
            if let Some((onset, phase)) = self.open.get(&(key.clone(), *id))
                && self.shard.restore(index, *id, *onset, *phase)
            {
                tracing::info!(target = %key, rule = settings.name, "an open incident goes on");
            }
        }
        self.publish_incidents(index);
    }

    fn report(&mut self, index: usize, report: Report) {
        let Some(Some(target)) = self.targets.get(index) else { return };
        let key = target.settings.key.clone();
        match report {
            Report::Round { round, received, .. } => self.round(index, round, received),
            Report::Connected { identity, .. } => {
                tracing::info!(target = %key, version = identity.version, role = ?identity.role, "connected");
                self.take_role(index, identity.role);
                self.update_view(&key, |view| view.connection = Connection::Connected(identity));
            }
            Report::Failed(error) => {
                tracing::warn!(target = %key, %error, "the database cannot be observed");
                self.telemetry.collection_failed();
                self.update_view(&key, |view| view.connection = Connection::Failed(Arc::new(error)));
            }
            Report::Unavailable(unavailable) => {
                for missing in &unavailable {
                    tracing::warn!(target = %key, metrics = missing.metrics.join(","), reason = missing.reason, "metrics unavailable");
                }
                self.update_view(&key, |view| view.unavailable = unavailable);
            }
            Report::Reset(reason) => {
                tracing::info!(target = %key, reason, "counters begin anew; no rate over this interval");
            }
            Report::UsualTimes(times) => {
                self.recorder.record(Entry::UsualTimes { target: key, times });
            }
        }
    }

    /// What is normal for a primary is not for a replica: each role has a history and profiles of its own.
    fn take_role(&mut self, index: usize, role: Role) {
        let Some(target) = self.targets[index].as_mut().filter(|target| target.role != role) else { return };
        tracing::info!(target = %target.settings.key, ?role, "another role: judged by what was learnt of this one");
        target.role = role;
        target.series = Arc::new(series_of(&target.settings.key, role, &target.metrics));
        target.ready = false;
        target.learning = false;
        self.next_incarnation += 1;
        target.incarnation = self.next_incarnation;
        for metric in 0..target.metrics.len() {
            self.shard.set_profile(index, metric, None);
        }
        let key = target.settings.key.clone();
        self.update_view(&key, |view| view.learnt.clear());
        self.learn(index, false);
    }

    fn round(&mut self, index: usize, round: Round, received: Instant) {
        self.telemetry.round();
        self.changes.clear();
        self.shard.round(&round, &mut self.changes);
        let changed = !self.changes.is_empty();
        let Some(target) = self.targets[index].as_mut() else { return };
        for change in self.changes.drain(..) {
            let Some(rule) = self.by_id.get(&change.rule) else { continue };
            let Some(meaning) = target.metrics.get(rule.rule.metric) else { continue };
            tracing::info!(
                target = %target.settings.key, rule = rule.name, metric = meaning.name, kind = ?change.kind,
                value = change.verdict.map(|verdict| verdict.value),
                sigmas = change.verdict.and_then(|verdict| verdict.sigmas),
                "incident"
            );
            match change.kind {
                ChangeKind::Opened | ChangeKind::Reopened => {
                    self.open.insert((target.settings.key.clone(), change.rule), (change.onset, Phase::Open));
                }
                ChangeKind::Clearing => {
                    self.open.insert((target.settings.key.clone(), change.rule), (change.onset, Phase::Clearing));
                }
                ChangeKind::Resolved => {
                    self.open.remove(&(target.settings.key.clone(), change.rule));
                }
                _ => {}
            }
            let _ =
                self.noticed.send(Noticed::Incident { target: target.settings.key.clone(), rule: rule.name.clone() });
            if matches!(
                change.kind,
                ChangeKind::Opened | ChangeKind::Clearing | ChangeKind::Reopened | ChangeKind::Resolved
            ) {
                let _ = self.incidents.send(IncidentChange {
                    target: target.settings.key.clone(),
                    rule: rule.clone(),
                    metric: meaning.name.clone(),
                    unit: meaning.unit.clone(),
                    change,
                    received,
                });
            }
        }
        if target.recent.len() == RECENT_ROUNDS {
            target.recent.pop_front();
        }
        // While there is no connection every value is absent: nothing to keep.
        if round.values.iter().any(|value| !value.is_nan()) {
            let entry = Entry::Round { series: target.series.clone(), at: round.at, values: round.values.clone() };
            if !self.recorder.record(entry) {
                self.telemetry.round_dropped();
            }
        }
        target.recent.push_back((round.at, round.values));
        if changed {
            self.publish_incidents(index);
        }
    }

    fn samples(&self, key: &TargetKey, metric: &str, since: i64) -> Vec<(i64, f32)> {
        let Some(target) = self.by_key.get(key).and_then(|index| self.targets[*index].as_ref()) else {
            return Vec::new();
        };
        let Some(metric) = target.metrics.index(metric) else { return Vec::new() };
        target
            .recent
            .iter()
            .filter(|(at, values)| *at >= since && values.get(metric).is_some_and(|value| !value.is_nan()))
            .map(|(at, values)| (*at, values[metric]))
            .collect()
    }

    fn learn(&mut self, index: usize, anew: bool) {
        let Some(target) = self.targets[index].as_mut() else { return };
        if std::mem::replace(&mut target.learning, true) {
            return;
        }
        tokio::spawn(learning::learn_target(
            self.store.clone(),
            target.series.key.clone(),
            target.settings.clone(),
            index,
            target.incarnation,
            jiff::Timestamp::now().as_millisecond(),
            anew,
            self.lessons.clone(),
        ));
    }

    fn learnt(&mut self, lessons: Lessons) {
        let Some(Some(target)) = self.targets.get_mut(lessons.target) else { return };
        if target.incarnation != lessons.incarnation {
            return;
        }
        target.learning = false;
        target.learnt_at = lessons
            .lessons
            .iter()
            .map(|lesson| lesson.at)
            .min()
            .unwrap_or_else(|| jiff::Timestamp::now().as_millisecond());
        target.ready = lessons.lessons.iter().any(|lesson| lesson.profile.ready);
        let learnt = lessons
            .lessons
            .iter()
            .filter_map(|lesson| {
                let meaning = target.metrics.get(lesson.metric)?;
                Some(Learnt {
                    metric: meaning.name.clone(),
                    unit: meaning.unit.clone(),
                    at: lesson.at,
                    statistics: lesson.profile.statistics,
                    days: lesson.profile.days,
                    confidence: lesson.profile.confidence,
                    ready: lesson.profile.ready,
                })
            })
            .collect();
        let key = target.settings.key.clone();
        for lesson in &lessons.lessons {
            // After the loss of the history the profile that is there is better than none for a week.
            if !lesson.profile.ready && self.shard.is_ready(lessons.target, lesson.metric) {
                continue;
            }
            self.shard.set_profile(lessons.target, lesson.metric, Some(&lesson.profile));
        }
        tracing::info!(target = %key, metrics = lessons.lessons.len(), "learnt what is normal");
        self.update_view(&key, |view| view.learnt = learnt);
    }

    fn housekeeping(&mut self) {
        let now = jiff::Timestamp::now().as_millisecond();
        for index in 0..self.targets.len() {
            let Some(target) = &self.targets[index] else { continue };
            let age = now - target.learnt_at;
            let refresh = i64::try_from(target.settings.learning.refresh_every().as_millis()).unwrap_or(i64::MAX);
            if target.learnt_at != 0 && (age >= refresh || (!target.ready && age >= UNREADY_RETRY_MS)) {
                self.learn(index, true);
            }
        }
        let windows = self
            .targets
            .iter()
            .flatten()
            .map(|target| (target.series.key.clone(), target.settings.learning.window_days))
            .collect();
        self.recorder.record(Entry::Retain { windows, now });
    }

    fn publish_incidents(&self, index: usize) {
        let Some(target) = &self.targets[index] else { return };
        let breached = |state| matches!(state, IncidentState::Pending | IncidentState::Open | IncidentState::Clearing);
        let is_breached = self.shard.states(index).any(|(_, state)| breached(state))
            // An open incident without data is no less open.
            || self.open.keys().any(|(key, _)| *key == target.settings.key);
        target.quiet.store(!is_breached, Ordering::Relaxed);
        let mut views = self.views.write().unwrap_or_else(PoisonError::into_inner);
        let Some(view) = views.get_mut(&target.settings.key) else { return };
        for (id, state) in self.shard.states(index) {
            let Some(rule) = self.by_id.get(&id) else { continue };
            if view.incidents.get(&rule.name) != Some(&state) {
                view.incidents.insert(rule.name.clone(), state);
            }
        }
        if view.incidents.len() > self.shard.states(index).count() {
            let names: Vec<&str> = self
                .shard
                .states(index)
                .filter_map(|(id, _)| self.by_id.get(&id))
                .map(|rule| rule.name.as_str())
                .collect();
            view.incidents.retain(|name, _: &mut IncidentState| names.contains(&name.as_str()));
        }
    }

    fn update_view(&self, key: &TargetKey, update: impl FnOnce(&mut TargetView)) {
        if let Some(view) = self.views.write().unwrap_or_else(PoisonError::into_inner).get_mut(key) {
            update(view);
        }
        let _ = self.noticed.send(Noticed::Target(key.clone()));
    }
}

fn series_of(key: &TargetKey, role: Role, metrics: &MetricSet) -> Series {
    let pod = match role {
        Role::Primary => key.pod.clone(),
        // No pod has such a name.
        Role::Replica => format!("{}@replica", key.pod),
    };
    Series {
        key: TargetKey { pod, ..key.clone() },
        metrics: metrics.iter().map(|metric| metric.name.clone()).collect(),
    }
}

fn expected_interval(target: &Target, metric: usize) -> i64 {
    let interval = match target.metrics.get(metric).map(|meaning| meaning.cadence) {
        Some(Cadence::Statements) => target.settings.statements_interval.max(target.settings.interval),
        _ => target.settings.interval,
    };
    i64::try_from(interval.as_millis()).unwrap_or(i64::MAX)
}

// Secrets have no equality of their own, on purpose.
fn same(left: &TargetSettings, right: &TargetSettings) -> bool {
    left.interval == right.interval
        && left.statements_interval == right.statements_interval
        && left.custom == right.custom
        && left.learning == right.learning
        && left.endpoint.host == right.endpoint.host
        && left.endpoint.port == right.endpoint.port
        && left.endpoint.database == right.endpoint.database
        && left.endpoint.username == right.endpoint.username
        && left.endpoint.password.expose_secret() == right.endpoint.password.expose_secret()
        && left.endpoint.tls == right.endpoint.tls
        && left.endpoint.ca == right.endpoint.ca
}
