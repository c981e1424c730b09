//! When something known happens: a recurring schedule or dates, as windows of absolute time. Pure: the instant is given.
//!
//! | written | a window begins |
//! |---|---|
//! | `daily 02:00-03:00` | each day at that local time |
//! | `Sun 03:00-04:00`, `Mon-Fri 09:00-17:00`, `Sat,Sun 02:00` | on those days of the week |
//! | `1st 02:00`, `1st,15th 02:00-04:00`, `last 23:00` | on those days of the month; a month without that day has none |
//! | `0 2 1 * *` | at each match of the five cron fields; day of month and day of week together mean either, as in cron |
//!
//! An end that is not after its begin lies on the next day. Without an end a window lasts for a duration of elapsed time.
//!
//! **Clock changes.** A begin that the clock skips is moved by as much as is skipped, and an end written with it keeps its
//! distance. Where the clock repeats an hour, a window begins with the first and ends with the second; cron schedules
//! of every hour have a window in both. So each day's window is there exactly once, whatever the clock does.

mod cron;
mod written;

use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp};

use super::FieldError;

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 86_400_000;
const DAY_MINUTES: u16 = 1_440;
/// Days that the next window is looked for in: a 29 February can be eight years away.
const HORIZON_DAYS: i64 = 2_930;
/// Longest duration of a window, in ms: with it, what began days ago is looked at.
const LONGEST_MS: i64 = 31 * DAY_MS;

/// From an instant to another, in ms since the Unix epoch; the end does not belong to it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Window {
    /// First instant.
    pub from: i64,
    /// First instant after it; greater than `from`.
    pub to: i64,
}

impl Window {
    /// Whether the instant lies in it.
    pub fn contains(&self, at: i64) -> bool {
        self.from <= at && at < self.to
    }
}

/// The same time as windows that neither meet nor overlap, by their begins.
pub fn merged(mut windows: Vec<Window>) -> Vec<Window> {
    windows.sort_unstable();
    windows.dedup_by(|next, before| {
        let meets = next.from <= before.to;
        if meets {
            before.to = before.to.max(next.to);
        }
        meets
    });
    windows
}

/// Whether an instant lies in any of windows that were [`merged`].
pub fn holds(merged: &[Window], at: i64) -> bool {
    let begun = merged.partition_point(|window| window.from <= at);
    begun.checked_sub(1).is_some_and(|last| merged[last].contains(at))
}

/// Whether any of windows that were [`merged`] has something of a span.
pub fn overlap(merged: &[Window], from: i64, to: i64) -> bool {
    let next = merged.partition_point(|window| window.to <= from);
    merged.get(next).is_some_and(|window| window.from < to)
}

/// When something known happens.
#[derive(Clone, Debug, PartialEq)]
pub enum Calendar {
    /// Again and again.
    Schedule(Schedule),
    /// Once each, by their begins.
    Dates(Vec<Window>),
}

impl Calendar {
    /// Resolves a schedule.
    ///
    /// # Errors
    /// [`FieldError`] for `schedule`, `duration` or `timeZone`, naming what was found and what is allowed.
    pub fn schedule(text: &str, duration_ms: Option<i64>, time_zone: &str) -> Result<Self, FieldError> {
        written::schedule(text, duration_ms, zone(time_zone)?).map(Self::Schedule)
    }

    /// Resolves dates: `from` and `to` of each, RFC 3339 or days of which the last one belongs to it.
    ///
    /// # Errors
    /// [`FieldError`] for `dates[i].from`, `dates[i].to` or `timeZone`, naming what was found and what is allowed.
    pub fn dates<'a>(
        ranges: impl IntoIterator<Item = (&'a str, &'a str)>,
        time_zone: &str,
    ) -> Result<Self, FieldError> {
        let zone = zone(time_zone)?;
        let resolved = ranges
            .into_iter()
            .enumerate()
            .map(|(index, (from, to))| written::range(&format!("dates[{index}]"), from, to, &zone));
        let mut windows: Vec<Window> = resolved.collect::<Result<_, _>>()?;
        windows.sort_unstable();
        Ok(Self::Dates(windows))
    }

    /// The window that the instant lies in; of several the one that ends last.
    pub fn current(&self, at: i64) -> Option<Window> {
        let latest = |windows: &mut dyn Iterator<Item = Window>| {
            windows.filter(|window| window.contains(at)).max_by_key(|window| window.to)
        };
        match self {
            Self::Schedule(schedule) => latest(&mut schedule.around(at, at).into_iter()),
            Self::Dates(windows) => latest(&mut windows.iter().copied()),
        }
    }

    /// The first window that begins after the instant; `None` when none does within eight years.
    pub fn next(&self, at: i64) -> Option<Window> {
        match self {
            Self::Schedule(schedule) => schedule.next(at),
            Self::Dates(windows) => windows.iter().copied().find(|window| window.from > at),
        }
    }

    /// Every window that shares time with the span, by their begins.
    pub fn within(&self, span: Window) -> Vec<Window> {
        let shares = |window: &Window| window.from < span.to && window.to > span.from;
        let mut windows = match self {
            Self::Schedule(schedule) => schedule.around(span.from, span.to),
            Self::Dates(windows) => windows.clone(),
        };
        windows.retain(shares);
        windows.sort_unstable();
        windows
    }
}

