//! A Baseline's own metric: one SELECT that returns one row with one number.

use std::fmt::Write as _;

use futures::TryStreamExt;
use sqlx::postgres::{PgRow, PgValueFormat};
use sqlx::{AssertSqlSafe, Column, Connection, PgConnection, Row, TypeInfo, ValueRef};

use super::error::DatabaseError;
use super::keyword::touches_rows;
use super::observe::answer;

/// Why a metric of one's own has no value.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CustomError {
    /// The statement is not what it must be.
    #[error("found {found}, allowed is one SELECT that returns one row with one number")]
    Shape {
        /// What was found.
        found: String,
    },
    /// The server refused or stopped it.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

fn shape<T>(found: impl Into<String>) -> Result<T, CustomError> {
    Err(CustomError::Shape { found: found.into() })
}

/// Runs the statement in a read-only transaction of its own, under the session's limits, through the extended protocol,
/// which takes one statement only. Whatever it set in the session is set back.
///
/// # Errors
/// [`CustomError`]; when the connection is lost, [`DatabaseError::is_connection_lost`] holds for it.
pub async fn measure(connection: &mut PgConnection, query: &str) -> Result<f64, CustomError> {
    if !touches_rows(query) {
        return shape("another statement");
    }
    answer(sqlx::raw_sql("begin read only").execute(&mut *connection)).await?;
    let value = run(connection, query).await;
    if let Err(CustomError::Database(error)) = &value
        && error.is_connection_lost()
    {
        return value;
    }
    answer(sqlx::raw_sql("commit; reset all").execute(connection)).await?;
    value
}

async fn run(connection: &mut PgConnection, query: &str) -> Result<f64, CustomError> {
    // Not kept prepared: a table that is altered would make a kept one fail.
    let statement = sqlx::query(AssertSqlSafe(query)).persistent(false);
    let rows = answer(async {
        let mut stream = statement.fetch(&mut *connection);
        let first = stream.try_next().await?;
        let second = if first.is_some() { stream.try_next().await? } else { None };
        Ok((first, second.is_some()))
    })
    .await;
    // The rest of too many rows is read off the wire here, within the limit, rather than by the next statement.
    answer(connection.ping()).await.or_else(|error| if error.is_connection_lost() { Err(error) } else { Ok(()) })?;
    match rows? {
        (None, _) => shape("no row"),
        (Some(_), true) => shape("more than one row"),
        (Some(row), false) => number(&row),
    }
}

fn number(row: &PgRow) -> Result<f64, CustomError> {
    let [column] = row.columns() else {
        return shape(format!("{} columns", row.columns().len()));
    };
    let raw = row.try_get_raw(0).map_err(DatabaseError::from)?;
    if raw.is_null() {
        return shape("NULL");
    }
    let value = match column.type_info().name() {
        "INT2" => row.try_get::<i16, _>(0).map(f64::from),
        "INT4" => row.try_get::<i32, _>(0).map(f64::from),
        "INT8" => row.try_get::<i64, _>(0).map(|value| value as f64),
        "FLOAT4" => row.try_get::<f32, _>(0).map(f64::from),
        "FLOAT8" => row.try_get::<f64, _>(0),
        "BOOL" => row.try_get::<bool, _>(0).map(|value| if value { 1.0 } else { 0.0 }),
        "NUMERIC" if raw.format() == PgValueFormat::Binary => {
            return raw.as_bytes().ok().and_then(numeric).map_or_else(|| shape("a numeric that is no number"), Ok);
        }
        other => return shape(format!("a value of type {}", super::error::printable(other))),
    };
    let value = value.map_err(DatabaseError::from)?;
    if value.is_finite() { Ok(value) } else { shape("a value that is not finite") }
}

/// A `numeric` in its binary form (`numeric_send`): number of digits, weight of the first, sign, scale, then digits to
/// the base 10,000.
fn numeric(bytes: &[u8]) -> Option<f64> {
    let mut parts = bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    let count = parts.next()?;
    let weight = i32::from(parts.next()?.cast_signed());
    let negative = match parts.next()? {
        0x0000 => false,
        0x4000 => true,
        // Not a number, and the infinities.
        _ => return None,
    };
    parts.next()?;
    let mut text = String::from(if negative { "-0" } else { "0" });
    // Decimal text keeps what repeated multiplication would round.
    for _ in 0..count {
        write!(text, "{:04}", parts.next()?).ok()?;
    }
    let exponent = (weight - i32::from(count.cast_signed()) + 1) * 4;
    write!(text, "e{exponent}").ok()?;
    text.parse().ok().filter(|value: &f64| value.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(weight: i16, sign: u16, digits: &[u16]) -> Vec<u8> {
        [digits.len() as u16, weight as u16, sign, 0].iter().chain(digits).flat_map(|part| part.to_be_bytes()).collect()
    }

    #[test]
    fn numerics_keep_sign_scale_and_digits() {
        assert_eq!(numeric(&encoded(1, 0, &[1, 2_345])), Some(12_345.0));
        assert_eq!(numeric(&encoded(0, 0x4000, &[3, 2_500])), Some(-3.25));
        assert_eq!(numeric(&encoded(-1, 0, &[50])), Some(0.005));
        assert_eq!(numeric(&encoded(3, 0, &[1])), Some(1e12));
        assert_eq!(numeric(&encoded(0, 0, &[])), Some(0.0));
        assert_eq!(numeric(&encoded(0, 0xC000, &[])), None);
        assert_eq!(numeric(&[0, 5]), None);
    }
}
