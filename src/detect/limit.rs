//! `detect.limit`: a fixed limit, in the metric's unit or in percent of its maximum. Needs no profile: it works from
//! the first minute.

use super::exception::WhileExpected;
use super::units::limits_in_unit;
use super::verdict::PlainlyClear;
use super::{Band, Detect, Evidence, FieldError, MetricSet, Sight};
use crate::api::AnomalyRuleSpec;

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
    const BAND_IS_OF_VALUES: bool = true;
    const WHILE_EXPECTED: WhileExpected = WhileExpected::Moves;

    fn resolve(
        spec: &AnomalyRuleSpec,
        metric: usize,
        metrics: &MetricSet,
    ) -> Option<Result<(usize, Self), FieldError>> {
        let written = spec.detect.limit.as_ref()?;
        let resolved = || {
            let sides = (written.below.as_ref(), written.above.as_ref());
            let (metric, below, above) = limits_in_unit("detect.limit", sides, metric, metrics)?;
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

    /// 1 beyond the limit, else 0: that is a fact, not an estimate.
    fn confidence(&self, (): &(), sight: &Sight<'_>) -> f64 {
        f64::from(u8::from(self.exceeds(&(), sight) == Some(true)))
    }

    fn band(&self, (): &(), _: &Sight<'_>) -> Band {
        Band { centre: None, lower: self.below, upper: self.above }
    }

    fn evidence(&self, (): &(), sight: &Sight<'_>, metrics: &MetricSet) -> Vec<Evidence> {
        let unit = metrics.get(sight.metric).map_or("", |metric| metric.unit.as_str());
        let number = |name: &'static str, value: f64| Evidence::number(name, value, unit.to_owned());
        let below = self.below.filter(|below| sight.value < *below);
        let above = self.above.filter(|above| sight.value > *above);
        let beyond = below.or(above).map(|limit| number("beyond it by", (sight.value - limit).abs()));
        let limits = [("allowed from", self.below), ("allowed up to", self.above)];
        let limits = limits.into_iter().filter_map(|(name, limit)| limit.map(|limit| number(name, limit)));
        limits.chain(beyond).collect()
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
    fn the_limits_are_shown_and_how_far_beyond_one_the_value_lies() {
        let limit = Limit { below: Some(10.0), above: Some(85.0) };
        let evidence = limit.evidence(&(), &Sight::new(0, 0, 90.0), &MetricSet::default());
        let shown: Vec<String> = evidence.iter().map(|one| format!("{}: {}", one.name, one.found)).collect();
        assert_eq!(shown, ["allowed from: 10", "allowed up to: 85", "beyond it by: 5"]);
    }

    #[test]
    fn a_limit_is_certain_and_has_no_centre() {
        let limit = Limit { below: None, above: Some(85.0) };
        let sight = Sight::new(0, 0, 90.0);
        assert!((limit.confidence(&(), &sight) - 1.0).abs() < f64::EPSILON);
        assert!(limit.confidence(&(), &Sight::new(0, 0, 80.0)).abs() < f64::EPSILON);
        assert_eq!(limit.band(&(), &sight), Band { centre: None, lower: None, upper: Some(85.0) });
    }
}
