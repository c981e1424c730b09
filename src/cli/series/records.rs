//! CSV records from bytes (RFC 4180), with the line that each begins on.
//!
//! Not the `csv` crate's reader: that counts a line end of two bytes as if it belonged to the next record, so that the line
//! in a message would be the one before, and a quote that is never closed would take the whole file into memory.

use std::io::{ErrorKind, Read};

/// Bytes read at once.
const BUFFER: usize = 64 * 1024;
/// Longest record in bytes: a quote that is never closed must not fill the memory.
const LONGEST: usize = 1024 * 1024;

/// One record: its fields without their quotes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a> {
    text: &'a [u8],
    ends: &'a [usize],
    /// Line that it begins on, from 1.
    pub(super) line: u64,
}

impl<'a> Record<'a> {
    /// Number of fields; at least 1.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// A field, without the spaces and tabs around it; empty when there is none.
    pub(super) fn field(&self, index: usize) -> &'a [u8] {
        let Some(end) = self.ends.get(index) else { return &[] };
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.text[start..*end].trim_ascii()
    }

    pub(super) fn fields(&self) -> impl Iterator<Item = &'a [u8]> {
        let record = *self;
        (0..self.len()).map(move |index| record.field(index))
    }
}

/// Why there is no next record.
#[derive(Debug)]
pub(super) enum RecordError {
    Read(std::io::Error),
    /// The record that begins on this line is longer than [`LONGEST`].
    Long(u64),
    /// The quote that was opened on this line is never closed.
    Quote(u64),
}

/// Where the reader stands within a record.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// At the beginning of a field.
    Field,
    /// In a field without quotes, or behind its closing quote.
    Plain,
    /// Between quotes.
    Quoted,
    /// Behind a quote between quotes: it closes them unless another follows.
    Quote,
}

/// Reads records one after the other. Lines end with LF, CRLF or CR, also mixed; empty lines are no records.
pub(super) struct Records<R> {
    reader: R,
    buffer: Box<[u8]>,
    from: usize,
    to: usize,
    text: Vec<u8>,
    ends: Vec<usize>,
    line: u64,
    after_return: bool,
}

impl<R: Read> Records<R> {
    pub(super) fn new(reader: R) -> Self {
        Self {
            reader,
            buffer: vec![0; BUFFER].into_boxed_slice(),
            from: 0,
            to: 0,
            text: Vec::new(),
            ends: Vec::new(),
            line: 1,
            after_return: false,
        }
    }

