//! Reading `pg_stat_statements`: counters without texts each time, texts only for statements not seen before. The cost
//! is that of the function itself, some 3 µs per entry, whatever is summed or limited in SQL.

use sqlx::{AssertSqlSafe, PgConnection, Row};

use super::error::{DatabaseError, printable};
use super::observe::{answer, rows};
use super::quote::{quote_identifier, shown};
use super::statements::{Counters, Key, Snapshot};

/// Characters of a text that are read: enough for the comments that frameworks put before a statement.
const TEXT_LIMIT: i32 = 8_192;

/// Where the extension is and what it has.
#[derive(Clone, Debug)]
pub struct Extension {
    schema: String,
    user: String,
    function: String,
    info: Option<String>,
    toplevel: bool,
}

/// Why statements cannot be read although the connection works, and what helps.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum StatementsError {
    /// Something is missing; the text says what, and the statement that mends it.
    #[error("{0}")]
    Missing(String),
    /// The read itself failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Finds the extension and checks the right to read it.
///
/// # Errors
/// [`StatementsError::Missing`] when the extension or the right is missing.
pub async fn find(connection: &mut PgConnection) -> Result<Extension, StatementsError> {
    const SQL: &str = "select current_database()::text, current_user::text, \
        pg_has_role(current_user, 'pg_read_all_stats', 'usage'), n.nspname::text, e.extversion \
        from (select) one left join (pg_extension e join pg_namespace n on n.oid = e.extnamespace) \
        on e.extname = 'pg_stat_statements'";
    type Columns = (String, String, bool, Option<String>, Option<String>);
    let (database, user, may_read, schema, version): Columns =
        answer(sqlx::query_as(SQL).fetch_one(connection)).await?;
    let (Some(schema), Some(version)) = (schema, version) else {
        return Err(StatementsError::Missing(format!(
            "the extension pg_stat_statements is not installed in the database: run CREATE EXTENSION \
             pg_stat_statements in {} as a superuser",
            printable(&shown(&database))
        )));
    };
    if !may_read {
        return Err(StatementsError::Missing(monitor_hint(&user)));
    }
    let version = numbers(&version);
    if version < (1, 8) {
        return Err(StatementsError::Missing(
            "the extension pg_stat_statements is older than 1.8: run ALTER EXTENSION pg_stat_statements UPDATE as its \
             owner"
                .into(),
        ));
    }
    let schema = quote_identifier(&schema).map_err(|error| DatabaseError::Other(error.to_string()))?;
    // 1.9, of PostgreSQL 14, has `toplevel` and the view that tells of resets.
    let newer = version >= (1, 9);
    Ok(Extension {
        user: shown(&user),
        function: format!("{schema}.pg_stat_statements"),
        info: newer.then(|| format!("{schema}.pg_stat_statements_info")),
        toplevel: newer,
        schema,
    })
}

/// What lets a role see other roles' sessions and statements.
pub fn monitor_hint(user: &str) -> String {
    format!(
        "other roles' sessions and statements are hidden from {0}: run GRANT pg_monitor TO {0} as a superuser",
        printable(&shown(user))
    )
}

/// Reads the counters of the connected database's statements, but for those of the connected role.
///
/// # Errors
/// [`StatementsError::Missing`] when the library is not loaded.
pub async fn read(
    connection: &mut PgConnection,
    extension: &Extension,
    at: i64,
    seconds: f64,
) -> Result<Snapshot, StatementsError> {
    let stats_reset = match &extension.info {
        Some(info) => {
            let sql = format!("select (extract(epoch from stats_reset) * 1000000)::int8 from {info}");
            let read = answer(sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut *connection)).await;
            read.map_err(|error| extension.refused(error))?
        }
        None => None,
    };
    let toplevel = if extension.toplevel { "toplevel" } else { "true" };
    let sql = format!(
        "select userid::int8, queryid, {toplevel}, calls, rows, total_exec_time, stddev_exec_time from {}(false) \
         where dbid = (select oid from pg_database where datname = current_database()) \
         and userid <> (select oid from pg_roles where rolname = current_user) and queryid is not null",
        extension.function
    );
    let found = rows(connection, sqlx::query(AssertSqlSafe(sql))).await.map_err(|error| extension.refused(error))?;
    let mut snapshot = Snapshot::new(at, seconds, stats_reset);
    for row in found {
        let entry = || -> Result<(Key, Counters), sqlx::Error> {
            let key = Key { user: row.try_get(0)?, query_id: row.try_get(1)?, toplevel: row.try_get(2)? };
            let (calls, rows): (i64, i64) = (row.try_get(3)?, row.try_get(4)?);
            Ok((key, Counters::new(calls, rows, row.try_get(5)?, row.try_get(6)?)))
        };
        let (key, counters) = entry().map_err(DatabaseError::from)?;
        snapshot.insert(key, counters);
    }
    Ok(snapshot)
}

/// Reads the beginning of the texts of these statements.
///
/// # Errors
/// Those of the read.
pub async fn texts(
    connection: &mut PgConnection,
    extension: &Extension,
    query_ids: &[i64],
) -> Result<Vec<(i64, String)>, StatementsError> {
    let sql = format!(
        "select distinct on (queryid) queryid, left(query, $2) from {}(true) where queryid = any($1) \
         and dbid = (select oid from pg_database where datname = current_database()) and query is not null",
        extension.function
    );
    let query = sqlx::query_as::<_, (i64, String)>(AssertSqlSafe(sql)).bind(query_ids).bind(TEXT_LIMIT);
    Ok(answer(query.fetch_all(connection)).await?)
}

impl Extension {
    /// What helps when reading is refused although the extension exists.
    fn refused(&self, error: DatabaseError) -> StatementsError {
        match error {
            // object_not_in_prerequisite_state
            DatabaseError::Other(message) if message.contains("(SQLSTATE 55000)") => StatementsError::Missing(
                "pg_stat_statements is not loaded: add it to shared_preload_libraries and restart the server".into(),
            ),
            DatabaseError::Permission(message) => StatementsError::Missing(format!(
                "{message}: run GRANT USAGE ON SCHEMA {0} TO {1}; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA {0} TO {1} \
                 as a superuser",
                printable(&self.schema),
                printable(&self.user)
            )),
            error => error.into(),
        }
    }
}

/// Major and minor of a version such as `1.10`.
fn numbers(version: &str) -> (u32, u32) {
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_numbers() {
        assert!(numbers("1.10") > numbers("1.9"));
        assert!(numbers("1.7") < (1, 8));
        assert_eq!(numbers("strange"), (0, 0));
    }

    #[test]
    fn the_hint_quotes_the_role() {
        assert!(monitor_hint("a\"b; c").contains("TO \"a\"\"b; c\" as"));
    }
}
