//! The state of many targets, stepped by one task, one round at a time.
//!
//! What a round touches lies together: a target's series are adjacent in [`Columns`], its rules adjacent in its slot.
//! A sample costs array reads only; there is no allocation unless something changed, no hashing, no lookup by name.
//!
//! A detector that remembers has its memory beside its rule. One that wants history is cold at first: its rule gives no
//! verdict until [`Shard::warm`] hands it a memory that was made of the history, and the rounds since.

mod glance;
mod step;
mod watched;

use std::sync::Arc;

use glance::Glance;
use watched::{Watched, sight};

use super::columns::Columns;
use super::exception::Active;
use super::latest::Latest;
use super::surroundings::Surroundings;
use super::when::When;
use super::{Band, ChangeKind, Evidence, Exception, Incident, MetricSet, Normal, Phase, Replay, Rule, Verdict, Warmed};
use crate::api::IncidentState;
use crate::learn::{Clock, Profile};
use crate::measure::Round;

/// A rule for one target.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetRule {
    /// Stable id, chosen by the caller; unique among the target's rules.
    pub id: u64,
    /// The rule; one for all the targets that it watches, so that it stays where it can be read quickly.
    pub rule: Arc<Rule>,
    /// Time between two values of its metric, in ms: of the light rounds or of those over statements.
    pub expected_interval_ms: i64,
}

/// Something changed for one rule and target.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Dense index of the target.
    pub target: usize,
    /// Id of the rule.
    pub rule: u64,
    /// What changed.
    pub kind: ChangeKind,
    /// First breach of the incident that it is about, milliseconds since the Unix epoch; the round's time when it is
    /// about none.
    pub onset: i64,
    /// The verdict that brought it; `None` for `NoData`, and for a `DataBack` over a profile that is not ready.
    pub verdict: Option<Verdict>,
    /// Why, for a person; empty without a verdict, and when there is nothing to say beside it.
    pub evidence: Vec<Evidence>,
}

/// An incident that was open when its rule was removed or changed: nothing will resolve it any more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Dropped {
    /// Id of the rule.
    pub rule: u64,
    /// First breach, milliseconds since the Unix epoch.
    pub onset: i64,
}

/// The state of many targets. An index of a target that is not there is passed over everywhere.
#[derive(Default)]
pub struct Shard {
    columns: Columns,
    latest: Latest,
    slots: Vec<Slot>,
    free: Vec<usize>,
}

/// A target's place: its adjacent series and its rules.
struct Slot {
    first: usize,
    /// Series that there is room for; at least `metrics`.
    room: usize,
    /// Series in use; 0 when the slot is free.
    metrics: usize,
    in_use: bool,
    /// What the values mean: for evidence only.
    meaning: Option<Arc<MetricSet>>,
    /// The clock that its profiles were learnt by; UTC when there is none.
    clock: Option<Arc<Clock>>,
    rules: Vec<Watched>,
    /// Of each rule.
    glances: Vec<Glance>,
    /// Time of the last round, in ms since the Unix epoch.
    last_round: i64,
    /// Until when glances hold: no exception begins before.
    quiet_until: i64,
}

impl Slot {
    /// Its rules as they stand, to be changed: each is stepped by the next round, whatever its value.
    fn rules_mut(&mut self) -> &mut Vec<Watched> {
        for (watched, glance) in self.rules.iter_mut().zip(&mut self.glances) {
            watched.take_up(glance, self.last_round);
        }
        self.quiet_until = i64::MAX;
        &mut self.rules
    }
}

impl Shard {
    /// A shard without targets.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a target with so many metrics and gives its dense index. Freed slots that are wide enough are used again.
    pub fn add_target(&mut self, metrics: usize) -> usize {
        let fits = self.free.iter().position(|target| self.slots[*target].room >= metrics);
        if let Some(target) = fits.map(|index| self.free.swap_remove(index)) {
            let slot = &mut self.slots[target];
            slot.metrics = metrics;
            slot.in_use = true;
            return target;
        }
        let first = self.columns.take(metrics);
        self.slots.push(Slot {
            first,
            room: metrics,
            metrics,
            in_use: true,
            meaning: None,
            clock: None,
            rules: Vec::new(),
            glances: Vec::new(),
            last_round: 0,
            quiet_until: i64::MAX,
        });
        self.slots.len() - 1
    }

