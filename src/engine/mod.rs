//! The running engine: one task owns the shard and steps it with every round; around it the collectors, the
//! history and the learning.
//!
//! A round goes `collector -> shard -> incident changes` without waiting for anything: the history is written by a
//! task of its own, learning runs beside, and the writer of Anomalies has its own queue.
//!
//! Read in this order: `task` is the loop, `targets` the databases, `rules` what is judged, `rounds` what happens with
//! each report, `learning` the profiles, `warming` what detectors remember, `recorder` the history, `views` and `handle` what the controllers see.

mod exceptions;
mod handle;
mod learning;
mod recorder;
mod rounds;
mod rules;
mod settings;
mod targets;
mod task;
mod views;
mod warming;

pub use handle::{Connection, Handle, Learnt, TargetView};
pub use settings::{
    BaselineKey, ExceptionSettings, IncidentChange, Learning, Noticed, OpenIncident, RefreshPlan, RuleSettings,
    TargetSettings,
};
pub use task::start;
