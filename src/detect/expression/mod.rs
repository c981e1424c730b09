//! `detect.expression`: a condition in CEL over the value, what is normal for it, the time, and other metrics.
//!
//! Compiled once, when the rule is resolved, into a tree of numbers and truth values ([`evaluate`]); a sample walks that
//! tree and allocates nothing. A metric that has no value gives no verdict, as far as it matters.

mod compile;
mod evaluate;
#[cfg(test)]
mod tests;
mod words;

use std::sync::Arc;

use compile::{Scope, compile};
use evaluate::{Name, Truth, Values};

use super::exception::WhileExpected;
use super::sigma::width;
use super::{Band, Detect, Evidence, FieldError, MetricSet, Sight};
use crate::api::AnomalyRuleSpec;
use crate::measure::Cadence;

/// Longest time for which the last value of a metric over statements stands in for the rounds between, in intervals of
/// that metric: as long as a rule waits before it says that there is no data.
const HELD_INTERVALS: i64 = 3;
/// The same in ms before a second value has shown how far apart they are: three times the usual minute.
const HELD_AT_FIRST_MS: i64 = 180_000;

/// A condition over the value, what is normal for it, the time, and other metrics.
#[derive(Clone, Debug, PartialEq)]
pub struct Expression {
    truth: Arc<Truth>,
    /// Other metrics that it names.
    others: Vec<Other>,
    needs_profile: bool,
    /// Whether `current` and the baseline have a meaning.
    has_metric: bool,
    /// Whether the text speaks of the rule's metric by one of these names.
    names_metric: bool,
    /// Factor on `baseline_std_dev`: the rule's sensitivity.
    width: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Other {
    metric: usize,
    /// It has fewer values than the rule's metric: the last one is held in between.
    slower: bool,
}

/// The last value of a slower metric.
#[derive(Clone, Copy, Debug)]
struct Held {
    value: f64,
    at: i64,
    /// How long it is held, in ms.
    patience_ms: i64,
}

/// What is remembered of one target: the last values of slower metrics, in the order in which they are named.
#[derive(Clone, Debug, Default)]
pub struct ExpressionMemory(Vec<Option<Held>>);

impl Detect for Expression {
    type Memory = ExpressionMemory;

    const NAME: &'static str = "expression";
    const NEEDS_PROFILE: bool = false;
    const NEEDS: &'static str = "values of the metrics that it names, and 7 days of them where it names what is normal";
    const WHILE_EXPECTED: WhileExpected = WhileExpected::Moves;

    fn resolve(
        spec: &AnomalyRuleSpec,
        metric: usize,
        metrics: &MetricSet,
    ) -> Option<Result<(usize, Self), FieldError>> {
        let text = spec.detect.expression.as_deref()?;
        let has_metric = spec.detect.metric.is_some();
        let resolved = || {
            let compiled = compile(text, Scope { metrics, has_metric })?;
            let cadence = |index: usize| metrics.get(index).map(|descriptor| descriptor.cadence);
            let slow = Some(Cadence::Statements);
            // Without a metric of its own, it is judged as often as the quickest of those that it names.
            let quickest = || compiled.metrics.iter().find(|index| cadence(**index) != slow);
            let metric = if has_metric {
                metric
            } else {
                *quickest().or(compiled.metrics.first()).ok_or_else(|| {
                    let allowed = "at least one of current and metrics.NAME: this depends on no measurement";
                    FieldError::new("detect.expression", &text, allowed)
                })?
            };
            if has_metric && !compiled.names_metric && compiled.metrics.is_empty() {
                let allowed = "at least one of current and metrics.NAME: this depends on no measurement";
                return Err(FieldError::new("detect.expression", &text, allowed));
            }
            let slower = |index: usize| cadence(metric) != slow && cadence(index) == slow;
            Ok((metric, Self {
                truth: Arc::new(compiled.truth),
                others: compiled.metrics.iter().map(|index| Other { metric: *index, slower: slower(*index) }).collect(),
                needs_profile: compiled.needs_profile,
                has_metric,
                names_metric: compiled.names_metric,
                width: width(spec.sensitivity),
            }))
        };
        Some(resolved())
    }

    fn waits_for_profile(&self) -> bool {
        self.needs_profile
    }

    fn uses_profiles(&self) -> bool {
        self.needs_profile
    }

    /// Those that the text names: a rule's metric may only say how often it is judged.
    fn judged(&self, metric: usize) -> Vec<usize> {
        let own = self.names_metric.then_some(metric);
        let others = self.others.iter().map(|other| other.metric).filter(|other| own != Some(*other));
        own.into_iter().chain(others).collect()
    }

