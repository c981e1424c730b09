//! What statements did over time: growth between two readings of `pg_stat_statements`, and a history of it that
//! reaches back two hours with sixteen marks, dense near the present.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::diagnose::StatementGrowth;
use crate::learn::UsualTimes;
use crate::measure::log_normal::{self, Moments};
use crate::measure::{StatementFigures, StatementInterval, StatementKind};

/// Marks that are kept.
const MARKS: usize = 16;
/// How far back a mark may lie, in seconds.
const REACH_SECONDS: f64 = 7_200.0;
/// Statements that are remembered beyond twice what the server has.
const SPARE: usize = 1_000;

/// An entry of `pg_stat_statements` in one database.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Key {
    /// Oid of the role.
    pub user: i64,
    /// `queryid`.
    pub query_id: i64,
    /// Whether a client sent it, rather than a function.
    pub toplevel: bool,
}

/// Counters of an entry since its creation.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counters {
    calls: f64,
    rows: f64,
    total_ms: f64,
    /// Sum of the squared times: unlike the standard deviation it can be subtracted.
    squares: f64,
}

impl Counters {
    /// From the view's columns; times in ms.
    pub fn new(calls: i64, rows: i64, total_ms: f64, deviation_ms: f64) -> Self {
        let calls = calls as f64;
        let mean = if calls > 0.0 { total_ms / calls } else { 0.0 };
        let squares = calls * (deviation_ms * deviation_ms + mean * mean);
        Self { calls, rows: rows as f64, total_ms, squares }
    }

    /// Growth since `earlier`. When anything fell, the entry was evicted or reset and counts from zero.
    fn since(self, earlier: Option<Self>) -> Self {
        match earlier {
            Some(earlier)
                if self.calls >= earlier.calls && self.rows >= earlier.rows && self.total_ms >= earlier.total_ms =>
            {
                Self {
                    calls: self.calls - earlier.calls,
                    rows: self.rows - earlier.rows,
                    total_ms: self.total_ms - earlier.total_ms,
                    squares: (self.squares - earlier.squares).max(0.0),
                }
            }
            _ => self,
        }
    }

    fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.rows += other.rows;
        self.total_ms += other.total_ms;
    }

    fn moments(self) -> Moments {
        let mean = self.total_ms / self.calls;
        // The difference of two large sums may come out below zero.
        let variance = (self.squares / self.calls - mean * mean).max(0.0);
        Moments { calls: self.calls, mean, deviation: variance.sqrt() }
    }
}

/// One reading of all entries.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    at: i64,
    seconds: f64,
    stats_reset: Option<i64>,
    entries: HashMap<Key, Counters>,
}

impl Snapshot {
    /// An empty reading at `at` (ms since the Unix epoch), `seconds` by a clock that never jumps. `stats_reset` is that
    /// of `pg_stat_statements_info` in microseconds since the Unix epoch, where there is one.
    pub fn new(at: i64, seconds: f64, stats_reset: Option<i64>) -> Self {
        Self { at, seconds, stats_reset, entries: HashMap::new() }
    }

    /// Adds an entry.
    pub fn insert(&mut self, key: Key, counters: Counters) {
        self.entries.insert(key, counters);
    }
}

/// Totals of every statement at one instant, since the history began.
#[derive(Clone, Debug)]
struct Mark {
    at: i64,
    seconds: f64,
    totals: HashMap<i64, Counters>,
}

/// What the statements of one database did lately.
#[derive(Clone, Debug, Default)]
pub struct StatementHistory {
    last: Option<Snapshot>,
    totals: HashMap<i64, Counters>,
    marks: VecDeque<Mark>,
    usual: UsualTimes,
    /// Growth over the last interval, until it is known whether it was a quiet one.
    unsettled: HashMap<i64, Counters>,
    /// `None`: control of transactions and sessions, left out of everything.
    kinds: HashMap<i64, Option<StatementKind>>,
}

