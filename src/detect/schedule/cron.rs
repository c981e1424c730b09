//! Five cron fields: minute, hour, day of month, month, day of week.
//!
//! As in Vixie cron: `*`, numbers, names of months and weekdays, ranges, lists, steps; Sunday is 0 or 7; when both days
//! are restricted, either is enough. `a/n` means from `a` to the end in steps.

use super::Days;
use super::written::{WEEKDAYS, number};

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
/// Days that a month can have.
const LONGEST_MONTHS: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

pub(super) struct Cron {
    pub days: Days,
    /// Minutes of the day, ascending.
    pub starts: Vec<u16>,
    pub every_hour: bool,
}

struct Field {
    name: &'static str,
    least: u16,
    most: u16,
}

const MINUTE: Field = Field { name: "minute", least: 0, most: 59 };
const HOUR: Field = Field { name: "hour", least: 0, most: 23 };
const DAY: Field = Field { name: "day of month", least: 1, most: 31 };
const MONTH: Field = Field { name: "month", least: 1, most: 12 };
const WEEKDAY: Field = Field { name: "day of week", least: 0, most: 7 };

/// Reads the fields.
///
/// # Errors
/// What is allowed in the field that cannot be read.
pub(super) fn parse(minute: &str, hour: &str, day: &str, month: &str, weekday: &str) -> Result<Cron, String> {
    let (minutes, hours) = (MINUTE.read(minute)?, HOUR.read(hour)?);
    let (days, months) = (DAY.read(day)? as u32, MONTH.read(month)? as u16);
    let sundays = WEEKDAY.read(weekday)?;
    // Cron begins the week with Sunday, which may also be written 7.
    let weekdays = (sundays >> 1) as u8 & 0x7f | u8::from(sundays & 1 != 0) << 6;
    let restricted = |text: &str| !text.starts_with('*');
    let either = restricted(day) && restricted(weekday);
    let happens = (0_u16..).zip(LONGEST_MONTHS).any(|(index, longest)| {
        months & (1 << (index + 1)) != 0 && (either || days & (u32::MAX >> (31 - longest)) != 0)
    });
    if !happens {
        return Err("a day of month that one of its months has".to_owned());
    }
    let days = Days::Cron { months, days, weekdays, either };
    let starts = (0..24_u16)
        .filter(|hour| hours & (1 << hour) != 0)
        .flat_map(|hour| {
            (0..60_u16).filter(|minute| minutes & (1 << minute) != 0).map(move |minute| hour * 60 + minute)
        })
        .collect();
    Ok(Cron { days, starts, every_hour: hours == (1 << 24) - 1 })
}

impl Field {
    /// The numbers of a field as a mask.
    fn read(&self, text: &str) -> Result<u64, String> {
        let mut mask = 0;
        for part in text.split(',') {
            mask |= self.part(part).ok_or_else(|| self.allowed(part))?;
        }
        Ok(mask)
    }

    fn part(&self, text: &str) -> Option<u64> {
        let (range, step) = match text.split_once('/') {
            Some((range, step)) => (range, Some(number(step, 1, self.most.max(1))?)),
            None => (text, None),
        };
        let (first, last) = if range == "*" {
            (self.least, self.most)
        } else if let Some((first, last)) = range.split_once('-') {
            let (first, last) = (self.value(first)?, self.value(last)?);
            // A week may end with SUN, which is 0 as a begin.
            (first, if self.most == WEEKDAY.most && last == 0 && first > 0 { WEEKDAY.most } else { last })
        } else {
            let first = self.value(range)?;
            (first, if step.is_some() { self.most } else { first })
        };
        (first <= last).then_some(())?;
        Some((first..=last).step_by(usize::from(step.unwrap_or(1))).fold(0, |mask, value| mask | 1 << value))
    }

    fn value(&self, text: &str) -> Option<u16> {
        let name = text.to_ascii_lowercase();
        let found = match self.most {
            12 => MONTHS.iter().position(|month| *month == name).map(|index| index + 1),
            7 => WEEKDAYS.iter().position(|day| day[..3] == name).map(|index| (index + 1) % 7),
            _ => None,
        };
        found.and_then(|index| u16::try_from(index).ok()).or_else(|| number(text, self.least, self.most))
    }

    fn allowed(&self, part: &str) -> String {
        let names = match self.most {
            12 => ", JAN to DEC",
            7 => ", SUN to SAT",
            _ => "",
        };
        let part: String = part.chars().take(16).collect();
        format!(
            "as its {}: *, {} to {}{names}, ranges such as a-b, lists such as a,b, and steps such as */n, not {part:?}",
            self.name, self.least, self.most
        )
    }
}
