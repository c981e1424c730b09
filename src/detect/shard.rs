//! The state of many targets, stepped by one task, one round at a time.
//!
//! What a round touches lies together: a target's series are adjacent in [`Columns`], its rules adjacent in its slot.
//! A sample costs array reads only; there is no allocation unless something changed, no hashing, no lookup by name.

use super::columns::Columns;
use super::{Band, ChangeKind, Event, Incident, Normal, Phase, Rule, Sight, Timing, Verdict};
use crate::api::IncidentState;
use crate::learn::{Profile, hour_of_week};
use crate::measure::{ABSENT, Round};

/// A rule for one target.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetRule {
    /// Stable id, chosen by the caller; unique among the target's rules.
    pub id: u64,
    /// The rule.
    pub rule: Rule,
    /// Time between two values of its metric, in ms: of the light rounds or of those over statements.
    pub expected_interval_ms: i64,
}

/// Something changed for one rule and target.
#[derive(Clone, Copy, Debug, PartialEq)]
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
    rules: Vec<Watched>,
}

/// A rule and its incident.
struct Watched {
    id: u64,
    rule: Rule,
    timing: Timing,
    incident: Incident,
}

impl Watched {
    fn new(rule: TargetRule, incident: Incident) -> Self {
        let TargetRule { id, rule, expected_interval_ms } = rule;
        let timing = Timing { for_ms: rule.for_ms, resolve_after_ms: rule.resolve_after_ms, expected_interval_ms };
        Self { id, rule, timing, incident }
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
        self.slots.push(Slot { first, room: metrics, metrics, in_use: true, rules: Vec::new() });
        self.slots.len() - 1
    }

    /// Removes a target with its profiles, rules and incidents; its index may be given to the next target.
    pub fn remove_target(&mut self, target: usize) {
        let Some(slot) = self.slots.get_mut(target).filter(|slot| slot.in_use) else { return };
        for metric in 0..slot.metrics {
            self.columns.set(slot.first + metric, None);
        }
        slot.rules = Vec::new();
        slot.metrics = 0;
        slot.in_use = false;
        self.free.push(target);
    }

    /// Sets or takes away the profile of one metric.
    pub fn set_profile(&mut self, target: usize, metric: usize, profile: Option<&Profile>) {
        if let Some(series) = self.series(target, metric) {
            self.columns.set(series, profile);
        }
    }

    /// Sets a target's rules. An id that stays and whose rule is unchanged keeps its incident; another expected
    /// interval alone does not change a rule. Gives back the open incidents that ended by this.
    pub fn set_rules(&mut self, target: usize, rules: Vec<TargetRule>) -> Vec<Dropped> {
        let Some(slot) = self.slots.get_mut(target).filter(|slot| slot.in_use) else { return Vec::new() };
        let mut before = std::mem::take(&mut slot.rules);
        for rule in rules {
            let same = before.iter().position(|watched| watched.id == rule.id && watched.rule == rule.rule);
            let incident = same.map_or_else(Incident::default, |index| before.swap_remove(index).incident);
            slot.rules.push(Watched::new(rule, incident));
        }
        let open = before.iter().filter(|watched| watched.incident.phase().is_open());
        open.filter_map(|watched| Some(Dropped { rule: watched.id, onset: watched.incident.onset()? })).collect()
    }

    /// Takes over an incident that was found open in the API at start: it does not open again, and resolves as any
    /// other. Its timers begin at zero. False when there is no such rule, the incident is open already, or the phase
    /// is not one of an open incident.
    pub fn restore(&mut self, target: usize, rule: u64, onset: i64, phase: Phase) -> bool {
        let slot = self.slots.get_mut(target);
        let watched = slot.and_then(|slot| slot.rules.iter_mut().find(|watched| watched.id == rule));
        let Some(watched) = watched.filter(|watched| phase.is_open() && !watched.incident.phase().is_open()) else {
            return false;
        };
        watched.incident = Incident::restored(phase, onset);
        true
    }

    /// Forgets the incident of one rule, as if nothing had been seen yet; those of other rules go on.
    pub fn forget(&mut self, target: usize, rule: u64) {
        let slot = self.slots.get_mut(target);
        if let Some(watched) = slot.and_then(|slot| slot.rules.iter_mut().find(|watched| watched.id == rule)) {
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

    fn step(&mut self, target: usize, at: i64, values: &[f32], changes: &mut Vec<Change>) {
        let Some(slot) = self.slots.get_mut(target) else { return };
        let values = &values[..values.len().min(slot.metrics)];
        let hour = hour_of_week(at);
        for watched in &mut slot.rules {
            let metric = watched.rule.metric;
            let value = values.get(metric).copied().unwrap_or(ABSENT);
            let mut sight = Sight { value: f64::from(value), normal: None };
            let event = if value.is_finite() {
                if watched.rule.detector.needs_profile() {
                    sight.normal = self.columns.normal(slot.first + metric, hour);
                }
                match watched.rule.breaches(&sight) {
                    Some(true) => Event::Breach,
                    Some(false) => Event::Clear,
                    None => Event::Unjudged,
                }
            } else {
                Event::Missing
            };
            let before = watched.incident;
            let step = before.step(at, event, &watched.timing);
            watched.incident = step.incident;
            if step.data.is_none() && step.phase.is_none() {
                continue;
            }
            let verdict = if event == Event::Missing { None } else { watched.rule.judge(at, &sight) };
            // The incident that ends with this step has its onset in the state before it.
            let of_step = step.incident.onset().or(before.onset()).unwrap_or(at);
            let of_data = before.onset().unwrap_or(at);
            let data = step.data.map(|kind| (kind, of_data));
            for (kind, onset) in data.into_iter().chain(step.phase.map(|kind| (kind, of_step))) {
                changes.push(Change { target, rule: watched.id, kind, onset, verdict });
            }
        }
    }

    /// The state of each of a target's rules, by id.
    pub fn states(&self, target: usize) -> impl Iterator<Item = (u64, IncidentState)> {
        self.incidents(target).map(|(id, incident)| (id, incident.state()))
    }

    /// The incident of each of a target's rules, by id.
    pub fn incidents(&self, target: usize) -> impl Iterator<Item = (u64, Incident)> {
        let slot = self.slots.get(target);
        slot.into_iter().flat_map(|slot| &slot.rules).map(|watched| (watched.id, watched.incident))
    }

    /// What a rule says of a value, without a step: for what is shown of an open incident.
    pub fn judge(&self, target: usize, rule: u64, at: i64, value: f32) -> Option<Verdict> {
        let watched = self.slots.get(target)?.rules.iter().find(|watched| watched.id == rule)?;
        let normal = self.normal(target, watched.rule.metric, at);
        value.is_finite().then(|| watched.rule.judge(at, &Sight { value: f64::from(value), normal }))?
    }

    /// The band of so many sigma to both sides at that time, within the physical bounds; `None` unless the metric's
    /// profile is ready.
    pub fn band(&self, target: usize, metric: usize, at: i64, sigmas: f64) -> Option<Band> {
        self.normal(target, metric, at).map(|normal| normal.band(sigmas))
    }

    /// What is normal for a metric at that time; `None` unless its profile is ready.
    pub fn normal(&self, target: usize, metric: usize, at: i64) -> Option<Normal<'_>> {
        self.columns.normal(self.series(target, metric)?, hour_of_week(at))
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
