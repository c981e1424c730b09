//! The incident of one rule and one target, as a pure transition function.
//!
//! | from | when | to | change |
//! |---|---|---|---|
//! | normal | breach | pending; open when `for` is 0 | `Pending`; `Opened` |
//! | pending | breach, held for `for` | open | `Opened` |
//! | pending | clear | normal | `Normal` |
//! | open | clear | clearing; normal when `resolveAfter` is 0 | `Clearing`; `Resolved` |
//! | clearing | breach | open | `Reopened` |
//! | clearing | clear, held for `resolveAfter` | normal | `Resolved` |
//! | any | no value for 3 intervals | the same, frozen | `NoData` |
//! | any | a value again | the same | `DataBack`, then what the value says |
//! | any | a value that an exception suppresses | the same, frozen: no timer advances, nothing opens or is resolved | |
//!
//! **Timers** count time between one judged value and the next, each step by no more than twice the expected interval:
//! a value may be late, but a gap proves nothing about what went on in it. A gap that was told as `NoData` counts for
//! nothing at all. A value that no verdict could be given for (its profile is not ready) moves nothing.

use crate::api::IncidentState;

/// Intervals without a value after which a rule says `NoData`: one may be late, two are no chance.
const NO_DATA_INTERVALS: i64 = 3;

/// Expected intervals that one step between two values counts for at most.
const CREDITED_INTERVALS: i64 = 2;

/// Where an incident stands.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Phase {
    /// Nothing is wrong.
    #[default]
    Normal,
    /// Breached, not yet for long enough.
    Pending,
    /// An Anomaly is open.
    Open,
    /// The Anomaly is open, but the rule is clear again, not yet for long enough.
    Clearing,
}

impl Phase {
    /// Whether an Anomaly is open.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Open | Self::Clearing)
    }
}

/// What changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ChangeKind {
    /// First breach.
    Pending,
    /// Clear before the breach had lasted for `for`.
    Normal,
    /// The breach lasted: an Anomaly is to be opened.
    Opened,
    /// The open Anomaly's rule is clear again.
    Clearing,
    /// Breached again while clearing.
    Reopened,
    /// Clear for `resolveAfter`: the Anomaly is over.
    Resolved,
    /// No value for three intervals.
    NoData,
    /// A value again after `NoData`.
    DataBack,
    /// There are values, and no verdict yet: of the rule, not of its incident.
    Learning,
    /// The first verdict after that.
    Judged,
    /// An exception became active: of the rule, not of its incident.
    ExceptionBegan,
    /// No exception is active any more.
    ExceptionOver,
}

impl ChangeKind {
    /// The phase that it enters; `None` when it is about the data only.
    pub fn phase(self) -> Option<Phase> {
        match self {
            Self::Pending => Some(Phase::Pending),
            Self::Normal | Self::Resolved => Some(Phase::Normal),
            Self::Opened | Self::Reopened => Some(Phase::Open),
            Self::Clearing => Some(Phase::Clearing),
            Self::NoData
            | Self::DataBack
            | Self::Learning
            | Self::Judged
            | Self::ExceptionBegan
            | Self::ExceptionOver => None,
        }
    }

    /// Whether an Anomaly has something else to say now: it is opened, clearing, open again or over.
    pub fn concerns_anomaly(self) -> bool {
        self == Self::Resolved || self.phase().is_some_and(Phase::is_open)
    }
}

/// What a round says to a rule.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Event {
    /// The value breaches the rule.
    Breach,
    /// The value does not.
    Clear,
    /// There is a value, but no verdict: the profile is not ready.
    Unjudged,
    /// There is a value, and an exception says not to judge it.
    Suppressed,
    /// There is no value.
    Missing,
}

/// The times of a rule, in ms.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Timing {
    /// How long a breach must last before the incident opens.
    pub for_ms: i64,
    /// How long it must be clear before it is resolved.
    pub resolve_after_ms: i64,
    /// Time between two values of the metric.
    pub expected_interval_ms: i64,
}

/// The incident of one rule and one target.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Incident {
    phase: Phase,
    /// First breach of this incident; of the last one while normal.
    onset: i64,
    /// What the timer of this phase has counted, in ms: up to 49 days, and no rule waits for more than 30.
    held_ms: u32,
    /// Time of the last judged value that the next one may be counted from.
    judged_at: Instant,
    /// Time of the last value, or of the first round without one.
    seen_at: Instant,
    no_data: bool,
}

/// A time in ms since the Unix epoch, or none. In eight bytes: an incident is kept for each rule and target.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Instant(i64);

impl Instant {
    const NONE: Self = Self(i64::MIN);

    fn get(self) -> Option<i64> {
        (self != Self::NONE).then_some(self.0)
    }
}

