//! The future of a series as a distribution: several forecasts combined by how well each did before, as wide as they
//! were wrong.

use super::errors::Errors;
use super::level::Level;
use super::prepare::{Prepared, prepare};
use super::regression::Regression;
use super::robust::median;
use super::season::{Periods, Season};
use super::smoothing;
use super::transform::Transform;
use super::uncertainty::{Tails, any_beyond, normal_quantile};

/// Origins within the series from which forecasts are tried.
const ORIGINS: usize = 40;

/// Forecasts that are combined.
const METHODS: usize = 3;

/// Rows below which nothing but the level is known.
const FEW: usize = 12;

/// What is expected of a series, step by step.
#[derive(Clone, Debug, PartialEq)]
pub struct Outlook {
    transform: Transform,
    centre: Vec<f64>,
    width: Vec<f64>,
    tails: Tails,
    growth: f64,
    least: f64,
}

/// Which way a limit is crossed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Crossing {
    /// Values above the limit are beyond it.
    Above,
    /// Values below the limit are beyond it.
    Below,
}

impl Outlook {
    /// Of rows at equal steps, the oldest first; what is not finite is missing. `periods` are candidates, in rows.
    /// `None` when no row has a value.
    pub fn new(values: &[f64], periods: &[usize], horizon: usize) -> Option<Self> {
        // One step at least, so that there are errors to speak of.
        let horizon = horizon.max(1);
        let first = values.iter().position(|value| value.is_finite())?;
        let values = &values[first..];
        let longest =
            periods.iter().copied().filter(|period| period.saturating_mul(2) <= values.len()).max().unwrap_or(0);
        let values = &values[values.len().saturating_sub(longest.saturating_mul(10).max(1_500))..];
        let periods = Periods::of(periods, values.len());
        let prepared = prepare(values, periods);
        if prepared.values.len() < FEW {
            return Some(Self::of_few(&prepared, horizon));
        }
        // Chosen, weighed and measured over the near future whatever is asked for: the next hour does not depend on it.
        let (centre, errors) = combined(&prepared.values, &prepared.seen, periods, horizon.max(near(periods)));
        let mut outlook = Self::assembled(&prepared, periods, centre, &errors);
        outlook.centre.truncate(horizon);
        outlook.width.truncate(horizon);
        Some(outlook)
    }

    fn assembled(prepared: &Prepared, periods: Periods, centre: Vec<f64>, errors: &Errors) -> Self {
        let Prepared { values, transform, trend, least, .. } = prepared;
        let scales = errors.scales(centre.len());
        let place = errors.by_place(&scales, periods.short.unwrap_or(1));
        let at = |origin: usize, ahead: usize| scales[ahead] * place[(origin + ahead) % place.len()];
        let tails = errors.tails(at);
        let independent = values.len() as f64 / (2 * periods.cycle().max(24)) as f64;
        let inflation = 1.0 + (0.2 + 0.7 * tails.shared) / independent.max(0.5);
        let width = centre.iter().enumerate().map(|(ahead, row)| {
            let level = transform.back(*row);
            let of_trend = transform.forth(level + trend.error * (ahead + 1) as f64) - transform.forth(level);
            (at(values.len(), ahead) * inflation).hypot(of_trend)
        });
        let width = width.collect();
        Self { transform: *transform, centre, width, tails, growth: trend.slope, least: *least }
    }

    /// The last value, as wide as a random walk of the changes seen.
    fn of_few(prepared: &Prepared, horizon: usize) -> Self {
        let Prepared { values, transform, trend, least, .. } = prepared;
        let last = values.last().copied().unwrap_or_default();
        let middle = median(&mut values.clone());
        let changes: f64 = values.windows(2).map(|pair| (pair[1] - pair[0]).powi(2)).sum();
        let step = (changes / values.len().saturating_sub(1).max(1) as f64).sqrt();
        let inflation = 1.0 + 2.0 / values.len() as f64;
        let width = (0..horizon).map(|ahead| step * inflation * ((ahead + 1) as f64).sqrt()).collect();
        let centre = vec![0.5 * (last + middle); horizon];
        Self { transform: *transform, centre, width, tails: Tails::default(), growth: trend.slope, least: *least }
    }

    /// The value that is exceeded with probability `1 - share` so many steps ahead, the first step being 0.
    pub fn quantile(&self, ahead: usize, share: f64) -> f64 {
        let (Some(centre), Some(width)) = (self.centre.get(ahead), self.width.get(ahead)) else { return f64::NAN };
        let reach = if *width > 0.0 { width * self.tails.error(normal_quantile(share)) } else { 0.0 };
        self.on_the_trend(ahead, self.transform.back(centre + reach))
    }

    /// The median of every step.
    pub fn medians(&self) -> Vec<f64> {
        let steps = self.centre.iter().enumerate();
        steps.map(|(ahead, centre)| self.on_the_trend(ahead, self.transform.back(*centre))).collect()
    }

    fn on_the_trend(&self, ahead: usize, value: f64) -> f64 {
        (value + self.growth * (ahead + 1) as f64).clamp(self.least, f64::MAX)
    }

