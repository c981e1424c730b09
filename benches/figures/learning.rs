//! What is normal for 50 metrics, learnt from 14 days of history at 10 s; and what that history takes on the disk.

use std::time::Duration;

use anyhow::{Context as _, Result};
use dbmedic::history::{FILE, READ_TOGETHER, Store};
use dbmedic::learn::{Options, Sample, learn};
use dbmedic::measure::TargetKey;
use dbmedic_test_support::Scratch;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, Row as _};

use super::generate::Random;
use super::machine::processor_time;
use super::table::{Figure, progress};

const METRICS: usize = 50;
const DAY_MS: i64 = 86_400_000;
const STEP_MS: i64 = 10_000;
const ROUNDS: i64 = 14 * DAY_MS / STEP_MS;
/// A Monday.
const START_MS: i64 = 1_704_067_200_000;
const GOAL_SECONDS: f64 = 0.5;
const GOAL_BYTES: f64 = 1.5;
/// Series that are kept as plain rows, too: the others would only cost more of the same.
const PLAIN: usize = 2;
/// Rows of one statement into the plain table.
const BATCH: usize = 500;

/// Seconds of processor time for all profiles, and bytes of a sample.
///
/// # Errors
/// The history cannot be written or read.
pub async fn measure() -> Result<Vec<Figure>> {
    progress("learning 14 days of 50 metrics");
    let scratch = Scratch::new("learning")?;
    let store = Store::open(scratch.path().join(FILE)).await?;
    let key = TargetKey { namespace: "shop".into(), baseline: "orders".into(), pod: "orders-0".into() };
    let labels: Vec<String> = (0..METRICS).map(|metric| format!("custom_{metric}")).collect();
    let mut random = Random::new(1);
    let rounds = (0..ROUNDS).map(|round| {
        let at = START_MS + round * STEP_MS;
        (at, (0..METRICS).map(|metric| value(metric, at, &mut random)).collect())
    });
    store.import(&key, &labels, rounds).await?;
    let bytes = store.size().await?.bytes_per_sample().context("no sample was stored")?;

    let this = std::process::id();
    let (from, to) = (START_MS, START_MS + 14 * DAY_MS);
    let (begun, mut samples) = (processor_time(this)?, 0);
    let mut read = Duration::ZERO;
    for together in labels.chunks(READ_TOGETHER) {
        let names: Vec<&str> = together.iter().map(String::as_str).collect();
        let reading = processor_time(this)?;
        let found = store.read_many(&key, &names, from, to).await?;
        read += processor_time(this)?.saturating_sub(reading);
        for series in found {
            samples += series.len();
            std::hint::black_box(learn(&series, &options(to)).context("nothing was learnt")?);
        }
    }
    let spent = processor_time(this)?.saturating_sub(begun).as_secs_f64();
    let plain = plain_rows(&scratch, &store, &key, &labels).await?;
    store.close().await;
    Ok(vec![
        Figure::new("profiles of 14 days x 50 metrics at 10 s from the history", format!("{spent:.2} s"))
            .goal("≤ 0.5 s of processor time", spent <= GOAL_SECONDS)
            .against(format!("{:.2} s of it reading; from SQLite rows {plain:.1} s", read.as_secs_f64())),
        Figure::new("history of these: gauges, ratios, rates and sizes", format!("{bytes:.2} B/sample of {samples}"))
            .goal("≤ 1.5 B/sample", bytes <= GOAL_BYTES)
            .against("VictoriaMetrics 2.13 (published)"),
    ])
}

fn options(now: i64) -> Options {
    Options { minimum: Some(0.0), now, ..Options::default() }
}

/// In turn a gauge, a ratio, a rate and a size, with a daily and weekly season and noise.
fn value(metric: usize, at: i64, random: &mut Random) -> f32 {
    let days = (at - START_MS) as f64 / DAY_MS as f64;
    let week = if days % 7.0 < 5.0 { 1.0 } else { 0.6 };
    let season = week * (1.0 + 0.4 * (days * std::f64::consts::TAU).sin());
    let value = match metric % 4 {
        0 => (40.0 * season + 3.0 * random.normal()).round().max(0.0),
        1 => (99.6 - 0.2 * season + 0.05 * random.normal()).min(100.0),
        2 => (8500.0 * season * (1.0 + 0.05 * random.normal())).round() / (10.0 + 0.002 * random.normal()),
        _ => 8e9 + (days * 1440.0).floor() * 8192.0,
    };
    value as f32
}

/// Processor time of the same from a table with a row per sample, in seconds: some series, as if it were all of them.
async fn plain_rows(scratch: &Scratch, store: &Store, key: &TargetKey, labels: &[String]) -> Result<f64> {
    let path = scratch.path().join("rows.db");
    let mut connection: SqliteConnection =
        SqliteConnectOptions::new().filename(&path).create_if_missing(true).connect().await?;
    let table = "create table samples (series integer, at integer, value real, primary key (series, at)) without rowid";
    connection.execute(table).await?;
    connection.execute("begin").await?;
    for (series, label) in labels.iter().take(PLAIN).enumerate() {
        for batch in store.read(key, label, START_MS, START_MS + 14 * DAY_MS).await?.chunks(BATCH) {
            let rows: Vec<String> =
                batch.iter().map(|sample| format!("({series},{},{})", sample.at, sample.value)).collect();
            let insert = format!("insert into samples values {}", rows.join(","));
            connection.execute(sqlx::raw_sql(AssertSqlSafe(insert))).await?;
        }
    }
    connection.execute("commit").await?;
    let begun = processor_time(std::process::id())?;
    for series in 0..PLAIN {
        let rows = sqlx::query("select at, value from samples where series = ?1 order by at")
            .bind(series as i64)
            .fetch_all(&mut connection)
            .await?;
        let samples = rows.iter().map(|row| Ok(Sample { at: row.try_get(0)?, value: row.try_get(1)? }));
        let samples = samples.collect::<Result<Vec<Sample>, sqlx::Error>>()?;
        std::hint::black_box(learn(&samples, &options(START_MS + 14 * DAY_MS)));
    }
    let spent = processor_time(std::process::id())?.saturating_sub(begun);
    connection.close().await?;
    Ok(spent.as_secs_f64() * METRICS as f64 / PLAIN as f64)
}
