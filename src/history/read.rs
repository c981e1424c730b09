//! Reading: series, roll-ups, and what there is.

use futures::TryStreamExt as _;
use sqlx::{Connection as _, Row as _, SqliteConnection};

use super::Sample;
use super::block::Block;
use super::chunk;
use super::database::Database;
use super::error::HistoryError;
use super::roll_up::{self, HOUR, RollUp};
use super::store::Store;
use super::write::{LONGEST, open_block};
use crate::measure::TargetKey;

impl Store {
    /// Samples of one metric with `from <= at < to` (milliseconds since the Unix epoch), in order of time. Empty for
    /// a target or metric that is not known.
    pub async fn read(&self, key: &TargetKey, metric: &str, from: i64, to: i64) -> Result<Vec<Sample>, HistoryError> {
        let mut series = self.read_many(key, &[metric], from, to).await?;
        Ok(series.pop().unwrap_or_default())
    }

    /// Samples of several metrics, in the order of `metrics`: all metrics of a target lie together, so that reading
    /// them at once costs little more than reading one. 16 bytes of memory per sample.
    pub async fn read_many(
        &self,
        key: &TargetKey,
        metrics: &[&str],
        from: i64,
        to: i64,
    ) -> Result<Vec<Vec<Sample>>, HistoryError> {
        let database = self.database().await?;
        let result = database.read_many(key, metrics, from, to).await;
        self.settle_read(database, result).await
    }

    /// Rounds with `from <= at < to`: instants, and per metric of `metrics` one value per instant, NaN where there
    /// is none.
    pub async fn read_rounds(
        &self,
        key: &TargetKey,
        metrics: &[&str],
        from: i64,
        to: i64,
    ) -> Result<(Vec<i64>, Vec<Vec<f32>>), HistoryError> {
        let database = self.database().await?;
        let result = database.read_rounds(key, metrics, from, to).await;
        self.settle_read(database, result).await
    }

    /// Hourly roll-ups of one metric whose hour begins in `from <= at < to`, in order of time. They cover sealed
    /// chunks only: of the open chunk (the last two hours) there are none yet.
    pub async fn roll_ups(
        &self,
        key: &TargetKey,
        metric: &str,
        from: i64,
        to: i64,
    ) -> Result<Vec<RollUp>, HistoryError> {
        let database = self.database().await?;
        let result = database.roll_ups(key, metric, from, to).await;
        self.settle_read(database, result).await
    }

    /// Every target that the store knows, in order.
    pub async fn targets(&self) -> Result<Vec<TargetKey>, HistoryError> {
        let database = self.database().await?;
        let result = database.targets().await;
        self.settle_read(database, result).await
    }

    /// Names of the metrics that a target has or had, in the order in which they became known.
    pub async fn metrics(&self, key: &TargetKey) -> Result<Vec<String>, HistoryError> {
        let database = self.database().await?;
        let result = database.metrics(key).await;
        self.settle_read(database, result).await
    }

    /// First and last instant of a target's rounds (milliseconds since the Unix epoch); `None` when it has none.
    pub async fn extent(&self, key: &TargetKey) -> Result<Option<(i64, i64)>, HistoryError> {
        let database = self.database().await?;
        let result = database.extent(key).await;
        self.settle_read(database, result).await
    }

    /// An instant at or after `from` before which there is no round from `from` on; `None` when none follows.
    pub(super) async fn next_instant(&self, key: &TargetKey, from: i64) -> Result<Option<i64>, HistoryError> {
        let database = self.database().await?;
        let result = database.next_instant(key, from).await;
        self.settle_read(database, result).await
    }
}

impl Database {
    async fn read_many(
        &self,
        key: &TargetKey,
        metrics: &[&str],
        from: i64,
        to: i64,
    ) -> Result<Vec<Vec<Sample>>, HistoryError> {
        let mut connection = self.reader.acquire().await?;
        // One transaction: a chunk that is sealed meanwhile must not be seen twice or not at all.
        let mut transaction = connection.begin().await?;
        let mut found = vec![Vec::new(); metrics.len()];
        let Some(target) = known_target(&mut transaction, key).await? else { return Ok(found) };
        let ids = known_metrics(&mut transaction, metrics).await?;
        sealed(&mut transaction, target, from, to, Some(&ids), |block| append_samples(&mut found, &ids, &block))
            .await?;
        let open = open_block(&mut transaction, target, from, to).await?;
        transaction.commit().await?;
        append_samples(&mut found, &ids, &open);
        for series in &mut found {
            in_order(series);
        }
        Ok(found)
    }

