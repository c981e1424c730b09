//! A glance: nearly all values are so plainly normal that nothing has to be asked, remembered or written for them. What a
//! glance needs of a rule lies side by side for a target's rules, apart from all else that is kept of them.

use super::watched::Watched;
use crate::detect::Phase;
use crate::detect::columns::Columns;
use crate::detect::verdict::PlainlyClear;

/// Share of a distance in sigma that a glance judges by: nearer to a bound, exact arithmetic decides.
const SURELY_WITHIN: f64 = 0.999;

/// A rule at a glance. It knows the profile of its metric, and is made anew with it.
#[derive(Clone, Copy)]
pub(super) struct Glance {
    metric: u16,
    by: By,
    /// Values passed since the rule was stepped last.
    passed: bool,
    /// Least and greatest value, or scales below and above the centre, that are surely clear.
    bounds: (f32, f32),
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum By {
    /// It has to be stepped.
    Nothing,
    Value,
    Scales,
}

impl Glance {
    /// A rule that has to be stepped.
    pub const NONE: Self = Self { metric: 0, bounds: (0.0, 0.0), by: By::Nothing, passed: false };

    /// What a clear value of this rule need not change: it is normal, has judged before, and nothing else counts. `first`:
    /// where the series of its target begin.
    pub fn at(watched: &Watched, columns: &Columns, first: usize) -> Self {
        let quiet = watched.incident.phase() == Phase::Normal
            && !watched.incident.no_data()
            && watched.judged == Some(true)
            && !watched.cold
            && watched.exempt.quiet_until().is_some();
        let clear = if quiet { watched.rule.detector.plainly_clear() } else { None };
        let (Some(clear), Ok(metric)) = (clear, u16::try_from(watched.rule.metric)) else { return Self::NONE };
        let (by, bounds) = match clear {
            // No value is one that is not finite.
            PlainlyClear::Between(lower, upper) => {
                (By::Value, (not_below(lower).max(f32::MIN), -not_below(-upper).max(f32::MIN)))
            }
            PlainlyClear::Sigmas { below, above } => {
                let Some(stretch) = columns.plain_stretch(first + usize::from(metric)) else { return Self::NONE };
                let scales = |sigmas: f64, stretch: f32| (sigmas * f64::from(stretch) * SURELY_WITHIN) as f32;
                (By::Scales, (scales(below, stretch.below), scales(above, stretch.above)))
            }
        };
        Self { metric, bounds, by, passed: false }
    }

    /// Whether it is one.
    pub fn is_some(&self) -> bool {
        self.by != By::Nothing
    }

    /// Whether a round changes nothing for the rule, of a target whose series begin there, in that hour of the week.
    pub fn passes(&mut self, values: &[f32], columns: &Columns, first: usize, hour: usize) -> bool {
        let metric = usize::from(self.metric);
        let Some(value) = values.get(metric).copied() else { return false };
        let passes = match self.by {
            By::Nothing => false,
            By::Value => value >= self.bounds.0 && value <= self.bounds.1,
            By::Scales => columns.is_within(first + metric, hour, value, self.bounds),
        };
        // Nothing is written for most: what is read only stays shared in the processor's caches.
        if passes && !self.passed {
            self.passed = true;
        }
        passes
    }

    /// Whether values passed since the rule was stepped last.
    pub fn has_passed(&self) -> bool {
        self.passed
    }
}

/// The least `f32` that is not below a bound.
fn not_below(bound: f64) -> f32 {
    let nearest = bound as f32;
    if f64::from(nearest) < bound { nearest.next_up() } else { nearest }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_rounded_to_the_inside() {
        for bound in [0.1, -0.1, 1.0, 16_777_217.0, -16_777_217.0, 1e-50, -1e-50, f64::MAX, f64::MIN, f64::INFINITY] {
            assert!(f64::from(not_below(bound)) >= bound, "{bound}");
            assert!(f64::from(-not_below(-bound)) <= bound, "{bound}");
        }
        assert_eq!((not_below(1.0), not_below(f64::NEG_INFINITY)), (1.0, f32::NEG_INFINITY));
    }

    #[test]
    fn it_is_small() {
        assert_eq!(size_of::<Glance>(), 12);
    }
}