impl StatementHistory {
    /// Statements of a reading whose text is not known yet.
    pub fn unknown(&self, snapshot: &Snapshot) -> Vec<i64> {
        let ids = snapshot.entries.keys().map(|key| key.query_id);
        let mut unknown: Vec<i64> = ids.filter(|query_id| !self.kinds.contains_key(query_id)).collect();
        unknown.sort_unstable();
        unknown.dedup();
        unknown
    }

    /// Remembers what a statement does. Those that do not touch rows are counted by kind and left out of all else; those
    /// of no kind are left out altogether.
    pub fn classify(&mut self, query_id: i64, kind: Option<StatementKind>) {
        self.kinds.insert(query_id, kind);
    }

    /// Whether the server's figures were reset between the last reading and this one.
    pub fn was_reset(&self, snapshot: &Snapshot) -> bool {
        self.last.as_ref().is_some_and(|last| last.stats_reset != snapshot.stats_reset)
    }

    /// Forgets all figures, because those of the server begin anew or it is another one.
    pub fn clear(&mut self) {
        self.last = None;
        self.unsettled.clear();
        self.totals.clear();
        self.marks.clear();
    }

    /// What every statement usually takes.
    pub fn usual(&self) -> &UsualTimes {
        &self.usual
    }

    /// Goes on from what was learnt earlier, or by another process.
    pub fn set_usual(&mut self, usual: UsualTimes) {
        self.usual = usual;
    }

    /// Says of the last interval, before the next reading is taken in, whether it was quiet: only then is what the
    /// statements took in it usual. One interval late, because a breach is known only after its interval was read.
    pub fn settle(&mut self, quiet: bool) {
        for (query_id, grown) in self.unsettled.drain().filter(|_| quiet) {
            self.usual.learn(query_id, grown.total_ms / grown.calls);
        }
    }

    /// Takes a reading in. The growth since the last one, over the statements that clients sent; `None` for the first.
    pub fn push(&mut self, snapshot: Snapshot) -> Option<StatementInterval> {
        if self.was_reset(&snapshot) {
            self.clear();
        }
        if self.marks.is_empty() {
            self.begin(&snapshot);
        }
        let interval = self.last.take().map(|last| self.grow(&last, &snapshot));
        let known = self.kinds.len().max(self.usual.len());
        if known > 2 * snapshot.entries.len() + SPARE {
            let present: HashSet<i64> = snapshot.entries.keys().map(|key| key.query_id).collect();
            self.kinds.retain(|query_id, _| present.contains(query_id));
            self.usual.retain(|query_id| present.contains(&query_id));
        }
        self.mark(snapshot.at, snapshot.seconds);
        self.last = Some(snapshot);
        interval
    }

    /// What the server itself has kept is all that there is to compare with, where nothing was learnt.
    fn begin(&mut self, snapshot: &Snapshot) {
        let mut kept: HashMap<i64, Counters> = HashMap::new();
        for (key, counters) in &snapshot.entries {
            kept.entry(key.query_id).or_default().add(*counters);
        }
        for (query_id, counters) in kept {
            self.usual.begin(query_id, counters.total_ms / counters.calls);
        }
    }

    fn grow(&mut self, last: &Snapshot, snapshot: &Snapshot) -> StatementInterval {
        let seconds = snapshot.seconds - last.seconds;
        let mut interval = StatementInterval { seconds, ..StatementInterval::default() };
        let mut moments = Vec::new();
        self.unsettled.clear();
        for (key, counters) in &snapshot.entries {
            let growth = counters.since(last.entries.get(key).copied());
            let Some(kind) = self.kinds.get(&key.query_id).copied().flatten().filter(|_| growth.calls > 0.0) else {
                continue;
            };
            if key.toplevel {
                interval.calls_by_kind[kind as usize] += growth.calls;
            }
            if !kind.touches_rows() {
                continue;
            }
            self.totals.entry(key.query_id).or_default().add(growth);
            self.unsettled.entry(key.query_id).or_default().add(growth);
            // What a function ran is in the time of the statement that called it.
            if key.toplevel {
                interval.calls += growth.calls;
                interval.total_ms += growth.total_ms;
                moments.push(growth.moments());
            }
        }
        interval.p95_ms = log_normal::quantile(&moments, 0.95);
        interval
    }

