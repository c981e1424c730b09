//! CSV in and out: `timestamp,<metric>,<metric>…`, a row per round.

use std::fmt::Write as _;
use std::io::{Read, Write};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use tokio::sync::mpsc;

use super::block::Rows;
use super::error::HistoryError;
use super::import::Imported;
use super::roll_up::HOUR;
use super::store::Store;
use crate::measure::TargetKey;

/// Name of the first column.
const TIMESTAMP: &str = "timestamp";
/// Export reads this much at a time, in milliseconds.
const EXPORT_SPAN: i64 = 24 * HOUR;
/// A cell is quoted in messages up to this many characters.
const QUOTED: usize = 40;

/// Why an import or export ended early. What was stored before stays.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// A row or cell that cannot be understood.
    #[error("{file}: line {line}, column {column}: {message}")]
    Cell {
        /// Name of the file, as given.
        file: String,
        /// Line, from 1.
        line: u64,
        /// Name of the column, or its number from 1 where it has none.
        column: String,
        /// Found and allowed.
        message: String,
    },
    /// The file cannot be read or written.
    #[error("{file}: {message}")]
    File {
        /// Name of the file, as given.
        file: String,
        /// Why.
        message: String,
    },
    /// The store failed.
    #[error(transparent)]
    History(#[from] HistoryError),
}

/// Imports the rounds of one target from CSV.
///
/// The first row names the columns: `timestamp`, then metrics, each one of `allowed` and at most once. A timestamp
/// is RFC 3339 (`2026-03-01T12:00:00+01:00`) or `2026-03-01 12:00:00` in UTC; a cell is a number, or empty or `NaN`
/// for none. Rows may be in any order; for duplicates the rules of [`Store::append`] hold, the later row counting
/// as stored later. `file` is the name used in messages.
pub async fn import_csv(
    reader: impl Read + Send + 'static,
    file: &str,
    store: &Store,
    key: &TargetKey,
    allowed: &[String],
) -> Result<Imported, TransferError> {
    let (sender, mut receiver) = mpsc::channel::<Parsed>(1);
    let (file, allowed) = (file.to_owned(), allowed.to_vec());
    let parser = tokio::task::spawn_blocking(move || parse(reader, &file, &allowed, &sender));
    let mut imported = Imported::default();
    let mut series = None;
    while let Some(parsed) = receiver.recv().await {
        match (parsed, &series) {
            (Parsed::Metrics(metrics), _) => series = Some(store.target(key, &metrics).await?),
            (Parsed::Rows(rows), Some(series)) => store.import_rows(series, rows, &mut imported).await?,
            (Parsed::Rows(_), None) => {}
        }
    }
    parser.await.map_err(|error| HistoryError::Other(error.to_string()))??;
    Ok(imported)
}

/// Exports the rounds of one target with `from <= at < to` (milliseconds since the Unix epoch) as CSV that
/// [`import_csv`] reads back to the same samples. Returns the number of rows. Writes block the calling task.
pub async fn export_csv(
    mut writer: impl Write,
    file: &str,
    store: &Store,
    key: &TargetKey,
    from: i64,
    to: i64,
) -> Result<u64, TransferError> {
    let failed = |error: std::io::Error| TransferError::File { file: file.to_owned(), message: error.to_string() };
    let metrics = store.metrics(key).await?;
    let names: Vec<&str> = metrics.iter().map(String::as_str).collect();
    let mut header = vec![TIMESTAMP];
    header.extend(&names);
    let mut csv = csv::Writer::from_writer(Vec::new());
    csv.write_record(&header).map_err(|error| failed(error.into()))?;
    let header = csv.into_inner().map_err(|error| failed(error.into_error()))?;
    writer.write_all(&header).map_err(failed)?;
    let mut rows = 0;
    if let Some((first, last)) = store.extent(key).await? {
        let mut begin = from.max(first);
        let end = to.min(last.saturating_add(1));
        let mut line = String::new();
        while begin < end {
            let next = begin.saturating_add(EXPORT_SPAN).min(end);
            let (instants, columns) = store.read_rounds(key, &names, begin, next).await?;
            for (index, at) in instants.iter().enumerate() {
                line.clear();
                push_row(&mut line, *at, columns.iter().map(|column| column[index]));
                writer.write_all(line.as_bytes()).map_err(failed)?;
                rows += 1;
            }
            // Years may lie between two rounds.
            begin = if instants.is_empty() { store.next_instant(key, next).await?.unwrap_or(end) } else { next };
        }
    }
    writer.flush().map_err(failed)?;
    Ok(rows)
}

fn push_row(line: &mut String, at: i64, values: impl Iterator<Item = f32>) {
    // Writing into a String cannot fail, and the store has no instant that a Timestamp cannot be.
    let instant = Timestamp::from_millisecond(at).unwrap_or_default();
    _ = write!(line, "{instant}");
    for value in values {
        line.push(',');
        if value.is_nan() {
            continue;
        }
        // The shortest digits that read back as the same value, whatever its magnitude.
        _ = write!(line, "{value:?}");
    }
    line.push('\n');
}