    /// Removes a target with its profiles, rules and incidents; its index may be given to the next target.
    pub fn remove_target(&mut self, target: usize) {
        let Some(slot) = self.slots.get_mut(target).filter(|slot| slot.in_use) else { return };
        for metric in 0..slot.metrics {
            self.columns.set(slot.first + metric, None);
        }
        self.latest.leave(target, slot.first, slot.metrics);
        slot.rules = Vec::new();
        slot.glances = Vec::new();
        slot.meaning = None;
        slot.clock = None;
        slot.metrics = 0;
        slot.in_use = false;
        self.free.push(target);
    }

    /// Says what the values of a target mean: for evidence.
    pub fn describe(&mut self, target: usize, meaning: Arc<MetricSet>) {
        if let Some(slot) = self.slots.get_mut(target).filter(|slot| slot.in_use) {
            slot.meaning = Some(meaning);
        }
    }

    /// Says by which clock the profiles of a target were learnt; UTC without this.
    pub fn set_clock(&mut self, target: usize, clock: Arc<Clock>) {
        if let Some(slot) = self.slots.get_mut(target).filter(|slot| slot.in_use) {
            slot.clock = Some(clock);
        }
    }

    /// Puts a target into a group: the others in it are its peers. Their metrics have the same order.
    pub fn join(&mut self, target: usize, group: u64) {
        if let Some(slot) = self.slots.get(target).filter(|slot| slot.in_use) {
            self.latest.join(target, slot.first, slot.metrics, group);
        }
    }

    /// Sets or takes away the profile of one metric.
    pub fn set_profile(&mut self, target: usize, metric: usize, profile: Option<&Profile>) {
        if let Some(series) = self.series(target, metric) {
            self.columns.set(series, profile);
            // A glance goes by the profile.
            self.slots[target].rules_mut();
        }
    }

    /// Sets a target's rules. An id that stays and whose rule is unchanged keeps its incident; another expected
    /// interval alone does not change a rule. One whose metric and detector are unchanged keeps its memory. Gives back
    /// the open incidents that ended by this.
    pub fn set_rules(&mut self, target: usize, rules: Vec<TargetRule>) -> Vec<Dropped> {
        let Some(slot) = self.slots.get_mut(target).filter(|slot| slot.in_use) else { return Vec::new() };
        let mut before = std::mem::replace(slot.rules_mut(), Vec::with_capacity(rules.len()));
        slot.glances = vec![Glance::NONE; rules.len()];
        let ends = |old: &&Watched| !rules.iter().any(|new| new.id == old.id && new.rule == old.rule);
        let dropped = before.iter().filter(ends).filter_map(Watched::dropped).collect();
        for rule in rules {
            let mut watched = Watched::new(rule);
            if let Some(index) = before.iter().position(|old| old.id == watched.id) {
                watched.inherit(before.swap_remove(index));
            }
            slot.rules.push(watched);
        }
        dropped
    }

    /// The rules of a target whose memory waits for its history, by id.
    pub fn cold(&self, target: usize) -> impl Iterator<Item = (u64, &Rule)> {
        let rules = self.slots.get(target).into_iter().flat_map(|slot| &slot.rules);
        rules.filter(|watched| watched.cold).map(|watched| (watched.id, &*watched.rule))
    }

