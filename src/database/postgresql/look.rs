//! Looks at a database when an incident is open: texts, plans, tables and load, over the read-only connection.
//!
//! Nothing is executed that came from the database: a stored text is only ever sent inside `PREPARE`, over the extended
//! protocol (which refuses more than one statement), in a read-only transaction that is rolled back, and only when
//! planning it runs nobody's code but the server's (`look/trust.rs`).

mod catalogue;
mod load;
mod plans;
mod trust;

use std::collections::BTreeSet;

use sqlx::postgres::PgConnection;
use sqlx::{Connection, Postgres, Transaction};

use crate::diagnose::explainable::explainable;
use crate::diagnose::growth::{further_ms, slower_ms};
use crate::diagnose::looked::{Looked, LookedStatement, StatementGrowth, StatementKind};
use crate::diagnose::predicates::predicates;
use crate::diagnose::text::printable;

use super::error::DatabaseError;
use plans::Stored;

/// Statements that are explained: those that became slowest.
const SLOWER: usize = 6;
/// And those that run more often.
const OFTENER: usize = 2;
/// Limits of every statement that is sent here; names and operators in it are the server's own.
const LIMITS: &str = "select pg_catalog.set_config('statement_timeout', '2s', true), \
    pg_catalog.set_config('lock_timeout', '200ms', true), pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true)";

/// SQLSTATE of an error that the server reported.
fn state(error: &sqlx::Error) -> Option<String> {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).map(std::borrow::Cow::into_owned)
}

/// A read-only transaction with limits; dropping it rolls it back.
async fn transaction(connection: &mut PgConnection) -> Result<Transaction<'_, Postgres>, sqlx::Error> {
    let mut transaction = connection.begin_with("begin read only").await?;
    sqlx::query(LIMITS).persistent(false).execute(&mut *transaction).await?;
    Ok(transaction)
}

/// Looks at the statements that grew, their plans and tables, and at the load.
///
/// What cannot be seen for want of a right or an extension is listed in [`Looked::unavailable`]; it is no error.
///
/// # Errors
/// [`DatabaseError`] when the connection fails or a catalogue query does not end in 2 s.
pub async fn look(connection: &mut PgConnection, growth: &[StatementGrowth]) -> Result<Looked, DatabaseError> {
    let mut looked = Looked { load: load::load(connection).await?, ..Looked::default() };
    let chosen = chosen(growth);
    let ids: Vec<i64> = chosen.iter().map(|growth| growth.query_id).collect();
    let stored = plans::stored(connection, &ids, &mut looked.unavailable).await?;
    let mut tables = BTreeSet::new();
    for one in growth {
        let text = chosen
            .iter()
            .any(|growth| growth.query_id == one.query_id)
            .then(|| stored.iter().find(|stored| stored.query_id == one.query_id))
            .flatten();
        let statement = match text {
            Some(stored) => statement(connection, one, stored, &mut tables, &mut looked.unavailable).await?,
            None => without_text(one, !ids.contains(&one.query_id)),
        };
        looked.statements.push(statement);
    }
    looked.tables = catalogue::tables(connection, &tables).await?;
    for table in looked.tables.iter().filter(|table| !table.statistics_visible && table.rows > 0.0) {
        looked.unavailable.push(format!(
            "column statistics of {}: the table was never analysed, or the grant of pg_read_all_data (or SELECT on it) is missing",
            printable(&format!("{}.{}", table.schema, table.table), 140)
        ));
    }
    looked.unavailable.sort();
    looked.unavailable.dedup();
    Ok(looked)
}

fn chosen(growth: &[StatementGrowth]) -> Vec<&StatementGrowth> {
    let top = |figure: fn(&StatementGrowth) -> f64, count: usize| {
        let mut list: Vec<&StatementGrowth> = growth.iter().collect();
        list.sort_by(|a, b| figure(b).total_cmp(&figure(a)));
        list.truncate(count);
        list
    };
    let mut list = top(slower_ms, SLOWER);
    list.extend(top(further_ms, OFTENER));
    list
}

fn without_text(growth: &StatementGrowth, unchosen: bool) -> LookedStatement {
    let reason = if unchosen {
        "it is not among the statements that grew most"
    } else {
        "its text is no longer in pg_stat_statements"
    };
    LookedStatement {
        growth: *growth,
        text: String::new(),
        kind: StatementKind::Other,
        plan: Err(reason.into()),
        generic: true,
    }
}

async fn statement(
    connection: &mut PgConnection,
    growth: &StatementGrowth,
    stored: &Stored,
    tables: &mut BTreeSet<(String, String)>,
    unavailable: &mut Vec<String>,
) -> Result<LookedStatement, DatabaseError> {
    let mut looked = LookedStatement {
        growth: *growth,
        text: stored.text.clone(),
        kind: StatementKind::Other,
        plan: Err(String::new()),
        generic: true,
    };
    let explainable = match explainable(&stored.text) {
        Ok(explainable) => explainable,
        Err(reason) => {
            looked.plan = Err(reason);
            return Ok(looked);
        }
    };
    looked.kind = explainable.kind;
    looked.plan = match plans::from_samples(connection, stored).await? {
        Some(plan) => {
            looked.generic = false;
            Ok(plan)
        }
        None => plans::generic(connection, stored, &explainable, unavailable).await?,
    };
    if let Ok(plan) = &looked.plan {
        let named = plan.scans().into_iter().map(|scan| (scan.node.schema.clone(), scan.node.relation.clone()));
        tables.extend(named.filter(|(schema, _)| !schema.is_empty()));
    } else {
        let written = predicates(&stored.text, &|_, _, _| false).map(|found| found.tables).unwrap_or_default();
        let names: Vec<_> = written.into_iter().map(|table| (table.schema, table.table)).collect();
        tables.extend(catalogue::resolve(connection, stored, &names).await?);
    }
    Ok(looked)
}
