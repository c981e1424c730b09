//! Several series of one database judged together: the one that departs most speaks for all, and so does a row in which
//! they do not move together as they do, though each by itself is as ever.
//!
//! Each series is judged by a stream of its own, and what they are together by one judge more. Each judge must be as much
//! surer as there are judges: with twenty of them, one in twenty samples is the rarest of its own twenty. This bound
//! (Bonferroni's) holds however the judges hang together.

mod bond;

use bond::Bond;

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
    /// `None` for fewer than two columns.
    bond: Option<Bond>,
    incidents: u64,
    open: bool,
}

impl Joint {
    /// Columns of which nothing was seen, each with its bounds; the threshold of the first is that of all together.
    pub fn new(columns: &[StreamOptions]) -> Self {
        let threshold = columns.first().map_or(super::DEFAULT_THRESHOLD, |first| first.threshold);
        let threshold = 1.0 - (1.0 - threshold) / judges(columns.len());
        let streams = columns.iter().map(|options| Stream::new(StreamOptions { threshold, ..*options }));
        let bond = (columns.len() > 1).then(|| Bond::new(threshold));
        Self { streams: streams.collect(), bond, incidents: 0, open: false }
    }

    /// Judges a row and learns from it. `at` in milliseconds since the Unix epoch; absent values as in
    /// [`Stream::sample`], and so is a value that the row does not have.
    pub fn sample(&mut self, at: i64, values: &[f64]) -> JointReading {
        let judges = judges(self.streams.len());
        let decades_of = |score: f64| {
            let chance = (judges * (1.0 - score)).min(1.0);
            (chance < 0.1).then(|| -chance.max(f64::MIN_POSITIVE).log10())
        };
        let (mut column_of_most, mut most) = (0, Reading::UNKNOWN);
        let (mut anomalous, mut open) = (false, false);
        let mut carriers = Vec::new();
        let mut residuals = Vec::with_capacity(self.streams.len());
        let mut bands = Vec::with_capacity(self.streams.len());
        for (place, stream) in self.streams.iter_mut().enumerate() {
            let value = values.get(place).copied().unwrap_or(f64::NAN);
            let reading = stream.sample(at, value);
            anomalous |= reading.anomalous;
            open |= reading.incident.is_some();
            carriers.extend(decades_of(reading.score).map(|decades| (place, decades)));
            // A known column beats an unknown one of the same score.
            if reading.score > most.score || most.expected.is_nan() && reading.expected.is_finite() {
                (column_of_most, most) = (place, reading);
            }
            residuals.push(residual(value, &reading));
            bands.push(reading);
        }
        if let Some(found) = self.bond.as_mut().map(|bond| bond.sample(at, &residuals)) {
            anomalous |= found.anomalous;
            open |= found.open;
            if found.score > most.score
                && let Some((column, reading)) = bands.get(found.column).map(|reading| (found.column, *reading))
            {
                (column_of_most, most) = (column, Reading { score: found.score, ..reading });
                most.departure = Some(super::Departure::Bond);
                let decades = decades_of(found.score).unwrap_or(0.0);
                carriers = found.shares.iter().map(|(column, share)| (*column, share * decades)).collect();
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
        let score = (1.0 - judges * (1.0 - most.score)).max(0.0);
        if score < 0.9 {
            carriers.clear();
        }
        let incident = open.then_some(self.incidents);
        let reading = Reading { score, anomalous, incident, ..most };
        JointReading { reading, column: column_of_most, carriers }
    }
}

/// One for each column and one for all together.
fn judges(columns: usize) -> f64 {
    if columns > 1 { columns as f64 + 1.0 } else { 1.0 }
}

/// Distance from what was expected in half widths of the band; `NaN` where nothing was.
fn residual(value: f64, reading: &Reading) -> f32 {
    let half =
        if value < reading.expected { reading.expected - reading.lower } else { reading.upper - reading.expected };
    // Of a band that ends at a physical bound no more is known than that it is not wider.
    ((value - reading.expected) / half.max(f64::MIN_POSITIVE)) as f32
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
        let mut joint = Joint::new(&[StreamOptions::default(); 4]);
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
            let mut joint = Joint::new(&vec![StreamOptions::default(); columns]);
            let rows = (0..12_000).map(|index| joint.sample(index * STEP, &row(index)[..columns]).reading);
            rows.skip(2016).filter(|reading| reading.score > 0.99).count()
        };
        assert!(count(4) <= 2 * count(1).max(50), "{} against {}", count(4), count(1));
    }

    #[test]
    fn a_missing_column_is_absent_and_no_columns_say_nothing() {
        let mut joint = Joint::new(&[StreamOptions::default(); 2]);
        assert!(joint.sample(0, &[1.0]).reading.score <= 0.0);
        let said = Joint::new(&[]).sample(0, &[]);
        assert!(said.reading.score <= 0.0 && said.reading.expected.is_nan() && said.carriers.is_empty());
    }

    /// As [`row`], but the second column follows the first.
    fn bound(index: i64) -> [f64; 3] {
        let [first, noise, third, _] = row(index);
        [first, 100.0 + 2.0 * (first - 50.0) + 0.2 * (noise - 60.0), third]
    }

    #[test]
    fn columns_that_no_longer_move_together_are_an_incident_though_each_alone_is_as_ever() {
        let mut joint = Joint::new(&[StreamOptions::default(); 3]);
        for index in 0..6_000 {
            assert_eq!(joint.sample(index * STEP, &bound(index)).reading.incident, None, "{index}");
        }
        let broken: Vec<JointReading> = (6_000..6_040)
            .map(|index| {
                let [first, second, third] = bound(index);
                joint.sample(index * STEP, &[first, 200.0 - second, third])
            })
            .collect();
        let said = broken.iter().find(|said| said.reading.anomalous).unwrap();
        assert_eq!(said.reading.departure, Some(super::super::Departure::Bond));
        let mut named: Vec<usize> = said.carriers.iter().take(2).map(|(column, _)| *column).collect();
        named.sort_unstable();
        assert_eq!(named, [0, 1]);
        assert_eq!(broken.last().unwrap().reading.incident, Some(1));
    }

    #[test]
    fn an_incident_with_gaps_in_its_column_is_one() {
        let mut joint = Joint::new(&[StreamOptions::default(); 2]);
        for index in 0..4_032 {
            joint.sample(index * STEP, &row(index)[..2]);
        }
        let incidents: Vec<Option<u64>> = (4_032..4_072)
            .map(|index| {
                let [first, second, ..] = row(index);
                let first = if index % 3 == 2 { f64::NAN } else { first + 200.0 };
                joint.sample(index * STEP, &[first, second]).reading.incident
            })
            .collect();
        assert_eq!(incidents, [Some(1); 40]);
    }

    #[test]
    fn a_column_that_is_gone_does_not_keep_its_incident_open_for_ever() {
        let mut joint = Joint::new(&[StreamOptions::default(); 3]);
        for index in 0..4_032 {
            joint.sample(index * STEP, &row(index)[..3]);
        }
        let mut incidents = Vec::new();
        for index in 4_032..4_232 {
            let [first, second, third, _] = row(index);
            let first = if index < 4_040 { first + 200.0 } else { f64::NAN };
            incidents.push(joint.sample(index * STEP, &[first, second, third]).reading.incident);
        }
        assert_eq!(incidents[90], None, "hours after its last value");
        assert_eq!(incidents[0..10], [Some(1); 10]);
    }
}
