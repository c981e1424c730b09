//! Collecting: one task per target keeps one connection, looks at the server each interval and sends what it saw as
//! rounds. It decides nothing beyond what can be read and which values may be compared.

pub mod backoff;
pub mod collector;
mod handle;
mod look;
mod report;
pub mod reset;
mod session;
#[cfg(test)]
mod tests;

pub use collector::spawn;
pub use handle::CollectorHandle;
pub use report::{CollectorConfig, Report};
