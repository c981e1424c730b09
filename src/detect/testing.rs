//! A database for the tests of detectors: what is normal for it, and days of samples.

use super::sight::Around;
use super::{Detect, MetricDescriptor, MetricSet, Normal, Sight};
use crate::learn::{Growth, Stretch, Tails, hour_of_week};
use crate::measure::Cadence;

/// A Monday at midnight.
pub const MONDAY: i64 = 1_764_547_200_000;
pub const MINUTE: i64 = 60_000;
pub const HOUR: i64 = 60 * MINUTE;
pub const DAY: i64 = 24 * HOUR;

/// Centre of a metric by hour of the week, and its scale; `None`: no profile.
pub struct Profiled<F: Fn(usize, usize) -> Option<f64>> {
    pub centre: F,
    pub scale: f64,
    pub growth: Growth,
}

impl<F: Fn(usize, usize) -> Option<f64>> Profiled<F> {
    fn normal(&self, metric: usize, at: i64) -> Option<Normal<'_>> {
        let (moved, growth) = self.growth.at(at, hour_of_week(at));
        let centre = (self.centre)(metric, hour_of_week(at))? + moved;
        Some(Normal {
            centre,
            scale: self.scale,
            minimum: 0.0,
            maximum: f64::INFINITY,
            stretch: Stretch::NONE,
            tails: &Tails::GAUSSIAN,
            growth,
        })
    }
}

/// With the time of the sample, as a shard has it.
struct At<'a, F: Fn(usize, usize) -> Option<f64>>(&'a Profiled<F>, i64);

impl<F: Fn(usize, usize) -> Option<f64>> Around for At<'_, F> {
    fn normal_of(&self, metric: usize) -> Option<Normal<'_>> {
        self.0.normal(metric, self.1)
    }

    fn normal_at(&self, metric: usize, at: i64) -> Option<Normal<'_>> {
        self.0.normal(metric, at)
    }
}

/// A rule and one database, fed sample by sample.
pub struct Watch<'a, D: Detect, F: Fn(usize, usize) -> Option<f64>> {
    pub detector: &'a D,
    pub memory: D::Memory,
    pub profile: Profiled<F>,
}

impl<'a, D: Detect, F: Fn(usize, usize) -> Option<f64>> Watch<'a, D, F> {
    pub fn new(detector: &'a D, scale: f64, centre: F) -> Self {
        Self { detector, memory: D::Memory::default(), profile: Profiled { centre, scale, growth: Growth::NONE } }
    }

    /// Feeds the values of a round, the rule's metric being the first, and gives the verdict.
    pub fn round(&mut self, at: i64, values: &[f32]) -> Option<bool> {
        self.with(at, values, |detector, memory, sight| {
            detector.take(memory, sight);
            detector.exceeds(memory, sight)
        })
    }

    /// Feeds a value every so many ms from `begin` to before `end`, and gives the times of all verdicts.
    pub fn feed(&mut self, begin: i64, end: i64, every: i64, value: impl Fn(i64) -> f64) -> Vec<(i64, Option<bool>)> {
        let mut found = Vec::new();
        let mut at = begin;
        while at < end {
            found.push((at, self.round(at, &[value(at) as f32])));
            at += every;
        }
        found
    }

    pub fn with<T>(&mut self, at: i64, values: &[f32], ask: impl Fn(&D, &mut D::Memory, &Sight<'_>) -> T) -> T {
        let around = At(&self.profile, at);
        let value = values.first().copied().map_or(f64::NAN, f64::from);
        let normal = if D::NEEDS_PROFILE { around.normal_of(0) } else { None };
        let sight = Sight::new(at, 0, value).with_values(values).with_normal(normal).with_around(&around);
        ask(self.detector, &mut self.memory, &sight)
    }

    /// The evidence for the last value, as `name: what was found`.
    pub fn evidence(&mut self, at: i64, values: &[f32]) -> Vec<String> {
        let metrics = metrics();
        let evidence = self.with(at, values, |detector, memory, sight| detector.evidence(memory, sight, &metrics));
        evidence.iter().map(|evidence| format!("{}: {}", evidence.name, evidence.found)).collect()
    }

    pub fn confidence(&mut self, at: i64, values: &[f32]) -> f64 {
        self.with(at, values, |detector, memory, sight| detector.confidence(memory, sight))
    }
}

/// `latency` in ms and others.
pub fn metrics() -> MetricSet {
    let metric = |name: &str, unit: &str, cadence| MetricDescriptor {
        name: name.into(),
        unit: unit.into(),
        minimum: Some(0.0),
        maximum: None,
        cadence,
        share: None,
    };
    [
        metric("latency", "ms", Cadence::Light),
        metric("throughput", "/s", Cadence::Light),
        metric("size", "B", Cadence::Light),
        metric("reads", "/s", Cadence::Statements),
    ]
    .into_iter()
    .collect()
}

/// Noise without randomness: the same for the same number, even between -1 and 1.
pub fn noise(number: i64) -> f64 {
    let mut state = (number as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5DEE_CE66_D123_4567;
    state ^= state >> 29;
    state = state.wrapping_mul(0xBF58_476D_1CE4_E5B9);
    state ^= state >> 32;
    (state >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
}

/// A rule's spec with this detector.
pub fn spec(detect: serde_json::Value) -> crate::api::AnomalyRuleSpec {
    let spec = serde_json::json!({"baselineRef": {"name": "orders"}, "detect": detect});
    serde_json::from_value(spec).expect("a spec")
}
