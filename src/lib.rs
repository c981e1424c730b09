//! dbmedic: a Kubernetes operator that learns what is normal for a database, notices when that stops, works out
//! why, and fixes it safely.
//!
//! Modules in the order in which data flows; arrows point from the edge to the core, never back.
//! The core (`measure`, `stats`, `learn`, `detect`, `diagnose`, `heal`) is pure functions of values.

pub mod api;
pub mod cli;
pub mod gate;
pub mod measure;
