//! Timestamps: RFC 3339, or `YYYY-MM-DD hh:mm:ss` in UTC; read quickly, and written as the file writes them.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::temporal::Pieces;
use jiff::tz::TimeZone;

/// What messages say of timestamps.
pub(super) const ALLOWED: &str = "a time that exists, as RFC 3339 (2026-03-01T12:00:00Z) or YYYY-MM-DD hh:mm:ss in UTC";

const DAY_MS: i64 = 86_400_000;

/// How a file writes its timestamps; what is added to it (a forecast) is written the same way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TimestampFormat {
    /// Between date and time: `T` or a space.
    pub separator: char,
    /// Digits of a second's fraction, 0 to 9.
    pub fraction: u8,
    /// What stands for the zone.
    pub zone: Zone,
}

/// How a timestamp says its zone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Zone {
    /// Not at all: UTC.
    None,
    /// `Z`.
    Utc,
    /// `+hh:mm` or `-hh:mm`: minutes east of UTC.
    Offset(i16),
}

impl Default for TimestampFormat {
    fn default() -> Self {
        Self { separator: 'T', fraction: 0, zone: Zone::Utc }
    }
}

impl TimestampFormat {
    /// An instant (milliseconds since the Unix epoch) in this form. A fraction that the form has no room for is left out.
    pub fn print(&self, at: i64) -> String {
        let minutes = match self.zone {
            Zone::Offset(minutes) => i64::from(minutes),
            Zone::None | Zone::Utc => 0,
        };
        let local = at.saturating_add(minutes * 60_000);
        let (year, month, day) = civil(local.div_euclid(DAY_MS));
        let time = local.rem_euclid(DAY_MS);
        let (hour, minute, second) = (time / 3_600_000, time / 60_000 % 60, time / 1000 % 60);
        let mut text = format!("{year:04}-{month:02}-{day:02}{}{hour:02}:{minute:02}:{second:02}", self.separator);
        if self.fraction > 0 {
            let digits = format!("{:03}000000", time % 1000);
            text.push('.');
            text.push_str(&digits[..usize::from(self.fraction.min(9))]);
        }
        match self.zone {
            Zone::None => {}
            Zone::Utc => text.push('Z'),
            Zone::Offset(minutes) => {
                let (sign, size) = (if minutes < 0 { '-' } else { '+' }, minutes.unsigned_abs());
                text.push_str(&format!("{sign}{:02}:{:02}", size / 60, size % 60));
            }
        }
        text
    }
}

/// Milliseconds since the Unix epoch, fractions of one cut off, and the form; `None` when it is no timestamp.
pub(super) fn parse(cell: &[u8]) -> Option<(i64, TimestampFormat)> {
    quick(cell).or_else(|| slow(cell))
}

/// The common forms: `YYYY-MM-DD hh:mm:ss`, also with `T`, a fraction, `Z`, `±hh:mm`.
fn quick(cell: &[u8]) -> Option<(i64, TimestampFormat)> {
    if cell.len() < 19 {
        return None;
    }
    let (head, mut rest) = cell.split_at(19);
    let separator = match head[10] {
        b' ' => ' ',
        b'T' => 'T',
        _ => return None,
    };
    if [head[4], head[7], head[13], head[16]] != [b'-', b'-', b':', b':'] {
        return None;
    }
    let year = two(head, 0)? * 100 + two(head, 2)?;
    let (month, day) = (two(head, 5)?, two(head, 8)?);
    let (hour, minute, second) = (two(head, 11)?, two(head, 14)?, two(head, 17)?);
    let fits = year >= 1 && (1..=12).contains(&month) && day >= 1 && day <= days_of(year, month);
    if !fits || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut fraction = 0;
    let mut milliseconds = 0;
    if let Some(digits) = rest.strip_prefix(b".") {
        let length = digits.iter().take_while(|digit| digit.is_ascii_digit()).count();
        if !(1..=9).contains(&length) {
            return None;
        }
        fraction = length as u8;
        for place in 0..3 {
            milliseconds = milliseconds * 10 + digits[..length].get(place).map_or(0, |digit| i64::from(digit - b'0'));
        }
        rest = &digits[length..];
    }
    let zone = match rest {
        b"" => Zone::None,
        b"Z" => Zone::Utc,
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let (hours, minutes) = (two(rest, 1)?, two(rest, 4)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let minutes = (hours * 60 + minutes) as i16;
            Zone::Offset(if *sign == b'-' { -minutes } else { minutes })
        }
        _ => return None,
    };
    let east = if let Zone::Offset(minutes) = zone { i64::from(minutes) } else { 0 };
    let seconds = days_from_civil(year, month, day) * 86_400 + hour * 3600 + (minute - east) * 60 + second;
    Some((seconds * 1000 + milliseconds, TimestampFormat { separator, fraction, zone }))
}

