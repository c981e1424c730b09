//! The running engine: one task owns the shard and steps it with every round; around it the collectors, the
//! history and the learning.
//!
//! A round goes `collector -> shard -> incident changes` without waiting for anything: the history is written by a
//! task of its own, learning runs beside, and the writer of Anomalies has its own queue.

mod handle;
mod learning;
mod recorder;
mod settings;
mod task;

pub use handle::{Connection, Handle, Learnt, TargetView};
pub use settings::{BaselineKey, IncidentChange, Learning, Noticed, OpenIncident, RuleSettings, TargetSettings};
pub use task::start;
