//! Rows of a CSV file, one after the other, in bounded memory.

use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::super::text::counted;
use super::error::{SeriesError, listed, quoted};
use super::records::{Record, RecordError, Records};
use super::timestamp::{self, TimestampFormat};

/// Name of standard input for people.
const STANDARD_INPUT: &str = "standard input";

/// Name of the column with the times.
const TIMESTAMP: &str = "timestamp";

/// What messages say of numbers.
const NUMBER: &str = "a number, or empty, NaN, NA or null for none";

/// One row.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// Milliseconds since the Unix epoch.
    pub at: i64,
    /// The timestamp as the file writes it.
    pub time: &'a str,
    /// Values of the columns that were chosen; NaN where there is none.
    pub values: &'a [f64],
    record: Record<'a>,
    places: &'a [usize],
}

impl<'a> Row<'a> {
    /// A value as the file writes it.
    pub fn text(&self, column: usize) -> &'a str {
        let place = self.places.get(column).copied().unwrap_or(usize::MAX);
        // It was read as a number, or stands for none: it is ASCII.
        std::str::from_utf8(self.record.field(place)).unwrap_or_default()
    }
}

/// Reads the rows of a CSV file: a `timestamp` column and numbers.
pub struct Rows<R> {
    file: String,
    records: Records<R>,
    fields: usize,
    time: usize,
    places: Vec<usize>,
    columns: Vec<String>,
    format: Option<TimestampFormat>,
    values: Vec<f64>,
}

impl Rows<Box<dyn Read>> {
    /// Opens a file, or what `standard_input` gives for `-`. `metric` chooses one column; without it all columns are read,
    /// and all must be numeric.
    ///
    /// # Errors
    /// [`SeriesError`]: the file cannot be read, or its header does not have what is needed.
    pub fn open(
        path: &Path,
        metric: Option<&str>,
        standard_input: impl FnOnce() -> Box<dyn Read>,
    ) -> Result<Self, SeriesError> {
        if path.as_os_str() == "-" {
            return Self::new(standard_input(), STANDARD_INPUT, metric);
        }
        let name = path.display().to_string();
        let failed = |error: std::io::Error| SeriesError::File {
            file: name.clone(),
            message: format!("cannot be read: {error}"),
        };
        let file = File::open(path).map_err(failed)?;
        if file.metadata().map_err(failed)?.is_dir() {
            return Err(SeriesError::File { file: name, message: "found a directory, allowed: a CSV file".to_owned() });
        }
        Self::new(Box::new(file), &name, metric)
    }
}

impl<R: Read> Rows<R> {
    /// Reads from anything; `file` is the name in messages.
    ///
    /// # Errors
    /// As [`Rows::open`].
    pub fn new(reader: R, file: &str, metric: Option<&str>) -> Result<Self, SeriesError> {
        let mut records = Records::new(reader);
        let header = records.next().map_err(|error| of_record(file, error))?;
        let Some(header) = header else {
            let message = "is empty, allowed: a header with a column named timestamp, then rows".to_owned();
            return Err(SeriesError::File { file: file.to_owned(), message });
        };
        let Header { time, places, columns } = header_of(&header, file, metric)?;
        let fields = header.len();
        let values = vec![f64::NAN; places.len()];
        Ok(Self { file: file.to_owned(), records, fields, time, places, columns, format: None, values })
    }

    /// Name of what is read, for people.
    pub fn name(&self) -> &str {
        &self.file
    }

    /// Names of the columns that were chosen, in their order.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// How the first row writes its timestamp; that of the program's own until there was one.
    pub fn format(&self) -> TimestampFormat {
        self.format.unwrap_or_default()
    }

    /// The next row; `None` at the end.
    ///
    /// # Errors
    /// [`SeriesError`] with the line, and the column where there is one.
    pub fn next_row(&mut self) -> Result<Option<Row<'_>>, SeriesError> {
        let Some(record) = self.records.next().map_err(|error| of_record(&self.file, error))? else { return Ok(None) };
        let line = record.line;
        if record.len() != self.fields {
            let fields = counted(record.len() as u64, "field");
            let message = format!("found {fields}, the header has {}", self.fields);
            return Err(SeriesError::Line { file: self.file.clone(), line, message });
        }
        let cell_error = |column: &str, found: &[u8], allowed: &str| SeriesError::Cell {
            file: self.file.clone(),
            line,
            column: super::super::text::clean(column),
            message: format!("found {}, allowed: {allowed}", quoted(found)),
        };
        let time = record.field(self.time);
        let read = timestamp::parse(time).zip(std::str::from_utf8(time).ok());
        let ((at, format), text) = read.ok_or_else(|| cell_error(TIMESTAMP, time, timestamp::ALLOWED))?;
        self.format.get_or_insert(format);
        for ((value, place), column) in self.values.iter_mut().zip(&self.places).zip(&self.columns) {
            let cell = record.field(*place);
            *value = number(cell).ok_or_else(|| {
                let choice = if self.places.len() > 1 { "; --metric chooses one column" } else { "" };
                cell_error(column, cell, &format!("{NUMBER}{choice}"))
            })?;
        }
        Ok(Some(Row { at, time: text, values: &self.values, record, places: &self.places }))
    }
}

