//! The usable values of a series, kept together by hour of the week.

use super::Sample;
use super::calendar::{HOURS_OF_WEEK, absolute_hour, hour_of_week};

/// Values by hour of the week, and how many separate hours each of them was seen in.
pub(super) struct Grouped {
    values: Vec<f32>,
    ends: [usize; HOURS_OF_WEEK],
    occurrences: [u32; HOURS_OF_WEEK],
}

impl Grouped {
    /// Groups by counting, in two passes over the same samples. `None` when there are none.
    pub(super) fn new<'a, I: Iterator<Item = &'a Sample>>(samples: impl Fn() -> I) -> Option<Self> {
        let mut counts = [0_usize; HOURS_OF_WEEK];
        // Samples mostly come in the order of time, so that this stays short before it is sorted.
        let mut hours: Vec<i64> = Vec::new();
        for sample in samples() {
            counts[hour_of_week(sample.at)] += 1;
            let hour = absolute_hour(sample.at);
            if hours.last() != Some(&hour) {
                hours.push(hour);
            }
        }
        if hours.is_empty() {
            return None;
        }
        hours.sort_unstable();
        hours.dedup();
        let mut occurrences = [0; HOURS_OF_WEEK];
        for hour in &hours {
            occurrences[hour_of_week(hour * super::HOUR_MS)] += 1;
        }
        let mut ends = [0; HOURS_OF_WEEK];
        let mut total = 0;
        for (end, count) in ends.iter_mut().zip(counts) {
            *end = total;
            total += count;
        }
        let mut values = vec![0.0; total];
        for sample in samples() {
            let next = &mut ends[hour_of_week(sample.at)];
            values[*next] = sample.value;
            *next += 1;
        }
        Some(Self { values, ends, occurrences })
    }

    /// Whether all values are whole numbers.
    pub(super) fn is_whole(&self) -> bool {
        self.values.iter().all(|value| value.fract().abs() <= 0.0)
    }

    /// Number of values.
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    /// All values, in the order of their hours.
    pub(super) fn values(&self) -> &[f32] {
        &self.values
    }

    /// The values of one hour of the week.
    pub(super) fn hour(&self, hour: usize) -> &[f32] {
        let begin = if hour == 0 { 0 } else { self.ends[hour - 1] };
        &self.values[begin..self.ends[hour]]
    }

    /// In how many separate hours this hour of the week was seen.
    pub(super) fn occurrences(&self, hour: usize) -> u32 {
        self.occurrences[hour]
    }

    /// Number of separate hours that were seen.
    pub(super) fn hours_seen(&self) -> u32 {
        self.occurrences.iter().sum()
    }

    /// Number of values that the test holds for.
    pub(super) fn count_where(&self, test: impl Fn(usize, f32) -> bool) -> usize {
        (0..HOURS_OF_WEEK).map(|hour| self.hour(hour).iter().filter(|value| test(hour, **value)).count()).sum()
    }

    /// Drops the values that the test does not hold for. The hours stay seen: something was there to see.
    pub(super) fn retain(&mut self, test: impl Fn(usize, f32) -> bool) {
        let mut begin = 0;
        let mut kept = 0;
        for hour in 0..HOURS_OF_WEEK {
            let end = self.ends[hour];
            for index in begin..end {
                let value = self.values[index];
                if test(hour, value) {
                    self.values[kept] = value;
                    kept += 1;
                }
            }
            self.ends[hour] = kept;
            begin = end;
        }
        self.values.truncate(kept);
    }
}
