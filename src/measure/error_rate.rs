//! `error_rate`: Share of transactions that were rolled back.

use super::{Cadence, Interval, Metric};

pub(super) const METRIC: Metric = Metric {
    name: "error_rate",
    unit: "%",
    minimum: Some(0.0),
    maximum: Some(100.0),
    cadence: Cadence::Light,
    share: None,
    source: "pg_stat_database: xact_commit, xact_rollback",
    description: "Share of transactions that were rolled back, by an error or by the application. The server publishes an idle session's last error up to 10 s late.",
    value,
};

fn value(interval: &Interval<'_>) -> Option<f64> {
    let committed = interval.growth(|database| database.xact_commit)?;
    let rolled_back = interval.growth(|database| database.xact_rollback)?;
    let all = committed + rolled_back;
    (all > 0.0).then(|| 100.0 * rolled_back / all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::DatabaseCounters;
    use crate::measure::testing::{counters, interval};

    #[test]
    fn it_is_the_share_of_rollbacks() {
        let earlier = counters(DatabaseCounters { xact_commit: 100, xact_rollback: 10, ..Default::default() });
        let later = counters(DatabaseCounters { xact_commit: 175, xact_rollback: 35, ..Default::default() });
        assert_eq!(value(&interval(Some(&earlier), &later, None)), Some(25.0));
    }

    #[test]
    fn without_transactions_there_is_none() {
        let same = counters(DatabaseCounters { xact_commit: 100, ..Default::default() });
        assert_eq!(value(&interval(Some(&same), &same, None)), None);
    }
}
