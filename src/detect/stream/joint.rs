//! Several series of one database judged together: the one that departs most speaks for all.
//!
//! Each series is judged by a stream of its own, and must be as much surer as there are series: with twenty of them, one
//! in twenty samples is the rarest of its own twenty. This bound (Bonferroni's) holds however the series hang together.

use super::{Reading, Stream, StreamOptions};

/// What is said of one row.
#[derive(Clone, Debug, PartialEq)]
pub struct JointReading {
    /// What is said of the whole: band and departure are those of the column that departs most.
    pub reading: Reading,
    /// That column.
    pub column: usize,
    /// Columns that carry the score with their shares, the greatest first; empty when no score is beyond one in ten.
    pub carriers: Vec<(usize, f64)>,
}

/// Several series, judged row by row.
#[derive(Clone, Debug)]
pub struct Joint {
    streams: Vec<Stream>,
    incidents: u64,
    open: bool,
}

impl Joint {
    /// So many columns, of which nothing was seen.
    pub fn new(columns: usize, options: StreamOptions) -> Self {
        let threshold = 1.0 - (1.0 - options.threshold) / columns.max(1) as f64;
        let stream = Stream::new(StreamOptions { threshold, ..options });
        Self { streams: vec![stream; columns], incidents: 0, open: false }
    }

    /// Judges a row and learns from it. `at` in milliseconds since the Unix epoch; absent values as in
    /// [`Stream::sample`], and so is a value that the row does not have.
    pub fn sample(&mut self, at: i64, values: &[f64]) -> JointReading {
        let columns = self.streams.len().max(1) as f64;
        let (mut column_of_most, mut most) = (0, Reading::UNKNOWN);
        let (mut anomalous, mut open) = (false, false);
        let mut carriers = Vec::new();
        for (column, stream) in self.streams.iter_mut().enumerate() {
            let reading = stream.sample(at, values.get(column).copied().unwrap_or(f64::NAN));
            anomalous |= reading.anomalous;
            open |= reading.incident.is_some();
            let chance = (columns * (1.0 - reading.score)).min(1.0);
            if chance < 0.1 {
                carriers.push((column, -chance.max(f64::MIN_POSITIVE).log10()));
            }
            // A known column beats an unknown one of the same score.
            if reading.score > most.score || most.expected.is_nan() && reading.expected.is_finite() {
                (column_of_most, most) = (column, reading);
            }
        }
        if open && !self.open {
            self.incidents += 1;
        }
        self.open = open;
        let total: f64 = carriers.iter().map(|(_, decades)| decades).sum();
        for (_, share) in &mut carriers {
            *share /= total;
        }
        carriers.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        let score = (1.0 - columns * (1.0 - most.score)).max(0.0);
        let incident = open.then_some(self.incidents);
        let reading = Reading { score, anomalous, incident, ..most };
        JointReading { reading, column: column_of_most, carriers }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: i64 = 300_000;

    /// Four columns of noise that has no pattern, by the golden ratio and its powers.
    fn row(index: i64) -> [f64; 4] {
        std::array::from_fn(|column| {
            let seed = (index * 4 + column as i64 + 1) as f64;
            let sum: f64 =
                (1..=6).map(|part| (seed * 12.9898 * f64::from(part)).sin() * 43_758.545_3).map(f64::fract).sum();
            50.0 + 10.0 * column as f64 + 3.0 * sum
        })
    }

    #[test]
    fn the_column_that_departs_carries_the_score() {
        let mut joint = Joint::new(4, StreamOptions::default());
        for index in 0..4032 {
            let said = joint.sample(index * STEP, &row(index));
            assert_eq!(said.reading.incident, None, "{index}");
        }
        let mut departed = row(4032);
        departed[2] += 200.0;
        let said = joint.sample(4032 * STEP, &departed);
        assert!(said.reading.anomalous);
        assert_eq!(said.reading.incident, Some(1));
        assert_eq!(said.carriers.first().map(|(column, _)| *column), Some(2));
        assert!((said.carriers.iter().map(|(_, share)| share).sum::<f64>() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn more_columns_do_not_make_more_alarms() {
        let count = |columns: usize| {
            let mut joint = Joint::new(columns, StreamOptions::default());
            let rows = (0..12_000).map(|index| joint.sample(index * STEP, &row(index)[..columns]).reading);
            rows.skip(2016).filter(|reading| reading.score > 0.99).count()
        };
        assert!(count(4) <= 2 * count(1).max(50), "{} against {}", count(4), count(1));
    }

    #[test]
    fn a_missing_column_is_absent_and_no_columns_say_nothing() {
        let mut joint = Joint::new(2, StreamOptions::default());
        assert!(joint.sample(0, &[1.0]).reading.score <= 0.0);
        let said = Joint::new(0, StreamOptions::default()).sample(0, &[]);
        assert!(said.reading.score <= 0.0 && said.reading.expected.is_nan() && said.carriers.is_empty());
    }
}
