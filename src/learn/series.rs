//! The usable values of a series in the order of time, cut into hours.

use super::Sample;
use super::calendar::{Clock, HOUR_MS, HOURS_OF_WEEK, absolute_hour, hour_of_absolute};
use crate::stats;

/// One hour in which the series was seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    /// Hour of the week.
    pub(super) hour: usize,
    /// Days since the epoch.
    pub(super) day: i64,
    /// Place of its values.
    begin: usize,
    end: usize,
    /// Median of its values.
    pub(super) median: f64,
}

impl Block {
    /// Number of its values.
    pub(super) fn len(&self) -> usize {
        self.end - self.begin
    }
}

/// Values in the order of time, and the hours that they lie in.
pub(super) struct Series {
    values: Vec<f32>,
    pub(super) blocks: Vec<Block>,
    /// The blocks of each hour of the week.
    pub(super) of_hour: [Vec<usize>; HOURS_OF_WEEK],
    /// What all values are multiples of, where they are: 1 for counts, 0.01 for what is rounded to two digits.
    pub(super) step: Option<f64>,
}

impl Series {
    /// Samples in any order, repeated ones once; `None` when there are none.
    pub(super) fn new<'a>(samples: impl Iterator<Item = &'a Sample> + Clone, clock: &Clock) -> Option<Self> {
        if samples.clone().is_sorted_by_key(|sample| sample.at) {
            return Self::in_order(samples, clock);
        }
        let mut sorted: Vec<&Sample> = samples.collect();
        sorted.sort_unstable_by(|one, other| one.at.cmp(&other.at).then(one.value.total_cmp(&other.value)));
        Self::in_order(sorted.into_iter(), clock)
    }

    fn in_order<'a>(samples: impl Iterator<Item = &'a Sample>, clock: &Clock) -> Option<Self> {
        let mut values = Vec::with_capacity(samples.size_hint().1.unwrap_or(0));
        let mut blocks: Vec<Block> = Vec::new();
        let mut last = Sample { at: i64::MIN, value: f32::NAN };
        let mut end_of_hour = i64::MIN;
        let (mut ahead, mut until) = (0, i64::MIN);
        for sample in samples {
            if sample.at == last.at && sample.value.to_bits() == last.value.to_bits() {
                continue;
            }
            if sample.at >= until {
                (ahead, until) = clock.ahead(sample.at);
            }
            let local = sample.at.saturating_add(ahead);
            if local >= end_of_hour {
                let hour = absolute_hour(local);
                end_of_hour = hour.saturating_add(1).saturating_mul(HOUR_MS);
                let (day, hour) = (hour.div_euclid(24), hour_of_absolute(hour));
                blocks.push(Block { hour, day, begin: values.len(), end: values.len(), median: 0.0 });
            }
            values.push(sample.value);
            last = *sample;
        }
        let mut of_hour: [Vec<usize>; HOURS_OF_WEEK] = std::array::from_fn(|_| Vec::new());
        let mut end = values.len();
        for block in blocks.iter_mut().rev() {
            block.end = std::mem::replace(&mut end, block.begin);
        }
        let mut buffer = Vec::new();
        for (index, block) in blocks.iter_mut().enumerate() {
            of_hour[block.hour].push(index);
            buffer.clear();
            buffer.extend_from_slice(&values[block.begin..block.end]);
            block.median = stats::median(&mut buffer)?;
        }
        let step = step_of(&values);
        (!blocks.is_empty()).then_some(Self { values, blocks, of_hour, step })
    }

    /// All values.
    pub(super) fn values(&self) -> &[f32] {
        &self.values
    }

    /// The values of an hour.
    pub(super) fn of(&self, block: &Block) -> &[f32] {
        &self.values[block.begin..block.end]
    }
}

/// Values that are looked at for a step.
const LOOKED_AT: usize = 1024;
/// Different values among them at most: what is finer than that is as good as smooth.
const MOST_DIFFERENT: usize = 128;
/// Whole multiples of a step may be off by this share of it: values are stored in 24 bits.
const OFF: f64 = 0.02;

fn step_of(values: &[f32]) -> Option<f64> {
    if values.iter().all(|value| value.fract().abs() <= 0.0) {
        return Some(1.0);
    }
    let mut different: Vec<f32> = values.iter().copied().step_by(values.len() / LOOKED_AT + 1).collect();
    let looked_at = different.len();
    different.sort_unstable_by(f32::total_cmp);
    different.dedup();
    if different.len() < 2 || different.len() > MOST_DIFFERENT.min(looked_at / 4) {
        return None;
    }
    let gaps = || different.windows(2).map(|pair| f64::from(pair[1]) - f64::from(pair[0]));
    let step = gaps().fold(f64::INFINITY, f64::min);
    gaps().all(|gap| ((gap / step).round() - gap / step).abs() <= OFF * (gap / step).max(1.0)).then_some(step)
}
