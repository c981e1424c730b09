//! `oldest_transaction`: Age of the oldest open transaction.

use super::{Cadence, Interval, Metric};

pub(super) const METRIC: Metric = Metric {
    name: "oldest_transaction",
    unit: "s",
    minimum: Some(0.0),
    maximum: None,
    cadence: Cadence::Light,
    share: None,
    source: "pg_stat_activity: xact_start",
    description: "Age of the oldest open transaction of a client; 0 when none is open. An old one keeps vacuum from removing dead rows.",
    value,
};

fn value(interval: &Interval<'_>) -> Option<f64> {
    interval.current.activity.map(|activity| activity.oldest_transaction_seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::testing::interval;
    use crate::measure::{Activity, Observation};

    #[test]
    fn it_is_the_age_of_the_oldest() {
        let activity = Activity { oldest_transaction_seconds: 3.5, ..Default::default() };
        let current = Observation { activity: Some(activity), ..Default::default() };
        assert_eq!(value(&interval(None, &current, None)), Some(3.5));
        assert_eq!(value(&interval(None, &Observation::default(), None)), None);
    }
}
