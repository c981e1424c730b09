//! What a strategy's steps can do: one file per action, one line in [`ACTIONS`].
//!
//! Looking actions yield facts; changing ones yield a plan. Both are values here: the looking is done by the operator's
//! read-only connection, the changing by the executor in the Job.

pub mod add_index;
pub mod analyze_query;
pub mod check_indexes;
pub mod notify;

use std::time::Duration;

use crate::api::{ActionName, Plan, PlanTarget, RootCause};

/// An action.
#[derive(Clone, Copy, Debug)]
pub struct Action {
    /// Name.
    pub name: ActionName,
    /// Name, as it is written in a strategy.
    pub text: &'static str,
    /// Whether it changes anything and so becomes a Remediation.
    pub changing: bool,
    /// What it does, for people.
    pub description: &'static str,
    /// Makes the plan, for changing ones.
    pub plan: Option<fn(&PlanRequest<'_>) -> Result<Plan, PlanError>>,
}

/// Every action, in the order of [`ActionName`].
pub const ACTIONS: &[Action] = &[analyze_query::ACTION, check_indexes::ACTION, add_index::ACTION, notify::ACTION];

/// An index that a person prescribed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Prescribed {
    /// Schema.
    pub schema: String,
    /// Table.
    pub table: String,
    /// Columns, in order.
    pub columns: Vec<String>,
}

/// What a plan is made from.
#[derive(Clone, Copy, Debug)]
pub struct PlanRequest<'a> {
    /// The database.
    pub target: &'a PlanTarget,
    /// Most time for the change.
    pub timeout: Duration,
    /// What a person prescribed instead of the advisor's finding.
    pub prescribed: Option<&'a Prescribed>,
    /// What was found out about the incident: the advisor's finding, the statements that grew, the checks.
    pub cause: &'a RootCause,
    /// The metric that has to come back.
    pub metric: &'a str,
    /// Its value now.
    pub before: f64,
    /// Lower bound of its band.
    pub lower: Option<f64>,
    /// Upper bound of its band.
    pub upper: Option<f64>,
    /// Time after the end of the change in which the metric has to come back.
    pub rollback_timeout: Duration,
}

/// Why there is no plan.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PlanError {
    /// Nothing to plan.
    #[error("the advisor found no missing index, and the step prescribes none")]
    NothingToDo,
    /// A name that no object can have.
    #[error("{0}")]
    Name(#[from] crate::database::postgresql::quote::QuoteError),
    /// A statement that no plan can hold.
    #[error("the change has {0} columns: allowed are 1 to 3")]
    Columns(usize),
    /// No measurement, no change.
    #[error("the value of the metric is not known: success could not be measured")]
    NoMeasurement,
}

/// The action of a name.
pub fn action(name: ActionName) -> &'static Action {
    match name {
        ActionName::AnalyzeQuery => &ACTIONS[0],
        ActionName::CheckIndexes => &ACTIONS[1],
        ActionName::AddIndex => &ACTIONS[2],
        ActionName::Notify => &ACTIONS[3],
    }
}

/// Names of the changing actions, for messages.
pub fn changing_names() -> String {
    let names: Vec<&str> = ACTIONS.iter().filter(|action| action.changing).map(|action| action.text).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_finds_its_own_action() {
        for entry in ACTIONS {
            assert_eq!(action(entry.name).name, entry.name);
            assert_eq!(serde_json::to_value(entry.name).unwrap(), entry.text);
            assert_eq!(entry.changing, entry.plan.is_some());
        }
    }
}
