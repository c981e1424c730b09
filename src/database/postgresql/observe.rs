//! Reading what a server says of itself: one function per group of figures, so that a group that is refused leaves the
//! others be. Rights, traps and costs: every function names what it needs; a role with `pg_monitor` may do all.

use std::time::Duration;

use sqlx::PgConnection;
use sqlx::postgres::PgRow;

use super::connect::STATEMENT_LIMIT;
use super::error::DatabaseError;
use crate::measure::{Activity, DatabaseCounters, Identity, Role, Storage};

/// How long one answer is waited for. The server stops a statement before; a server that does not is not there.
const ANSWER_LIMIT: Duration = STATEMENT_LIMIT.saturating_add(Duration::from_secs(1));

/// Waits for an answer, but not for ever.
///
/// # Errors
/// The answer's own, classified; [`DatabaseError::Unreachable`] when there is none within the limit.
pub async fn answer<T>(query: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, DatabaseError> {
    match tokio::time::timeout(ANSWER_LIMIT, query).await {
        Ok(answer) => answer.map_err(DatabaseError::from),
        Err(_) => Err(DatabaseError::Unreachable(format!("no answer within {} s", ANSWER_LIMIT.as_secs()))),
    }
}

/// Which server this is, and its version for people, such as `15.18`.
///
/// # Errors
/// Classified.
pub async fn identity(connection: &mut PgConnection) -> Result<(Identity, String), DatabaseError> {
    const WITH_CONTROL: &str = "select current_setting('server_version_num')::int4, current_setting('server_version'), \
        pg_is_in_recovery(), (extract(epoch from pg_postmaster_start_time()) * 1000)::int8, \
        (select system_identifier::text from pg_control_system()), (select timeline_id from pg_control_checkpoint())";
    // Where someone revoked the control functions, everything else still works; actions refuse without an identifier.
    const WITHOUT_CONTROL: &str = "select current_setting('server_version_num')::int4, \
        current_setting('server_version'), pg_is_in_recovery(), \
        (extract(epoch from pg_postmaster_start_time()) * 1000)::int8, ''::text, 0::int4";
    type Columns = (i32, String, bool, i64, String, i32);
    let read = answer(sqlx::query_as::<_, Columns>(WITH_CONTROL).fetch_one(&mut *connection)).await;
    let (version, text, in_recovery, started_at, system_identifier, timeline) = match read {
        Err(DatabaseError::Permission(_)) => {
            answer(sqlx::query_as::<_, Columns>(WITHOUT_CONTROL).fetch_one(connection)).await?
        }
        read => read?,
    };
    let identity = Identity { system_identifier, timeline, role: role(in_recovery), started_at, version };
    Ok((identity, text.split_whitespace().next().unwrap_or_default().to_owned()))
}

fn role(in_recovery: bool) -> Role {
    if in_recovery { Role::Replica } else { Role::Primary }
}

/// Counters of the database and the server's role. Needs no right.
///
/// # Errors
/// Classified.
pub async fn database(connection: &mut PgConnection) -> Result<(Role, DatabaseCounters), DatabaseError> {
    const SQL: &str = "select pg_is_in_recovery(), xact_commit, xact_rollback, blks_read, blks_hit, tup_returned, \
        tup_fetched, temp_bytes, deadlocks, (extract(epoch from stats_reset) * 1000000)::int8, \
        current_setting('block_size')::int8 from pg_stat_database where datname = current_database()";
    type Columns = (bool, i64, i64, i64, i64, i64, i64, i64, i64, Option<i64>, i64);
    let row: Columns = answer(sqlx::query_as(SQL).fetch_one(connection)).await?;
    let counters = DatabaseCounters {
        xact_commit: row.1,
        xact_rollback: row.2,
        blks_read: row.3,
        blks_hit: row.4,
        tup_returned: row.5,
        tup_fetched: row.6,
        temp_bytes: row.7,
        deadlocks: row.8,
        stats_reset: row.9,
        block_bytes: row.10,
    };
    Ok((role(row.0), counters))
}

/// Sessions of the whole server. `None` without `pg_read_all_stats` (part of `pg_monitor`): others' states are hidden
/// then, and a count of what can be seen would be wrong.
///
/// # Errors
/// Classified.
pub async fn activity(connection: &mut PgConnection) -> Result<Option<Activity>, DatabaseError> {
    // The last limit is a role's: superusers are exempt. `reserved_connections` is there from 16 on.
    const SQL: &str = "with session as materialized ( \
          select pid, datid, usesysid, state, wait_event_type, xact_start from pg_stat_activity \
          where backend_type = 'client backend' \
        ), limited as ( \
          select count(*) as used, current_setting('max_connections')::int8 \
            - current_setting('superuser_reserved_connections')::int8 \
            - coalesce(current_setting('reserved_connections', true)::int8, 0) as most from session \
          union all \
          select (select count(*) from session where datid = d.oid), d.datconnlimit from pg_database d \
            where d.datname = current_database() and d.datconnlimit >= 0 \
          union all \
          select count(*), r.rolconnlimit from session s join pg_roles r on r.oid = s.usesysid \
            where r.rolconnlimit >= 0 and not r.rolsuper group by r.oid, r.rolconnlimit \
        ), tightest as ( \
          select used, most from limited order by used::float8 / greatest(most, 1) desc, most limit 1 \
        ) \
        select pg_has_role(current_user, 'pg_read_all_stats', 'usage'), count(*), \
          count(*) filter (where state = 'active'), count(*) filter (where wait_event_type = 'Lock'), \
          coalesce(greatest(max(extract(epoch from clock_timestamp() - xact_start)) \
            filter (where pid <> pg_backend_pid()), 0), 0)::float8, \
          (select used from tightest), (select most from tightest) from session";
    type Columns = (bool, i64, i64, i64, f64, i64, i64);
    let row: Columns = answer(sqlx::query_as(SQL).fetch_one(connection)).await?;
    Ok(row.0.then_some(Activity {
        connections: row.1,
        active: row.2,
        lock_waiters: row.3,
        oldest_transaction_seconds: row.4,
        limited_connections: row.5,
        connection_limit: row.6,
    }))
}

/// Replication lag of a replica in seconds; `None` on a primary, and on a replica that receives nothing and has
/// replayed all it had: how far it is behind then is not known.
///
/// # Errors
/// Classified.
pub async fn replication_lag(connection: &mut PgConnection) -> Result<Option<f64>, DatabaseError> {
    // The age of the last transaction alone grows on an idle primary's replica; hence the comparison of positions.
    const SQL: &str = "select case \
          when not pg_is_in_recovery() then null \
          when pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() then \
            case when exists (select from pg_stat_wal_receiver where status = 'streaming') then 0 end \
          else extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp()) end::float8";
    let lag: Option<f64> = answer(sqlx::query_scalar(SQL).fetch_one(connection)).await?;
    Ok(lag.map(|lag| lag.max(0.0)))
}

/// Ages and rows; sizes are read by [`database_bytes`] and [`wal_bytes`]. Needs no right.
///
/// # Errors
/// Classified.
pub async fn storage(connection: &mut PgConnection) -> Result<Storage, DatabaseError> {
    // After a reset of the statistics a table of many rows (reltuples, which survives) has hardly any row, live or
    // dead. Where a tenth of all rows is in such tables the sum says nothing.
    const SQL: &str = "select age(d.datfrozenxid)::int8, \
          coalesce(t.dead, 0)::int8, coalesce(t.live, 0)::int8, coalesce(t.forgotten > 0.1 * t.rows, false) \
        from pg_database d cross join ( \
          select sum(s.n_dead_tup) as dead, sum(s.n_live_tup) as live, \
            sum(greatest(c.reltuples, 0)::float8) as rows, \
            sum(c.reltuples::float8) filter (where c.reltuples > 1000 \
              and s.n_live_tup + s.n_dead_tup < 0.1 * c.reltuples) as forgotten \
          from pg_stat_user_tables s join pg_class c on c.oid = s.relid) t \
        where d.datname = current_database()";
    let row: (i64, i64, i64, bool) = answer(sqlx::query_as(SQL).fetch_one(connection)).await?;
    Ok(Storage {
        database_bytes: None,
        wal_bytes: None,
        transaction_id_age: row.0,
        dead_tuples: (!row.3).then_some(row.1),
        live_tuples: row.2,
    })
}

/// Size of the database in bytes. It asks the file system for every file of the database, which may take longer than
/// the limit, and waits for no lock.
///
/// # Errors
/// Classified.
pub async fn database_bytes(connection: &mut PgConnection) -> Result<i64, DatabaseError> {
    const SQL: &str = "select pg_database_size(current_database())";
    answer(sqlx::query_scalar(SQL).fetch_one(connection)).await
}

/// Size of the write-ahead log in bytes; `None` where the role may not execute `pg_ls_waldir()` (`pg_monitor` may).
///
/// # Errors
/// Classified.
pub async fn wal_bytes(connection: &mut PgConnection) -> Result<Option<i64>, DatabaseError> {
    // Asked first: a refusal would count as a rolled-back transaction of the database that we measure.
    const MAY: &str = "select has_function_privilege('pg_catalog.pg_ls_waldir()', 'execute')";
    const SQL: &str = "select coalesce(sum(size), 0)::int8 from pg_ls_waldir()";
    if !answer(sqlx::query_scalar(MAY).fetch_one(&mut *connection)).await? {
        return Ok(None);
    }
    answer(sqlx::query_scalar(SQL).fetch_one(connection)).await.map(Some)
}

/// Rows of a statement with parameters, under the limits of [`answer`].
pub(super) async fn rows(
    connection: &mut PgConnection,
    query: sqlx::query::Query<'_, sqlx::Postgres, sqlx::postgres::PgArguments>,
) -> Result<Vec<PgRow>, DatabaseError> {
    answer(query.fetch_all(connection)).await
}
