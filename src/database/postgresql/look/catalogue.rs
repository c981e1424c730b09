//! Tables, columns and indexes from the catalogue. Sizes are `relpages`: reading real sizes queues behind locks.

use std::collections::BTreeSet;

use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};

use super::super::quote::{quote_identifier, quote_qualified};
use super::plans::Stored;
use super::{LookError, transaction};
use crate::diagnose::looked::{ColumnFacts, IndexFacts, TableFacts};

const TABLES: &str = "
select c.oid::int8 as id, n.nspname::text as schema, c.relname::text as name,
       case when c.reltuples < 0 then coalesce(s.n_live_tup, 0)::float8 else c.reltuples::float8 end as rows,
       case when c.relpages = 0 then pg_relation_size(c.oid)
            else c.relpages::int8 * current_setting('block_size')::int8 end as bytes,
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
) -> Result<Vec<TableFacts>, LookError> {
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
) -> Result<Vec<(String, String)>, LookError> {
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
    sqlx::query("select set_config('search_path', $1, true)")
        .persistent(false)
        .bind(&stored.search_path)
        .execute(&mut *transaction)
        .await?;
    let found = sqlx::query_as(
        "select n.nspname::text, c.relname::text from unnest($1::text[]) wanted(name)
         join pg_class c on c.oid = to_regclass(wanted.name) join pg_namespace n on n.oid = c.relnamespace",
    )
    .persistent(false)
    .bind(quoted)
    .fetch_all(&mut *transaction)
    .await;
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
