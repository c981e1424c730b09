//! An instant by the clock of a target's profiles.

use crate::learn::{Clock, HourOfMonth, hour_by, hour_of_month_by};

/// An instant, and the hour of the week that it lies in.
#[derive(Clone, Copy)]
pub(super) struct When<'a> {
    clock: Option<&'a Clock>,
    /// Milliseconds since the Unix epoch.
    pub at: i64,
    /// Hour of the week.
    pub hour: usize,
}

impl<'a> When<'a> {
    /// An instant in ms since the Unix epoch, by a clock; in UTC without one.
    pub fn new(clock: Option<&'a Clock>, at: i64) -> Self {
        Self { clock, at, hour: hour_by(clock, at) }
    }

    /// Another instant, by the same clock.
    pub fn moved_to(&self, at: i64) -> Self {
        Self::new(self.clock, at)
    }

    /// What the clock shows at an instant, as if it were UTC.
    pub fn local(&self, at: i64) -> i64 {
        self.clock.map_or(at, |clock| clock.local(at))
    }

    /// Hour of the month: looked up only where something comes once a month.
    pub fn of_month(&self) -> Option<HourOfMonth> {
        hour_of_month_by(self.clock, self.at)
    }
}