    fn mark(&mut self, at: i64, seconds: f64) {
        self.marks.push_back(Mark { at, seconds, totals: self.totals.clone() });
        while self.marks.len() > 2 && seconds - self.marks[1].seconds > REACH_SECONDS {
            self.marks.pop_front();
        }
        if self.marks.len() > MARKS {
            // The mark that is missed least: the smallest gap in proportion to its age.
            let gap = |index: usize| {
                let age = seconds - self.marks[index].seconds;
                (self.marks[index + 1].seconds - self.marks[index - 1].seconds) / age.max(f64::MIN_POSITIVE)
            };
            let least = (1..self.marks.len() - 1).min_by(|&left, &right| gap(left).total_cmp(&gap(right)));
            if let Some(least) = least {
                self.marks.remove(least);
            }
        }
        // What stopped running before the oldest mark cannot grow between any two marks.
        if let Some(oldest) = self.marks.front() {
            self.totals.retain(|query_id, totals| oldest.totals.get(query_id) != Some(totals));
            for mark in &mut self.marks {
                mark.totals.retain(|query_id, _| self.totals.contains_key(query_id));
            }
        }
    }

    /// Growth of every statement since `onset_ms` (ms since the Unix epoch), the most time-consuming first. It is
    /// counted from the last reading before the onset: the value at the onset already speaks of the time after that.
    /// It is compared with what the statement usually takes, and where that was not learnt, with what it took before
    /// the onset: a statement that was always slow has not grown.
    pub fn growth(&self, onset_ms: i64) -> Vec<StatementGrowth> {
        let (Some(oldest), Some(newest)) = (self.marks.front(), self.marks.back()) else {
            return Vec::new();
        };
        let base = self.marks.iter().rev().find(|mark| mark.at < onset_ms).unwrap_or(oldest);
        let elapsed = newest.seconds - base.seconds;
        let elapsed_before = base.seconds - oldest.seconds;
        let mut grown: Vec<StatementGrowth> = newest
            .totals
            .iter()
            .filter_map(|(query_id, totals)| {
                let before = base.totals.get(query_id).copied().unwrap_or_default();
                let began = oldest.totals.get(query_id).copied().unwrap_or_default();
                let (after, before) = (totals.since(Some(before)), before.since(Some(began)));
                let seen_before = (before.calls > 0.0).then(|| before.total_ms / before.calls);
                let mean_before = self.usual.get(*query_id).or(seen_before);
                (after.calls > 0.0).then(|| StatementGrowth {
                    query_id: *query_id,
                    mean_before_ms: mean_before,
                    calls_per_second_before: (elapsed_before > 0.0).then(|| before.calls / elapsed_before),
                    calls: after.calls,
                    mean_ms: after.total_ms / after.calls,
                    calls_per_second: if elapsed > 0.0 { after.calls / elapsed } else { 0.0 },
                    rows_per_call: after.rows / after.calls,
                    total_ms: after.total_ms,
                })
            })
            .collect();
        grown.sort_by(|left, right| right.total_ms.total_cmp(&left.total_ms));
        grown
    }

    /// What these statements did together since `since_ms` (ms since the Unix epoch), counted from the first reading at
    /// or after it, so that nothing from before is in it. `None` until a second reading has followed.
    pub fn since(&self, since_ms: i64, query_ids: &[i64]) -> Option<StatementFigures> {
        let newest = self.marks.back()?;
        let base = self.marks.iter().find(|mark| mark.at >= since_ms)?;
        if newest.seconds <= base.seconds {
            return None;
        }
        let mut sum = Counters::default();
        for query_id in query_ids {
            let began = base.totals.get(query_id).copied().unwrap_or_default();
            sum.add(newest.totals.get(query_id).copied().unwrap_or_default().since(Some(began)));
        }
        let mean_ms = if sum.calls > 0.0 { sum.total_ms / sum.calls } else { 0.0 };
        Some(StatementFigures { calls: sum.calls, mean_ms })
    }
}

#[cfg(test)]
#[path = "statements_tests.rs"]
mod tests;
