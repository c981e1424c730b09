//! The exceptions of one rule and target, and which of them are active: a comparison per sample.

use std::sync::Arc;

use super::{Effect, Exception, Expectation};
use crate::detect::{ChangeKind, Detector, Normal};

/// What counts now.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::detect) enum Active {
    /// Nothing known happens: the rule judges as ever.
    #[default]
    None,
    /// There is no verdict.
    Suppressed,
    /// Of the rule's metric this is expected; never empty.
    Expected(Vec<Expectation>),
}

impl Active {
    /// What is normal for a value: by the expectation that it fits best.
    pub fn normal<'a>(&self, learnt: Option<Normal<'a>>, value: f64) -> Option<Normal<'a>> {
        let Self::Expected(expected) = self else { return learnt };
        let learnt = learnt?;
        let each = expected.iter().map(|expectation| expectation.normal(learnt, value));
        let distance = |normal: &Normal| normal.sigmas(value).abs();
        Some(each.fold(learnt, |best, normal| if distance(&normal) < distance(&best) { normal } else { best }))
    }

    /// Whether a value beyond a fixed limit is expected.
    pub fn covers(&self, value: f64, learnt: Option<&Normal>, above: bool) -> bool {
        matches!(self, Self::Expected(expected) if expected.iter().any(|one| one.covers(value, learnt, above)))
    }
}

/// The exceptions of one rule and target.
#[derive(Debug)]
pub(in crate::detect) struct Exempt {
    exceptions: Vec<Arc<Exception>>,
    active: Active,
    /// The span that `active` holds for, in ms since the Unix epoch.
    from: i64,
    until: i64,
}

impl Default for Exempt {
    fn default() -> Self {
        Self { exceptions: Vec::new(), active: Active::None, from: i64::MIN, until: i64::MAX }
    }
}

impl Exempt {
    /// Judges by these from the next sample on. What is active is kept until then, so that its end is noticed.
    pub fn set(&mut self, exceptions: Vec<Arc<Exception>>) {
        self.exceptions = exceptions;
        (self.from, self.until) = (i64::MAX, i64::MIN);
    }

    /// Looks what is active at an instant; true when the rule is now silent, expecting or judging as ever, and was not.
    pub fn refresh(&mut self, at: i64, metric: usize, detector: &Detector) -> bool {
        if self.from <= at && at < self.until {
            return false;
        }
        let (mut active, mut until) = (Active::None, i64::MAX);
        for exception in &self.exceptions {
            let calendar = &exception.calendar;
            until = until.min(calendar.next(at).map_or(i64::MAX, |window| window.from));
            if let Some(window) = calendar.current(at) {
                until = until.min(window.to);
                active = with(active, &exception.effect, metric, detector);
            }
        }
        (self.from, self.until) = (at, until);
        let changed = std::mem::discriminant(&active) != std::mem::discriminant(&self.active);
        self.active = active;
        changed
    }

    /// What the last [`Exempt::refresh`] that was a change is told as.
    pub fn edge(&self) -> ChangeKind {
        if self.is_active() { ChangeKind::ExceptionBegan } else { ChangeKind::ExceptionOver }
    }

    /// Whether any exception is active, as of the last [`Exempt::refresh`].
    pub fn is_active(&self) -> bool {
        self.active != Active::None
    }

    /// Whether there is no verdict, as of the last [`Exempt::refresh`].
    pub fn is_suppressed(&self) -> bool {
        self.active == Active::Suppressed
    }

    /// What is active, as of the last [`Exempt::refresh`].
    pub fn active(&self) -> &Active {
        &self.active
    }
}

/// What counts when one more exception is active. Silence goes before every expectation.
fn with(active: Active, effect: &Effect, metric: usize, detector: &Detector) -> Active {
    match effect {
        Effect::Suppress(metrics) if metrics.is_empty() || detector.judges_all() || metrics.contains(&metric) => {
            Active::Suppressed
        }
        Effect::Expect(_) if detector.judges_all() => Active::Suppressed,
        Effect::Expect(expected) => {
            let Some((_, expectation)) = expected.iter().find(|(of, _)| *of == metric) else { return active };
            match active {
                Active::Suppressed => Active::Suppressed,
                _ if !scales(detector) => Active::Suppressed,
                Active::None => Active::Expected(vec![*expectation]),
                Active::Expected(mut all) => {
                    all.push(*expectation);
                    Active::Expected(all)
                }
            }
        }
        Effect::Suppress(_) => active,
    }
}

/// Whether a detector judges each value by what is normal or by a fixed limit, which an expectation can move. One that
/// judges a course of values has no verdict while another load is expected.
fn scales(detector: &Detector) -> bool {
    matches!(detector, Detector::Sigma(_) | Detector::Limit(_))
}
