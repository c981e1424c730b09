//! The spec of an `AnomalyException`, resolved once: when, for which rules and pods, and what then counts.
//!
//! **Suppressed**: a rule gives no verdict. Nothing opens, no timer advances, and what is open stays open as it is: a
//! silence proves no recovery.
//!
//! **Expected**: whatever lies between what is normal and what is expected is no breach ([`Expectation`]).

mod active;
mod expectation;

use super::resolve::{metric_index, milliseconds};
use super::schedule::{Calendar, Window};
use super::{FieldError, MetricSet};
use crate::api::AnomalyExceptionSpec;
pub(super) use active::{Active, Exempt, WhileExpected};
pub use expectation::Expectation;
pub(super) use expectation::{as_usual, fitting};

/// An exception, resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Exception {
    /// When.
    pub calendar: Calendar,
    /// Names of the rules that it is for; empty: all.
    pub rules: Vec<String>,
    /// Names of the pods that it is for; empty: all.
    pub pods: Vec<String>,
    /// What then counts.
    pub effect: Effect,
}

/// What counts while an exception is active.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Rules of these metrics are not judged; of all when empty.
    Suppress(Vec<usize>),
    /// What is expected, by metric.
    Expect(Vec<(usize, Expectation)>),
}

/// Resolves an exception for a Baseline's metrics.
///
/// # Errors
/// [`FieldError`] naming the field, what was found and what is allowed: none or several of schedule and dates, or of
/// suppress and expect; a schedule, date, duration or time zone that cannot be read; a metric that is not measured; a
/// number or unit that the metric does not have.
pub fn resolve(spec: &AnomalyExceptionSpec, metrics: &MetricSet) -> Result<Exception, FieldError> {
    let calendar = match (&spec.schedule, &spec.dates[..]) {
        (Some(schedule), []) => {
            let duration = spec.duration.as_ref().map(|text| milliseconds("duration", text)).transpose()?;
            Calendar::schedule(schedule, duration, &spec.time_zone)?
        }
        (None, []) => return Err(FieldError::new("schedule", &"neither schedule nor dates", "exactly one of them")),
        (None, _) if spec.duration.is_some() => {
            return Err(FieldError::new("duration", &"a duration beside dates", "none: dates have an end"));
        }
        (None, dates) => {
            Calendar::dates(dates.iter().map(|range| (range.from.as_str(), range.to.as_str())), &spec.time_zone)?
        }
        (Some(_), _) => return Err(FieldError::new("schedule", &"both schedule and dates", "exactly one of them")),
    };
    let effect = match (spec.suppress.unwrap_or(false), spec.expect.is_empty()) {
        (true, true) => {
            let known = spec.metrics.iter().map(|name| metric_index("metrics", name, metrics));
            let mut silent = known.collect::<Result<Vec<usize>, _>>()?;
            // A limit in percent of a metric's maximum judges its share.
            let shares: Vec<usize> = silent.iter().filter_map(|of| share(*of, metrics)).collect();
            silent.extend(shares);
            Effect::Suppress(silent)
        }
        (false, false) if !spec.metrics.is_empty() => {
            let allowed = "none: expect names its metrics itself";
            return Err(FieldError::new("metrics", &"metrics beside expect", allowed));
        }
        (false, false) => Effect::Expect(expected(spec, metrics)?),
        (both, _) => {
            let found = if both { "both suppress and expect" } else { "neither suppress: true nor expect" };
            return Err(FieldError::new("suppress", &found, "exactly one of them"));
        }
    };
    Ok(Exception { calendar, rules: spec.rules.clone(), pods: spec.pods.clone(), effect })
}

fn expected(spec: &AnomalyExceptionSpec, metrics: &MetricSet) -> Result<Vec<(usize, Expectation)>, FieldError> {
    let mut expected = Vec::with_capacity(spec.expect.len());
    for (name, load) in &spec.expect {
        let of = metric_index("expect", name, metrics)?;
        expected.push(Expectation::resolve(&format!("expect.{name}"), load, of, metrics)?);
    }
    // What doubles a metric doubles its share of the maximum.
    let shares: Vec<_> = expected
        .iter()
        .filter(|(_, expectation)| matches!(expectation, Expectation::Factor(_)))
        .filter_map(|(of, expectation)| {
            let share = share(*of, metrics)?;
            (!expected.iter().any(|(metric, _)| *metric == share)).then_some((share, *expectation))
        })
        .collect();
    expected.extend(shares);
    Ok(expected)
}

/// The metric that is another's share of its maximum.
fn share(metric: usize, metrics: &MetricSet) -> Option<usize> {
    metrics.index(metrics.get(metric)?.share.as_deref()?)
}

impl Exception {
    /// Whether it is for the rules of this pod.
    pub fn is_for_pod(&self, pod: &str) -> bool {
        self.pods.is_empty() || self.pods.iter().any(|name| name == pod)
    }

    /// Whether it is for this rule.
    pub fn is_for_rule(&self, rule: &str) -> bool {
        self.rules.is_empty() || self.rules.iter().any(|name| name == rule)
    }

    /// The windows of the span whose samples of a metric say nothing of what is normal; `judged` are the metrics of the
    /// rules that it is for.
    pub fn leaves_out(&self, metric: usize, judged: &[usize], span: Window) -> Vec<Window> {
        let concerned = match &self.effect {
            Effect::Suppress(metrics) if !metrics.is_empty() => metrics.contains(&metric),
            Effect::Suppress(_) => self.rules.is_empty() || judged.contains(&metric),
            Effect::Expect(expected) => expected.iter().any(|(of, _)| *of == metric),
        };
        if concerned { self.calendar.within(span) } else { Vec::new() }
    }
}

#[cfg(test)]
mod tests;
