//! What a detector says.

use super::when::When;
use crate::learn::{MonthlySlot, Stretch, Tails};

/// What is normal for one metric at one instant: the profile's bucket of that hour.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normal<'a> {
    /// Centre, in the metric's unit.
    pub centre: f64,
    /// Robust standard deviation, in the metric's unit; greater than 0.
    pub scale: f64,
    /// Physical minimum; negative infinity when there is none.
    pub minimum: f64,
    /// Physical maximum; infinity when there is none.
    pub maximum: f64,
    /// How much longer than the scale a sigma to each side is, so that three are as rare as three of Gaussian noise.
    pub stretch: Stretch,
    /// How often normal life goes how far. By reference: read only for what lies beyond a band.
    pub tails: &'a Tails,
    /// What the centre holds of growth, in the metric's unit: without it, it is the season's.
    pub growth: f64,
}

impl Normal<'_> {
    /// With what comes once a month, when that is now.
    pub(super) fn in_month(self, slots: &[MonthlySlot], when: &When<'_>) -> Self {
        let Some(now) = when.of_month() else { return self };
        let slot = slots.iter().find(|slot| slot.is_at(now));
        let raised = slot.and_then(|slot| slot.raised(self.centre, self.scale, self.stretch));
        raised.map_or(self, |(centre, scale)| Self { centre, scale, stretch: Stretch::NONE, ..self })
    }

    /// The band of so many sigma to both sides, within the physical bounds.
    pub fn band(&self, sigmas: f64) -> Band {
        self.sides(Some(sigmas), Some(sigmas))
    }

    /// The band with a bound on the sides given, in sigma, within the physical bounds.
    pub(super) fn sides(&self, below: Option<f64>, above: Option<f64>) -> Band {
        let within = |value: f64| value.max(self.minimum).min(self.maximum);
        Band {
            centre: Some(self.centre),
            lower: below.map(|sigmas| within(self.centre - sigmas * self.scale * f64::from(self.stretch.below))),
            upper: above.map(|sigmas| within(self.centre + sigmas * self.scale * f64::from(self.stretch.above))),
        }
    }

    /// Signed distance of a value from the centre, in sigma.
    pub fn sigmas(&self, value: f64) -> f64 {
        let distance = (value - self.centre) / self.scale;
        distance / f64::from(if distance < 0.0 { self.stretch.below } else { self.stretch.above })
    }

    /// Probability that the series' normal life lies at least as far from the centre, to the side of the value. Beyond
    /// a physical bound counts as at the bound.
    pub fn probability(&self, value: f64) -> f64 {
        let sigmas = self.sigmas(value.max(self.minimum).min(self.maximum));
        if sigmas < 0.0 { self.tails.below.probability(-sigmas) } else { self.tails.above.probability(sigmas) }
    }
}

/// The band of values that are normal, in the metric's unit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Band {
    /// Centre; `None` for fixed limits.
    pub centre: Option<f64>,
    /// Lower bound, when there is one.
    pub lower: Option<f64>,
    /// Upper bound, when there is one.
    pub upper: Option<f64>,
}

/// Values that a detector finds clear, whatever came before and whatever else is seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum PlainlyClear {
    /// From the one to the other, in the metric's unit; infinite where there is no bound.
    Between(f64, f64),
    /// So many sigma around what is normal now, where that is known.
    Sigmas { below: f64, above: f64 },
}

/// What a rule says of one value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// Time of the value, milliseconds since the Unix epoch.
    pub at: i64,
    /// Index of the metric that it speaks of: the rule's, or the one that carries the departure where a detector judges
    /// several.
    pub metric: usize,
    /// Value, in the metric's unit.
    pub value: f64,
    /// Centre of the band; `None` for fixed limits.
    pub centre: Option<f64>,
    /// Lower bound, when there is one; never below the physical minimum.
    pub lower: Option<f64>,
    /// Upper bound, when there is one; never above the physical maximum.
    pub upper: Option<f64>,
    /// Signed distance from the centre in robust standard deviations, or among peers, or of all metrics together; `None`
    /// for fixed limits.
    pub sigmas: Option<f64>,
    /// How sure the detector is that this is no chance, 0 to 1.
    pub confidence: f64,
    /// Beyond the band, and at least as sure as the rule demands.
    pub breach: bool,
}
