//! PostgreSQL 13 to 18. What is said of 17 and 18 follows their documentation; tests run against 15.

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

/// A name as an SQL identifier: in double quotes, with those within doubled.
pub fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
