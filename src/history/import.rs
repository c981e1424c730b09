//! Many rounds at once, written as sealed chunks.

use super::block::{Block, Rows};
use super::error::HistoryError;
use super::store::{Store, TargetSeries};
use super::write::{IMPORT_ROUNDS, LONGEST, check_instant, off_the_runtime};
use crate::measure::TargetKey;

/// Values that are collected before they are written: 8 MiB, and 11 days of 20 metrics at 10 s, within which rounds
/// may come in any order at no cost.
const BATCH_VALUES: usize = 2 << 20;

/// What an import brought in.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Imported {
    /// Rounds read, those of one instant counted each.
    pub rounds: u64,
    /// Values that were there.
    pub samples: u64,
    /// First instant, milliseconds since the Unix epoch.
    pub first: Option<i64>,
    /// Last instant, milliseconds since the Unix epoch.
    pub last: Option<i64>,
}

impl Store {
    /// Stores rounds of a target, in any order of time, as sealed chunks of up to a day, a transaction each.
    ///
    /// Rules as for [`Self::append`]: a value at an instant that has one replaces it, an absent one replaces
    /// nothing; so an import that was cut short is simply done again. An error leaves what was written before it.
    pub async fn import(
        &self,
        key: &TargetKey,
        metrics: &[String],
        rounds: impl IntoIterator<Item = (i64, Vec<f32>)>,
    ) -> Result<Imported, HistoryError> {
        let series = self.target(key, metrics).await?;
        let mut imported = Imported::default();
        let mut rows = Rows::default();
        for (at, values) in rounds {
            if values.len() != metrics.len() {
                return Err(HistoryError::Shape { found: values.len(), expected: metrics.len() });
            }
            rows.push(at, &values);
            if rows.is_batch() {
                self.import_rows(&series, std::mem::take(&mut rows), &mut imported).await?;
            }
        }
        self.import_rows(&series, rows, &mut imported).await?;
        Ok(imported)
    }

    /// Writes a batch of rounds and counts it.
    pub(super) async fn import_rows(
        &self,
        series: &TargetSeries,
        rows: Rows,
        imported: &mut Imported,
    ) -> Result<(), HistoryError> {
        if rows.at.is_empty() {
            return Ok(());
        }
        rows.at.iter().try_for_each(|at| check_instant(*at))?;
        imported.rounds += rows.at.len() as u64;
        imported.samples += rows.values.iter().filter(|value| value.is_finite()).count() as u64;
        imported.first = imported.first.into_iter().chain(rows.at.iter().copied()).min();
        imported.last = imported.last.into_iter().chain(rows.at.iter().copied()).max();
        let database = self.database().await?;
        let result = database.import_rows(series, rows).await;
        self.settle_write(database, result).await
    }
}

impl Rows {
    /// Adds a round.
    pub(super) fn push(&mut self, at: i64, values: &[f32]) {
        self.at.push(at);
        self.values.extend_from_slice(values);
    }

    /// Whether there are enough rounds to be worth writing.
    pub(super) fn is_batch(&self) -> bool {
        self.values.len() >= BATCH_VALUES || self.at.len() >= BATCH_VALUES
    }
}

impl super::database::Database {
    async fn import_rows(&self, series: &TargetSeries, rows: Rows) -> Result<(), HistoryError> {
        let resolved = self.resolve(series).await?;
        let metrics = self.metrics_of(resolved.layout).await?;
        let block = off_the_runtime(move || Block::from_rows(&metrics, &rows)).await?;
        let mut from = 0;
        while from < block.at.len() && !block.columns.is_empty() {
            // A transaction per chunk: a round that is appended meanwhile waits for one chunk at most.
            let end = block.at[from].saturating_add(LONGEST);
            let to = from + block.at[from..].partition_point(|at| *at < end).min(IMPORT_ROUNDS);
            self.write_sealed(resolved.target, &block.slice(from, to)).await?;
            from = to;
        }
        Ok(())
    }
}
