//! Tables, columns and indexes from the catalogue. Sizes are `relpages`: reading real sizes queues behind locks.

use std::collections::BTreeSet;

use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};

use super::super::error::DatabaseError;
use super::super::quote::{quote_identifier, quote_qualified};
use super::plans::{OWN_PATH, Stored, set_path};
use super::transaction;
use crate::diagnose::looked::{ColumnFacts, IndexFacts, TableFacts};

const TABLES: &str = "
select c.oid::int8 as id, n.nspname::text as schema, c.relname::text as name,
       case when c.reltuples < 0 then coalesce(s.n_live_tup, 0)::float8 else c.reltuples::float8 end as rows,
       case when c.relpages = 0 then pg_relation_size(c.oid)
            else c.relpages::int8 * current_setting('block_size')::int8 end as bytes,
       (select count(*) from pg_locks l where l.relation = c.oid and l.pid <> pg_backend_pid()
          and l.database = (select d.oid from pg_database d where d.datname = current_database())
          and (not l.granted or l.mode in ('ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')))
         as strong_locks,
       c.relkind = 'p' as partitioned, c.relispartition as partition, pg_get_userbyid(c.relowner)::text as owner,
       coalesce(s.n_live_tup, 0) as live, coalesce(s.n_dead_tup, 0) as dead,
       coalesce(s.n_tup_ins + s.n_tup_upd + s.n_tup_del, 0) as written,
       coalesce(s.seq_tup_read, 0) + coalesce(s.idx_tup_fetch, 0) as read
from unnest($1::text[], $2::text[]) wanted(schema, name)
join pg_namespace n on n.nspname = wanted.schema
join pg_class c on c.relnamespace = n.oid and c.relname = wanted.name and c.relkind in ('r', 'p', 'm')
left join pg_stat_all_tables s on s.relid = c.oid";

const COLUMNS: &str = "
select a.attrelid::int8 as id, a.attname::text as name, format_type(a.atttypid, a.atttypmod) as type_name,
       s.n_distinct::float8 as n_distinct, s.null_frac::float8 as null_fraction, s.avg_width::float8 as average_width,
       (s.most_common_freqs)[1]::float8 as most_common_frequency,
       -- A character has at most four bytes; a number of more than 64 bytes has over 100 digits.
       case when t.typlen > 0 then t.typlen::int8
            when a.atttypid in ('varchar'::regtype, 'bpchar'::regtype) and a.atttypmod > 4
              then (a.atttypmod - 4)::int8 * 4 + 4
            when a.atttypid = 'numeric'::regtype then 64
            when a.atttypid in ('inet'::regtype, 'cidr'::regtype) then 24 end as longest_bytes,
       case when t.typlen = -1 and t.typcategory = 'S' then
         (select max(octet_length(value)) from unnest(
            s.most_common_vals::text::text[] || s.histogram_bounds::text::text[]) value)::int8 end as longest_sampled,
       t.typcategory <> 'G' and t.typname not in ('json', 'xml', 'jsonpath', 'xid', 'cid', 'aclitem') as orderable
from pg_attribute a
join pg_class c on c.oid = a.attrelid
join pg_namespace n on n.oid = c.relnamespace
join pg_type t on t.oid = a.atttypid
left join pg_stats s
  on s.schemaname = n.nspname and s.tablename = c.relname and s.attname = a.attname and not s.inherited
where a.attrelid = any($1::int8[]::oid[]) and a.attnum > 0 and not a.attisdropped
order by a.attrelid, a.attnum";

const INDEXES: &str = "
select i.indrelid::int8 as id, c.relname::text as name, i.indisunique as is_unique, i.indisvalid as valid,
       i.indisready as ready, i.indpred is not null as partial, m.amname::text as method,
       c.relpages::int8 * current_setting('block_size')::int8 as bytes, coalesce(s.idx_scan, 0) as scans,
       exists (select from pg_constraint k where k.conindid = i.indexrelid) as backs_constraint,
       array(select a.attname::text from generate_series(0, i.indnkeyatts - 1) k
             left join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[k] and i.indkey[k] <> 0
             order by k) as columns,
       array(select format('%s/%s/%s', i.indclass[k], i.indcollation[k], i.indoption[k])
             from generate_series(0, i.indnkeyatts - 1) k order by k) as signature
from pg_index i
join pg_class c on c.oid = i.indexrelid
join pg_am m on m.oid = c.relam
left join pg_stat_all_indexes s on s.indexrelid = i.indexrelid
where i.indrelid = any($1::int8[]::oid[]) and i.indislive
order by i.indrelid, c.oid";

