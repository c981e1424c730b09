//! What watching costs the database: processor time of the server process behind the monitor's connection.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use dbmedic_test_support::eventually;
use dbmedic_test_support::shop::{Operator, Shop};
use sqlx::Row as _;
use sqlx::postgres::PgConnection;

use super::machine::processor_time;
use super::table::{Figure, milliseconds, progress};

const PATIENCE: Duration = Duration::from_secs(60);
/// Rounds of 1 s that are averaged over.
const ROUNDS: u64 = 30;
const GOAL_ROUND_MS: f64 = 1.0;
const GOAL_SHARE: f64 = 0.05;
/// Statements in `pg_stat_statements`: nearly as many as it holds by default (5,000).
const STATEMENTS: u32 = 4_850;

/// The server process behind the operator's only connection.
///
/// # Errors
/// There is not exactly one within a minute.
pub async fn backend(shop: &Shop) -> Result<u32> {
    let sql = "select case when count(*) = 1 then max(pid) end from pg_stat_activity where application_name = 'dbmedic-monitor'";
    eventually(PATIENCE, "one connection of the monitor", async || {
        let pid: Option<i32> = shop.postgres.value("orders", sql).await?;
        Ok(pid.and_then(|pid| u32::try_from(pid).ok()))
    })
    .await
}

/// Rounds that the operator has judged.
async fn rounds(operator: &Operator) -> Result<u64> {
    let (_, text) = operator.get("/metrics").await?;
    let count = text.lines().find_map(|line| line.strip_prefix("dbmedic_rounds_total ")?.parse().ok());
    count.context("no count of rounds")
}

/// One light round, against two views read by a connection that does nothing else.
///
/// The Baseline's interval is 1 s and its `statementsInterval` an hour.
///
/// # Errors
/// No rounds come.
pub async fn light_round(shop: &Shop, operator: &Operator) -> Result<Figure> {
    progress(&format!("{ROUNDS} light rounds"));
    let pid = backend(shop).await?;
    let begin = rounds(operator).await?;
    // The first round of a connection reads statements too.
    let await_rounds = async |wanted: u64| {
        eventually(PATIENCE, "light rounds", async || Ok((rounds(operator).await? >= wanted).then_some(()))).await
    };
    await_rounds(begin + 2).await?;
    let (before, first) = (processor_time(pid)?, rounds(operator).await?);
    await_rounds(first + ROUNDS).await?;
    let (after, last) = (processor_time(pid)?, rounds(operator).await?);
    let round = milliseconds(after.saturating_sub(before)) / (last - first) as f64;
    let bare = bare_view(shop).await?;
    Ok(Figure::new("server CPU of one light round", format!("{round:.2} ms"))
        .goal("≤ 1 ms", round <= GOAL_ROUND_MS)
        .against(format!("a session reading only pg_stat_database once a second: {bare:.2} ms")))
}

/// Server processor time, in ms, of reading `pg_stat_database` once a second.
async fn bare_view(shop: &Shop) -> Result<f64> {
    const TIMES: u32 = 15;
    let mut connection: PgConnection = shop.postgres.connect("orders").await?;
    let pid: i32 = sqlx::query("select pg_backend_pid()").fetch_one(&mut connection).await?.try_get(0)?;
    let pid = u32::try_from(pid)?;
    let view = "select * from pg_stat_database where datname = current_database()";
    let look = async |connection: &mut PgConnection| sqlx::query(view).fetch_one(connection).await.map(drop);
    for _ in 0..10 {
        look(&mut connection).await?;
    }
    let before = processor_time(pid)?;
    for _ in 0..TIMES {
        tokio::time::sleep(Duration::from_secs(1)).await;
        look(&mut connection).await?;
    }
    let spent = processor_time(pid)?.saturating_sub(before);
    Ok(milliseconds(spent) / f64::from(TIMES))
}

/// Fills `pg_stat_statements` with statements of different shape, as an application would in weeks.
///
/// # Errors
/// The database refuses.
pub async fn fill_statements(shop: &Shop) -> Result<()> {
    progress(&format!("filling pg_stat_statements with {STATEMENTS} statements"));
    let columns = [
        "relname",
        "relnamespace",
        "reltype",
        "reloftype",
        "relowner",
        "relam",
        "relfilenode",
        "reltablespace",
        "relpages",
        "reltuples",
        "relallvisible",
        "reltoastrelid",
        "relhasindex",
    ];
    let mut script = String::new();
    for shape in 0..STATEMENTS {
        script.push_str("select oid from pg_class where false");
        for (bit, column) in columns.iter().enumerate() {
            if shape & (1 << bit) != 0 {
                write!(script, " and {column} is not null")?;
            }
        }
        script.push(';');
    }
    shop.postgres.execute("orders", &script).await
}

/// What monitoring as the quickstart has it (rounds of 10 s, statements each minute) takes of one core.
pub struct Monitoring {
    pid: u32,
    before: Duration,
    began: Instant,
}

impl Monitoring {
    /// Begins to count.
    ///
    /// # Errors
    /// As [`backend`].
    pub async fn begin(shop: &Shop) -> Result<Self> {
        let pid = backend(shop).await?;
        Ok(Self { pid, before: processor_time(pid)?, began: Instant::now() })
    }

    /// The share of one core since then.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn end(self, shop: &Shop) -> Result<Figure> {
        let spent = processor_time(self.pid)?.saturating_sub(self.before);
        let share = 100.0 * spent.as_secs_f64() / self.began.elapsed().as_secs_f64();
        let entries: i64 = shop.postgres.value("orders", "select count(*) from pg_stat_statements(false)").await?;
        let what = format!("server CPU of monitoring at 10 s, statements each minute ({entries} entries)");
        Ok(Figure::new(what, format!("{share:.3} % of a core"))
            .goal("< 0.05 %", share < GOAL_SHARE)
            .against("postgres_exporter (defaults, 10 s) 0.11 %, with statements 0.51 %, published in our study"))
    }
}
