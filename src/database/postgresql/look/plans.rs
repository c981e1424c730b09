//! Texts of statements and their plans.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Row};

use super::super::error::DatabaseError;
use super::super::quote::quote_identifier;
use super::{state, transaction, trust};
use crate::diagnose::explain::ExplainNode;
use crate::diagnose::explainable::{Explainable, LONGEST_STATEMENT, explainable, words};
use crate::diagnose::text::printable;

/// Values of running statements that are tried: the plan of median cost is kept.
const SAMPLES: usize = 3;

/// A statement as `pg_stat_statements` keeps it.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) query_id: i64,
    pub(super) text: String,
    /// Where the names of its role are looked up; empty: the default.
    pub(super) search_path: String,
    /// Texts of running statements, with their values.
    samples: Vec<String>,
}

/// Fetches the texts of these statements of the current database.
pub(super) async fn stored(
    connection: &mut PgConnection,
    ids: &[i64],
    unavailable: &mut Vec<String>,
) -> Result<Vec<Stored>, DatabaseError> {
    let mut transaction = transaction(connection).await?;
    let schema: Option<String> = sqlx::query_scalar(
        "select n.nspname::text from pg_extension e join pg_namespace n on n.oid = e.extnamespace
         where e.extname = 'pg_stat_statements'",
    )
    .persistent(false)
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(schema) = schema else {
        unavailable.push("statements: the extension pg_stat_statements is not installed in this database".into());
        return Ok(Vec::new());
    };
    let schema = quote_identifier(&schema).map_err(|error| DatabaseError::Other(error.to_string()))?;
    // The path that the statement's own role sees: set for role and database, for the role, for the database, in this order.
    let sql = format!(
        "select distinct on (s.queryid) s.queryid, left(s.query, $2) as text, r.rolname::text as role,
                (select substr(entry, 13) from pg_db_role_setting p cross join unnest(p.setconfig) entry
                 where entry like 'search\\_path=%' and p.setdatabase in (0, d.oid) and p.setrole in (0, s.userid)
                 order by p.setrole <> 0 desc, p.setdatabase <> 0 desc limit 1) as search_path
         from {schema}.pg_stat_statements s
         join pg_database d on d.oid = s.dbid and d.datname = current_database()
         left join pg_roles r on r.oid = s.userid
         where s.queryid = any($1) order by s.queryid, s.calls desc"
    );
    let rows = sqlx::query(AssertSqlSafe(sql))
        .persistent(false)
        .bind(ids)
        .bind(LONGEST_STATEMENT as i32 + 1)
        .fetch_all(&mut *transaction)
        .await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        let text: String = row.try_get::<Option<String>, _>("text")?.unwrap_or_default();
        if text == "<insufficient privilege>" {
            unavailable.push(
                "texts of other roles' statements: the grant of pg_read_all_stats (or pg_monitor) is missing".into(),
            );
        }
        let role: Option<String> = row.try_get("role")?;
        let path: Option<String> = row.try_get("search_path")?;
        let user = role.and_then(|role| quote_identifier(&role).ok()).unwrap_or_else(|| "pg_catalog".into());
        let path = path.unwrap_or_else(|| "\"$user\", public".into());
        let search_path = path.replace("\"$user\"", &user);
        found.push(Stored { query_id: row.try_get("queryid")?, text, search_path, samples: Vec::new() });
    }
    transaction.rollback().await?;
    samples(connection, &mut found).await?;
    Ok(found)
}

/// Adds running statements' texts. They hold values only where the client sent the simple protocol; `query_id` exists
/// from PostgreSQL 14 on. A text of full length may have been cut.
async fn samples(connection: &mut PgConnection, found: &mut [Stored]) -> Result<(), DatabaseError> {
    let mut transaction = transaction(connection).await?;
    let version: i32 = sqlx::query_scalar("select current_setting('server_version_num')::int")
        .persistent(false)
        .fetch_one(&mut *transaction)
        .await?;
    if version < 140_000 {
        return Ok(());
    }
    let ids: Vec<i64> = found.iter().map(|stored| stored.query_id).collect();
    let rows = sqlx::query(
        "select query_id, query from pg_stat_activity
         where datname = current_database() and pid <> pg_backend_pid() and query_id = any($1)
           and octet_length(query) < pg_size_bytes(current_setting('track_activity_query_size')) - 1
         limit 200",
    )
    .persistent(false)
    .bind(ids)
    .fetch_all(&mut *transaction)
    .await?;
    for row in rows {
        let (id, text): (i64, String) = (row.try_get("query_id")?, row.try_get("query")?);
        if let Some(stored) = found.iter_mut().find(|stored| stored.query_id == id)
            && stored.samples.len() < SAMPLES
            && !stored.samples.contains(&text)
        {
            stored.samples.push(text);
        }
    }
    Ok(())
}