    /// Probability that any of the steps lies beyond the limit: the distribution of the running maximum (or minimum),
    /// where a path's errors have as much in common as they had in the past.
    pub fn probability(&self, limit: f64, crossing: Crossing) -> f64 {
        if limit.is_nan() {
            return 0.0;
        }
        let steps = self.centre.iter().zip(&self.width).enumerate();
        let scores: Vec<f64> = steps
            .map(|(ahead, (centre, width))| {
                // What is beyond all numbers is told apart before it meets the scale.
                let apart = match self.transform.forth(limit - self.growth * (ahead + 1) as f64) - centre {
                    apart if apart.is_nan() => limit,
                    apart => apart,
                };
                // On the limit itself a constant is not beyond it.
                let away = match crossing {
                    Crossing::Above => apart,
                    Crossing::Below => -apart,
                };
                let score = self.tails.normal(apart / width);
                match (crossing, *width > 0.0) {
                    (_, false) => {
                        if away >= 0.0 {
                            f64::INFINITY
                        } else {
                            f64::NEG_INFINITY
                        }
                    }
                    (Crossing::Above, true) => score,
                    (Crossing::Below, true) => -score,
                }
            })
            .collect();
        any_beyond(&scores, self.tails.shared, self.tails.memory)
    }

    /// Growth per row, in the series' unit; 0 for what may be chance.
    pub fn growth(&self) -> f64 {
        self.growth
    }
}

/// The combined path after the last row, and the combined errors of the past.
fn combined(rows: &[f64], seen: &[f64], periods: Periods, horizon: usize) -> (Vec<f64>, Errors) {
    // With less than three of a period, forecasts of the past can only be tried without it.
    let tried = if periods.long.is_some_and(|long| 3 * long > rows.len()) {
        Periods { long: None, ..periods }
    } else {
        periods
    };
    let origins = origins(rows.len(), tried);
    let season = Season::learn(rows, periods);
    let near = near(periods);
    let level = Level::choose(rows, &season, near);
    let reach = horizon.min(rows.len() / 2).max(1);
    let rates = smoothing::choose(rows, tried, &origins, reach.min(near));

    let mut paths: Vec<[Vec<f64>; METHODS]> = Vec::with_capacity(origins.len());
    let mut regression = Regression::new(rows, tried);
    for origin in &origins {
        let length = reach.min(rows.len() - origin);
        let known = &rows[..*origin];
        let mut of_level = vec![0.0; length];
        let mut of_lags = vec![0.0; length];
        let season = Season::learn(known, tried);
        level.path(known, &season, &mut of_level);
        if !regression.path(*origin, &mut of_lags) {
            of_lags.copy_from_slice(&of_level);
        }
        let of_smoothing = of_level.clone();
        paths.push([of_level, of_smoothing, of_lags]);
    }
    smoothing::paths(rows, tried, rates, &origins, reach, |origin, path| {
        if let Ok(place) = origins.binary_search(&origin) {
            paths[place][1].copy_from_slice(path);
        }
    });
    let sizes: [f64; METHODS] = std::array::from_fn(|method| {
        Errors {
            paths: origins
                .iter()
                .zip(&paths)
                .map(|(origin, path)| (*origin, apart(&path[method][..near.min(path[method].len())], &seen[*origin..])))
                .collect(),
        }
        .size()
    });
    let weights = weights(sizes);
    let errors = Errors {
        paths: origins
            .iter()
            .zip(&paths)
            .map(|(origin, path)| (*origin, apart(&weighted(path, weights), &seen[*origin..])))
            .collect(),
    };

    let mut base = vec![0.0; horizon];
    level.path(rows, &season, &mut base);
    let mut last: [Vec<f64>; METHODS] = std::array::from_fn(|_| base.clone());
    smoothing::paths(rows, periods, rates, &[rows.len()], horizon, |_, path| last[1].copy_from_slice(path));
    if !Regression::new(rows, periods).path(rows.len(), &mut last[2]) {
        last[2] = base;
    }
    (weighted(&last, weights), errors)
}

/// Steps over which forecasts are held against each other: two of the short period.
fn near(periods: Periods) -> usize {
    2 * periods.short.unwrap_or(24)
}

/// Where forecasts are tried: never one whole short period apart, so that every step meets every hour.
fn origins(count: usize, periods: Periods) -> Vec<usize> {
    let first = match (periods.long, periods.short) {
        (Some(long), _) => 2 * long,
        (None, Some(short)) => (2 * short).max(count / 2),
        (None, None) => (count / 2).max(5),
    };
    let step = (count.saturating_sub(first) / ORIGINS).max(1);
    let step = if periods.short.is_some_and(|short| step.is_multiple_of(short)) { step + 1 } else { step };
    (first..count).step_by(step).collect()
}

/// By the fourth power of the inverse mean absolute error: alike methods share, a bad one is left out.
fn weights(sizes: [f64; METHODS]) -> [f64; METHODS] {
    let best = sizes.iter().copied().fold(f64::INFINITY, f64::min);
    if !best.is_finite() {
        return [1.0 / METHODS as f64; METHODS];
    }
    let raw = sizes.map(|size| if size > best { (best / size).powi(4) } else { 1.0 });
    let sum: f64 = raw.iter().sum();
    raw.map(|weight| weight / sum)
}

fn weighted(paths: &[Vec<f64>; METHODS], weights: [f64; METHODS]) -> Vec<f64> {
    (0..paths[0].len()).map(|at| paths.iter().zip(weights).map(|(path, weight)| weight * path[at]).sum()).collect()
}

fn apart(path: &[f64], values: &[f64]) -> Vec<f64> {
    path.iter().zip(values).map(|(path, value)| value - path).collect()
}
