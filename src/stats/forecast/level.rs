//! The profile goes on; what the series lies above or below it fades towards a slow level.

use super::robust::mean;
use super::season::Season;

/// Shares of a new deviation that the slow level takes on, per row. 0: the mean of all.
const RATES: [f64; 5] = [0.0, 0.003, 0.01, 0.03, 0.1];

/// Share of the distance to the slow level that is left one row later. 1: none of it ever goes.
const MEMORIES: [f64; 7] = [0.0, 0.6, 0.8, 0.9, 0.95, 0.98, 0.995];

/// Simple exponential smoothing of the deseasonalised series, with an autoregressive rest of the first order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Level {
    rate: f64,
    memory: f64,
}

impl Level {
    /// The pair with the least mean absolute error over several leads up to `horizon`, over all rows.
    pub fn choose(values: &[f64], season: &Season, horizon: usize) -> Self {
        let rest: Vec<f64> = values.iter().enumerate().map(|(at, value)| value - season.at(at)).collect();
        let furthest = horizon.min(rest.len() / 4);
        let leads: Vec<usize> = (0..6).map(|step| furthest >> step).filter(|lead| *lead > 0).collect();
        let start = rest.len() / 4;
        let mut best = (f64::INFINITY, Self { rate: 0.03, memory: 0.9 });
        for rate in RATES {
            let levels = levels(&rest, rate);
            for memory in MEMORIES {
                let mut error = 0.0;
                for lead in &leads {
                    let left = memory.powi(i32::try_from(*lead).unwrap_or(i32::MAX));
                    let errors = (start..rest.len() - lead)
                        .map(|at| (rest[at + lead] - levels[at] - left * (rest[at] - levels[at])).abs());
                    error += errors.sum::<f64>() / (rest.len() - lead - start) as f64;
                }
                if error < best.0 {
                    best = (error, Self { rate, memory });
                }
            }
        }
        best.1
    }

    /// What is expected after the rows.
    pub fn path(self, values: &[f64], season: &Season, path: &mut [f64]) {
        let rest: Vec<f64> = values.iter().enumerate().map(|(at, value)| value - season.at(at)).collect();
        let level = levels(&rest, self.rate).last().copied().unwrap_or_default();
        let mut apart = rest.last().copied().unwrap_or_default() - level;
        for (ahead, expected) in path.iter_mut().enumerate() {
            apart *= self.memory;
            *expected = level + apart + season.at(values.len() + ahead);
        }
    }
}

/// The slow level after each row: at first the plain mean, as long as that is quicker than the rate.
fn levels(rest: &[f64], rate: f64) -> Vec<f64> {
    let mut level = mean(&rest[..rest.len().min(3)]);
    let mut count = 0.0;
    rest.iter()
        .map(|value| {
            count += 1.0;
            level += rate.max(1.0 / count) * (value - level);
            level
        })
        .collect()
}
