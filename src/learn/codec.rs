//! The stored form of a profile: a version byte, then fields of fixed width in little-endian order, then the hours of the
//! month, if there are any.

use super::calendar::HOURS_OF_WEEK;
use super::monthly_slot::{MOST_MONTHLY_SLOTS, MonthlySlot};
use super::profile::{Growth, Profile, Statistics};
use super::tails::{Stretch, Tail, Tails};

/// First byte of the stored form. A change of layout gets another number, and old profiles are learnt anew.
pub(super) const VERSION: u8 = 4;

/// Figures of a tail: three quantiles, scale and shape.
const TAIL: usize = 5;

/// Two columns of f32, two tails, two stretches, the growth of a day, two counters and thirteen f64; since when it grows;
/// one byte with the readiness in its lowest bit and the number of hours of the month above it; the version byte before them.
const LENGTH: usize = 1 + 2 * HOURS_OF_WEEK * 4 + 2 * TAIL * 4 + 3 * 4 + 2 * 8 + 13 * 8 + 4 + 1;

/// Bytes of an hour of the month: day, hour, level and scale.
const SLOT: usize = 2 + 2 * 4;

/// Why bytes are not a stored profile.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DecodeError {
    /// Written by another version of dbmedic, or not a profile.
    #[error("stored profile: found version {0}, allowed is {VERSION}")]
    Version(u8),
    /// Cut off or grown.
    #[error("stored profile: found {0} bytes, allowed are {LENGTH} and {SLOT} for each hour of the month")]
    Length(usize),
    /// A value that no profile can have.
    #[error("stored profile: {0} is not a value that a profile can have")]
    Value(&'static str),
}

impl Profile {
    /// Bytes of the stored form without hours of the month.
    pub const LENGTH: usize = LENGTH;

