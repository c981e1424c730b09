//! The calendar of profiles: UTC, weeks begin on Monday.

/// Hours of a week: the buckets of a profile.
pub const HOURS_OF_WEEK: usize = 168;

/// Milliseconds of an hour.
pub(super) const HOUR_MS: i64 = 3_600_000;

/// Hour of the week in UTC: 0 is Monday 00:00 to 00:59, 167 is Sunday 23:00 to 23:59.
///
/// UTC and not local time: a database has no time zone of its own, and a week in UTC always has 168 hours.
pub fn hour_of_week(at_ms: i64) -> usize {
    hour_of_absolute(absolute_hour(at_ms))
}

/// Hour of the week of an hour since the Unix epoch.
pub(super) fn hour_of_absolute(hour: i64) -> usize {
    // The Unix epoch was a Thursday, three days after a Monday.
    (hour + 3 * 24).rem_euclid(HOURS_OF_WEEK as i64) as usize
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

    proptest! {
        #[test]
        fn an_hour_later_is_the_next_bucket(at in -1_000_000_000_000_i64..10_000_000_000_000) {
            prop_assert_eq!(hour_of_week(at + HOUR_MS), (hour_of_week(at) + 1) % HOURS_OF_WEEK);
        }
    }
}
