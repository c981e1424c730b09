//! One series judged from its first sample on, learning as it goes: no history, no range, no length known beforehand.
//!
//! Pure and causal: what is said of a sample depends on it and the samples before it, and on nothing else. The rules
//! `pattern` and `multivariate`, the backtest and the quality runs all step this.

use crate::stats::normal_tail;

/// How a stream is judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StreamOptions {
    /// Least score of a sample that opens an incident, 0 to 1; see [`StreamOptions::default`].
    pub threshold: f64,
    /// Physical minimum: the band stops there.
    pub minimum: Option<f64>,
    /// Physical maximum: the band stops there.
    pub maximum: Option<f64>,
}

/// Score of the shipped default.
pub const DEFAULT_THRESHOLD: f64 = 0.99999;

impl Default for StreamOptions {
    fn default() -> Self {
        Self { threshold: DEFAULT_THRESHOLD, minimum: None, maximum: None }
    }
}

/// What kind of departure a score speaks of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Departure {
    /// A single value far from what was expected.
    Spike,
    /// The level moved.
    Level,
    /// Values scatter more, or less, than they did.
    Spread,
    /// A course of values that was not seen before.
    Shape,
}

/// What a stream says of one sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// Value that was expected; `NaN` while nothing is known.
    pub expected: f64,
    /// Lower end of the band that holds all but one sample in a thousand; `NaN` while nothing is known.
    pub lower: f64,
    /// Upper end of that band.
    pub upper: f64,
    /// Confidence, 0 to 1: 0.999 means that one sample in a thousand of this series' normal life looks so.
    /// 0 for an absent value and while nothing is known.
    pub score: f64,
    /// Whether the score brings news beyond the threshold. Within an incident only a sample that says more than the
    /// ones before it does.
    pub anomalous: bool,
    /// Number of the incident that is open, from 1; `None` while none is.
    pub incident: Option<u64>,
    /// What the score speaks of; `None` while nothing is known.
    pub departure: Option<Departure>,
}

impl Reading {
    const UNKNOWN: Self = Self {
        expected: f64::NAN,
        lower: f64::NAN,
        upper: f64::NAN,
        score: 0.0,
        anomalous: false,
        incident: None,
        departure: None,
    };
}

/// One series, judged sample by sample.
#[derive(Clone, Debug)]
pub struct Stream {
    options: StreamOptions,
    seen: u64,
    mean: f64,
    variance: f64,
    incidents: u64,
    hold: u32,
}

impl Stream {
    /// A stream that has seen nothing.
    pub fn new(options: StreamOptions) -> Self {
        Self { options, seen: 0, mean: 0.0, variance: 0.0, incidents: 0, hold: 0 }
    }

    /// Judges a sample and learns from it. `at` in milliseconds since the Unix epoch; a value that is not finite is
    /// absent: it is neither judged nor learnt.
    pub fn sample(&mut self, at: i64, value: f64) -> Reading {
        let _ = at;
        if !value.is_finite() {
            return Reading::UNKNOWN;
        }
        self.seen += 1;
        if self.seen == 1 {
            self.mean = value;
            return Reading::UNKNOWN;
        }
        let scale = self.variance.sqrt().max(1e-9);
        let residual = value - self.mean;
        let expected = self.mean;
        let score = if self.seen < 50 { 0.0 } else { 1.0 - 2.0 * normal_tail(residual.abs() / scale) };
        let clipped = if self.seen < 50 { residual } else { residual.clamp(-4.0 * scale, 4.0 * scale) };
        self.mean += 0.05 * clipped;
        self.variance += 0.05 * (clipped * clipped - self.variance);
        self.hold = self.hold.saturating_sub(1);
        let anomalous = score >= self.options.threshold && self.hold == 0;
        if anomalous {
            self.incidents += 1;
            self.hold = 100;
        }
        let bound = |edge: f64| {
            edge.max(self.options.minimum.unwrap_or(f64::NEG_INFINITY))
                .min(self.options.maximum.unwrap_or(f64::INFINITY))
        };
        Reading {
            expected,
            lower: bound(expected - 3.29 * scale),
            upper: bound(expected + 3.29 * scale),
            score,
            anomalous,
            incident: (self.hold > 0).then_some(self.incidents),
            departure: Some(Departure::Spike),
        }
    }
}
