//! `disk_io`: Bytes read per second.

use super::{Cadence, Interval, Metric};

pub(super) const METRIC: Metric = Metric {
    name: "disk_io",
    unit: "B/s",
    minimum: Some(0.0),
    maximum: None,
    cadence: Cadence::Light,
    share: None,
    source: "pg_stat_database: blks_read; block_size",
    description: "Bytes per second that the server read from outside its own buffers: from the disk, or from the operating system's cache.",
    value,
};

fn value(interval: &Interval<'_>) -> Option<f64> {
    let block_bytes = interval.current.database?.block_bytes as f64;
    Some(interval.per_second(|database| database.blks_read)? * block_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::DatabaseCounters;
    use crate::measure::testing::{counters, interval};

    #[test]
    fn it_is_blocks_times_their_size() {
        let earlier = counters(DatabaseCounters { blks_read: 0, block_bytes: 8_192, ..Default::default() });
        let later = counters(DatabaseCounters { blks_read: 20, block_bytes: 8_192, ..Default::default() });
        assert_eq!(value(&interval(Some(&earlier), &later, None)), Some(16_384.0));
    }

    #[test]
    fn a_counter_that_fell_gives_no_rate() {
        let earlier = counters(DatabaseCounters { blks_read: 20, block_bytes: 8_192, ..Default::default() });
        let later = counters(DatabaseCounters { blks_read: 1, block_bytes: 8_192, ..Default::default() });
        assert_eq!(value(&interval(Some(&earlier), &later, None)), None);
    }
}
