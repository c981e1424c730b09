//! The sections on forecasts and on learnt profiles.

use super::document::table;
use super::forecasts;

/// Seeds that the forecasts were never adjusted on, and series of each kind.
const FIRST_SEED: u64 = 10_000;
const SERIES: usize = 100;
/// The line that the goals are held against: single kinds may have no season to find.
const ALL: &str = "all";
/// Goals of a forecast: OWA at most; coverage of the 95 % interval.
const OWA: f64 = 0.5;
const COVERAGE: std::ops::RangeInclusive<f64> = 0.93..=0.97;

fn marked(text: String, met: bool) -> String {
    if met { text } else { format!("**{text}**") }
}

/// The section on forecasts.
pub fn forecast() -> String {
    let rows: Vec<Vec<String>> = forecasts::rows(FIRST_SEED, SERIES)
        .into_iter()
        .map(|row| {
            vec![
                row.kind.to_owned(),
                row.series.to_string(),
                marked(format!("{:.3}", row.owa), row.kind != ALL || row.owa <= OWA),
                marked(format!("{:.1} %", 100.0 * row.coverage), row.kind != ALL || COVERAGE.contains(&row.coverage)),
                format!("{:.2}", row.msis),
                format!("{:.3}", row.owa_seasonal_naive),
                format!("{:.3}", row.owa_weekly_naive),
            ]
        })
        .collect();
    table(
        &["kind", "series", "OWA", "in the 95 % interval", "MSIS", "OWA of yesterday again", "of last week again"],
        &rows,
    )
}