struct Header {
    time: usize,
    places: Vec<usize>,
    columns: Vec<String>,
}

fn header_of(header: &Record<'_>, file: &str, metric: Option<&str>) -> Result<Header, SeriesError> {
    let line = header.line;
    let wrong = |message: String| SeriesError::Line { file: file.to_owned(), line, message };
    let mut names = Vec::with_capacity(header.len());
    for (index, cell) in header.fields().enumerate() {
        // What spreadsheets put before the first name.
        let cell = if index == 0 { cell.strip_prefix(b"\xef\xbb\xbf").unwrap_or(cell) } else { cell };
        if index == 0 && (cell.starts_with(b"\xff\xfe") || cell.starts_with(b"\xfe\xff")) {
            return Err(wrong("found UTF-16, allowed: UTF-8".to_owned()));
        }
        let name = std::str::from_utf8(cell).map_err(|_| {
            let column = (index + 1).to_string();
            let message = format!("found {}, allowed: UTF-8", quoted(cell));
            SeriesError::Cell { file: file.to_owned(), line, column, message }
        })?;
        // A mark before a quoted name hides the quotes from the reader.
        let name = name.strip_prefix('"').and_then(|name| name.strip_suffix('"')).unwrap_or(name);
        names.push(if name.is_empty() { format!("column {}", index + 1) } else { name.to_owned() });
    }
    let Some(time) = names.iter().position(|name| name.eq_ignore_ascii_case(TIMESTAMP)) else {
        let hint = if header.fields().any(|cell| timestamp::parse(cell).is_some()) {
            ": the first line looks like data, the header is missing"
        } else if names.len() == 1 && names[0].contains([';', '\t', '|']) {
            ": fields are separated by commas"
        } else {
            ""
        };
        let found = listed(names.iter().map(String::as_str));
        return Err(wrong(format!("found the columns {found}; allowed: one named timestamp, and numbers{hint}")));
    };
    let twice = |index: usize| {
        let message = format!("found {} a second time, allowed: each name once", quoted(names[index].as_bytes()));
        SeriesError::Cell { file: file.to_owned(), line, column: (index + 1).to_string(), message }
    };
    let others = || names.iter().enumerate().filter(|(index, _)| *index != time);
    if let Some((index, _)) = others().find(|(_, name)| name.eq_ignore_ascii_case(TIMESTAMP)) {
        return Err(twice(index));
    }
    let places: Vec<usize> = match metric {
        Some(metric) => others().filter(|(_, name)| *name == metric).map(|(index, _)| index).collect(),
        None => others().map(|(index, _)| index).collect(),
    };
    let mut seen = HashSet::new();
    if let Some(place) = places.iter().find(|place| !seen.insert(names[**place].as_str())) {
        return Err(twice(*place));
    }
    let columns: Vec<String> = places.iter().map(|place| names[*place].clone()).collect();
    if columns.is_empty() {
        let there = listed(others().map(|(_, name)| name.as_str()));
        let found = metric.map_or("no column beside timestamp".to_owned(), |metric| quoted(metric.as_bytes()));
        let message = match metric {
            Some(_) => format!("found {found} for --metric, allowed: {there}"),
            None => format!("found {found}, allowed: at least one with numbers"),
        };
        return Err(wrong(message));
    }
    Ok(Header { time, places, columns })
}

fn of_record(file: &str, error: RecordError) -> SeriesError {
    let file = file.to_owned();
    match error {
        RecordError::Read(error) => SeriesError::File { file, message: format!("cannot be read: {error}") },
        RecordError::Long(line) => {
            let message = "found a row of more than 1 MiB (is a quote left open?), allowed: less".to_owned();
            SeriesError::Line { file, line, message }
        }
        RecordError::Quote(line) => {
            let message = "found a quote that is never closed, allowed: quotes in pairs".to_owned();
            SeriesError::Line { file, line, message }
        }
    }
}

/// Value of a cell; NaN for none and for what is infinite or beyond the numbers; `None` when it is neither.
fn number(cell: &[u8]) -> Option<f64> {
    if cell.is_empty() {
        return Some(f64::NAN);
    }
    if let Ok(value) = std::str::from_utf8(cell).ok()?.parse::<f64>() {
        return Some(if value.is_finite() { value } else { f64::NAN });
    }
    let none = [&b"na"[..], b"n/a", b"null", b"none"];
    none.iter().any(|word| cell.eq_ignore_ascii_case(word)).then_some(f64::NAN)
}