    /// The next record; `None` at the end. Allocates only for a record longer than all before.
    pub(super) fn next(&mut self) -> Result<Option<Record<'_>>, RecordError> {
        self.text.clear();
        self.ends.clear();
        let mut begun = self.line;
        let mut opened = self.line;
        let mut place = Place::Field;
        loop {
            if self.from == self.to && !self.fill().map_err(RecordError::Read)? {
                return match place {
                    Place::Quoted => Err(RecordError::Quote(opened)),
                    Place::Field if self.ends.is_empty() => Ok(None),
                    _ => Ok(Some(self.finish(begun))),
                };
            }
            let bytes = &self.buffer[self.from..self.to];
            let mut used = 0;
            let mut ended = false;
            for &byte in bytes {
                used += 1;
                if std::mem::take(&mut self.after_return) && byte == b'\n' {
                    if place == Place::Quoted {
                        self.text.push(byte);
                    }
                    continue;
                }
                let line_end = byte == b'\n' || byte == b'\r';
                if line_end {
                    self.line += 1;
                    self.after_return = byte == b'\r';
                }
                match (place, byte) {
                    (Place::Quoted, b'"') => place = Place::Quote,
                    (Place::Quoted, _) => self.text.push(byte),
                    (Place::Quote, b'"') => {
                        self.text.push(byte);
                        place = Place::Quoted;
                    }
                    (Place::Field, b'"') => {
                        place = Place::Quoted;
                        opened = self.line;
                    }
                    (_, b',') => {
                        self.ends.push(self.text.len());
                        place = Place::Field;
                    }
                    // A line with nothing on it.
                    (Place::Field, _) if line_end && self.ends.is_empty() && self.text.is_empty() => begun = self.line,
                    _ if line_end => {
                        ended = true;
                        break;
                    }
                    // Spaces before a quote do not make it a part of the text.
                    (Place::Field, b' ' | b'\t') => {}
                    _ => {
                        self.text.push(byte);
                        place = Place::Plain;
                    }
                }
            }
            self.from += used;
            if ended {
                return Ok(Some(self.finish(begun)));
            }
            if self.text.len() + self.ends.len() > LONGEST {
                return Err(RecordError::Long(begun));
            }
        }
    }

    fn finish(&mut self, line: u64) -> Record<'_> {
        self.ends.push(self.text.len());
        Record { text: &self.text, ends: &self.ends, line }
    }

    /// Reads on; false at the end.
    fn fill(&mut self) -> std::io::Result<bool> {
        loop {
            match self.reader.read(&mut self.buffer) {
                Ok(read) => {
                    (self.from, self.to) = (0, read);
                    return Ok(read > 0);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(bytes: &[u8]) -> Result<Vec<(u64, Vec<String>)>, RecordError> {
        let mut records = Records::new(bytes);
        let mut found = Vec::new();
        while let Some(record) = records.next()? {
            let fields = record.fields().map(|field| String::from_utf8_lossy(field).into_owned()).collect();
            found.push((record.line, fields));
        }
        Ok(found)
    }

    #[test]
    fn every_line_end_counts_once_and_empty_lines_are_no_records() {
        for (text, lines) in [
            ("a,b\n1,2\n", vec![1, 2]),
            ("a,b\r\n1,2\r\n", vec![1, 2]),
            ("a,b\r1,2", vec![1, 2]),
            ("a,b\r\n1,2\n3,4\r5,6\r\n", vec![1, 2, 3, 4]),
            ("\n\r\na,b\n\n \n1,2\n\n\n", vec![3, 6]),
            ("", vec![]),
            ("\n\r\n", vec![]),
        ] {
            let found: Vec<u64> = all(text.as_bytes()).unwrap().into_iter().map(|(line, _)| line).collect();
            assert_eq!(found, lines, "{text:?}");
        }
    }

    #[test]
    fn quotes_hold_commas_line_ends_and_quotes() {
        let text = "t,\"a,\"\"b\"\"\",c\n1, \"x\r\ny\" ,\n\"\",,\n";
        let found = all(text.as_bytes()).unwrap();
        let expected = [(1, ["t", "a,\"b\"", "c"]), (2, ["1", "x\r\ny", ""]), (4, ["", "", ""])];
        let expected: Vec<(u64, Vec<String>)> =
            expected.into_iter().map(|(line, fields)| (line, fields.map(str::to_owned).to_vec())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_quote_that_is_never_closed_names_its_line_and_fills_no_memory() {
        assert!(matches!(all(b"a\nb\n\"c\nd"), Err(RecordError::Quote(3))));
        let mut long = b"a\n\"".to_vec();
        long.resize(3 * LONGEST, b'x');
        assert!(matches!(all(&long), Err(RecordError::Long(2))));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = all(&bytes);
        }

        #[test]
        fn what_is_written_is_read_back(
            rows in proptest::collection::vec(proptest::collection::vec("[a-z0-9\",\n.]{1,8}", 1..5), 0..20),
        ) {
            let mut writer = csv::WriterBuilder::new().flexible(true).quote_style(csv::QuoteStyle::Always).from_writer(Vec::new());
            for row in &rows {
                writer.write_record(row).unwrap();
            }
            let found: Vec<Vec<String>> =
                all(&writer.into_inner().unwrap()).unwrap().into_iter().map(|(_, fields)| fields).collect();
            let trimmed: Vec<Vec<String>> =
                rows.iter().map(|row| row.iter().map(|field| field.trim_ascii().to_owned()).collect()).collect();
            prop_assert_eq!(found, trimmed);
        }
    }
}
