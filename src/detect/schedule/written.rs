//! Schedules and dates as people write them.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::{DAY_MINUTES, Days, LONGEST_MS, Length, MINUTE_MS, Schedule, Window, cron, local};
use crate::detect::FieldError;

const FORMS: &str = "five cron fields such as \"0 2 1 * *\", or days and a time: \"1st 02:00\", \"last 23:00\", \"Sun 03:00-04:00\", \"Mon-Fri 09:00-17:00\", \"daily 02:00-03:00\"";

/// Starts of a day: the windows of a year are looked through when something is learnt.
const MOST_STARTS: usize = 48;

/// Monday first.
pub(super) const WEEKDAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

pub(super) fn schedule(text: &str, duration_ms: Option<i64>, zone: TimeZone) -> Result<Schedule, FieldError> {
    let wrong = |allowed: &str| FieldError::new("schedule", &text, allowed);
    let words: Vec<&str> = text.split_whitespace().collect();
    if let [minute, hour, day, month, weekday] = words[..] {
        let cron = cron::parse(minute, hour, day, month, weekday).map_err(|allowed| wrong(&allowed))?;
        if cron.starts.len() > MOST_STARTS {
            return Err(wrong(&format!("at most {MOST_STARTS} starts a day, such as \"*/30 * * * *\"")));
        }
        let length = elapsed(text, duration_ms)?;
        let schedule = Schedule { days: cron.days, starts: cron.starts, length, zone, twice: cron.every_hour };
        return apart(text, schedule);
    }
    let [days, time] = words[..] else { return Err(wrong(FORMS)) };
    let days = of_days(days).ok_or_else(|| wrong(FORMS))?;
    let (start, end) = match time.split_once('-') {
        None => (minute_of_day(time), None),
        Some((start, end)) => (minute_of_day(start), Some(end_of_day(end).ok_or_else(|| wrong(FORMS))?)),
    };
    let start = start.ok_or_else(|| wrong(FORMS))?;
    let length = match end {
        None => elapsed(text, duration_ms)?,
        Some(_) if duration_ms.is_some() => {
            let found = "a duration beside a schedule with an end";
            return Err(FieldError::new(
                "duration",
                &found,
                "none, or a schedule without an end, such as \"1st 02:00\"",
            ));
        }
        Some(end) if end == start => {
            return Err(wrong("an end other than the begin; the whole day is 00:00-24:00"));
        }
        Some(end) if end < start => Length::Until(end + DAY_MINUTES),
        Some(end) => Length::Until(end),
    };
    Ok(Schedule { days, starts: vec![start], length, zone, twice: false })
}

fn elapsed(schedule: &str, duration_ms: Option<i64>) -> Result<Length, FieldError> {
    let allowed = "1m to 31d";
    match duration_ms {
        Some(length) if (MINUTE_MS..=LONGEST_MS).contains(&length) => Ok(Length::Elapsed(length)),
        Some(length) => Err(FieldError::new("duration", &format!("{} s", length / 1_000), allowed)),
        None => {
            let allowed = format!("{allowed}: schedule {:?} has no end of its own", shortened(schedule));
            Err(FieldError::new("duration", &"none", allowed))
        }
    }
}

/// Refuses starts that follow each other before the duration is over: one long window is meant, and can be said.
fn apart(text: &str, schedule: Schedule) -> Result<Schedule, FieldError> {
    let Length::Elapsed(length) = schedule.length else { return Ok(schedule) };
    let between = schedule.starts.windows(2).map(|pair| pair[1] - pair[0]).min();
    match between.map(|minutes| i64::from(minutes) * MINUTE_MS) {
        Some(between) if length > between => {
            let found = format!("{} s", length / 1_000);
            let text = shortened(text);
            let allowed = format!("at most {} s: the time between two starts of schedule {text:?}", between / 1_000);
            Err(FieldError::new("duration", &found, allowed))
        }
        _ => Ok(schedule),
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(64).collect()
}

fn of_days(text: &str) -> Option<Days> {
    let text = text.to_ascii_lowercase();
    if text == "daily" {
        return Some(Days::Weekdays(0x7f));
    }
    let first = text.split(',').next()?;
    if first == "last" || first.starts_with(|character: char| character.is_ascii_digit()) {
        let (mut days, mut last) = (0_u32, false);
        for part in text.split(',') {
            if part == "last" {
                last = true;
            } else {
                days |= 1 << ordinal(part)?;
            }
        }
        return Some(Days::OfMonth { days, last });
    }
    let mut mask = 0_u8;
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (weekday(first)?, weekday(last)?);
        let count = (last + 7 - first) % 7;
        for step in 0..=count {
            mask |= 1 << ((first + step) % 7);
        }
    }
    Some(Days::Weekdays(mask))
}

/// `1st` to `31st`.
fn ordinal(text: &str) -> Option<u32> {
    let digits = ["st", "nd", "rd", "th"].iter().find_map(|suffix| text.strip_suffix(suffix))?;
    number(digits, 1, 31).map(u32::from)
}

/// Days after Monday; short or whole names in lower case.
pub(super) fn weekday(text: &str) -> Option<u8> {
    (0_u8..).zip(WEEKDAYS).find(|(_, name)| text == *name || text == &name[..3]).map(|(index, _)| index)
}

fn minute_of_day(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    (minute.len() == 2).then_some(())?;
    Some(number(hour, 0, 23)? * 60 + number(minute, 0, 59)?)
}

fn end_of_day(text: &str) -> Option<u16> {
    if text == "24:00" { Some(DAY_MINUTES) } else { minute_of_day(text) }
}

/// One or two digits within bounds.
pub(super) fn number(text: &str, least: u16, most: u16) -> Option<u16> {
    let digits = (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| digits && (least..=most).contains(number))
}

/// One range of dates; the day of a `to` without a time belongs to it.
pub(super) fn range(field: &str, from: &str, to: &str, zone: &TimeZone) -> Result<Window, FieldError> {
    let begin = instant(from, zone, 0).ok_or_else(|| wrong_date(&format!("{field}.from"), from))?;
    let end = instant(to, zone, DAY_MINUTES).ok_or_else(|| wrong_date(&format!("{field}.to"), to))?;
    if end <= begin {
        return Err(FieldError::new(format!("{field}.to"), &to, format!("what is after from, {:?}", shortened(from))));
    }
    Ok(Window { from: begin, to: end })
}

fn instant(text: &str, zone: &TimeZone, minute: u16) -> Option<i64> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at.as_millisecond());
    }
    // Only a plain day: jiff would read the day out of longer texts too.
    let date = (text.len() == 10).then(|| text.parse::<Date>().ok()).flatten()?;
    zone.to_ambiguous_timestamp(local(date, minute)?).compatible().ok().map(Timestamp::as_millisecond)
}

fn wrong_date(field: &str, found: &str) -> FieldError {
    FieldError::new(
        field,
        &found,
        "an instant after RFC 3339, such as 2026-11-27T06:00:00Z, or a day, such as 2026-11-27",
    )
}
