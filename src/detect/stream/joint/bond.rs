//! Whether several series move together as they do.
//!
//! What is judged is how far each value lies from what its own stream expected: that has no season and hardly a memory of
//! its own, so that rows are comparable. Their distance from where such rows lie is [`stats::Joint`]'s, and how rarely it
//! is so great is learnt as it comes.

use statrs::function::erf::erfc;

use super::super::evidence::{self, Found as Evidence};
use super::super::news::News;
use super::super::{Departure, FINEST_STEP_MS, GAP_STEPS, decades, follow, score};
use crate::stats::{self, DecayedTail, DecayedTailOptions};

/// Rows before anything is judged: as many as a stream needs, and then as many again of its residuals.
const FIRST_JUDGED: u32 = 300;
/// As the cautious tail of a stream.
const TAIL: DecayedTailOptions = DecayedTailOptions {
    share: 0.1,
    prior_values: evidence::PRIOR_SAMPLES,
    half_life: evidence::WHOLE_HALF_LIFE,
    cluster: 8,
    prior_shape: evidence::PRIOR_SHAPE,
    prior_exceedances: evidence::PRIOR_EXCEEDANCES,
};
/// Weight of a row that is anomalous: a broken bond is not to be learnt within the hour.
const DOUBTFUL_TRUST: f64 = 0.05;
/// Greatest residual that is reckoned with, in half widths of the band.
const GREATEST: f32 = 1e3;

/// How the columns hang together.
#[derive(Clone, Debug)]
pub(super) struct Bond {
    joint: stats::Joint,
    tail: DecayedTail,
    news: News,
    seen: u32,
    first_at: i64,
    last_at: i64,
    step: f64,
    open: bool,
    /// Least decades of an anomalous row.
    threshold: f64,
}

/// What is said of one row.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    pub score: f64,
    pub anomalous: bool,
    pub open: bool,
    /// The column that carries most.
    pub column: usize,
    /// Columns that carry the distance, with their shares.
    pub shares: Vec<(usize, f64)>,
}

impl Bond {
    pub fn new(threshold: f64) -> Self {
        let threshold = decades(threshold);
        let normal = |distance: f64| 0.5 * erfc(distance * std::f64::consts::FRAC_1_SQRT_2);
        Self {
            joint: stats::Joint::default(),
            tail: DecayedTail::new(TAIL, normal),
            news: News::new(threshold),
            seen: 0,
            first_at: 0,
            last_at: i64::MIN,
            step: 0.0,
            open: false,
            threshold,
        }
    }

    /// Judges a row of residuals, `NaN` where there is none, and learns from it. Fewer than two have no bond, and a row
    /// that is not later than the last one is passed over.
    pub fn sample(&mut self, at: i64, residuals: &[f32]) -> Found {
        let there = residuals.iter().filter(|residual| residual.is_finite()).count();
        if there < 2 || at <= self.last_at {
            let silent = at.saturating_sub(self.last_at) as f64;
            let open = self.open && silent <= GAP_STEPS * self.step.max(FINEST_STEP_MS);
            return Found { open, ..Found::default() };
        }
        let elapsed = if self.seen == 0 { 0.0 } else { at.saturating_sub(self.last_at) as f64 };
        if self.seen == 0 {
            self.first_at = at;
        }
        follow(&mut self.step, elapsed);
        self.last_at = at;
        self.seen = self.seen.saturating_add(1);
        let residuals: Vec<f32> = residuals.iter().map(|residual| residual.clamp(-GREATEST, GREATEST)).collect();
        let mut found = Found { open: self.open, ..Found::default() };
        let mut trust = 1.0;
        if let Some(distance) = self.joint.distance(&residuals).filter(|distance| distance.count > 1) {
            let normalised = distance.normalised();
            let decades = self.tail.decades(normalised);
            if self.seen >= FIRST_JUDGED {
                let age = at.saturating_sub(self.first_at);
                let evidence = Evidence { decades, lasting: 0.0, rarity: decades, departure: Departure::Bond };
                let told = self.news.tell(&evidence, self.step, elapsed, age);
                self.open = told.incident.is_some();
                found = Found { score: score(told.decades), anomalous: told.anomalous, open: self.open, ..found };
            }
            if decades >= self.threshold {
                trust = DOUBTFUL_TRUST;
            }
            self.tail.push(normalised);
            let shares = distance.shares.iter().enumerate().filter(|(_, share)| **share > 0.0);
            found.shares = shares.map(|(column, share)| (column, f64::from(*share))).collect();
            let most = found.shares.iter().max_by(|one, other| one.1.total_cmp(&other.1));
            found.column = most.map_or(0, |(column, _)| *column);
        }
        self.joint.take(&residuals, trust);
        found
    }
}
