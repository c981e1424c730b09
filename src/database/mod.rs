//! The databases: how to connect to them, what to read from them, and how to change them.
//!
//! Everything here talks to a server and decides nothing. Text that a server sends is hostile: quoted, parameterised
//! or escaped wherever it goes on.

pub mod postgresql;

pub use postgresql::DatabaseError;