    async fn next_instant(&self, key: &TargetKey, from: i64) -> Result<Option<i64>, HistoryError> {
        let mut connection = self.reader.acquire().await?;
        let Some(target) = known_target(&mut connection, key).await? else { return Ok(None) };
        let next = sqlx::query_scalar(
            "SELECT min(at) FROM (SELECT min(max(first, ?2)) AS at FROM chunk WHERE target = ?1 AND last >= ?2 \
             UNION ALL SELECT min(at) FROM round WHERE target = ?1 AND at >= ?2)",
        );
        Ok(next.bind(target).bind(from).fetch_one(&mut *connection).await?)
    }

    async fn read_rounds(
        &self,
        key: &TargetKey,
        metrics: &[&str],
        from: i64,
        to: i64,
    ) -> Result<(Vec<i64>, Vec<Vec<f32>>), HistoryError> {
        let mut connection = self.reader.acquire().await?;
        let mut transaction = connection.begin().await?;
        let Some(target) = known_target(&mut transaction, key).await? else {
            return Ok((Vec::new(), vec![Vec::new(); metrics.len()]));
        };
        let ids = known_metrics(&mut transaction, metrics).await?;
        let mut all = Block::default();
        sealed(&mut transaction, target, from, to, Some(&ids), |block| {
            all = std::mem::take(&mut all).merge(&block);
        })
        .await?;
        all = all.merge(&open_block(&mut transaction, target, from, to).await?);
        transaction.commit().await?;
        let columns = ids
            .iter()
            .map(|id| {
                let column = all.columns.iter_mut().find(|column| column.metric == *id);
                column.map_or_else(|| vec![f32::NAN; all.at.len()], |column| std::mem::take(&mut column.values))
            })
            .collect();
        Ok((all.at, columns))
    }

    async fn roll_ups(&self, key: &TargetKey, metric: &str, from: i64, to: i64) -> Result<Vec<RollUp>, HistoryError> {
        let mut connection = self.reader.acquire().await?;
        let mut transaction = connection.begin().await?;
        let Some(target) = known_target(&mut transaction, key).await? else { return Ok(Vec::new()) };
        let ids = known_metrics(&mut transaction, &[metric]).await?;
        let rows = sqlx::query("SELECT hour, data FROM roll_up WHERE target = ?1 AND hour >= ?2 AND hour < ?3")
            .bind(target)
            .bind(hours_up(from))
            .bind(hours_up(to))
            .fetch_all(&mut *transaction)
            .await?;
        transaction.commit().await?;
        let mut found = Vec::with_capacity(rows.len());
        for row in rows {
            let (hour, data): (i64, Vec<u8>) = (row.try_get(0)?, row.try_get(1)?);
            found.extend(ids.iter().filter_map(|id| roll_up::decode(&data, hour.saturating_mul(HOUR), *id)));
        }
        Ok(found)
    }

    async fn targets(&self) -> Result<Vec<TargetKey>, HistoryError> {
        let mut connection = self.reader.acquire().await?;
        let rows = sqlx::query("SELECT namespace, baseline, pod FROM target ORDER BY 1, 2, 3")
            .fetch_all(&mut *connection)
            .await?;
        let keys: Result<Vec<TargetKey>, sqlx::Error> = rows
            .iter()
            .map(|row| Ok(TargetKey { namespace: row.try_get(0)?, baseline: row.try_get(1)?, pod: row.try_get(2)? }))
            .collect();
        Ok(keys?)
    }