/// Facts of these tables (schema, name); those that do not exist are left out.
pub(super) async fn tables(
    connection: &mut PgConnection,
    names: &BTreeSet<(String, String)>,
) -> Result<Vec<TableFacts>, DatabaseError> {
    let (schemas, tables): (Vec<String>, Vec<String>) = names.iter().cloned().unzip();
    let mut transaction = transaction(connection).await?;
    let rows = sqlx::query(TABLES).persistent(false).bind(schemas).bind(tables).fetch_all(&mut *transaction).await?;
    let mut found: Vec<(i64, TableFacts)> = Vec::with_capacity(rows.len());
    for row in &rows {
        found.push((row.try_get("id")?, table(row)?));
    }
    let ids: Vec<i64> = found.iter().map(|(id, _)| *id).collect();
    let of = |id: i64, found: &mut Vec<(i64, TableFacts)>| found.iter().position(|(known, _)| *known == id);
    for row in sqlx::query(COLUMNS).persistent(false).bind(&ids).fetch_all(&mut *transaction).await? {
        if let Some(position) = of(row.try_get("id")?, &mut found) {
            found[position].1.columns.push(column(&row)?);
        }
    }
    for row in sqlx::query(INDEXES).persistent(false).bind(&ids).fetch_all(&mut *transaction).await? {
        if let Some(position) = of(row.try_get("id")?, &mut found) {
            found[position].1.indexes.push(index(&row)?);
        }
    }
    transaction.rollback().await?;
    let mut found: Vec<TableFacts> = found.into_iter().map(|(_, table)| table).collect();
    for table in &mut found {
        table.statistics_visible = table.columns.iter().any(|column| column.n_distinct.is_some());
    }
    Ok(found)
}

/// Schema and name of tables as a statement's role would find them.
pub(super) async fn resolve(
    connection: &mut PgConnection,
    stored: &Stored,
    names: &[(Option<String>, String)],
) -> Result<Vec<(String, String)>, DatabaseError> {
    let quoted: Vec<String> = names
        .iter()
        .filter_map(|(schema, name)| match schema {
            Some(schema) => quote_qualified(schema, name).ok(),
            None => quote_identifier(name).ok(),
        })
        .collect();
    if quoted.is_empty() {
        return Ok(Vec::new());
    }
    let mut transaction = transaction(connection).await?;
    set_path(&mut transaction, &stored.search_path).await?;
    // Qualified and without operators, since it runs on the path of a role.
    let found = sqlx::query_scalar::<_, i64>(
        "select pg_catalog.to_regclass(name)::pg_catalog.oid::pg_catalog.int8
         from pg_catalog.unnest($1::pg_catalog.text[]) wanted(name) where pg_catalog.to_regclass(name) is not null",
    )
    .persistent(false)
    .bind(quoted)
    .fetch_all(&mut *transaction)
    .await;
    let found = match found {
        Ok(found) => {
            set_path(&mut transaction, OWN_PATH).await?;
            sqlx::query_as(
                "select n.nspname::text, c.relname::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
                 where c.oid = any($1::int8[]::oid[])",
            )
            .persistent(false)
            .bind(found)
            .fetch_all(&mut *transaction)
            .await
        }
        Err(error) => Err(error),
    };
    match found {
        Ok(found) => Ok(found),
        // Without USAGE on the schema a name cannot be resolved: nothing is known then, which the plan's reason says.
        Err(error) if error.as_database_error().is_some() => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

fn table(row: &PgRow) -> Result<TableFacts, sqlx::Error> {
    Ok(TableFacts {
        schema: row.try_get("schema")?,
        table: row.try_get("name")?,
        rows: row.try_get("rows")?,
        bytes: row.try_get("bytes")?,
        live: row.try_get("live")?,
        dead: row.try_get("dead")?,
        rows_written: row.try_get("written")?,
        rows_read: row.try_get("read")?,
        is_partitioned: row.try_get("partitioned")?,
        is_partition: row.try_get("partition")?,
        owner: row.try_get("owner")?,
        strong_locks: row.try_get("strong_locks")?,
        ..TableFacts::default()
    })
}

fn column(row: &PgRow) -> Result<ColumnFacts, sqlx::Error> {
    Ok(ColumnFacts {
        name: row.try_get("name")?,
        type_name: row.try_get("type_name")?,
        n_distinct: row.try_get("n_distinct")?,
        null_fraction: row.try_get("null_fraction")?,
        average_width: row.try_get("average_width")?,
        most_common_frequency: row.try_get("most_common_frequency")?,
        longest_bytes: row.try_get("longest_bytes")?,
        longest_sampled: row.try_get("longest_sampled")?,
        orderable: row.try_get("orderable")?,
    })
}

fn index(row: &PgRow) -> Result<IndexFacts, sqlx::Error> {
    Ok(IndexFacts {
        name: row.try_get("name")?,
        columns: row.try_get("columns")?,
        signature: row.try_get("signature")?,
        unique: row.try_get("is_unique")?,
        constraint: row.try_get("backs_constraint")?,
        valid: row.try_get("valid")?,
        ready: row.try_get("ready")?,
        partial: row.try_get("partial")?,
        bytes: row.try_get("bytes")?,
        scans: row.try_get("scans")?,
        method: row.try_get("method")?,
    })
}
