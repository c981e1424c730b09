//! `detect.trend`: a steady rise or fall over a window of time, without the season.
//!
//! The window is kept as 96 medians. Each time one is added, the season that the profile knows is taken out and the
//! slope after Theil and Sen is judged: it has to be faster than the rule's rate, and no chance ([`stats::chance_of_rise`]).
//! Needs no profile: without one, the season is left in.

use super::rate::{Per, Rate, rate};
use super::resolve::milliseconds;
use super::window::{DAY_MS, Lengths, Window, without_season};
use super::{Band, Detect, Evidence, FieldError, MetricSet, Sight};
use crate::api::{AnomalyRuleSpec, Direction, Sensitivity};
use crate::stats;

/// Stretches that a window has at most: a slope costs the square of that, some 30 µs.
const STRETCHES: i64 = 96;
/// Shortest stretch: as long as statements are apart by default.
const SHORTEST_MS: i64 = 60_000;
/// Stretches with a value below which there is no verdict.
const FEWEST: usize = 12;
/// Share of the window that values have to span: of less, the rate is guessed.
const SPANNED: f64 = 0.75;
const HOUR_MS: i64 = 3_600_000;

/// The chance that a rule of this sensitivity puts up with: of a slope that is none.
pub(super) fn accepted_chance(sensitivity: Sensitivity) -> f64 {
    match sensitivity {
        Sensitivity::Low => 0.001,
        Sensitivity::Medium => 0.01,
        Sensitivity::High => 0.05,
    }
}

/// A steady rise or fall.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trend {
    /// 1 for a rise, -1 for a fall.
    sign: f64,
    /// The rate that has to be exceeded; `None`: any.
    rate: Option<Rate>,
    lengths: Lengths,
    chance: f64,
}

/// What is remembered of one target.
#[derive(Clone, Debug, Default)]
pub struct TrendMemory {
    window: Window,
    found: Option<Slope>,
}

/// The slope over the window.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Slope {
    /// In the metric's unit per ms.
    per_ms: f64,
    /// Level of the line at the window's first value, without the season.
    level: f64,
    /// Level of the line at its last.
    level_now: f64,
    /// Time between them in ms.
    span_ms: f64,
    /// Probability that a slope so steady in the rule's direction is chance.
    chance: f64,
}

impl Detect for Trend {
    type Memory = TrendMemory;

    const NAME: &'static str = "trend";
    const NEEDS_PROFILE: bool = false;

    fn resolve(
        spec: &AnomalyRuleSpec,
        metric: usize,
        metrics: &MetricSet,
    ) -> Option<Result<(usize, Self), FieldError>> {
        let written = spec.detect.trend.as_ref()?;
        let resolved = || {
            let above = written.above.as_deref();
            let rate = above.map(|text| rate("detect.trend.above", text, metric, metrics)).transpose()?;
            let over = match &written.over {
                Some(text) => milliseconds("detect.trend.over", text)?,
                None => usual_window(rate),
            };
            if !(HOUR_MS..=30 * DAY_MS).contains(&over) {
                let found = written.over.as_ref().map_or("", |text| text.0.as_str());
                return Err(FieldError::new("detect.trend.over", &found, "1h to 30d"));
            }
            let stretch_ms = (over / STRETCHES).max(SHORTEST_MS);
            let count = usize::try_from(over / stretch_ms).unwrap_or(1);
            Ok((metric, Self {
                sign: if written.direction == Direction::Increasing { 1.0 } else { -1.0 },
                rate,
                lengths: Lengths { stretch_ms, count },
                chance: accepted_chance(spec.sensitivity),
            }))
        };
        Some(resolved())
    }

    fn history(&self) -> Option<i64> {
        Some(self.lengths.span_ms())
    }

    fn take(&self, memory: &mut TrendMemory, sight: &Sight<'_>) {
        if memory.window.take(&self.lengths, sight.at, sight.value) {
            memory.found = self.judge(&memory.window, sight);
        }
    }