    fn take(&self, memory: &mut ExpressionMemory, sight: &Sight<'_>) {
        memory.0.resize(self.others.len(), None);
        for (other, held) in self.others.iter().zip(&mut memory.0) {
            let value = if other.slower { sight.value_of(other.metric) } else { None };
            if let Some(value) = value {
                let apart = held.map(|held| sight.at.saturating_sub(held.at)).filter(|apart| *apart > 0);
                let patience_ms = apart.map_or(HELD_AT_FIRST_MS, |apart| apart.saturating_mul(HELD_INTERVALS));
                *held = Some(Held { value, at: sight.at, patience_ms });
            }
        }
    }

    fn exceeds(&self, memory: &ExpressionMemory, sight: &Sight<'_>) -> Option<bool> {
        self.truth.holds(&Seen { expression: self, memory, sight, as_measured: false })
    }

    /// Where it speaks of what is normal: one less the probability that normal life goes as far from it as the value
    /// does. Else 1 or 0: what is written down is true or it is not.
    fn confidence(&self, memory: &ExpressionMemory, sight: &Sight<'_>) -> f64 {
        if !self.needs_profile {
            return f64::from(u8::from(self.exceeds(memory, sight) == Some(true)));
        }
        let normal = sight.expected_normal();
        normal.map_or(0.0, |normal| (1.0 - 2.0 * normal.probability(sight.value)).max(0.0))
    }

    fn band(&self, _: &ExpressionMemory, sight: &Sight<'_>) -> Band {
        let normal = if self.needs_profile { sight.expected_normal() } else { None };
        Band { centre: normal.map(|normal| normal.centre), lower: None, upper: None }
    }

    fn evidence(&self, memory: &ExpressionMemory, sight: &Sight<'_>, metrics: &MetricSet) -> Vec<Evidence> {
        let seen = Seen { expression: self, memory, sight, as_measured: true };
        let unit = |metric: usize| metrics.get(metric).map_or_else(String::new, |descriptor| descriptor.unit.clone());
        let named = Name::ALL.iter().filter(|(_, name)| self.truth.names(*name));
        let mut evidence: Vec<Evidence> = named
            .filter_map(|(text, name)| {
                let unit = if name.is_of_metric() { unit(sight.metric) } else { String::new() };
                Some(Evidence::number(*text, seen.named(*name)?, unit))
            })
            .collect();
        for other in &self.others {
            if let (Some(descriptor), Some(value)) = (metrics.get(other.metric), seen.metric(other.metric)) {
                evidence.push(Evidence::number(format!("metrics.{}", descriptor.name), value, unit(other.metric)));
            }
        }
        evidence
    }
}

/// What an expression sees of one sample.
struct Seen<'a> {
    expression: &'a Expression,
    memory: &'a ExpressionMemory,
    sight: &'a Sight<'a>,
    /// Values are what they are, also where another load is expected: for people.
    as_measured: bool,
}

impl Seen<'_> {
    /// What a value counts as. `current` beside its baseline is itself: there it is the baseline that moves.
    fn counted(&self, metric: usize, value: f64) -> Option<f64> {
        if self.as_measured { Some(value) } else { self.sight.as_usual(metric, value) }
    }
}

impl Values for Seen<'_> {
    fn named(&self, name: Name) -> Option<f64> {
        let hour = self.sight.hour_of_week();
        let normal = || self.sight.expected_normal();
        let value = match name {
            Name::Hour => (hour % 24) as f64,
            Name::DayOfWeek => (hour / 24 + 1) as f64,
            _ if !self.expression.has_metric => return None,
            Name::Current if self.expression.needs_profile => self.sight.value,
            Name::Current => self.counted(self.sight.metric, self.sight.value)?,
            Name::BaselineMean => normal()?.centre,
            Name::BaselineStandardDeviation => normal()?.scale * self.expression.width,
        };
        Some(value)
    }

    fn metric(&self, index: usize) -> Option<f64> {
        if index == self.sight.metric {
            return self.counted(index, self.sight.value);
        }
        if let Some(value) = self.sight.value_of(index) {
            return self.counted(index, value);
        }
        let place = self.expression.others.iter().position(|other| other.metric == index)?;
        let held = self.memory.0.get(place).copied().flatten()?;
        let is_fresh = self.sight.at.saturating_sub(held.at) <= held.patience_ms;
        if is_fresh { self.counted(index, held.value) } else { None }
    }
}
