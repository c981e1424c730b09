//! Forecasts of series with a daily and a weekly season, and how far to trust them. One method, nothing to adjust.
//!
//! Gaps are filled and outliers drawn in (`prepare`), the scale is the one on which errors are alike (`transform`), a
//! trend that is no chance is taken out and goes on as a line (`trend`). Three forecasts are combined by how well each
//! did from many origins within the series: the shrunk profile with a fading rest (`level`), double seasonal smoothing
//! (`smoothing`), and a seasonal autoregression (`regression`). Their errors there make the interval (`errors`).

mod errors;
mod level;
mod outlook;
mod prepare;
mod regression;
mod robust;
mod season;
mod smoothing;
mod transform;
mod trend;
mod uncertainty;

#[cfg(test)]
mod tests;

pub use outlook::{Crossing, Outlook};

/// What is expected, step by step, in the unit of the series.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Forecast {
    /// The median of each step.
    pub mean: Vec<f64>,
    /// Lower end of the interval.
    pub lower: Vec<f64>,
    /// Upper end.
    pub upper: Vec<f64>,
}

/// Forecasts `horizon` steps of rows at equal steps (`NaN` = missing), with an interval that holds a step with
/// probability `level`. `periods` are candidates of seasons, in rows ([24, 168] of hourly rows): those count that the
/// rows hold at least twice. All `NaN` when no row has a value. Values that are never negative are not expected to
/// become so.
pub fn forecast(values: &[f64], periods: &[usize], horizon: usize, level: f64) -> Forecast {
    let Some(outlook) = Outlook::new(values, periods, horizon) else {
        let missing = vec![f64::NAN; horizon];
        return Forecast { mean: missing.clone(), lower: missing.clone(), upper: missing };
    };
    let tail = 0.5 * (1.0 - if level.is_nan() { 0.0 } else { level.clamp(0.0, 1.0 - 1e-9) });
    let ends = |share: f64| (0..horizon).map(|ahead| outlook.quantile(ahead, share)).collect();
    let mut mean = outlook.medians();
    mean.truncate(horizon);
    Forecast { mean, lower: ends(tail), upper: ends(1.0 - tail) }
}
