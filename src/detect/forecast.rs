//! `detect.forecast`: the hourly median is expected to cross a limit within a horizon.
//!
//! Remembered are the medians of the last 28 days' hours. Once per closed hour the future is computed from them
//! ([`stats::Outlook`]): daily and weekly season, a trend where it is no chance, and how wrong such a forecast was at
//! many hours of the past. The probability is that of the running extreme: that any of the hours ahead lies beyond the
//! limit. That costs 1.5 to 3 ms per rule and database, and only when a verdict is asked for: a replay of history costs one.
//! Needs no profile.

use std::sync::OnceLock;

use super::resolve::milliseconds;
use super::units::limits_in_unit;
use super::window::{Lengths, Window};
use super::{Band, Detect, Evidence, FieldError, MetricSet, Sight};
use crate::api::AnomalyRuleSpec;
use crate::stats::{Crossing, Outlook};

const HOUR_MS: i64 = 3_600_000;
/// Four weeks of hours: two weeks to learn a weekly season from, two to see how wrong its forecast is.
const REMEMBERED: Lengths = Lengths { stretch_ms: HOUR_MS, count: 28 * 24 };
/// Hours with a value below which there is no verdict: a day and its night.
const FEWEST: usize = 24;
/// A day and a week, in hours.
const PERIODS: [usize; 2] = [24, 168];
const MOST_HOURS: i64 = 30 * 24;

/// A limit that will be crossed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Forecast {
    /// Breach when expected below, in the metric's unit.
    below: Option<f64>,
    /// Breach when expected above, in the metric's unit.
    above: Option<f64>,
    /// Hours that are looked ahead.
    within: usize,
    /// Least probability of a crossing, 0 to 1.
    probability: f64,
    /// Physical bounds of the metric: no value is predicted beyond.
    minimum: f64,
    maximum: f64,
}

/// What is remembered of one target.
#[derive(Clone, Debug, Default)]
pub struct ForecastMemory {
    window: Window,
    /// Of the closed hours; computed when it is asked for, until the next one closes.
    prediction: OnceLock<Option<Prediction>>,
}

/// What the closed hours say of those to come.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Prediction {
    /// That the likelier of the two limits is crossed.
    probability: f64,
    limit: f64,
    /// Start of the first hour in which that is expected; `None` when not even the likely paths cross it.
    eta: Option<i64>,
    /// Whether the median path crosses it, and not only one in six paths.
    is_expected: bool,
    /// Median of the last closed hour.
    current: f64,
    /// Median and 95 % interval at the end of the horizon.
    predicted: [f64; 3],
    /// In the metric's unit per day; 0 when it may be chance.
    growth: f64,
}

impl Detect for Forecast {
    type Memory = ForecastMemory;

    const NAME: &'static str = "forecast";
    const NEEDS_PROFILE: bool = false;
    const NEEDS: &'static str = "24 hours of values of its metric";
    const TAKES_HOURS: bool = true;
    const PREDICTS: bool = true;

    fn resolve(
        spec: &AnomalyRuleSpec,
        metric: usize,
        metrics: &MetricSet,
    ) -> Option<Result<(usize, Self), FieldError>> {
        let written = spec.detect.forecast.as_ref()?;
        let resolved = || {
            let sides = (written.below.as_ref(), written.above.as_ref());
            let (judged, below, above) = limits_in_unit("detect.forecast", sides, metric, metrics)?;
            let within = milliseconds("detect.forecast.within", &written.within)?;
            if !(HOUR_MS..=MOST_HOURS * HOUR_MS).contains(&within) {
                return Err(FieldError::new("detect.forecast.within", &written.within.0, "1h to 30d"));
            }
            if !(1..=99).contains(&written.probability) {
                return Err(FieldError::new("detect.forecast.probability", &written.probability, "1 to 99 (percent)"));
            }
            let bounds = metrics.get(judged);
            let found = Self {
                below,
                above,
                within: usize::try_from(within / HOUR_MS).unwrap_or(1),
                probability: f64::from(written.probability) / 100.0,
                minimum: bounds.and_then(|metric| metric.minimum).unwrap_or(f64::NEG_INFINITY),
                maximum: bounds.and_then(|metric| metric.maximum).unwrap_or(f64::INFINITY),
            };
            found.can_breach()?;
            Ok((judged, found))
        };
        Some(resolved())
    }

    fn uses_profiles(&self) -> bool {
        false
    }

    fn history(&self) -> Option<i64> {
        Some(REMEMBERED.span_ms())
    }

    fn take(&self, memory: &mut ForecastMemory, sight: &Sight<'_>) {
        if memory.window.take(&REMEMBERED, sight.at, sight.value) {
            memory.prediction = OnceLock::new();
        }
    }

