//! `temp_files`: Bytes written to temporary files per second.

use super::{Cadence, Interval, Metric};

pub(super) const METRIC: Metric = Metric {
    name: "temp_files",
    unit: "B/s",
    minimum: Some(0.0),
    maximum: None,
    cadence: Cadence::Light,
    share: None,
    source: "pg_stat_database: temp_bytes",
    description: "Bytes per second that queries wrote to temporary files because a sort, hash or similar did not fit in memory. A file counts when it is removed.",
    value,
};

fn value(interval: &Interval<'_>) -> Option<f64> {
    interval.per_second(|database| database.temp_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::DatabaseCounters;
    use crate::measure::testing::{counters, interval};

    #[test]
    fn it_is_the_growth_per_second() {
        let earlier = counters(DatabaseCounters { temp_bytes: 1_000, ..Default::default() });
        let later = counters(DatabaseCounters { temp_bytes: 2_000, ..Default::default() });
        assert_eq!(value(&interval(Some(&earlier), &later, None)), Some(100.0));
    }
}
