//! What each kind of rule costs a sample: one rule of it for each of some targets, warmed with the history it wants.

use std::time::Duration;

use anyhow::{Context as _, Result};
use dbmedic::api::AnomalyRuleSpec;
use dbmedic::detect::{Detector, MetricSet, Shard, TargetRule, resolve};
use dbmedic::measure::Round;

use super::generate::Random;
use super::machine::own_processor_time;
use super::scoring;
use super::table::{Figure, progress};

const TARGETS: usize = 20;
const INTERVAL_MS: i64 = 10_000;
/// Two hours, so that what is done once in many samples counts as well.
const ROUNDS: i64 = 720;
/// Rounds of history at most: beyond, memories are full.
const HISTORY_ROUNDS: i64 = 8640;

/// `spec.detect` of a rule of each kind that is judged sample by sample.
const RULES: [(&str, &str); 10] = [
    ("limit", "{metric: response_time, limit: {above: 500}}"),
    ("sigma", "{metric: response_time, sigma: {above: 3}}"),
    ("trend", "{metric: response_time, trend: {direction: increasing}}"),
    ("degradation", "{metric: response_time, degradation: {by: 20, over: 7d}}"),
    ("forecast", "{metric: response_time, forecast: {above: 500, within: 2h}}"),
    ("pattern", "{metric: response_time, pattern: {}}"),
    ("multivariate", "{multivariate: {}}"),
    ("peers", "{metric: response_time, peers: {above: 3}}"),
    ("queryMix", "{queryMix: {}}"),
    (
        "expression",
        "{metric: response_time, expression: \"current > baseline_mean + 3.0 * baseline_std_dev && hour >= 8\"}",
    ),
];

/// Nanoseconds of processor time of a sample, for each kind of rule.
///
/// # Errors
/// A rule cannot be resolved, or the kernel keeps no accounts.
pub fn measure() -> Result<Vec<Figure>> {
    progress("each kind of rule");
    let metrics = MetricSet::new(&[]);
    let mut costs = Vec::new();
    for (name, detect) in RULES {
        let text = format!("baselineRef: {{name: orders}}\nfor: 1m\ndetect: {detect}\n");
        let spec: AnomalyRuleSpec = serde_saphyr::from_str(&text).with_context(|| text.clone())?;
        let rule = resolve(&spec, &metrics).with_context(|| text.clone())?;
        anyhow::ensure!(Detector::NAMES.contains(&rule.detector.name()), "{text}");
        let rule = TargetRule { id: 1, rule: rule.into(), expected_interval_ms: INTERVAL_MS };
        costs.push(format!("{name} {:.0}", cost(&rule, metrics.len())?));
    }
    Ok(vec![Figure::new("ns a sample, rule by rule", costs.join(", "))])
}

fn cost(rule: &TargetRule, metrics: usize) -> Result<f64> {
    let mut shard = Shard::new();
    let profile = scoring::profile()?;
    let mut random = Random::new(1);
    let mut values = move || (0..metrics).map(|_| (107.0 + 4.0 * random.normal()) as f32).collect::<Vec<f32>>();
    for _ in 0..TARGETS {
        let target = shard.add_target(metrics);
        shard.join(target, 1);
        for metric in 0..metrics {
            shard.set_profile(target, metric, Some(&profile));
        }
        shard.set_rules(target, vec![rule.clone()]);
        let cold = shard.cold(target).next().is_some();
        if cold && let Some(mut replay) = shard.replay(target, &rule.rule) {
            let wanted = replay.wants();
            let step = (replay.history() / HISTORY_ROUNDS).max(INTERVAL_MS);
            for round in -replay.history() / step..0 {
                let all = values();
                let those: Vec<f32> = wanted.iter().map(|metric| all[*metric]).collect();
                replay.take(round * step, &those);
            }
            shard.warm(target, rule.id, replay.finish(), std::iter::empty());
        }
    }
    let (mut spent, mut changes) = (Duration::ZERO, Vec::new());
    for round in 0..ROUNDS {
        let rounds: Vec<Round> =
            (0..TARGETS).map(|target| Round { target, at: round * INTERVAL_MS, values: values() }).collect();
        let before = own_processor_time()?;
        for round in &rounds {
            shard.round(round, &mut changes);
        }
        spent += own_processor_time()?.saturating_sub(before);
        changes.clear();
    }
    Ok(spent.as_nanos() as f64 / (ROUNDS as f64 * TARGETS as f64))
}
