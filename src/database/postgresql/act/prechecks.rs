//! What must hold right before the build. Everything that fails here leaves the database as it was.

use std::collections::HashSet;

use tokio::time::{Instant, sleep};

use super::catalogue::{self, Table};
use super::session::{Session, stopped};
use super::{Stop, Work};
use crate::database::postgresql::quote::quote_identifier;

/// Table, columns and rights.
pub(super) async fn check_table(session: &mut Session, work: &Work<'_>) -> Result<Table, Stop> {
    let index = work.index;
    let name = format!("{:?}.{:?}", index.schema, index.table);
    let Some(table) = catalogue::table(session, work).await? else {
        return Err(Stop::Refused(format!("table {name} does not exist")));
    };
    if !matches!(table.kind.as_str(), "r" | "m") {
        return Err(Stop::Refused(format!(
            "{name} is no plain table or materialized view (relkind {}): an index is not built concurrently there",
            table.kind
        )));
    }
    if !table.missing_columns.is_empty() {
        return Err(Stop::Refused(format!("table {name} has no column {:?}", table.missing_columns)));
    }
    check_rights(session, work, &table).await?;
    Ok(table)
}

/// The role of the change needs the owner's rights on the table and CREATE on the schema.
async fn check_rights(session: &mut Session, work: &Work<'_>, table: &Table) -> Result<(), Stop> {
    let endpoint = work.order.endpoint;
    session.become_role(&endpoint.username).await?;
    let row: Option<(bool, bool, String)> = sqlx::query_as(
        "select pg_has_role(current_user, c.relowner, 'USAGE'), has_schema_privilege(c.relowner, c.relnamespace, 'CREATE') \
         and has_schema_privilege(current_user, c.relnamespace, 'CREATE'), current_user::text \
         from pg_class c where c.oid = $1::int8::oid",
    )
    .bind(table.oid)
    .fetch_optional(&mut session.connection)
    .await
    .map_err(stopped)?;
    session.leave_role().await?;
    let Some((owns, creates, user)) = row else { return Err(Stop::Refused("the table was dropped".into())) };
    let quoted = |name: &str| quote_identifier(name).unwrap_or_default();
    if !owns {
        return Err(Stop::Refused(format!(
            "role {user:?} has not the rights of the table's owner {:?}; needed: GRANT {} TO {}, and role: {} in the Secret",
            table.owner,
            quoted(&table.owner),
            quoted(&endpoint.username),
            table.owner
        )));
    }
    if !creates {
        return Err(Stop::Refused(format!(
            "role {user:?} must not create in schema {:?}; needed: GRANT CREATE ON SCHEMA {} TO {}",
            work.index.schema,
            quoted(&work.index.schema),
            quoted(&user)
        )));
    }
    Ok(())
}

/// Waits until no other index is being built on the table and no transaction in this database is old: the build would
/// wait for both. Deferred when that does not come within the executor's patience.
pub(super) async fn await_quiet(session: &mut Session, work: &Work<'_>, table: &Table) -> Result<(), Stop> {
    let limits = work.order.limits;
    let until = (Instant::now() + limits.patience).min(work.deadline);
    let mut first_seen: Option<HashSet<(i32, String)>> = None;
    loop {
        let reason = match catalogue::builder_on(session, table).await? {
            Some(pid) => Some(format!("session {pid} is building another index on the table")),
            None => old_transaction(session, work, &mut first_seen).await?,
        };
        let Some(reason) = reason else { return Ok(()) };
        if Instant::now() >= until {
            return Err(Stop::Deferred(reason));
        }
        sleep(limits.poll).await;
    }
}

/// A transaction that is older than the limit. The start of other roles' transactions is hidden from a login role that
/// does not inherit `pg_read_all_stats`, as one with NOINHERIT never does before PostgreSQL 16: of those it is only known that they are still there since the first look.
async fn old_transaction(
    session: &mut Session,
    work: &Work<'_>,
    first_seen: &mut Option<HashSet<(i32, String)>>,
) -> Result<Option<String>, Stop> {
    let limit = work.order.limits.old_transaction.as_secs_f64();
    let rows: Vec<(i32, String, Option<f64>)> = sqlx::query_as(
        "select l.pid, l.virtualtransaction, extract(epoch from clock_timestamp() - a.xact_start)::float8 \
         from pg_locks l join pg_stat_activity a on a.pid = l.pid \
         where l.locktype = 'virtualxid' and l.mode = 'ExclusiveLock' and a.datname = current_database() \
         and a.pid <> pg_backend_pid() and not exists (select from pg_stat_progress_vacuum v where v.pid = a.pid)",
    )
    .fetch_all(&mut session.connection)
    .await
    .map_err(stopped)?;
    let mut hidden = HashSet::new();
    for (pid, transaction, age) in rows {
        match age {
            Some(age) if age > limit => {
                return Ok(Some(format!(
                    "a transaction of session {pid} is open for {age:.0} s: the build would wait for it"
                )));
            }
            Some(_) => {}
            None => {
                hidden.insert((pid, transaction));
            }
        }
    }
    let still = match first_seen {
        Some(first) => first.intersection(&hidden).map(|(pid, _)| *pid).next(),
        None => hidden.iter().map(|(pid, _)| *pid).next(),
    };
    first_seen.get_or_insert(hidden);
    Ok(still.map(|pid| {
        format!("a transaction of session {pid} stays open (its start is hidden from a login role that does not inherit pg_read_all_stats): the build would wait for it")
    }))
}
