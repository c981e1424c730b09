//! Laws that hold for every detector, tested over all of them: a verdict depends on no later sample, the same samples give
//! the same verdicts, and no number whatever makes one panic or doubt that a confidence lies between 0 and 1.

use proptest::prelude::*;
use serde_json::json;

use super::sight::{Around, Peer};
use super::testing::{DAY, HOUR, MINUTE, MONDAY, noise, spec};
use super::{Change, ChangeKind, Detector, MetricSet, Normal, Rule, Shard, Sight, TargetRule, resolve};
use crate::learn::{HOURS_OF_WEEK, Profile, Statistics, Stretch, Tails, hour_of_week};
use crate::measure::{ABSENT, BUILT_IN, Round};

const STEP: i64 = 10 * MINUTE;
/// Other databases of the Baseline.
const OTHERS: usize = 4;
const SCALE: f32 = 5.0;

/// One of each detector at least.
fn rules() -> Vec<(u64, Rule)> {
    let written = [
        json!({"metric": "response_time", "sigma": {"above": 3, "below": 3}}),
        json!({"metric": "response_time", "limit": {"above": "120ms"}}),
        json!({"metric": "response_time", "trend": {"over": "24h"}}),
        json!({"metric": "response_time", "degradation": {"over": "3d", "limit": "900ms"}}),
        json!({"metric": "response_time", "pattern": {}}),
        json!({"multivariate": {}}),
        json!({"metric": "response_time", "peers": {}}),
        json!({"metric": "connection_count", "peers": {"above": 3}}),
        json!({"metric": "response_time", "expression": "current > baseline_mean + 3 * baseline_std_dev"}),
        json!({"queryMix": {"over": "1h"}}),
        json!({"metric": "disk_usage", "forecast": {"above": "10GiB"}}),
    ];
    let metrics = MetricSet::new(&[]);
    let rules: Vec<(u64, Rule)> =
        (0..).zip(written).map(|(id, written)| (id, resolve(&spec(written), &metrics).unwrap())).collect();
    for name in Detector::NAMES {
        assert!(rules.iter().any(|(_, rule)| rule.detector.name() == *name), "{name} is not tested");
    }
    rules
}

fn level(metric: usize, hour: usize) -> f32 {
    let day = ((hour % 24) as f32 / 24.0 * std::f32::consts::TAU).sin();
    100.0 + 10.0 * metric as f32 + 20.0 * day
}

/// Days of values with a day's season; from the eighth on a metric departs.
fn ordinary(round: i64, target: usize) -> Vec<f32> {
    let at = MONDAY + round * STEP;
    let value = |metric: usize| {
        let fresh: f64 = (0..4).map(|part| noise(((round * 8 + target as i64) * 64 + metric as i64) * 4 + part)).sum();
        let departs = target == 0 && metric == 0 && round > 7 * DAY / STEP && round % 90 > 60;
        level(metric, hour_of_week(at)) + SCALE * fresh as f32 + if departs { 80.0 } else { 0.0 }
    };
    (0..BUILT_IN.len()).map(value).collect()
}

fn shard() -> (Shard, usize, Vec<usize>) {
    let mut shard = Shard::new();
    let target = shard.add_target(BUILT_IN.len());
    let others: Vec<usize> = (0..OTHERS).map(|_| shard.add_target(BUILT_IN.len())).collect();
    for target in others.iter().chain([&target]) {
        shard.join(*target, 1);
        // Connections have no profile: their peers are compared as they are.
        for metric in (0..BUILT_IN.len()).filter(|metric| BUILT_IN[*metric].name != "connection_count") {
            let profile = Profile {
                centre: Box::new(std::array::from_fn(|hour| level(metric, hour))),
                scale: Box::new([SCALE; HOURS_OF_WEEK]),
                tails: Tails::GAUSSIAN,
                stretch: Stretch::NONE,
                statistics: Statistics::default(),
                days: 14.0,
                confidence: 0.9,
                ready: true,
                minimum: Some(0.0),
                maximum: None,
                growth: crate::learn::Growth::NONE,
                monthly: Vec::new(),
            };
            shard.set_profile(*target, metric, Some(&profile));
        }
    }
    let watched =
        rules().into_iter().map(|(id, rule)| TargetRule { id, rule: rule.into(), expected_interval_ms: STEP });
    shard.set_rules(target, watched.collect());
    let cold: Vec<(u64, Rule)> = shard.cold(target).map(|(id, rule)| (id, rule.clone())).collect();
    for (id, rule) in cold {
        let begun = shard.replay(target, &rule).unwrap();
        assert!(shard.warm(target, id, begun.finish(), []));
    }
    (shard, target, others)
}

