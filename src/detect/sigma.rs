//! `detect.sigma`: distance from the learnt centre of this hour of the week, in robust standard deviations.

use super::exception::WhileExpected;
use super::units::plain_number;
use super::verdict::PlainlyClear;
use super::{Band, Detect, Evidence, FieldError, MetricSet, Sight};
use crate::api::{AnomalyRuleSpec, Decimal, Sensitivity};

/// Factor on the sigmas of a rule of low sensitivity: a wider band.
const LOW_SENSITIVITY: f64 = 1.5;
/// Factor on the sigmas of a rule of high sensitivity: a narrower band.
const HIGH_SENSITIVITY: f64 = 0.75;

/// Distances below and above, in sigma, with what the rule's sensitivity makes of them. `field`: that of the detector.
///
/// # Errors
/// [`FieldError`] for what is no number of sigma.
pub(super) fn sides_in_sigma(
    field: &str,
    (below, above): (Option<&Decimal>, Option<&Decimal>),
    sensitivity: Sensitivity,
) -> Result<(Option<f64>, Option<f64>), FieldError> {
    let side = |name: &str, side: Option<&Decimal>| {
        side.map(|decimal| match plain_number(decimal) {
            Some(sigmas) if sigmas > 0.0 => Ok(sigmas * width(sensitivity)),
            _ => {
                let allowed = "a number of sigma greater than 0, such as 3 or \"2.5\"";
                Err(FieldError::new(format!("{field}.{name}"), decimal, allowed))
            }
        })
        .transpose()
    };
    Ok((side("below", below)?, side("above", above)?))
}

/// What a band in sigma is multiplied by for a rule of this sensitivity.
pub(super) fn width(sensitivity: Sensitivity) -> f64 {
    match sensitivity {
        Sensitivity::Low => LOW_SENSITIVITY,
        Sensitivity::Medium => 1.0,
        Sensitivity::High => HIGH_SENSITIVITY,
    }
}

/// An hour of the week for people, by the clock of the profile.
fn name_of_hour(hour: usize) -> String {
    const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
    format!("{}, {:02}:00 to {:02}:00", DAYS[hour / 24 % 7], hour % 24, hour % 24 + 1)
}

/// Distance from the learnt centre.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sigma {
    /// Breach when more than this many sigma below; sensitivity included.
    pub below: Option<f64>,
    /// Breach when more than this many sigma above; sensitivity included.
    pub above: Option<f64>,
}

impl Detect for Sigma {
    type Memory = ();

    const NAME: &'static str = "sigma";
    const NEEDS_PROFILE: bool = true;
    const NEEDS: &'static str = "values of its metric over 7 days, on 5 of them at the least";
    const BAND_IS_OF_VALUES: bool = true;
    const WHILE_EXPECTED: WhileExpected = WhileExpected::Moves;

    fn resolve(spec: &AnomalyRuleSpec, metric: usize, _: &MetricSet) -> Option<Result<(usize, Self), FieldError>> {
        let written = spec.detect.sigma.as_ref()?;
        let resolved = || {
            let sides = (written.below.as_ref(), written.above.as_ref());
            let (below, above) = sides_in_sigma("detect.sigma", sides, spec.sensitivity)?;
            if below.is_none() && above.is_none() {
                return Err(FieldError::new("detect.sigma", &"neither above nor below", "at least one of them"));
            }
            Ok((metric, Self { below, above }))
        };
        Some(resolved())
    }

    fn exceeds(&self, (): &(), sight: &Sight<'_>) -> Option<bool> {
        let normal = sight.normal?;
        // Before the clamp to physical bounds: rounding beyond a bound (100.00001 %) is no breach.
        let sigmas = normal.sigmas(sight.value);
        Some(self.above.is_some_and(|above| sigmas > above) || self.below.is_some_and(|below| sigmas < -below))
    }

    fn plainly_clear(&self) -> Option<PlainlyClear> {
        let bound = |side: Option<f64>| side.unwrap_or(f64::INFINITY);
        Some(PlainlyClear::Sigmas { below: bound(self.below), above: bound(self.above) })
    }

    /// One less the probability that the series' normal life goes that far: 0.999 means that one sample in a thousand
    /// does, to the side that the rule watches, or to either where it watches both.
    fn confidence(&self, (): &(), sight: &Sight<'_>) -> f64 {
        let Some(normal) = sight.normal else { return 0.0 };
        let probability = normal.probability(sight.value);
        let is_below = normal.sigmas(sight.value) < 0.0;
        match (self.below.is_some(), self.above.is_some()) {
            (true, true) => (1.0 - 2.0 * probability).max(0.0),
            // Far to the side that is not watched, nearly all of normal life lies farther to the other.
            (true, false) if !is_below => probability,
            (false, true) if is_below => probability,
            _ => 1.0 - probability,
        }
    }

    fn band(&self, (): &(), sight: &Sight<'_>) -> Band {
        sight.normal.map_or_else(Band::default, |normal| normal.sides(self.below, self.above))
    }

