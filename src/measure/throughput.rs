//! `throughput`: Transactions per second.

use super::{Cadence, Interval, Metric};

pub(super) const METRIC: Metric = Metric {
    name: "throughput",
    unit: "/s",
    minimum: Some(0.0),
    maximum: None,
    cadence: Cadence::Light,
    share: None,
    source: "pg_stat_database: xact_commit, xact_rollback",
    description: "Transactions of the database that ended per second, committed or rolled back. The handful that reading these figures takes is among them.",
    value,
};

fn value(interval: &Interval<'_>) -> Option<f64> {
    interval.per_second(|database| database.xact_commit.saturating_add(database.xact_rollback))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::DatabaseCounters;
    use crate::measure::testing::{counters, interval};

    #[test]
    fn commits_and_rollbacks_both_count() {
        let earlier = counters(DatabaseCounters { xact_commit: 100, xact_rollback: 10, ..Default::default() });
        let later = counters(DatabaseCounters { xact_commit: 190, xact_rollback: 20, ..Default::default() });
        assert_eq!(value(&interval(Some(&earlier), &later, None)), Some(10.0));
    }

    #[test]
    fn a_counter_that_fell_gives_no_rate() {
        let earlier = counters(DatabaseCounters { xact_commit: 100, ..Default::default() });
        let later = counters(DatabaseCounters { xact_commit: 1, ..Default::default() });
        assert_eq!(value(&interval(Some(&earlier), &later, None)), None);
    }

    #[test]
    fn the_first_look_is_an_origin_and_no_rate() {
        let later = counters(DatabaseCounters { xact_commit: 190, ..Default::default() });
        assert_eq!(value(&interval(None, &later, None)), None);
    }
}
