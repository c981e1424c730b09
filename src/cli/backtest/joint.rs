//! Several series judged together, until `detect::stream` does that: the one that departs most speaks for all.

use crate::detect::stream::{Reading, Stream, StreamOptions};

/// What is said of one row.
pub(super) struct JointReading {
    pub reading: Reading,
    /// Columns that carry the score, and their share of it.
    pub carriers: Vec<(usize, f64)>,
}

pub(super) struct Joint {
    streams: Vec<Stream>,
    incidents: u64,
    open: bool,
}

impl Joint {
    pub(super) fn new(columns: usize, options: StreamOptions) -> Self {
        Self { streams: vec![Stream::new(options); columns], incidents: 0, open: false }
    }

    pub(super) fn sample(&mut self, at: i64, values: &[f64]) -> JointReading {
        let mut most: Option<(usize, Reading)> = None;
        let (mut anomalous, mut open) = (false, false);
        for (column, (stream, value)) in self.streams.iter_mut().zip(values).enumerate() {
            let reading = stream.sample(at, *value);
            anomalous |= reading.anomalous;
            open |= reading.incident.is_some();
            if most.is_none_or(|(_, before)| reading.score > before.score) {
                most = Some((column, reading));
            }
        }
        if open && !self.open {
            self.incidents += 1;
        }
        self.open = open;
        let (column, reading) = most.unwrap_or((0, Stream::new(StreamOptions::default()).sample(at, f64::NAN)));
        JointReading {
            reading: Reading { anomalous, incident: open.then_some(self.incidents), ..reading },
            carriers: if anomalous { vec![(column, 1.0)] } else { Vec::new() },
        }
    }
}
