//! `dead_tuples`: Dead row versions that a vacuum has yet to remove.

use super::{Cadence, Interval, Metric};

pub(super) const METRIC: Metric = Metric {
    name: "dead_tuples",
    unit: "rows",
    minimum: Some(0.0),
    maximum: None,
    cadence: Cadence::Statements,
    share: None,
    source: "pg_stat_user_tables: n_dead_tup",
    description: "Dead row versions of all tables of the database, which a vacuum has yet to remove, as the server estimates them. Absent after a reset of the statistics until they are rebuilt.",
    value,
};

fn value(interval: &Interval<'_>) -> Option<f64> {
    Some(interval.current.storage?.dead_tuples? as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::testing::interval;
    use crate::measure::{Observation, Storage};

    #[test]
    fn figures_that_were_reset_are_absent_and_not_zero() {
        let storage = |dead_tuples| {
            let storage = Storage { dead_tuples, ..Default::default() };
            Observation { storage: Some(storage), ..Default::default() }
        };
        assert_eq!(value(&interval(None, &storage(Some(12)), None)), Some(12.0));
        assert_eq!(value(&interval(None, &storage(None), None)), None);
    }
}
