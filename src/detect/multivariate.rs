//! `detect.multivariate`: the metrics of a database judged together. Names those that carry a departure.
//!
//! Each metric's distance from what is normal at this hour of the week (where no profile is ready: the logarithm of its
//! size) is a part of one vector. How far that lies from where such vectors lie, given how they move together, is
//! [`Joint`]'s; how often normal life lies as far, and whether that is an incident, is a [`Vigil`]'s.

use super::resolve::metric_index;
use super::vigil::{Begins, Vigil, accepted_a_week};
use super::{Band, Detect, Evidence, FieldError, MetricSet, Sight};
use crate::api::AnomalyRuleSpec;
use crate::measure::ABSENT;
use crate::stats::{Joint, MOST_TOGETHER};

/// An hour of the week that profiles are compared in: a Monday, 00:00 UTC.
const REFERENCE_MS: i64 = 4 * 86_400_000;
/// Times that a scale is another one.
const ANOTHER: f32 = 2.0;
/// History that is replayed at most.
const HISTORY_MS: i64 = 14 * 86_400_000;
/// Half of the width of the shown band, in sigma: all but one sample in a thousand of Gaussian noise.
const BAND_SIGMAS: f64 = 3.29;
/// Least share of the distance that is worth naming a metric for.
const LEAST_SHARE: f32 = 0.1;
/// Metrics that are named at most.
const MOST_NAMED: usize = 5;

/// Metrics judged together.
#[derive(Clone, Debug, PartialEq)]
pub struct Multivariate {
    /// Indices of the metrics; at most [`MOST_TOGETHER`].
    metrics: Vec<usize>,
    /// False incidents a week that are put up with.
    accepted: f64,
}

/// What is remembered of one target: some 5 KB with 20 metrics, 20 KB with 64.
#[derive(Clone, Debug, Default)]
pub struct MultivariateMemory {
    joint: Joint,
    vigil: Vigil,
    /// What each metric is measured by, in the order of the detector's: the scale of its profile in one hour of the week,
    /// `NaN` where none is ready.
    measures: Vec<f32>,
    /// The parts of the last vector.
    parts: Vec<f32>,
    found: Option<Found>,
}

/// What was found of the last round.
#[derive(Clone, Debug)]
struct Found {
    /// Distance as that of a standard normal variable.
    distance: f64,
    /// Share of the distance, in the order of the detector's metrics.
    shares: Vec<f32>,
}

impl Multivariate {
    fn part(memory: &mut MultivariateMemory, place: usize, metric: usize, sight: &Sight<'_>) -> f32 {
        let Some(value) = sight.value_of(metric) else { return ABSENT };
        let measure = sight.normal_at(metric, REFERENCE_MS).map_or(ABSENT, |normal| normal.scale as f32);
        if let Some(before) = memory.measures.get_mut(place) {
            if is_another_measure(*before, measure) {
                memory.joint.forget(place);
            }
            *before = measure;
        }
        let part = match sight.normal_of(metric) {
            Some(normal) => normal.sigmas(value),
            None => value.signum() * value.abs().ln_1p(),
        };
        part as f32
    }

    /// The detector's metrics that carry the distance, most first, with their share.
    fn carriers(&self, memory: &MultivariateMemory) -> Vec<(usize, f32)> {
        let Some(found) = &memory.found else { return Vec::new() };
        let mut carriers: Vec<(usize, f32)> = (0..self.metrics.len())
            .filter_map(|place| Some((place, found.shares.get(place).copied().filter(|share| *share > 0.0)?)))
            .collect();
        carriers.sort_by(|left, right| right.1.total_cmp(&left.1).then(left.0.cmp(&right.0)));
        carriers
    }
}

impl Detect for Multivariate {
    type Memory = MultivariateMemory;

    const NAME: &'static str = "multivariate";
    const NEEDS_PROFILE: bool = false;
    const NEEDS: &'static str = "some 1,100 rounds of its metrics";
    const JUDGES_ALL: bool = true;

    fn resolve(
        spec: &AnomalyRuleSpec,
        metric: usize,
        metrics: &MetricSet,
    ) -> Option<Result<(usize, Self), FieldError>> {
        let written = spec.detect.multivariate.as_ref()?;
        let field = "detect.multivariate.metrics";
        let resolved = || {
            let chosen = if written.metrics.is_empty() {
                (0..metrics.len()).take(MOST_TOGETHER).collect()
            } else {
                let indices = written.metrics.iter().map(|name| metric_index(field, name, metrics));
                indices.collect::<Result<Vec<usize>, FieldError>>()?
            };
            if !(2..=MOST_TOGETHER).contains(&chosen.len()) {
                let allowed = format!("2 to {MOST_TOGETHER} metrics");
                return Err(FieldError::new(field, &format!("{} metrics", chosen.len()), allowed));
            }
            Ok((metric, Self { metrics: chosen, accepted: accepted_a_week(spec.sensitivity) }))
        };
        Some(resolved())
    }

    fn judged(&self, _: usize) -> Vec<usize> {
        self.metrics.clone()
    }

