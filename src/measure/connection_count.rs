//! `connection_count`: Client sessions of the whole server.

use super::{Cadence, Interval, Metric};

pub(super) const METRIC: Metric = Metric {
    name: "connection_count",
    unit: "connections",
    minimum: Some(0.0),
    maximum: None,
    cadence: Cadence::Light,
    share: Some("connection_usage"),
    source: "pg_stat_activity: client backends",
    description: "Client sessions of the whole server, whatever their state; that of the monitor is among them.",
    value,
};

fn value(interval: &Interval<'_>) -> Option<f64> {
    interval.current.activity.map(|activity| activity.connections as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::testing::interval;
    use crate::measure::{Activity, Observation};

    #[test]
    fn it_is_what_the_server_counts() {
        let current =
            Observation { activity: Some(Activity { connections: 7, ..Default::default() }), ..Default::default() };
        assert_eq!(value(&interval(None, &current, None)), Some(7.0));
        assert_eq!(value(&interval(None, &Observation::default(), None)), None);
    }
}
