//! `lock_waits`: Client sessions that wait for a lock.

use super::{Cadence, Interval, Metric};

pub(super) const METRIC: Metric = Metric {
    name: "lock_waits",
    unit: "sessions",
    minimum: Some(0.0),
    maximum: None,
    cadence: Cadence::Light,
    share: None,
    source: "pg_stat_activity: wait_event_type",
    description: "Client sessions that wait for a lock at this instant.",
    value,
};

fn value(interval: &Interval<'_>) -> Option<f64> {
    interval.current.activity.map(|activity| activity.lock_waiters as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::testing::interval;
    use crate::measure::{Activity, Observation};

    #[test]
    fn it_counts_the_waiting() {
        let current =
            Observation { activity: Some(Activity { lock_waiters: 2, ..Default::default() }), ..Default::default() };
        assert_eq!(value(&interval(None, &current, None)), Some(2.0));
        assert_eq!(value(&interval(None, &Observation::default(), None)), None);
    }
}