/// The plan of median cost of the samples with values; none when there is no such sample.
pub(super) async fn from_samples(
    connection: &mut PgConnection,
    stored: &Stored,
) -> Result<Option<ExplainNode>, DatabaseError> {
    let mut plans = Vec::new();
    for sample in &stored.samples {
        let Ok(explainable) = explainable(sample) else { continue };
        if explainable.parameters == 0
            && let Ok(plan) = explain(connection, stored, &explainable).await?
        {
            plans.push(plan);
        }
    }
    plans.sort_by(|a, b| a.cost.total_cmp(&b.cost));
    Ok(if plans.is_empty() { None } else { Some(plans.swap_remove((plans.len() - 1) / 2)) })
}

/// The plan without values, or why there is none.
pub(super) async fn generic(
    connection: &mut PgConnection,
    stored: &Stored,
    explainable: &Explainable,
    unavailable: &mut Vec<String>,
) -> Result<Result<ExplainNode, String>, DatabaseError> {
    match explain(connection, stored, explainable).await? {
        Ok(plan) => Ok(Ok(plan)),
        Err(Refusal { reason, reported }) => {
            if reported {
                unavailable.push(reason.clone());
            }
            Ok(Err(reason))
        }
    }
}

/// Why there is no plan.
struct Refusal {
    reason: String,
    /// Whether a person can change it.
    reported: bool,
}

impl Refusal {
    fn untrusted(query_id: i64, what: &str) -> Self {
        let what = printable(what, 200);
        let reason = format!(
            "statement {query_id} is not planned: the planner could run code of users with the monitor's rights ({what})"
        );
        Self { reason, reported: true }
    }
}

async fn explain(
    connection: &mut PgConnection,
    stored: &Stored,
    explainable: &Explainable,
) -> Result<Result<ExplainNode, Refusal>, DatabaseError> {
    let words = match words(&explainable.sql) {
        Ok(words) => words,
        Err(reason) => return Ok(Err(Refusal::untrusted(stored.query_id, &reason))),
    };
    forget(connection).await?;
    let answer = explain_json(connection, stored, explainable, &words).await;
    // The answer's error counts; a connection that is gone shows again here or at the next statement.
    let forgotten = forget(connection).await;
    match answer {
        Ok(Ok(json)) => {
            forgotten?;
            Ok(ExplainNode::parse(&json).map_err(|reason| Refusal { reason, reported: false }))
        }
        Ok(Err(untrusted)) => {
            forgotten?;
            Ok(Err(Refusal::untrusted(stored.query_id, &untrusted)))
        }
        Err(error) => match state(&error) {
            Some(code) => Ok(Err(refusal(&code, &error))),
            None => Err(error.into()),
        },
    }
}

