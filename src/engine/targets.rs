//! The databases that are watched: their collectors' lives, their roles, and the rules that apply to each.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, PoisonError};

use secrecy::ExposeSecret;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::handle::{Connection, TargetView};
use super::learning::{self, Progress};
use super::recorder::Series;
use super::settings::{BaselineKey, TargetSettings};
use super::task::{Task, now};
use crate::collect::{self, CollectorConfig};
use crate::detect::{MetricSet, TargetRule};
use crate::measure::{Cadence, Role, TargetKey};

/// A database that is watched.
pub(super) struct Target {
    pub settings: TargetSettings,
    /// Changes with every start and every change of role, so that lessons of another time are told apart.
    pub incarnation: u64,
    pub metrics: Arc<MetricSet>,
    /// Whether no rule is breached: told to the collector, which learns from quiet intervals only.
    pub quiet: Arc<AtomicBool>,
    pub series: Arc<Series>,
    /// Time and values of the last rounds: shared with the history.
    pub recent: VecDeque<(i64, Arc<[f32]>)>,
    pub progress: Progress,
    /// Rules whose history is being replayed.
    pub warming: HashSet<u64>,
    /// The last round of another role, ms since the Unix epoch: what came before is not of this one.
    pub other_role_until: Option<i64>,
    role: Role,
    cancel: CancellationToken,
}

impl Task {
    pub fn set_targets(&mut self, baseline: &BaselineKey, wanted: Vec<TargetSettings>) {
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
        self.shard.describe(index, metrics.clone());
        // Rules ask for the hour before anything is learnt.
        self.shard.set_clock(index, Arc::new(settings.learning.clock(now())));
        self.shard.join(index, self.groups.of(&settings.key, Role::Primary));
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
                exempt: Vec::new(),
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
            progress: Progress::default(),
            warming: HashSet::new(),
            other_role_until: None,
            settings,
        });
        self.attach_rules(index);
        self.learn(index, learning::Scope::Missing);
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

    /// What is normal for a primary is not for a replica: each role has a history and profiles of its own.
    pub fn take_role(&mut self, index: usize, role: Role) {
        let Some(target) = self.targets[index].as_mut().filter(|target| target.role != role) else { return };
        tracing::info!(target = %target.settings.key, ?role, "another role: judged by what was learnt of this one");
        target.role = role;
        target.series = Arc::new(series_of(&target.settings.key, role, &target.metrics));
        target.progress = Progress::default();
        self.next_incarnation += 1;
        target.incarnation = self.next_incarnation;
        target.warming.clear();
        target.other_role_until = target.recent.back().map(|(at, _)| *at);
        self.shard.join(index, self.groups.of(&target.settings.key, role));
        self.shard.cool(index);
        for metric in 0..target.metrics.len() {
            self.shard.set_profile(index, metric, None);
        }
        self.update_view(index, |view| view.learnt.clear());
        self.learn(index, learning::Scope::Missing);
    }

    /// Applies the rules as they are now to every target.
    pub fn attach_all(&mut self) {
        for index in 0..self.targets.len() {
            self.attach_rules(index);
        }
    }

    fn attach_rules(&mut self, index: usize) {
        let Some(target) = &self.targets[index] else { return };
        let key = target.settings.key.clone();
        let rules = self.rules.for_target(&key);
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
            if let Some((onset, phase)) = self.rules.open(&key, *id)
                && self.shard.restore(index, *id, onset, phase)
            {
                tracing::info!(target = %key, rule = settings.name, "an open incident goes on");
            }
        }
        self.attach_exceptions(index);
        self.publish_incidents(index);
        self.warm(index);
    }
}

/// The history of a target in a role.
pub(super) fn series_of(key: &TargetKey, role: Role, metrics: &MetricSet) -> Series {
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

/// Time between two values of a metric, in ms.
pub(super) fn expected_interval(target: &Target, metric: usize) -> i64 {
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
