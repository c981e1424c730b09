//! Retention, profiles, the statements' usual times, and how much room all of it takes.

use sqlx::{Connection as _, Row as _};

use super::database::Database;
use super::error::HistoryError;
use super::read::known_target;
use super::roll_up::HOUR;
use super::store::Store;
use super::write::{metric_ids, target_id};
use crate::measure::TargetKey;

/// Days for which hourly roll-ups are kept: a year and a month, so that monthly and yearly patterns can be learnt.
pub const ROLL_UP_DAYS: u32 = 400;
/// Milliseconds of a day.
const DAY: i64 = 24 * HOUR;

/// How much the store holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Size {
    /// Bytes in use in the file, with roll-ups, profiles and the open chunks.
    pub bytes: u64,
    /// Samples in sealed chunks.
    pub samples: u64,
}

impl Size {
    /// Bytes in use per sealed sample; `None` while there is none.
    pub fn bytes_per_sample(self) -> Option<f64> {
        (self.samples > 0).then(|| self.bytes as f64 / self.samples as f64)
    }
}

impl Store {
    /// Deletes what a target need not keep at `now` (milliseconds since the Unix epoch): chunks and rounds that lie
    /// wholly more than `window_days` back, and roll-ups older than [`ROLL_UP_DAYS`].
    ///
    /// The room is used again by what comes; the file does not shrink.
    pub async fn retain(&self, key: &TargetKey, now: i64, window_days: u32) -> Result<(), HistoryError> {
        let database = self.database().await?;
        let result = database.retain(key, now, window_days).await;
        self.settle_write(database, result).await
    }

    /// Stores the profile of a series, in the form that `learn` gives it, in place of the one before.
    pub async fn save_profile(
        &self,
        key: &TargetKey,
        metric: &str,
        learnt_at: i64,
        profile: &[u8],
    ) -> Result<(), HistoryError> {
        let database = self.database().await?;
        let result = database.save_profile(key, metric, learnt_at, profile).await;
        self.settle_write(database, result).await
    }

    /// The stored profile of a series and the instant at which it was learnt; `None` when there is none.
    pub async fn load_profile(&self, key: &TargetKey, metric: &str) -> Result<Option<(i64, Vec<u8>)>, HistoryError> {
        let database = self.database().await?;
        let result = database.load_profile(key, metric).await;
        self.settle_read(database, result).await
    }

    /// Stores what each statement of a target usually takes, in the form that `learn` gives it, in place of the one
    /// before.
    pub async fn save_usual_times(&self, key: &TargetKey, times: &[u8]) -> Result<(), HistoryError> {
        let database = self.database().await?;
        let result = database.save_usual_times(key, times).await;
        self.settle_write(database, result).await
    }

    /// What was stored last of each statement's usual time; `None` when nothing was.
    pub async fn load_usual_times(&self, key: &TargetKey) -> Result<Option<Vec<u8>>, HistoryError> {
        let database = self.database().await?;
        let result = database.load_usual_times(key).await;
        self.settle_read(database, result).await
    }

    /// How much the store holds. Reads every chunk's head: not for each round.
    pub async fn size(&self) -> Result<Size, HistoryError> {
        let database = self.database().await?;
        let result = database.size().await;
        self.settle_read(database, result).await
    }
}

impl Database {
    async fn retain(&self, key: &TargetKey, now: i64, window_days: u32) -> Result<(), HistoryError> {
        let before = now.saturating_sub(i64::from(window_days) * DAY);
        let roll_ups_before = now.saturating_sub(i64::from(ROLL_UP_DAYS) * DAY).div_euclid(HOUR);
        let mut connection = self.writer.acquire().await?;
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        let Some(target) = known_target(&mut transaction, key).await? else { return Ok(()) };
        sqlx::query("DELETE FROM chunk WHERE target = ?1 AND first < ?2 AND last < ?2")
            .bind(target)
            .bind(before)
            .execute(&mut *transaction)
            .await?;
        sqlx::query("DELETE FROM round WHERE target = ?1 AND at < ?2")
            .bind(target)
            .bind(before)
            .execute(&mut *transaction)
            .await?;
        sqlx::query("DELETE FROM roll_up WHERE target = ?1 AND hour < ?2")
            .bind(target)
            .bind(roll_ups_before)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn save_profile(
        &self,
        key: &TargetKey,
        metric: &str,
        learnt_at: i64,
        profile: &[u8],
    ) -> Result<(), HistoryError> {
        let mut connection = self.writer.acquire().await?;
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        let target = target_id(&mut transaction, key).await?;
        let metrics = metric_ids(&mut transaction, target, &[metric.to_owned()]).await?;
        for metric in metrics {
            sqlx::query("INSERT OR REPLACE INTO profile (target, metric, learnt_at, data) VALUES (?1, ?2, ?3, ?4)")
                .bind(target)
                .bind(metric)
                .bind(learnt_at)
                .bind(profile)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    async fn load_profile(&self, key: &TargetKey, metric: &str) -> Result<Option<(i64, Vec<u8>)>, HistoryError> {
        let mut connection = self.reader.acquire().await?;
        let Some(target) = known_target(&mut connection, key).await? else { return Ok(None) };
        let row = sqlx::query(
            "SELECT p.learnt_at, p.data FROM profile p JOIN metric m ON m.id = p.metric \
             WHERE p.target = ?1 AND m.name = ?2",
        )
        .bind(target)
        .bind(metric)
        .fetch_optional(&mut *connection)
        .await?;
        row.map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).transpose()
    }

    async fn save_usual_times(&self, key: &TargetKey, times: &[u8]) -> Result<(), HistoryError> {
        let mut connection = self.writer.acquire().await?;
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        let target = target_id(&mut transaction, key).await?;
        sqlx::query("INSERT OR REPLACE INTO usual_times (target, data) VALUES (?1, ?2)")
            .bind(target)
            .bind(times)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn load_usual_times(&self, key: &TargetKey) -> Result<Option<Vec<u8>>, HistoryError> {
        let mut connection = self.reader.acquire().await?;
        let Some(target) = known_target(&mut connection, key).await? else { return Ok(None) };
        let times = sqlx::query_scalar("SELECT data FROM usual_times WHERE target = ?1").bind(target);
        Ok(times.fetch_optional(&mut *connection).await?)
    }

    async fn size(&self) -> Result<Size, HistoryError> {
        let mut connection = self.reader.acquire().await?;
        let pages: i64 = sqlx::query_scalar("PRAGMA page_count").fetch_one(&mut *connection).await?;
        let free: i64 = sqlx::query_scalar("PRAGMA freelist_count").fetch_one(&mut *connection).await?;
        let page: i64 = sqlx::query_scalar("PRAGMA page_size").fetch_one(&mut *connection).await?;
        let samples: i64 =
            sqlx::query_scalar("SELECT coalesce(sum(samples), 0) FROM chunk").fetch_one(&mut *connection).await?;
        Ok(Size { bytes: ((pages - free) * page) as u64, samples: samples as u64 })
    }
}
