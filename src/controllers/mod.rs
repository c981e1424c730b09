//! Effects on the API server: one folder per kind, each a pipeline `observe -> decide -> apply -> status`.
//!
//! `observe` and `apply` hold a client and contain no policy; `decide` is a pure function and holds none.

pub mod anomaly;
pub mod anomaly_exception;
pub mod anomaly_rule;
pub mod baseline;
mod context;
pub mod incidents;
pub mod remediation;
pub mod remediation_policy;
pub mod routes;
pub mod safeguards;
mod status;
pub mod stores;

pub use context::{Backoff, Context, Error, Looks, Settings, call};
