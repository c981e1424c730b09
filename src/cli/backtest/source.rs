//! The rows to judge: of a CSV file, of standard input, or of the operator's history written out as if it were one.

use std::io::Read;

use super::super::arguments::Common;
use super::super::failure::Failure;
use super::super::series::{Rows, Table, read_history, standard_input};
use super::arguments::BacktestArguments;

/// Most columns that are judged together: each has a memory of its own, and a row costs as much as they are many. An
/// operator's Baseline has fewer metrics.
const MOST_COLUMNS: usize = 256;

/// What is judged: its rows, and its name for people.
pub(super) struct Source {
    pub rows: Rows<Box<dyn Read>>,
    pub name: String,
}

pub(super) async fn open(arguments: &BacktestArguments, common: &Common) -> Result<Source, Failure> {
    let source = opened(arguments, common).await?;
    let columns = source.rows.columns().len();
    if columns > MOST_COLUMNS {
        let message = format!("found {columns} columns, allowed together: {MOST_COLUMNS}; --metric chooses one");
        return Err(Failure::Usage(format!("{}: {message}", source.name)));
    }
    Ok(source)
}

async fn opened(arguments: &BacktestArguments, common: &Common) -> Result<Source, Failure> {
    let metric = arguments.metric.as_deref();
    if let Some((choice, name)) = arguments.source.choice(metric, common)? {
        let text: Box<dyn Read> = Box::new(TableText::new(read_history(&choice).await?));
        return Ok(Source { rows: Rows::new(text, &name, None)?, name });
    }
    let rows = Rows::open(arguments.source.file(), metric, standard_input)?;
    let name = rows.name().to_owned();
    Ok(Source { rows, name })
}

/// A table, written out as CSV while it is read.
struct TableText {
    table: Table,
    next: usize,
    line: Vec<u8>,
    given: usize,
}

impl TableText {
    fn new(table: Table) -> Self {
        let mut header = csv::Writer::from_writer(Vec::new());
        let names = table.columns.iter().map(|column| column.name.as_str());
        // Into memory, and nothing that is written there is refused.
        let _ = header.write_record(std::iter::once("timestamp").chain(names));
        let line = header.into_inner().unwrap_or_default();
        Self { table, next: 0, line, given: 0 }
    }
}

impl Read for TableText {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.given == self.line.len()
            && let Some(at) = self.table.at.get(self.next)
        {
            let mut line = self.table.format.print(*at);
            for column in &self.table.columns {
                // The history keeps single precision: these are its digits.
                let value = column.values[self.next] as f32;
                line.push(',');
                if value.is_finite() {
                    line.push_str(&format!("{value:?}"));
                }
            }
            line.push('\n');
            self.next += 1;
            self.line = line.into_bytes();
            self.given = 0;
        }
        let rest = &self.line[self.given..];
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        self.given += length;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::series::Column;
    use super::*;

    #[test]
    fn a_table_reads_as_the_csv_that_it_is() {
        let column =
            |name: &str, values: [f64; 2]| Column { name: name.into(), values: values.to_vec(), ..Column::default() };
        let table = Table {
            at: vec![1_772_323_200_000, 1_772_323_210_500],
            columns: vec![column("a", [f64::from(0.1_f32), f64::NAN]), column("b,c", [1e20, -3.0])],
            ..Table::default()
        };
        let mut text = String::new();
        TableText::new(table).read_to_string(&mut text).unwrap();
        assert_eq!(text, "timestamp,a,\"b,c\"\n2026-03-01T00:00:00Z,0.1,1e20\n2026-03-01T00:00:10Z,,-3.0\n");
    }
}
