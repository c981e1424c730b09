//! `response_time_p95`: 95th percentile of the server execution time, estimated.

use super::{Cadence, Interval, Metric};

pub(super) const METRIC: Metric = Metric {
    name: "response_time_p95",
    unit: "ms",
    minimum: Some(0.0),
    maximum: None,
    cadence: Cadence::Statements,
    share: None,
    source: "pg_stat_statements: calls, total_exec_time, stddev_exec_time",
    description: "95th percentile of the server execution time, estimated: each statement's mean and standard deviation over the interval, fitted by a log-normal distribution and weighted by its calls. PostgreSQL keeps no quantiles; clients see more.",
    value,
};

fn value(interval: &Interval<'_>) -> Option<f64> {
    interval.statements?.p95_ms
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::testing::interval;
    use crate::measure::{Observation, StatementInterval};

    #[test]
    fn it_is_what_the_fit_found() {
        let current = Observation::default();
        let statements = StatementInterval { calls: 4.0, total_ms: 10.0, p95_ms: Some(7.0), ..Default::default() };
        assert_eq!(value(&interval(None, &current, Some(statements))), Some(7.0));
        assert_eq!(value(&interval(None, &current, Some(StatementInterval::default()))), None);
    }
}
