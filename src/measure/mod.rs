//! What is measured: the metrics, the observation of a server that they are computed from, and the round that
//! carries their values. Pure values: reading them is the business of [`crate::database`] and [`crate::collect`].
//!
//! A metric is one file here and one line in [`BUILT_IN`].

mod observation;
mod round;

pub use observation::{
    Activity, DatabaseCounters, Identity, Interval, Observation, Role, StatementInterval, Storage, Unavailable,
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
pub const BUILT_IN: &[Metric] = &[];

/// Index of a built-in metric in [`BUILT_IN`] and so in every round.
pub fn built_in(name: &str) -> Option<usize> {
    BUILT_IN.iter().position(|metric| metric.name == name)
}
