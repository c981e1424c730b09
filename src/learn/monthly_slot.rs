//! What comes once a month: the hours of the month at which more than usual is normal.

use super::calendar::HourOfMonth;
use super::tails::Stretch;

/// Sigmas within which lies what a hour of a batch may show: from what is usual at that hour to the batch's peak. A rule of
/// three sigma bears half a sigma more of either, one of high sensitivity (2.25) still bears all of it.
const REACH: f64 = 2.0;

/// Hours of the month of one series at most: three batches of a day.
pub const MOST_MONTHLY_SLOTS: usize = 72;

/// An hour of a month at which a batch comes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MonthlySlot {
    /// Number of the day, 1 to 31; [`Self::LAST_DAY`] for the last one.
    pub day: u8,
    /// Hour of the day, 0 to 23.
    pub hour: u8,
    /// What the highest values of that hour usually are when it comes, in the metric's unit.
    pub level: f32,
    /// How far these differ from month to month, in the metric's unit; greater than 0.
    pub scale: f32,
}

impl MonthlySlot {
    /// Stands for the last day of a month, whichever that is.
    pub const LAST_DAY: u8 = 32;

    /// Whether it comes at that hour.
    pub fn is_at(&self, at: HourOfMonth) -> bool {
        self.hour == at.hour && (self.day == at.day || self.day == Self::LAST_DAY && at.is_last)
    }

    /// Whether it is one that can be learnt.
    pub(super) fn is_valid(&self) -> bool {
        (1..=Self::LAST_DAY).contains(&self.day)
            && self.hour < 24
            && self.level.is_finite()
            && self.scale > 0.0
            && self.scale.is_finite()
    }

    /// Centre and scale of its hour, from those that the hour has without it. The band reaches from what is usual to the
    /// batch's peak: it begins within the hour, ends before the next or is left out for once, and all of that is normal.
    /// `None` where the usual band holds all of it.
    pub fn raised(&self, centre: f64, scale: f64, stretch: Stretch) -> Option<(f64, f64)> {
        let lowest = centre - REACH * scale * f64::from(stretch.below);
        let usual_highest = centre + REACH * scale * f64::from(stretch.above);
        let highest = f64::from(self.level) + REACH * f64::from(self.scale);
        (highest > usual_highest).then(|| (f64::midpoint(lowest, highest), (highest - lowest) / (2.0 * REACH)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOT: MonthlySlot = MonthlySlot { day: 1, hour: 2, level: 400.0, scale: 20.0 };

    #[test]
    fn a_batch_and_its_absence_are_normal_and_a_greater_one_is_not() {
        let (centre, scale) = SLOT.raised(50.0, 5.0, Stretch::NONE).unwrap();
        let sigmas = |value: f64| (value - centre) / scale;
        for usual in [40.0, 50.0, 200.0, 400.0, 440.0] {
            assert!(sigmas(usual).abs() <= REACH, "{usual}: {}", sigmas(usual));
        }
        assert!(sigmas(800.0) > 5.0 && sigmas(-100.0) < -3.0);
    }

    #[test]
    fn a_usual_band_that_holds_the_batch_stays_as_it_is() {
        assert_eq!(SLOT.raised(400.0, 50.0, Stretch::NONE), None);
        assert_eq!(SLOT.raised(300.0, 20.0, Stretch { below: 1.0, above: 4.0 }), None);
    }

    #[test]
    fn the_last_day_is_whichever_that_is() {
        let last = MonthlySlot { day: MonthlySlot::LAST_DAY, ..SLOT };
        let at = |day, is_last, hour| HourOfMonth { day, is_last, hour };
        assert!(last.is_at(at(28, true, 2)) && last.is_at(at(31, true, 2)));
        assert!(!last.is_at(at(28, false, 2)) && !last.is_at(at(31, true, 3)));
        assert!(SLOT.is_at(at(1, false, 2)) && !SLOT.is_at(at(2, false, 2)));
    }
}
