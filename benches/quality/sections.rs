//! The sections on forecasts and on learnt profiles.

use super::document::table;
use super::forecasts::{self, DAILY_AND_WEEKLY};
use super::profiles;

/// Seeds that the forecasts were never adjusted on, and series of each kind.
const FIRST_SEED: u64 = 10_000;
const SERIES: usize = 100;
/// Goals of a forecast: OWA at most; coverage of the 95 % interval.
const OWA: f64 = 0.5;
const COVERAGE: std::ops::RangeInclusive<f64> = 0.93..=0.97;
/// Goal of a profile: rates within this factor of nominal.
const FACTOR: f64 = 2.0;

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
                marked(format!("{:.3}", row.owa), row.kind != DAILY_AND_WEEKLY || row.owa <= OWA),
                marked(
                    format!("{:.1} %", 100.0 * row.coverage),
                    row.kind != DAILY_AND_WEEKLY || COVERAGE.contains(&row.coverage),
                ),
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

/// The section on profiles.
pub fn profile() -> String {
    let rows = profiles::rows("");
    let within = rows.iter().filter(|row| row.within(FACTOR)).count();
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let ratios =
                row.rates.iter().zip(profiles::NOMINAL).map(|(rate, nominal)| format!("{:.2}", rate / nominal));
            let mut cells = vec![marked(row.kind.to_owned(), row.within(FACTOR)), format!("{} s", row.interval)];
            cells.extend(ratios);
            cells.push(format!("{:.2} %", 100.0 * row.outside));
            cells
        })
        .collect();
    format!(
        "{within} of {} within a factor {FACTOR} at every probability.\n\n{}",
        rows.len(),
        table(&["kind", "every", "1e-2", "1e-3", "1e-4", "outside three sigma"], &cells)
    )
}
