//! What a sample costs on the disk: the imported 14 days, against the CSV and against plain rows.

use anyhow::{Context as _, Result};
use dbmedic_test_support::Scratch;
use dbmedic_test_support::shop::history_csv;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _};

use super::Programs;
use super::table::{Figure, progress};

const GOAL_BYTES: f64 = 1.5;
/// Rows of one statement into the plain table.
const BATCH: usize = 500;
/// Rounds in the plain table: its bytes per row do not depend on their number.
const PLAIN_ROUNDS: usize = 20_000;

/// Bytes per sample of 14 days at 10 s.
///
/// # Errors
/// The import fails.
pub async fn measure(programs: &Programs) -> Result<Figure> {
    progress("importing 14 days at 10 s");
    let scratch = Scratch::new("storage")?;
    let csv = history_csv(2.0, 14, 10);
    let path = scratch.path().join("history.csv");
    std::fs::write(&path, &csv)?;
    let output = tokio::process::Command::new(programs.dbmedic())
        .args(["history", "import", "--baseline", "shop/orders", "--pod", "orders-db-0", "--data-dir"])
        .arg(scratch.path().join("data"))
        .arg(&path)
        .output()
        .await?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let bytes = number_before(&said, " bytes a sample").with_context(|| said.clone())?;
    let samples = number_before(&said, " samples").with_context(|| said.clone())?;
    let rows = plain_rows(&scratch, &csv).await?;
    let per_value = csv.len() as f64 / samples;
    let figure = Figure::new("history, 14 days at 10 s imported", format!("{bytes:.2} B/sample of {samples:.0}"));
    Ok(figure.goal("≤ 1.5 B/sample", bytes <= GOAL_BYTES).against(format!(
        "CSV {per_value:.1}, SQLite rows {rows:.1} B/sample: {:.0}x and {:.0}x",
        per_value / bytes,
        rows / bytes
    )))
}

fn number_before(text: &str, unit: &str) -> Option<f64> {
    text.split_once(unit)?.0.rsplit(' ').next()?.parse().ok()
}

/// Bytes per sample of a table with a row per sample, the key first and without a row id.
async fn plain_rows(scratch: &Scratch, csv: &str) -> Result<f64> {
    let path = scratch.path().join("rows.db");
    let mut connection: SqliteConnection =
        SqliteConnectOptions::new().filename(&path).create_if_missing(true).connect().await?;
    let table = "create table samples (series integer, at integer, value real, primary key (series, at)) without rowid";
    connection.execute(table).await?;
    connection.execute("begin").await?;
    let mut rows = Vec::new();
    let series = csv.lines().next().map_or(0, |header| header.split(',').count() - 1);
    let lines: Vec<Vec<&str>> = csv.lines().skip(1).take(PLAIN_ROUNDS).map(|line| line.split(',').collect()).collect();
    for column in 1..=series {
        for (round, cells) in lines.iter().enumerate() {
            rows.push(format!("({column},{},{})", 1_800_000_000_000_u64 + round as u64 * 10_000, cells[column]));
        }
    }
    for batch in rows.chunks(BATCH) {
        let insert = format!("insert into samples values {}", batch.join(","));
        connection.execute(sqlx::raw_sql(AssertSqlSafe(insert))).await?;
    }
    connection.execute("commit").await?;
    connection.close().await?;
    Ok(std::fs::metadata(&path)?.len() as f64 / rows.len() as f64)
}
