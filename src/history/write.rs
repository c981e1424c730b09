//! Writing into the file: rounds into the open chunk, the open chunk into a sealed one, and the roll-ups with it.

use std::collections::HashSet;
use std::sync::PoisonError;
use std::time::Duration;

use sqlx::{Connection as _, Row as _, SqliteConnection};

use super::block::{Block, Rows};
use super::chunk;
use super::database::{Database, OpenChunk};
use super::error::HistoryError;
use super::roll_up::{self, HOUR};
use super::rounding::round_value;
use super::store::{Resolved, TargetSeries};
use crate::measure::TargetKey;

/// Every chunk is shorter than this, in milliseconds: readers look this far back for chunks that reach into a span.
pub(super) const LONGEST: i64 = 24 * HOUR;
/// A chunk of this many rounds is sealed, however short.
const SEAL_ROUNDS: usize = 720;
/// A chunk that spans this much is sealed, in milliseconds...
const SEAL_SPAN: i64 = 2 * HOUR;
/// ... if it has at least this many rounds: below, what a chunk costs in itself outweighs its values. (Long
/// intervals only; a chunk is sealed before it spans a day in any case.)
const SEAL_ROUNDS_LEAST: usize = 120;
/// A chunk written by an import has at most this many rounds: a day at 10 s.
pub(super) const IMPORT_ROUNDS: usize = 8640;
/// How much power loss may cost.
const CHECKPOINT_PERIOD: Duration = Duration::from_mins(1);

/// Instants that a round may have: the years 1 to 9999, in milliseconds since the Unix epoch. Sums of an instant
/// and a few spans cannot overflow within them.
const INSTANTS: std::ops::RangeInclusive<i64> = -62_135_596_800_000..=253_402_300_799_999;

/// Refuses an instant that no clock in its senses shows.
pub(super) fn check_instant(at: i64) -> Result<(), HistoryError> {
    if INSTANTS.contains(&at) { Ok(()) } else { Err(HistoryError::Instant(at)) }
}

/// What an append leaves to be done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Due {
    pub(super) target: i64,
    /// The open chunk is long enough.
    pub(super) seal: bool,
}

impl Database {
    /// Ids of a target, its metrics and their layout; given when they have none yet.
    pub(super) async fn resolve(&self, series: &TargetSeries) -> Result<Resolved, HistoryError> {
        let known = *series.resolved.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.filter(|known| known.generation == self.generation) {
            return Ok(known);
        }
        let mut connection = self.writer.acquire().await?;
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        let target = target_id(&mut transaction, &series.key).await?;
        let metrics = metric_ids(&mut transaction, target, &series.metrics).await?;
        let text = metrics.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
        sqlx::query("INSERT INTO layout (metrics) VALUES (?1) ON CONFLICT DO NOTHING")
            .bind(&text)
            .execute(&mut *transaction)
            .await?;
        let layout: i64 = sqlx::query_scalar("SELECT id FROM layout WHERE metrics = ?1")
            .bind(&text)
            .fetch_one(&mut *transaction)
            .await?;
        let open = sqlx::query("SELECT count(*), min(at) FROM round WHERE target = ?1")
            .bind(target)
            .fetch_one(&mut *transaction)
            .await?;
        let (rounds, first): (i64, Option<i64>) = (open.try_get(0)?, open.try_get(1)?);
        transaction.commit().await?;
        if let Some(first) = first {
            self.open_chunks().insert(target, OpenChunk { first, rounds: rounds as usize });
        }
        let resolved = Resolved { generation: self.generation, target, layout };
        *series.resolved.lock().unwrap_or_else(PoisonError::into_inner) = Some(resolved);
        Ok(resolved)
    }

    /// Ids of the metrics of a layout, in order.
    pub(super) async fn metrics_of(&self, layout: i64) -> Result<Vec<i64>, HistoryError> {
        let mut connection = self.writer.acquire().await?;
        let text: String = sqlx::query_scalar("SELECT metrics FROM layout WHERE id = ?1")
            .bind(layout)
            .fetch_one(&mut *connection)
            .await?;
        layout_metrics(&text)
    }