/// Everything that is said of each round, as text. After a week each rule has said something.
fn said(rounds: &[(i64, Vec<f32>)]) -> Vec<String> {
    let (mut shard, target, others) = shard();
    let (mut said, mut judged) = (Vec::new(), vec![false; rules().len()]);
    for (index, (at, values)) in rounds.iter().enumerate() {
        let mut changes: Vec<Change> = Vec::new();
        for (number, other) in others.iter().enumerate() {
            let values = ordinary(index as i64, number + 1);
            shard.round(&Round { target: *other, at: *at, values }, &mut changes);
        }
        shard.round(&Round { target, at: *at, values: values.clone() }, &mut changes);
        let verdicts = rules().len() as u64;
        let verdicts: Vec<_> = (0..verdicts).map(|rule| shard.judge_round(target, rule, *at, values)).collect();
        judged.iter_mut().zip(&verdicts).for_each(|(judged, verdict)| *judged |= verdict.is_some());
        for verdict in verdicts.iter().flatten() {
            assert!((0.0..=1.0).contains(&verdict.confidence), "{verdict:?}");
        }
        said.push(format!("{verdicts:?} {changes:?}"));
    }
    assert!(rounds.len() < days(8).len() || judged.iter().all(|judged| *judged), "{judged:?}");
    said
}

fn days(days: i64) -> Vec<(i64, Vec<f32>)> {
    (0..days * DAY / STEP).map(|round| (MONDAY + round * STEP, ordinary(round, 0))).collect()
}

#[test]
fn every_detector_says_the_same_of_a_prefix_and_the_same_again() {
    let rounds = days(9);
    let all = said(&rounds);
    assert_eq!(said(&rounds), all, "the same samples again");
    for cut in [rounds.len() / 3, 8 * rounds.len() / 9 + 20] {
        // What comes after is another world altogether.
        let mut other = rounds[..cut].to_vec();
        other.extend((0..30).map(|index| (rounds[cut - 1].0 + (index + 1) * HOUR, vec![1e9; BUILT_IN.len()])));
        assert_eq!(said(&other)[..cut], all[..cut], "{cut}");
    }
    let breaches = all.iter().filter(|said| said.contains("breach: true")).count();
    assert!(breaches > 20, "something is judged: {breaches}");
}

#[test]
fn no_incident_opens_without_evidence() {
    let (mut shard, target, others) = shard();
    let mut opened = vec![false; rules().len()];
    for (index, (at, values)) in days(9).into_iter().enumerate() {
        let mut changes: Vec<Change> = Vec::new();
        for (number, other) in others.iter().enumerate() {
            let values = ordinary(index as i64, number + 1);
            shard.round(&Round { target: *other, at, values }, &mut changes);
        }
        shard.round(&Round { target, at, values }, &mut changes);
        for change in changes.into_iter().filter(|change| change.kind == ChangeKind::Opened) {
            opened[change.rule as usize] = true;
            assert!(!change.evidence.is_empty(), "{change:?}");
        }
    }
    assert!(opened.iter().filter(|opened| **opened).count() >= 5, "{opened:?}");
}