impl Default for Instant {
    fn default() -> Self {
        Self::NONE
    }
}

/// One transition.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Step {
    /// The incident after it.
    pub incident: Incident,
    /// `NoData` or `DataBack`; comes before `phase`.
    pub data: Option<ChangeKind>,
    /// Change of phase.
    pub phase: Option<ChangeKind>,
}

impl Incident {
    /// An incident that is already known, with its timers at zero.
    pub fn restored(phase: Phase, onset: i64) -> Self {
        Self { phase, onset, ..Self::default() }
    }

    /// Where it stands.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Time of the first breach, milliseconds since the Unix epoch; `None` while normal.
    pub fn onset(&self) -> Option<i64> {
        (self.phase != Phase::Normal).then_some(self.onset)
    }

    /// Whether there was no value for three intervals.
    pub fn no_data(&self) -> bool {
        self.no_data
    }

    /// The state as a rule's status shows it: an open incident without data shows `NoData`.
    pub fn state(&self) -> IncidentState {
        match self.phase {
            _ if self.no_data => IncidentState::NoData,
            Phase::Normal => IncidentState::Normal,
            Phase::Pending => IncidentState::Pending,
            Phase::Open => IncidentState::Open,
            Phase::Clearing => IncidentState::Clearing,
        }
    }

    /// Takes up, while normal, that values have been clear until then, in ms since the Unix epoch: as if it had been
    /// stepped by the last of them.
    pub(super) fn passed(&mut self, until: i64) {
        (self.seen_at, self.judged_at) = (Instant(until), Instant(until));
    }

    /// The transition for one round.
    #[must_use]
    pub fn step(mut self, at: i64, event: Event, timing: &Timing) -> Step {
        let expected = timing.expected_interval_ms.max(0);
        if event == Event::Missing {
            let since = self.seen_at.get().unwrap_or(at);
            self.seen_at = Instant(since);
            let begins = !self.no_data && at.saturating_sub(since) >= expected.saturating_mul(NO_DATA_INTERVALS);
            if begins {
                self.no_data = true;
                self.judged_at = Instant::NONE;
            }
            return Step { incident: self, data: begins.then_some(ChangeKind::NoData), phase: None };
        }
        let data = self.no_data.then_some(ChangeKind::DataBack);
        self.no_data = false;
        self.seen_at = Instant(at);
        if event == Event::Suppressed {
            // What went on in it counts for nothing, nor does the way from its last value to the next one.
            self.judged_at = Instant::NONE;
        }
        if matches!(event, Event::Unjudged | Event::Suppressed) {
            return Step { incident: self, data, phase: None };
        }
        let passed = self.judged_at.get().map_or(0, |before| at.saturating_sub(before));
        // A clock that was set back counts nothing.
        let credit = passed.min(expected.saturating_mul(CREDITED_INTERVALS)).max(0);
        let credit = u32::try_from(credit).unwrap_or(u32::MAX);
        self.judged_at = Instant(at);
        let phase = self.judged(at, event == Event::Breach, credit, timing);
        Step { incident: self, data, phase }
    }

    fn judged(&mut self, at: i64, breach: bool, credit: u32, timing: &Timing) -> Option<ChangeKind> {
        match (self.phase, breach) {
            (Phase::Normal, false) | (Phase::Open, true) => None,
            (Phase::Normal, true) => {
                self.onset = at;
                let opens = timing.for_ms <= 0;
                Some(if opens {
                    self.enter(Phase::Open, ChangeKind::Opened)
                } else {
                    self.enter(Phase::Pending, ChangeKind::Pending)
                })
            }
            (Phase::Pending, true) => {
                self.held_ms = self.held_ms.saturating_add(credit);
                (i64::from(self.held_ms) >= timing.for_ms).then(|| self.enter(Phase::Open, ChangeKind::Opened))
            }
            (Phase::Pending, false) => Some(self.enter(Phase::Normal, ChangeKind::Normal)),
            (Phase::Open, false) if timing.resolve_after_ms <= 0 => {
                Some(self.enter(Phase::Normal, ChangeKind::Resolved))
            }
            (Phase::Open, false) => Some(self.enter(Phase::Clearing, ChangeKind::Clearing)),
            (Phase::Clearing, true) => Some(self.enter(Phase::Open, ChangeKind::Reopened)),
            (Phase::Clearing, false) => {
                self.held_ms = self.held_ms.saturating_add(credit);
                (i64::from(self.held_ms) >= timing.resolve_after_ms)
                    .then(|| self.enter(Phase::Normal, ChangeKind::Resolved))
            }
        }
    }

    fn enter(&mut self, phase: Phase, change: ChangeKind) -> ChangeKind {
        self.phase = phase;
        self.held_ms = 0;
        change
    }
}

#[cfg(test)]
mod tests;
