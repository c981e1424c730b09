//! What is measured: the metrics, the observation of a server that they are computed from, and the round that
//! carries their values. Pure values: reading them is the business of [`crate::database`] and [`crate::collect`].
//!
//! A metric is one file here and one line in [`BUILT_IN`].

mod cache_hit_rate;
mod connection_count;
mod connection_usage;
mod dead_tuples;
mod disk_io;
mod disk_usage;
mod error_rate;
mod lock_waits;
pub mod log_normal;
mod observation;
mod oldest_transaction;
mod replication_lag;
mod response_time;
mod response_time_p95;
mod round;
mod statement_rates;
mod temp_files;
#[cfg(test)]
mod testing;
mod throughput;
mod transaction_id_age;

pub use observation::{
    Activity, DatabaseCounters, Identity, Interval, Observation, Role, StatementFigures, StatementInterval,
    StatementKind, Storage, Unavailable,
};
pub use round::{ABSENT, Round, TargetKey};

/// How often a metric has a new value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cadence {
    /// Every round (`collection.interval`).
    Light,
    /// Every round over statements, tables and indexes (`collection.statementsInterval`).
    Statements,
}

/// Definition of a metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Name, in snake case.
    pub name: &'static str,
    /// Unit: `ms`, `s`, `%`, `B`, `B/s`, `/s` or a counted noun.
    pub unit: &'static str,
    /// Physical minimum.
    pub minimum: Option<f64>,
    /// Physical maximum.
    pub maximum: Option<f64>,
    /// How often it has a new value.
    pub cadence: Cadence,
    /// Name of the metric that gives this one's share of its maximum in percent, for limits such as `90%`.
    pub share: Option<&'static str>,
    /// Where it comes from: view and columns.
    pub source: &'static str,
    /// What it says, for people.
    pub description: &'static str,
    /// The value over an interval; `None` when it cannot be had.
    pub value: fn(&Interval<'_>) -> Option<f64>,
}

/// The built-in metrics. A Baseline's own metrics follow them in every round, in the order of its spec.
pub const BUILT_IN: &[Metric] = &[
    response_time::METRIC,
    response_time_p95::METRIC,
    throughput::METRIC,
    error_rate::METRIC,
    connection_count::METRIC,
    connection_usage::METRIC,
    lock_waits::METRIC,
    cache_hit_rate::METRIC,
    disk_io::METRIC,
    disk_usage::METRIC,
    temp_files::METRIC,
    dead_tuples::METRIC,
    transaction_id_age::METRIC,
    replication_lag::METRIC,
    oldest_transaction::METRIC,
    statement_rates::METRICS[0],
    statement_rates::METRICS[1],
    statement_rates::METRICS[2],
    statement_rates::METRICS[3],
    statement_rates::METRICS[4],
];

/// The metrics that count executions by kind of statement, in the order of [`StatementKind::ALL`].
pub const STATEMENT_RATES: [&str; 5] = [
    statement_rates::METRICS[0].name,
    statement_rates::METRICS[1].name,
    statement_rates::METRICS[2].name,
    statement_rates::METRICS[3].name,
    statement_rates::METRICS[4].name,
];

/// Index of a built-in metric in [`BUILT_IN`] and so in every round.
pub fn built_in(name: &str) -> Option<usize> {
    BUILT_IN.iter().position(|metric| metric.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_shares_exist() {
        for (index, metric) in BUILT_IN.iter().enumerate() {
            assert_eq!(built_in(metric.name), Some(index), "{}", metric.name);
            if let Some(share) = metric.share {
                let share = built_in(share).map(|index| BUILT_IN[index].unit);
                assert_eq!(share, Some("%"), "{}", metric.name);
            }
        }
    }

    #[test]
    fn nothing_observed_gives_no_value_at_all() {
        let current = Observation::default();
        let interval = testing::interval(None, &current, None);
        for metric in BUILT_IN {
            assert_eq!((metric.value)(&interval), None, "{}", metric.name);
        }
    }
}