    /// Adds a round to its target's open chunk.
    pub(super) async fn append(&self, series: &TargetSeries, at: i64, values: &[f32]) -> Result<Due, HistoryError> {
        check_instant(at)?;
        let mut data = Vec::with_capacity(values.len() * 4);
        for value in values {
            data.extend_from_slice(&round_value(*value).unwrap_or(f32::NAN).to_le_bytes());
        }
        let Resolved { target, layout, .. } = self.resolve(series).await?;
        let mut connection = self.writer.acquire().await?;
        sqlx::query(
            "INSERT INTO round (target, at, sequence, layout, data) VALUES (?1, ?2, \
             (SELECT coalesce(max(sequence) + 1, 0) FROM round WHERE target = ?1 AND at = ?2), ?3, ?4)",
        )
        .bind(target)
        .bind(at)
        .bind(layout)
        .bind(data)
        .execute(&mut *connection)
        .await?;
        let mut open_chunks = self.open_chunks();
        let open = open_chunks.entry(target).or_insert(OpenChunk { first: at, rounds: 0 });
        open.rounds += 1;
        let span = (at - open.first).abs();
        let seal = open.rounds >= SEAL_ROUNDS
            || (span >= SEAL_SPAN && open.rounds >= SEAL_ROUNDS_LEAST)
            || span >= LONGEST - SEAL_SPAN;
        Ok(Due { target, seal })
    }

    /// Turns the rows of a target's open chunk into a sealed one, in one transaction.
    pub(super) async fn seal(&self, target: i64) -> Result<(), HistoryError> {
        let mut connection = self.writer.acquire().await?;
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        let block = open_block(&mut transaction, target, i64::MIN, i64::MAX).await?;
        write_block(&mut transaction, target, &block).await?;
        sqlx::query("DELETE FROM round WHERE target = ?1").bind(target).execute(&mut *transaction).await?;
        transaction.commit().await?;
        self.open_chunks().remove(&target);
        Ok(())
    }

