//! `replication_lag`: How far a replica is behind.

use super::{Cadence, Interval, Metric};

pub(super) const METRIC: Metric = Metric {
    name: "replication_lag",
    unit: "s",
    minimum: Some(0.0),
    maximum: None,
    cadence: Cadence::Light,
    share: None,
    source: "pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn(), pg_last_xact_replay_timestamp(), pg_stat_wal_receiver",
    description: "How far a replica's replay is behind: 0 when all it received is replayed, else the age of the last replayed transaction. Absent on a primary, and on a replica that receives nothing.",
    value,
};

fn value(interval: &Interval<'_>) -> Option<f64> {
    interval.current.replication_lag_seconds
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Observation;
    use crate::measure::testing::interval;

    #[test]
    fn a_primary_has_none() {
        let replica = Observation { replication_lag_seconds: Some(1.5), ..Default::default() };
        assert_eq!(value(&interval(None, &replica, None)), Some(1.5));
        assert_eq!(value(&interval(None, &Observation::default(), None)), None);
    }
}
