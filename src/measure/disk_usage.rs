//! `disk_usage`: Size of the database and of the write-ahead log.

use super::{Cadence, Interval, Metric};

pub(super) const METRIC: Metric = Metric {
    name: "disk_usage",
    unit: "B",
    minimum: Some(0.0),
    maximum: None,
    cadence: Cadence::Statements,
    share: None,
    source: "pg_database_size(current_database()), pg_ls_waldir()",
    description: "Size of the database, and of the write-ahead log where the role may see it. What is free on the volume cannot be seen by SQL.",
    value,
};

fn value(interval: &Interval<'_>) -> Option<f64> {
    let storage = interval.current.storage?;
    Some(storage.database_bytes?.saturating_add(storage.wal_bytes.unwrap_or(0)) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::testing::interval;
    use crate::measure::{Observation, Storage};

    fn size(database_bytes: Option<i64>, wal_bytes: Option<i64>) -> Option<f64> {
        let storage = Storage { database_bytes, wal_bytes, ..Default::default() };
        let current = Observation { storage: Some(storage), ..Default::default() };
        value(&interval(None, &current, None))
    }

    #[test]
    fn the_log_counts_where_it_can_be_seen() {
        assert_eq!(size(Some(1_000), Some(500)), Some(1_500.0));
        assert_eq!(size(Some(1_000), None), Some(1_000.0));
        assert_eq!(size(None, Some(500)), None);
    }

    #[test]
    fn it_is_absent_between_the_rounds_that_read_it() {
        assert_eq!(value(&interval(None, &Observation::default(), None)), None);
    }
}