    /// Writes rounds as sealed chunks, in one transaction.
    pub(super) async fn write_sealed(&self, target: i64, block: &Block) -> Result<(), HistoryError> {
        let mut connection = self.writer.acquire().await?;
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        write_block(&mut transaction, target, block).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Brings the write-ahead log to the disk and into the file, once a minute: what power loss may cost.
    pub(super) async fn checkpoint_when_due(&self) -> Result<(), HistoryError> {
        if self.checkpoint_due(CHECKPOINT_PERIOD) {
            let mut connection = self.writer.acquire().await?;
            sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").fetch_one(&mut *connection).await?;
        }
        Ok(())
    }
}

/// Id of a target; given when it has none.
pub(super) async fn target_id(connection: &mut SqliteConnection, key: &TargetKey) -> Result<i64, HistoryError> {
    sqlx::query("INSERT INTO target (namespace, baseline, pod) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")
        .bind(&key.namespace)
        .bind(&key.baseline)
        .bind(&key.pod)
        .execute(&mut *connection)
        .await?;
    Ok(sqlx::query_scalar("SELECT id FROM target WHERE namespace = ?1 AND baseline = ?2 AND pod = ?3")
        .bind(&key.namespace)
        .bind(&key.baseline)
        .bind(&key.pod)
        .fetch_one(connection)
        .await?)
}

/// Ids of a target's metrics, in order; given when they have none.
pub(super) async fn metric_ids(
    connection: &mut SqliteConnection,
    target: i64,
    names: &[String],
) -> Result<Vec<i64>, HistoryError> {
    let mut ids = Vec::with_capacity(names.len());
    for name in names {
        sqlx::query("INSERT INTO metric (name) VALUES (?1) ON CONFLICT DO NOTHING")
            .bind(name)
            .execute(&mut *connection)
            .await?;
        let id: i64 =
            sqlx::query_scalar("SELECT id FROM metric WHERE name = ?1").bind(name).fetch_one(&mut *connection).await?;
        sqlx::query("INSERT INTO series (target, metric) VALUES (?1, ?2) ON CONFLICT DO NOTHING")
            .bind(target)
            .bind(id)
            .execute(&mut *connection)
            .await?;
        ids.push(id);
    }
    Ok(ids)
}

fn layout_metrics(text: &str) -> Result<Vec<i64>, HistoryError> {
    let ids: Result<Vec<i64>, _> = text.split(',').map(str::parse).collect();
    ids.map_err(|_| HistoryError::Corrupt("the layout of a round is malformed".to_owned()))
}

/// The rounds of a target's open chunk from `from` to before `to` (milliseconds since the Unix epoch).
pub(super) async fn open_block(
    connection: &mut SqliteConnection,
    target: i64,
    from: i64,
    to: i64,
) -> Result<Block, HistoryError> {
    let rows = sqlx::query(
        "SELECT r.at, r.data, l.metrics FROM round r LEFT JOIN layout l ON l.id = r.layout \
         WHERE r.target = ?1 AND r.at >= ?2 AND r.at < ?3 ORDER BY r.layout, r.at, r.sequence",
    )
    .bind(target)
    .bind(from)
    .bind(to)
    .fetch_all(connection)
    .await?;
    let damaged = || HistoryError::Corrupt("a round of the open chunk is malformed".to_owned());
    let mut block = Block::default();
    let mut layout: Option<(String, Vec<i64>, Rows)> = None;
    for row in rows {
        let (at, data, text): (i64, Vec<u8>, Option<String>) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let text = text.ok_or_else(damaged)?;
        if layout.as_ref().is_none_or(|(present, ..)| *present != text) {
            if let Some((_, metrics, rows)) = layout.take() {
                block = block.merge(&Block::from_rows(&metrics, &rows));
            }
            let metrics = layout_metrics(&text)?;
            layout = Some((text, metrics, Rows::default()));
        }
        let Some((_, metrics, rows)) = &mut layout else { continue };
        let (values, rest) = data.as_chunks::<4>();
        if values.len() != metrics.len() || !rest.is_empty() {
            return Err(damaged());
        }
        rows.at.push(at);
        rows.values.extend(values.iter().map(|bytes| f32::from_le_bytes(*bytes)));
    }
    if let Some((_, metrics, rows)) = layout {
        block = block.merge(&Block::from_rows(&metrics, &rows));
    }
    Ok(block)
}

/// An existing chunk, as far as placing new rounds needs it.
struct Placed {
    id: i64,
    first: i64,
    last: i64,
}

/// Writes rounds into sealed chunks and brings the roll-ups of their hours up to date.
///
/// Rounds within the span of a chunk that exists go into that chunk, so that chunks never overlap; the others form
/// new chunks, each shorter than [`LONGEST`] and of at most [`IMPORT_ROUNDS`] rounds.
async fn write_block(connection: &mut SqliteConnection, target: i64, block: &Block) -> Result<(), HistoryError> {
    let (Some(&first), Some(&last)) = (block.at.first(), block.at.last()) else { return Ok(()) };
    let existing = sqlx::query(
        "SELECT id, first, last FROM chunk WHERE target = ?1 AND first BETWEEN ?2 AND ?3 AND last >= ?4 ORDER BY first",
    )
    .bind(target)
    .bind(first.saturating_sub(LONGEST))
    .bind(last)
    .bind(first)
    .fetch_all(&mut *connection)
    .await?;
    let existing: Result<Vec<Placed>, sqlx::Error> = existing
        .iter()
        .map(|row| Ok(Placed { id: row.try_get(0)?, first: row.try_get(1)?, last: row.try_get(2)? }))
        .collect();
    let existing = existing?;
    let mut from = 0;
    while from < block.at.len() {
        let begin = block.at[from];
        let covering = existing.iter().find(|chunk| chunk.first <= begin && begin <= chunk.last);
        let end = if let Some(chunk) = covering {
            chunk.last + 1
        } else {
            let next = existing.iter().find(|chunk| chunk.first > begin).map_or(i64::MAX, |chunk| chunk.first);
            next.min(begin + LONGEST)
        };
        let mut to = from + block.at[from..].partition_point(|at| *at < end);
        if covering.is_none() {
            to = to.min(from + IMPORT_ROUNDS);
        }
        let part = block.slice(from, to);
        write_chunk(connection, target, covering.map(|chunk| chunk.id), part).await?;
        from = to;
    }
    Ok(())
}

async fn write_chunk(
    connection: &mut SqliteConnection,
    target: i64,
    into: Option<i64>,
    mut block: Block,
) -> Result<(), HistoryError> {
    let hours: HashSet<i64> = block.at.iter().map(|at| roll_up::hour_of(*at)).collect();
    if let Some(id) = into {
        let data: Vec<u8> =
            sqlx::query_scalar("SELECT data FROM chunk WHERE id = ?1").bind(id).fetch_one(&mut *connection).await?;
        block = chunk::decode(&data, None)?.merge(&block);
    }
    let (Some(&first), Some(&last)) = (block.at.first(), block.at.last()) else { return Ok(()) };
    let samples = block.samples() as i64;
    let (block, data) = off_the_runtime(move || {
        let data = chunk::encode(&block);
        (block, data)
    })
    .await?;
    let data = data?;
    let id: i64 = match into {
        Some(id) => {
            sqlx::query("UPDATE chunk SET first = ?2, last = ?3, samples = ?4, data = ?5 WHERE id = ?1")
                .bind(id)
                .bind(first)
                .bind(last)
                .bind(samples)
                .bind(data)
                .execute(&mut *connection)
                .await?;
            id
        }
        None => sqlx::query("INSERT INTO chunk (target, first, last, samples, data) VALUES (?1, ?2, ?3, ?4, ?5)")
            .bind(target)
            .bind(first)
            .bind(last)
            .bind(samples)
            .bind(data)
            .execute(&mut *connection)
            .await?
            .last_insert_rowid(),
    };
    write_roll_ups(connection, target, id, &block, &hours).await
}

/// Roll-ups of `hours` from a chunk and from those that share its first or last hour.
async fn write_roll_ups(
    connection: &mut SqliteConnection,
    target: i64,
    id: i64,
    block: &Block,
    hours: &HashSet<i64>,
) -> Result<(), HistoryError> {
    let (Some(&first), Some(&last)) = (block.at.first(), block.at.last()) else { return Ok(()) };
    let from = roll_up::hour_of(first);
    let to = roll_up::hour_of(last).saturating_add(HOUR);
    let neighbours: Vec<Vec<u8>> = sqlx::query_scalar(
        "SELECT data FROM chunk WHERE target = ?1 AND id <> ?2 AND first > ?3 AND first < ?4 AND last >= ?5",
    )
    .bind(target)
    .bind(id)
    .bind(from.saturating_sub(LONGEST))
    .bind(to)
    .bind(from)
    .fetch_all(&mut *connection)
    .await?;
    let mut blocks = Vec::with_capacity(neighbours.len());
    for data in &neighbours {
        blocks.push(chunk::decode(data, None)?);
    }
    let all: Vec<&Block> = std::iter::once(block).chain(&blocks).collect();
    for &hour in hours {
        sqlx::query("INSERT OR REPLACE INTO roll_up (target, hour, data) VALUES (?1, ?2, ?3)")
            .bind(target)
            .bind(hour / HOUR)
            .bind(roll_up::encode(&roll_up::of_hour(&all, hour)))
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Runs what takes milliseconds of computing where it holds up no other task.
pub(super) async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, HistoryError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| HistoryError::Other(error.to_string()))
}
