//! What stands around a value in the shard: the other metrics' profiles, and the peers.

use super::Normal;
use super::columns::Columns;
use super::latest::Latest;
use super::sight::{Around, Peer};
use super::when::When;

/// A value of a peer is fresh within so many intervals of its metric.
const FRESH_INTERVALS: i64 = 2;

/// The view of one target at one instant, for a rule on one metric.
#[derive(Clone, Copy)]
pub(super) struct Surroundings<'a> {
    columns: &'a Columns,
    latest: &'a Latest,
    target: usize,
    first: usize,
    metrics: usize,
    /// Now, by the clock that the profiles of the target were learnt by; its peers have the same.
    when: When<'a>,
    metric: usize,
    interval_ms: i64,
}

impl<'a> Surroundings<'a> {
    pub fn new(
        columns: &'a Columns,
        latest: &'a Latest,
        target: usize,
        (first, metrics): (usize, usize),
        when: When<'a>,
    ) -> Self {
        Self { columns, latest, target, first, metrics, when, metric: 0, interval_ms: 0 }
    }

    /// For a rule on that metric, whose values come that far apart; without this there are no peers.
    pub fn of(self, metric: usize, interval_ms: i64) -> Self {
        Self { metric, interval_ms, ..self }
    }

    pub fn normal(&self, metric: usize) -> Option<Normal<'a>> {
        (metric < self.metrics).then(|| self.columns.normal(self.first + metric, &self.when))?
    }
}

impl Around for Surroundings<'_> {
    fn normal_of(&self, metric: usize) -> Option<Normal<'_>> {
        self.normal(metric)
    }

    fn normal_at(&self, metric: usize, at: i64) -> Option<Normal<'_>> {
        (metric < self.metrics).then(|| self.columns.normal(self.first + metric, &self.when.moved_to(at)))?
    }

    fn local(&self, at: i64) -> i64 {
        self.when.local(at)
    }

    fn each_peer(&self, take: &mut dyn FnMut(Peer<'_>)) {
        let patience = self.interval_ms.saturating_mul(FRESH_INTERVALS);
        for member in self.latest.peers(self.target).filter(|member| self.metric < member.metrics) {
            let series = member.first + self.metric;
            let Some((value, at)) = self.latest.value(series) else { continue };
            // The clock is one for all; what a peer says later in the same round is as fresh as can be.
            let age_ms = self.when.at.saturating_sub(at).max(0);
            if age_ms <= patience {
                take(Peer { value: f64::from(value), age_ms, normal: self.columns.normal(series, &self.when) });
            }
        }
    }
}