    /// The stored form.
    pub fn encode(&self) -> Vec<u8> {
        let monthly = &self.monthly[..self.monthly.len().min(MOST_MONTHLY_SLOTS)];
        let mut bytes = Vec::with_capacity(LENGTH + monthly.len() * SLOT);
        bytes.push(VERSION);
        for value in self.centre.iter().chain(self.scale.iter()) {
            bytes.extend_from_slice(&value.to_le_bytes());
        }
        for Tail { quantiles: [quarter, tenth, far], scale, shape } in [self.tails.below, self.tails.above] {
            for value in [quarter, tenth, far, scale, shape] {
                bytes.extend_from_slice(&value.to_le_bytes());
            }
        }
        for value in [self.stretch.below, self.stretch.above, self.growth.per_day] {
            bytes.extend_from_slice(&value.to_le_bytes());
        }
        let Statistics {
            samples,
            outliers,
            mean,
            median,
            standard_deviation,
            p95,
            p99,
            minimum,
            maximum,
            lower,
            upper,
        } = self.statistics;
        for count in [samples, outliers] {
            bytes.extend_from_slice(&count.to_le_bytes());
        }
        // An absent bound is stored as the infinity that it means.
        let lowest = self.minimum.unwrap_or(f64::NEG_INFINITY);
        let highest = self.maximum.unwrap_or(f64::INFINITY);
        let figures = [mean, median, standard_deviation, p95, p99, minimum, maximum, lower, upper];
        for value in figures.into_iter().chain([self.days, self.confidence, lowest, highest]) {
            bytes.extend_from_slice(&value.to_le_bytes());
        }
        bytes.extend_from_slice(&self.growth.since.to_le_bytes());
        bytes.push(u8::from(self.ready) | (monthly.len() as u8) << 1);
        for MonthlySlot { day, hour, level, scale } in monthly {
            bytes.extend_from_slice(&[*day, *hour]);
            bytes.extend_from_slice(&level.to_le_bytes());
            bytes.extend_from_slice(&scale.to_le_bytes());
        }
        bytes
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`DecodeError`] when the version, the length or a value is not one that [`Profile::encode`] writes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        match Self::decode_first(bytes)? {
            (profile, []) => Ok(profile),
            _ => Err(DecodeError::Length(bytes.len())),
        }
    }

    /// The same with the bytes that follow the profile.
    pub(super) fn decode_first(bytes: &[u8]) -> Result<(Self, &[u8]), DecodeError> {
        let (version, mut rest) = bytes.split_first().ok_or(DecodeError::Length(0))?;
        if *version != VERSION {
            return Err(DecodeError::Version(*version));
        }
        let short = DecodeError::Length(bytes.len());
        let mut centre = Box::new([0.0; HOURS_OF_WEEK]);
        let mut scale = Box::new([0.0; HOURS_OF_WEEK]);
        for value in centre.iter_mut().chain(scale.iter_mut()) {
            *value = f32::from_le_bytes(take(&mut rest).ok_or(short)?);
        }
        if !centre.iter().all(|value| value.is_finite()) {
            return Err(DecodeError::Value("a centre"));
        }
        if !scale.iter().all(|value| value.is_finite() && *value > 0.0) {
            return Err(DecodeError::Value("a scale"));
        }
        let tails = Tails { below: tail(&mut rest).ok_or(short)?, above: tail(&mut rest).ok_or(short)? };
        if !(tails.below.is_valid() && tails.above.is_valid()) {
            return Err(DecodeError::Value("a tail"));
        }
        let mut side = || take(&mut rest).map(f32::from_le_bytes);
        let stretch = Stretch { below: side().ok_or(short)?, above: side().ok_or(short)? };
        if !stretch.is_valid() {
            return Err(DecodeError::Value("a stretch"));
        }
        let per_day = side().ok_or(short)?;
        let samples = u64::from_le_bytes(take(&mut rest).ok_or(short)?);
        let outliers = u64::from_le_bytes(take(&mut rest).ok_or(short)?);
        let mut figures = [0.0; 13];
        for value in &mut figures {
            *value = f64::from_le_bytes(take(&mut rest).ok_or(short)?);
        }
        let [
            mean,
            median,
            standard_deviation,
            p95,
            p99,
            minimum,
            maximum,
            lower,
            upper,
            days,
            confidence,
            lowest,
            highest,
        ] = figures;
        let since = i32::from_le_bytes(take(&mut rest).ok_or(short)?);
        if !per_day.is_finite() {
            return Err(DecodeError::Value("the growth"));
        }
        let [flags] = take(&mut rest).ok_or(short)?;
        let (ready, slots) = (flags & 1 == 1, usize::from(flags >> 1));
        if slots > MOST_MONTHLY_SLOTS {
            return Err(DecodeError::Value("the number of hours of the month"));
        }
        let mut monthly = Vec::with_capacity(slots);
        for _ in 0..slots {
            monthly.push(slot(&mut rest).ok_or(short)?);
        }
        if !monthly.iter().all(MonthlySlot::is_valid) {
            return Err(DecodeError::Value("an hour of the month"));
        }
        if !(0.0..=1.0).contains(&confidence) {
            return Err(DecodeError::Value("the confidence"));
        }
        if lowest.is_nan() || highest.is_nan() || lowest > highest {
            return Err(DecodeError::Value("a bound"));
        }
        let statistics = Statistics {
            samples,
            outliers,
            mean,
            median,
            standard_deviation,
            p95,
            p99,
            minimum,
            maximum,
            lower,
            upper,
        };
        let profile = Self {
            centre,
            scale,
            stretch,
            tails,
            statistics,
            days,
            confidence,
            ready,
            minimum: lowest.is_finite().then_some(lowest),
            maximum: highest.is_finite().then_some(highest),
            growth: Growth { per_day, since },
            monthly,
        };
        Ok((profile, rest))
    }
}

fn tail(rest: &mut &[u8]) -> Option<Tail> {
    let mut figures = [0.0; TAIL];
    for value in &mut figures {
        *value = f32::from_le_bytes(take(rest)?);
    }
    let [quarter, tenth, far, scale, shape] = figures;
    Some(Tail { quantiles: [quarter, tenth, far], scale, shape })
}

fn slot(rest: &mut &[u8]) -> Option<MonthlySlot> {
    let [day, hour] = take(rest)?;
    let (level, scale) = (f32::from_le_bytes(take(rest)?), f32::from_le_bytes(take(rest)?));
    Some(MonthlySlot { day, hour, level, scale })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}