    fn history(&self) -> Option<i64> {
        Some(HISTORY_MS)
    }

    fn take(&self, memory: &mut MultivariateMemory, sight: &Sight<'_>) {
        let mut parts = std::mem::take(&mut memory.parts);
        parts.clear();
        memory.measures.resize(self.metrics.len(), ABSENT);
        for (place, metric) in self.metrics.iter().enumerate() {
            parts.push(Self::part(memory, place, *metric, sight));
        }
        let distance = memory.joint.distance(&parts);
        memory.found = distance.map(|found| Found { distance: found.normalised(), shares: found.shares });
        if let Some(found) = &memory.found {
            memory.vigil.take(sight.at, found.distance, self.accepted, Begins::ByItself);
        }
        memory.joint.take(&parts, memory.vigil.trust(sight.at));
        memory.parts = parts;
    }

    fn exceeds(&self, memory: &MultivariateMemory, _: &Sight<'_>) -> Option<bool> {
        memory.found.as_ref().and_then(|_| memory.vigil.is_open())
    }

    /// One less the probability that normal life lies as far; in an incident, that of the rarest in it.
    fn confidence(&self, memory: &MultivariateMemory, _: &Sight<'_>) -> f64 {
        let found = memory.found.as_ref().and_then(|_| memory.vigil.probability());
        found.map_or(0.0, |probability| 1.0 - probability)
    }

    fn sigmas(&self, memory: &MultivariateMemory, _: &Sight<'_>) -> Option<f64> {
        memory.found.as_ref().map(|found| found.distance)
    }

    /// Of the metric that carries most: it is the distance of all together that is judged, so that its value may lie
    /// within.
    fn band(&self, memory: &MultivariateMemory, sight: &Sight<'_>) -> Band {
        let normal = sight.normal_of(self.carrier(memory, sight));
        normal.map_or_else(Band::default, |normal| normal.band(BAND_SIGMAS))
    }

    fn carrier(&self, memory: &MultivariateMemory, sight: &Sight<'_>) -> usize {
        let most = self.carriers(memory).first().and_then(|(place, _)| self.metrics.get(*place).copied());
        most.or_else(|| self.metrics.iter().copied().find(|metric| sight.value_of(*metric).is_some()))
            .unwrap_or(sight.metric)
    }

    fn evidence(&self, memory: &MultivariateMemory, sight: &Sight<'_>, metrics: &MetricSet) -> Vec<Evidence> {
        let Some(found) = &memory.found else { return Vec::new() };
        let mut evidence = vec![Evidence::number("distance of all together", found.distance, "sigma")];
        evidence.extend(memory.vigil.probability().and_then(Evidence::rarity));
        let named = self.carriers(memory).into_iter().filter(|(_, share)| *share >= LEAST_SHARE).take(MOST_NAMED);
        for (place, share) in named {
            let Some(metric) = self.metrics.get(place).copied() else { continue };
            let described = metrics.get(metric);
            let name = described.map_or_else(|| format!("metric {metric}"), |metric| metric.name.clone());
            let unit = described.map_or("", |metric| metric.unit.as_str()).to_owned();
            let value = sight.value_of(metric).map_or_else(String::new, |value| {
                let value = Evidence::number("", value, unit.clone()).found;
                let usual = sight.normal_of(metric).map_or_else(String::new, |normal| {
                    format!(", normal {}", Evidence::number("", normal.centre, unit).found)
                });
                format!(": {value}{usual}")
            });
            evidence.push(Evidence::text(name, format!("{:.0} % of it{value}", f64::from(share) * 100.0)));
        }
        evidence
    }
}

