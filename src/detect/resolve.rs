//! The spec of an `AnomalyRule`, resolved once into what it means. Never consulted again after that.

use std::fmt;
use std::time::Duration;

use super::units::plain_number;
use super::{Detector, Memory, MetricSet, Sight, Verdict};
use crate::api::{AnomalyRuleSpec, DurationText};

/// Longest text that an error quotes, in characters.
const QUOTED: usize = 64;

/// Longest `for` and `resolveAfter`: 30 days, the longest window that a Baseline is learnt from.
const LONGEST_PATIENCE_MS: i64 = 30 * 86_400_000;

/// A field that says something it cannot mean.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{field}: found {found:?}, allowed {allowed}")]
pub struct FieldError {
    /// Path of the field below `spec`.
    pub field: String,
    /// What stands there, shortened.
    pub found: String,
    /// What may stand there.
    pub allowed: String,
}

impl FieldError {
    /// Names the field, what was found and what is allowed.
    pub fn new(field: impl Into<String>, found: &impl fmt::Display, allowed: impl Into<String>) -> Self {
        let found = found.to_string().chars().take(QUOTED).collect();
        Self { field: field.into(), found, allowed: allowed.into() }
    }
}

/// A rule, resolved: dense metric index, durations in ms, limits in the metric's unit.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Index of the metric that is judged; a limit in percent of a maximum judges the metric's share.
    pub metric: usize,
    /// Detector.
    pub detector: Detector,
    /// How long a breach must last, in ms.
    pub for_ms: i64,
    /// How long it must be clear, in ms.
    pub resolve_after_ms: i64,
    /// Least confidence of a breach, 0 to 1.
    pub minimum_confidence: f64,
}

/// Resolves a rule for a Baseline's metrics.
///
/// # Errors
/// [`FieldError`] naming the field, what was found and what is allowed: unknown metric, none or several detectors,
/// a number or unit that the metric does not have, a limit that can never or always be breached, a bad duration.
pub fn resolve(spec: &AnomalyRuleSpec, metrics: &MetricSet) -> Result<Rule, FieldError> {
    let metric = match &spec.detect.metric {
        Some(name) => metric_index("detect.metric", name, metrics)?,
        None => own_metric(spec, metrics)?,
    };
    let exactly_one =
        |found: &str| FieldError::new("detect", &found, format!("exactly one of {}", Detector::NAMES.join(", ")));
    let mut detectors = Detector::resolve_each(spec, metric, metrics);
    let (metric, detector) = detectors.next().ok_or_else(|| exactly_one("none"))??;
    if detectors.next().is_some() {
        return Err(exactly_one("several"));
    }
    let for_ms = patience("for", &spec.for_)?;
    let resolve_after_ms = spec.resolve_after.as_ref().map_or(Ok(for_ms), |text| patience("resolveAfter", text))?;
    let minimum_confidence = spec.confidence.as_ref().map_or(Ok(0.0), |percent| {
        let within = plain_number(percent).filter(|percent| (0.0..=100.0).contains(percent));
        let allowed = "0 to 100, such as 85 or \"99.9\"";
        within.map(|percent| percent / 100.0).ok_or_else(|| FieldError::new("confidence", percent, allowed))
    })?;
    Ok(Rule { metric, detector, for_ms, resolve_after_ms, minimum_confidence })
}

/// Index of a metric by its name.
///
/// # Errors
/// [`FieldError`] that lists the known names.
pub(super) fn metric_index(field: &str, name: &str, metrics: &MetricSet) -> Result<usize, FieldError> {
    metrics.index(name).ok_or_else(|| FieldError::new(field, &name, format!("one of {}", names(metrics))))
}

/// The names of all metrics, for a message.
pub(super) fn names(metrics: &MetricSet) -> String {
    metrics.iter().map(|metric| metric.name.as_str()).collect::<Vec<_>>().join(", ")
}

/// The metric of a detector that has metrics of its own: its rounds are those that count.
fn own_metric(spec: &AnomalyRuleSpec, metrics: &MetricSet) -> Result<usize, FieldError> {
    let detect = &spec.detect;
    if let Some(multivariate) = &detect.multivariate {
        let first = multivariate.metrics.first().map(|name| metric_index("detect.multivariate.metrics", name, metrics));
        return first.unwrap_or(Ok(0));
    }
    if detect.query_mix.is_some() || detect.expression.is_some() {
        return Ok(0);
    }
    Err(FieldError::new("detect.metric", &"none", format!("one of {}", names(metrics))))
}

/// How long something must last. An incident that takes longer than any window of history to open never does.
fn patience(field: &str, text: &DurationText) -> Result<i64, FieldError> {
    let milliseconds = milliseconds(field, text)?;
    if milliseconds > LONGEST_PATIENCE_MS {
        return Err(FieldError::new(field, &text.0, "at most 30d"));
    }
    Ok(milliseconds)
}

pub(super) fn milliseconds(field: &str, text: &DurationText) -> Result<i64, FieldError> {
    let allowed = "a whole number with one unit of ms, s, m, h, d, such as 5m";
    let duration = text.resolve().ok().as_ref().map(Duration::as_millis);
    duration
        .and_then(|milliseconds| i64::try_from(milliseconds).ok())
        .ok_or_else(|| FieldError::new(field, &text.0, allowed))
}

impl Rule {
    /// Indices of the metrics that are judged; an exception for one of them is for this rule.
    pub fn judged(&self) -> Vec<usize> {
        self.detector.judged(self.metric)
    }

    /// Whether the value breaches the rule. `None`: no verdict, because profile or memory are not enough yet.
    pub(super) fn breaches(&self, memory: &Memory, sight: &Sight<'_>) -> Option<bool> {
        let exceeds = self.detector.exceeds(memory, sight)?;
        // A tail probability costs more than all the rest: only what lies beyond the band pays for it.
        let is_sure =
            || self.minimum_confidence <= 0.0 || self.detector.confidence(memory, sight) >= self.minimum_confidence;
        Some(exceeds && is_sure())
    }

    /// What the rule says of a value. `None`: no verdict, because profile or memory are not enough yet.
    pub fn judge(&self, memory: &Memory, sight: &Sight<'_>) -> Option<Verdict> {
        let breach = self.breaches(memory, sight)?;
        let band = self.detector.band(memory, sight);
        let metric = self.detector.carrier(memory, sight);
        let value = if metric == sight.metric { sight.value } else { sight.value_of(metric).unwrap_or(f64::NAN) };
        let own = sight.normal.filter(|_| metric == sight.metric);
        let normal = own.or_else(|| sight.normal_of(metric));
        let from_centre = || normal.filter(|_| band.centre.is_some()).map(|normal| normal.sigmas(value));
        let sigmas = self.detector.sigmas(memory, sight).or_else(from_centre);
        Some(Verdict {
            at: sight.at,
            metric,
            value,
            centre: band.centre,
            lower: band.lower,
            upper: band.upper,
            sigmas,
            confidence: self.detector.confidence(memory, sight),
            breach,
        })
    }
}

#[cfg(test)]
mod tests;
