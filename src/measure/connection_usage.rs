//! `connection_usage`: Share in use of the tightest connection limit.

use super::{Cadence, Interval, Metric};

pub(super) const METRIC: Metric = Metric {
    name: "connection_usage",
    unit: "%",
    minimum: Some(0.0),
    maximum: Some(100.0),
    cadence: Cadence::Light,
    share: None,
    source: "pg_stat_activity, max_connections less superuser_reserved_connections and reserved_connections, pg_database.datconnlimit, pg_roles.rolconnlimit",
    description: "Share in use of the tightest connection limit: the server's less its reserved slots, the database's, or that of a role with sessions.",
    value,
};

fn value(interval: &Interval<'_>) -> Option<f64> {
    let activity = interval.current.activity?;
    // Superusers may use the reserved slots, which are not in the limit.
    (activity.connection_limit > 0)
        .then(|| (100.0 * activity.limited_connections as f64 / activity.connection_limit as f64).min(100.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::testing::interval;
    use crate::measure::{Activity, Observation};

    fn usage(limited_connections: i64, connection_limit: i64) -> Option<f64> {
        let activity = Activity { connections: 50, connection_limit, limited_connections, ..Default::default() };
        let current = Observation { activity: Some(activity), ..Default::default() };
        value(&interval(None, &current, None))
    }

    #[test]
    fn it_is_the_share_of_the_tightest_limit() {
        assert_eq!(usage(9, 10), Some(90.0));
    }

    #[test]
    fn sessions_in_reserved_slots_do_not_exceed_the_whole() {
        assert_eq!(usage(99, 97), Some(100.0));
    }

    #[test]
    fn without_a_limit_there_is_none() {
        assert_eq!(usage(1, 0), None);
    }
}
