//! The calendar of profiles: hours of the week by a local clock, UTC unless another is asked for. Weeks begin on Monday.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Hours of a week: the buckets of a profile.
pub const HOURS_OF_WEEK: usize = 168;

/// Milliseconds of an hour.
pub(super) const HOUR_MS: i64 = 3_600_000;

/// Hour of the week in UTC: 0 is Monday 00:00 to 00:59, 167 is Sunday 23:00 to 23:59.
pub fn hour_of_week(at_ms: i64) -> usize {
    hour_of_absolute(absolute_hour(at_ms))
}

/// Hour of the week by a clock, in UTC without one.
pub fn hour_by(clock: Option<&Clock>, at_ms: i64) -> usize {
    clock.map_or_else(|| hour_of_week(at_ms), |clock| clock.hour_of_week(at_ms))
}

/// An hour of a month.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HourOfMonth {
    /// Number of the day, 1 to 31.
    pub day: u8,
    /// Whether it is the last day of its month.
    pub is_last: bool,
    /// Hour of the day, 0 to 23.
    pub hour: u8,
}

/// Hour of the month by a clock, in UTC without one; `None` for an instant that no calendar has.
pub fn hour_of_month_by(clock: Option<&Clock>, at_ms: i64) -> Option<HourOfMonth> {
    let hour = absolute_hour(clock.map_or(at_ms, |clock| clock.local(at_ms)));
    let (day, is_last) = day_of_month(hour.div_euclid(24))?;
    Some(HourOfMonth { day, is_last, hour: hour.rem_euclid(24) as u8 })
}

/// Number of a day in its month, and whether it is the last there; of a day since the Unix epoch.
pub(super) fn day_of_month(day: i64) -> Option<(u8, bool)> {
    let date = jiff::civil::date(1970, 1, 1).checked_add(jiff::Span::new().try_days(day).ok()?).ok()?;
    Some((u8::try_from(date.day()).ok()?, date.day() == date.days_in_month()))
}

/// Hour of the week of an hour since the Unix epoch.
pub(super) fn hour_of_absolute(hour: i64) -> usize {
    // The Unix epoch was a Thursday, three days after a Monday.
    (hour + 3 * 24).rem_euclid(HOURS_OF_WEEK as i64) as usize
}

/// A local clock over a span of time: what it is ahead of UTC, and when that changes.
///
/// A workload that follows people moves by an hour twice a year as UTC sees it. By their own clock it does not. The hour
/// that the clock repeats in autumn counts as one; the one that it skips in spring is not there.
#[derive(Clone, Debug, PartialEq)]
pub struct Clock {
    name: String,
    /// From when on it is ahead by so many ms; the first holds before its instant as well.
    changes: Vec<(i64, i64)>,
}

/// Changes that are looked up at most: four years of two.
const MOST_CHANGES: usize = 8;

impl Clock {
    /// Coordinated universal time.
    pub fn utc() -> Self {
        Self { name: "UTC".to_owned(), changes: vec![(i64::MIN, 0)] }
    }

    /// A time zone's clock between two instants, milliseconds since the Unix epoch. Changes after the eighth are not
    /// known to it.
    pub fn new(zone: &TimeZone, from: i64, to: i64) -> Self {
        let Ok(begin) = Timestamp::from_millisecond(from) else { return Self::utc() };
        let ahead = |at: Timestamp| i64::from(zone.to_offset(at).seconds()) * 1_000;
        let mut changes = vec![(i64::MIN, ahead(begin))];
        let following = zone.following(begin).map(|change| change.timestamp());
        changes.extend(
            following
                .take_while(|at| at.as_millisecond() <= to)
                .take(MOST_CHANGES)
                .map(|at| (at.as_millisecond(), ahead(at))),
        );
        Self { name: zone.iana_name().unwrap_or("UTC").to_owned(), changes }
    }

