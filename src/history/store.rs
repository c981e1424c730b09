//! The store as its users hold it: one handle over whichever file is open, its health, and appending.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{RwLock, RwLockReadGuard};

use super::database::{self, Database};
use super::error::{Health, HistoryError};
use crate::measure::TargetKey;

/// The embedded history. Cheap to clone; every clone is the same store.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    cache_kib: u32,
    /// Nothing is written, created or set aside.
    read_only: bool,
    /// `None` while no file can be opened.
    database: RwLock<Option<Database>>,
    faults: Mutex<Faults>,
}

#[derive(Debug, Default)]
struct Faults {
    generation: u64,
    unwritable: Option<String>,
    corrupt: Option<String>,
}

/// A target whose rounds are appended, and the metrics of its rounds.
#[derive(Clone, Debug)]
pub struct TargetSeries {
    pub(super) key: TargetKey,
    pub(super) metrics: Arc<[String]>,
    pub(super) resolved: Arc<Mutex<Option<Resolved>>>,
}

/// Dense ids of a target in one file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resolved {
    pub(super) generation: u64,
    pub(super) target: i64,
    pub(super) layout: i64,
}

impl TargetSeries {
    /// The target.
    pub fn key(&self) -> &TargetKey {
        &self.key
    }

    /// Names of the metrics, in the order of a round's values.
    pub fn metrics(&self) -> &[String] {
        &self.metrics
    }
}

type Guard<'a> = RwLockReadGuard<'a, Database>;

impl Store {
    /// Opens the history file at `path`, or begins one.
    ///
    /// A damaged file is renamed to `NAME.corrupt-<n>` and a new one begun: [`Self::health`] says so. Where no file
    /// can be opened or begun (full disk, missing directory or right) the store is [`Health::Unwritable`] and tries
    /// again with each use. Errors: [`HistoryError::Newer`], [`HistoryError::Foreign`].
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, HistoryError> {
        Self::open_with(path, super::CACHE_KIB).await
    }

    /// As [`Store::open`]; each of the two connections keeps `cache_kib` KiB of the file in memory.
    pub async fn open_with(path: impl AsRef<Path>, cache_kib: u32) -> Result<Self, HistoryError> {
        let store = Self::unopened(path.as_ref(), cache_kib, false);
        match store.database().await {
            Ok(_) | Err(HistoryError::Unwritable(_)) => {}
            Err(error) => return Err(error),
        }
        Ok(store)
    }

    /// Opens a history file for reading alone, also one that a running operator writes to: nothing is written, created
    /// or set aside, and every write fails.
    ///
    /// # Errors
    /// [`HistoryError`] when there is no such file, or it cannot be read, is damaged, of a later format or foreign.
    pub async fn open_read_only(path: impl AsRef<Path>) -> Result<Self, HistoryError> {
        let store = Self::unopened(path.as_ref(), super::CACHE_KIB, true);
        drop(store.database().await?);
        Ok(store)
    }

    fn unopened(path: &Path, cache_kib: u32, read_only: bool) -> Self {
        let path = path.to_owned();
        let inner = Inner { path, cache_kib, read_only, database: RwLock::default(), faults: Mutex::default() };
        Self { inner: Arc::new(inner) }
    }

