//! A memory made of history, beside the shard.

use std::sync::Arc;

use super::sight::{Around, Peer};
use super::{Detector, Memory, Normal, Rule, Sight};
use crate::learn::{Clock, Stretch, Tails, hour_of_week};

/// What is known of one metric of a target, as it was when the replay began.
pub(super) struct Known {
    /// By hour of the week.
    pub centre: Vec<f32>,
    pub scale: Vec<f32>,
    pub minimum: f32,
    pub maximum: f32,
    pub confidence: f32,
    pub stretch: Stretch,
    pub tails: Tails,
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
    hour: usize,
}

impl Around for Snapshot<'_> {
    fn normal_of(&self, metric: usize) -> Option<Normal<'_>> {
        self.in_hour(metric, self.hour)
    }

    fn normal_at(&self, metric: usize, at: i64) -> Option<Normal<'_>> {
        self.in_hour(metric, hour_of_week(at))
    }

    fn each_peer(&self, _: &mut dyn FnMut(Peer<'_>)) {}
}

impl Snapshot<'_> {
    fn in_hour(&self, metric: usize, hour: usize) -> Option<Normal<'_>> {
        let known = self.known.get(metric)?.as_ref()?;
        Some(Normal {
            centre: f64::from(*known.centre.get(hour)?),
            scale: f64::from(*known.scale.get(hour)?),
            minimum: f64::from(known.minimum),
            maximum: f64::from(known.maximum),
            confidence: f64::from(known.confidence),
            stretch: known.stretch,
            tails: &known.tails,
        })
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

    /// Indices of the metrics whose history is wanted.
    pub fn wants(&self) -> Vec<usize> {
        if self.detector.judges_all() { (0..self.metrics).collect() } else { vec![self.metric] }
    }

    /// Takes a round of the wanted metrics, in their order; `NaN` where there is none. Rounds come in order of time:
    /// one that is not later than the one before is passed over.
    pub fn take(&mut self, at: i64, values: &[f32]) {
        if self.until.is_some_and(|until| at <= until) || !values.iter().any(|value| value.is_finite()) {
            return;
        }
        self.until = Some(at);
        let hour = self.clock.as_ref().map_or_else(|| hour_of_week(at), |clock| clock.hour_of_week(at));
        let snapshot = Snapshot { known: &self.known, hour };
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
