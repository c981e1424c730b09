//! How busy the database is.

use sqlx::Row;
use sqlx::postgres::PgConnection;

use super::super::error::DatabaseError;
use super::transaction;
use crate::diagnose::looked::LoadFacts;

/// Sessions of clients; the oldest transaction counts in this database only, where an index build would wait for it.
const SESSIONS: &str = "
select count(*) filter (where state = 'active') as active, count(*) as sessions,
       count(*) filter (where state = 'active' and datname = current_database()) as active_here,
       count(*) filter (where state = 'active' and datname = current_database() and wait_event_type = 'Lock') as waiting,
       (select coalesce(sum(relpages), 0)::int8 * current_setting('block_size')::int8 from pg_class) as database_bytes,
       (select count(*) from pg_replication_slots where not active and restart_lsn is not null) as idle_slots,
       current_setting('max_connections')::int8 - current_setting('superuser_reserved_connections')::int8
         - coalesce(current_setting('reserved_connections', true)::int8, 0) as connection_limit,
       pg_is_in_recovery() as in_recovery,
       exists (select from pg_stat_progress_create_index where datname = current_database()) as build_running
from pg_stat_activity
where backend_type = 'client backend' and pid <> pg_backend_pid()";

/// A session that runs CREATE INDEX is left out: it shows as `build_running`.
const OLDEST: &str = "
select pid, extract(epoch from clock_timestamp() - started)::float8 as age
from (select pid, xact_start as started from pg_stat_activity
      where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'
        and xact_start is not null and pid not in (select pid from pg_stat_progress_create_index)
      union all
      select 0, prepared from pg_prepared_xacts where database = current_database()) open
order by started limit 1";

const LAG: &str = "
select max(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn))::float8 from pg_stat_replication
where replay_lsn is not null and not pg_is_in_recovery()";

/// Reads the load; the free disk space cannot be had by SQL.
pub(super) async fn load(connection: &mut PgConnection) -> Result<LoadFacts, DatabaseError> {
    let mut transaction = transaction(connection).await?;
    let row = sqlx::query(SESSIONS).persistent(false).fetch_one(&mut *transaction).await?;
    let mut load = LoadFacts {
        active_sessions: row.try_get("active")?,
        sessions: row.try_get("sessions")?,
        connection_limit: row.try_get("connection_limit")?,
        in_recovery: row.try_get("in_recovery")?,
        active_here: row.try_get("active_here")?,
        waiting_for_locks: row.try_get("waiting")?,
        database_bytes: row.try_get("database_bytes")?,
        idle_slots: row.try_get("idle_slots")?,
        build_running: row.try_get("build_running")?,
        ..LoadFacts::default()
    };
    if let Some(row) = sqlx::query(OLDEST).persistent(false).fetch_optional(&mut *transaction).await? {
        load.oldest_transaction_pid = row.try_get("pid")?;
        load.oldest_transaction_seconds = row.try_get("age")?;
    }
    if !load.in_recovery {
        load.replica_lag_bytes = sqlx::query_scalar(LAG).persistent(false).fetch_one(&mut *transaction).await?;
    }
    transaction.rollback().await?;
    Ok(load)
}
