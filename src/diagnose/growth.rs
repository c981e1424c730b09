//! Which statements explain the growth of execution time.

use super::looked::{LookedStatement, StatementGrowth};

/// A statement with its part in the growth.
#[derive(Clone, Copy, Debug)]
pub struct Ranked<'a> {
    /// The statement.
    pub statement: &'a LookedStatement,
    /// Execution time that was added since the onset, in ms: (mean now − mean before) × executions. A statement that did
    /// not run before counts in full.
    pub grown_ms: f64,
    /// Share of all statements' growth, 0 to 1.
    pub share: f64,
}

/// Execution time in ms that slower executions added.
pub fn slower_ms(growth: &StatementGrowth) -> f64 {
    ((growth.mean_ms - growth.mean_before_ms.unwrap_or_default()) * growth.calls).max(0.0)
}

/// Execution time in ms that further executions added, at the mean of before; 0 when the rate before is not known.
pub fn further_ms(growth: &StatementGrowth) -> f64 {
    match (growth.mean_before_ms, growth.calls_per_second_before) {
        (Some(mean), Some(before)) if growth.calls_per_second > 0.0 => {
            (1.0 - before / growth.calls_per_second).max(0.0) * growth.calls * mean
        }
        _ => 0.0,
    }
}

/// Statements by growth, most first.
pub fn rank(statements: &[LookedStatement]) -> Vec<Ranked<'_>> {
    let total: f64 = statements.iter().map(|statement| slower_ms(&statement.growth)).sum();
    let mut ranked: Vec<Ranked<'_>> = statements
        .iter()
        .map(|statement| {
            let grown_ms = slower_ms(&statement.growth);
            Ranked { statement, grown_ms, share: if total > 0.0 { grown_ms / total } else { 0.0 } }
        })
        .collect();
    ranked.sort_by(|a, b| b.grown_ms.total_cmp(&a.grown_ms));
    ranked
}