    /// Name of the zone.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How far the clock is ahead of UTC at an instant, in ms, and the instant up to which that holds.
    pub fn ahead(&self, at: i64) -> (i64, i64) {
        let next = self.changes.partition_point(|(from, _)| *from <= at).max(1);
        (self.changes[next - 1].1, self.changes.get(next).map_or(i64::MAX, |(from, _)| *from))
    }

    /// What the clock shows, as if it were UTC: milliseconds since the epoch.
    pub fn local(&self, at: i64) -> i64 {
        at.saturating_add(self.ahead(at).0)
    }

    /// Hour of the week by this clock: 0 is Monday 00:00 to 00:59.
    pub fn hour_of_week(&self, at: i64) -> usize {
        hour_of_week(self.local(at))
    }
}

/// Hours since the Unix epoch.
pub(super) fn absolute_hour(at_ms: i64) -> i64 {
    at_ms.div_euclid(HOUR_MS)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> i64 {
        text.parse::<jiff::Timestamp>().map_or(i64::MIN, jiff::Timestamp::as_millisecond)
    }

    #[test]
    fn monday_at_midnight_in_utc_is_hour_zero() {
        assert_eq!(hour_of_week(at("2026-11-23T00:00:00Z")), 0);
        assert_eq!(hour_of_week(at("2026-11-23T00:59:59.999Z")), 0);
        assert_eq!(hour_of_week(at("2026-11-22T23:59:59.999Z")), 167);
        assert_eq!(hour_of_week(at("2026-11-25T14:30:00Z")), 2 * 24 + 14);
        assert_eq!(hour_of_week(0), 3 * 24);
        assert_eq!(hour_of_week(-1), 3 * 24 - 1);
    }

    #[test]
    fn a_clock_follows_its_zone_over_its_changes() {
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let clock = Clock::new(&zone, at("2026-03-01T00:00:00Z"), at("2026-12-01T00:00:00Z"));
        // Monday 09:00 in winter, in summer and in winter again.
        for utc in ["2026-03-23T08:00:00Z", "2026-03-30T07:00:00Z", "2026-10-19T07:00:00Z", "2026-10-26T08:00:00Z"] {
            assert_eq!(clock.hour_of_week(at(utc)), 9, "{utc}");
        }
        assert_eq!(clock.ahead(at("2026-03-01T00:00:00Z")), (HOUR_MS, at("2026-03-29T01:00:00Z")));
        assert_eq!(Clock::utc().hour_of_week(at("2026-03-30T07:00:00Z")), 7);
        assert_eq!(Clock::utc().ahead(0), (0, i64::MAX));
    }

    #[test]
    fn an_hour_of_the_month_goes_by_the_clock_and_knows_the_last_day() {
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let clock = Clock::new(&zone, at("2026-01-01T00:00:00Z"), at("2026-12-01T00:00:00Z"));
        let of = |text: &str| hour_of_month_by(Some(&clock), at(text)).map(|of| (of.day, of.is_last, of.hour));
        assert_eq!(of("2026-02-28T22:30:00Z"), Some((28, true, 23)));
        assert_eq!(of("2026-02-28T23:30:00Z"), Some((1, false, 0)));
        assert_eq!(of("2026-07-31T21:59:00Z"), Some((31, true, 23)));
        let utc = hour_of_month_by(None, at("2026-02-28T23:30:00Z"));
        assert_eq!(utc, Some(HourOfMonth { day: 28, is_last: true, hour: 23 }));
        assert_eq!(hour_of_month_by(None, i64::MAX), None);
    }

    proptest! {
        #[test]
        fn any_instant_has_an_hour(at in any::<i64>(), from in any::<i64>(), to in any::<i64>()) {
            let zone = TimeZone::posix("EST5EDT,M3.2.0,M11.1.0").unwrap();
            prop_assert!(Clock::new(&zone, from, to).hour_of_week(at) < HOURS_OF_WEEK);
        }

        #[test]
        fn an_hour_later_is_the_next_bucket(at in -1_000_000_000_000_i64..10_000_000_000_000) {
            prop_assert_eq!(hour_of_week(at + HOUR_MS), (hour_of_week(at) + 1) % HOURS_OF_WEEK);
        }
    }
}
