//! What is expected of a metric while an exception is active.

use crate::api::Decimal;
use crate::detect::units::limit_in_unit;
use crate::detect::{FieldError, MetricSet, Normal};

/// Greatest factor: beyond it nothing is a statement about a load.
const GREATEST_FACTOR: f64 = 1e6;
/// What lies within so many sigma of the expected level is expected: a load of 10x is not 10.0x.
const TOLERANCE_SIGMAS: f64 = 3.0;

/// What is expected of a metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Expectation {
    /// So many times what is normal; greater than 0.
    Factor(f64),
    /// Up, or down, to these levels, in the metric's unit.
    Levels {
        /// Lowest.
        low: f64,
        /// Highest; at least `low`.
        high: f64,
    },
}

impl Expectation {
    /// Reads `10x`, `95%`, `200ms` or `100ms..400ms`. A level in percent of a metric that is no percentage itself is one of
    /// its share of the maximum, a metric of its own: the index of what is expected comes with it.
    pub(super) fn resolve(
        field: &str,
        load: &Decimal,
        metric: usize,
        metrics: &MetricSet,
    ) -> Result<(usize, Self), FieldError> {
        let level = |decimal: &Decimal| {
            limit_in_unit(field, decimal, metric, metrics).map_err(|error| FieldError {
                allowed: format!("a factor such as 10x, two levels a..b, or {}", error.allowed),
                found: error.found,
                field: error.field,
            })
        };
        let Decimal::Text(text) = load else {
            let (of, value) = level(load)?;
            return Ok((of, Self::Levels { low: value, high: value }));
        };
        if let Ok((factor, "x")) = load.resolve() {
            return if factor > 0.0 && factor <= GREATEST_FACTOR {
                Ok((metric, Self::Factor(factor)))
            } else {
                Err(FieldError::new(field, load, format!("a factor greater than 0 and at most {GREATEST_FACTOR}")))
            };
        }
        let (low, high) = text.split_once("..").unwrap_or((text, text));
        let ((of, low), (of_high, high)) = (level(&Decimal::Text(low.into()))?, level(&Decimal::Text(high.into()))?);
        if of != of_high || low > high {
            let allowed = "two levels of the same kind, the lower one first, such as 100ms..400ms";
            return Err(FieldError::new(field, load, allowed));
        }
        Ok((of, Self::Levels { low, high }))
    }

    /// What is normal for a value: what is learnt, moved towards the expected as far as the value goes that way. Its
    /// scale is multiplied like its centre. So a peak of half the expected size is as normal as the whole one, and what goes
    /// beyond is judged from the expected level on.
    pub fn normal<'a>(&self, learnt: Normal<'a>, value: f64) -> Normal<'a> {
        match *self {
            Self::Factor(factor) => {
                let expected = learnt.centre * factor;
                let whole = expected - learnt.centre;
                // A centre of zero stays where it is; its scale alone tells what is expected.
                let share = if whole == 0.0 { 1.0 } else { ((value - learnt.centre) / whole).clamp(0.0, 1.0) };
                let scale = learnt.scale * (1.0 + share * (factor - 1.0));
                Normal { centre: learnt.centre + share * whole, scale: scale.max(f64::MIN_POSITIVE), ..learnt }
            }
            Self::Levels { low, high } => {
                let (lowest, highest) = (low.min(learnt.centre), high.max(learnt.centre));
                Normal { centre: value.max(lowest).min(highest), ..learnt }
            }
        }
    }

    /// Whether a value beyond a fixed limit is within what is expected; a factor says that only of what was learnt.
    pub fn covers(&self, value: f64, learnt: Option<&Normal>, above: bool) -> bool {
        let (low, high) = match *self {
            Self::Levels { low, high } => (low, high),
            Self::Factor(factor) => {
                let Some(learnt) = learnt else { return false };
                let (expected, tolerance) = (learnt.centre * factor, learnt.scale * factor * TOLERANCE_SIGMAS);
                (expected - tolerance, expected + tolerance)
            }
        };
        if above { value <= high } else { value >= low }
    }
}

/// What is normal for a value of a metric: by the expectation of it that the value fits best, else what is learnt.
pub(in crate::detect) fn fitting<'a>(
    expected: &[(usize, Expectation)],
    metric: usize,
    learnt: Normal<'a>,
    value: f64,
) -> Normal<'a> {
    let distance = |normal: &Normal| normal.sigmas(value).abs();
    let of_metric = expected.iter().filter(|(of, _)| *of == metric);
    let each = of_metric.map(|(_, expectation)| expectation.normal(learnt, value));
    each.fold(learnt, |best, normal| if distance(&normal) < distance(&best) { normal } else { best })
}

/// What a value of a metric counts as where it is compared with something that no expectation moves: one that lies within
/// what is expected is as good as the learnt centre, any other is itself. `None` when it is expected and nothing is learnt.
pub(in crate::detect) fn as_usual(
    expected: &[(usize, Expectation)],
    metric: usize,
    learnt: Option<&Normal>,
    value: f64,
) -> Option<f64> {
    let mut of_metric = expected.iter().filter(|(of, _)| *of == metric).map(|(_, expectation)| expectation).peekable();
    if of_metric.peek().is_none() {
        return Some(value);
    }
    let is_expected = of_metric.any(|expectation| match (learnt, expectation) {
        (Some(learnt), _) => expectation.normal(*learnt, value).sigmas(value).abs() <= TOLERANCE_SIGMAS,
        (None, Expectation::Levels { low, high }) => (*low..=*high).contains(&value),
        // So many times what nobody knows.
        (None, Expectation::Factor(_)) => false,
    });
    if is_expected { learnt.map(|learnt| learnt.centre) } else { Some(value) }
}