/// The plan, or what of the text is not trusted.
async fn explain_json(
    connection: &mut PgConnection,
    stored: &Stored,
    explainable: &Explainable,
    words: &[String],
) -> Result<Result<String, String>, sqlx::Error> {
    let mut transaction = transaction(connection).await?;
    // A policy that would be applied is an error.
    sqlx::query(
        "select set_config('plan_cache_mode', 'force_generic_plan', true), set_config('row_security', 'off', true)",
    )
    .persistent(false)
    .execute(&mut *transaction)
    .await?;
    // The server's own functions and operators come first, whatever the role's path says.
    let path = match stored.search_path.trim() {
        "" => OWN_PATH.to_owned(),
        path => format!("pg_catalog, {path}"),
    };
    let schemas = schemas(&mut transaction, &path).await?;
    if let Some(untrusted) = trust::refused(&mut transaction, words, &schemas).await? {
        return Ok(Err(untrusted));
    }
    set_path(&mut transaction, &path).await?;
    let prepare = format!("prepare dbmedic_look as {}", explainable.sql);
    sqlx::query(AssertSqlSafe(prepare)).persistent(false).execute(&mut *transaction).await?;
    set_path(&mut transaction, OWN_PATH).await?;
    // Again: now the names are resolved and the parameters have types.
    if let Some(untrusted) = trust::refused(&mut transaction, words, &schemas).await? {
        return Ok(Err(untrusted));
    }
    let arguments: i64 = sqlx::query_scalar(
        "select cardinality(parameter_types)::int8 from pg_prepared_statements where name = 'dbmedic_look'",
    )
    .persistent(false)
    .fetch_one(&mut *transaction)
    .await?;
    let nulls = vec!["null"; arguments.clamp(0, 10_000) as usize].join(", ");
    let arguments = if nulls.is_empty() { nulls } else { format!("({nulls})") };
    let sql = format!("explain (verbose, format json) execute dbmedic_look{arguments}");
    set_path(&mut transaction, &path).await?;
    let row = sqlx::query(AssertSqlSafe(sql)).persistent(false).fetch_one(&mut *transaction).await?;
    let json: String = row.try_get_unchecked(0)?;
    transaction.rollback().await?;
    Ok(Ok(json))
}

/// The path of our own queries. On the path of a role, an operator or function of that role's could fit their types
/// better than the server's own does, and would run with the monitor's rights.
pub(super) const OWN_PATH: &str = "pg_catalog, pg_temp";

/// Sets the path until the transaction ends. Every name is qualified: it may run on the path of a role.
pub(super) async fn set_path(connection: &mut PgConnection, path: &str) -> Result<(), sqlx::Error> {
    sqlx::query("select pg_catalog.set_config('search_path', $1::pg_catalog.text, true)")
        .persistent(false)
        .bind(path)
        .execute(connection)
        .await
        .map(|_| ())
}

/// The schemas of a path.
async fn schemas(connection: &mut PgConnection, path: &str) -> Result<Vec<String>, sqlx::Error> {
    set_path(connection, path).await?;
    let schemas = sqlx::query_scalar("select pg_catalog.current_schemas(true)::pg_catalog.text[]")
        .persistent(false)
        .fetch_one(&mut *connection)
        .await?;
    set_path(connection, OWN_PATH).await?;
    Ok(schemas)
}

/// A prepared statement outlives its transaction, also one of a look that was cut off.
async fn forget(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    connection.ping().await?;
    // What nobody here takes, nobody here leaves behind.
    sqlx::query("select pg_catalog.pg_advisory_unlock_all()").persistent(false).execute(&mut *connection).await?;
    let left: Option<i32> = sqlx::query_scalar("select 1 from pg_prepared_statements where name = 'dbmedic_look'")
        .persistent(false)
        .fetch_optional(&mut *connection)
        .await?;
    if left.is_some() {
        sqlx::query("deallocate dbmedic_look").persistent(false).execute(&mut *connection).await?;
    }
    Ok(())
}

/// The server's own words can hold values of the statement; only those about rights name nothing but objects.
fn refusal(code: &str, error: &sqlx::Error) -> Refusal {
    let message = error.as_database_error().map(|error| printable(error.message(), 200)).unwrap_or_default();
    let reason = match code {
        "42501" => format!(
            "EXPLAIN is refused ({message}): the monitoring role needs the grant of pg_read_all_data (PostgreSQL 14+), or SELECT on the table"
        ),
        "57014" => "EXPLAIN took longer than 2 s".into(),
        "55P03" => "a table is locked: EXPLAIN waited 200 ms".into(),
        "42P01" | "3F000" => "a table is not found on the search path of the statement's role".into(),
        "42P18" | "42P08" | "42601" => "the stored text cannot be planned without its values".into(),
        _ => format!("EXPLAIN failed (SQLSTATE {})", printable(code, 5)),
    };
    Refusal { reason, reported: code == "42501" }
}