    fn exceeds(&self, memory: &ForecastMemory, _: &Sight<'_>) -> Option<bool> {
        Some(self.prediction(memory)?.probability >= self.probability)
    }

    /// The probability of the crossing.
    fn confidence(&self, memory: &ForecastMemory, _: &Sight<'_>) -> f64 {
        self.prediction(memory).map_or(0.0, |prediction| prediction.probability)
    }

    /// The limits: today's value is judged by where it will be.
    fn band(&self, _: &ForecastMemory, _: &Sight<'_>) -> Band {
        Band { centre: None, lower: self.below, upper: self.above }
    }

    fn evidence(&self, memory: &ForecastMemory, sight: &Sight<'_>, metrics: &MetricSet) -> Vec<Evidence> {
        let Some(found) = self.prediction(memory) else { return Vec::new() };
        let unit = metrics.get(sight.metric).map_or("", |descriptor| descriptor.unit.as_str());
        let ahead = if self.within.is_multiple_of(24) && self.within >= 48 {
            format!("{} days", self.within / 24)
        } else {
            format!("{} hours", self.within)
        };
        let mut evidence = vec![Evidence::number("probability", 100.0 * found.probability, "%")];
        if let Some(eta) = found.eta {
            let eta = eta.max(sight.at);
            evidence.push(Evidence::time(if found.is_expected { "eta" } else { "eta at the earliest" }, eta));
            evidence.push(Evidence::duration("time to limit", eta - sight.at));
        }
        evidence.push(Evidence::number("limit", found.limit, unit.to_owned()));
        evidence.push(Evidence::number("growth rate", found.growth, format!("{unit}/day")));
        let share = 100.0 * found.growth / found.current.abs();
        if share.is_finite() && unit != "%" {
            evidence.push(Evidence::number("growth rate, relative", share, "%/day"));
        }
        evidence.push(Evidence::number("current", found.current, unit.to_owned()));
        for (name, value) in ["predicted", "predicted at least", "predicted at most"].into_iter().zip(found.predicted) {
            evidence.push(Evidence::number(format!("{name} in {ahead}"), value, unit.to_owned()));
        }
        evidence
    }
}

impl Forecast {
    fn prediction(&self, memory: &ForecastMemory) -> Option<Prediction> {
        *memory.prediction.get_or_init(|| self.predict(&memory.window))
    }

    fn predict(&self, window: &Window) -> Option<Prediction> {
        let stretches = window.stretches(&REMEMBERED);
        let medians: Vec<f64> = stretches.iter().map(|stretch| stretch.median).collect();
        let known = medians.iter().filter(|median| median.is_finite()).count();
        let current = medians.iter().rev().copied().find(|median| median.is_finite())?;
        if known < FEWEST {
            return None;
        }
        let outlook = Outlook::new(&medians, &PERIODS, self.within)?;
        let side = |limit: Option<f64>, crossing| {
            limit.map(|limit| (outlook.probability(limit, crossing), limit, crossing))
        };
        let sides = [side(self.below, Crossing::Below), side(self.above, Crossing::Above)];
        let (probability, limit, crossing) =
            sides.into_iter().flatten().max_by(|one, other| one.0.total_cmp(&other.0))?;
        // The middle of the first hour ahead is one hour after the middle of the last closed one.
        let begins = |ahead: usize| stretches.last().map(|last| last.at + HOUR_MS / 2 + ahead as i64 * HOUR_MS);
        let crossed = |share: f64| {
            (0..self.within).find(|ahead| match crossing {
                Crossing::Above => outlook.quantile(*ahead, share) > limit,
                Crossing::Below => outlook.quantile(*ahead, 1.0 - share) < limit,
            })
        };
        let expected = crossed(0.5);
        // One standard deviation: the path that one in six exceeds.
        let eta = expected.or_else(|| crossed(5.0 / 6.0)).and_then(begins);
        let last = self.within - 1;
        let predicted = [0.5, 0.025, 0.975].map(|share| {
            let value = outlook.quantile(last, share);
            value.max(self.minimum).min(self.maximum)
        });
        let growth = 24.0 * outlook.growth();
        Some(Prediction { probability, limit, eta, is_expected: expected.is_some(), current, predicted, growth })
    }

    /// A limit at or beyond a physical bound is never crossed: such a rule would watch nothing and look healthy.
    fn can_breach(&self) -> Result<(), FieldError> {
        if let Some(above) = self.above
            && above >= self.maximum
        {
            let allowed = format!("less than {}: the metric is never above that", self.maximum);
            return Err(FieldError::new("detect.forecast.above", &above, allowed));
        }
        if let Some(below) = self.below
            && below <= self.minimum
        {
            let allowed = format!("more than {}: the metric is never below that", self.minimum);
            return Err(FieldError::new("detect.forecast.below", &below, allowed));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
