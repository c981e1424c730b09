//! A memory made of history, beside the shard.

use std::sync::Arc;

use super::columns::AllHours;
use super::sight::Around;
use super::when::When;
use super::{Detector, Memory, Normal, Rule, Sight};
use crate::learn::{Clock, MonthlySlot};

/// What is known of one metric of a target, as it was when the replay began.
pub(super) struct Known {
    /// By hour of the week.
    pub centre: Vec<f32>,
    pub scale: Vec<f32>,
    pub all_hours: AllHours,
    pub monthly: Vec<MonthlySlot>,
}

/// Feeds history to the memory of one rule and target. Needs nothing of the shard: it may run on another thread.
pub struct Replay {
    metric: usize,
    metrics: usize,
    detector: Detector,
    known: Vec<Option<Known>>,
    /// UTC when there is none.
    clock: Option<Arc<Clock>>,
    memory: Memory,
    until: Option<i64>,
    /// A whole round, for a detector of one metric.
    room: Vec<f32>,
}

/// A memory that has taken its history: for [`super::Shard::warm`].
pub struct Warmed {
    pub(super) metric: usize,
    pub(super) detector: Detector,
    pub(super) memory: Memory,
    /// Time of the last sample in it.
    pub(super) until: Option<i64>,
}

struct Snapshot<'a> {
    known: &'a [Option<Known>],
    when: When<'a>,
}

impl Around for Snapshot<'_> {
    fn normal_of(&self, metric: usize) -> Option<Normal<'_>> {
        self.normal_at(metric, self.when.at)
    }

    fn normal_at(&self, metric: usize, at: i64) -> Option<Normal<'_>> {
        let when = self.when.moved_to(at);
        let hour = when.hour;
        let known = self.known.get(metric)?.as_ref()?;
        let normal = known.all_hours.normal(&when, *known.centre.get(hour)?, *known.scale.get(hour)?);
        Some(if known.monthly.is_empty() { normal } else { normal.in_month(&known.monthly, &when) })
    }

    fn local(&self, at: i64) -> i64 {
        self.when.local(at)
    }
}

impl Replay {
    pub(super) fn new(rule: &Rule, metrics: usize, known: Vec<Option<Known>>, clock: Option<Arc<Clock>>) -> Self {
        let (detector, memory) = (rule.detector.clone(), rule.detector.memory());
        Self {
            metric: rule.metric,
            metrics,
            detector,
            known,
            clock,
            memory,
            until: None,
            room: vec![f32::NAN; metrics],
        }
    }

    /// How much history is wanted, in ms.
    pub fn history(&self) -> i64 {
        self.detector.history().unwrap_or(0)
    }

    /// Whether it begins with values of hours ([`Self::take`]) where samples do not reach back as far as is wanted.
    pub fn takes_hours(&self) -> bool {
        self.detector.takes_hours() && !self.detector.judges_all()
    }

    /// Indices of the metrics whose history is wanted.
    pub fn wants(&self) -> Vec<usize> {
        if self.detector.judges_all() { (0..self.metrics).collect() } else { vec![self.metric] }
    }

    /// Indices of the metrics that are judged, which may be fewer: another load of these is no course to remember.
    pub fn judges(&self) -> Vec<usize> {
        self.detector.judged(self.metric)
    }

    /// Takes a round of the wanted metrics, in their order; `NaN` where there is none. Rounds come in order of time:
    /// one that is not later than the one before is passed over.
    pub fn take(&mut self, at: i64, values: &[f32]) {
        if self.until.is_some_and(|until| at <= until) || !values.iter().any(|value| value.is_finite()) {
            return;
        }
        self.until = Some(at);
        let snapshot = Snapshot { known: &self.known, when: When::new(self.clock.as_deref(), at) };
        let normal = if self.detector.needs_profile() { snapshot.normal_of(self.metric) } else { None };
        let (value, values) = if self.detector.judges_all() {
            (values.get(self.metric).copied(), values)
        } else {
            let value = values.first().copied();
            if let (Some(place), Some(value)) = (self.room.get_mut(self.metric), value) {
                *place = value;
            }
            (value, self.room.as_slice())
        };
        let value = value.filter(|value| value.is_finite()).map_or(f64::NAN, f64::from);
        let sight = Sight::new(at, self.metric, value).with_values(values).with_normal(normal).with_around(&snapshot);
        self.detector.take(&mut self.memory, &sight);
    }

    /// The memory, to be handed to the shard.
    pub fn finish(self) -> Warmed {
        Warmed { metric: self.metric, detector: self.detector, memory: self.memory, until: self.until }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::HOURS_OF_WEEK;

    #[test]
    fn what_is_normal_now_and_at_another_time_goes_by_the_same_clock() {
        let at = |text: &str| text.parse::<jiff::Timestamp>().map_or(i64::MIN, jiff::Timestamp::as_millisecond);
        let zone = jiff::tz::TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let clock = Clock::new(&zone, at("2026-03-01T00:00:00Z"), at("2026-12-01T00:00:00Z"));
        // The centre of an hour of the week is its number.
        let known = Known {
            centre: (0_u16..).take(HOURS_OF_WEEK).map(f32::from).collect(),
            scale: vec![1.0; HOURS_OF_WEEK],
            all_hours: AllHours::UNKNOWN,
            monthly: Vec::new(),
        };
        let known = [Some(known)];
        let monday = at("2026-03-30T07:30:00Z");
        let centres = |clock| {
            let snapshot = Snapshot { known: &known, when: When::new(clock, monday) };
            [snapshot.normal_of(0), snapshot.normal_at(0, monday)].map(|normal| normal.map(|normal| normal.centre))
        };
        assert_eq!(centres(None), [Some(7.0), Some(7.0)]);
        assert_eq!(centres(Some(&clock)), [Some(9.0), Some(9.0)]);
    }
}