    /// Hands a cold rule its memory ([`Replay::finish`]), and the rounds that came since its history was read, in order
    /// of time: those that the replay had already are passed over. The rule gives verdicts from the next round on. False,
    /// and nothing happens, when the rule is not there, not cold, or another one than the replay was for.
    pub fn warm<'a>(
        &mut self,
        target: usize,
        rule: u64,
        warmed: Warmed,
        since: impl IntoIterator<Item = (i64, &'a [f32])>,
    ) -> bool {
        let Self { columns, latest, slots, .. } = self;
        let Some(slot) = slots.get_mut(target) else { return false };
        slot.rules_mut();
        let Slot { first, metrics, rules, clock, .. } = slot;
        let (first, metrics) = (*first, *metrics);
        let Some(watched) = rules.iter_mut().find(|watched| watched.id == rule) else { return false };
        if !watched.cold || watched.rule.metric != warmed.metric || watched.rule.detector != warmed.detector {
            return false;
        }
        watched.cold = false;
        watched.memory = warmed.memory;
        if watched.incident.phase().is_open() {
            watched.rule.detector.resume(&mut watched.memory);
        }
        let mut until = warmed.until;
        let Watched { rule, exempt, memory, .. } = watched;
        let (mut active, mut exempt_until) = (Active::None, i64::MIN);
        for (at, values) in since {
            if until.is_some_and(|until| at <= until) {
                continue;
            }
            if at >= exempt_until {
                (active, exempt_until) = exempt.at(at, rule.metric, &rule.detector);
            }
            // As live: what is known to be another load is no course to remember.
            if active == Active::Suppressed {
                continue;
            }
            let around = Surroundings::new(columns, latest, target, (first, metrics), When::new(clock.as_deref(), at));
            let values = &values[..values.len().min(metrics)];
            if let Some(sight) = sight(rule, &active, at, values, &around) {
                rule.detector.take(memory, &sight);
                until = Some(at);
            }
        }
        true
    }

    /// Forgets what a target's rules remember: it is another server now. Those that want history are cold again.
    pub fn cool(&mut self, target: usize) {
        for watched in self.slots.get_mut(target).into_iter().flat_map(Slot::rules_mut) {
            watched.memory = watched.rule.detector.memory();
            watched.cold = watched.rule.detector.history().is_some();
            watched.judged = None;
        }
    }

    /// Begins the replay of a rule's history, by what is normal for the target now: it runs beside the shard.
    pub fn replay(&self, target: usize, rule: &Rule) -> Option<Replay> {
        let slot = self.slots.get(target).filter(|slot| slot.in_use)?;
        let normals = self.columns.copy(slot.first, slot.metrics);
        Some(Replay::new(rule, slot.metrics, normals, slot.clock.clone()))
    }

    /// Takes over an incident that was found open in the API at start: it does not open again, and resolves as any
    /// other. Its timers begin at zero. False when there is no such rule, the incident is open already, or the phase
    /// is not one of an open incident.
    pub fn restore(&mut self, target: usize, rule: u64, onset: i64, phase: Phase) -> bool {
        let slot = self.slots.get_mut(target);
        let watched = slot.and_then(|slot| slot.rules_mut().iter_mut().find(|watched| watched.id == rule));
        let Some(watched) = watched.filter(|watched| phase.is_open() && !watched.incident.phase().is_open()) else {
            return false;
        };
        watched.incident = Incident::restored(phase, onset);
        watched.rule.detector.resume(&mut watched.memory);
        true
    }

    /// Forgets the incident of one rule, as if nothing had been seen yet; those of other rules go on.
    pub fn forget(&mut self, target: usize, rule: u64) {
        let slot = self.slots.get_mut(target);
        if let Some(watched) = slot.and_then(|slot| slot.rules_mut().iter_mut().find(|watched| watched.id == rule)) {
            watched.incident = Incident::default();
        }
    }

    /// Judges a round by the target's rules and appends what changed. Missing values count as absent.
    pub fn round(&mut self, round: &Round, changes: &mut Vec<Change>) {
        self.step(round.target, round.at, &round.values, changes);
    }

    /// A round that could not be had at all: every value is absent.
    pub fn missed(&mut self, target: usize, at: i64, changes: &mut Vec<Change>) {
        self.step(target, at, &[], changes);
    }

    /// The state of each of a target's rules, by id. One that is suppressed says so unless its incident is open, one that
    /// has values and never gave a verdict is learning.
    pub fn states(&self, target: usize) -> impl Iterator<Item = (u64, IncidentState)> {
        let slot = self.slots.get(target);
        slot.into_iter().flat_map(|slot| &slot.rules).map(|watched| {
            let silent = watched.exempt.is_suppressed() && !watched.incident.phase().is_open();
            let state = match watched.incident.state() {
                _ if silent => IncidentState::Suppressed,
                IncidentState::Normal if watched.judged == Some(false) => IncidentState::Learning,
                state => state,
            };
            (watched.id, state)
        })
    }