/// Whether a profile is another one than before, or there is one now and was none: what was learnt of its sigmas is then
/// no measure of these. That of a metric that grows gets a far smaller scale once its growth is followed.
fn is_another_measure(before: f32, now: f32) -> bool {
    before.is_nan() != now.is_nan() || now > ANOTHER * before || before > ANOTHER * now
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{self, AnomalyRuleSpec, LocalReference, MultivariateDetector, Sensitivity, Severity};

    const ROUND_MS: i64 = 60_000;
    /// Metrics of its own that a Baseline may have: `customMetrics` in its schema.
    const MOST_CUSTOM: usize = 32;

    fn detector() -> Multivariate {
        Multivariate { metrics: vec![0, 1, 2], accepted: accepted_a_week(Sensitivity::Medium) }
    }

    fn noise(state: &mut u64) -> f32 {
        let uniform = || {
            *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (*state >> 40) as f32 / (1 << 24) as f32 - 0.5
        };
        std::iter::repeat_with(uniform).take(12).sum()
    }

    /// Throughput, connections that follow it, and a metric over statements that comes each sixth round.
    fn round(index: i64, state: &mut u64) -> [f32; 3] {
        let load = 100.0 * (1.0 + 0.2 * noise(state));
        let rare = if index % 6 == 0 { 5.0 + 0.5 * noise(state) } else { ABSENT };
        [load, load / 10.0 * (1.0 + 0.02 * noise(state)), rare]
    }

    fn take(memory: &mut MultivariateMemory, index: i64, values: &[f32]) -> Option<bool> {
        let sight = Sight::new(index * ROUND_MS, 0, f64::from(values[0])).with_values(values);
        detector().take(memory, &sight);
        detector().exceeds(memory, &sight)
    }

    fn learnt(rounds: i64) -> (MultivariateMemory, u64) {
        let (mut memory, mut state) = (MultivariateMemory::default(), 11);
        for index in 0..rounds {
            take(&mut memory, index, &round(index, &mut state));
        }
        (memory, state)
    }

    #[test]
    fn a_bond_that_breaks_within_the_range_of_each_metric_is_a_breach_that_names_them() {
        let (mut memory, _) = learnt(20_000);
        let broken = [120.0, 8.0, ABSENT];
        assert_eq!(take(&mut memory, 20_001, &broken), Some(true));
        let sight = Sight::new(0, 0, 120.0).with_values(&broken);
        let evidence = detector().evidence(&memory, &sight, &MetricSet::default());
        let names: Vec<&str> = evidence.iter().map(|one| one.name.as_ref()).collect();
        assert!(
            names.contains(&"metric 0") && names.contains(&"metric 1") && !names.contains(&"metric 2"),
            "{names:?}"
        );
        assert!([0, 1].contains(&detector().carrier(&memory, &sight)));
        assert!(detector().confidence(&memory, &sight) > 0.9999);
    }

    #[test]
    fn normal_life_is_no_breach_and_little_is_rare() {
        let (mut memory, mut state) = learnt(20_000);
        let (mut breaches, mut was, mut rare) = (0, false, 0);
        for index in 20_000..40_000 {
            let is = take(&mut memory, index, &round(index, &mut state)) == Some(true);
            breaches += usize::from(is && !was);
            was = is;
            rare += usize::from(memory.vigil.probability().is_some_and(|probability| probability < 1e-2));
        }
        assert!(breaches <= 1, "{breaches} in two weeks");
        assert!((100..=400).contains(&rare), "{rare} of 20,000; nominal are 200");
    }

    #[test]
    fn another_profile_of_a_metric_is_another_measure_and_no_breach() {
        use super::super::testing::Watch;
        let detector = detector();
        let scale = std::cell::Cell::new(20.0_f64);
        let mut state = 11;
        let mut watch = Watch::new(&detector, 1.0, |_, _| Some(100.0));
        for index in 0..9_000 {
            if index == 6_000 {
                scale.set(1.0);
            }
            watch.profile.scale = scale.get();
            let values = [100.0 + noise(&mut state), 90.0 + noise(&mut state), 110.0 + noise(&mut state)];
            assert_ne!(watch.round(index * ROUND_MS, &values), Some(true), "{index}");
        }
    }

    #[test]
    fn too_little_history_is_no_verdict_and_neither_is_an_empty_round() {
        let (mut memory, mut state) = learnt(500);
        assert_eq!(take(&mut memory, 500, &round(500, &mut state)), None);
        let (mut memory, _) = learnt(5_000);
        assert_eq!(take(&mut memory, 5_001, &[ABSENT; 3]), None);
    }

    #[test]
    fn a_breach_lasts_and_is_not_learnt_as_normal_within_hours() {
        let (mut memory, mut state) = learnt(20_000);
        for index in 20_000..20_360 {
            let [load, connections, rare] = round(index, &mut state);
            let breach = take(&mut memory, index, &[load, connections * 2.0, rare]);
            assert_eq!(breach, Some(true), "{index}: {:?}", memory.found);
        }
        for index in 20_360..20_420 {
            let breach = take(&mut memory, index, &round(index, &mut state));
            assert!(index < 20_400 || breach == Some(false), "{index}");
        }
    }

    #[test]
    fn metrics_that_are_not_known_or_too_few_are_named() {
        let metrics = MetricSet::new(&[]);
        let of = |names: &[&str]| {
            let mut spec = AnomalyRuleSpec {
                baseline_ref: LocalReference::default(),
                detect: api::Detect::default(),
                for_: "5m".into(),
                resolve_after: None,
                severity: Severity::default(),
                confidence: None,
                sensitivity: Sensitivity::default(),
                remediate: None,
            };
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            spec.detect.multivariate = Some(MultivariateDetector { metrics: names });
            Multivariate::resolve(&spec, 0, &metrics).unwrap()
        };
        assert_eq!(of(&[]).unwrap().1.metrics.len(), metrics.len());
        assert!(crate::measure::BUILT_IN.len() + MOST_CUSTOM <= MOST_TOGETHER, "none is left out");
        assert_eq!(of(&["throughput", "disk_io"]).unwrap().1.metrics.len(), 2);
        assert!(of(&["throughput", "nonsense"]).unwrap_err().to_string().starts_with("detect.multivariate.metrics"));
        assert!(of(&["throughput"]).unwrap_err().to_string().contains("2 to 64 metrics"));
    }
}
