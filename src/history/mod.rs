//! The embedded history: rounds, roll-ups and profiles in one `SQLite` file. Format, durability and figures:
//! `docs/history.md`.
//!
//! What belongs here: everything that touches the file, and CSV in and out of it. What the values mean does not.

mod block;
mod chunk;
pub mod command;
mod database;
mod error;
mod import;
mod read;
mod roll_up;
mod rounding;
mod store;
#[cfg(test)]
mod tests;
pub mod transfer;
mod upkeep;
mod write;

/// Name of the file below the data folder.
pub const FILE: &str = "history.sqlite";
/// Memory in KiB that a connection keeps of the file unless told otherwise: what a round touches fits in.
pub const CACHE_KIB: u32 = 256;
/// Metrics that are read together where all of a target are needed in turn. They lie together, so that one pass for
/// several is cheaper than one for each; a fortnight of each at 10 s is 2 MB of memory.
pub const READ_TOGETHER: usize = 5;

pub use crate::learn::Sample;
pub use error::{Health, HistoryError};
pub use import::Imported;
pub use roll_up::RollUp;
pub use rounding::{EXACT_WHOLE, SIGNIFICANT_DIGITS, round_value};
pub use store::{Store, TargetSeries};
pub use upkeep::{ROLL_UP_DAYS, Size};
