//! Observations for the tests of the metrics.

use super::{DatabaseCounters, Interval, Observation, StatementInterval};

/// An interval of ten seconds.
pub fn interval<'a>(
    previous: Option<&'a Observation>,
    current: &'a Observation,
    statements: Option<StatementInterval>,
) -> Interval<'a> {
    Interval { previous, current, elapsed_seconds: 10.0, statements }
}

/// An observation of these counters.
pub fn counters(database: DatabaseCounters) -> Observation {
    Observation { database: Some(database), ..Observation::default() }
}
