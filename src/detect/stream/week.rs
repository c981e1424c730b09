//! What comes again at the same hour of the next week, and no stronger, is the series' week.
//!
//! The daily course knows no weekdays, and for its first weeks no profile of a week could. What it is surprised by each
//! Saturday is remembered here, so that it is an incident once and not every week.

const HOUR_MS: i64 = 3_600_000;
const HOURS: usize = 168;
/// What is left, a week later, of what an hour once said: the first weekend of a series says most.
const FADE: f32 = 0.8;

/// Strongest evidence of each hour of the week, in decades.
#[derive(Clone, Debug)]
pub(super) struct Week {
    hours: Box<[f32; HOURS]>,
    /// The hour that is going on, counted from the Unix epoch.
    hour: i64,
    strongest: f32,
    /// Of the hour before it, which is remembered an hour later: until then it is compared with the week before.
    before: f32,
}

impl Week {
    pub(super) fn new() -> Self {
        Self { hours: Box::new([0.0; HOURS]), hour: 0, strongest: 0.0, before: 0.0 }
    }

    /// Decades that were usual at that time of the week, an hour sooner or later; then takes what is said now.
    pub(super) fn usual(&mut self, at: i64, decades: f64) -> f64 {
        let hour = at.div_euclid(HOUR_MS);
        if hour != self.hour {
            self.remember(self.hour - 1, self.before);
            self.before = self.strongest;
            if hour != self.hour + 1 {
                self.remember(self.hour, self.before);
                self.before = 0.0;
            }
            (self.hour, self.strongest) = (hour, 0.0);
        }
        self.strongest = self.strongest.max(decades as f32);
        let near = [hour - 1, hour, hour + 1].map(|hour| self.hours[place(hour)]);
        f64::from(near.into_iter().fold(0.0, f32::max))
    }

    fn remember(&mut self, hour: i64, strongest: f32) {
        let remembered = &mut self.hours[place(hour)];
        *remembered = strongest.max(FADE * *remembered);
    }
}

fn place(hour: i64) -> usize {
    hour.rem_euclid(HOURS as i64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE_MS: i64 = 60_000;

    #[test]
    fn an_hour_is_compared_with_the_week_before_and_never_with_itself() {
        let mut week = Week::new();
        let begin = 20_000 * HOUR_MS;
        for minute in 0..180 {
            assert!(week.usual(begin + minute * MINUTE_MS, 5.0) <= 0.0, "{minute}");
        }
        let later = |week: &mut Week, hours: i64| week.usual(begin + (168 + hours) * HOUR_MS, 1.0);
        assert!(later(&mut week, -2) <= 0.0);
        assert!([-1, 0, 1, 2, 3].iter().all(|hours| later(&mut week, *hours) >= 5.0));
        assert!(later(&mut week, 4) <= 0.0);
    }

    #[test]
    fn what_does_not_come_again_fades_week_by_week() {
        let mut week = Week::new();
        week.usual(0, 10.0);
        let usual: Vec<i64> = (1..4).map(|weeks| week.usual(weeks * 168 * HOUR_MS, 0.0).round() as i64).collect();
        assert_eq!(usual, [10, 8, 6]);
    }
}
