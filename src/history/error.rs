//! What can go wrong with the store, in the classes that callers act on.

use std::path::PathBuf;

use super::chunk::ChunkError;

/// How the store is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Health {
    /// Rounds are stored.
    Working,
    /// Rounds are not stored at present (full disk, missing directory or right); says why. Ends by itself with the
    /// first write that succeeds.
    Unwritable(String),
    /// A damaged file was set aside and a new one begun; says which and where. Stays until the process ends.
    Corrupt(String),
}

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The file is of a later format: opening it could destroy what this program does not know.
    #[error(
        "{}: the history file is of format {found}, this dbmedic knows up to {known}: use the version that wrote it \
         or a later one, or name another file",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The latest format that this program knows.
        known: i64,
    },
    /// The file is a `SQLite` database of something else.
    #[error("{}: this SQLite file is not a dbmedic history: name another file", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Nothing could be written: disk full, read-only, missing directory, locked by another process.
    #[error("the history cannot be written: {0}")]
    Unwritable(String),
    /// The file is damaged; it has been set aside and a new one begun.
    #[error("the history file is damaged: {0}")]
    Corrupt(String),
    /// A round does not have the values that its target's metrics call for.
    #[error("a round has {found} values, its target has {expected} metrics")]
    Shape {
        /// Values in the round.
        found: usize,
        /// Metrics of the target.
        expected: usize,
    },
    /// A round lies outside the years 1 to 9999: a clock that is wrong beyond use.
    #[error("a round is of {0} ms since 1970, allowed: the years 1 to 9999")]
    Instant(i64),
    /// Anything else: a fault of the program.
    #[error("the history failed: {0}")]
    Other(String),
}

impl HistoryError {
    /// A word for metrics and logs.
    pub fn class(&self) -> &'static str {
        match self {
            Self::Newer { .. } => "newer",
            Self::Foreign { .. } => "foreign",
            Self::Unwritable(_) => "unwritable",
            Self::Corrupt(_) => "corrupt",
            Self::Shape { .. } => "shape",
            Self::Instant(_) => "instant",
            Self::Other(_) => "other",
        }
    }
}

/// Primary result codes of `SQLite` that mean damage (<https://www.sqlite.org/rescode.html>).
const CORRUPT: [i32; 2] = [11, 26];
/// `SQLITE_IOERR_CORRUPTFS`: the file system itself says that the content is damaged.
const CORRUPT_FILE_SYSTEM: i32 = 8458;
/// BUSY, LOCKED, READONLY, IOERR, FULL, CANTOPEN.
const UNWRITABLE: [i32; 6] = [5, 6, 8, 10, 13, 14];

impl From<sqlx::Error> for HistoryError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database) => {
                let extended: i32 = database.code().and_then(|code| code.parse().ok()).unwrap_or_default();
                let primary = extended & 0xff;
                if CORRUPT.contains(&primary) || extended == CORRUPT_FILE_SYSTEM {
                    Self::Corrupt(database.message().to_owned())
                } else if UNWRITABLE.contains(&primary) {
                    Self::Unwritable(database.message().to_owned())
                } else {
                    Self::Other(database.message().to_owned())
                }
            }
            sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => {
                Self::Unwritable(error.to_string())
            }
            // Columns are declared by this program alone, so another type or a NULL there is damage.
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => Self::Corrupt(error.to_string()),
            _ => Self::Other(error.to_string()),
        }
    }
}

impl From<ChunkError> for HistoryError {
    fn from(error: ChunkError) -> Self {
        match error {
            ChunkError::Compress(_) => Self::Other(error.to_string()),
            _ => Self::Corrupt(error.to_string()),
        }
    }
}
