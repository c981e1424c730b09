//! dbmedic: a Kubernetes operator that learns what is normal for a database, notices when that stops, works out
//! why, and fixes it safely.
//!
//! Modules in the order in which data flows; arrows point from the edge to the core, never back. The core
//! (`measure`, `stats`, `learn`, `detect`, `diagnose`, `heal`, `actions`) is pure functions of values.

pub mod api;

pub mod measure;
pub mod stats;
pub mod learn;
pub mod detect;
pub mod diagnose;
pub mod heal;
pub mod actions;
pub mod gate;

pub mod database;
pub mod collect;
pub mod history;
pub mod telemetry;
pub mod engine;
pub mod controllers;
pub mod operator;
pub mod fix;
pub mod cli;
