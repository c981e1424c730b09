//! How wrong a forecast was where the series itself could tell, and what that says of the next one.

use super::robust::{mean, scale};
use super::uncertainty::{Tails, quantile_score};

/// Errors beyond so many robust standard deviations count as that: one bad day is not every day's width.
const WILD: f64 = 8.0;

/// Share of the normal errors on one side of 95 %.
const NEAR_TAIL: f64 = 0.05;

/// Path errors by origin, each as far as the series goes.
pub(super) struct Errors {
    /// Row after which each path begins, with the errors of its steps.
    pub paths: Vec<(usize, Vec<f64>)>,
}

impl Errors {
    /// Mean absolute error; infinite without errors.
    pub fn size(&self) -> f64 {
        let count: usize = self.paths.iter().map(|(_, path)| path.len()).sum();
        if count == 0 {
            return f64::INFINITY;
        }
        self.paths.iter().flat_map(|(_, path)| path).map(|error| error.abs()).sum::<f64>() / count as f64
    }

    /// Standard deviation of the error of each step up to `horizon`, never falling, and going on beyond the steps that
    /// were tried as it went until there.
    pub fn scales(&self, horizon: usize) -> Vec<f64> {
        let all: Vec<f64> = self.paths.iter().flat_map(|(_, path)| path).copied().collect();
        let bound = WILD * scale(&mut all.clone());
        let longest = self.paths.iter().map(|(_, path)| path.len()).max().unwrap_or(0).min(horizon);
        let mut sums = vec![(0.0, 0.0); longest];
        for (_, path) in &self.paths {
            for (sum, error) in sums.iter_mut().zip(path) {
                sum.0 += 1.0;
                sum.1 += error.abs().min(if bound > 0.0 { bound } else { f64::INFINITY }).powi(2);
            }
        }
        // The last steps of few paths say little.
        let most = sums.first().map_or(0.0, |sum| sum.0);
        let tried = sums.iter().take_while(|sum| sum.0 >= f64::max(0.25 * most, 1.0)).count();
        let mut scales = Vec::with_capacity(horizon);
        let mut widest: f64 = 0.0;
        for ahead in 0..tried.min(horizon) {
            let reach = 1 + ahead / 3;
            let near = &sums[ahead.saturating_sub(reach)..(ahead + reach + 1).min(tried)];
            let (count, square) = near.iter().fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
            widest = widest.max((square / count).sqrt());
            scales.push(widest);
        }
        // Without a single error there is nothing to say: as if there were none.
        let half = scales.get(tried / 2).copied().unwrap_or(0.0);
        // Between not at all and as a random walk does.
        let power = if half > 0.0 { (widest / half).log2().clamp(0.1, 0.6) } else { 0.5 };
        for ahead in scales.len()..horizon {
            scales.push(widest * ((ahead + 1) as f64 / tried.max(1) as f64).powf(power));
        }
        scales
    }

    /// How much wider than others each row of a period is, by the errors that fell there.
    pub fn by_place(&self, scales: &[f64], period: usize) -> Vec<f64> {
        let mut sums = vec![(0.0, 0.0); period];
        for (origin, path) in &self.paths {
            for (ahead, (error, scale)) in path.iter().zip(scales).enumerate() {
                if *scale > 0.0 {
                    let sum = &mut sums[(origin + ahead) % period];
                    sum.0 += 1.0;
                    sum.1 += (error / scale).powi(2).min(WILD * WILD);
                }
            }
        }
        let (count, square) = sums.iter().fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        if square <= 0.0 {
            return vec![1.0; period];
        }
        let usual = square / count;
        // Errors of one path are of one kind: as much belief in no difference as there are errors.
        let prior = count / period as f64;
        (0..period)
            .map(|at| {
                let near = [sums[(at + period - 1) % period], sums[at], sums[(at + 1) % period]];
                let (count, square) = near.iter().fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
                ((square / usual + prior) / (count + prior)).sqrt()
            })
            .collect()
    }

    /// Both tails, and the share of the errors' variance that a path has in common.
    pub fn tails(&self, width: impl Fn(usize, usize) -> f64) -> Tails {
        let mut all = Vec::new();
        let mut common = Vec::new();
        let (mut square, mut product) = (0.0, 0.0);
        for (origin, path) in &self.paths {
            let parts: Vec<f64> = path
                .iter()
                .enumerate()
                .map(|(ahead, error)| error / width(*origin, ahead))
                .filter(|part| part.is_finite())
                .collect();
            let centre = mean(&parts);
            common.push(centre.powi(2));
            square += parts.iter().map(|part| (part - centre).powi(2)).sum::<f64>();
            product += parts.windows(2).map(|pair| (pair[0] - centre) * (pair[1] - centre)).sum::<f64>();
            all.extend(parts);
        }
        if all.len() < 20 {
            return Tails::default();
        }
        let variance = mean(&all.iter().map(|part| part * part).collect::<Vec<_>>());
        let shared = if variance > 0.0 { (mean(&common) / variance).clamp(0.1, 0.95) } else { 0.5 };
        all.sort_by(f64::total_cmp);
        let place = ((all.len() as f64 * NEAR_TAIL) as usize).min(all.len() - 1);
        let reach = quantile_score(1.0 - NEAR_TAIL);
        let (below, above) = (-all[place] / reach, all[all.len() - 1 - place] / reach);
        // Half of what the few independent errors say of one side is believed.
        let both = 0.5 * (below + above);
        let side = |one: f64| (0.5 * (one + both)).clamp(0.5, 2.0);
        // The time constant of an autoregression of the first order: as many steps make one independent error.
        let repeated = if square > 0.0 { (product / square).clamp(0.0, 0.98) } else { 0.0 };
        let memory = ((1.0 + repeated) / (1.0 - repeated)).round() as usize;
        Tails { below: side(below), above: side(above), shared, memory }
    }
}
