//! Hourly roll-ups: what stays of an hour once its chunks are gone.

use super::block::Block;

/// Milliseconds of an hour.
pub(super) const HOUR: i64 = 3_600_000;
/// Bytes of one metric in the stored form: metric, count, minimum, maximum, mean.
const ENTRY: usize = 20;

/// One hour of one series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RollUp {
    /// Begin of the hour (UTC), milliseconds since the Unix epoch.
    pub at: i64,
    /// Samples in the hour; never 0.
    pub count: u32,
    /// Smallest value.
    pub minimum: f32,
    /// Largest value.
    pub maximum: f32,
    /// Arithmetic mean.
    pub mean: f32,
}

/// The hour in which an instant lies, as the instant at which it begins.
pub(super) fn hour_of(at: i64) -> i64 {
    at.div_euclid(HOUR).saturating_mul(HOUR)
}

/// Roll-ups of one hour over the blocks that may have rounds in it, metric by metric.
pub(super) fn of_hour(blocks: &[&Block], hour: i64) -> Vec<(i64, RollUp)> {
    let mut found: Vec<(i64, f64, RollUp)> = Vec::new();
    for block in blocks {
        let from = block.at.partition_point(|at| *at < hour);
        let to = block.at.partition_point(|at| *at < hour.saturating_add(HOUR));
        for column in &block.columns {
            let mut present = column.values[from..to].iter().copied().filter(|value| !value.is_nan()).peekable();
            let Some(&value) = present.peek() else { continue };
            let index = found.iter().position(|(metric, ..)| *metric == column.metric).unwrap_or_else(|| {
                let empty = RollUp { at: hour, count: 0, minimum: value, maximum: value, mean: 0.0 };
                found.push((column.metric, 0.0, empty));
                found.len() - 1
            });
            let (_, sum, roll_up) = &mut found[index];
            for value in present {
                *sum += f64::from(value);
                roll_up.count += 1;
                roll_up.minimum = roll_up.minimum.min(value);
                roll_up.maximum = roll_up.maximum.max(value);
            }
        }
    }
    found
        .into_iter()
        .map(|(metric, sum, roll_up)| (metric, RollUp { mean: (sum / f64::from(roll_up.count)) as f32, ..roll_up }))
        .collect()
}

/// Stored form of an hour.
pub(super) fn encode(roll_ups: &[(i64, RollUp)]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(roll_ups.len() * ENTRY);
    for (metric, roll_up) in roll_ups {
        bytes.extend_from_slice(&(*metric as u32).to_le_bytes());
        bytes.extend_from_slice(&roll_up.count.to_le_bytes());
        for value in [roll_up.minimum, roll_up.maximum, roll_up.mean] {
            bytes.extend_from_slice(&value.to_le_bytes());
        }
    }
    bytes
}

/// One metric of a stored hour.
pub(super) fn decode(bytes: &[u8], hour: i64, metric: i64) -> Option<RollUp> {
    let word = |entry: &[u8], index: usize| -> Option<[u8; 4]> { entry.get(index * 4..index * 4 + 4)?.try_into().ok() };
    let entry = bytes
        .chunks_exact(ENTRY)
        .find(|entry| word(entry, 0).is_some_and(|id| i64::from(u32::from_le_bytes(id)) == metric))?;
    Some(RollUp {
        at: hour,
        count: u32::from_le_bytes(word(entry, 1)?),
        minimum: f32::from_le_bytes(word(entry, 2)?),
        maximum: f32::from_le_bytes(word(entry, 3)?),
        mean: f32::from_le_bytes(word(entry, 4)?),
    })
}
