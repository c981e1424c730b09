//! `detect.pattern`: a course of values that was not seen before. Wraps [`super::stream`], which judges a series from its
//! first sample on and learns as it goes; needs no profile.

use super::stream::{DEFAULT_THRESHOLD, Departure, Reading, Stream, StreamOptions};
use super::{Band, Detect, Evidence, FieldError, MetricSet, Sight};
use crate::api::{AnomalyRuleSpec, Sensitivity};

/// History that is replayed at most: a stream forgets what is older. The store has no more than the Baseline's window.
const HISTORY_MS: i64 = 14 * 86_400_000;
/// Factor between two sensitivities, on how rare a score has to be.
const STEP: f64 = 10.0;

/// How rare a score has to be in normal life, as a probability.
pub fn accepted_chance(sensitivity: Sensitivity) -> f64 {
    let usual = 1.0 - DEFAULT_THRESHOLD;
    match sensitivity {
        Sensitivity::Low => usual / STEP,
        Sensitivity::Medium => usual,
        Sensitivity::High => usual * STEP,
    }
}

/// A course that was not seen before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pattern {
    options: StreamOptions,
}

/// The stream of one target.
#[derive(Clone, Debug, Default)]
pub struct PatternMemory {
    stream: Option<Stream>,
    last: Option<Reading>,
    /// Number of the incident that is open in the stream, its greatest score, and what that spoke of.
    peak: Option<(u64, f64, Option<Departure>)>,
}

impl Detect for Pattern {
    type Memory = PatternMemory;

    const NAME: &'static str = "pattern";
    const NEEDS_PROFILE: bool = false;
    const NEEDS: &'static str = "150 values of its metric, or minutes where they come faster";

    fn resolve(
        spec: &AnomalyRuleSpec,
        metric: usize,
        metrics: &MetricSet,
    ) -> Option<Result<(usize, Self), FieldError>> {
        spec.detect.pattern.as_ref()?;
        let bounds = metrics.get(metric);
        let options = StreamOptions {
            threshold: 1.0 - accepted_chance(spec.sensitivity),
            minimum: bounds.and_then(|metric| metric.minimum),
            maximum: bounds.and_then(|metric| metric.maximum),
        };
        Some(Ok((metric, Self { options })))
    }

    fn uses_profiles(&self) -> bool {
        false
    }

    fn history(&self) -> Option<i64> {
        Some(HISTORY_MS)
    }

    fn take(&self, memory: &mut PatternMemory, sight: &Sight<'_>) {
        let stream = memory.stream.get_or_insert_with(|| Stream::new(self.options));
        let reading = stream.sample_by_clock(sight.at, sight.local(), sight.value);
        memory.peak = reading.incident.map(|incident| match memory.peak {
            Some((same, score, departure)) if same == incident && score >= reading.score => (same, score, departure),
            _ => (incident, reading.score, reading.departure),
        });
        memory.last = Some(reading);
    }

    fn exceeds(&self, memory: &PatternMemory, _: &Sight<'_>) -> Option<bool> {
        let reading = memory.last.filter(|reading| reading.expected.is_finite())?;
        Some(reading.incident.is_some())
    }

    /// The greatest score of the stream's open incident, else the score of the sample.
    fn confidence(&self, memory: &PatternMemory, _: &Sight<'_>) -> f64 {
        let score = memory.last.map_or(0.0, |reading| reading.score);
        memory.peak.map_or(score, |(_, peak, _)| peak.max(score))
    }

    fn band(&self, memory: &PatternMemory, _: &Sight<'_>) -> Band {
        let Some(reading) = memory.last else { return Band::default() };
        let known = |value: f64| Some(value).filter(|value| value.is_finite());
        Band { centre: known(reading.expected), lower: known(reading.lower), upper: known(reading.upper) }
    }