    /// Ends all use of the file: what is under way is finished, the write-ahead log is folded in.
    pub async fn close(&self) {
        if let Some(database) = self.inner.database.write().await.take() {
            database.close().await;
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// How the store is. A write that fails at present is said before a file that was set aside.
    pub fn health(&self) -> Health {
        let faults = self.faults();
        match (&faults.unwritable, &faults.corrupt) {
            (Some(message), _) => Health::Unwritable(message.clone()),
            (None, Some(message)) => Health::Corrupt(message.clone()),
            (None, None) => Health::Working,
        }
    }

    /// Makes a target known, with the metrics that its rounds have in their order.
    ///
    /// When the store cannot be written at present, the target is made known with its first append that succeeds.
    pub async fn target(&self, key: &TargetKey, metrics: &[String]) -> Result<TargetSeries, HistoryError> {
        let series = TargetSeries { key: key.clone(), metrics: metrics.to_vec().into(), resolved: Arc::default() };
        let resolved = match self.database().await {
            Ok(database) => {
                let result = database.resolve(&series).await;
                self.settle_write(database, result).await
            }
            Err(error) => Err(error),
        };
        match resolved {
            Ok(_) | Err(HistoryError::Unwritable(_) | HistoryError::Corrupt(_)) => Ok(series),
            Err(error) => Err(error),
        }
    }

    /// Stores a round. Once this returns `Ok`, the death of the process loses nothing of it.
    ///
    /// `at` is in milliseconds since the Unix epoch; `values` are in the order of the target's metrics, NaN where
    /// there is none, and are kept as [`super::round_value`] says. A round may be earlier than one stored before;
    /// of two values of one metric at one instant the later stored is kept, and an absent value replaces nothing.
    ///
    /// Errors leave the round unstored, never the store unusable: the next append is tried as if none had failed.
    pub async fn append(&self, series: &TargetSeries, at: i64, values: &[f32]) -> Result<(), HistoryError> {
        if values.len() != series.metrics.len() {
            return Err(HistoryError::Shape { found: values.len(), expected: series.metrics.len() });
        }
        if !values.iter().any(|value| value.is_finite()) {
            return Ok(());
        }
        // After damage the round goes into the file newly begun: only one more attempt is worth making.
        match self.append_once(series, at, values).await {
            Err(HistoryError::Corrupt(_)) => self.append_once(series, at, values).await,
            result => result,
        }
    }

    async fn append_once(&self, series: &TargetSeries, at: i64, values: &[f32]) -> Result<(), HistoryError> {
        let database = self.database().await?;
        let result = database.append(series, at, values).await;
        let due = self.settle_write(database, result).await?;
        let database = self.database().await?;
        let result = if due.seal { database.seal(due.target).await } else { Ok(()) };
        let result = match result {
            Ok(()) => database.checkpoint_when_due().await,
            Err(error) => Err(error),
        };
        match self.settle_write(database, result).await {
            Err(error @ HistoryError::Corrupt(_)) => Err(error),
            // The round itself is stored; sealing is tried again with the next one, and the health says why.
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Seals the open chunk of a target now, whatever its length.
    pub async fn seal(&self, series: &TargetSeries) -> Result<(), HistoryError> {
        let database = self.database().await?;
        let result = match database.resolve(series).await {
            Ok(resolved) => database.seal(resolved.target).await,
            Err(error) => Err(error),
        };
        self.settle_write(database, result).await
    }

    /// The open file; opened now if it is not.
    pub(super) async fn database(&self) -> Result<Guard<'_>, HistoryError> {
        loop {
            if let Ok(guard) = RwLockReadGuard::try_map(self.inner.database.read().await, Option::as_ref) {
                return Ok(guard);
            }
            let mut slot = self.inner.database.write().await;
            if slot.is_none() {
                match self.begin().await {
                    Ok(database) => *slot = Some(database),
                    Err(error) => {
                        if let HistoryError::Unwritable(message) = &error {
                            self.faults().unwritable = Some(message.clone());
                        }
                        return Err(error);
                    }
                }
            }
        }
    }

    /// Opens the file; sets it aside first when it is damaged.
    async fn begin(&self) -> Result<Database, HistoryError> {
        if self.inner.read_only {
            return Database::open_read_only(&self.inner.path, self.next_generation(), self.inner.cache_kib).await;
        }
        let mut opened = Database::open(&self.inner.path, self.next_generation(), self.inner.cache_kib).await;
        if let Err(HistoryError::Corrupt(message)) = &opened {
            self.set_aside(message)?;
            opened = Database::open(&self.inner.path, self.next_generation(), self.inner.cache_kib).await;
        }
        opened.map_err(|error| match error {
            // SQLite's words do not say which file.
            HistoryError::Unwritable(message) => {
                HistoryError::Unwritable(format!("{}: {message}", self.inner.path.display()))
            }
            error => error,
        })
    }

    fn set_aside(&self, message: &str) -> Result<(), HistoryError> {
        match database::set_aside(&self.inner.path) {
            Ok(aside) => {
                let message = format!("{message}; set aside as {}, a new history was begun", aside.display());
                self.faults().corrupt = Some(message);
                Ok(())
            }
            Err(error) => {
                let message = format!("{message}; and the file cannot be set aside: {error}");
                Err(HistoryError::Unwritable(message))
            }
        }
    }

    fn next_generation(&self) -> u64 {
        let mut faults = self.faults();
        faults.generation += 1;
        faults.generation
    }

    fn faults(&self) -> std::sync::MutexGuard<'_, Faults> {
        self.inner.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Draws the consequences of a write: health, and a new file after damage.
    pub(super) async fn settle_write<T>(
        &self,
        database: Guard<'_>,
        result: Result<T, HistoryError>,
    ) -> Result<T, HistoryError> {
        match &result {
            Ok(_) => self.faults().unwritable = None,
            Err(HistoryError::Unwritable(message)) => self.faults().unwritable = Some(message.clone()),
            Err(_) => {}
        }
        self.settle_read(database, result).await
    }

    /// Draws the consequences of a read: a new file after damage.
    pub(super) async fn settle_read<T>(
        &self,
        database: Guard<'_>,
        result: Result<T, HistoryError>,
    ) -> Result<T, HistoryError> {
        let generation = database.generation;
        drop(database);
        let Err(HistoryError::Corrupt(message)) = result else { return result };
        if self.inner.read_only {
            return Err(HistoryError::Corrupt(message));
        }
        let mut slot = self.inner.database.write().await;
        // Another use of the same file may have found the damage first.
        if slot.as_ref().is_some_and(|database| database.generation == generation) {
            if let Some(database) = slot.take() {
                database.close().await;
            }
            self.set_aside(&message)?;
            match self.begin().await {
                Ok(database) => *slot = Some(database),
                Err(HistoryError::Unwritable(message)) => self.faults().unwritable = Some(message),
                Err(error) => return Err(error),
            }
        }
        drop(slot);
        Err(HistoryError::Corrupt(self.faults().corrupt.clone().unwrap_or(message)))
    }
}
