//! `response_time`: Mean server execution time of a statement.

use super::{Cadence, Interval, Metric};

pub(super) const METRIC: Metric = Metric {
    name: "response_time",
    unit: "ms",
    minimum: Some(0.0),
    maximum: None,
    cadence: Cadence::Statements,
    share: None,
    source: "pg_stat_statements: calls, total_exec_time",
    description: "Mean server execution time of the statements that read or write rows, over the interval. Planning, queueing and the network are not in it.",
    value,
};

fn value(interval: &Interval<'_>) -> Option<f64> {
    let statements = interval.statements?;
    (statements.calls > 0.0).then(|| statements.total_ms / statements.calls)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::testing::interval;
    use crate::measure::{Observation, StatementInterval};

    #[test]
    fn it_is_the_total_time_over_the_calls() {
        let current = Observation::default();
        let statements = StatementInterval { calls: 4.0, total_ms: 10.0, ..Default::default() };
        assert_eq!(value(&interval(None, &current, Some(statements))), Some(2.5));
    }

    #[test]
    fn without_calls_there_is_none() {
        let current = Observation::default();
        assert_eq!(value(&interval(None, &current, Some(StatementInterval::default()))), None);
        assert_eq!(value(&interval(None, &current, None)), None);
    }
}
