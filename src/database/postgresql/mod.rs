//! PostgreSQL: what is sent to the server and how its answers are read.

pub mod look;
pub mod quote;