/// The zone of an IANA name, out of what is compiled in: the same everywhere, also where no files are.
///
/// # Errors
/// [`FieldError`] for `timeZone`, naming what was found and what is allowed.
pub fn zone(name: &str) -> Result<TimeZone, FieldError> {
    TimeZoneDatabase::bundled()
        .get(name)
        .map_err(|_| FieldError::new("timeZone", &name, "an IANA name, such as UTC, Europe/Berlin or America/New_York"))
}

/// Windows that come again and again, in a time zone.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    days: Days,
    /// Minutes of the local day, ascending.
    starts: Vec<u16>,
    length: Length,
    zone: TimeZone,
    /// A start in an hour that the clock repeats counts twice.
    twice: bool,
}

/// The days of a schedule. Bit 0 of a mask of weekdays is Monday, bit 1 of one of days of the month is the 1st.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Days {
    Weekdays(u8),
    OfMonth {
        days: u32,
        last: bool,
    },
    /// Either of the days is enough, or both have to match.
    Cron {
        months: u16,
        days: u32,
        weekdays: u8,
        either: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Length {
    /// Elapsed time, in ms.
    Elapsed(i64),
    /// Until this minute of the begin's local day; beyond 1440 on the next one.
    Until(u16),
}

impl Days {
    fn matches(self, date: Date) -> bool {
        let weekday = 1_u8 << date.weekday().to_monday_zero_offset();
        let day = 1_u32 << date.day();
        match self {
            Self::Weekdays(weekdays) => weekdays & weekday != 0,
            Self::OfMonth { days, last } => days & day != 0 || last && date.day() == date.days_in_month(),
            Self::Cron { months, days, weekdays, either } => {
                let (day, weekday) = (days & day != 0, weekdays & weekday != 0);
                months & (1 << date.month()) != 0 && if either { day || weekday } else { day && weekday }
            }
        }
    }
}

impl Schedule {
    /// Windows whose day is near the span: all that share time with it, and some more.
    fn around(&self, from: i64, to: i64) -> Vec<Window> {
        let longest = match self.length {
            Length::Elapsed(length) => length,
            // A day, and what a clock may repeat.
            Length::Until(_) => 2 * DAY_MS,
        };
        let mut windows = Vec::new();
        let Some(last) = self.date(to.saturating_add(DAY_MS)) else { return windows };
        let mut date = self.date(from.saturating_sub(longest).saturating_sub(DAY_MS));
        while let Some(day) = date.filter(|day| *day <= last) {
            self.of_day(day, &mut windows);
            date = day.tomorrow().ok();
        }
        windows
    }

    fn next(&self, at: i64) -> Option<Window> {
        let mut date = self.date(at.saturating_sub(DAY_MS));
        let mut windows = Vec::new();
        for _ in 0..HORIZON_DAYS {
            let day = date?;
            windows.clear();
            self.of_day(day, &mut windows);
            windows.retain(|window| window.from > at);
            if !windows.is_empty() {
                // The clock may have moved a begin behind one of the day after.
                if let Ok(tomorrow) = day.tomorrow() {
                    self.of_day(tomorrow, &mut windows);
                }
                return windows.into_iter().filter(|window| window.from > at).min();
            }
            date = day.tomorrow().ok();
        }
        None
    }

    /// The local day of an instant; `None` beyond what a calendar can say.
    fn date(&self, at: i64) -> Option<Date> {
        Timestamp::from_millisecond(at).ok().map(|at| self.zone.to_datetime(at).date())
    }

    fn of_day(&self, date: Date, windows: &mut Vec<Window>) {
        if !self.days.matches(date) {
            return;
        }
        for start in &self.starts {
            let Some(local) = local(date, *start) else { continue };
            let begin = self.zone.to_ambiguous_timestamp(local);
            let skipped = matches!(begin.offset(), AmbiguousOffset::Gap { .. });
            let repeated = matches!(begin.offset(), AmbiguousOffset::Fold { .. }).then(|| begin.later().ok());
            let Ok(from) = begin.compatible().map(Timestamp::as_millisecond) else { continue };
            let to = match self.length {
                Length::Elapsed(length) => Some(from.saturating_add(length)),
                Length::Until(end) if skipped => Some(from + i64::from(end - start) * MINUTE_MS),
                Length::Until(end) => self.end(date, end),
            };
            windows.extend(to.filter(|to| *to > from).map(|to| Window { from, to }));
            if let (true, Some(Some(again)), Length::Elapsed(length)) = (self.twice, repeated, self.length) {
                let from = again.as_millisecond();
                windows.push(Window { from, to: from.saturating_add(length) });
            }
        }
    }

    fn end(&self, date: Date, minute: u16) -> Option<i64> {
        let end = self.zone.to_ambiguous_timestamp(local(date, minute)?);
        let end = if matches!(end.offset(), AmbiguousOffset::Fold { .. }) { end.later() } else { end.compatible() };
        end.ok().map(Timestamp::as_millisecond)
    }
}

/// A minute of a local day, or of the days after it.
fn local(date: Date, minute: u16) -> Option<DateTime> {
    date.at(0, 0, 0, 0).checked_add(SignedDuration::from_mins(i64::from(minute))).ok()
}

#[cfg(test)]
mod tests;