    fn evidence(&self, memory: &PatternMemory, sight: &Sight<'_>, metrics: &MetricSet) -> Vec<Evidence> {
        let Some(reading) = memory.last else { return Vec::new() };
        let unit = metrics.get(sight.metric).map_or_else(String::new, |metric| metric.unit.clone());
        let departure = memory.peak.map_or(reading.departure, |(_, _, departure)| departure);
        let kind = departure.map(Departure::sentence);
        let rarity = Evidence::rarity(1.0 - self.confidence(memory, sight));
        let expected = reading.expected.is_finite().then(|| Evidence::number("expected", reading.expected, unit));
        kind.map(|kind| Evidence::text("departure", kind)).into_iter().chain(rarity).chain(expected).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Alone, Around};
    use super::*;

    fn pattern(sensitivity: Sensitivity) -> Pattern {
        Pattern { options: StreamOptions { threshold: 1.0 - accepted_chance(sensitivity), ..StreamOptions::default() } }
    }

    /// Values of these minutes.
    fn feed(
        detector: &Pattern,
        memory: &mut PatternMemory,
        minutes: std::ops::Range<i32>,
        value: impl Fn(i32) -> f64,
    ) -> Option<bool> {
        let mut found = None;
        for minute in minutes {
            let sight = Sight::new(i64::from(minute) * 60_000, 0, value(minute));
            detector.take(memory, &sight);
            found = detector.exceeds(memory, &sight);
        }
        found
    }

    #[test]
    fn a_steady_course_that_leaps_is_a_breach_with_its_reason() {
        let detector = pattern(Sensitivity::Medium);
        let mut memory = PatternMemory::default();
        let steady = |minute: i32| 100.0 + f64::from(minute * 7_919 % 13) / 10.0;
        assert_eq!(feed(&detector, &mut memory, 0..3_000, steady), Some(false));
        assert_eq!(feed(&detector, &mut memory, 3_000..3_010, |minute| steady(minute) + 80.0), Some(true));
        let sight = Sight::new(0, 0, 180.0);
        assert!(detector.confidence(&memory, &sight) >= DEFAULT_THRESHOLD);
        let evidence = detector.evidence(&memory, &sight, &MetricSet::default());
        assert_eq!(evidence.first().map(|one| one.name.as_ref()), Some("departure"));
        assert!(detector.band(&memory, &sight).centre.is_some());
    }

    /// A clock that is set forward by an hour at an instant.
    struct SetForward(i64);

    impl Around for SetForward {
        fn local(&self, at: i64) -> i64 {
            if at < self.0 { at } else { at + 3_600_000 }
        }
    }

    #[test]
    fn office_hours_go_by_the_clock_of_the_baseline() {
        let detector = pattern(Sensitivity::Medium);
        let clock = SetForward(28 * 86_400_000);
        let breaches = |around: &dyn Around| {
            let mut memory = PatternMemory::default();
            let minutes = (0..30 * 288).map(|row| i64::from(row) * 300_000);
            let found = minutes.filter(|at| {
                let hour = clock.local(*at).rem_euclid(86_400_000) / 3_600_000;
                let noise = (*at / 300_000 * 7_919 % 1_013) as f64 / 100.0;
                let value = if (9..17).contains(&hour) { 200.0 } else { 50.0 } + noise;
                let sight = Sight::new(*at, 0, value).with_around(around);
                detector.take(&mut memory, &sight);
                *at >= clock.0 && detector.exceeds(&memory, &sight) == Some(true)
            });
            found.count()
        };
        assert_eq!(breaches(&clock), 0);
        assert!(breaches(&Alone) > 0);
    }

    #[test]
    fn nothing_seen_is_no_verdict() {
        let detector = pattern(Sensitivity::High);
        let memory = PatternMemory::default();
        assert_eq!(detector.exceeds(&memory, &Sight::new(0, 0, 1.0)), None);
        assert_eq!(detector.evidence(&memory, &Sight::new(0, 0, 1.0), &MetricSet::default()), []);
    }

    #[test]
    fn a_higher_sensitivity_takes_less_rare_scores() {
        let of = |sensitivity| pattern(sensitivity).options.threshold;
        assert!(of(Sensitivity::Low) > of(Sensitivity::Medium) && of(Sensitivity::Medium) > of(Sensitivity::High));
    }
}