/// What the parser hands over.
enum Parsed {
    /// The metrics of every row that follows.
    Metrics(Vec<String>),
    Rows(Rows),
}

/// Reads CSV in batches. Ends early, without an error of its own, when nobody receives them any more.
fn parse(
    reader: impl Read,
    file: &str,
    allowed: &[String],
    sender: &mpsc::Sender<Parsed>,
) -> Result<(), TransferError> {
    let mut csv = csv::ReaderBuilder::new().has_headers(false).flexible(true).trim(csv::Trim::All).from_reader(reader);
    let mut record = csv::ByteRecord::new();
    let file_error = |error: csv::Error| TransferError::File { file: file.to_owned(), message: error.to_string() };
    if !csv.read_byte_record(&mut record).map_err(file_error)? {
        return Err(TransferError::File { file: file.to_owned(), message: "is empty".to_owned() });
    }
    let line = record.position().map_or(1, csv::Position::line);
    let metrics = header(file, line, &record, allowed)?;
    if sender.blocking_send(Parsed::Metrics(metrics.clone())).is_err() {
        return Ok(());
    }
    let mut rows = Rows::default();
    let mut values = vec![f32::NAN; metrics.len()];
    while csv.read_byte_record(&mut record).map_err(file_error)? {
        let line = record.position().map_or(0, csv::Position::line);
        let cell_error = |column: &str, message: String| TransferError::Cell {
            file: file.to_owned(),
            line,
            column: column.to_owned(),
            message,
        };
        if record.len() != metrics.len() + 1 {
            let message = format!("found {} columns, the header has {}", record.len(), metrics.len() + 1);
            return Err(cell_error(&record.len().to_string(), message));
        }
        let at = instant(&record[0]).ok_or_else(|| {
            let allowed = "an RFC 3339 timestamp or YYYY-MM-DD hh:mm:ss (UTC)";
            cell_error(TIMESTAMP, format!("found {}, allowed: {allowed}", quoted(&record[0])))
        })?;
        for ((value, cell), metric) in values.iter_mut().zip(record.iter().skip(1)).zip(&metrics) {
            *value = number(cell).ok_or_else(|| {
                cell_error(metric, format!("found {}, allowed: a finite number, empty or NaN", quoted(cell)))
            })?;
        }
        rows.push(at, &values);
        if rows.is_batch() && sender.blocking_send(Parsed::Rows(std::mem::take(&mut rows))).is_err() {
            return Ok(());
        }
    }
    drop(sender.blocking_send(Parsed::Rows(rows)));
    Ok(())
}

/// Metrics that a header names.
fn header(file: &str, line: u64, record: &csv::ByteRecord, allowed: &[String]) -> Result<Vec<String>, TransferError> {
    let error = |column: usize, message: String| TransferError::Cell {
        file: file.to_owned(),
        line,
        column: (column + 1).to_string(),
        message,
    };
    // A byte order mark is what spreadsheets put before the first name.
    let first = record.get(0).unwrap_or_default();
    let first = first.strip_prefix(b"\xef\xbb\xbf").unwrap_or(first);
    if first != TIMESTAMP.as_bytes() {
        return Err(error(0, format!("found {}, allowed: {TIMESTAMP}", quoted(first))));
    }
    let mut metrics: Vec<String> = Vec::new();
    for (index, cell) in record.iter().enumerate().skip(1) {
        let Some(name) = allowed.iter().find(|name| name.as_bytes() == cell) else {
            return Err(error(index, format!("found {}, allowed: {}", quoted(cell), allowed.join(", "))));
        };
        if metrics.contains(name) {
            return Err(error(index, format!("found {} a second time, allowed: each metric once", quoted(cell))));
        }
        metrics.push(name.clone());
    }
    if metrics.is_empty() {
        return Err(error(1, format!("found no metric, allowed: {}", allowed.join(", "))));
    }
    Ok(metrics)
}

/// Milliseconds since the Unix epoch of a timestamp.
fn instant(cell: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(cell).ok()?;
    let instant = text.parse::<Timestamp>().ok().or_else(|| {
        let civil = text.strip_suffix(" UTC").unwrap_or(text).parse::<DateTime>().ok()?;
        Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp())
    })?;
    Some(instant.as_millisecond())
}

/// Value of a cell, NaN for none; `None` when it is neither.
fn number(cell: &[u8]) -> Option<f32> {
    if cell.is_empty() || cell.eq_ignore_ascii_case(b"nan") {
        return Some(f32::NAN);
    }
    let value: f32 = std::str::from_utf8(cell).ok()?.parse().ok()?;
    value.is_finite().then_some(value)
}

/// A cell as messages show it: its beginning, with control characters escaped.
fn quoted(cell: &[u8]) -> String {
    let text = String::from_utf8_lossy(cell);
    let short: String = text.chars().take(QUOTED).collect();
    format!("{short:?}")
}