    /// Judges each of a target's rules by its exceptions from the next round on: known peaks and maintenance, by the
    /// rule's id. A rule that is not named has none.
    pub fn set_exceptions(&mut self, target: usize, exceptions: &[(u64, Arc<Exception>)]) {
        for watched in self.slots.get_mut(target).into_iter().flat_map(Slot::rules_mut) {
            let own = exceptions.iter().filter(|(rule, _)| *rule == watched.id);
            watched.exempt.set(own.map(|(_, exception)| exception.clone()).collect());
        }
    }

    /// Ids of a target's rules for which an exception was active in its last round.
    pub fn exempt(&self, target: usize) -> impl Iterator<Item = u64> {
        let rules = self.slots.get(target).map_or(&[][..], |slot| &slot.rules);
        rules.iter().filter(|watched| watched.exempt.is_active()).map(|watched| watched.id)
    }

    /// The incident of each of a target's rules, by id.
    pub fn incidents(&self, target: usize) -> impl Iterator<Item = (u64, Incident)> {
        let slot = self.slots.get(target);
        slot.into_iter().flat_map(|slot| &slot.rules).map(|watched| (watched.id, watched.incident))
    }

    /// What a rule says of a value, without a step. A detector that remembers judges by what it remembers now; one of all
    /// metrics has none but this value.
    #[cfg(test)]
    pub fn judge(&self, target: usize, rule: u64, at: i64, value: f32) -> Option<Verdict> {
        let (slot, watched) = self.watched(target, rule)?;
        let mut values = vec![crate::measure::ABSENT; slot.metrics];
        *values.get_mut(watched.rule.metric)? = value;
        self.judge_round(target, rule, at, &values)
    }

    /// What a rule says of a whole round that it was stepped by, for those who want to hear more than what changed.
    pub fn judge_round(&self, target: usize, rule: u64, at: i64, values: &[f32]) -> Option<Verdict> {
        let (slot, watched) = self.watched(target, rule)?;
        let when = When::new(slot.clock.as_deref(), at);
        let around = Surroundings::new(&self.columns, &self.latest, target, (slot.first, slot.metrics), when)
            .of(watched.rule.metric, watched.expected_interval_ms());
        let values = &values[..values.len().min(slot.metrics)];
        watched.rule.judge(&watched.memory, &sight(&watched.rule, watched.exempt.active(), at, values, &around)?)
    }

    /// A rule that has what it needs.
    fn watched(&self, target: usize, rule: u64) -> Option<(&Slot, &Watched)> {
        let slot = self.slots.get(target)?;
        let watched = slot.rules.iter().find(|watched| watched.id == rule).filter(|watched| !watched.cold)?;
        Some((slot, watched))
    }

    /// The band of so many sigma to both sides at that time, within the physical bounds; `None` unless the metric's
    /// profile is ready.
    pub fn band(&self, target: usize, metric: usize, at: i64, sigmas: f64) -> Option<Band> {
        self.normal(target, metric, at).map(|normal| normal.band(sigmas))
    }

    /// What is normal for a metric at that time; `None` unless its profile is ready.
    pub fn normal(&self, target: usize, metric: usize, at: i64) -> Option<Normal<'_>> {
        let clock = self.slots.get(target)?.clock.as_deref();
        self.columns.normal(self.series(target, metric)?, &When::new(clock, at))
    }

    /// Whether a metric's profile is there and ready: without that, a rule that needs it gives no verdict.
    pub fn is_ready(&self, target: usize, metric: usize) -> bool {
        self.series(target, metric).is_some_and(|series| self.columns.is_ready(series))
    }

    fn series(&self, target: usize, metric: usize) -> Option<usize> {
        let slot = self.slots.get(target)?;
        (metric < slot.metrics).then_some(slot.first + metric)
    }
}

#[cfg(test)]
mod tests;
