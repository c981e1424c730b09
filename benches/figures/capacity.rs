//! A large fleet in one process: 2,000 targets of 50 metrics at 10 s, for ten simulated minutes.
//!
//! What is held is what the operator holds for them: the shard with a profile of 14 days and a sigma rule for each
//! series, and the history store with its open chunks on the disk. Not in it: the connections to the databases and the
//! cached Kubernetes objects, of which there is one per database and not per series.

use std::time::Duration;

use anyhow::Result;
use dbmedic::detect::Shard;
use dbmedic::history::{FILE, Store};
use dbmedic::measure::TargetKey;
use dbmedic_test_support::Scratch;

use super::machine::{own_processor_time, processor_time, resident};
use super::scoring;
use super::table::{Figure, progress};

const TARGETS: usize = 2000;
const METRICS: usize = 50;
const INTERVAL_MS: i64 = 10_000;
const ROUNDS: i64 = 60;

const GOAL_MEBIBYTES: f64 = 512.0;
const GOAL_CORE: f64 = 0.05;
const GOAL_STATE: f64 = 1.5;
const GOAL_ALL: f64 = 4.5;

/// Memory and processor time of the fleet. To be called before the process has used much memory.
///
/// # Errors
/// The history cannot be written, or the kernel keeps no accounts.
pub async fn measure() -> Result<Vec<Figure>> {
    progress("ten minutes of 100,000 series");
    let (this, series) = (std::process::id(), (TARGETS * METRICS) as f64);
    let (before, _) = resident(this)?;
    let mut shard = Shard::new();
    let mut rounds = scoring::fill(&mut shard, TARGETS, METRICS, INTERVAL_MS)?;
    let (filled, _) = resident(this)?;

    let scratch = Scratch::new("capacity")?;
    let store = Store::open(scratch.path().join(FILE)).await?;
    let labels: Vec<String> = (0..METRICS).map(|metric| format!("custom_{metric}")).collect();
    let mut kept = Vec::with_capacity(TARGETS);
    for target in 0..TARGETS {
        let key = TargetKey { namespace: "shop".into(), baseline: "orders".into(), pod: format!("orders-{target}") };
        kept.push(store.target(&key, &labels).await?);
    }
    let begun = processor_time(this)?;
    let (mut changes, mut scored) = (Vec::new(), Duration::ZERO);
    for number in 0..ROUNDS {
        for (index, round) in rounds.iter_mut().enumerate() {
            // As the operator spreads its rounds.
            round.at = number * INTERVAL_MS + (index as i64 * INTERVAL_MS / TARGETS as i64);
            round.values.rotate_right(7);
        }
        let judging = own_processor_time()?;
        for round in &rounds {
            shard.round(round, &mut changes);
        }
        scored += own_processor_time()?.saturating_sub(judging);
        for (series, round) in kept.iter().zip(&rounds) {
            store.append(series, round.at, &round.values).await?;
        }
        changes.clear();
    }
    let spent = processor_time(this)?.saturating_sub(begun);
    let (all, _) = resident(this)?;
    store.close().await;

    let simulated = (ROUNDS * INTERVAL_MS) as f64 / 1000.0;
    let core = spent.as_secs_f64() / simulated;
    let state = (filled - before) * 1024.0 / series;
    let each = all * 1024.0 / series;
    let what = "100,000 series (2,000 x 50) at 10 s, profiles of 14 days, a rule each";
    Ok(vec![
        Figure::new(format!("{what}: resident memory, history open"), format!("{all:.0} MiB"))
            .goal("≤ 512 MiB", all <= GOAL_MEBIBYTES)
            .against("Netdata 18 KB a series (published): 1,758 MiB"),
        Figure::new(
            "the same: processor time, judging and writing the history",
            format!("{:.1} % of a core", core * 100.0),
        )
        .goal("≤ 5 % of a core", core <= GOAL_CORE)
        .against(format!("judging alone {:.2} %", scored.as_secs_f64() / simulated * 100.0)),
        Figure::new("the same: state of the shard per series", format!("{state:.2} KB"))
            .goal("≤ 1.5 KB", state <= GOAL_STATE)
            .against("168 hours x centre and scale as f32: 1.31 KB"),
        Figure::new("the same: all memory of the process per series", format!("{each:.2} KB"))
            .goal("≤ 4.5 KB", each <= GOAL_ALL),
    ])
}