    async fn metrics(&self, key: &TargetKey) -> Result<Vec<String>, HistoryError> {
        let mut connection = self.reader.acquire().await?;
        let Some(target) = known_target(&mut connection, key).await? else { return Ok(Vec::new()) };
        Ok(sqlx::query_scalar(
            "SELECT m.name FROM series s JOIN metric m ON m.id = s.metric WHERE s.target = ?1 ORDER BY m.id",
        )
        .bind(target)
        .fetch_all(&mut *connection)
        .await?)
    }

    async fn extent(&self, key: &TargetKey) -> Result<Option<(i64, i64)>, HistoryError> {
        let mut connection = self.reader.acquire().await?;
        let mut transaction = connection.begin().await?;
        let Some(target) = known_target(&mut transaction, key).await? else { return Ok(None) };
        let row = sqlx::query(
            "SELECT min(first), max(last) FROM (SELECT first, last FROM chunk WHERE target = ?1 \
             UNION ALL SELECT min(at), max(at) FROM round WHERE target = ?1)",
        )
        .bind(target)
        .fetch_one(&mut *transaction)
        .await?;
        transaction.commit().await?;
        let (first, last): (Option<i64>, Option<i64>) = (row.try_get(0)?, row.try_get(1)?);
        Ok(first.zip(last))
    }
}

/// Number of the first hour that begins at `at` or later.
fn hours_up(at: i64) -> i64 {
    at.div_euclid(HOUR) + i64::from(at.rem_euclid(HOUR) != 0)
}

pub(super) async fn known_target(
    connection: &mut SqliteConnection,
    key: &TargetKey,
) -> Result<Option<i64>, HistoryError> {
    Ok(sqlx::query_scalar("SELECT id FROM target WHERE namespace = ?1 AND baseline = ?2 AND pod = ?3")
        .bind(&key.namespace)
        .bind(&key.baseline)
        .bind(&key.pod)
        .fetch_optional(connection)
        .await?)
}

/// Ids of metrics; -1, which no metric has, for a name that is not known.
async fn known_metrics(connection: &mut SqliteConnection, names: &[&str]) -> Result<Vec<i64>, HistoryError> {
    let mut ids = Vec::with_capacity(names.len());
    for name in names {
        let id: Option<i64> = sqlx::query_scalar("SELECT id FROM metric WHERE name = ?1")
            .bind(*name)
            .fetch_optional(&mut *connection)
            .await?;
        ids.push(id.unwrap_or(-1));
    }
    Ok(ids)
}

/// Hands over the parts of a target's sealed chunks that lie in `from <= at < to`, in order of time.
async fn sealed(
    connection: &mut SqliteConnection,
    target: i64,
    from: i64,
    to: i64,
    metrics: Option<&[i64]>,
    mut take: impl FnMut(Block),
) -> Result<(), HistoryError> {
    let mut rows = sqlx::query(
        "SELECT data FROM chunk WHERE target = ?1 AND first >= ?2 AND first < ?3 AND last >= ?4 ORDER BY first",
    )
    .bind(target)
    .bind(from.saturating_sub(LONGEST))
    .bind(to)
    .bind(from)
    .fetch(connection);
    while let Some(row) = rows.try_next().await? {
        let data: &[u8] = row.try_get(0)?;
        let block = chunk::decode(data, metrics)?;
        let begin = block.at.partition_point(|at| *at < from);
        let end = block.at.partition_point(|at| *at < to);
        take(if end - begin == block.at.len() { block } else { block.slice(begin, end) });
    }
    Ok(())
}

fn append_samples(found: &mut [Vec<Sample>], ids: &[i64], block: &Block) {
    for (series, id) in found.iter_mut().zip(ids) {
        let Some(column) = block.columns.iter().find(|column| column.metric == *id) else { continue };
        let samples = block.at.iter().zip(&column.values).filter(|(_, value)| !value.is_nan());
        series.extend(samples.map(|(&at, &value)| Sample { at, value }));
    }
}

/// Puts late rounds of the open chunk in their place; of two values at one instant the later stored is kept.
fn in_order(series: &mut Vec<Sample>) {
    if series.is_sorted_by(|one, next| one.at < next.at) {
        return;
    }
    series.sort_by_key(|sample| sample.at);
    series.dedup_by(|later, kept| {
        let same = later.at == kept.at;
        if same {
            kept.value = later.value;
        }
        same
    });
}
