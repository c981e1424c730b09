//! `select_rate`, `insert_rate`, `update_rate`, `delete_rate`, `other_rate`: executions per second by kind of statement.

use super::{Cadence, Interval, Metric, StatementKind};

/// The rates, in the order of [`StatementKind::ALL`].
pub(super) const METRICS: [Metric; 5] = [
    Metric {
        name: "select_rate",
        description: "Statements that clients sent per second and that read rows: SELECT, TABLE, VALUES.",
        value: |interval| rate(interval, StatementKind::Select),
        ..RATE
    },
    Metric {
        name: "insert_rate",
        description: "INSERT statements that clients sent per second.",
        value: |interval| rate(interval, StatementKind::Insert),
        ..RATE
    },
    Metric {
        name: "update_rate",
        description: "UPDATE and MERGE statements that clients sent per second.",
        value: |interval| rate(interval, StatementKind::Update),
        ..RATE
    },
    Metric {
        name: "delete_rate",
        description: "DELETE statements that clients sent per second.",
        value: |interval| rate(interval, StatementKind::Delete),
        ..RATE
    },
    Metric {
        name: "other_rate",
        description: "Other statements that clients sent per second: definition, maintenance, COPY, CALL, DO. Control of transactions and sessions is left out.",
        value: |interval| rate(interval, StatementKind::Other),
        ..RATE
    },
];

const RATE: Metric = Metric {
    name: "",
    unit: "/s",
    minimum: Some(0.0),
    maximum: None,
    cadence: Cadence::Statements,
    share: None,
    source: "pg_stat_statements: calls, by the first keyword of query",
    description: "",
    value: |_| None,
};

fn rate(interval: &Interval<'_>, kind: StatementKind) -> Option<f64> {
    let statements = interval.statements?;
    (statements.seconds > 0.0).then(|| statements.calls_by_kind[kind as usize] / statements.seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::testing::interval;
    use crate::measure::{Observation, StatementInterval};

    #[test]
    fn each_kind_has_its_rate_over_the_time_between_two_readings_of_the_statements() {
        let current = Observation::default();
        let statements =
            StatementInterval { seconds: 60.0, calls_by_kind: [60.0, 30.0, 6.0, 0.0, 120.0], ..Default::default() };
        let interval = interval(None, &current, Some(statements));
        let rates = METRICS.map(|metric| (metric.value)(&interval));
        assert_eq!(rates, [Some(1.0), Some(0.5), Some(0.1), Some(0.0), Some(2.0)]);
    }

    #[test]
    fn between_two_readings_and_without_time_there_is_none() {
        let current = Observation::default();
        for statements in [None, Some(StatementInterval::default())] {
            let interval = interval(None, &current, statements);
            assert!(METRICS.iter().all(|metric| (metric.value)(&interval).is_none()));
        }
    }
}