    fn exceeds(&self, memory: &TrendMemory, _: &Sight<'_>) -> Option<bool> {
        let slope = memory.found?;
        Some(self.sign * slope.per_ms > self.least(&slope) && slope.chance < self.chance)
    }

    /// One less the probability that a slope so steady is chance.
    fn confidence(&self, memory: &TrendMemory, _: &Sight<'_>) -> f64 {
        memory.found.map_or(0.0, |slope| 1.0 - slope.chance)
    }

    /// The level at the window's start, and where the rate leads from there until its end; both without the season.
    fn band(&self, memory: &TrendMemory, _: &Sight<'_>) -> Band {
        let Some(slope) = memory.found else { return Band::default() };
        let bound = slope.level + self.sign * self.least(&slope) * slope.span_ms;
        let bound = Some(bound).filter(|bound| bound.is_finite());
        let (lower, upper) = if self.sign > 0.0 { (None, bound) } else { (bound, None) };
        Band { centre: Some(slope.level), lower, upper }
    }

    fn evidence(&self, memory: &TrendMemory, sight: &Sight<'_>, metrics: &MetricSet) -> Vec<Evidence> {
        let Some(slope) = memory.found else { return Vec::new() };
        let unit = metrics.get(sight.metric).map_or("", |descriptor| descriptor.unit.as_str());
        let per = self.rate.map_or(Per::Hour, |rate| rate.per);
        let amount = slope.per_ms * per.milliseconds();
        let mut evidence = vec![
            Evidence::number("slope", amount, format!("{unit}/{}", per.name())),
            Evidence::number("level at the start", slope.level, unit.to_owned()),
            Evidence::number("level now", slope.level_now, unit.to_owned()),
            Evidence::duration("over", slope.span_ms as i64),
            Evidence::number("chance", 100.0 * slope.chance, "%"),
        ];
        let share = 100.0 * amount / slope.level.abs();
        if share.is_finite() {
            evidence.insert(1, Evidence::number("slope, relative", share, format!("%/{}", per.name())));
        }
        evidence
    }
}

impl Trend {
    /// The slope that has to be exceeded, in the metric's unit per ms.
    fn least(&self, slope: &Slope) -> f64 {
        self.rate.map_or(0.0, |rate| rate.amount.of(slope.level) / rate.per.milliseconds())
    }

    fn judge(&self, window: &Window, sight: &Sight<'_>) -> Option<Slope> {
        let mut stretches = window.stretches(&self.lengths);
        without_season(&mut stretches, sight);
        let present = || stretches.iter().filter(|stretch| stretch.median.is_finite());
        let (first, last) = (present().next()?.at, present().next_back()?.at);
        let span_ms = (last - first) as f64;
        if present().count() < FEWEST || span_ms < SPANNED * self.lengths.span_ms() as f64 {
            return None;
        }
        let points: Vec<(f64, f64)> = present().map(|stretch| ((stretch.at - first) as f64, stretch.median)).collect();
        let line = stats::theil_sen(&points)?;
        let values: Vec<f64> = stretches.iter().map(|stretch| self.sign * stretch.median).collect();
        let chance = stats::chance_of_rise(&values, self.sign * line.slope * self.lengths.stretch_ms as f64);
        Some(Slope { per_ms: line.slope, level: line.at(0.0), level_now: line.at(span_ms), span_ms, chance })
    }
}

/// Long enough for a rate to show above the noise, and short enough to tell of it in time.
fn usual_window(rate: Option<Rate>) -> i64 {
    match rate.map(|rate| rate.per) {
        Some(Per::Second | Per::Minute) => HOUR_MS,
        Some(Per::Hour) => 3 * HOUR_MS,
        None => DAY_MS,
        Some(Per::Day) => 7 * DAY_MS,
        Some(Per::Week) => 28 * DAY_MS,
    }
}
