//! PostgreSQL 13 to 18. Tests run against 15; what differs in the others follows their documentation.

pub mod act;
pub mod connect;
pub mod custom;
pub mod error;
#[cfg(test)]
pub mod fixture;
pub mod keyword;
pub mod look;
pub mod observe;
pub mod quote;
pub mod statement_reader;
pub mod statements;

pub use connect::{Endpoint, connect};
pub use error::DatabaseError;
