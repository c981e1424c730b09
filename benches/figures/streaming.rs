//! The engine that judges a series from its first sample on: rows a second, and what a stream remembers.

use std::time::Duration;

use anyhow::Result;
use dbmedic::detect::stream::{Stream, StreamOptions};

use super::generate::{Kind, clean};
use super::machine::own_processor_time;
use super::table::{Figure, progress};

const GOAL_ROWS: f64 = 100_000.0;
const MINUTE_MS: i64 = 60_000;
const WEEKS: u32 = 8;

/// Rows a second through a stream on one core: the slowest of several kinds of series.
///
/// # Errors
/// The kernel keeps no accounts of processor time.
pub fn measure() -> Result<Vec<Figure>> {
    progress("rows through a stream");
    let mut slowest: Option<(f64, &str)> = None;
    let (mut spent, mut rows) = (Duration::ZERO, 0.0);
    for kind in [Kind::OfficeHours, Kind::SeasonalCounts, Kind::Bursts, Kind::Student, Kind::Flat] {
        let series = clean(kind, 1, WEEKS, MINUTE_MS);
        let mut stream = Stream::new(StreamOptions::default());
        let before = own_processor_time()?;
        for (row, value) in series.values.iter().enumerate() {
            std::hint::black_box(stream.sample(series.at(row), *value));
        }
        let time = own_processor_time()?.saturating_sub(before);
        let rate = series.values.len() as f64 / time.as_secs_f64();
        if slowest.is_none_or(|(slowest, _)| rate < slowest) {
            slowest = Some((rate, series.kind));
        }
        spent += time;
        rows += series.values.len() as f64;
    }
    let (rate, kind) = slowest.unwrap_or((0.0, "none"));
    let mean = spent.as_nanos() as f64 / rows;
    Ok(vec![
        Figure::new(
            format!("a series judged as it comes, {WEEKS} weeks each minute, the slowest kind ({kind})"),
            format!("{rate:.0} rows/s"),
        )
        .goal("≥ 100,000 rows/s", rate >= GOAL_ROWS)
        .against(format!("{mean:.0} ns a row over five kinds; a stream is {} B in itself", size_of::<Stream>())),
    ])
}
