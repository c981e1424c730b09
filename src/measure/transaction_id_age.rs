//! `transaction_id_age`: Transactions since the oldest that is not frozen.

use super::{Cadence, Interval, Metric};

pub(super) const METRIC: Metric = Metric {
    name: "transaction_id_age",
    unit: "transactions",
    minimum: Some(0.0),
    maximum: Some(2_147_483_648.0),
    cadence: Cadence::Statements,
    share: None,
    source: "pg_database: age(datfrozenxid)",
    description: "Transactions since the oldest that is not frozen yet; the server stops accepting writes shortly before 2^31.",
    value,
};

fn value(interval: &Interval<'_>) -> Option<f64> {
    interval.current.storage.map(|storage| storage.transaction_id_age as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::testing::interval;
    use crate::measure::{Observation, Storage};

    #[test]
    fn it_is_the_age_of_the_database() {
        let storage = Storage { transaction_id_age: 150_000_000, ..Default::default() };
        let current = Observation { storage: Some(storage), ..Default::default() };
        assert_eq!(value(&interval(None, &current, None)), Some(150_000_000.0));
        assert_eq!(value(&interval(None, &Observation::default(), None)), None);
    }
}
