//! Growth that is worth going on with.

use super::robust::{mean, median};

/// Growth below twice its own error is taken for chance.
const CHANCE: f64 = 2.0;

/// A straight trend per row, and how sure it is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Trend {
    /// Growth per row, shrunk by its own uncertainty: 0 for what may be chance.
    pub slope: f64,
    /// Standard error of the slope.
    pub error: f64,
}

/// Of deseasonalised rows, by the medians of blocks of `block` rows: Theil and Sen's slope, judged by the long-run
/// variance of the changes between blocks (Newey and West, Econometrica 55, 1987), so that a random walk has no trend
/// only because it went somewhere. A single step explains a series better than a line does: then there is no trend.
pub(super) fn trend(values: &[f64], block: usize) -> Trend {
    let block = block.max(1);
    // Whole blocks, the newest one complete.
    let skipped = values.len() % block;
    let levels: Vec<f64> = values[skipped..].chunks_exact(block).map(|rows| median(&mut rows.to_vec())).collect();
    if levels.len() < 5 {
        return Trend::default();
    }
    let count = levels.len();
    let mut slopes = Vec::with_capacity(count * (count - 1) / 2);
    for (at, level) in levels.iter().enumerate() {
        slopes
            .extend(levels[..at].iter().enumerate().map(|(before, earlier)| (level - earlier) / (at - before) as f64));
    }
    let slope = median(&mut slopes);
    let changes: Vec<f64> = levels.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let error = (long_run_variance(&changes) / changes.len() as f64).sqrt();
    if slope == 0.0 || steps_better(&levels, slope) {
        return Trend { slope: 0.0, error: 0.0 };
    }
    let share = (1.0 - (CHANCE * error / slope).powi(2)).max(0.0);
    let error = if share > 0.0 { error } else { 0.0 };
    Trend { slope: share * slope / block as f64, error: error / block as f64 }
}

fn long_run_variance(changes: &[f64]) -> f64 {
    let centre = mean(changes);
    let product = |lag: usize| {
        changes[lag..].iter().zip(changes).map(|(late, early)| (late - centre) * (early - centre)).sum::<f64>()
            / changes.len() as f64
    };
    let variance = product(0);
    // Noise round a line makes the changes' long-run variance vanish; the few blocks there are do not prove so much.
    (variance + 2.0 * (2.0 / 3.0 * product(1) + 1.0 / 3.0 * product(2))).max(0.15 * variance)
}

fn steps_better(levels: &[f64], slope: f64) -> bool {
    let residuals: Vec<f64> = levels.iter().enumerate().map(|(at, level)| level - slope * at as f64).collect();
    let line = spread(&residuals);
    (1..levels.len()).any(|at| spread(&levels[..at]) + spread(&levels[at..]) < line)
}

/// Sum of absolute deviations from the median.
fn spread(values: &[f64]) -> f64 {
    let centre = median(&mut values.to_vec());
    values.iter().map(|value| (value - centre).abs()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(at: usize) -> f64 {
        ((at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f64 / f64::from(1 << 24) - 0.5
    }

    #[test]
    fn steady_growth_is_gone_on_with() {
        let values: Vec<f64> = (0..336).map(|at| 0.1 * at as f64 + noise(at)).collect();
        let found = trend(&values, 24);
        assert!((found.slope - 0.1).abs() < 0.01, "{found:?}");
        assert!(found.error < 0.02, "{found:?}");
    }

    #[test]
    fn noise_a_step_and_too_few_rows_have_no_trend() {
        let noise_only: Vec<f64> = (0..336).map(noise).collect();
        let step: Vec<f64> = (0..336).map(|at| noise(at) + if at < 200 { 0.0 } else { 5.0 }).collect();
        let few: Vec<f64> = (0..4).map(f64::from).collect();
        for values in [noise_only, step, few, vec![3.0; 500], Vec::new()] {
            assert!(trend(&values, 24).slope.abs() < 1e-4, "{:?}", trend(&values, 24));
        }
    }
}
