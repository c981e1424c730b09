//! Series from a CSV file or from the operator's own history, for the commands that judge and forecast them.
//!
//! **Time goes forward.** A row whose time is not after the latest one before it is passed over: it is neither judged nor
//! learnt, and counted. Times are kept in milliseconds.

mod arguments;
mod error;
mod history;
mod records;
mod rows;
#[cfg(test)]
mod tests;
mod timestamp;

use std::io::Read;
use std::path::Path;

pub(super) use arguments::SourceArguments;
pub use error::SeriesError;
pub use history::{HistoryChoice, read_history};
pub use rows::{Row, Rows};
pub use timestamp::{TimestampFormat, Zone};

use super::text::counted;
use crate::measure::{BUILT_IN, built_in};

/// One series.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// Name of the column or metric.
    pub name: String,
    /// Unit of a built-in metric of that name; empty when it is not known.
    pub unit: String,
    /// How its timestamps are written.
    pub format: TimestampFormat,
    /// Milliseconds since the Unix epoch, always growing, and value; NaN where there is none.
    pub samples: Vec<(i64, f64)>,
    /// Rows passed over because their time was not after the latest one before.
    pub passed_over: u64,
}

/// A column of a [`Table`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Column {
    /// Name of the column or metric.
    pub name: String,
    /// Unit of a built-in metric of that name; empty when it is not known.
    pub unit: String,
    /// One value per instant; NaN where there is none.
    pub values: Vec<f64>,
}

/// Several series with the same instants.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// How its timestamps are written.
    pub format: TimestampFormat,
    /// Milliseconds since the Unix epoch, always growing.
    pub at: Vec<i64>,
    /// The series; at least one.
    pub columns: Vec<Column>,
    /// Rows passed over because their time was not after the latest one before.
    pub passed_over: u64,
}

impl Table {
    /// One of its columns as a series.
    pub fn series(&self, column: usize) -> Option<Series> {
        let Column { name, unit, values } = self.columns.get(column)?;
        Some(Series {
            name: name.clone(),
            unit: unit.clone(),
            format: self.format,
            samples: self.at.iter().copied().zip(values.iter().copied()).collect(),
            passed_over: self.passed_over,
        })
    }
}

/// Milliseconds since the Unix epoch of a timestamp in any of the forms that a file may have; `None` when it is none.
pub fn parse_timestamp(text: &[u8]) -> Option<i64> {
    timestamp::parse(text).map(|(at, _)| at)
}

/// Unit of a built-in metric; empty for any other name.
pub fn unit_of(name: &str) -> &'static str {
    built_in(name).map_or("", |index| BUILT_IN[index].unit)
}

/// Reads one series from a CSV file, or from what `standard_input` gives for `-`, and its source's name for people. Without
/// `metric` the file must have one column beside `timestamp`.
///
/// # Errors
/// [`SeriesError`] naming file, line and column, what was found and what is allowed; several columns and no `metric`.
pub fn read_series(
    path: &Path,
    metric: Option<&str>,
    standard_input: impl FnOnce() -> Box<dyn Read>,
) -> Result<(Series, String), SeriesError> {
    let rows = Rows::open(path, metric, standard_input)?;
    let name = rows.name().to_owned();
    if rows.columns().len() > 1 {
        let names = error::listed(rows.columns().iter().map(String::as_str));
        let message = format!("found several columns, allowed for --metric: {names}");
        return Err(SeriesError::File { file: name, message });
    }
    Ok((table(rows)?.series(0).unwrap_or_default(), name))
}

/// What is said when rows were passed over.
pub fn passed_over(rows: u64) -> String {
    let rows = counted(rows, "row");
    format!("Passed over because the time is not after that of a row before (the oldest comes first): {rows}.")
}

/// What `-` stands for.
pub fn standard_input() -> Box<dyn Read> {
    Box::new(std::io::stdin())
}

fn table<R: Read>(mut rows: Rows<R>) -> Result<Table, SeriesError> {
    let columns = rows.columns().iter();
    let mut table = Table {
        columns: columns
            .map(|name| Column { name: name.clone(), unit: unit_of(name).to_owned(), values: Vec::new() })
            .collect(),
        ..Table::default()
    };
    while let Some(row) = rows.next_row()? {
        if table.at.last().is_some_and(|latest| row.at <= *latest) {
            table.passed_over += 1;
            continue;
        }
        table.at.push(row.at);
        for (column, value) in table.columns.iter_mut().zip(row.values) {
            column.values.push(*value);
        }
    }
    table.format = rows.format();
    Ok(table)
}