    fn evidence(&self, (): &(), sight: &Sight<'_>, metrics: &MetricSet) -> Vec<Evidence> {
        let Some(normal) = sight.normal else { return Vec::new() };
        let unit = metrics.get(sight.metric).map_or_else(String::new, |metric| metric.unit.clone());
        let stretch = if sight.value < normal.centre { normal.stretch.below } else { normal.stretch.above };
        let mut evidence = vec![
            Evidence::text("normal of", name_of_hour(sight.hour_of_week())),
            Evidence::number("usual then", normal.centre, unit.clone()),
            Evidence::number("one sigma", normal.scale * f64::from(stretch), unit.clone()),
        ];
        evidence.extend(Evidence::rarity(1.0 - self.confidence(&(), sight)));
        let learnt = sight.normal_of(sight.metric).map(|learnt| learnt.centre);
        if let Some(learnt) = learnt.filter(|learnt| (learnt - normal.centre).abs() > f64::EPSILON * learnt.abs()) {
            evidence.push(Evidence::number("usual without the exception", learnt, unit));
        }
        evidence
    }
}

#[cfg(test)]
mod tests {
    use super::super::Normal;
    use super::*;
    use crate::learn::{Stretch, Tails};

    const NORMAL: Normal = Normal {
        centre: 100.0,
        scale: 10.0,
        minimum: 0.0,
        maximum: 140.0,
        stretch: Stretch::NONE,
        tails: &Tails::GAUSSIAN,
        growth: 0.0,
    };
    const BOTH: Sigma = Sigma { below: Some(2.0), above: Some(3.0) };

    fn sight(value: f64) -> Sight<'static> {
        Sight::new(0, 0, value).with_normal(Some(NORMAL))
    }

    #[test]
    fn each_side_has_its_own_distance() {
        let cases = [(79.0, true), (81.0, false), (100.0, false), (129.0, false), (131.0, true)];
        for (value, exceeds) in cases {
            assert_eq!(BOTH.exceeds(&(), &sight(value)), Some(exceeds), "{value}");
        }
        let above = Sigma { below: None, ..BOTH };
        assert_eq!(above.exceeds(&(), &sight(0.0)), Some(false));
    }

    #[test]
    fn what_is_plainly_clear_does_not_exceed() {
        for detector in [BOTH, Sigma { below: None, ..BOTH }, Sigma { above: None, ..BOTH }] {
            let Some(PlainlyClear::Sigmas { below, above }) = detector.plainly_clear() else { panic!("{detector:?}") };
            for value in (0..4000).map(|step| f64::from(step) / 20.0) {
                let sigmas = NORMAL.sigmas(value);
                if sigmas > -below && sigmas < above {
                    assert_eq!(detector.exceeds(&(), &sight(value)), Some(false), "{detector:?} {value}");
                }
            }
        }
    }

    #[test]
    fn without_a_profile_there_is_no_verdict() {
        assert_eq!(BOTH.exceeds(&(), &Sight::new(0, 0, 1e9)), None);
    }

    #[test]
    fn bands_end_at_the_physical_bounds() {
        let band = BOTH.band(&(), &sight(100.0));
        assert_eq!(band, Band { centre: Some(100.0), lower: Some(80.0), upper: Some(130.0) });
        assert_eq!(NORMAL.band(20.0).lower, Some(0.0));
    }

    #[test]
    fn the_hour_its_centre_and_the_length_of_a_sigma_are_shown() {
        let normal = Normal { stretch: Stretch { below: 1.0, above: 2.0 }, maximum: f64::INFINITY, ..NORMAL };
        // 1970-01-01 was a Thursday.
        let sight = Sight::new(10 * 3_600_000, 0, 170.0).with_normal(Some(normal));
        let shown: Vec<String> = BOTH
            .evidence(&(), &sight, &MetricSet::new(&[]))
            .iter()
            .map(|one| format!("{}: {}", one.name, one.found))
            .collect();
        assert_eq!(shown[0], "normal of: Thursday, 10:00 to 11:00");
        assert!(shown[1].starts_with("usual then: 100") && shown[2].starts_with("one sigma: 20"), "{shown:?}");
        assert!(shown[3].starts_with("rarity: one sample in "), "{shown:?}");
    }

    #[test]
    fn a_side_with_a_long_tail_has_longer_sigmas() {
        let normal = Normal { stretch: Stretch { below: 1.0, above: 2.0 }, maximum: f64::INFINITY, ..NORMAL };
        let exceeds = |value| BOTH.exceeds(&(), &Sight::new(0, 0, value).with_normal(Some(normal)));
        assert_eq!([79.0, 81.0, 159.0, 161.0].map(exceeds), [Some(true), Some(false), Some(false), Some(true)]);
        let band = normal.band(2.0);
        assert_eq!((band.lower, band.upper), (Some(80.0), Some(140.0)));
    }

    #[test]
    fn confidence_is_the_share_of_normal_life_that_does_not_go_that_far() {
        let above = Sigma { below: None, ..BOTH };
        assert!((above.confidence(&(), &sight(130.0)) - 0.998_65).abs() < 1e-4);
        assert!((BOTH.confidence(&(), &sight(130.0)) - 0.997_3).abs() < 2e-4, "to either side");
        assert!((BOTH.confidence(&(), &sight(70.0)) - 0.997_3).abs() < 2e-4);
        assert!(BOTH.confidence(&(), &sight(100.0)).abs() < 1e-9);
        assert!(above.confidence(&(), &sight(70.0)) < 0.01, "the side that is not watched");
    }
}