/// Numbers that arithmetic stumbles over.
const HOSTILE: [f64; 14] = [
    f64::NAN,
    f64::INFINITY,
    f64::NEG_INFINITY,
    1e308,
    -1e308,
    3.4e38,
    -3.4e38,
    1e-45,
    5e-324,
    f64::MIN_POSITIVE,
    -0.0,
    0.0,
    1e30,
    -1.0,
];

#[test]
fn hostile_numbers_after_a_week_of_life_panic_nowhere() {
    let mut rounds = days(8);
    let begin = rounds.last().map_or(MONDAY, |(at, _)| *at);
    for index in 0..200 {
        let mut values = ordinary(index, 0);
        for (metric, value) in values.iter_mut().enumerate() {
            if !(index as usize + metric).is_multiple_of(3) {
                *value = HOSTILE[(index as usize * 5 + metric * 3) % HOSTILE.len()] as f32;
            }
        }
        rounds.push((begin + (index + 1) * STEP, values));
    }
    assert_eq!(said(&rounds).len(), rounds.len());
}

/// Peers and a normal of whatever numbers.
struct Wild {
    normal: Option<(f64, f64)>,
    peers: Vec<f64>,
}

impl Around for Wild {
    fn normal_of(&self, _: usize) -> Option<Normal<'_>> {
        let tails = &Tails::GAUSSIAN;
        let (minimum, maximum, stretch) = (f64::NEG_INFINITY, f64::INFINITY, Stretch::NONE);
        self.normal.map(|(centre, scale)| Normal { centre, scale, minimum, maximum, stretch, tails, growth: 0.0 })
    }

    fn normal_at(&self, metric: usize, _: i64) -> Option<Normal<'_>> {
        self.normal_of(metric)
    }

    fn each_peer(&self, take: &mut dyn FnMut(Peer<'_>)) {
        self.peers.iter().for_each(|value| take(Peer { value: *value, age_ms: 0, normal: self.normal_of(0) }));
    }
}

/// A finite number, often a hostile one. What is in a round and in a profile is of f32.
fn number() -> impl Strategy<Value = f64> {
    let hostile = (0..HOSTILE.len()).prop_map(|index| HOSTILE[index]).prop_filter("finite", |value| value.is_finite());
    let of_f32 = (0..HOSTILE.len())
        .prop_map(|index| f64::from(HOSTILE[index] as f32))
        .prop_filter("finite", |value| value.is_finite());
    prop_oneof![
        hostile,
        of_f32,
        -1e3..1e3_f64,
        any::<f32>().prop_filter("finite", |value| value.is_finite()).prop_map(f64::from)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_number_and_no_time_makes_a_detector_panic(
        samples in prop::collection::vec((-2_i64..9_000_000, number(), any::<bool>()), 1..120),
        centre in number(), scale in prop_oneof![Just(1e-45), Just(1e30), 1e-3..1e3_f64], has_normal in any::<bool>(),
        peers in prop::collection::vec(number(), 0..6),
    ) {
        let metrics = MetricSet::new(&[]);
        let around = Wild { normal: has_normal.then_some((centre, scale)), peers };
        for (_, rule) in rules() {
            let (mut memory, mut at) = (rule.detector.memory(), MONDAY);
            for (step, value, present) in &samples {
                at += step;
                let values = vec![if *present { *value as f32 } else { ABSENT }; BUILT_IN.len()];
                let sight = Sight::new(at, rule.metric, *value).with_values(&values);
                let sight = sight.with_normal(around.normal_of(0)).with_around(&around);
                rule.detector.take(&mut memory, &sight);
                rule.detector.exceeds(&memory, &sight);
                let sure = rule.detector.confidence(&memory, &sight);
                prop_assert!((0.0..=1.0).contains(&sure), "{}: {sure}", rule.detector.name());
                rule.detector.band(&memory, &sight);
                rule.detector.carrier(&memory, &sight);
                rule.detector.evidence(&memory, &sight, &metrics);
            }
        }
    }
}
