//! What a detector sees of one sample.

use super::Normal;
use super::exception::{Expectation, as_usual, fitting};
use crate::learn::hour_of_week;
use crate::measure::ABSENT;

/// One value of one metric, and what is known around it. Cheap to make and to copy: what stands around is looked up
/// only when a detector asks for it.
#[derive(Clone, Copy)]
pub struct Sight<'a> {
    /// Time of the value, milliseconds since the Unix epoch. Rounds may come late, but a rule never sees time go
    /// backwards by more than a clock that was set back.
    pub at: i64,
    /// Index of the metric.
    pub metric: usize,
    /// Value, in the metric's unit; finite. Of a detector that judges all metrics ([`super::Detector::judges_all`]) it
    /// may be `NaN`, when that one metric has no value in this round.
    pub value: f64,
    /// What is normal for the metric now. `None` while there is no ready profile, and always for a detector that does
    /// not need one: such a one asks [`Sight::normal_of`].
    pub normal: Option<Normal<'a>>,
    values: &'a [f32],
    around: &'a dyn Around,
    expected: &'a [(usize, Expectation)],
}

/// Another database of the same Baseline.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Peer<'a> {
    /// Its last value of the same metric, in the metric's unit; finite.
    pub value: f64,
    /// Time since that value in ms; at most two intervals of the metric.
    pub age_ms: i64,
    /// What is normal for that database now; `None` unless its profile is ready.
    pub normal: Option<Normal<'a>>,
}

/// What stands around a value: nothing, by the clock of UTC, unless it says otherwise. The shard is one; tests have others.
pub trait Around {
    /// What is normal for a metric of the same database now; `None` unless its profile is ready.
    fn normal_of(&self, _metric: usize) -> Option<Normal<'_>> {
        None
    }

    /// What is normal for a metric of the same database at another time; `None` unless its profile is ready.
    fn normal_at(&self, _metric: usize, _at: i64) -> Option<Normal<'_>> {
        None
    }

    /// Hands each peer with a fresh value of the sight's metric to `take`, in no certain order.
    fn each_peer(&self, _take: &mut dyn FnMut(Peer<'_>)) {}

    /// What the clock that profiles are learnt by shows, as if it were UTC; UTC where none is known.
    fn local(&self, at: i64) -> i64 {
        at
    }
}

/// Nothing around.
pub struct Alone;

impl Around for Alone {}

impl<'a> Sight<'a> {
    /// A value and nothing else.
    pub fn new(at: i64, metric: usize, value: f64) -> Self {
        Self { at, metric, value, normal: None, values: &[], around: &Alone, expected: &[] }
    }

    /// With the values of the whole round, in metric order.
    #[must_use]
    pub fn with_values(self, values: &'a [f32]) -> Self {
        Self { values, ..self }
    }

    /// With what is normal for the metric.
    #[must_use]
    pub fn with_normal(self, normal: Option<Normal<'a>>) -> Self {
        Self { normal, ..self }
    }

    /// With what stands around.
    #[must_use]
    pub fn with_around(self, around: &'a dyn Around) -> Self {
        Self { around, ..self }
    }

    /// With what is expected of metrics beside what is normal, by their index.
    #[must_use]
    pub(super) fn with_expected(self, expected: &'a [(usize, Expectation)]) -> Self {
        Self { expected, ..self }
    }

    /// The values of the whole round, in metric order; [`ABSENT`] where there is none. May be shorter than the
    /// metrics: what is missing is absent.
    pub fn values(&self) -> &'a [f32] {
        self.values
    }

    /// Value of a metric in this round; `None` when there is none. A metric over statements has none in light rounds.
    pub fn value_of(&self, metric: usize) -> Option<f64> {
        let value = self.values.get(metric).copied().unwrap_or(ABSENT);
        value.is_finite().then(|| f64::from(value))
    }

    /// What is normal for a metric of this database now; `None` unless its profile is ready.
    pub fn normal_of(&self, metric: usize) -> Option<Normal<'a>> {
        self.around.normal_of(metric)
    }

    /// What is normal for a metric of this database at another time, milliseconds since the Unix epoch: the profile's
    /// bucket of that hour of the week. `None` unless its profile is ready.
    pub fn normal_at(&self, metric: usize, at: i64) -> Option<Normal<'a>> {
        self.around.normal_at(metric, at)
    }

    /// What is normal for the rule's metric now, moved to what is expected of it as far as the value goes that way.
    pub fn expected_normal(&self) -> Option<Normal<'a>> {
        let learnt = self.normal_of(self.metric)?;
        Some(fitting(self.expected, self.metric, learnt, self.value))
    }

    /// What a value of a metric counts as where it is compared with something that no expectation moves: one within what
    /// is expected is as good as the learnt centre. `None` when it is expected and no profile is ready.
    pub fn as_usual(&self, metric: usize, value: f64) -> Option<f64> {
        if self.expected.is_empty() {
            return Some(value);
        }
        as_usual(self.expected, metric, self.normal_of(metric).as_ref(), value)
    }

    /// What the clock that profiles are learnt by shows now, as if it were UTC: milliseconds since the epoch.
    pub fn local(&self) -> i64 {
        self.around.local(self.at)
    }

    /// Hour of the week by the clock that profiles are learnt by, Monday 00:00 being 0; UTC where none is known.
    pub fn hour_of_week(&self) -> usize {
        hour_of_week(self.local())
    }

    /// Hands each peer with a fresh value of this metric to `take`, in no certain order.
    pub fn each_peer(&self, mut take: impl FnMut(Peer<'_>)) {
        self.around.each_peer(&mut take);
    }
}
