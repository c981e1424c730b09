//! The `SQLite` file: opening it, its format, and setting a damaged one aside.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use tokio::time::Instant;

use super::error::HistoryError;

/// Latest format that this program knows (`PRAGMA user_version`).
pub(super) const FORMAT: i64 = 1;
/// `PRAGMA application_id` of our files: "dbmd".
const APPLICATION: i64 = 0x6462_6d64;
const SCHEMA: &str = include_str!("schema.sql");

/// How long a statement waits for another process (`dbmedic history import`) to end its transaction.
const BUSY: Duration = Duration::from_secs(5);
/// How long an idle reader is kept: its page cache is not worth resident memory between two learnings.
const READER_IDLE: Duration = Duration::from_mins(1);

/// What is known of a target's open chunk.
#[derive(Clone, Copy, Debug)]
pub(super) struct OpenChunk {
    /// First instant.
    pub(super) first: i64,
    /// Rounds.
    pub(super) rounds: usize,
}

/// An open history file. One connection writes, one (opened when needed) reads beside it.
#[derive(Debug)]
pub(super) struct Database {
    /// Counts the files that one store has had open: ids found in one mean nothing in the next.
    pub(super) generation: u64,
    pub(super) writer: SqlitePool,
    pub(super) reader: SqlitePool,
    open_chunks: Mutex<HashMap<i64, OpenChunk>>,
    checkpointed: Mutex<Instant>,
}

impl Database {
    /// Opens a file, or begins one.
    pub(super) async fn open(path: &Path, generation: u64, cache_kib: u32) -> Result<Self, HistoryError> {
        let options = options(path, cache_kib);
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .acquire_timeout(2 * BUSY)
            .connect_with(options.clone())
            .await?;
        if let Err(error) = check_format(path, &writer).await {
            writer.close().await;
            return Err(error);
        }
        let reader = SqlitePoolOptions::new()
            .max_connections(1)
            .idle_timeout(READER_IDLE)
            .test_before_acquire(false)
            .acquire_timeout(6 * BUSY)
            .connect_lazy_with(options);
        Ok(Self { generation, writer, reader, open_chunks: Mutex::default(), checkpointed: Mutex::new(Instant::now()) })
    }

    /// Opens a file that is there, for reading alone: nothing is created, changed or set aside, and whoever writes to
    /// it meanwhile is not held up.
    pub(super) async fn open_read_only(path: &Path, generation: u64, cache_kib: u32) -> Result<Self, HistoryError> {
        let options = |immutable: bool| {
            SqliteConnectOptions::new()
                .filename(path)
                .read_only(true)
                .immutable(immutable)
                .busy_timeout(BUSY)
                .pragma("cache_size", format!("-{cache_kib}"))
                .row_buffer_size(4)
                .disable_statement_logging()
        };
        let connect = async |immutable: bool| {
            let pool = SqlitePoolOptions::new().max_connections(1).test_before_acquire(false).acquire_timeout(2 * BUSY);
            let pool = pool.connect_with(options(immutable)).await?;
            match check_format(path, &pool).await {
                Ok(()) => Ok(pool),
                Err(error) => {
                    pool.close().await;
                    Err(error)
                }
            }
        };
        let reader = match connect(false).await {
            // Where nothing may be written, the shared memory of the log cannot be made. Without a log nobody is writing.
            Err(HistoryError::Unwritable(_)) if !with_suffix(path, "-wal").try_exists().unwrap_or(true) => {
                connect(true).await
            }
            result => result,
        }?;
        let (writer, open_chunks) = (reader.clone(), Mutex::default());
        Ok(Self { generation, writer, reader, open_chunks, checkpointed: Mutex::new(Instant::now()) })
    }

    /// Closes every connection.
    pub(super) async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }

    /// The targets' open chunks, as far as they are known.
    pub(super) fn open_chunks(&self) -> std::sync::MutexGuard<'_, HashMap<i64, OpenChunk>> {
        self.open_chunks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the last checkpoint is `period` ago; from then on it counts as done.
    pub(super) fn checkpoint_due(&self, period: Duration) -> bool {
        let mut last = self.checkpointed.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last.elapsed() >= period;
        if due {
            *last = Instant::now();
        }
        due
    }
}

fn options(path: &Path, cache_kib: u32) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .page_size(4096)
        .journal_mode(SqliteJournalMode::Wal)
        // A commit is in the operating system's hands before it is acknowledged: the death of the process loses
        // nothing. Power loss: see `docs/history.md`.
        .synchronous(SqliteSynchronous::Normal)
        .busy_timeout(BUSY)
        // A negative size is in KiB.
        .pragma("cache_size", format!("-{cache_kib}"))
        .pragma("journal_size_limit", "4194304")
        .statement_cache_capacity(24)
        // A row may be a chunk of 200 KiB.
        .row_buffer_size(4)
        .disable_statement_logging()
}

async fn check_format(path: &Path, writer: &SqlitePool) -> Result<(), HistoryError> {
    let mut connection = writer.acquire().await?;
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_master").fetch_one(&mut *connection).await?;
    if tables == 0 {
        // An empty file, opened for reading alone, refuses what follows.
        let mut transaction = sqlx::Connection::begin_with(&mut *connection, "BEGIN IMMEDIATE").await?;
        // Another process may have begun the file between the look and the lock.
        let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_master").fetch_one(&mut *transaction).await?;
        if tables == 0 {
            sqlx::raw_sql(SCHEMA).execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        return Ok(());
    }
    let application: i64 = sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *connection).await?;
    if application != APPLICATION {
        return Err(HistoryError::Foreign { path: path.to_owned() });
    }
    let found: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *connection).await?;
    if found > FORMAT {
        return Err(HistoryError::Newer { path: path.to_owned(), found, known: FORMAT });
    }
    Ok(())
}

/// Renames a file and its write-ahead log to the first free `NAME.corrupt-<n>`, and says to which.
pub(super) fn set_aside(path: &Path) -> std::io::Result<PathBuf> {
    let mut number = 1u32;
    let aside = loop {
        let candidate = with_suffix(path, &format!(".corrupt-{number}"));
        if !candidate.try_exists()? {
            break candidate;
        }
        number += 1;
    };
    for suffix in ["-wal", "-shm"] {
        let file = with_suffix(path, suffix);
        if file.try_exists()? {
            std::fs::rename(&file, with_suffix(&aside, suffix))?;
        }
    }
    std::fs::rename(path, &aside)?;
    Ok(aside)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
