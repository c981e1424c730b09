//! The commands over a series in a file: what `kubectl dbmedic backtest` and `forecast` take.

use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Result, ensure};
use dbmedic_test_support::Scratch;

use super::Programs;
use super::generate::{Kind, clean};
use super::machine::children_processor_time;
use super::table::{Figure, milliseconds, progress};

const GOAL_ROWS: f64 = 100_000.0;
const GOAL_FORECAST_MS: f64 = 1000.0;
const FORECAST_ROWS: usize = 1000;
const REPETITIONS: usize = 5;

/// Rows a second of a backtest, and the time of a forecast.
///
/// # Errors
/// A command fails.
pub fn measure(programs: &Programs) -> Result<Vec<Figure>> {
    progress("backtest and forecast of a file");
    let scratch = Scratch::new("commands")?;
    let (minutes, hours) = (scratch.path().join("minutes.csv"), scratch.path().join("hours.csv"));
    let rows = write(&minutes, Kind::OfficeHours, 60_000, 10_000_000)?;
    write(&hours, Kind::DailyWeekly, 3_600_000, FORECAST_ROWS)?;

    let before = children_processor_time()?;
    run(programs, &["backtest", "--metric", "value", "-o", "csv", "--csv"], &minutes)?;
    let spent = children_processor_time()?.saturating_sub(before);
    let rate = rows as f64 / spent.as_secs_f64();

    let mut times = Vec::new();
    for _ in 0..REPETITIONS {
        let begun = Instant::now();
        run(programs, &["forecast", "--metric", "value", "--horizon", "48", "-o", "csv", "--csv"], &hours)?;
        times.push(milliseconds(begun.elapsed()));
    }
    times.sort_by(f64::total_cmp);
    let time = times[REPETITIONS / 2];
    Ok(vec![
        Figure::new(format!("backtest of {rows} rows, CSV to CSV, one core"), format!("{rate:.0} rows/s"))
            .goal("≥ 100,000 rows/s", rate >= GOAL_ROWS),
        Figure::new(format!("forecast of two days from {FORECAST_ROWS} hours, CSV to CSV"), format!("{time:.0} ms"))
            .goal("≤ 1 s", time <= GOAL_FORECAST_MS),
    ])
}

/// Writes a series as `timestamp,value`; the rows that it has.
fn write(path: &Path, kind: Kind, step_ms: i64, most: usize) -> Result<usize> {
    let weeks = (most as i64 * step_ms / super::generate::WEEK_MS + 1) as u32;
    let series = clean(kind, 1, weeks, step_ms);
    let rows = series.values.len().min(most);
    let mut text = "timestamp,value\n".to_owned();
    for (row, value) in series.values.iter().enumerate().take(rows) {
        text.push_str(&format!("{},{value:.3}\n", jiff::Timestamp::from_millisecond(series.at(row))?));
    }
    std::fs::write(path, text)?;
    Ok(rows)
}

fn run(programs: &Programs, arguments: &[&str], file: &Path) -> Result<()> {
    let output = std::process::Command::new(programs.plugin())
        .args(arguments)
        .arg(file)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output()?;
    ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
