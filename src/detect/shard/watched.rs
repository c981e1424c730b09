//! A rule of one target: its incident, what it remembers, and what its detector sees of a round.

use std::sync::Arc;

use super::{Dropped, TargetRule};
use crate::detect::exception::{Active, Exempt, fitting};
use crate::detect::surroundings::Surroundings;
use crate::detect::{ChangeKind, Detector, Event, Incident, Memory, Rule, Sight, Timing};
use crate::measure::ABSENT;

/// A rule and its incident.
pub(super) struct Watched {
    pub id: u64,
    pub rule: Arc<Rule>,
    /// Time between two values of its metric, in ms; 49 days at most.
    interval_ms: u32,
    pub incident: Incident,
    pub memory: Memory,
    /// The memory waits for its history: no verdict.
    pub cold: bool,
    /// Whether it gave a verdict since it remembers what it does; `None` before the first value.
    pub judged: Option<bool>,
    pub exempt: Exempt,
}

impl Watched {
    pub fn new(rule: TargetRule) -> Self {
        let TargetRule { id, rule, expected_interval_ms } = rule;
        let (memory, cold) = (rule.detector.memory(), rule.detector.history().is_some());
        let (incident, exempt) = (Incident::default(), Exempt::default());
        let interval_ms = u32::try_from(expected_interval_ms.max(0)).unwrap_or(u32::MAX);
        Self { id, rule, interval_ms, incident, memory, cold, judged: None, exempt }
    }

    pub fn expected_interval_ms(&self) -> i64 {
        i64::from(self.interval_ms)
    }

    pub fn timing(&self) -> Timing {
        let Rule { for_ms, resolve_after_ms, .. } = *self.rule;
        Timing { for_ms, resolve_after_ms, expected_interval_ms: self.expected_interval_ms() }
    }

    /// Takes over what another state of the same rule has: the memory when it is judged in the same way, the incident
    /// when nothing at all is different.
    pub fn inherit(&mut self, before: Self) {
        self.exempt = before.exempt;
        if self.rule == before.rule {
            self.incident = before.incident;
        }
        if self.rule.metric == before.rule.metric && self.rule.detector == before.rule.detector {
            self.memory = before.memory;
            self.cold = before.cold;
            self.judged = before.judged;
        }
    }

    /// Whether a value beyond a fixed limit is expected now.
    pub fn is_expected(&self, sight: &Sight<'_>, around: &Surroundings<'_>) -> bool {
        let Detector::Limit(limit) = &self.rule.detector else { return false };
        let above = limit.above.is_some_and(|above| sight.value > above);
        let (active, metric) = (self.exempt.active(), sight.metric);
        self.exempt.is_active() && active.covers(metric, sight.value, around.normal(metric).as_ref(), above)
    }

    /// Whether an incident is open since before an exception, and its value is clear because the exception expects it there:
    /// that proves no recovery.
    pub fn is_clear_by_exception_only(&self, at: i64, values: &[f32], around: &Surroundings<'_>) -> bool {
        self.exempt.found_open()
            && self.incident.phase().is_open()
            && sight(&self.rule, &Active::None, at, values, around)
                .is_some_and(|as_ever| self.rule.breaches(&self.memory, &as_ever) == Some(true))
    }

    pub fn dropped(&self) -> Option<Dropped> {
        let onset = self.incident.onset().filter(|_| self.incident.phase().is_open())?;
        Some(Dropped { rule: self.id, onset })
    }
}

/// Notes in [`Watched::judged`] whether there was a verdict; what changed by that.
pub(super) fn heard(judged: &mut Option<bool>, event: Event) -> Option<ChangeKind> {
    let now = match event {
        Event::Breach | Event::Clear => true,
        Event::Unjudged => judged.unwrap_or(false),
        Event::Missing | Event::Suppressed => return None,
    };
    match (judged.replace(now), now) {
        (None, false) => Some(ChangeKind::Learning),
        (Some(false), true) => Some(ChangeKind::Judged),
        _ => None,
    }
}

/// What a rule's detector sees of a round while that is active; `None` when there is nothing to see.
pub(super) fn sight<'a>(
    rule: &Rule,
    active: &'a Active,
    at: i64,
    values: &'a [f32],
    around: &'a Surroundings<'a>,
) -> Option<Sight<'a>> {
    let metric = rule.metric;
    let value = values.get(metric).copied().unwrap_or(ABSENT);
    let seen = value.is_finite() || rule.detector.judges_all() && values.iter().any(|one| one.is_finite());
    seen.then(|| {
        let value = if value.is_finite() { f64::from(value) } else { f64::NAN };
        let learnt = if rule.detector.needs_profile() { around.normal(metric) } else { None };
        let normal = learnt.map(|learnt| fitting(active.expected(), metric, learnt, value));
        let sight = Sight::new(at, metric, value).with_values(values).with_normal(normal).with_around(around);
        sight.with_expected(active.expected())
    })
}
