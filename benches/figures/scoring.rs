//! A round through the shard, against a kernel that only moves the bytes that scoring a sample has to move.

use anyhow::{Context as _, Result};
use dbmedic::detect::{Detector, Rule, Shard, Sigma, TargetRule};
use dbmedic::learn::{Options, Profile, Sample, learn};
use dbmedic::measure::{BUILT_IN, Round};

use super::machine::own_processor_time;
use super::table::{Figure, progress};

/// Metrics of a database: a series each.
const METRICS: usize = BUILT_IN.len();
/// Rounds over every series in one measurement; the median of several counts.
const ROUNDS: i64 = 20;
const HOUR_MS: i64 = 3_600_000;
/// Three minutes: each measurement goes over into another hour of the week, eighteen times as often as at 10 s.
const INTERVAL_MS: i64 = HOUR_MS / ROUNDS;
const REPETITIONS: usize = 5;
const GOAL_NANOSECONDS: f64 = 100.0;
const GOAL_TIMES_KERNEL: f64 = 10.0;

/// Nanoseconds of processor time per sample, a sigma rule on every series.
///
/// # Errors
/// The kernel keeps no accounts of processor time.
pub fn measure() -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for series in [10_000, 100_000] {
        progress(&format!("scoring {series} series"));
        let limit = median(|| kernel(series))?;
        let mut shard = Shard::new();
        let mut rounds = fill(&mut shard, series / METRICS, METRICS, INTERVAL_MS)?;
        let mut at = 0;
        let scored = median(|| score(&mut shard, &mut rounds, &mut at, INTERVAL_MS))?;
        let hours = median(|| score(&mut shard, &mut rounds, &mut at, HOUR_MS))?;
        figures.push(
            Figure::new(
                format!("scoring, {series} series x 168 hours, a sigma rule each, hours that change included"),
                format!("{scored:.1} ns/sample"),
            )
            .goal("≤ 10x kernel, ≤ 100 ns", scored <= GOAL_NANOSECONDS && scored <= GOAL_TIMES_KERNEL * limit)
            .against(format!(
                "kernel at memory bandwidth {limit:.1} ns/sample: {:.1}x; every round in another hour {hours:.1} ns",
                scored / limit
            )),
        );
    }
    Ok(figures)
}

fn median(mut measured: impl FnMut() -> Result<f64>) -> Result<f64> {
    let mut values = (0..REPETITIONS).map(|_| measured()).collect::<Result<Vec<_>>>()?;
    values.sort_by(f64::total_cmp);
    Ok(values[REPETITIONS / 2])
}

/// A profile of fourteen days without a season: about 107, one sigma about 5.
pub fn profile() -> Result<Profile> {
    let options = Options { minimum: Some(0.0), now: 14 * 24 * HOUR_MS, ..Options::default() };
    let sample = |index: i64| Sample { at: index * HOUR_MS / 6, value: 107.0 + (index * 7 % 17 - 8) as f32 };
    let samples: Vec<Sample> = (0..14 * 24 * 6).map(sample).collect();
    learn(&samples, &options).context("a profile of 14 days")
}

/// Targets with a profile and a sigma rule for each of their metrics, and a round for each of them; each target has peers
/// of its own to come, as in the operator. Values vary as the profile says: of a thousand, three lie beyond three sigma.
///
/// # Errors
/// Nothing could be learnt.
pub fn fill(shard: &mut Shard, targets: usize, metrics: usize, interval_ms: i64) -> Result<Vec<Round>> {
    let profile = profile()?;
    let detector = Detector::Sigma(Sigma { below: Some(3.0), above: Some(3.0) });
    let rule = |metric| Rule {
        metric,
        detector: detector.clone(),
        for_ms: 30_000,
        resolve_after_ms: 30_000,
        minimum_confidence: 0.0,
    };
    let rules: Vec<TargetRule> = (0..metrics)
        .map(|metric| TargetRule { id: metric as u64, rule: rule(metric).into(), expected_interval_ms: interval_ms })
        .collect();
    let mut state = 1_u64;
    let rounds = (0..targets).map(|_| {
        let target = shard.add_target(metrics);
        for metric in 0..metrics {
            shard.set_profile(target, metric, Some(&profile));
        }
        shard.join(target, target as u64);
        shard.set_rules(target, rules.clone());
        let values = (0..metrics).map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            if (state >> 32) % 1000 < 3 { 130.0 } else { 100.0 + (state >> 60) as f32 }
        });
        Round { target, at: 0, values: values.collect() }
    });
    Ok(rounds.collect())
}

fn score(shard: &mut Shard, rounds: &mut [Round], at: &mut i64, interval_ms: i64) -> Result<f64> {
    let mut changes = Vec::new();
    let before = own_processor_time()?;
    for _ in 0..ROUNDS {
        *at += interval_ms;
        for round in &mut *rounds {
            round.at = *at;
            shard.round(round, &mut changes);
        }
        changes.clear();
    }
    let spent = own_processor_time()?.saturating_sub(before);
    Ok(spent.as_nanos() as f64 / (ROUNDS as f64 * (rounds.len() * METRICS) as f64))
}

/// The limit: 38 bytes a sample, streamed. A value, centre and scale of its hour, and a running mean, variance and
/// counter that are read and written.
fn kernel(series: usize) -> Result<f64> {
    let values = vec![101.0_f32; series];
    let centres = vec![100.0_f32; series];
    let scales = vec![5.0_f32; series];
    let (mut means, mut variances, mut held) = (vec![100.0_f32; series], vec![25.0_f32; series], vec![0_u8; series]);
    let rounds = ROUNDS * 10;
    let before = own_processor_time()?;
    for _ in 0..rounds {
        let state = means.iter_mut().zip(&mut variances).zip(&mut held);
        let inputs = values.iter().zip(&centres).zip(&scales);
        for (((value, centre), scale), ((mean, variance), held)) in inputs.zip(state) {
            let residual = (value - centre).clamp(-3.0 * scale, 3.0 * scale);
            *mean += 0.01 * (residual - *mean);
            *variance += 0.01 * (residual * residual - *variance);
            *held = if residual.abs() >= 3.0 * scale { held.saturating_add(1) } else { 0 };
        }
        std::hint::black_box((&means, &variances, &held));
    }
    let spent = own_processor_time()?.saturating_sub(before);
    Ok(spent.as_nanos() as f64 / (rounds as f64 * series as f64))
}
