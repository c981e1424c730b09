//! What the catalogue says about the table, the index and who is building. Read as the login role.

use super::session::{Session, stopped};
use super::{Stop, Work};

/// Prefix of the comment that says whose an index is.
const COMMENT: &str = "dbmedic key=";

/// The table of the plan.
pub(super) struct Table {
    pub(super) oid: i64,
    pub(super) kind: String,
    pub(super) owner: String,
    pub(super) missing_columns: Vec<String>,
}

/// A relation that has the index's name.
pub(super) struct Index {
    pub(super) valid: bool,
    pub(super) ready: bool,
    /// Whether its definition is exactly the plan's.
    pub(super) exact: bool,
    comment: Option<String>,
    /// A session that is building it.
    pub(super) builder: Option<i32>,
}

/// Whose an index is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Owner {
    /// This Remediation's.
    Ours,
    /// Another Remediation's.
    Other,
    /// Ours by name and exact definition; a predecessor died before it could leave its key.
    Unsigned,
    /// A person's.
    Foreign,
}

impl Index {
    pub(super) fn owner(&self, uid: &str) -> Owner {
        match self.comment.as_deref() {
            Some(comment) if comment == comment_of(uid) && self.exact => Owner::Ours,
            Some(comment) if comment.starts_with(COMMENT) => Owner::Other,
            None if self.exact => Owner::Unsigned,
            _ => Owner::Foreign,
        }
    }
}

/// The comment that marks an index as this Remediation's.
pub(super) fn comment_of(uid: &str) -> String {
    format!("{COMMENT}{uid}")
}

/// Exact equality with `CREATE INDEX … USING btree (columns)`: no more, no less, all defaults.
const EXACT: &str = "am.amname = 'btree' and not i.indisunique and i.indpred is null and i.indexprs is null \
    and i.indnatts = i.indnkeyatts and i.indrelid = t.oid \
    and (select array_agg(a.attname::text order by k.position) from unnest(i.indkey::int2[]) with ordinality k(number, position) \
         join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.number) = $3::text[] \
    and not exists (select from unnest(i.indoption::int2[]) option where option <> 0) \
    and not exists (select from unnest(i.indclass::oid[]) class join pg_opclass o on o.oid = class where not o.opcdefault) \
    and not exists (select from unnest(i.indkey::int2[], i.indcollation::oid[]) k(number, collation_oid) \
         join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.number where a.attcollation <> k.collation_oid)";

pub(super) async fn table(session: &mut Session, work: &Work<'_>) -> Result<Option<Table>, Stop> {
    type Columns = (i64, String, String, Vec<String>);
    let row: Option<Columns> = sqlx::query_as(
        "select c.oid::int8, c.relkind::text, pg_get_userbyid(c.relowner)::text, \
         coalesce((select array_agg(name) from unnest($3::text[]) name where not exists \
           (select from pg_attribute a where a.attrelid = c.oid and a.attname = name and a.attnum > 0 and not a.attisdropped)), \
           '{}') \
         from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = $1 and c.relname = $2",
    )
    .bind(&work.index.schema)
    .bind(&work.index.table)
    .bind(&work.index.columns)
    .fetch_optional(&mut session.connection)
    .await
    .map_err(stopped)?;
    Ok(row.map(|(oid, kind, owner, missing_columns)| Table { oid, kind, owner, missing_columns }))
}

/// The relation that has the index's name, whatever it is.
pub(super) async fn index(session: &mut Session, work: &Work<'_>) -> Result<Option<Index>, Stop> {
    type Columns = (bool, bool, bool, Option<String>, Option<i32>);
    let statement = format!(
        "select coalesce(i.indisvalid, false), coalesce(i.indisready and i.indislive, false), coalesce({EXACT}, false), \
         obj_description(c.oid, 'pg_class'), \
         (select p.pid from pg_stat_progress_create_index p where p.datname = current_database() and p.index_relid = c.oid limit 1) \
         from pg_class c join pg_namespace n on n.oid = c.relnamespace \
         left join pg_index i on i.indexrelid = c.oid left join pg_am am on am.oid = c.relam \
         left join pg_class t on t.oid = i.indrelid and t.relname = $4 and t.relnamespace = n.oid \
         where n.nspname = $1 and c.relname = $2"
    );
    let row: Option<Columns> = sqlx::query_as(sqlx::AssertSqlSafe(statement))
        .bind(&work.index.schema)
        .bind(&work.index.name)
        .bind(&work.index.columns)
        .bind(&work.index.table)
        .fetch_optional(&mut session.connection)
        .await
        .map_err(stopped)?;
    Ok(row.map(|(valid, ready, exact, comment, builder)| Index { valid, ready, exact, comment, builder }))
}

/// Another valid index of exactly this definition, built by somebody else.
pub(super) async fn equal_index(session: &mut Session, work: &Work<'_>) -> Result<Option<String>, Stop> {
    let statement = format!(
        "select c.relname::text from pg_class t join pg_namespace n on n.oid = t.relnamespace \
         join pg_index i on i.indrelid = t.oid join pg_class c on c.oid = i.indexrelid join pg_am am on am.oid = c.relam \
         where n.nspname = $1 and c.relname <> $2 and t.relname = $4 and i.indisvalid and {EXACT} limit 1"
    );
    sqlx::query_scalar(sqlx::AssertSqlSafe(statement))
        .bind(&work.index.schema)
        .bind(&work.index.name)
        .bind(&work.index.columns)
        .bind(&work.index.table)
        .fetch_optional(&mut session.connection)
        .await
        .map_err(stopped)
}

/// A session that builds an index on the table. Progress of other roles is hidden but for its pid; locks are not.
pub(super) async fn builder_on(session: &mut Session, table: &Table) -> Result<Option<i32>, Stop> {
    sqlx::query_scalar(
        "select p.pid from pg_stat_progress_create_index p join pg_locks l on l.pid = p.pid \
         where p.datname = current_database() and p.pid <> pg_backend_pid() and l.locktype = 'relation' \
         and l.relation = $1::int8::oid and l.mode in ('ShareUpdateExclusiveLock', 'ShareLock') limit 1",
    )
    .bind(table.oid)
    .fetch_optional(&mut session.connection)
    .await
    .map_err(stopped)
}
