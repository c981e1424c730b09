//! One round of one target.

use super::glance::Glance;
use super::watched::{Watched, heard, sight};
use super::{Change, Shard, Slot};
use crate::detect::surroundings::Surroundings;
use crate::detect::when::When;
use crate::detect::{Event, MetricSet};

/// A round, as every rule of its target sees it.
struct Seen<'a> {
    target: usize,
    at: i64,
    values: &'a [f32],
    surroundings: Surroundings<'a>,
    meaning: Option<&'a MetricSet>,
}

impl Shard {
    pub(super) fn step(&mut self, target: usize, at: i64, values: &[f32], changes: &mut Vec<Change>) {
        let Self { columns, latest, slots, .. } = self;
        let Some(slot) = slots.get_mut(target) else { return };
        // An exception may begin; and a clock that was set back may lie in one that was over.
        if at >= slot.quiet_until || at < slot.last_round {
            slot.rules_mut();
        }
        let Slot { first, metrics, rules, glances, clock, meaning, last_round, quiet_until, .. } = slot;
        let (first, values) = (*first, &values[..values.len().min(*metrics)]);
        latest.note(target, first, at, values);
        let when = When::new(clock.as_deref(), at);
        let surroundings = Surroundings::new(columns, latest, target, (first, *metrics), when);
        let seen = Seen { target, at, values, surroundings, meaning: meaning.as_deref() };
        for (watched, glance) in rules.iter_mut().zip(glances) {
            if !glance.passes(values, columns, first, when.hour) {
                watched.take_up(glance, *last_round);
                watched.step(&seen, changes);
                *glance = Glance::at(watched, columns, first);
                if let Some(until) = watched.exempt.quiet_until().filter(|_| glance.is_some()) {
                    *quiet_until = until.min(*quiet_until);
                }
            }
        }
        *last_round = at;
    }
}

impl Watched {
    /// Takes up what passed at a glance until then; the next value is looked at.
    pub fn take_up(&mut self, glance: &mut Glance, until: i64) {
        if std::mem::replace(glance, Glance::NONE).has_passed() {
            self.incident.passed(until);
        }
    }

    fn step(&mut self, seen: &Seen<'_>, changes: &mut Vec<Change>) {
        let Seen { target, at, values, surroundings, meaning } = *seen;
        let around = surroundings.of(self.rule.metric, self.expected_interval_ms());
        let edge = self.exempt.refresh(at, self.rule.metric, &self.rule.detector, self.incident.phase().is_open());
        let sight = sight(&self.rule, self.exempt.active(), at, values, &around);
        let event = match &sight {
            None => Event::Missing,
            Some(_) if self.exempt.is_suppressed() => Event::Suppressed,
            Some(_) if self.cold => Event::Unjudged,
            Some(sight) => {
                self.rule.detector.take(&mut self.memory, sight);
                match self.rule.breaches(&self.memory, sight) {
                    Some(true) if !self.is_expected(sight, &around) => Event::Breach,
                    Some(_) if self.is_clear_by_exception_only(at, values, &around) => Event::Suppressed,
                    Some(_) => Event::Clear,
                    None => Event::Unjudged,
                }
            }
        };
        let before = self.incident;
        let of_rule = edge.then(|| self.exempt.edge());
        for kind in of_rule.into_iter().chain(heard(&mut self.judged, event)) {
            let onset = before.onset().unwrap_or(at);
            changes.push(Change { target, rule: self.id, kind, onset, verdict: None, evidence: Vec::new() });
        }
        let step = before.step(at, event, &self.timing());
        self.incident = step.incident;
        if step.data.is_none() && step.phase.is_none() {
            return;
        }
        let judged = sight.filter(|_| !self.cold && !self.exempt.is_suppressed());
        let verdict = judged.and_then(|sight| self.rule.judge(&self.memory, &sight));
        let evidence = judged.filter(|_| verdict.is_some()).map_or_else(Vec::new, |sight| {
            let unknown = MetricSet::default();
            self.rule.detector.evidence(&self.memory, &sight, meaning.unwrap_or(&unknown))
        });
        // The incident that ends with this step has its onset in the state before it.
        let of_step = step.incident.onset().or(before.onset()).unwrap_or(at);
        let of_data = before.onset().unwrap_or(at);
        let data = step.data.map(|kind| (kind, of_data));
        for (kind, onset) in data.into_iter().chain(step.phase.map(|kind| (kind, of_step))) {
            changes.push(Change { target, rule: self.id, kind, onset, verdict, evidence: evidence.clone() });
        }
    }
}