/// Every other form that the standards know, a date alone among them.
fn slow(cell: &[u8]) -> Option<(i64, TimestampFormat)> {
    let text = std::str::from_utf8(cell).ok()?;
    let text = text.strip_suffix(" UTC").unwrap_or(text);
    let zone = Pieces::parse(text).ok()?.to_numeric_offset();
    if let Some(offset) = zone {
        // The parser would take 25:59 as an offset; RFC 3339 has hours of 00 to 23.
        let instant = text.parse::<Timestamp>().ok().filter(|_| offset.seconds().abs() < 86_400)?;
        return Some((instant.as_millisecond(), TimestampFormat::default()));
    }
    let civil: DateTime = text.parse().ok()?;
    let separator = if text.contains('T') { 'T' } else { ' ' };
    let format = TimestampFormat { separator, fraction: 0, zone: Zone::None };
    Some((civil.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond(), format))
}

fn two(text: &[u8], at: usize) -> Option<i64> {
    let (tens, ones) = (text[at].wrapping_sub(b'0'), text[at + 1].wrapping_sub(b'0'));
    (tens <= 9 && ones <= 9).then(|| i64::from(tens) * 10 + i64::from(ones))
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms", 2013: years begin in March).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Year, month and day of so many days since 1970-01-01; the way back of [`days_from_civil`].
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let years = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * years + years / 4 - years / 100);
    let march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march + 2) / 5 + 1;
    let month = if march < 10 { march + 3 } else { march - 9 };
    (years + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_form_means_the_same_instant() {
        let noon = 1_772_366_400_000;
        for text in [
            "2026-03-01 12:00:00",
            "2026-03-01T12:00:00",
            "2026-03-01T12:00:00Z",
            "2026-03-01 12:00:00Z",
            "2026-03-01 12:00:00.000000",
            "2026-03-01T13:00:00+01:00",
            "2026-03-01T07:30:00-04:30",
            "2026-03-01t12:00:00z",
            "2026-03-01 12:00:00 UTC",
            "2026-03-01 12:00",
            "2026-03-01T13:00+01",
        ] {
            assert_eq!(parse(text.as_bytes()).map(|(at, _)| at), Some(noon), "{text}");
        }
        assert_eq!(parse(b"2026-03-01 12:00:00.5").map(|(at, _)| at), Some(noon + 500));
        assert_eq!(parse(b"1969-12-31 23:59:59.9999").map(|(at, _)| at), Some(-1));
        assert_eq!(parse(b"2026-03-01").map(|(at, _)| at), Some(noon - 43_200_000), "a date is its midnight");
    }

    #[test]
    fn what_is_no_timestamp_is_none() {
        for text in ["", "now", "1772366400", "2026-13-01 00:00:00", "2026-02-29 00:00:00", "2026-03-01 24:00:01"] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
        for offset in ["+25:00", "-25:59", "+2500", "+24:00", "+25", "+00:60"] {
            let text = format!("2026-03-01T12:00:00{offset}");
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(parse(b"\xff\xfe2026-03-01 00:00:00"), None);
    }

    proptest! {
        #[test]
        fn the_quick_way_and_the_slow_one_agree(at in -62_135_596_800_000_i64..253_402_300_799_999) {
            let text = Timestamp::from_millisecond(at).unwrap().to_string();
            let (quickly, format) = quick(text.as_bytes()).unwrap();
            prop_assert_eq!(quickly, at);
            prop_assert_eq!(slow(text.as_bytes()).unwrap().0, at);
            prop_assert_eq!(format.print(at), text);
        }

        #[test]
        fn what_is_printed_is_read_back_in_the_same_form(
            at in -60_000_000_000_000_i64..250_000_000_000_000,
            fraction in 3_u8..=9,
            space in any::<bool>(),
            zone in prop_oneof![Just(Zone::None), Just(Zone::Utc), (-1439_i16..1440).prop_map(Zone::Offset)],
        ) {
            let format = TimestampFormat { separator: if space { ' ' } else { 'T' }, fraction, zone };
            prop_assert_eq!(parse(format.print(at).as_bytes()), Some((at, format)));
        }

        #[test]
        fn any_bytes_are_a_timestamp_or_not(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn what_nearly_is_a_timestamp_is_judged_as_the_standard_does(text in "20[0-9]{2}-[01][0-9]-[0-3][0-9][ T][0-2][0-9]:[0-6][0-9]:[0-5][0-9]") {
            let found = quick(text.as_bytes()).map(|(at, _)| at);
            let civil = text.parse::<DateTime>().ok();
            let known = civil.and_then(|civil| Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond()));
            prop_assert_eq!(found, known);
        }
    }
}
