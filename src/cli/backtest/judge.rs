//! Who judges the rows: the shipped detectors on one column or on all together, or one rule.

use super::arguments::Sensitivity;
use crate::detect::stream::{Departure, Joint, JointReading, Stream, StreamOptions};
use crate::detect::{Outcome, RecordedRule, accepted_chance};
use crate::measure::{BUILT_IN, built_in};

/// What is said of one row.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Judged {
    /// Column that the rest is about: the one that carries the score.
    pub column: usize,
    /// Value that was expected, and the band; NaN where nothing is known.
    pub expected: f64,
    pub lower: f64,
    pub upper: f64,
    /// Confidence, 0 to 1.
    pub score: f64,
    pub anomalous: bool,
    /// Number of the incident that is open, from 1.
    pub incident: Option<u64>,
    pub departure: Option<&'static str>,
    /// Columns that carry the score together, and their share of it; empty for one column.
    pub carriers: Vec<(usize, f64)>,
    /// Whether enough was known to judge by.
    pub is_verdict: bool,
}

impl Judged {
    /// Nothing is said.
    pub(super) fn nothing(column: usize) -> Self {
        Self {
            column,
            expected: f64::NAN,
            lower: f64::NAN,
            upper: f64::NAN,
            score: 0.0,
            anomalous: false,
            incident: None,
            departure: None,
            carriers: Vec::new(),
            is_verdict: false,
        }
    }
}

/// Judges rows, one after the other.
pub(super) enum Judge {
    One(Box<Stream>),
    Together(Box<Joint>),
    Rule(Box<RecordedRule>),
}

impl Judge {
    /// The shipped detectors, for columns of these names.
    pub(super) fn shipped(columns: &[String], sensitivity: Sensitivity) -> Self {
        let threshold = 1.0 - accepted_chance(sensitivity.into());
        let options = StreamOptions { threshold, ..StreamOptions::default() };
        let of_column = |name: &String| {
            let metric = built_in(name).map(|index| &BUILT_IN[index]);
            let minimum = metric.and_then(|metric| metric.minimum);
            let maximum = metric.and_then(|metric| metric.maximum);
            StreamOptions { minimum, maximum, ..options }
        };
        let options: Vec<StreamOptions> = columns.iter().map(of_column).collect();
        match options.as_slice() {
            [one] => Self::One(Box::new(Stream::new(*one))),
            several => Self::Together(Box::new(Joint::new(several))),
        }
    }

    /// Of a row that is not judged.
    pub(super) fn nothing(&self) -> Judged {
        Judged::nothing(if let Self::Rule(rule) = self { rule.metric() } else { 0 })
    }

    /// Judges a row and learns from it; `at` lies after that of the row before.
    pub(super) fn row(&mut self, at: i64, values: &[f64]) -> Judged {
        match self {
            Self::One(stream) => {
                let reading = stream.sample(at, values.first().copied().unwrap_or(f64::NAN));
                Judged {
                    column: 0,
                    expected: reading.expected,
                    lower: reading.lower,
                    upper: reading.upper,
                    score: reading.score,
                    anomalous: reading.anomalous,
                    incident: reading.incident,
                    departure: reading.departure.map(word),
                    carriers: Vec::new(),
                    is_verdict: !reading.expected.is_nan(),
                }
            }
            Self::Together(joint) => {
                let JointReading { reading, column, carriers } = joint.sample(at, values);
                Judged {
                    column,
                    expected: reading.expected,
                    lower: reading.lower,
                    upper: reading.upper,
                    score: reading.score,
                    anomalous: reading.anomalous,
                    incident: reading.incident,
                    departure: reading.departure.map(word),
                    carriers,
                    is_verdict: !reading.expected.is_nan(),
                }
            }
            Self::Rule(rule) => {
                let Outcome { verdict, incident, .. } = rule.row(at, values);
                let Some(verdict) = verdict else { return Judged { incident, ..self.nothing() } };
                Judged {
                    column: verdict.metric,
                    expected: verdict.centre.unwrap_or(f64::NAN),
                    lower: verdict.lower.unwrap_or(f64::NAN),
                    upper: verdict.upper.unwrap_or(f64::NAN),
                    score: verdict.confidence,
                    anomalous: verdict.breach,
                    incident,
                    departure: None,
                    carriers: Vec::new(),
                    is_verdict: true,
                }
            }
        }
    }
}

fn word(departure: Departure) -> &'static str {
    match departure {
        Departure::Spike => "spike",
        Departure::Level => "level",
        Departure::Spread => "spread",
        Departure::Shape => "shape",
        Departure::Bond => "bond",
    }
}
