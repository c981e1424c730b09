//! `detect.limit`: a fixed limit, in the metric's unit or in percent of its maximum. Needs no profile: it works from
//! the first minute.

use super::exception::WhileExpected;
use super::units::limit_in_unit;
use super::verdict::PlainlyClear;
use super::{Band, Detect, FieldError, MetricSet, Sight};
use crate::api::{AnomalyRuleSpec, Decimal};

/// A fixed limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limit {
    /// Breach when below, in the metric's unit.
    pub below: Option<f64>,
    /// Breach when above, in the metric's unit.
    pub above: Option<f64>,
}

impl Detect for Limit {
    type Memory = ();

    const NAME: &'static str = "limit";
    const NEEDS_PROFILE: bool = false;
    const NEEDS: &'static str = "a value of its metric";
    const WHILE_EXPECTED: WhileExpected = WhileExpected::Moves;

    fn resolve(
        spec: &AnomalyRuleSpec,
        metric: usize,
        metrics: &MetricSet,
    ) -> Option<Result<(usize, Self), FieldError>> {
        let written = spec.detect.limit.as_ref()?;
        let side = |field: &str, side: Option<&Decimal>| {
            side.map(|decimal| limit_in_unit(&format!("detect.limit.{field}"), decimal, metric, metrics)).transpose()
        };
        let resolved = || {
            let (below, above) = (side("below", written.below.as_ref())?, side("above", written.above.as_ref())?);
            let metric = match (below, above) {
                (None, None) => {
                    return Err(FieldError::new("detect.limit", &"neither above nor below", "at least one of them"));
                }
                (Some((below, _)), Some((above, _))) if below != above => {
                    let allowed = "both in percent of the maximum or both in the metric's unit";
                    return Err(FieldError::new("detect.limit", &"above and below of different kinds", allowed));
                }
                (Some((judged, _)), _) | (_, Some((judged, _))) => judged,
            };
            let (below, above) = (below.map(|(_, value)| value), above.map(|(_, value)| value));
            if let (Some(below), Some(above)) = (below, above)
                && below >= above
            {
                let found = format!("below {below}, above {above}");
                return Err(FieldError::new("detect.limit", &found, "below less than above: all values would breach"));
            }
            can_breach(metric, below, above, metrics)?;
            Ok((metric, Self { below, above }))
        };
        Some(resolved())
    }

    fn uses_profiles(&self) -> bool {
        false
    }

    fn exceeds(&self, (): &(), sight: &Sight<'_>) -> Option<bool> {
        let above = self.above.is_some_and(|above| sight.value > above);
        Some(above || self.below.is_some_and(|below| sight.value < below))
    }

    fn plainly_clear(&self) -> Option<PlainlyClear> {
        let (below, above) = (self.below.unwrap_or(f64::NEG_INFINITY), self.above.unwrap_or(f64::INFINITY));
        Some(PlainlyClear::Between(below, above))
    }

    /// Always 1: beyond a limit is a fact, not an estimate.
    fn confidence(&self, (): &(), _: &Sight<'_>) -> f64 {
        1.0
    }

    fn band(&self, (): &(), _: &Sight<'_>) -> Band {
        Band { centre: None, lower: self.below, upper: self.above }
    }
}

/// A limit at or beyond a physical bound can never be breached: such a rule would watch nothing and look healthy.
fn can_breach(metric: usize, below: Option<f64>, above: Option<f64>, metrics: &MetricSet) -> Result<(), FieldError> {
    let Some(descriptor) = metrics.get(metric) else { return Ok(()) };
    let (name, unit) = (&descriptor.name, &descriptor.unit);
    if let (Some(above), Some(maximum)) = (above, descriptor.maximum)
        && above >= maximum
    {
        let allowed = format!("less than {maximum} {unit}: {name} is never above that");
        return Err(FieldError::new("detect.limit.above", &above, allowed));
    }
    if let (Some(below), Some(minimum)) = (below, descriptor.minimum)
        && below <= minimum
    {
        let allowed = format!("more than {minimum} {unit}: {name} is never below that");
        return Err(FieldError::new("detect.limit.below", &below, allowed));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_values_beyond_the_limit_exceed_it() {
        let limit = Limit { below: Some(10.0), above: Some(85.0) };
        for (value, exceeds) in [(9.9, true), (10.0, false), (85.0, false), (85.1, true)] {
            assert_eq!(limit.exceeds(&(), &Sight::new(0, 0, value)), Some(exceeds), "{value}");
        }
    }

    #[test]
    fn a_limit_is_certain_and_has_no_centre() {
        let limit = Limit { below: None, above: Some(85.0) };
        let sight = Sight::new(0, 0, 90.0);
        assert!((limit.confidence(&(), &sight) - 1.0).abs() < f64::EPSILON);
        assert_eq!(limit.band(&(), &sight), Band { centre: None, lower: None, upper: Some(85.0) });
    }
}
