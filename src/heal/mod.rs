//! What is done about an incident, as pure functions of values: the plan and its hash, the policy as it is meant,
//! risk, approval, budget, measurement, and the state machine that asks for one external write at a time.
//!
//! Nothing here reads a clock, a cluster or a database: the controller observes, asks [`machine::decide`] and does it.

pub mod approval;
pub mod budget;
pub mod condition;
pub mod machine;
pub mod plan;
pub mod policy;
pub mod report;
pub mod risk;
pub mod verify;
pub mod walk;

pub use policy::{FieldError, Policy};
pub use report::{FixReport, Outcome};
